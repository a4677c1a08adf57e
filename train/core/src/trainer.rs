//! The loop: one for every model, method and device.

use crate::gradients::Gradients;
use crate::loss_scale::LossScale;
use crate::optimizer::{NonFinite, Optimizer};
use crate::report::{EvalReport, Event, ReportError, Reporter, SkipReport, StepReport};
use crate::schedule::Schedule;
use crate::step::{Savings, TrainBackend, TrainModel, backward};
use bone_data::{Batch, Sample, Step};
use burn::tensor::Tensor;
use std::collections::BTreeSet;
use std::time::Instant;

mod progress;
mod validation;

pub use progress::{Best, Progress};
use validation::validate;
pub use validation::{EvalReading, mean_loss};

/// Steps one after the other that may be left out because their numbers are not finite.
pub(crate) const MOST_SKIPPED: usize = 3;

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
    /// Rows of an evaluation batch.
    pub eval_batch_size: usize,
    /// Token id that fills shorter rows.
    pub pad_id: u32,
    /// What the loss is scaled by at first where gradients pass through f16.
    pub loss_scale: Option<LossScale>,
    /// Whether the device compiles and tunes kernels for sizes it has not met.
    pub tunes_kernels: bool,
}

impl Plan {
    /// Whether the held-out rows are to be evaluated where a run is: before the first step, at the interval,
    /// after the last, unless that was done.
    fn evaluates(&self, progress: &Progress) -> bool {
        let steps = progress.steps;
        let due = steps == progress.begun_at
            || steps == self.total_steps
            || steps.is_multiple_of(self.eval_every);
        due && progress.evaluated != Some(steps)
    }
}

/// Why a run stopped early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Steps one after the other gave no finite numbers.
    #[error(
        "step {step} and the {} before it: {source} (rows {})",
        MOST_SKIPPED - 1, listed(rows)
    )]
    NonFinite {
        /// The last of them, from 1.
        step: usize,
        /// Its rows.
        rows: Vec<u64>,
        /// Its numbers.
        source: NonFinite,
    },
    /// No step changed anything.
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

/// Where a test may kill a run inside a step.
fn may_die() {
    fail::fail_point!("micro", |_| crate::disk::kill());
}

/// Where a test may have a step's loss be no number.
fn perhaps_not_finite<B: bone_lm::Backend>(total: Tensor<B, 1>) -> Tensor<B, 1> {
    fail::fail_point!("not_finite", |_| total.clone().mul_scalar(f32::NAN));
    total
}

/// Row numbers, the first of many.
fn listed(rows: &[u64]) -> String {
    let shown: Vec<_> = rows.iter().take(16).map(u64::to_string).collect();
    match rows.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// What a run learns from.
pub struct Data {
    /// The steps' rows, from the one on that the run goes on with; an endless iterator runs through
    /// epoch after epoch.
    pub steps: Box<dyn Iterator<Item = std::io::Result<Step>>>,
    /// Steps that make an epoch.
    pub steps_per_epoch: u64,
    /// Held-out rows.
    pub validation: Vec<Sample>,
}

/// Where a run is, between two steps.
#[derive(Debug)]
pub struct Standing<'a, B: TrainBackend, M> {
    /// The model.
    pub model: &'a M,
    /// Its optimizer.
    pub optimizer: &'a Optimizer<B>,
    /// How far it is.
    pub progress: &'a Progress,
    /// Whether it was evaluated just now, better than ever before.
    pub is_best: bool,
    /// Whether no step is left.
    pub is_last: bool,
}

/// What a run does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// Goes on.
    GoOn,
    /// Stops here.
    Stop,
}

/// Somebody who looks at a run between its steps, and may save it or stop it.
pub trait Watch<B: TrainBackend, M> {
    /// Called before the first step and after every one, evaluations included.
    ///
    /// # Errors
    ///
    /// What ends the run, in words.
    fn between_steps(
        &mut self,
        at: Standing<'_, B, M>,
        reporter: &mut dyn Reporter,
    ) -> Result<Then, String>;

    /// Whether the run is to stop as soon as it can: an evaluation is given up for it.
    fn is_stopping(&self) -> bool {
        false
    }
}

/// Lets it run.
impl<B: TrainBackend, M> Watch<B, M> for () {
    fn between_steps(
        &mut self,
        _: Standing<'_, B, M>,
        _: &mut dyn Reporter,
    ) -> Result<Then, String> {
        Ok(Then::GoOn)
    }
}

/// A run's model, optimizer and how far it is.
#[derive(Debug)]
pub struct Run<B: TrainBackend, M> {
    /// The model.
    pub model: M,
    /// Its optimizer.
    pub optimizer: Optimizer<B>,
    /// How far it is.
    pub progress: Progress,
}

/// Makes a step's gradients of a batch and forgets them, to see whether the device can.
///
/// # Panics
///
/// Where the backend does, as when its memory is full.
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
    // The device is done when it can be read.
    let norm = grads.squared_norm::<B, M>(model);
    drop((norm.map(Tensor::into_data), sum.into_data()));
}

/// Evaluates the held-out rows, if the plan does so here and that was not done: what they come to, and whether
/// it is the best so far. `None` as well where `stops` gives it up.
pub fn evaluate<B: TrainBackend, M: TrainModel<B>>(
    model: &M,
    progress: &mut Progress,
    validation: &[Sample],
    plan: &Plan,
    device: &B::Device,
    stops: impl Fn() -> bool,
) -> Option<(EvalReport, bool)> {
    if !plan.evaluates(progress) {
        return None;
    }
    let report = validate::<B, M>(model, validation, progress.steps, plan, device, stops)?;
    let is_best = progress.evaluated(report.loss);
    Some((report, is_best))
}

/// Tells of an evaluation.
///
/// # Errors
///
/// It cannot be recorded.
pub fn tell_evaluation(report: EvalReport, reporter: &mut dyn Reporter) -> Result<(), ReportError> {
    reporter.report(Event::Evaluation(report))?;
    match report.loss.is_finite() {
        true => Ok(()),
        false => reporter.report(Event::Note(
            "the held-out loss is not finite: what is trained may be lost; go back to an earlier checkpoint \
             with a lower learning rate",
        )),
    }
}

/// Trains on `data` as `plan` says, from where `run` is to the plan's end or to where `watch` stops it.
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
        let is_best = found.is_some_and(|(_, is_best)| is_best);
        if let Some((report, _)) = found {
            tell_evaluation(report, reporter)?;
        }
        let all_done = progress.steps >= plan.total_steps;
        let standing = Standing {
            model: &model,
            optimizer: &optimizer,
            progress: &progress,
            is_best,
            // Who goes on with it evaluates first.
            is_last: all_done && !gave_up,
        };
        let then = watch.between_steps(standing, reporter);
        if then.map_err(TrainError::Save)? == Then::Stop || all_done {
            break;
        }

        let (started, step) = (Instant::now(), progress.steps);
        let Some(rows) = data.steps.next() else { break };
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
        for note in bone::kernels::gave_way() {
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
