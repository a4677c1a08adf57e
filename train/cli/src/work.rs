//! Work on a model that is loaded for it.

use crate::error::CommandError;
use bone_train::device::{self, DeviceName, OnDevice};
use bone_train::models::{ModelBackend, OpenModel, WithModel, with_model};
use bone_train::step::{TrainBackend, TrainModel};
use burn::tensor::FloatDType;

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
    /// What the weights are converted to; `None` for what the files hold.
    pub(crate) dtype: Option<FloatDType>,
    pub(crate) device: DeviceName,
    pub(crate) fusion: bool,
}

impl Load {
    /// Loads the model and lets `work` use it.
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
        let Load { model, dtype, .. } = self.load;
        let loaded = Loaded::<B, W> {
            work: self.work,
            device: device.clone(),
        };
        with_model::<B, _>(model, dtype, &device, loaded)?
    }
}

struct Loaded<B: TrainBackend, W> {
    work: W,
    device: B::Device,
}

impl<B: TrainBackend, W: Work> WithModel<B> for Loaded<B, W> {
    type Output = Result<W::Output, CommandError>;

    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output {
        self.work.run::<B, M>(model, &self.device)
    }
}
