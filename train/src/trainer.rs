//! The loop: one for every model, method and device.

use crate::data::{Sample, Step, evaluation_batches};
use crate::gradients::Gradients;
use crate::loss_scale::LossScale;
use crate::optimizer::{NonFinite, Optimizer};
use crate::report::{EvalReport, Event, ReportError, Reporter, SkipReport, StepReport};
use crate::schedule::Schedule;
use crate::step::{Savings, TrainBackend, TrainModel, backward, loss_sum};
use bone_lm::CausalLm;
use burn::tensor::Tensor;
use std::collections::BTreeSet;
use std::time::Instant;

/// What the loop does, and when.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Optimizer steps.
    pub total_steps: usize,
    /// Learning rate of each.
    pub schedule: Schedule,
    /// Where memory is saved.
    pub savings: Savings,
    /// Tokens of a sequence that go through the model at once, with the state carried on; `None`
    /// for all of them.
    pub chunk_ctx: Option<usize>,
    /// What dropout masks are drawn from.
    pub seed: u64,
    /// Steps between evaluations.
    pub eval_every: usize,
    /// Steps between saves; `None` saves only at the end.
    pub save_every: Option<usize>,
    /// Rows of an evaluation batch.
    pub eval_batch_size: usize,
    /// Token id that fills shorter rows.
    pub pad_id: u32,
    /// What the loss is scaled by where gradients pass through f16.
    pub loss_scale: Option<LossScale>,
    /// Whether the device compiles and tunes kernels for sizes it has not met.
    pub tunes_kernels: bool,
}

/// What a run came to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Held-out loss before the first step; `None` without held-out rows.
    pub first_validation: Option<f64>,
    /// Held-out loss after the last step.
    pub last_validation: Option<f64>,
    /// Mean training loss of the last step.
    pub last_loss: f64,
    /// Tokens that were trained.
    pub tokens: usize,
    /// Tokens that went through the model in training.
    pub tokens_processed: usize,
    /// Steps whose gradients overflowed f16 and that changed nothing.
    pub skipped_steps: usize,
}

/// Why a run stopped early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// A step gave no finite number.
    #[error("step {step}: {source}")]
    NonFinite {
        /// The step, from 1.
        step: usize,
        /// The numbers.
        source: NonFinite,
    },
    /// Every step's gradients overflowed f16.
    #[error(
        "the gradients of all {skipped} steps overflowed f16 and nothing was trained; take dtype \
         bf16 or f32, or more steps: the loss is scaled down at each"
    )]
    NothingTrained {
        /// Steps of the run.
        skipped: usize,
    },
    /// The report could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The result could not be saved.
    #[error("{0}")]
    Save(String),
    /// Rows that had been put aside could not be read again.
    #[error("step {step}: the temporary file of the rows' tokens: {source}")]
    Data {
        /// The step, from 1.
        step: usize,
        /// What the system says.
        source: std::io::Error,
    },
}

/// What a run learns from.
pub struct Data {
    /// The steps' rows; an endless iterator runs through epoch after epoch.
    pub steps: Box<dyn Iterator<Item = std::io::Result<Step>>>,
    /// Steps that make an epoch.
    pub steps_per_epoch: u64,
    /// Held-out rows.
    pub validation: Vec<Sample>,
}

