//! The golds of GSM8K and MATH, where the project's assets are at hand.

use std::path::{Path, PathBuf};

use super::super::*;

/// How many other golds each is compared with.
const OTHERS: usize = 20;

/// Golds of MATH that are the same answer though they are written differently, each looked at.
const SAME_ANSWERS: &[(&str, &str)] = &[
    (r"\frac{2 \pi}{3}", r"\frac{2}{3}\pi"),
    (r"\frac{3 \pi}{4}", r"\frac{3}{4}\pi\text{ inches}"),
    (r"\frac{1}{\sqrt{3}}", r"\frac{\sqrt{3}}{3}"),
    ("-2,1", "1,-2"),
    ("-1,2", "2, -1"),
];

fn datasets() -> Option<PathBuf> {
    let assets = match std::env::var_os("BONE_ASSETS") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets"),
    };
    let folder = assets.join("datasets");
    if !folder.is_dir() {
        println!("skipped: assets not found");
        return None;
    }
    Some(folder)
}

/// A field of every row.
fn field(path: &Path, name: &str) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap();
    let rows = text.lines().filter(|line| !line.trim().is_empty());
    rows.map(|row| {
        let row: serde_json::Value = serde_json::from_str(row).unwrap();
        row[name].as_str().unwrap().to_owned()
    })
    .collect()
}

/// Twenty other positions of a list, the same in every run.
fn others(position: usize, length: usize) -> impl Iterator<Item = usize> {
    (1..=OTHERS).map(move |step| (position * 7919 + step * 104_729) % length)
}

#[test]
fn gsm8k_golds_are_the_same_as_themselves_only() {
    let Some(folder) = datasets() else { return };
    let mut solutions = field(&folder.join("gsm8k/train.jsonl"), "answer");
    solutions.extend(field(&folder.join("gsm8k/test.jsonl"), "answer"));
    assert_eq!(solutions.len(), 7473 + 1319);
    let golds: Vec<String> = (solutions.iter())
        .map(|s| gold(Benchmark::Gsm8k, s).unwrap())
        .collect();
    let plain = |gold: &str| gold.replace(',', "").parse::<i64>().unwrap();
    let mut compared = 0;
    for (at, own) in golds.iter().enumerate() {
        assert!(same(Benchmark::Gsm8k, own, own), "{own}");
        let extracted = extract(Benchmark::Gsm8k, &solutions[at]).unwrap();
        assert_eq!(extracted.found, Found::Hashes);
        assert!(same(Benchmark::Gsm8k, &extracted.text, own), "{own}");
        for other in others(at, golds.len()) {
            let other = &golds[other];
            let equal = plain(own) == plain(other);
            assert_eq!(same(Benchmark::Gsm8k, other, own), equal, "{other}, {own}");
            compared += usize::from(!equal);
        }
    }
    println!("{} golds, {compared} pairs of different ones", golds.len());
    assert!(compared > golds.len() * OTHERS / 2);
}

/// What a gold says, decided without the grader: a plain number, or else its text.
#[derive(Debug, PartialEq)]
enum Plain {
    Number(f64),
    Text(String),
}

impl Plain {
    fn of(gold: &str) -> Self {
        let mut text: String = gold.chars().filter(|c| !c.is_whitespace()).collect();
        for (from, to) in [
            ("dfrac", "frac"),
            ("tfrac", "frac"),
            ("cfrac", "frac"),
            ("mbox", "text"),
        ] {
            text = text.replace(from, to);
        }
        for gone in [
            r"\left",
            r"\right",
            r"\!",
            r"\$",
            r"\%",
            r"^\circ",
            r"^{\circ}",
            r"\;",
            r"\,",
        ] {
            text = text.replace(gone, "");
        }
        if !text.contains("a.m.") && !text.contains("and") {
            let unit = text
                .find(r"\text")
                .filter(|&at| text[..at].contains(|c: char| c.is_ascii_digit()));
            text.truncate(unit.unwrap_or(text.len()));
        }
        text = text.replace("{,}", ",");
        if let Some((name, value)) = text.split_once('=')
            && name.len() == 1
        {
            text = value.to_owned();
        }
        let text = text.replace(r"\text{", "{").replace(r"\sqrt", r"\sqrt ");
        if let Some(number) = number(&text).or_else(|| number(text.trim_matches(['{', '}']))) {
            return Self::Number(number);
        }
        let text = text.replace(['{', '}'], " ");
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let choice = text.trim_matches(['(', ')', ' ']);
        Self::Text(match choice.len() {
            1 => choice.to_owned(),
            _ => text,
        })
    }
}

