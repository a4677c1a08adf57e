//! Where 20 steps of our own tiny models lead.

use super::{CPU, on_trial};
use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_tests::relative_difference;
use bone_train::data::{Batch, Cursor, Step};
use bone_train::device::{DeviceError, DeviceName, OnDevice, on_device};
use bone_train::models::{Architecture, ModelBackend, TINY_VOCAB, WithModel, with_tiny};
use bone_train::optimizer::{AdamWSettings, Optimizer};
use bone_train::report::{Event, ReportError, Reporter};
use bone_train::schedule::{Schedule, ScheduleKind};
use bone_train::step::{Savings, TrainBackend, TrainModel};
use bone_train::trainer::{Data, Plan, train};
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor};

const ARCHITECTURES: [Architecture; 2] = [Architecture::Llama2, Architecture::Rwkv6];
const ROWS: usize = 2;
const LEN: usize = 17;
const STEPS: usize = 20;

/// What a run gave.
struct Outcome {
    losses: Vec<f64>,
    adapters: Vec<Vec<f32>>,
}

/// Bone on the architecture's own axis, by `bone train`'s loop with every saving of memory.
struct Steps {
    architecture: Architecture,
}

impl Steps {
    fn on(self, device: DeviceName, fusion: bool) -> Result<Outcome, DeviceError> {
        on_device(device, fusion, self)
    }

    fn batch(step: usize) -> Batch {
        let token = |i: usize| ((step % 2 * 31 + i * i + 7 * i) % TINY_VOCAB) as u32;
        Batch {
            rows: ROWS,
            len: LEN,
            tokens: (0..ROWS * LEN).map(token).collect(),
            loss_mask: (0..ROWS * LEN).map(|i| i % LEN > 0).collect(),
            row_ids: (0..ROWS as u64).collect(),
        }
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
        let axis = match self.steps.architecture {
            Architecture::Llama2 => BlockAxis::Output,
            Architecture::Rwkv6 => BlockAxis::Input,
        };
        let targets = Targets::new(Selection::AllLinear);
        let config = AdapterConfig::new(Variant::Bone(axis), 8, targets);
        let model = bone::attach::<B, _>(model, &config).expect("fits");
        let model = bone::freeze_base::<B, _>(model);
        let optimizer = Optimizer::new(AdamWSettings::default());
        let plan = Plan {
            total_steps: STEPS,
            schedule: Schedule {
                kind: ScheduleKind::Cosine,
                base_lr: 3e-3,
                warmup_steps: 2,
                total_steps: STEPS,
            },
            savings: Savings {
                recompute: true,
                head_chunk: Some(24),
            },
            chunk_ctx: None,
            seed: 0,
            eval_every: STEPS,
            save_every: None,
            eval_batch_size: 1,
            pad_id: 0,
            loss_scale: None,
            tunes_kernels: false,
        };
        let steps = (0..STEPS).map(|step| Step {
            at: Cursor {
                epoch: 0,
                step: step as u64,
            },
            micro: vec![Steps::batch(step)],
        });
        let mut data = Data {
            steps: Box::new(steps),
            steps_per_epoch: STEPS as u64,
            validation: Vec::new(),
        };
        let mut curves = Curves(Vec::new());
        let (model, _) = train(
            model,
            optimizer,
            &mut data,
            &plan,
            &self.device,
            &mut curves,
            |_, _| Ok(()),
        )
        .expect("finite");
        let mut adapters = Adapters(Vec::new());
        Module::<B>::visit(&model, &mut adapters);
        Outcome {
            losses: curves.0,
            adapters: adapters.0,
        }
    }
}

/// The loss of every step.
struct Curves(Vec<f64>);

impl Reporter for Curves {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        if let Event::Step(step) = event {
            self.0.push(step.loss);
        }
        Ok(())
    }
}

/// The values of every parameter that trains.
struct Adapters(Vec<Vec<f32>>);

impl<B: TrainBackend> ModuleVisitor<B> for Adapters {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        if param.is_require_grad() {
            self.0.push(param.val().into_data().iter::<f32>().collect());
        }
    }
}

/// The table of docs/devices.md: `cargo test … twenty_steps -- --nocapture`.
#[test]
fn twenty_steps_lead_where_they_lead_on_the_processor() {
    println!("| model | device | fusion | loss, first → last | losses within | adapters within |");
    println!("|---|---|---|---|---|---|");
    let mut missed = Vec::new();
    for architecture in ARCHITECTURES {
        let steps = || Steps { architecture };
        let expected = steps().on(CPU, false).expect("works");
        let show = |device: DeviceName, fusion: &str, outcome: &Outcome, off: [f64; 2]| {
            let (first, last) = (outcome.losses[0], outcome.losses[STEPS - 1]);
            assert!(
                last < 0.95 * first,
                "{architecture:?} on {device} learns nothing"
            );
            println!(
                "| {} | {device} | {fusion} | {first:.4} → {last:.4} | {:.1e} | {:.1e} |",
                architecture.name(),
                off[0],
                off[1]
            );
        };
        show(CPU, "", &expected, [0.0; 2]);
        for (device, fusion) in on_trial() {
            let outcome = steps().on(device, fusion).expect("works");
            let losses = outcome.losses.iter().zip(&expected.losses);
            let loss = losses.map(|(a, b)| (a - b).abs()).fold(0.0, nan_max);
            assert_eq!(outcome.losses.len(), STEPS);
            assert_eq!(outcome.adapters.len(), expected.adapters.len());
            let adapters = outcome.adapters.iter().zip(&expected.adapters);
            let adapter = adapters
                .map(|(a, b)| f64::from(relative_difference(a, b)))
                .fold(0.0, nan_max);
            let said = match (device.kind.on_processor(), fusion) {
                (true, _) => "",
                (false, true) => "on",
                (false, false) => "off",
            };
            show(device, said, &outcome, [loss, adapter]);
            if !(loss < 1e-3 && adapter < 1e-3) {
                missed.push(format!("{architecture:?} on {device}, fusion {fusion}"));
            }
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}

fn nan_max(a: f64, b: f64) -> f64 {
    match a.is_nan() || b.is_nan() {
        true => f64::NAN,
        false => a.max(b),
    }
}
