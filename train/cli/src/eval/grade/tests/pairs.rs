//! `pairs.tsv`: two MATH answers a line, whether they are the same, and why. `outputs.tsv`: so with an
//! output for GSM8K and a number.

use super::super::*;

const PAIRS: &str = include_str!("pairs.tsv");
const OUTPUTS: &str = include_str!("outputs.tsv");

struct Pair {
    line: usize,
    given: &'static str,
    gold: &'static str,
    same: bool,
    why: &'static str,
}

fn pairs() -> Vec<Pair> {
    read(PAIRS)
}

fn read(table: &'static str) -> Vec<Pair> {
    let rows = table.lines().enumerate().skip(1);
    rows.map(|(at, row)| {
        let cells: Vec<_> = row.split('\t').collect();
        let [given, gold, verdict, why] = cells[..] else {
            panic!("line {}: not four cells", at + 1);
        };
        let same = match verdict {
            "same" => true,
            "different" => false,
            other => panic!("line {}: verdict '{other}'", at + 1),
        };
        Pair {
            line: at + 1,
            given,
            gold,
            same,
            why,
        }
    })
    .collect()
}

#[test]
fn every_pair_has_its_verdict() {
    let mut wrong = 0;
    for pair in pairs() {
        for (given, gold) in [(pair.given, pair.gold), (pair.gold, pair.given)] {
            if same(Benchmark::Math, given, gold) != pair.same {
                let Pair { line, why, .. } = pair;
                let expected = if pair.same { "the same" } else { "different" };
                println!("line {line}: {given:?} and {gold:?} should be {expected}: {why}");
                wrong += 1;
            }
        }
    }
    assert_eq!(wrong, 0, "pairs with the wrong verdict");
}

#[test]
fn every_output_has_its_verdict() {
    let mut wrong = 0;
    for pair in read(OUTPUTS) {
        let given = extract(Benchmark::Gsm8k, pair.given).map(|given| given.text);
        let is = given
            .as_ref()
            .is_some_and(|given| same(Benchmark::Gsm8k, given, pair.gold));
        if is != pair.same {
            let Pair {
                line,
                given: output,
                gold,
                why,
                ..
            } = pair;
            println!("line {line}: {given:?} of {output:?} for {gold:?}, {is}: {why}");
            wrong += 1;
        }
    }
    assert_eq!(wrong, 0, "outputs with the wrong verdict");
}

#[test]
fn there_are_enough_of_both() {
    let pairs = pairs();
    let different = pairs.iter().filter(|pair| !pair.same).count();
    assert!(pairs.len() >= 150, "{} pairs", pairs.len());
    assert!(different >= 50, "{different} different ones");
    assert!(pairs.len() - different >= 100);
}

#[test]
fn answers_are_the_same_as_themselves() {
    for pair in pairs()
        .iter()
        .filter(|pair| pair.why != "nothing is no answer")
    {
        for text in [pair.given, pair.gold] {
            assert!(same(Benchmark::Math, text, text), "{text}");
        }
    }
}
