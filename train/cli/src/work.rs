//! Work on a model that is loaded for it.

use crate::error::CommandError;
use bone::saved::Scan;
use bone_train::device::{self, DeviceName, OnDevice};
use bone_train::models::adapter::put_on;
use bone_train::models::{ModelBackend, OpenModel, WithModel, with_model};
use bone_train::step::{TrainBackend, TrainModel};
use burn::tensor::FloatDType;
use std::path::PathBuf;

/// Work with a model.
pub(crate) trait Work {
    /// Its result.
    type Output;

    /// Does the work.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    fn run<B: TrainBackend, M: TrainModel<B>>(
        self,
        model: M,
        device: &B::Device,
    ) -> Result<Self::Output, CommandError>;
}

/// A model and its loading options.
pub(crate) struct Load {
    pub(crate) model: OpenModel,
    /// The adapter to apply.
    pub(crate) adapter: Option<(Scan, PathBuf)>,
    /// The type to convert weights to; `None` keeps the files' type.
    pub(crate) dtype: Option<FloatDType>,
    pub(crate) device: DeviceName,
    pub(crate) fusion: bool,
}

impl Load {
    /// Loads the model, applies the adapter, and runs `work`.
    ///
    /// # Errors
    ///
    /// [`CommandError`].
    pub(crate) fn with<W: Work>(self, work: W) -> Result<W::Output, CommandError> {
        device::on_device(self.device, self.fusion, Loading { load: self, work })?
    }
}

struct Loading<W> {
    load: Load,
    work: W,
}

impl<W: Work> OnDevice for Loading<W> {
    type Output = Result<W::Output, CommandError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        let loaded = Loaded::<B, W> {
            adapter: self.load.adapter,
            work: self.work,
            device: device.clone(),
        };
        with_model::<B, _>(self.load.model, self.load.dtype, &device, loaded)?
    }
}

struct Loaded<B: TrainBackend, W> {
    adapter: Option<(Scan, PathBuf)>,
    work: W,
    device: B::Device,
}

impl<B: TrainBackend, W: Work> WithModel<B> for Loaded<B, W> {
    type Output = Result<W::Output, CommandError>;

    fn run<M: TrainModel<B>>(self, mut model: M) -> Self::Output {
        if let Some((scan, path)) = self.adapter {
            model = put_on::<B, M>(model, scan, &path)?.0;
        }
        self.work.run::<B, M>(model, &self.device)
    }
}
