//! Dropout whose masks are a function of (seed, step, row, layer, position).
//!
//! A repeated forward draws the same mask: block recompute, a resumed run, another split of the
//! same rows into micro-batches. This holds inside [`scope`], on any backend. Outside it a layer
//! falls back to burn's own [`Dropout`](burn::nn::Dropout), which draws from the backend's
//! generator and only under autodiff.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone::dropout::{Draw, scope};
//! use bone::{AdapterConfig, BoneLinear, BoneLinearConfig, Selection, Targets, Variant};
//! use burn::backend::Flex;
//! use burn::tensor::Tensor;
//!
//! let device = Default::default();
//! let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
//! let layer: BoneLinear<Flex> = BoneLinearConfig::new(6, 4).init(&device);
//! let layer = layer.attach(&config.with_dropout(0.5), "layer")?;
//!
//! // Both forwards draw the same masks for the two rows.
//! let x = Tensor::<Flex, 2>::ones([2, 6], &device);
//! let draw = Draw { seed: 0, step: 1, rows: vec![0, 1] };
//! let forward = || scope(draw.clone(), || layer.forward(x.clone()).into_data());
//! assert_eq!(forward(), forward());
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use burn::nn::DropoutConfig;
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::cell::RefCell;

/// The inputs of one forward's masks, besides the layer and the position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// The optimizer step.
    pub step: u64,
    /// One number per batch row, independent of the row's place; or one per token, for layers that
    /// see tokens picked out of their rows.
    pub rows: Vec<u64>,
}

thread_local! {
    static DRAW: RefCell<Option<Draw>> = const { RefCell::new(None) };
}

struct Restore(Option<Draw>);

impl Drop for Restore {
    fn drop(&mut self) {
        DRAW.with(|slot| slot.replace(self.0.take()));
    }
}

/// Runs `forward` with masks drawn from `draw`.
///
/// See the [example](crate::dropout).
pub fn scope<T>(draw: Draw, forward: impl FnOnce() -> T) -> T {
    let _restore = Restore(DRAW.with(|slot| slot.replace(Some(draw))));
    forward()
}

/// Returns a stable number for a layer's path (FNV-1a).
pub(crate) fn layer_salt(path: &str) -> u64 {
    path.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Returns the factors, `0` or `1/(1−p)`, by which dropout with probability `p` multiplies `x`
/// `[batch·t, d]`; `None` without dropout.
///
/// # Panics
///
/// Inside a [`scope`] whose number of rows is neither `batch` nor `batch·t`.
pub(crate) fn mask<B: Backend>(
    x: &Tensor<B, 2>,
    batch: usize,
    p: f64,
    layer: u64,
) -> Option<Tensor<B, 2>> {
    if p == 0.0 {
        return None;
    }
    let Some(draw) = DRAW.with(|slot| slot.borrow().clone()) else {
        let trains = B::ad_enabled(&x.device());
        return trains.then(|| DropoutConfig::new(p).init().forward(x.ones_like()));
    };
    let [n, d] = x.dims();
    let rows = draw.rows.len();
    assert!(
        rows == batch || rows == n,
        "dropout::scope was given {rows} rows, the batch has {batch} of {n} tokens in all"
    );
    let mask = draw_mask(&draw, p, layer, n / rows.max(1) * d);
    let mask = TensorData::new(mask, [n, d]);
    Some(Tensor::from_data(mask, (&x.device(), x.dtype())))
}

/// Draws `0` or `1/(1−p)` for every row's `len` entries. A longer row starts with the entries of a
/// shorter one, so padding does not change a mask.
fn draw_mask(draw: &Draw, p: f64, layer: u64, len: usize) -> Vec<f32> {
    let threshold = (p * 65536.0).round() as u32;
    let keep = (1.0 / (1.0 - p)) as f32;
    let mut bytes = vec![0; len * 2];
    let mut mask = Vec::with_capacity(len * draw.rows.len());
    for row in &draw.rows {
        let mut seed = [0; 32];
        for (part, value) in seed
            .chunks_exact_mut(8)
            .zip([draw.seed, draw.step, *row, layer])
        {
            part.copy_from_slice(&value.to_le_bytes());
        }
        ChaCha8Rng::from_seed(seed).fill_bytes(&mut bytes);
        mask.extend(bytes.chunks_exact(2).map(|pair| {
            if u32::from(u16::from_le_bytes([pair[0], pair[1]])) < threshold {
                0.0
            } else {
                keep
            }
        }));
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(rows: &[u64]) -> Draw {
        Draw {
            seed: 7,
            step: 3,
            rows: rows.to_vec(),
        }
    }

    #[test]
    fn dropout_mask_of_row_ignores_batch_and_length() {
        let both = draw_mask(&draw(&[4, 9]), 0.3, 11, 40);
        let alone = draw_mask(&draw(&[9]), 0.3, 11, 24);
        assert_eq!(both[40..64], alone[..]);
        assert_ne!(both[..24], alone[..]);
        assert_ne!(draw_mask(&draw(&[9]), 0.3, 12, 24), alone);
    }

    #[test]
    fn dropout_mask_drops_share_p_and_keeps_mean() {
        let mask = draw_mask(&draw(&[1]), 0.25, 0, 100_000);
        let zeros = mask.iter().filter(|m| **m == 0.0).count() as f64 / 1e5;
        let mean = mask.iter().map(|m| f64::from(*m)).sum::<f64>() / 1e5;
        assert!((zeros - 0.25).abs() < 0.01, "{zeros}");
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
    }
}
