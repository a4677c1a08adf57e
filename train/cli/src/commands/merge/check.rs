//! The proof of a merge: both models say the same.

use super::agreement::{self, Agreement, Logits};
use crate::error::CommandError;
use crate::work::{Load, Work};
use bone::saved::Scan;
use bone_train::device::{Capabilities, DeviceName};
use bone_train::models::adapter::put_on;
use bone_train::models::open;
use bone_train::step::{TrainBackend, TrainModel};
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

impl Check<'_> {
    /// Returns how far they lie apart on a device, and whether that is as good as it can be.
    pub(super) fn on(self, device: DeviceName) -> Result<(Agreement, bool), CommandError> {
        let held = Capabilities::of(device)?.stored;
        // A device that does not hold a precision computes with the same numbers in f32.
        let single = |dtype: DType| (!held.contains(&dtype)).then_some(FloatDType::F32);
        // The sum is rounded once, to what is written.
        let exact = self.stored != self.base || self.adapters.len() > 1;
        let load = |path: &Path, dtype| -> Result<Load, CommandError> {
            Ok(Load {
                model: open(path)?,
                adapter: None,
                dtype,
                device,
                fusion: true,
            })
        };
        let dtype = exact.then_some(FloatDType::F32).or(single(self.base));
        let stored = self.stored;
        let (adapted, noise) = load(self.with, dtype)?.with(Adapted {
            adapters: self.adapters,
            stored,
        })?;
        let plain = load(self.without, single(stored))?.with(Plain)?;
        let agreement = adapted.agreement(&plain);
        Ok((agreement, agreement.is_good(stored, || noise)))
    }
}

struct Adapted<'a> {
    adapters: Vec<(&'a Path, Scan)>,
    stored: DType,
}

impl Work for Adapted<'_> {
    /// The logits, and how far rounding alone moves them on average.
    type Output = (Logits, f64);

    fn run<B: TrainBackend, M: TrainModel<B>>(
        self,
        mut model: M,
        device: &B::Device,
    ) -> Result<Self::Output, CommandError> {
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
        let logits = agreement::logits(&model, device);
        let noise = match self.stored {
            DType::F16 | DType::BF16 => {
                agreement::rounding_noise(&model, &full, self.stored, device)
            }
            _ => 0.0,
        };
        Ok((logits, noise))
    }
}

struct Plain;

impl Work for Plain {
    type Output = Logits;

    fn run<B: TrainBackend, M: TrainModel<B>>(
        self,
        model: M,
        device: &B::Device,
    ) -> Result<Logits, CommandError> {
        Ok(agreement::logits(&model.valid(), device))
    }
}
