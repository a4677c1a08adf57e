//! Compares the ends of 20 training steps of our tiny models.

use super::{CPU, on_trial};
use bone::{AdapterConfig, Selection, Targets, Variant};
use bone_data::Batch;
use bone_tests::training::{plan, train_on};
use bone_tests::{max_difference, nan_max, relative_difference};
use bone_train::device::{DeviceError, DeviceName, OnDevice, on_device};
use bone_train::models::{Architecture, ModelBackend, TINY_VOCAB, WithModel, with_tiny};
use bone_train::optimizer::AdamWSettings;
use bone_train::schedule::ScheduleKind;
use bone_train::step::{Savings, TrainModel};
use burn::tensor::DType;

const ARCHITECTURES: [Architecture; 2] = [Architecture::Llama2, Architecture::Rwkv6];
const ROWS: usize = 2;
const LEN: usize = 17;
const STEPS: usize = 20;

/// The outcome of a run.
struct Outcome {
    losses: Vec<f32>,
    adapters: Vec<Vec<f32>>,
}

/// Trains bone on the architecture's default axis, with the loop of `bone train` and all memory savings.
struct Steps {
    architecture: Architecture,
}

impl Steps {
    fn on(self, device: DeviceName, fusion: bool) -> Result<Outcome, DeviceError> {
        on_device(device, fusion, self)
    }

    fn batch(step: usize) -> Batch {
        let token = |i: usize| ((step % 2 * 31 + i * i + 7 * i) % TINY_VOCAB) as u32;
        Batch::full(ROWS, LEN, token)
    }
}

impl OnDevice for Steps {
    type Output = Outcome;

    fn run<B: ModelBackend>(self, device: B::Device) -> Outcome {
        let work = OnModel::<B> {
            steps: &self,
            device: device.clone(),
        };
        with_tiny::<B, _>(self.architecture, DType::F32, &device, work)
    }
}

struct OnModel<'a, B: ModelBackend> {
    steps: &'a Steps,
    device: B::Device,
}

impl<B: ModelBackend> WithModel<B> for OnModel<'_, B> {
    type Output = Outcome;

    fn run<M: TrainModel<B>>(self, model: M) -> Outcome {
        let axis = self.steps.architecture.block_axis();
        let targets = Targets::new(Selection::AllLinear);
        let config = AdapterConfig::new(Variant::Bone(axis), 8, targets);
        let model = bone::attach::<B, _>(model, &config).expect("fits");
        let model = bone::freeze_base::<B, _>(model);
        let savings = Savings {
            recompute: true,
            head_chunk: Some(24),
        };
        let mut plan = plan(STEPS, 3e-3, savings);
        plan.schedule.kind = ScheduleKind::Cosine;
        plan.schedule.warmup_steps = 2;
        let batches = (0..STEPS).map(Steps::batch).collect();
        let settings = AdamWSettings::default();
        let (model, heard, _) = train_on::<B, M>(model, batches, &plan, settings, &self.device);
        let mut adapters = Vec::new();
        bone::visit_linears::<B, _>(&model, |_, layer| {
            let data = layer.adapter().map(|adapter| adapter.tensors().remove(0));
            adapters.extend(data.map(|data| data.iter::<f32>().collect()));
        });
        Outcome {
            losses: heard.steps.iter().map(|step| step.loss as f32).collect(),
            adapters,
        }
    }
}

/// Prints the table of docs/devices.md: `cargo test … twenty_steps -- --nocapture`.
#[test]
fn training_on_device_matches_cpu() {
    println!("| model | device | loss, first → last | losses within | adapters within |");
    println!("|---|---|---|---|---|");
    let mut missed = Vec::new();
    for architecture in ARCHITECTURES {
        let steps = || Steps { architecture };
        let expected = steps().on(CPU, false).expect("works");
        let show = |device: DeviceName, outcome: &Outcome, off: [f32; 2]| {
            let (first, last) = (outcome.losses[0], outcome.losses[STEPS - 1]);
            assert!(
                last < 0.95 * first,
                "{architecture:?} on {device} learns nothing"
            );
            println!(
                "| {} | {device} | {first:.4} → {last:.4} | {:.1e} | {:.1e} |",
                architecture.name(),
                off[0],
                off[1]
            );
        };
        show(CPU, &expected, [0.0; 2]);
        for device in on_trial() {
            let outcome = steps().on(device, true).expect("works");
            assert_eq!(outcome.losses.len(), STEPS);
            let loss = max_difference(&outcome.losses, &expected.losses);
            assert_eq!(outcome.adapters.len(), expected.adapters.len());
            let adapters = outcome.adapters.iter().zip(&expected.adapters);
            let adapter = adapters
                .map(|(a, b)| relative_difference(a, b))
                .fold(0.0, nan_max);
            show(device, &outcome, [loss, adapter]);
            if !(loss < 1e-3 && adapter < 1e-3) {
                missed.push(format!("{architecture:?} on {device}"));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}
