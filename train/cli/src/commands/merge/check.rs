//! The check of a merge: both models give the same output.

use crate::error::CommandError;
use crate::work::{Load, Work};
use bone::saved::Scan;
use bone::weights;
use bone_lm::{Backend, CausalLm, generate::token_tensor};
use bone_train::device::{Capabilities, DeviceName};
use bone_train::models::adapter::put_on;
use bone_train::models::open;
use bone_train::step::{TrainBackend, TrainModel};
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// Largest |Δlogit| of a merge in f32.
const F32_TOLERANCE: f64 = 1e-3;
/// Smallest fraction of equal most likely tokens for a merge in half precision.
const HALF_TOP1: f64 = 0.97;
/// Largest mean |Δlogit| of a merge in half precision, relative to the effect of rounding alone.
const HALF_MEAN_FACTOR: f64 = 3.0;

/// Rows and tokens of the prompts for the comparison.
const ROWS: usize = 4;
const LEN: usize = 32;

/// Difference between two models' logits on the same tokens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Agreement {
    /// Largest |Δlogit|.
    pub max: f64,
    /// Mean |Δlogit|.
    pub mean: f64,
    /// Fraction of positions where both have the same most likely token.
    pub top1: f64,
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "max |Δlogit| {:.1e}, mean {:.1e}, same most likely token at {:.2} % of {} positions",
            self.max,
            self.mean,
            100.0 * self.top1,
            ROWS * LEN
        )
    }
}

/// Compares the model at `with`, with its adapters applied in order, with the one at `without`. `base` and
/// `stored` are the types of most weights in the base and in the merged model. Returns the difference, and
/// whether it is within the tolerance.
pub(super) fn check(
    (with, adapters): (&Path, Vec<(&Path, Scan)>),
    without: &Path,
    base: DType,
    stored: DType,
    device: DeviceName,
) -> Result<(Agreement, bool), CommandError> {
    let held = Capabilities::of(device)?.stored;
    // A device without support for a precision computes with the same numbers in f32.
    let single = |dtype: DType| (!held.contains(&dtype)).then_some(FloatDType::F32);
    // The sum is rounded once, to the stored type.
    let exact = stored != base || adapters.len() > 1;
    let logits = |path, dtype, adapters| {
        let load = Load {
            model: open(path)?,
            adapter: None,
            dtype,
            device,
            fusion: true,
        };
        load.with(Logits { adapters, stored })
    };
    let dtype = exact.then_some(FloatDType::F32).or(single(base));
    let (adapted, noise) = logits(with, dtype, adapters)?;
    let (plain, _) = logits(without, single(stored), Vec::new())?;
    let agreement = Agreement::of(&adapted, &plain);
    Ok((agreement, agreement.is_good(stored, || noise)))
}

struct Logits<'a> {
    adapters: Vec<(&'a Path, Scan)>,
    stored: DType,
}

impl Work for Logits<'_> {
    /// The logits, and their mean change when the adapted weights are rounded.
    type Output = (TensorData, f64);

    fn run<B: TrainBackend, M: TrainModel<B>>(
        self,
        mut model: M,
        device: &B::Device,
    ) -> Result<Self::Output, CommandError> {
        let mut full = BTreeSet::new();
        let count = self.adapters.len();
        for (number, (path, scan)) in (1..).zip(self.adapters) {
            let (adapted, contents) = put_on::<B, M>(model, scan, path)?;
            full.extend(contents.full);
            model = match contents.adapter {
                // A layer can have only one adapter at a time.
                Some(_) if number < count => bone::detach(bone::merge::<B, M>(adapted)?),
                _ => adapted,
            };
        }
        let model = model.valid();
        let is_rounded = count > 0 && matches!(self.stored, DType::F16 | DType::BF16);
        let noise = if is_rounded {
            rounding_noise(&model, &full, self.stored, device)
        } else {
            0.0
        };
        Ok((logits(&model, device), noise))
    }
}

/// Returns the logits of `model`, `[rows, tokens, vocabulary]`, on fixed prompts with token ids from the
/// whole vocabulary.
fn logits<B: Backend, M: CausalLm<B>>(model: &M, device: &B::Device) -> TensorData {
    let vocab = model.vocab_size() as u64;
    // Multiples of a number far from 1 give ids from the whole vocabulary.
    let tokens: Vec<u32> = (0..(ROWS * LEN) as u64)
        .map(|i| ((i * 2_654_435_761) % vocab) as u32)
        .collect();
    let logits = model.forward(token_tensor(&tokens, ROWS, LEN, device));
    logits.into_data().convert_dtype(DType::F32)
}

