//! Padded batches.

use super::sample::Sample;

/// Sequences of one length, padded on the right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Number of sequences.
    pub rows: usize,
    /// Length of every sequence: the longest sample's.
    pub len: usize,
    /// Token ids `[rows, len]`, row-major.
    pub tokens: Vec<u32>,
    /// `[rows, len]`, row-major: whether the token at a position is a target that is trained.
    /// False for prompts, for padding and at position 0.
    pub loss_mask: Vec<bool>,
    /// [`Sample::row`] of each sequence.
    pub row_ids: Vec<u64>,
}

impl Batch {
    /// Pads `samples` to the longest of them with `pad_id`, in their order.
    pub fn new<'a>(samples: impl IntoIterator<Item = &'a Sample>, pad_id: u32) -> Self {
        let samples: Vec<&Sample> = samples.into_iter().collect();
        let rows = samples.len();
        let len = samples.iter().map(|s| s.tokens.len()).max().unwrap_or(0);
        let mut tokens = vec![pad_id; rows * len];
        let mut loss_mask = vec![false; rows * len];
        for (row, sample) in samples.iter().enumerate() {
            let start = row * len;
            tokens[start..start + sample.tokens.len()].copy_from_slice(&sample.tokens);
            let trained = sample.trained();
            if !trained.is_empty() {
                loss_mask[start + trained.start..start + trained.end].fill(true);
            }
        }
        Self {
            rows,
            len,
            tokens,
            loss_mask,
            row_ids: samples.iter().map(|s| s.row).collect(),
        }
    }

    /// Number of targets that are trained: the weight of this batch's mean loss.
    pub fn trained_tokens(&self) -> usize {
        self.loss_mask.iter().filter(|&&trained| trained).count()
    }

    /// The last position, from 0, that holds a trained target in any sequence; `None` without one.
    pub fn last_trained(&self) -> Option<usize> {
        (0..self.len).rev().find(|t| {
            let mut column = self.loss_mask.iter().skip(*t).step_by(self.len);
            column.any(|trained| *trained)
        })
    }
}

/// Batches for evaluation: every sample once, sorted by length so that little is padded. The
/// order is always the same. A `batch_size` of 0 is taken as 1.
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

    /// Samples of any lengths; the token ids include the pad id.
    pub(in crate::data) fn any_samples(most: usize) -> impl Strategy<Value = Vec<Sample>> {
        let sample = prop::collection::vec(0..3_u32, 1..12)
            .prop_flat_map(|tokens| (0..=tokens.len(), Just(tokens)));
        prop::collection::vec(sample, 1..=most).prop_map(|samples| {
            (0..)
                .zip(samples)
                .map(|(row, (prompt_len, tokens))| Sample {
                    tokens,
                    prompt_len,
                    row,
                })
                .collect()
        })
    }

    #[test]
    fn samples_are_padded_on_the_right() {
        let samples = [
            Sample {
                tokens: vec![5, 6, 7],
                prompt_len: 2,
                row: 4,
            },
            Sample {
                tokens: vec![8, 9],
                prompt_len: 0,
                row: 2,
            },
        ];
        let batch = Batch::new(&samples, 1);
        assert_eq!((batch.rows, batch.len), (2, 3));
        assert_eq!(batch.tokens, [5, 6, 7, 8, 9, 1]);
        assert_eq!(batch.loss_mask, [false, false, true, false, true, false]);
        assert_eq!(batch.row_ids, [4, 2]);
        assert_eq!(batch.trained_tokens(), 2);
    }

    #[test]
    fn an_empty_batch_has_no_rows() {
        assert!(Batch::new(&[], 0).tokens.is_empty());
        assert_eq!(evaluation_batches(&[], 0, 0).count(), 0);
    }

    proptest! {
        #[test]
        fn the_mask_is_the_samples_and_padding_is_never_trained(samples in any_samples(6)) {
            let batch = Batch::new(&samples, 0);
            prop_assert_eq!(batch.tokens.len(), batch.rows * batch.len);
            for (row, sample) in samples.iter().enumerate() {
                for position in 0..batch.len {
                    let at = row * batch.len + position;
                    let token = sample.tokens.get(position);
                    prop_assert_eq!(batch.tokens[at], token.copied().unwrap_or(0));
                    let trained = token.is_some() && position > 0 && position >= sample.prompt_len;
                    prop_assert_eq!(batch.loss_mask[at], trained);
                }
            }
            let trained: usize = samples.iter().map(|s| s.trained().len()).sum();
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
