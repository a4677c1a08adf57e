//! Holding out a part of the samples for validation.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use super::sample::Samples;
use crate::DataError;

/// How much to hold out: a whole number is a count, a number below 1 a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Holdout {
    /// Number of samples; 0 holds out nothing.
    Count(usize),
    /// Fraction of the samples, between 0 and 1, at least one sample.
    Share(f64),
}

/// Numbers of the training samples and of the held-out samples, both ascending.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// Samples to train on.
    pub train: Vec<u32>,
    /// Samples held out.
    pub validation: Vec<u32>,
}

impl fmt::Display for Holdout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(f),
            Self::Share(share) => share.fmt(f),
        }
    }
}

impl FromStr for Holdout {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Ok(count) = text.parse() {
            return Ok(Self::Count(count));
        }
        let Ok(share) = text.parse() else {
            return Err(format!(
                "expected a count like 200 or a fraction like 0.05, not '{text}'"
            ));
        };
        Self::Share(share).checked()
    }
}

impl Holdout {
    fn checked(self) -> Result<Self, String> {
        match self {
            // This form rejects NaN too.
            Self::Share(share) if !(share > 0.0 && share < 1.0) => Err(format!(
                "must be an integer, or a fraction greater than 0 and less than 1, not {share}"
            )),
            holdout => Ok(holdout),
        }
    }

    fn count(self, samples: usize) -> Result<usize, String> {
        let count = match self
            .checked()
            .map_err(|error| format!("validation {error}"))?
        {
            Self::Count(count) => count,
            Self::Share(share) => ((samples as f64 * share).round() as usize).max(1),
        };
        if count > 0 && count >= samples {
            return Err(format!(
                "validation {count} leaves none of the {samples} samples to train on; lower validation"
            ));
        }
        Ok(count)
    }
}

/// Holds out samples, chosen by `seed`.
///
/// Samples with the same prompt tokens stay on one side; without a prompt, samples with the same tokens. So
/// fewer samples than requested may be held out if prompts repeat.
///
/// # Errors
/// [`DataError`]: the fraction is out of range, nothing is left to train on, or every prompt is too
/// frequent.
pub fn split_validation(
    samples: &Samples,
    holdout: Holdout,
    seed: u64,
) -> Result<Split, DataError> {
    let numbers = 0..samples.len() as u32;
    let count = holdout.count(samples.len()).map_err(DataError::Other)?;
    if count == 0 {
        return Ok(Split {
            train: numbers.collect(),
            validation: Vec::new(),
        });
    }
    let (group_of, sizes) = groups(numbers.clone().map(|number| samples.prompt_of(number)));
    if sizes.len() == 1 {
        return Err(DataError::Other(format!(
            "cannot hold out samples for validation: all {} samples have the same prompt",
            samples.len()
        )));
    }
    let mut order: Vec<usize> = (0..sizes.len()).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut held_out = vec![false; sizes.len()];
    let mut left = count;
    for group in order {
        if sizes[group] <= left {
            held_out[group] = true;
            left -= sizes[group];
        }
    }
    if left == count {
        let smallest = sizes.into_iter().min().unwrap_or(0);
        return Err(DataError::Other(format!(
            "cannot hold out {count} samples: rows with the same prompt stay together, and the rarest \
             prompt has {smallest} rows; hold out at least {smallest}"
        )));
    }
    let side = |number: &u32| held_out[group_of[*number as usize] as usize];
    let (validation, train) = numbers.partition(side);
    Ok(Split { train, validation })
}

