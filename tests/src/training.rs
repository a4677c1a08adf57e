//! Trains on given batches with the loop of `bone train`.

use bone_data::{Batch, Cursor, Step};
use bone_train::optimizer::{AdamWSettings, Optimizer};
use bone_train::report::{Event, ReportError, Reporter, SkipReport, StepReport};
use bone_train::schedule::{Schedule, ScheduleKind};
use bone_train::step::{Savings, TrainBackend, TrainModel};
use bone_train::trainer::{Data, Plan, Progress, Run, train};

/// The loop's reports.
#[derive(Debug, Default)]
pub struct Heard {
    /// Of every applied step.
    pub steps: Vec<StepReport>,
    /// Of every skipped step.
    pub skipped: Vec<SkipReport>,
}

impl Reporter for Heard {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        match event {
            Event::Step(step) => self.steps.push(step),
            Event::Skipped(skip) => self.skipped.push(skip.clone()),
            _ => {}
        }
        Ok(())
    }
}

/// Returns a plan of `total_steps` at a constant rate, without evaluation.
pub fn plan(total_steps: usize, base_lr: f64, savings: Savings) -> Plan {
    Plan {
        total_steps,
        schedule: Schedule {
            kind: ScheduleKind::Constant,
            base_lr,
            warmup_steps: 0,
            total_steps,
        },
        savings,
        chunk_ctx: None,
        seed: 0,
        eval_every: total_steps,
        eval_batch_size: 1,
        pad_id: 0,
        loss_scale: None,
        tunes_kernels: false,
    }
}

/// Trains `model` on the batches, one in each step.
pub fn train_on<B: TrainBackend, M: TrainModel<B>>(
    model: M,
    batches: Vec<Batch>,
    plan: &Plan,
    settings: AdamWSettings,
    device: &B::Device,
) -> (M, Heard, Progress) {
    let steps_per_epoch = batches.len() as u64;
    let steps = (0..).zip(batches).map(|(step, batch)| Step {
        at: Cursor { epoch: 0, step },
        micro: vec![batch],
    });
    let steps = steps.map(Ok);
    let mut data = Data {
        steps: Box::new(steps),
        steps_per_epoch,
        validation: Vec::new(),
    };
    let mut heard = Heard::default();
    let run = Run {
        model,
        optimizer: Optimizer::<B>::new(settings),
        progress: Progress::new(plan.loss_scale),
    };
    let run = train(run, &mut data, plan, device, &mut heard, &mut ()).expect("finite");
    (run.model, heard, run.progress)
}
