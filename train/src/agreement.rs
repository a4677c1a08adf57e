//! Whether two models say the same: the proof of a merge.

use bone_lm::{Backend, CausalLm, generate::token_tensor};
use burn::tensor::DType;
use std::fmt;

/// How far two models' logits lie apart on the same tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Largest |Δlogit|.
    pub max: f64,
    /// Mean |Δlogit|.
    pub mean: f64,
    /// Share of positions where both have the same most likely token.
    pub top1: f64,
    /// Positions compared.
    pub positions: usize,
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "max |Δlogit| {:.1e}, mean {:.1e}, same most likely token at {:.2} % of {} positions",
            self.max,
            self.mean,
            100.0 * self.top1,
            self.positions
        )
    }
}

/// Rows and tokens of the prompts that are compared.
const ROWS: usize = 4;
const LEN: usize = 32;

/// Compares two models on fixed prompts: token ids that cover the vocabulary.
pub fn compare<B: Backend, M: CausalLm<B>>(a: &M, b: &M, device: &B::Device) -> Agreement {
    let vocab = a.vocab_size();
    // Multiples of a number far from 1 visit ids from all over the vocabulary.
    let tokens: Vec<u32> = (0..ROWS * LEN)
        .map(|i| ((i as u64 * 2_654_435_761) % vocab as u64) as u32)
        .collect();
    let logits = |model: &M| -> Vec<f32> {
        let logits = model.forward(token_tensor(&tokens, ROWS, LEN, device));
        let data = logits.into_data().convert_dtype(DType::F32);
        data.iter::<f32>().collect()
    };
    let (a, b) = (logits(a), logits(b));
    let mut max = 0f64;
    let mut sum = 0f64;
    for (a, b) in a.iter().zip(&b) {
        let off = f64::from((a - b).abs());
        // NaN must not pass for agreement.
        max = if off.is_nan() { f64::NAN } else { max.max(off) };
        sum += off;
    }
    let best = |row: &[f32]| {
        (0..row.len())
            .max_by(|x, y| row[*x].total_cmp(&row[*y]))
            .unwrap_or(0)
    };
    let same = a
        .chunks_exact(vocab)
        .zip(b.chunks_exact(vocab))
        .filter(|(a, b)| best(a) == best(b))
        .count();
    Agreement {
        max,
        mean: sum / a.len() as f64,
        top1: same as f64 / (ROWS * LEN) as f64,
        positions: ROWS * LEN,
    }
}

/// Largest |Δlogit| of a merge in f32.
pub const F32_TOLERANCE: f64 = 1e-3;
/// Smallest share of equal most likely tokens of a merge in half precision.
pub const HALF_TOP1: f64 = 0.97;
/// Largest mean |Δlogit| of a merge in half precision, in units of what rounding alone causes.
pub const HALF_MEAN_FACTOR: f64 = 3.0;