/// Returns the group of each sample, numbered by first appearance, and the size of each group.
fn groups(prompts: impl Iterator<Item = u64>) -> (Vec<u32>, Vec<usize>) {
    let mut numbers = HashMap::new();
    let mut sizes = Vec::new();
    let group_of = prompts
        .map(|prompt| {
            let number = *numbers.entry(prompt).or_insert(sizes.len() as u32);
            if number as usize == sizes.len() {
                sizes.push(0);
            }
            sizes[number as usize] += 1;
            number
        })
        .collect();
    (group_of, sizes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::batch::tests::any_samples;
    use crate::sample::Sample;
    use proptest::prelude::*;

    fn distinct(count: u32) -> Vec<Sample> {
        (0..count)
            .map(|id| Sample::after_prompt(vec![id, 7, 8], 2, id.into()))
            .collect()
    }

    fn split(samples: &[Sample], holdout: Holdout, seed: u64) -> Result<Split, DataError> {
        let samples: Samples = samples.iter().cloned().collect();
        split_validation(&samples, holdout, seed)
    }

    #[test]
    fn holdout_size_is_exact_for_distinct_prompts() {
        for holdout in [Holdout::Count(5), Holdout::Share(0.05)] {
            let split = split(&distinct(100), holdout, 1).unwrap();
            assert_eq!((split.train.len(), split.validation.len()), (95, 5));
            assert!(split.train.is_sorted());
        }
        let none = split(&distinct(3), Holdout::Count(0), 1).unwrap();
        assert_eq!(none.train.len(), 3);
        let least = split(&distinct(9), Holdout::Share(0.01), 1).unwrap();
        assert_eq!(least.validation.len(), 1);
    }

    #[test]
    fn seed_determines_held_out_samples() {
        let held_out = |seed| {
            let split = split(&distinct(100), Holdout::Count(10), seed).unwrap();
            split.validation
        };
        assert_eq!(held_out(1), held_out(1));
        assert_ne!(held_out(1), held_out(2));
    }

    #[test]
    fn promptless_samples_are_split_by_tokens() {
        let mut samples = distinct(10);
        for sample in &mut samples {
            sample.tokens.rotate_left(1);
            *sample = Sample::after_prompt(sample.tokens.clone(), 0, sample.row);
        }
        let split = split(&samples, Holdout::Count(3), 0).unwrap();
        assert_eq!(split.validation.len(), 3);
    }

    #[test]
    fn impossible_splits_are_errors() {
        let says = |samples: &[Sample], holdout, parts: &[&str]| {
            let message = split(samples, holdout, 0).unwrap_err().to_string();
            for part in parts {
                assert!(message.contains(part), "no {part} in: {message}");
            }
        };
        let count = Holdout::Count(5);
        says(&distinct(5), count, &["validation 5 ", "5 samples"]);
        for (share, shown) in [(1.5, "1.5"), (f64::NAN, "NaN")] {
            says(
                &distinct(5),
                Holdout::Share(share),
                &["validation must", shown],
            );
        }
        let mut same = distinct(6);
        for sample in &mut same {
            sample.tokens[0] = 0;
        }
        let count = Holdout::Count(2);
        says(&same, count, &["all 6 samples", "the same prompt"]);
        same[..3].iter_mut().for_each(|s| s.tokens[0] = 1);
        says(&same, count, &["2 samples", "hold out at least 3"]);
    }

    #[test]
    fn integer_is_count_and_fraction_is_share() {
        assert_eq!("200".parse(), Ok(Holdout::Count(200)));
        assert_eq!("0.05".parse(), Ok(Holdout::Share(0.05)));
        for (text, expected) in [("1.0", "not 1"), ("5%", "not '5%'")] {
            let error = text.parse::<Holdout>().unwrap_err();
            assert!(error.ends_with(expected), "{error}");
        }
        let read = |text| serde_json::from_str::<Holdout>(text).unwrap();
        assert_eq!(read("200"), Holdout::Count(200));
        assert_eq!(read("0.05"), Holdout::Share(0.05));
    }

    proptest! {
        #[test]
        fn train_and_validation_share_no_prompt(
            samples in any_samples(60),
            count in 1..30_usize,
            seed: u64,
        ) {
            let Ok(split) = split(&samples, Holdout::Count(count), seed) else {
                return Ok(());
            };
            prop_assert!(!split.train.is_empty());
            prop_assert!((1..=count).contains(&split.validation.len()));
            let mut both = [&split.train[..], &split.validation].concat();
            both.sort_unstable();
            prop_assert_eq!(both, (0..samples.len() as u32).collect::<Vec<_>>());
            let prompt = |number: &u32| samples[*number as usize].prompt();
            for held_out in &split.validation {
                prop_assert!(!split.train.iter().any(|s| prompt(s) == prompt(held_out)));
            }
        }
    }
}
