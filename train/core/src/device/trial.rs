//! A training step of a tiny model on a device, to compare with another's.

use super::{DeviceError, DeviceName, OnDevice, on_device};
use crate::models::{Architecture, ModelBackend, TINY_VOCAB, WithModel, with_tiny};
use crate::step::Gradients;
use crate::step::{Savings, TrainBackend, TrainModel, backward};
use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_data::Batch;
use burn::tensor::{DType, Tensor};
use std::collections::BTreeMap;
use std::time::Instant;

/// What a step gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Summed loss.
    pub loss: f64,
    /// Every adapter's gradient, by path.
    pub gradients: BTreeMap<String, Vec<f64>>,
    /// Tokens a second of the steps after the first.
    pub tokens_per_second: f64,
}

const ROWS: usize = 2;
const LEN: usize = 17;
/// Steps that are timed, after one in which kernels are compiled and tuned.
const STEPS: usize = 3;

impl Trial {
    /// Makes it: bone on the architecture's own axis, block recompute and chunked head on.
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

    /// Distance of all gradients from `other`'s, `‖g − g'‖ / ‖g'‖`, and of the loss in parts of it:
    /// rounding hardly turns a gradient, a fault does. Not a number where something is not, or where a
    /// gradient is missing or of another length.
    pub fn distance(&self, other: &Self) -> f64 {
        let (mut off, mut norm) = (0.0, 0.0);
        for (path, expected) in &other.gradients {
            let found = self.gradients.get(path);
            let Some(found) = found.filter(|found| found.len() == expected.len()) else {
                return f64::NAN;
            };
            for (a, e) in found.iter().zip(expected) {
                off += (a - e).powi(2);
                norm += e.powi(2);
            }
        }
        (off / norm.max(f64::MIN_POSITIVE)).sqrt() + ((self.loss - other.loss) / other.loss).abs()
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
        let batch = Batch {
            rows: ROWS,
            len: LEN,
            tokens: (0..ROWS * LEN)
                .map(|i| (i * 7 % TINY_VOCAB) as u32)
                .collect(),
            loss_mask: (0..ROWS * LEN).map(|i| i % LEN > 0).collect(),
            row_ids: (0..ROWS as u64).collect(),
            samples: (0..ROWS as u64).collect(),
            starts: Vec::new(),
        };
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
            // What the optimizer reads: without it the last backward may still be under way.
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
    fn a_step_in_single_is_that_in_double_and_a_wrong_one_is_seen() {
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
                    "{path} learns nothing"
                );
            }
            assert!(single.distance(&double) < 1e-4, "{architecture:?}");
            for (half, bound) in [(DType::F16, 2e-2), (DType::BF16, 2e-1)] {
                let half = of(half);
                let distance = half.distance(&double);
                println!("{architecture:?}: {distance:.1e}");
                assert!(
                    distance > 1e-5 && distance < bound,
                    "{architecture:?} {distance}"
                );
            }
            let mut wrong = single.clone();
            let gradient = wrong.gradients.values_mut().next_back().expect("some");
            gradient[0] = f64::NAN;
            assert!(wrong.distance(&double).is_nan());
            wrong.gradients.pop_last();
            assert!(wrong.distance(&double).is_nan());
            let mut short = single.clone();
            let gradient = short.gradients.values_mut().next_back().expect("some");
            gradient.pop();
            assert!(short.distance(&double).is_nan());
        }
    }
}
