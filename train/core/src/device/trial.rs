//! A training step of a tiny model on a device, for comparison with another device.

use super::{DeviceError, DeviceName, OnDevice, on_device};
use crate::models::{Architecture, ModelBackend, TINY_VOCAB, WithModel, with_tiny};
use crate::step::Gradients;
use crate::step::{Savings, TrainBackend, TrainModel, backward};
use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_data::Batch;
use burn::tensor::{DType, Tensor};
use std::collections::BTreeMap;
use std::time::Instant;

/// Result of the step.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Summed loss.
    pub loss: f64,
    /// Every adapter's gradient, by path.
    pub gradients: BTreeMap<String, Vec<f64>>,
    /// Tokens per second, without the first step.
    pub tokens_per_second: f64,
}

const ROWS: usize = 2;
const LEN: usize = 17;
/// Number of timed steps, after one that compiles and tunes kernels.
const STEPS: usize = 3;

impl Trial {
    /// Runs the step: bone on the architecture's own axis, with block recompute and chunked head.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn of(
        architecture: Architecture,
        device: DeviceName,
        fusion: bool,
        dtype: DType,
    ) -> Result<Self, DeviceError> {
        let work = Work {
            architecture,
            dtype,
        };
        on_device(device, fusion, work)
    }

    /// Returns pairs of gradients from this step and `other`; `None` if one is missing or has another
    /// length.
    fn beside<'a>(&'a self, other: &'a Self) -> Option<Vec<(&'a [f64], &'a [f64])>> {
        let pair = |(path, expected): (&String, &'a Vec<f64>)| {
            let found = self.gradients.get(path)?;
            (found.len() == expected.len()).then_some((&found[..], &expected[..]))
        };
        other.gradients.iter().map(pair).collect()
    }

    /// Returns the largest relative difference from `other`. It is relative to the loss for the loss, and
    /// to the tensor's largest entry for a gradient. NaN if any value is NaN.
    pub fn difference(&self, other: &Self) -> f64 {
        let Some(pairs) = self.beside(other) else {
            return f64::NAN;
        };
        let mut worst = (self.loss - other.loss).abs() / other.loss.abs();
        for (found, expected) in pairs {
            let largest = expected.iter().fold(1e-12f64, |max, x| max.max(x.abs()));
            for (a, e) in found.iter().zip(expected) {
                let off = (a - e).abs() / largest;
                // `max` would ignore a NaN.
                worst = if off > worst || off.is_nan() {
                    off
                } else {
                    worst
                };
            }
        }
        worst
    }

    /// Returns the relative distance of all gradients from `other`'s, `‖g − g'‖ / ‖g'‖`, or the relative
    /// difference of the loss if that is larger. Rounding hardly turns a gradient, but a fault does. Single
    /// entries are too coarse in half precision to show this. NaN if any value is NaN.
    pub fn distance(&self, other: &Self) -> f64 {
        let Some(pairs) = self.beside(other) else {
            return f64::NAN;
        };
        let (mut off, mut norm) = (0.0, 0.0);
        for (a, e) in pairs.into_iter().flat_map(|(a, e)| a.iter().zip(e)) {
            off += (a - e).powi(2);
            norm += e.powi(2);
        }
        let loss = ((self.loss - other.loss) / other.loss).abs();
        let off = (off / norm).sqrt();
        // `max` would ignore a NaN.
        match off.is_nan() || loss.is_nan() {
            true => f64::NAN,
            false => off.max(loss),
        }
    }
}

struct Work {
    architecture: Architecture,
    dtype: DType,
}

impl OnDevice for Work {
    type Output = Trial;

    fn run<B: ModelBackend>(self, device: B::Device) -> Trial {
        let step = Step::<B> {
            axis: self.architecture.block_axis(),
            device: device.clone(),
        };
        with_tiny::<B, _>(self.architecture, self.dtype, &device, step)
    }
}

struct Step<B: TrainBackend> {
    axis: BlockAxis,
    device: B::Device,
}

impl<B: TrainBackend> WithModel<B> for Step<B> {
    type Output = Trial;

    fn run<M: TrainModel<B>>(self, model: M) -> Trial {
        let targets = Targets::new(Selection::AllLinear);
        let adapter = AdapterConfig::new(Variant::Bone(self.axis), 8, targets);
        let Ok(model) = bone::attach::<B, M>(model, &adapter) else {
            unreachable!("8 divides every layer of a tiny model")
        };
        let model = bone::freeze_base::<B, M>(model);
        let batch = Batch::full(ROWS, LEN, |i| (i * 7 % TINY_VOCAB) as u32);
        let savings = Savings {
            recompute: true,
            head_chunk: Some(24),
        };
        let step = || {
            let mut grads = Gradients::default();
            let how = (savings, None);
            let sum = backward(&model, &batch, 1.0, how, (0, 0), &self.device, &mut grads);
            let loss: f64 = sum.into_data().iter::<f64>().sum();
            (loss, grads)
        };
        let (loss, grads) = step();
        let gradients = grads
            .by_path::<B, M>(&model)
            .into_iter()
            .filter_map(|(path, gradient)| Some((path, gradient?)))
            .collect();
        let started = Instant::now();
        for _ in 0..STEPS {
            let (_, grads) = step();
            // The optimizer reads this value too. Without it the last backward may still be running.
            grads.squared_norm::<B, M>(&model).map(Tensor::into_data);
        }
        Trial {
            loss,
            gradients,
            tokens_per_second: (STEPS * ROWS * LEN) as f64 / started.elapsed().as_secs_f64(),
        }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::device::Kind;

    #[test]
    fn trial_step_detects_wrong_gradients() {
        let cpu = DeviceName {
            kind: Kind::Cpu,
            index: 0,
        };
        for architecture in [Architecture::Llama2, Architecture::Rwkv6] {
            let of = |dtype| Trial::of(architecture, cpu, true, dtype).expect("works");
            let (single, double) = (of(DType::F32), of(DType::F64));
            assert!(double.gradients.len() >= 14);
            for (path, gradient) in &double.gradients {
                assert!(
                    gradient.iter().any(|g| g.abs() > 1e-6),
                    "{path} gets no gradient"
                );
            }
            assert!(single.difference(&double) < 1e-4, "{architecture:?}");
            for (half, bound) in [(DType::F16, 2e-2), (DType::BF16, 2e-1)] {
                let half = of(half);
                let (distance, difference) = (half.distance(&double), half.difference(&double));
                println!("{architecture:?}: {distance:.1e}, {difference:.1e}");
                assert!(
                    distance > 1e-5 && distance < bound,
                    "{architecture:?} {distance}"
                );
            }
            let mut wrong = single.clone();
            let gradient = wrong.gradients.values_mut().next_back().expect("some");
            gradient[0] = f64::NAN;
            assert!(wrong.difference(&double).is_nan());
            wrong.gradients.pop_last();
            assert!(wrong.difference(&double).is_nan());
            let mut short = single.clone();
            let gradient = short.gradients.values_mut().next_back().expect("some");
            gradient.pop();
            assert!(short.difference(&double).is_nan() && short.distance(&double).is_nan());
        }
    }
}
