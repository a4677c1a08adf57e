//! Padded batches.

use super::sample::Sample;

/// Rows of one length, padded on the right. A row holds one sequence, or several packed sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Number of rows.
    pub rows: usize,
    /// Length of every row: that of the longest row.
    pub len: usize,
    /// Token ids `[rows, len]`, row-major.
    pub tokens: Vec<u32>,
    /// `[rows, len]`, row-major: whether the token at a position is a trained target. False for prompts,
    /// padding and the first token of a sequence.
    pub loss_mask: Vec<bool>,
    /// [`Sample::row`] of each row's first sequence.
    pub row_ids: Vec<u64>,
    /// [`Sample::row`] of every sequence, row by row.
    pub samples: Vec<u64>,
    /// Start of each sequence in each row, as in `bone_lm::Span::starts`: from 0, with one padding token
    /// between two sequences. Empty if every row holds one sequence.
    pub starts: Vec<Vec<usize>>,
}

/// Returns the length of a row that packs sequences of these lengths, with one padding token between two.
pub(super) fn packed_len(lengths: impl IntoIterator<Item = usize>) -> usize {
    let with_gaps: usize = lengths.into_iter().map(|len| len + 1).sum();
    with_gaps.saturating_sub(1)
}

impl Batch {
    /// Makes rows of one sequence of `len` tokens each, without padding. `token` gives the id at a position
    /// of `[rows, len]`; every token after a row's first is a trained target.
    pub fn full(rows: usize, len: usize, token: impl Fn(usize) -> u32) -> Self {
        Self {
            rows,
            len,
            tokens: (0..rows * len).map(token).collect(),
            loss_mask: (0..rows * len).map(|i| i % len > 0).collect(),
            row_ids: (0..rows as u64).collect(),
            samples: (0..rows as u64).collect(),
            starts: Vec::new(),
        }
    }

    /// Pads `samples` with `pad_id` to the longest of them, in the given order.
    pub fn new<'a>(samples: impl IntoIterator<Item = &'a Sample>, pad_id: u32) -> Self {
        let rows: Vec<_> = samples.into_iter().map(std::slice::from_ref).collect();
        Self::packed(&rows, 0, pad_id)
    }

    /// Packs the samples of each row, one after the other. Pads the rows with `pad_id` to the longest row,
    /// and to at least `row_len`.
    pub fn packed(rows: &[impl AsRef<[Sample]>], row_len: usize, pad_id: u32) -> Self {
        let lengths = |row: &[Sample]| packed_len(row.iter().map(|s| s.tokens.len()));
        let len = rows.iter().map(|row| lengths(row.as_ref())).max();
        let len = len.unwrap_or(0).max(row_len);
        let mut tokens = vec![pad_id; rows.len() * len];
        let mut loss_mask = vec![false; rows.len() * len];
        let mut starts = Vec::with_capacity(rows.len());
        for (index, row) in rows.iter().enumerate() {
            let mut at = 0;
            let mut begins = Vec::new();
            for sample in row.as_ref() {
                let place = index * len + at;
                tokens[place..place + sample.tokens.len()].copy_from_slice(&sample.tokens);
                for trained in &sample.trained {
                    loss_mask[place + trained.start..place + trained.end].fill(true);
                }
                begins.push(at);
                at += sample.tokens.len() + 1;
            }
            starts.push(begins);
        }
        if starts.iter().all(|begins| begins.len() < 2) {
            starts.clear();
        }
        let first = |row: &[Sample]| row.first().map_or(0, |sample| sample.row);
        Self {
            rows: rows.len(),
            len,
            tokens,
            loss_mask,
            row_ids: rows.iter().map(|row| first(row.as_ref())).collect(),
            samples: rows
                .iter()
                .flat_map(|row| row.as_ref().iter().map(|sample| sample.row))
                .collect(),
            starts,
        }
    }

    /// Returns the number of trained targets: the weight of this batch's mean loss.
    pub fn trained_tokens(&self) -> usize {
        self.loss_mask.iter().filter(|&&trained| trained).count()
    }

    /// Returns the last position, from 0, with a trained target in any sequence; `None` without one.
    pub fn last_trained(&self) -> Option<usize> {
        (0..self.len).rev().find(|t| {
            let mut column = self.loss_mask.iter().skip(*t).step_by(self.len);
            column.any(|trained| *trained)
        })
    }
}

