//! Loss scaling, on the processor, where it has to change nothing.

use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_llama2::Llama;
use bone_tests::replay::{B, SAVING};
use bone_tests::{Run, fixtures};
use bone_train::data::{Batch, Cursor, Step};
use bone_train::loss_scale::LossScale;
use bone_train::optimizer::{AdamWSettings, Optimizer};
use bone_train::report::{Event, ReportError, Reporter};
use bone_train::schedule::{Schedule, ScheduleKind};
use bone_train::trainer::{Data, Plan, train};

/// Losses and norms by step, and notes.
#[derive(Default)]
struct Heard {
    steps: Vec<(usize, f64, f64)>,
    notes: Vec<String>,
}

impl Reporter for Heard {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        match event {
            Event::Step(step) => self.steps.push((step.step, step.loss, step.grad_norm)),
            Event::Note(note) => self.notes.push(note.to_string()),
            _ => {}
        }
        Ok(())
    }
}

/// Trains on the batches with clipping, and gives what was heard and how many steps were skipped.
fn run(batches: Vec<Batch>, loss_scale: Option<LossScale>) -> (Heard, usize) {
    let device = Default::default();
    let base = Llama::<B>::from_folder(&fixtures().join("llama-tiny"), &device, None);
    let targets = Targets::new(Selection::AllLinear);
    let config = AdapterConfig::new(Variant::Bone(BlockAxis::Output), 4, targets);
    let model = bone::attach::<B, _>(base.expect("loads"), &config).expect("fits");
    let model = bone::freeze_base::<B, _>(model);
    let total_steps = batches.len();
    let plan = Plan {
        total_steps,
        schedule: Schedule {
            kind: ScheduleKind::Constant,
            base_lr: 1e-3,
            warmup_steps: 0,
            total_steps,
        },
        savings: SAVING,
        chunk_ctx: None,
        seed: 0,
        eval_every: total_steps,
        save_every: None,
        eval_batch_size: 1,
        pad_id: 0,
        loss_scale,
        tunes_kernels: false,
    };
    let steps = (0..).zip(batches).map(|(step, batch)| Step {
        at: Cursor { epoch: 0, step },
        micro: vec![batch],
    });
    let mut data = Data {
        steps: Box::new(steps),
        steps_per_epoch: total_steps as u64,
        validation: Vec::new(),
    };
    let optimizer = Optimizer::new(AdamWSettings {
        max_grad_norm: Some(0.05),
        ..AdamWSettings::default()
    });
    let mut heard = Heard::default();
    let save = |_: &Llama<B>, _| Ok(());
    let (_, outcome) = train::<B, _>(
        model, optimizer, &mut data, &plan, &device, &mut heard, save,
    )
    .expect("finite");
    (heard, outcome.skipped_steps)
}

fn batches() -> Vec<Batch> {
    Run::open(fixtures().join("golden-llama-tiny-bat-r4")).batches()
}

#[test]
fn a_power_of_two_changes_no_digit() {
    let (plain, _) = run(batches(), None);
    let (scaled, skipped) = run(batches(), Some(LossScale::default()));
    assert_eq!((plain.steps.len(), skipped), (batches().len(), 0));
    for ((step, loss, norm), (_, scaled_loss, scaled_norm)) in plain.steps.iter().zip(&scaled.steps)
    {
        assert!((loss - scaled_loss).abs() < 1e-6 * loss, "{step}");
        assert!((norm - scaled_norm).abs() < 1e-5 * norm, "{step}");
    }
}

#[test]
fn a_step_that_overflows_is_skipped_and_counted() {
    // The squares of such gradients are beyond f32.
    let (scaled, skipped) = run(batches(), Some(LossScale::starting_at(2f64.powi(65))));
    assert!((1..8).contains(&skipped), "{skipped}");
    assert_eq!(scaled.notes.len(), skipped);
    assert!(
        scaled.notes[0].contains("step 1 is skipped"),
        "{:?}",
        scaled.notes
    );
    // The model is as it was: a run of the other steps alone is the same.
    let kept: Vec<usize> = scaled.steps.iter().map(|(step, ..)| *step).collect();
    let all = batches().into_iter().enumerate();
    let rest = all.filter(|(index, _)| kept.contains(&(index + 1)));
    let (rest, _) = run(rest.map(|(_, batch)| batch).collect(), None);
    assert_eq!(scaled.steps.len(), rest.steps.len());
    for ((_, loss, _), (_, expected, _)) in scaled.steps.iter().zip(&rest.steps) {
        assert!(
            (loss - expected).abs() < 1e-5 * expected,
            "{loss}, not {expected}"
        );
    }
}
