//! Checks on the processor that loss scaling changes nothing.

use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_data::Batch;
use bone_llama2::Llama;
use bone_tests::replay::{B, SAVING};
use bone_tests::training::{Heard, plan, train_on};
use bone_tests::{Run, fixtures};
use bone_train::loss_scale::LossScale;
use bone_train::optimizer::AdamWSettings;
use bone_train::trainer::Plan;

/// Trains on the batches with clipping. Returns the loop's reports and the number of skipped steps.
fn run(batches: Vec<Batch>, loss_scale: Option<LossScale>) -> (Heard, usize) {
    let device = Default::default();
    let base = Llama::<B>::from_folder(&fixtures().join("llama-tiny"), &device, None);
    let targets = Targets::new(Selection::AllLinear);
    let config = AdapterConfig::new(Variant::Bone(BlockAxis::Output), 4, targets);
    let model = bone::attach::<B, _>(base.expect("loads"), &config).expect("fits");
    let model = bone::freeze_base::<B, _>(model);
    let plan = Plan {
        loss_scale,
        ..plan(batches.len(), 1e-3, SAVING)
    };
    let settings = AdamWSettings {
        max_grad_norm: Some(0.05),
        ..AdamWSettings::default()
    };
    let (_, heard, outcome) = train_on::<B, _>(model, batches, &plan, settings, &device);
    (heard, outcome.skipped)
}

fn batches() -> Vec<Batch> {
    Run::open(fixtures().join("golden-llama-tiny-bat-r4")).batches()
}

#[test]
fn loss_scale_keeps_losses_and_gradient_norms() {
    let (plain, _) = run(batches(), None);
    let (scaled, skipped) = run(batches(), Some(LossScale::default()));
    assert_eq!((plain.steps.len(), skipped), (batches().len(), 0));
    for (plain, scaled) in plain.steps.iter().zip(&scaled.steps) {
        let (loss, norm) = (plain.loss, plain.grad_norm);
        assert!((loss - scaled.loss).abs() < 1e-6 * loss, "{plain:?}");
        assert!((norm - scaled.grad_norm).abs() < 1e-5 * norm, "{plain:?}");
    }
}

#[test]
fn a_step_that_overflows_is_skipped_and_counted() {
    // The squares of such gradients overflow f32.
    let (scaled, skipped) = run(batches(), Some(LossScale::starting_at(2f64.powi(65))));
    assert!((1..8).contains(&skipped), "{skipped}");
    assert_eq!(scaled.skipped.len(), skipped);
    let counts: Vec<_> = scaled
        .skipped
        .iter()
        .map(|skip| (skip.step, skip.skipped))
        .collect();
    assert_eq!(counts[0], (1, 1), "{counts:?}");
    assert!(
        scaled.skipped[0]
            .loss_scale
            .is_some_and(|scale| scale < 2f64.powi(65))
    );
    // The skipped steps did not change the model: a run of the other steps alone gives the same.
    let kept: Vec<usize> = scaled.steps.iter().map(|step| step.step).collect();
    let all = batches().into_iter().enumerate();
    let rest = all.filter(|(index, _)| kept.contains(&(index + 1)));
    let (rest, _) = run(rest.map(|(_, batch)| batch).collect(), None);
    assert_eq!(scaled.steps.len(), rest.steps.len());
    for (step, expected) in scaled.steps.iter().zip(&rest.steps) {
        let (loss, expected) = (step.loss, expected.loss);
        assert!(
            (loss - expected).abs() < 1e-5 * expected,
            "{loss}, not {expected}"
        );
    }
}
