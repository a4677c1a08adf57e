//! AdamW with clipping by global norm.

use crate::step::Gradients;
use crate::step::TrainBackend;
use bone_lm::{AdamWStep, Backend, Moments};
use burn::module::{AutodiffModule, ModuleMapper, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, Tensor, TensorPrimitive};
use std::collections::{HashMap, HashSet};

mod state;

pub use state::{Trained, TrainedMoments};

/// Settings of AdamW. Names and defaults are PyTorch's, except for the weight decay.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWSettings {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the square root of the second moment.
    pub epsilon: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Largest global norm of the gradients; `None` for no clipping.
    pub max_grad_norm: Option<f64>,
    /// Learning rate of LoRA's `B` relative to all other parameters, as in *LoRA+: Efficient Low Rank
    /// Adaptation of Large Models*.
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

/// Result of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Mean loss of the trained tokens, before the update.
    pub loss: f64,
    /// Global norm of the gradients before clipping.
    pub grad_norm: f64,
}

/// The loss or a gradient is not finite. The model is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "the loss is {loss} and the gradient norm {grad_norm}. Lower the learning rate, or check for broken \
     rows and damaged base weights. With dtype f16, whose largest value is 65,504, use bf16 or f32"
)]
pub struct NonFinite {
    /// The loss.
    pub loss: f64,
    /// The norm.
    pub grad_norm: f64,
}

/// Moments of a parameter, and its number of steps.
#[derive(Debug, Clone)]
struct Taken<T> {
    time: u32,
    moments: Moments<T>,
}

/// AdamW over all trained parameters.
#[derive(Debug)]
pub struct Optimizer<B: TrainBackend> {
    settings: AdamWSettings,
    taken: HashMap<ParamId, Taken<FloatTensor<B::InnerBackend>>>,
}

impl<B: TrainBackend> Optimizer<B> {
    /// Returns an optimizer without moments.
    pub fn new(settings: AdamWSettings) -> Self {
        Self {
            settings,
            taken: HashMap::new(),
        }
    }

    /// Updates `model` with the gradients of one optimizer step. The input is the summed loss of the step's
    /// trained tokens, their number, and the factor on the gradients beyond the mean's. Loss and norm come
    /// from the device in one read.
    ///
    /// Always returns the model; with [`NonFinite`] it is unchanged. The model is passed by value, so that
    /// old and new weights never exist at the same time.
    pub fn step<M: AutodiffModule<B>>(
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
            .unwrap_or_else(|| loss_sum.zeros_like());
        let read = Tensor::cat(vec![loss_sum, squared], 0).into_data();
        let mut read = read.iter::<f64>();
        let loss = read.next().unwrap_or(f64::NAN) / trained_tokens;
        let grad_norm = read.next().unwrap_or(f64::NAN).sqrt() / loss_scale;
        if !(loss.is_finite() && grad_norm.is_finite()) {
            return (model, Err(NonFinite { loss, grad_norm }));
        }
        let faster = match self.settings.lora_plus_ratio {
            1.0 => Vec::new(),
            _ => bone::lora_b_ids::<B, M>(&model),
        };
        let settings = self.settings;
        let model = model.map(&mut Update {
            step: AdamWStep {
                learning_rate,
                beta1: settings.beta1,
                beta2: settings.beta2,
                epsilon: settings.epsilon,
                weight_decay: settings.weight_decay,
                time: 0,
                grad_factor: clip_factor(grad_norm, settings.max_grad_norm) / loss_scale,
            },
            faster: faster.into_iter().collect(),
            grads: grads.into_params(),
            optimizer: self,
        });
        (model, Ok(Outcome { loss, grad_norm }))
    }
}

/// Moves every parameter that has a gradient by one step.
struct Update<'a, B: TrainBackend> {
    /// The step for a parameter without moments.
    step: AdamWStep,
    /// Parameters with LoRA+'s learning rate.
    faster: HashSet<ParamId>,
    grads: GradientsParams,
    optimizer: &'a mut Optimizer<B>,
}

impl<B: TrainBackend> ModuleMapper<B> for Update<'_, B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let (id, tensor, mapper) = param.consume();
        let Some(grad) = self.grads.remove::<B::InnerBackend, D>(id) else {
            return Param::from_mapped_value(id, tensor, mapper);
        };
        let mut step = self.step;
        let mut moments = None;
        if let Some(taken) = self.optimizer.taken.remove(&id) {
            (step.time, moments) = (taken.time, Some(taken.moments));
        }
        step.time += 1;
        if self.faster.contains(&id) {
            step.learning_rate *= self.optimizer.settings.lora_plus_ratio;
        }
        let trains = tensor.is_require_grad();
        let values = tensor.inner().into_primitive().tensor();
        let grad = grad.into_primitive().tensor();
        let (values, moments) = B::InnerBackend::adamw(values, grad, moments, &step);
        let time = step.time;
        self.optimizer.taken.insert(id, Taken { time, moments });
        let values = Tensor::from_primitive(TensorPrimitive::Float(values));
        let tensor = Tensor::from_inner(values).set_require_grad(trains);
        Param::from_mapped_value(id, tensor, mapper)
    }
}