/// Trains `model` on `data` as `plan` says. `save` is called with the model and the number of
/// steps done, at the plan's interval; the last state is returned instead.
///
/// # Errors
///
/// [`TrainError`].
pub fn train<B: TrainBackend, M: TrainModel<B>>(
    mut model: M,
    mut optimizer: Optimizer<B>,
    data: &mut Data,
    plan: &Plan,
    device: &B::Device,
    reporter: &mut dyn Reporter,
    mut save: impl FnMut(&M, usize) -> Result<(), String>,
) -> Result<(M, Outcome), TrainError> {
    let Data {
        steps,
        steps_per_epoch,
        validation,
    } = data;
    let mut outcome = Outcome {
        first_validation: None,
        last_validation: None,
        last_loss: f64::NAN,
        tokens: 0,
        tokens_processed: 0,
        skipped_steps: 0,
    };
    let mut scale = plan.loss_scale;
    let mut met = BTreeSet::new();
    let evaluate = |model: &M, step: usize, reporter: &mut dyn Reporter| {
        let Some(report) = validate::<B, M>(model, validation, step, plan, device) else {
            return Ok(None);
        };
        reporter.report(Event::Evaluation(report))?;
        Ok::<_, ReportError>(Some(report.loss))
    };
    if plan.tunes_kernels && !validation.is_empty() {
        reporter.report(Event::Tuning)?;
    }
    outcome.first_validation = evaluate(&model, 0, reporter)?;
    outcome.last_validation = outcome.first_validation;

    for step in 0..plan.total_steps {
        let started = Instant::now();
        let Some(rows) = steps.next() else { break };
        let rows = rows.map_err(|source| TrainError::Data {
            step: step + 1,
            source,
        })?;
        // Kernels are tuned for sizes up to a power of two.
        let sizes = rows
            .micro
            .iter()
            .map(|batch| (batch.rows, batch.len.next_power_of_two()));
        let new = sizes.filter(|size| met.insert(*size)).count() > 0;
        let tuning = plan.tunes_kernels && new;
        if tuning {
            reporter.report(Event::Tuning)?;
        }
        let trained_tokens = rows.trained_tokens();
        let learning_rate = plan.schedule.lr(step);
        let factor = scale.map_or(1.0, |scale| scale.factor());
        let mut grads = Gradients::default();
        let mut total: Option<Tensor<B::InnerBackend, 1>> = None;
        for batch in &rows.micro {
            let sum = backward(
                &model,
                batch,
                factor / trained_tokens as f64,
                (plan.savings, plan.chunk_ctx),
                (plan.seed, step as u64),
                device,
                &mut grads,
            );
            total = Some(match total {
                Some(total) => total + sum,
                None => sum,
            });
        }
        let Some(total) = total else { continue };
        let of_step = (total, trained_tokens as f64, factor);
        let (updated, result) = optimizer.step(model, grads, of_step, learning_rate);
        model = updated;
        for note in bone::kernels::gave_way() {
            reporter.report(Event::Note(&note))?;
        }
        let done = step + 1;
        let tokens_processed = rows.micro.iter().map(|b| b.rows * b.len).sum();
        outcome.tokens_processed += tokens_processed;
        let skipped = match (&result, &mut scale) {
            (Ok(_), Some(scale)) => {
                scale.kept();
                None
            }
            (Err(bad), Some(scale)) if bad.loss.is_finite() => scale.overflowed().then_some(*scale),
            _ => None,
        };
        match (result, skipped) {
            (Ok(result), _) => {
                outcome.last_loss = result.loss;
                outcome.tokens += trained_tokens;
                reporter.report(Event::Step(StepReport {
                    step: done,
                    total_steps: plan.total_steps,
                    epoch: rows.at.epoch as f64
                        + (rows.at.step + 1) as f64 / *steps_per_epoch as f64,
                    loss: result.loss,
                    grad_norm: result.grad_norm,
                    learning_rate,
                    tokens: trained_tokens,
                    tokens_processed,
                    seconds: started.elapsed().as_secs_f64(),
                    tuning,
                }))?;
            }
            (Err(_), Some(scale)) => {
                outcome.skipped_steps = scale.skipped();
                reporter.report(Event::Skipped(SkipReport {
                    step: done,
                    loss_scale: scale.factor(),
                    skipped: scale.skipped(),
                }))?;
            }
            (Err(source), None) => return Err(TrainError::NonFinite { step: done, source }),
        }

        let last = done == plan.total_steps;
        if last || done % plan.eval_every == 0 {
            outcome.last_validation = evaluate(&model, done, reporter)?;
        }
        if !last && plan.save_every.is_some_and(|every| done % every == 0) {
            save(&model, done).map_err(TrainError::Save)?;
        }
    }
    if outcome.skipped_steps > 0 && outcome.tokens == 0 {
        let skipped = outcome.skipped_steps;
        return Err(TrainError::NothingTrained { skipped });
    }
    Ok((model, outcome))
}

/// Mean loss over the held-out rows, without dropout; `None` when there are none.
fn validate<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    validation: &[Sample],
    step: usize,
    plan: &Plan,
    device: &B::Device,
) -> Option<EvalReport> {
    if validation.is_empty() {
        return None;
    }
    let model = model.valid();
    let reading = EvalReading {
        batch_size: plan.eval_batch_size,
        pad_id: plan.pad_id,
        head_chunk: plan.savings.head_chunk,
        chunk_ctx: plan.chunk_ctx,
    };
    let (loss, tokens) = mean_loss(&model, validation, reading, device);
    Some(EvalReport { step, loss, tokens })
}

/// How held-out samples go through a model.
#[derive(Debug, Clone, Copy)]
pub struct EvalReading {
    /// Samples of a batch.
    pub batch_size: usize,
    /// Token id that fills shorter ones.
    pub pad_id: u32,
    /// Tokens the head handles at once; `None` for all of them.
    pub head_chunk: Option<usize>,
    /// Tokens of a sequence that go through at once; `None` for all of them.
    pub chunk_ctx: Option<usize>,
}

/// Mean of −ln p over the trained tokens of `samples`, without dropout, and how many these are.
pub fn mean_loss<B: bone_lm::Backend, M: CausalLm<B>>(
    model: &M,
    samples: &[Sample],
    reading: EvalReading,
    device: &B::Device,
) -> (f64, usize) {
    let EvalReading {
        batch_size,
        pad_id,
        head_chunk,
        chunk_ctx,
    } = reading;
    let mut sum: Option<Tensor<B, 1>> = None;
    let mut tokens = 0;
    for batch in evaluation_batches(samples, batch_size, pad_id) {
        let part = loss_sum(model, &batch, head_chunk, chunk_ctx, device);
        sum = Some(match sum {
            Some(sum) => sum + part,
            None => part,
        });
        tokens += batch.trained_tokens();
    }
    // One read of the device, for all batches.
    let sum: f64 = sum.map_or(0.0, |sum| sum.into_data().iter::<f64>().sum());
    (sum / tokens as f64, tokens)
}
