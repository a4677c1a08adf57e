//! AdamW with clipping by the global norm.

use crate::gradients::Gradients;
use crate::step::{TrainBackend, TrainModel};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, AdamWConfig, Optimizer as _};
use burn::tensor::{DType, Tensor};

/// Settings of AdamW. Names and defaults are those of PyTorch, but for the decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSettings {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest global norm of the gradients; `None` leaves them as they are.
    pub max_grad_norm: Option<f64>,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: None,
        }
    }
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Mean loss of the trained tokens, before the update.
    pub loss: f64,
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
}

/// The loss or a gradient is not a finite number; the model was not changed.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "the loss is {loss} and the gradient norm {grad_norm}; lower the learning rate, or look for broken rows or damaged base weights"
)]
pub struct NonFinite {
    /// The loss.
    pub loss: f64,
    /// The norm.
    pub grad_norm: f64,
}

/// Burn's AdamW over whatever trains.
pub struct Optimizer<B: TrainBackend, M: TrainModel<B>> {
    adamw: OptimizerAdaptor<AdamW, M, B>,
    max_grad_norm: Option<f64>,
}

impl<B: TrainBackend, M: TrainModel<B>> Optimizer<B, M> {
    /// An optimizer without moments yet.
    pub fn new(settings: AdamWSettings) -> Self {
        let adamw = AdamWConfig::new()
            .with_beta_1(settings.beta1 as f32)
            .with_beta_2(settings.beta2 as f32)
            .with_epsilon(settings.epsilon as f32)
            .with_weight_decay(settings.weight_decay as f32)
            .init();
        Self {
            adamw,
            max_grad_norm: settings.max_grad_norm,
        }
    }

    /// Updates `model` by the gradients of one optimizer step. `loss_sum` is the summed loss of
    /// its `trained_tokens`. Loss and norm come from the device in one read.
    ///
    /// # Errors
    ///
    /// [`NonFinite`]; `model` is then unchanged.
    pub fn step(
        &mut self,
        model: &mut M,
        grads: Gradients,
        loss_sum: Tensor<B::InnerBackend, 1>,
        trained_tokens: f64,
        learning_rate: f64,
    ) -> Result<Outcome, NonFinite> {
        let loss_sum = to_f32(loss_sum);
        let squared = grads
            .squared_norm::<B, M>(model)
            .map_or_else(|| loss_sum.zeros_like(), to_f32);
        let read = Tensor::cat(vec![loss_sum, squared], 0).into_data();
        let mut read = read.iter::<f64>();
        let loss = read.next().unwrap_or(f64::NAN) / trained_tokens;
        let grad_norm = read.next().unwrap_or(f64::NAN).sqrt();
        if !(loss.is_finite() && grad_norm.is_finite()) {
            return Err(NonFinite { loss, grad_norm });
        }
        // As PyTorch's clip_grad_norm_.
        let factor = match self.max_grad_norm {
            Some(max) if grad_norm > max => max / (grad_norm + 1e-6),
            _ => 1.0,
        };
        let grads = grads.scaled::<B, M>(model, factor);
        *model = self.adamw.step(learning_rate, model.clone(), grads);
        Ok(Outcome { loss, grad_norm })
    }
}

fn to_f32<B: burn::tensor::backend::Backend>(tensor: Tensor<B, 1>) -> Tensor<B, 1> {
    if tensor.dtype() == DType::F32 {
        tensor
    } else {
        tensor.cast(DType::F32)
    }
}
