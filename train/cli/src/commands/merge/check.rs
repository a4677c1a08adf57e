//! The proof of a merge: both models say the same.

use super::agreement::{Agreement, logits, rounding_noise};
use crate::error::CommandError;
use crate::work::{Load, Work};
use bone::saved::Scan;
use bone_train::device::{Capabilities, DeviceName};
use bone_train::models::adapter::put_on;
use bone_train::models::open;
use bone_train::step::{TrainBackend, TrainModel};
use burn::tensor::{DType, FloatDType, TensorData};
use std::collections::BTreeSet;
use std::path::Path;

/// Compares the model at `with`, adapters on it in order, with the one at `without`. `base` and
/// `stored` are what most of the base's and of the merged model's weights are stored in. Returns how
/// far they lie apart, and whether that is as good as it can be.
pub(super) fn check(
    (with, adapters): (&Path, Vec<(&Path, Scan)>),
    without: &Path,
    base: DType,
    stored: DType,
    device: DeviceName,
) -> Result<(Agreement, bool), CommandError> {
    let held = Capabilities::of(device)?.stored;
    // A device that does not hold a precision computes with the same numbers in f32.
    let single = |dtype: DType| (!held.contains(&dtype)).then_some(FloatDType::F32);
    // The sum is rounded once, to what is written.
    let exact = stored != base || adapters.len() > 1;
    let logits = |path, dtype, adapters| {
        let load = Load {
            model: open(path)?,
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
    /// The logits, and how far rounding what the adapters change moves them on average.
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
                // A layer carries one adapter at a time.
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
