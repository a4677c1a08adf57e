//! AdamW with clipping by the global norm.

use crate::gradients::Gradients;
use crate::step::{TrainBackend, TrainModel};
use burn::module::ParamId;
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, AdamWConfig, GradientsParams, Optimizer as _};
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
    /// Learning rate of LoRA's `B` in units of everything else's, as *LoRA+: Efficient Low Rank
    /// Adaptation of Large Models* has it.
    pub lora_plus_ratio: f64,
}

impl Default for AdamWSettings {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
            max_grad_norm: None,
            lora_plus_ratio: 1.0,
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
    "the loss is {loss} and the gradient norm {grad_norm}; lower the learning rate, look for broken \
     rows or damaged base weights, or, with dtype f16, whose values end at 65,504, take bf16 or f32"
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
    lora_plus_ratio: f64,
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
            lora_plus_ratio: settings.lora_plus_ratio,
        }
    }

    /// Updates `model` by the gradients of one optimizer step: of the summed loss of its trained
    /// tokens, their number, and what the gradients are multiplied with beyond the mean's. Loss and
    /// norm come from the device in one read.
    ///
    /// The model comes back either way, unchanged with [`NonFinite`]. It is taken by value so that
    /// old and new weights never lie side by side.
    pub fn step(
        &mut self,
        model: M,
        grads: Gradients,
        (loss_sum, trained_tokens, loss_scale): (Tensor<B::InnerBackend, 1>, f64, f64),
        learning_rate: f64,
    ) -> (M, Result<Outcome, NonFinite>) {
        let _span = tracing::trace_span!("optimizer").entered();
        let loss_sum = loss_sum.cast(DType::F32);
        let squared = grads
            .squared_norm::<B, M>(&model)
            .map_or_else(|| loss_sum.zeros_like(), |sum| sum.cast(DType::F32));
        let read = Tensor::cat(vec![loss_sum, squared], 0).into_data();
        let mut read = read.iter::<f64>();
        let loss = read.next().unwrap_or(f64::NAN) / trained_tokens;
        let grad_norm = read.next().unwrap_or(f64::NAN).sqrt() / loss_scale;
        if !(loss.is_finite() && grad_norm.is_finite()) {
            return (model, Err(NonFinite { loss, grad_norm }));
        }
        let factor = clip_factor(grad_norm, self.max_grad_norm) / loss_scale;
        let mut grads = grads.scaled::<B, M>(&model, factor);
        let mut model = model;
        if self.lora_plus_ratio != 1.0 {
            let faster = take::<B>(&mut grads, &bone::lora_b_ids::<B, M>(&model));
            let rate = learning_rate * self.lora_plus_ratio;
            model = self.adamw.step(rate, model, faster);
        }
        let model = self.adamw.step(learning_rate, model, grads);
        (model, Ok(Outcome { loss, grad_norm }))
    }
}

/// Takes the gradients of some matrices out of `grads`.
fn take<B: TrainBackend>(grads: &mut GradientsParams, ids: &[ParamId]) -> GradientsParams {
    let mut taken = GradientsParams::new();
    for id in ids {
        if let Some(grad) = grads.remove::<B::InnerBackend, 2>(*id) {
            taken.register::<B::InnerBackend, 2>(*id, grad);
        }
    }
    taken
}

/// What gradients of global norm `norm` are multiplied by to have at most `max`, as PyTorch's
/// `clip_grad_norm_` does it.
fn clip_factor(norm: f64, max: Option<f64>) -> f64 {
    match max {
        Some(max) if norm > max => max / (norm + 1e-6),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bone::{BoneLinear, BoneLinearConfig};
    use burn::backend::{Autodiff, Flex};
    use burn::tensor::Distribution;

    type B = Autodiff<Flex>;

    #[test]
    fn gradients_are_clipped_by_their_common_norm() {
        let device = Default::default();
        let layer: BoneLinear<B> = BoneLinearConfig::new(5, 3).init(&device);
        let x = Tensor::<B, 2>::random([4, 5], Distribution::Default, &device);
        let mut all = layer.forward(x).powi_scalar(2).sum().backward();
        let mut grads = Gradients::default();
        grads.add::<B, _>(&mut all, &layer);

        let values = |weight: Option<Tensor<Flex, 2>>, bias: Option<Tensor<Flex, 1>>| {
            let weight = weight.expect("has one").into_data();
            let bias = bias.expect("has one").into_data();
            let all: Vec<f64> = weight.iter::<f64>().chain(bias.iter::<f64>()).collect();
            all
        };
        let bias = layer.bias.as_ref().expect("has one").id;
        let before = grads.as_params();
        let before = values(before.get(layer.weight.id), before.get(bias));
        let norm = before.iter().map(|g| g * g).sum::<f64>().sqrt();
        let squared = grads.squared_norm::<B, _>(&layer).expect("has gradients");
        let measured = squared.into_data().iter::<f64>().sum::<f64>().sqrt();
        assert!((measured - norm).abs() < 1e-4 * norm);

        let factor = clip_factor(norm, Some(norm / 4.0));
        let after = grads.scaled::<B, _>(&layer, factor);
        let after = values(after.get(layer.weight.id), after.get(bias));
        for (before, after) in before.iter().zip(&after) {
            // Every tensor by the same factor, or its direction would change.
            assert!((after - before / 4.0).abs() < 1e-5 * norm);
        }
    }

    #[test]
    fn gradients_within_the_limit_stay_as_they_are() {
        assert_eq!(clip_factor(0.9, Some(1.0)), 1.0);
        assert_eq!(clip_factor(100.0, None), 1.0);
        assert!((clip_factor(4.0, Some(1.0)) - 0.25).abs() < 1e-6);
    }
}
