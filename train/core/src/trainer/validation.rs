//! Loss over samples, without training.

use super::{Plan, Progress};
use crate::report::EvalReport;
use crate::step::{TrainBackend, TrainModel, loss_sum};
use bone_data::{Sample, evaluation_batches};
use bone_lm::CausalLm;
use burn::tensor::Tensor;

/// Batch and chunk sizes for the evaluation of held-out samples.
#[derive(Debug, Clone, Copy)]
pub struct EvalReading {
    /// Samples per batch.
    pub batch_size: usize,
    /// Token id that pads shorter samples.
    pub pad_id: u32,
    /// Tokens that the head processes at once; `None` for all.
    pub head_chunk: Option<usize>,
    /// Tokens of a sequence that the model processes at once; `None` for all.
    pub chunk_ctx: Option<usize>,
}

/// Evaluates the held-out rows without dropout, if an evaluation is due. Returns `None` if it is not due,
/// there are no such rows, or `stops` gives up between two batches.
pub fn evaluate<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    progress: &mut Progress,
    validation: &[Sample],
    plan: &Plan,
    device: &B::Device,
    stops: impl Fn() -> bool,
) -> Option<EvalReport> {
    if validation.is_empty() || !plan.evaluates(progress) {
        return None;
    }
    let reading = EvalReading {
        batch_size: plan.eval_batch_size,
        pad_id: plan.pad_id,
        head_chunk: plan.savings.head_chunk,
        chunk_ctx: plan.chunk_ctx,
    };
    let step = progress.steps;
    let (loss, tokens) = mean_loss_unless(&model.valid(), validation, reading, device, stops)?;
    progress.evaluated(loss);
    Some(EvalReport { step, loss, tokens })
}

/// Returns the mean of −ln p over the trained tokens of `samples`, without dropout, and the number of these
/// tokens.
pub fn mean_loss<B: bone_lm::Backend, M: CausalLm<B>>(
    model: &M,
    samples: &[Sample],
    reading: EvalReading,
    device: &B::Device,
) -> (f64, usize) {
    let found = mean_loss_unless(model, samples, reading, device, || false);
    found.unwrap_or((f64::NAN, 0))
}

fn mean_loss_unless<B: bone_lm::Backend, M: CausalLm<B>>(
    model: &M,
    samples: &[Sample],
    reading: EvalReading,
    device: &B::Device,
    stops: impl Fn() -> bool,
) -> Option<(f64, usize)> {
    let EvalReading {
        batch_size,
        pad_id,
        head_chunk,
        chunk_ctx,
    } = reading;
    let mut sum: Option<Tensor<B, 1>> = None;
    let mut tokens = 0;
    for batch in evaluation_batches(samples, batch_size, pad_id) {
        fail::fail_point!("evaluate");
        if stops() {
            return None;
        }
        let part = loss_sum(model, &batch, head_chunk, chunk_ctx, device);
        sum = Some(match sum {
            Some(sum) => sum + part,
            None => part,
        });
        tokens += batch.trained_tokens();
    }
    // One read from the device serves all batches.
    let sum: f64 = sum.map_or(0.0, |sum| sum.into_data().iter::<f64>().sum());
    Some((sum / tokens as f64, tokens))
}