/// Returns the factor that reduces gradients of global norm `norm` to at most `max`, as PyTorch's
/// `clip_grad_norm_` computes it.
fn clip_factor(norm: f64, max: Option<f64>) -> f64 {
    match max {
        Some(max) if norm > max => max / (norm + 1e-6),
        _ => 1.0,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bone::{BoneLinear, BoneLinearConfig};
    use burn::backend::{Autodiff, Flex};
    use burn::optim::AdamWConfig;
    use burn::tensor::Distribution;

    type B = Autodiff<Flex>;

    /// Returns a layer, and gradients of its weight and bias.
    fn layer() -> (BoneLinear<B>, Gradients) {
        let device = Default::default();
        let layer: BoneLinear<B> = BoneLinearConfig::new(5, 3).init(&device);
        let x = Tensor::<B, 2>::random([4, 5], Distribution::Default, &device);
        let mut all = layer.forward(x).powi_scalar(2).sum().backward();
        let mut grads = Gradients::default();
        grads.add::<B, _>(&mut all, &layer);
        (layer, grads)
    }

    /// Returns the values of weight and bias, one after the other.
    fn values(weight: Tensor<Flex, 2>, bias: Tensor<Flex, 1>) -> Vec<f64> {
        let (weight, bias) = (weight.into_data(), bias.into_data());
        weight.iter::<f64>().chain(bias.iter::<f64>()).collect()
    }

    fn weights(layer: &BoneLinear<B>) -> Vec<f64> {
        let bias = layer.bias.as_ref().unwrap().val();
        values(layer.weight.val().inner(), bias.inner())
    }

    fn loss() -> (Tensor<Flex, 1>, f64, f64) {
        (Tensor::zeros([1], &Default::default()), 1.0, 1.0)
    }

    #[test]
    fn gradients_are_clipped_by_their_common_norm() {
        let (layer, grads) = layer();
        let ids = (layer.weight.id, layer.bias.as_ref().unwrap().id);
        let of =
            |grads: &GradientsParams| values(grads.get(ids.0).unwrap(), grads.get(ids.1).unwrap());
        let before = of(grads.as_params());
        let norm = before.iter().map(|g| g * g).sum::<f64>().sqrt();
        let mut optimizer = Optimizer::<B>::new(AdamWSettings {
            max_grad_norm: Some(norm / 4.0),
            beta1: 0.0,
            ..AdamWSettings::default()
        });
        let (_, outcome) = optimizer.step(layer, grads, loss(), 1e-3);
        let measured = outcome.unwrap().grad_norm;
        assert!((measured - norm).abs() < 1e-4 * norm);
        // With β₁ = 0 the first moment is the gradient after clipping.
        let moment = |id| optimizer.taken[&id].moments.first.clone();
        let after = values(
            Tensor::from_primitive(TensorPrimitive::Float(moment(ids.0))),
            Tensor::from_primitive(TensorPrimitive::Float(moment(ids.1))),
        );
        for (before, after) in before.iter().zip(&after) {
            // All tensors must be scaled by the same factor, or the direction changes.
            assert!((after - before / 4.0).abs() < 1e-5 * norm);
        }
    }

    #[test]
    fn optimizer_steps_equal_burn_adamw() {
        let (ours, _) = layer();
        let mut burns = ours.clone();
        let mut ours = ours;
        let settings = AdamWSettings {
            weight_decay: 0.1,
            epsilon: 1e-6,
            ..AdamWSettings::default()
        };
        let mut optimizer = Optimizer::<B>::new(settings);
        let mut reference = AdamWConfig::new()
            .with_epsilon(1e-6)
            .with_weight_decay(0.1)
            .init::<B, BoneLinear<B>>();
        for step in 0..5 {
            let x = Tensor::<B, 2>::random([4, 5], Distribution::Default, &Default::default());
            let gradients = |layer: &BoneLinear<B>| {
                let mut all = layer.forward(x.clone()).powi_scalar(2).sum().backward();
                let mut grads = Gradients::default();
                grads.add::<B, _>(&mut all, layer);
                grads
            };
            let rate = 1e-2 / (step + 1) as f64;
            let grads = gradients(&burns).into_params();
            burns = burn::optim::Optimizer::step(&mut reference, rate, burns, grads);
            let grads = gradients(&ours);
            ours = optimizer.step(ours, grads, loss(), rate).0;
        }
        assert!(ours.weight.is_require_grad());
        for (ours, burns) in weights(&ours).into_iter().zip(weights(&burns)) {
            assert!((ours - burns).abs() < 2e-6, "{ours} is not {burns}");
        }
    }

    #[test]
    fn non_finite_step_changes_nothing() {
        let (layer, grads) = layer();
        let before = weights(&layer);
        let mut optimizer = Optimizer::<B>::new(AdamWSettings::default());
        let loss = (Tensor::full([1], f32::NAN, &Default::default()), 1.0, 1.0);
        let (layer, outcome) = optimizer.step(layer, grads, loss, 1e-3);
        assert!(outcome.is_err());
        assert_eq!(weights(&layer), before);
        assert!(optimizer.taken.is_empty());
    }

    #[test]
    fn small_gradients_are_not_clipped() {
        assert_eq!(clip_factor(0.9, Some(1.0)), 1.0);
        assert_eq!(clip_factor(100.0, None), 1.0);
        assert!((clip_factor(4.0, Some(1.0)) - 0.25).abs() < 1e-6);
    }
}