/// Returns batches for evaluation: every sample once, sorted by length to reduce padding. The order is
/// always the same. A `batch_size` of 0 counts as 1.
pub fn evaluation_batches(
    samples: &[Sample],
    batch_size: usize,
    pad_id: u32,
) -> impl Iterator<Item = Batch> {
    let batch_size = batch_size.max(1);
    let mut sorted: Vec<&Sample> = samples.iter().collect();
    sorted.sort_by_key(|sample| sample.tokens.len());
    (0..sorted.len()).step_by(batch_size).map(move |start| {
        let end = sorted.len().min(start + batch_size);
        Batch::new(sorted[start..end].iter().copied(), pad_id)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Generates samples of any length with any part trained. The token ids include the pad id.
    pub(crate) fn any_samples(most: usize) -> impl Strategy<Value = Vec<Sample>> {
        let trained = prop::collection::vec(any::<bool>(), 12);
        let sample = (prop::collection::vec(0..3_u32, 1..12), trained);
        prop::collection::vec(sample, 1..=most).prop_map(|samples| {
            (0..)
                .zip(samples)
                .map(|(row, (tokens, trained))| {
                    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
                    for at in (1..tokens.len()).filter(|at| trained[*at]) {
                        match ranges.last_mut() {
                            Some(last) if last.end == at => last.end += 1,
                            _ => ranges.push(at..at + 1),
                        }
                    }
                    Sample {
                        tokens,
                        trained: ranges,
                        row,
                    }
                })
                .collect()
        })
    }

    /// Returns whether the token at `at` of a sample is trained.
    fn is_trained(sample: &Sample, at: usize) -> bool {
        sample.trained.iter().any(|range| range.contains(&at))
    }

    #[test]
    fn samples_are_padded_on_the_right() {
        let samples = [
            Sample::after_prompt(vec![5, 6, 7], 2, 4),
            Sample::after_prompt(vec![8, 9], 0, 2),
        ];
        let batch = Batch::new(&samples, 1);
        assert_eq!((batch.rows, batch.len), (2, 3));
        assert_eq!(batch.tokens, [5, 6, 7, 8, 9, 1]);
        assert_eq!(batch.loss_mask, [false, false, true, false, true, false]);
        assert_eq!(batch.row_ids, [4, 2]);
        assert_eq!(batch.trained_tokens(), 2);
        assert!(batch.starts.is_empty());
    }

    #[test]
    fn samples_are_packed_with_a_gap_between() {
        let [a, b, c] = [
            Sample::after_prompt(vec![5, 6, 7], 1, 4),
            Sample::after_prompt(vec![8, 9], 0, 2),
            Sample::after_prompt(vec![3; 4], 3, 9),
        ];
        let batch = Batch::packed(&[vec![a.clone(), b.clone()], vec![c]], 0, 1);
        assert_eq!((batch.rows, batch.len), (2, 6));
        assert_eq!(batch.tokens, [5, 6, 7, 1, 8, 9, 3, 3, 3, 3, 1, 1]);
        let trained = |row: usize| {
            let row = &batch.loss_mask[row * 6..][..6];
            (0..6).filter(|at| row[*at]).collect::<Vec<_>>()
        };
        assert_eq!((trained(0), trained(1)), (vec![1, 2, 5], vec![3]));
        assert_eq!(batch.row_ids, [4, 9]);
        assert_eq!(batch.starts, [vec![0, 4], vec![0]]);
        let longer = Batch::packed(&[[a], [b]], 5, 1);
        assert_eq!(longer.tokens, [5, 6, 7, 1, 1, 8, 9, 1, 1, 1]);
        assert!(longer.starts.is_empty());
    }

    #[test]
    fn an_empty_batch_has_no_rows() {
        assert!(Batch::new([], 0).tokens.is_empty());
        assert_eq!(evaluation_batches(&[], 0, 0).count(), 0);
    }

    proptest! {
        #[test]
        fn padding_tokens_are_never_trained(samples in any_samples(6)) {
            let batch = Batch::new(&samples, 0);
            prop_assert_eq!(batch.tokens.len(), batch.rows * batch.len);
            for (row, sample) in samples.iter().enumerate() {
                for position in 0..batch.len {
                    let at = row * batch.len + position;
                    let token = sample.tokens.get(position);
                    prop_assert_eq!(batch.tokens[at], token.copied().unwrap_or(0));
                    prop_assert_eq!(batch.loss_mask[at], is_trained(sample, position));
                }
            }
            let trained: usize = samples.iter().map(Sample::trained_tokens).sum();
            prop_assert_eq!(batch.trained_tokens(), trained);
        }

        #[test]
        fn evaluation_takes_every_sample_once(samples in any_samples(20), size in 0..7_usize) {
            let mut rows: Vec<u64> = evaluation_batches(&samples, size, 0)
                .flat_map(|batch| batch.row_ids)
                .collect();
            rows.sort_unstable();
            let expected: Vec<u64> = samples.iter().map(|s| s.row).collect();
            prop_assert_eq!(rows, expected);
        }
    }
}
