//! The steps of one epoch.

use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{BatchConfig, Pool};
use crate::sample::Samples;

/// Minimum number of windows in an epoch with enough steps. In a single window, sorting by length would
/// group the same rows in every epoch.
const LEAST_WINDOWS: usize = 4;

/// Number of samples that are packed together. A larger number fills rows better, but the time grows
/// quadratically.
const PACKED_AT_ONCE: usize = 2048;

/// The steps of one epoch: ranges of rows. Rows are ranges of `order`, which holds sample numbers.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) epoch: u64,
    order: Vec<u32>,
    rows: Vec<Range<u32>>,
    steps: Vec<Range<u32>>,
}

impl Plan {
    pub(super) fn new(
        samples: &Samples,
        pools: &[Pool],
        step_rows: usize,
        config: BatchConfig,
        epoch: u64,
    ) -> Self {
        let mut rng = generator(config.seed, epoch);
        let mut order = Vec::new();
        for (number, pool) in pools.iter().enumerate() {
            pool.take(config.seed, number as u64, epoch, &mut order);
        }
        order.shuffle(&mut rng);
        let (rows, steps) = if let Some(most) = config.packing {
            let mut rows = Vec::new();
            let mut packed = Vec::with_capacity(order.len());
            for window in order.chunks(PACKED_AT_ONCE) {
                for row in pack(window, |number| samples.tokens_of(number), most) {
                    let start = packed.len() as u32;
                    packed.extend(row);
                    rows.push(start..packed.len() as u32);
                }
            }
            order = packed;
            // Packing returns the fullest rows of a window first.
            rows.shuffle(&mut rng);
            let steps = steps(rows.len(), step_rows).collect();
            (rows, steps)
        } else {
            let steps = by_length(&mut order, samples, step_rows, config.window, &mut rng);
            let rows = (0..order.len() as u32).map(|at| at..at + 1);
            (rows.collect(), steps)
        };
        Self {
            epoch,
            order,
            rows,
            steps,
        }
    }

    pub(super) fn steps(&self) -> usize {
        self.steps.len()
    }

    /// Returns the samples, in order.
    pub(super) fn samples(&self) -> &[u32] {
        &self.order
    }

    pub(super) fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Returns the rows of a step, each as its sample numbers.
    pub(super) fn step(&self, step: usize) -> Vec<&[u32]> {
        let rows = &self.rows[range(&self.steps[step])];
        rows.iter().map(|row| &self.order[range(row)]).collect()
    }
}

fn range(range: &Range<u32>) -> Range<usize> {
    range.start as usize..range.end as usize
}

impl Pool {
    /// Returns the number of samples that an epoch uses.
    fn count(&self) -> usize {
        (self.samples.len() as f64 * self.weight).round() as usize
    }

    /// Appends the samples of `epoch` to `order`. Every sample comes as often as the weight's integer part.
    /// For the fraction, it appends the next samples of a fixed shuffled order, from where the last epoch
    /// ended.
    fn take(&self, seed: u64, number: u64, epoch: u64, order: &mut Vec<u32>) {
        let all = self.samples.len();
        if all == 0 {
            return;
        }
        let (whole, rest) = (self.count() / all, self.count() % all);
        for _ in 0..whole {
            order.extend(&self.samples);
        }
        if rest == 0 {
            return;
        }
        let mut mixed = self.samples.clone();
        mixed.shuffle(&mut generator(seed ^ number.rotate_left(32), u64::MAX));
        // 128 bits never overflow, whatever the epoch.
        let start = (u128::from(epoch) * rest as u128 % all as u128) as usize;
        order.extend(mixed.iter().cycle().skip(start).take(rest));
    }
}

