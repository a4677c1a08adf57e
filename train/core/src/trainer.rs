//! The training loop, shared by all models, methods and devices.

use crate::loss_scale::LossScale;
use crate::optimizer::Optimizer;
use crate::report::{EvalReport, Event, ReportError, Reporter, SkipReport, StepReport};
use crate::step::{Gradients, TrainBackend, TrainModel, backward};
use bone_data::Batch;
use burn::tensor::Tensor;
use std::collections::BTreeSet;
use std::time::Instant;

mod error;
mod plan;
mod progress;
mod validation;
mod watch;

pub(crate) use error::MOST_SKIPPED;
pub use error::TrainError;
pub use plan::{Data, Plan};
pub use progress::{Best, Progress};
pub use validation::{EvalReading, evaluate, mean_loss};
pub use watch::{Standing, Watch};

/// Kills the process inside a step if a test asks for it.
fn may_die() {
    fail::fail_point!("micro", |_| crate::disk::kill());
}

/// Makes a step's loss NaN if a test asks for it.
fn perhaps_not_finite<B: bone_lm::Backend>(total: Tensor<B, 1>) -> Tensor<B, 1> {
    fail::fail_point!("not_finite", |_| total.clone().mul_scalar(f32::NAN));
    total
}

/// Model, optimizer and progress of a run.
#[derive(Debug)]
pub struct Run<B: TrainBackend, M> {
    /// The model.
    pub model: M,
    /// Its optimizer.
    pub optimizer: Optimizer<B>,
    /// How far it is.
    pub progress: Progress,
}

/// Computes the gradients of a batch and discards them, to check that the device can.
///
/// # Panics
///
/// If the backend panics, for example when its memory is full.
pub fn try_batch<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    batch: &Batch,
    plan: &Plan,
    device: &B::Device,
) {
    let mut grads = Gradients::default();
    let savings = (plan.savings, plan.chunk_ctx);
    let sum = backward(
        model,
        batch,
        1.0,
        savings,
        (plan.seed, 0),
        device,
        &mut grads,
    );
    // Reading a value waits for the device.
    let norm = grads.squared_norm::<B, M>(model);
    drop((norm.map(Tensor::into_data), sum.into_data()));
}

/// Reports an evaluation.
///
/// # Errors
///
/// The report cannot be written.
pub fn tell_evaluation(report: EvalReport, reporter: &mut dyn Reporter) -> Result<(), ReportError> {
    reporter.report(Event::Evaluation(report))?;
    match report.loss.is_finite() {
        true => Ok(()),
        false => reporter.report(Event::Note(
            "the validation loss is not finite, so the trained weights may be unusable; go back to an \
             earlier checkpoint with a lower learning rate",
        )),
    }
}

/// Trains on `data` according to `plan`, from `run` to the end of the plan or until `watch` stops it.
///
/// # Errors
///
/// [`TrainError`].
pub fn train<B: TrainBackend, M: TrainModel<B>>(
    run: Run<B, M>,
    data: &mut Data,
    plan: &Plan,
    device: &B::Device,
    reporter: &mut dyn Reporter,
    watch: &mut dyn Watch<B, M>,
) -> Result<Run<B, M>, TrainError> {
    let Run {
        mut model,
        mut optimizer,
        mut progress,
    } = run;
    let mut met = BTreeSet::new();
    loop {
        let due = plan.evaluates(&progress) && !data.validation.is_empty();
        if due && plan.tunes_kernels && met.is_empty() {
            reporter.report(Event::Tuning)?;
        }
        let stops = || watch.is_stopping();
        let found = evaluate::<B, M>(&model, &mut progress, &data.validation, plan, device, stops);
        let gave_up = due && found.is_none();
        if let Some(report) = found {
            tell_evaluation(report, reporter)?;
        }
        let all_done = progress.steps >= plan.total_steps;
        let standing = Standing {
            model: &model,
            optimizer: &optimizer,
            progress: &progress,
            // A resumed run repeats the evaluation that was given up.
            is_last: all_done && !gave_up,
        };
        if watch.between_steps(standing, reporter)?.is_break() || all_done {
            break;
        }

        let (started, step) = (Instant::now(), progress.steps);
        let Some(rows) = data.steps.next() else { break };
        let rows = rows.map_err(|source| TrainError::Data {
            step: step + 1,
            source,
        })?;
        // Kernels are tuned for sizes rounded up to a power of two.
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
        let factor = progress.loss_scale.map_or(1.0, |scale| scale.factor());
        let mut grads = Gradients::default();
        let mut total: Option<Tensor<B::InnerBackend, 1>> = None;
        for batch in &rows.micro {
            may_die();
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
        progress.steps += 1;
        progress.next = rows.at;
        progress.next.step += 1;
        let Some(total) = total else { continue };
        let total = perhaps_not_finite(total);
        let of_step = (total, trained_tokens as f64, factor);
        let (updated, result) = optimizer.step(model, grads, of_step, learning_rate);
        model = updated;
        for note in bone::kernels::take_fallbacks() {
            reporter.report(Event::Note(&note))?;
        }
        let tokens_processed = rows.micro.iter().map(|b| b.rows * b.len).sum();
        progress.tokens_processed += tokens_processed;
        match result {
            Ok(result) => {
                if let Some(scale) = &mut progress.loss_scale {
                    scale.kept();
                }
                progress.tokens += trained_tokens;
                let spike = progress.took(result.loss);
                reporter.report(Event::Step(StepReport {
                    step: progress.steps,
                    total_steps: plan.total_steps,
                    epoch: rows.at.epoch as f64
                        + (rows.at.step + 1) as f64 / data.steps_per_epoch as f64,
                    loss: result.loss,
                    grad_norm: result.grad_norm,
                    learning_rate,
                    tokens: trained_tokens,
                    tokens_processed,
                    seconds: started.elapsed().as_secs_f64(),
                    tuning,
                    spike,
                }))?;
            }
            Err(source) => {
                let scale = &mut progress.loss_scale;
                let overflowed =
                    source.loss.is_finite() && scale.as_mut().is_some_and(LossScale::overflowed);
                progress.skipped += 1;
                progress.skipped_in_a_row += usize::from(!overflowed);
                let row_ids = rows.micro.iter().flat_map(|batch| batch.samples.clone());
                let report = SkipReport {
                    step: progress.steps,
                    loss_scale: scale.filter(|_| overflowed).map(|scale| scale.factor()),
                    skipped: progress.skipped,
                    rows: row_ids.collect(),
                };
                reporter.report(Event::Skipped(&report))?;
                if progress.skipped_in_a_row >= MOST_SKIPPED {
                    return Err(TrainError::NonFinite {
                        step: progress.steps,
                        rows: report.rows,
                        source,
                    });
                }
            }
        }
    }
    if progress.skipped > 0 && progress.tokens == 0 && progress.steps >= plan.total_steps {
        let skipped = progress.skipped;
        return Err(TrainError::NothingTrained { skipped });
    }
    Ok(Run {
        model,
        optimizer,
        progress,
    })
}
