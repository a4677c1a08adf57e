//! Work on a model that is loaded for it.

use crate::error::CommandError;
use bone::saved::Scan;
use bone_train::device::{self, DeviceName, OnDevice};
use bone_train::models::adapter::put_on;
use bone_train::models::{ModelBackend, OpenModel, WithModel, with_model};
use bone_train::step::{TrainBackend, TrainModel};
use burn::tensor::FloatDType;
use std::path::PathBuf;

/// What is done with a model.
pub(crate) trait Work {
    /// What comes of it.
    type Output;

    /// Does it.
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

/// A model, and how it is loaded.
pub(crate) struct Load {
    pub(crate) model: OpenModel,
    /// The adapter that goes on it.
    pub(crate) adapter: Option<(Scan, PathBuf)>,
    /// What the weights are converted to; `None` for what the files hold.
    pub(crate) dtype: Option<FloatDType>,
    pub(crate) device: DeviceName,
    pub(crate) fusion: bool,
}

impl Load {
    /// Loads the model, puts the adapter on it, and lets `work` use it.
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