/// Sorts `order` by length within windows of steps, and returns the steps in shuffled order.
fn by_length(
    order: &mut [u32],
    samples: &Samples,
    step_rows: usize,
    window: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<Range<u32>> {
    let whole_steps = order.len() / step_rows;
    let window = window.min(whole_steps / LEAST_WINDOWS).max(1);
    let mut all = Vec::with_capacity(order.len().div_ceil(step_rows));
    let mut start = 0;
    for rows in order.chunks_mut(window.saturating_mul(step_rows)) {
        rows.sort_by_key(|number| samples.tokens_of(*number));
        let first = all.len();
        let of_window = steps(rows.len(), step_rows);
        all.extend(of_window.map(|step| start + step.start..start + step.end));
        start += rows.len() as u32;
        all[first..].shuffle(rng);
    }
    all
}

/// Returns ranges of `step_rows` rows that cover `rows`; the last may be shorter.
fn steps(rows: usize, step_rows: usize) -> impl Iterator<Item = Range<u32>> {
    (0..rows)
        .step_by(step_rows)
        .map(move |start| start as u32..rows.min(start.saturating_add(step_rows)) as u32)
}

/// Packs samples into rows of at most `most` tokens, with one token between two samples. The longest come
/// first, each into the first row with enough space (first-fit decreasing). A sample longer than `most` has
/// a separate row.
fn pack(samples: &[u32], len: impl Fn(u32) -> usize, most: usize) -> Vec<Vec<u32>> {
    let mut longest_first = samples.to_vec();
    longest_first.sort_by_key(|number| std::cmp::Reverse(len(*number)));
    let mut rows: Vec<(usize, Vec<u32>)> = Vec::new();
    for number in longest_first {
        let len = len(number);
        match rows.iter_mut().find(|(left, _)| *left > len) {
            Some((left, row)) => {
                *left -= len + 1;
                row.push(number);
            }
            None => rows.push((most.saturating_sub(len), vec![number])),
        }
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Returns the generator of an epoch. A separate one per epoch lets a run start in any epoch.
fn generator(seed: u64, epoch: u64) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&epoch.to_le_bytes());
    key[16..].copy_from_slice(b"order of batches");
    ChaCha8Rng::from_seed(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::packed_len;
    use proptest::prelude::*;

    #[test]
    fn samples_fill_rows_first_fit() {
        let lengths = [5, 9, 3, 2, 4, 1, 12];
        let rows = pack(&[0, 1, 2, 3, 4, 5, 6], |n| lengths[n as usize], 10);
        // Rows: 12 alone; 9; 5 + gap + 4; 3 + gap + 2 + gap + 1.
        assert_eq!(rows, [vec![6], vec![1], vec![0, 4], vec![2, 3, 5]]);
    }

    #[test]
    fn weight_sets_sample_repetitions() {
        let pool = |weight| Pool {
            samples: (0..10).collect(),
            weight,
        };
        let taken = |pool: &Pool, epoch| {
            let mut order = Vec::new();
            pool.take(7, 1, epoch, &mut order);
            order
        };
        assert_eq!(taken(&pool(1.0), 0), (0..10).collect::<Vec<_>>());
        assert_eq!(taken(&pool(2.0), 5).len(), 20);
        assert!(taken(&pool(0.0), 0).is_empty());
        // Two epochs of weight 0.5 use every sample; weight 2.5 uses 25 of 10 samples.
        let mut halves = [taken(&pool(0.5), 0), taken(&pool(0.5), 1)].concat();
        halves.sort_unstable();
        assert_eq!(halves, (0..10).collect::<Vec<_>>());
        assert_eq!(taken(&pool(2.5), 3).len(), 25);
        assert_eq!(taken(&pool(0.3), u64::MAX).len(), 3);
    }

    proptest! {
        #[test]
        fn packing_keeps_every_sample_and_overfills_no_row(
            lengths in prop::collection::vec(1..30_usize, 1..80),
            most in 1..64_usize,
        ) {
            let all: Vec<u32> = (0..lengths.len() as u32).collect();
            let len = |number: u32| lengths[number as usize];
            let rows = pack(&all, len, most);
            let mut packed = rows.concat();
            packed.sort_unstable();
            prop_assert_eq!(packed, all);
            for row in &rows {
                let fits = packed_len(row.iter().map(|n| len(*n))) <= most;
                prop_assert!(fits || row.len() == 1);
            }
            // First fit leaves no two rows that fit into one.
            for (a, b) in rows.iter().zip(rows.iter().skip(1)) {
                prop_assert!(packed_len(a.iter().chain(b).map(|n| len(*n))) > most);
            }
        }
    }
}
