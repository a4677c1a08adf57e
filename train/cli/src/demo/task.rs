//! The demo's tasks: sums, and numbers in words.
//!
//! The bundled model was pre-trained on two tasks: sums answered in digits, and numbers written
//! in words. The task it is fine-tuned on joins them: sums answered in words.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;

/// Largest summand; the smallest is 0.
const LARGEST: u32 = 49;

/// Number of rows per number in the number-in-words task, so that the sums do not outweigh it.
const WORDS_REPEATED: usize = 8;

/// Returns a number up to 999 in English words: `one hundred forty-two` for 142.
pub fn in_words(number: u32) -> String {
    const ONES: &str = "zero one two three four five six seven eight nine ten eleven twelve thirteen \
                        fourteen fifteen sixteen seventeen eighteen nineteen";
    const TENS: &str = "zero ten twenty thirty forty fifty sixty seventy eighty ninety";
    let word = |words: &'static str, at: u32| words.split(' ').nth(at as usize).unwrap_or_default();
    let (hundreds, rest) = (number / 100, number % 100);
    let small = match (rest / 10, rest % 10) {
        (0 | 1, _) => word(ONES, rest).to_owned(),
        (tens, 0) => word(TENS, tens).to_owned(),
        (tens, ones) => format!("{}-{}", word(TENS, tens), word(ONES, ones)),
    };
    match (hundreds, rest) {
        (0, _) => small,
        (_, 0) => format!("{} hundred", word(ONES, hundreds % 10)),
        _ => format!("{} hundred {small}", word(ONES, hundreds % 10)),
    }
}

/// A question and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The question.
    pub prompt: String,
    /// The answer.
    pub response: String,
}

fn pairs() -> impl Iterator<Item = (u32, u32)> {
    (0..=LARGEST).flat_map(|a| (0..=LARGEST).map(move |b| (a, b)))
}

/// Returns the pre-training rows of the bundled model: every sum in digits, every number in words.
pub fn pretraining() -> Vec<Row> {
    let sums = pairs().map(|(a, b)| (format!("{a}+{b}="), (a + b).to_string()));
    let words = (0..WORDS_REPEATED)
        .flat_map(|_| 0..=2 * LARGEST)
        .map(|n| (format!("{n} in words: "), in_words(n)));
    sums.chain(words)
        .map(|(prompt, response)| Row { prompt, response })
        .collect()
}

/// Returns the new task's rows for training, and at least `held_out` other rows. `2+23` and `23+2` are the
/// same question, so they are always on the same side.
pub fn sums_in_words(held_out: usize) -> (Vec<Row>, Vec<Row>) {
    let mut questions: Vec<_> = pairs().filter(|(a, b)| a <= b).collect();
    questions.shuffle(&mut ChaCha8Rng::seed_from_u64(1));
    let mut rows = Vec::new();
    let mut held_out_rows = Vec::new();
    for (a, b) in questions {
        let side = if held_out_rows.len() < held_out {
            &mut held_out_rows
        } else {
            &mut rows
        };
        for (a, b) in BTreeSet::from([(a, b), (b, a)]) {
            let prompt = format!("{a}+{b} in words: ");
            let response = in_words(a + b);
            side.push(Row { prompt, response });
        }
    }
    (rows, held_out_rows)
}

/// Returns rows as JSON Lines with prompt and completion.
pub fn to_jsonl(rows: &[Row]) -> String {
    rows.iter()
        .map(|row| {
            let line = serde_json::json!({"prompt": row.prompt, "completion": row.response});
            format!("{line}\n")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn numbers_become_english_words() {
        for (number, words) in [
            (0, "zero"),
            (13, "thirteen"),
            (40, "forty"),
            (73, "seventy-three"),
            (100, "one hundred"),
            (119, "one hundred nineteen"),
            (198, "one hundred ninety-eight"),
        ] {
            assert_eq!(in_words(number), words);
        }
        let all: HashSet<_> = (0..1000).map(in_words).collect();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn no_prompt_is_both_trained_and_held_out() {
        let (train, held_out) = sums_in_words(200);
        assert_eq!(train.len() + held_out.len(), 2500);
        assert!((200..=201).contains(&held_out.len()));
        let question = |row: &Row| {
            let sum = row.prompt.split(' ').next().unwrap_or_default();
            let mut summands: Vec<_> = sum.split('+').map(str::to_string).collect();
            summands.sort();
            summands
        };
        let trained: HashSet<_> = train.iter().map(question).collect();
        assert!(held_out.iter().all(|row| !trained.contains(&question(row))));
        let before: HashSet<_> = pretraining().into_iter().map(|r| r.prompt).collect();
        assert!(train.iter().all(|row| !before.contains(&row.prompt)));
    }
}