impl Agreement {
    /// Returns the difference between the logits of two models with the same vocabulary.
    fn of(a: &TensorData, b: &TensorData) -> Self {
        let [a, b] = [a, b].map(|logits| Vec::from_iter(logits.iter::<f32>()));
        let offs = || a.iter().zip(&b).map(|(a, b)| f64::from((a - b).abs()));
        let mean = offs().sum::<f64>() / a.len() as f64;
        let best = |row: &[f32]| (0..row.len()).max_by(|x, y| row[*x].total_cmp(&row[*y]));
        let vocab = a.len() / (ROWS * LEN);
        let rows = a.chunks_exact(vocab).zip(b.chunks_exact(vocab));
        let same = rows.filter(|(a, b)| best(a) == best(b)).count();
        Self {
            // NaN must not count as agreement, and `f64::max` ignores it.
            max: if mean.is_nan() {
                mean
            } else {
                offs().fold(0.0, f64::max)
            },
            mean,
            top1: same as f64 / (ROWS * LEN) as f64,
        }
    }

    /// Returns whether a merge with weights stored as `stored` is within the tolerance. `noise` is the mean
    /// change of this model's logits from rounding alone. It is computed only for half precision.
    fn is_good(&self, stored: DType, noise: impl FnOnce() -> f64) -> bool {
        // Comparisons with NaN are false, so a broken model never passes.
        match stored {
            DType::F16 | DType::BF16 => {
                self.top1 >= HALF_TOP1 && self.mean <= HALF_MEAN_FACTOR * noise()
            }
            _ => self.max <= F32_TOLERANCE,
        }
    }
}

/// Returns half the distance from a number to the next one in half precision, the largest rounding error.
/// bf16 has 7 binary digits after the first, f16 has 10.
fn half_unit(value: f32, stored: DType) -> f32 {
    // Clearing sign and mantissa gives the power of two at or below the number.
    let power = f32::from_bits(value.to_bits() & 0x7f80_0000);
    match stored {
        DType::BF16 => power * 2f32.powi(-8),
        _ => power * 2f32.powi(-11),
    }
}

/// Returns the mean |Δlogit| from rounding the trained weights to `stored`. The weights of the adapted
/// layers and the parameters `full` are moved by up to half a unit in the last place, uniformly
/// distributed. Nothing else is moved.
fn rounding_noise<B: Backend, M: CausalLm<B>>(
    model: &M,
    full: &BTreeSet<String>,
    stored: DType,
    device: &B::Device,
) -> f64 {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut moved = move |data: TensorData| {
        let values: Vec<f32> = data
            .iter::<f32>()
            .map(|value| value + half_unit(value, stored) * rng.random_range(-1.0..1.0))
            .collect();
        TensorData::new(values, data.shape)
    };
    let mut values: BTreeMap<_, _> =
        weights::weights_where::<B, M>(model, |name| full.contains(name)).collect();
    for data in values.values_mut() {
        *data = moved(data.clone());
    }
    let moved = bone::map_linears::<B, M>(model.clone(), |_, mut layer| {
        if layer.adapter().is_some() {
            layer.weight = layer.weight.map(|weight| {
                let device = weight.device();
                let data = moved(weight.into_data());
                Tensor::from_data(data, (&device, DType::F32))
            });
        }
        layer
    });
    match weights::overlay::<B, M>(moved, values) {
        Ok(moved) => Agreement::of(&logits(model, device), &logits(&moved, device)).mean,
        // Non-finite values: no merge of them is good.
        Err(_) => f64::NAN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agreement(max: f64, mean: f64, top1: f64) -> Agreement {
        Agreement { max, mean, top1 }
    }

    #[test]
    fn f32_merge_is_checked_by_largest_difference() {
        let noise = || unreachable!("not looked at in f32");
        assert!(agreement(9e-4, 1e-5, 0.5).is_good(DType::F32, noise));
        assert!(!agreement(2e-3, 1e-5, 1.0).is_good(DType::F32, noise));
        assert!(!agreement(f64::NAN, 0.0, 1.0).is_good(DType::F32, noise));
    }

    #[test]
    fn rounding_noise_matches_half_precision_error() {
        for stored in [DType::BF16, DType::F16] {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let values: Vec<f32> = (0..20_000).map(|_| rng.random_range(-3.0..3.0)).collect();
            let data = TensorData::new(values.clone(), [values.len()]);
            let rounded = data.convert_dtype(stored).convert_dtype(DType::F32);
            let pairs = values.iter().zip(rounded.iter::<f32>());
            let (mut off, mut units) = (0.0, 0.0);
            for (value, rounded) in pairs {
                let unit = half_unit(*value, stored);
                assert!((value - rounded).abs() <= unit, "{value} {rounded}");
                off += f64::from((value - rounded).abs());
                units += f64::from(unit);
            }
            // The mean of a uniform distribution within a unit is half a unit.
            assert!((off / units - 0.5).abs() < 0.02, "{}", off / units);
        }
    }

    #[test]
    fn half_precision_merge_is_checked_against_noise() {
        assert!(agreement(0.5, 2.9e-2, 0.98).is_good(DType::BF16, || 1e-2));
        assert!(!agreement(0.5, 3.1e-2, 0.98).is_good(DType::BF16, || 1e-2));
        assert!(!agreement(0.5, 1e-2, 0.96).is_good(DType::BF16, || 1e-2));
        assert!(!agreement(0.5, f64::NAN, 1.0).is_good(DType::F16, || 1e-2));
    }
}