/// `-1.5`, `1,500`, `\frac{1}{2}`, `\frac12`, `1\frac{1}{2}`.
fn number(text: &str) -> Option<f64> {
    if let Some(text) = text.strip_prefix('-') {
        return Some(-number(text)?);
    }
    let Some((whole, fraction)) = text.split_once(r"\frac") else {
        let groups: Vec<_> = text.split(',').collect();
        let thousands = groups.len() == 1 || groups[1..].iter().all(|group| group.len() == 3);
        let digits = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
        return (thousands && digits)
            .then(|| groups.concat().parse().ok())
            .flatten();
    };
    let mut arguments = Vec::new();
    let mut rest = fraction;
    while !rest.is_empty() {
        let (argument, after) = match rest.strip_prefix('{') {
            Some(inner) => inner.split_once('}')?,
            None => rest.split_at(rest.chars().next()?.len_utf8()),
        };
        arguments.push(argument.replace(',', "").parse::<u32>().ok()?);
        rest = after;
    }
    let [numerator, denominator] = arguments[..] else {
        return None;
    };
    let whole: f64 = if whole.is_empty() {
        0.0
    } else {
        whole.parse().ok()?
    };
    Some(whole + f64::from(numerator) / f64::from(denominator))
}

#[test]
fn math_golds_are_the_same_as_themselves_only() {
    let Some(folder) = datasets() else { return };
    let solutions = field(&folder.join("math/test.jsonl"), "solution");
    assert_eq!(solutions.len(), 5000);
    let mut golds = Vec::new();
    for solution in &solutions {
        let own = gold(Benchmark::Math, solution).unwrap();
        let extracted = extract(Benchmark::Math, solution).unwrap();
        assert_eq!((&extracted.text, extracted.found), (&own, Found::Box));
        assert!(same(Benchmark::Math, &own, &own), "{own}");
        golds.push(own);
    }
    for gold in &golds {
        for given in [
            format!("${gold}$."),
            gold.replace(r"\frac", r"\dfrac"),
            gold.replace("(-", r"\left( -")
                .replace("infty)", r"infty \right)"),
            gold.replace(r"\text{", r"\mbox{"),
        ] {
            assert!(same(Benchmark::Math, &given, gold), "{given}, {gold}");
        }
        for (output, found) in [
            (format!("So it is.\nThe answer is: {gold}"), Found::AnswerIs),
            (format!("The answer is ${gold}$. It fits."), Found::AnswerIs),
            (
                format!("Final Answer: The final answer is ${gold}$. I hope it is correct."),
                Found::FinalAnswer,
            ),
        ] {
            let extracted = extract(Benchmark::Math, &output).unwrap();
            assert_eq!(extracted.found, found, "{output}");
            assert!(same(Benchmark::Math, &extracted.text, gold), "{output}");
        }
    }
    golds.sort_unstable();
    golds.dedup();
    let plain: Vec<_> = golds.iter().map(|gold| Plain::of(gold)).collect();
    let parsed: Vec<_> = golds.iter().map(|gold| answer::Read::of(gold)).collect();
    let (mut wrong, mut different) = (0, 0);
    for one in 0..golds.len() {
        for two in 0..one {
            let same = parsed[one].same(&parsed[two]);
            let pair = (golds[two].as_str(), golds[one].as_str());
            let expected = plain[one] == plain[two] || SAME_ANSWERS.contains(&pair);
            if same != expected {
                println!("{:?} and {:?}: {same}", pair.0, pair.1);
                wrong += 1;
            }
            different += usize::from(!expected);
        }
    }
    println!("{} golds, {different} pairs of different ones", golds.len());
    assert!(different > 2_000_000);
    // The door itself, which reads both answers anew.
    for one in 0..golds.len() {
        for two in others(one, golds.len()) {
            let pair = (golds[one.min(two)].as_str(), golds[one.max(two)].as_str());
            let expected = plain[one] == plain[two] || SAME_ANSWERS.contains(&pair);
            assert_eq!(same(Benchmark::Math, pair.0, pair.1), expected, "{pair:?}");
        }
    }
    assert_eq!(wrong, 0, "pairs with the wrong verdict");
}
