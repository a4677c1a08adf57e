//! The proof of a merge: both models say the same.

use super::agreement::{self, Agreement, Logits};
use crate::error::CommandError;
use bone::saved::Scan;
use bone_train::device::OnDevice;
use bone_train::models::adapter::put_on;
use bone_train::models::{ModelBackend, WithModel, open, with_model};
use bone_train::step::{TrainBackend, TrainModel};
use burn::tensor::backend::DTypeUsage;
use burn::tensor::{DType, FloatDType};
use std::collections::BTreeSet;
use std::path::Path;

/// Two models that should say the same, one of them with adapters.
pub(super) struct Check<'a> {
    pub(super) with: &'a Path,
    /// The adapters that go on it, in order.
    pub(super) adapters: Vec<(&'a Path, Scan)>,
    pub(super) without: &'a Path,
    /// What most of the base's weights are stored in.
    pub(super) base: DType,
    /// What most of the merged model's are.
    pub(super) stored: DType,
}

impl OnDevice for Check<'_> {
    /// How far they lie apart, and whether that is as good as it can be.
    type Output = Result<(Agreement, bool), CommandError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        // The sum is rounded once, to what is written.
        let exact = self.stored != self.base || self.adapters.len() > 1;
        // A device that does not hold a precision computes with the same numbers in f32.
        let single = |dtype: DType| {
            let usage = B::dtype_usage(&device, dtype);
            let held = usage.contains(DTypeUsage::Storage);
            (!held).then_some(FloatDType::F32)
        };
        let dtype = exact.then_some(FloatDType::F32).or(single(self.base));
        let stored = self.stored;
        let adapted = Adapted::<B> {
            adapters: self.adapters,
            stored,
            device: device.clone(),
        };
        let (adapted, noise) = with_model::<B, _>(open(self.with)?, dtype, &device, adapted)??;
        let plain = Plain::<B>(device.clone());
        let without = open(self.without)?;
        let plain = with_model::<B, _>(without, single(stored), &device, plain)?;
        let agreement = adapted.agreement(&plain);
        Ok((agreement, agreement.is_good(stored, || noise)))
    }
}

struct Adapted<'a, B: TrainBackend> {
    adapters: Vec<(&'a Path, Scan)>,
    stored: DType,
    device: B::Device,
}

impl<B: TrainBackend> WithModel<B> for Adapted<'_, B> {
    /// The logits, and how far rounding alone moves them on average.
    type Output = Result<(Logits, f64), CommandError>;

    fn run<M: TrainModel<B>>(self, mut model: M) -> Self::Output {
        let mut full = BTreeSet::new();
        let last = self.adapters.len().saturating_sub(1);
        for (index, (path, scan)) in self.adapters.into_iter().enumerate() {
            let (adapted, contents) = put_on::<B, M>(model, scan, path)?;
            full.extend(contents.full);
            model = match contents.adapter {
                // A layer carries one adapter at a time.
                Some(_) if index < last => bone::detach(bone::merge::<B, M>(adapted)?),
                _ => adapted,
            };
        }
        let model = model.valid();
        let logits = agreement::logits(&model, &self.device);
        let noise = match self.stored {
            DType::F16 | DType::BF16 => {
                agreement::rounding_noise(&model, &full, self.stored, &self.device)
            }
            _ => 0.0,
        };
        Ok((logits, noise))
    }
}

struct Plain<B: TrainBackend>(B::Device);

impl<B: TrainBackend> WithModel<B> for Plain<B> {
    type Output = Logits;

    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output {
        agreement::logits(&model.valid(), &self.0)
    }
}
