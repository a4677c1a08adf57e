//! Replays another trainer's run in our loop.

use crate::training::{plan, train_on};
use crate::{Run, max_difference, relative_difference};
use bone::visit::{FloatMapper, Place, map_floats};
use bone_lm::CausalLm;
use bone_lm::generate::token_tensor;
use bone_train::optimizer::AdamWSettings;
use bone_train::step::Gradients;
use bone_train::step::{Savings, TrainBackend, TrainModel, backward};
use burn::backend::{Autodiff, Flex};
use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData};

/// The backend of golden replays, unless a test uses another one.
pub type B = Autodiff<Flex>;

/// All memory savings off.
pub const PLAIN: Savings = Savings {
    recompute: false,
    head_chunk: None,
};
/// All memory savings on.
pub const SAVING: Savings = Savings {
    recompute: true,
    head_chunk: Some(16),
};

/// The largest allowed differences of a run from its record.
#[derive(Debug, Clone, Copy)]
pub struct Tolerance {
    /// Of a first gradient, divided by its largest entry.
    pub gradient: f32,
    /// Of a loss.
    pub loss: f64,
    /// Of a gradient norm, divided by the norm.
    pub norm: f64,
    /// Of the logits after the last step.
    pub tuned: f32,
}

/// Returns the logits of the first batch.
pub fn logits<B: bone_lm::Backend, M: CausalLm<B>>(
    model: &M,
    run: &Run,
    device: &B::Device,
) -> Vec<f32> {
    let batch = &run.batches()[0];
    let tokens = token_tensor(&batch.tokens, batch.rows, batch.len, device);
    let data = model.forward(tokens).into_data().convert_dtype(DType::F32);
    data.iter::<f32>().collect()
}

/// Replaces every trained parameter with its recorded value.
struct Recorded<'a> {
    run: &'a Run,
    prefix: &'a str,
    record_name: &'a dyn Fn(&str) -> String,
}

impl<B: burn::tensor::backend::Backend> FloatMapper<B> for Recorded<'_> {
    fn map<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        if !param.is_require_grad() {
            return param;
        }
        let name = format!("{}{}", self.prefix, (self.record_name)(&place.path()));
        let values = self.run.tensors.floats(&name);
        param.map(|tensor| {
            let data = TensorData::new(values, tensor.shape());
            Tensor::from_data(data, (&tensor.device(), DType::F32)).require_grad()
        })
    }
}

/// Returns `model` with every trained parameter replaced by its recorded value. The record has it
/// under `prefix` and `record_name` of its path.
pub fn with_recorded<B: burn::tensor::backend::Backend, M: Module<B>>(
    model: M,
    run: &Run,
    prefix: &str,
    record_name: &dyn Fn(&str) -> String,
) -> M {
    let mut recorded = Recorded {
        run,
        prefix,
        record_name,
    };
    map_floats(model, &mut recorded)
}

/// Trains `model` on the recorded batches and compares first gradients, losses, norms and final
/// logits. `record_name` turns the path of a trained parameter into the name of its recorded first
/// gradient, without `grad0.`.
pub fn replay<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    run: &Run,
    savings: Savings,
    tolerance: Tolerance,
    record_name: impl Fn(&str) -> String,
    device: &B::Device,
) -> M {
    // First the first gradients alone, then the whole run in the loop.
    let batches = run.batches();
    let mut grads = Gradients::default();
    let scale = 1.0 / batches[0].trained_tokens() as f64;
    backward(
        &model,
        &batches[0],
        scale,
        (savings, None),
        (0, 0),
        device,
        &mut grads,
    );
    let found = grads.by_path::<B, M>(&model);
    for (path, grad) in &found {
        let grad = grad.as_ref().expect("has a gradient");
        let grad: Vec<f32> = grad.iter().map(|&g| g as f32).collect();
        let expected = run.tensors.floats(&format!("grad0.{}", record_name(path)));
        let difference = relative_difference(&grad, &expected);
        assert!(difference < tolerance.gradient, "{path}: {difference}");
    }
    let names = run.tensors.names();
    let recorded = names.iter().filter(|n| n.starts_with("grad0.")).count();
    assert_eq!(found.len(), recorded);

    retrain(model, run, savings, tolerance, device)
}

/// Trains `model` on the recorded batches and compares losses, norms and final logits.
pub fn retrain<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    run: &Run,
    savings: Savings,
    tolerance: Tolerance,
    device: &B::Device,
) -> M {
    let batches = run.batches();
    let betas = run.list("betas");
    let settings = AdamWSettings {
        beta1: betas[0],
        beta2: betas[1],
        epsilon: run.number("eps"),
        weight_decay: run.number("weight_decay"),
        max_grad_norm: None,
        lora_plus_ratio: 1.0,
    };
    let total_steps = batches.len();
    let plan = plan(total_steps, run.number("lr"), savings);
    let (model, heard, _) = train_on::<B, M>(model, batches, &plan, settings, device);
    let expected = run.list("losses").into_iter().zip(run.list("grad_norms"));
    assert_eq!(heard.steps.len(), total_steps);
    let tuned = run.tensors.floats("tuned_logits");
    let tuned = max_difference(&logits(&model.valid(), run, device), &tuned);
    let (mut largest, mut wrong) = ((0f64, 0f64), Vec::new());
    for (ours, (loss, norm)) in heard.steps.iter().zip(expected) {
        let loss_off = (ours.loss - loss).abs();
        let norm_off = (ours.grad_norm - norm).abs() / norm;
        largest = (largest.0.max(loss_off), largest.1.max(norm_off));
        // Every comparison with NaN is false.
        if !(loss_off < tolerance.loss && norm_off < tolerance.norm) {
            wrong.push(format!("{ours:?}, recorded {loss} and {norm}"));
        }
    }
    let (loss_off, norm_off) = largest;
    println!("losses within {loss_off:.1e}, norms {norm_off:.1e}, tuned logits {tuned:.1e}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tuned < tolerance.tuned, "tuned logits: {tuned}");
    model
}
