//! Our training step against runs that Hugging Face PEFT recorded: first gradients, losses,
//! gradient norms, trained and merged logits, and the adapter's file.

use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_llama2::Llama;
use bone_lm::CausalLm;
use bone_lm::checkpoint::Checkpoint;
use bone_lm::generate::token_tensor;
use bone_tests::{Run, assets, fixtures, max_difference, relative_difference};
use bone_train::data::{Cursor, Step};
use bone_train::gradients::Gradients;
use bone_train::optimizer::{AdamWSettings, Optimizer};
use bone_train::report::{Event, ReportError, Reporter, StepReport};
use bone_train::schedule::{Schedule, ScheduleKind};
use bone_train::step::{Savings, backward};
use bone_train::trainer::{Data, Plan, train};
use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::tensor::{DType, Tensor};
use std::path::Path;

type B = Autodiff<Flex>;

fn variant(run: &Run) -> Variant {
    match run.settings["method"].as_str() {
        Some("miss") => Variant::Miss,
        Some("bat") => Variant::Bone(BlockAxis::Output),
        Some("mini") => Variant::MissMini {
            width: run.number("mini_r") as usize,
        },
        other => panic!("unknown method {other:?}"),
    }
}

fn logits(model: &Llama<Flex>, run: &Run) -> Vec<f32> {
    let batch = &run.batches()[0];
    let tokens = token_tensor(&batch.tokens, batch.rows, batch.len, &Default::default());
    let data = model.forward(tokens).into_data().convert_dtype(DType::F32);
    data.iter::<f32>().collect()
}

fn close(got: &[f32], expected: &[f32], what: &str) {
    let difference = max_difference(got, expected);
    assert!(difference < 1e-4, "{what}: {difference}");
}

fn first_gradients(model: &Llama<B>, grads: &Gradients, run: &Run) -> usize {
    let mut checked = 0;
    bone::visit_linears::<B, _>(model, |path, layer| {
        let Some(adapter) = layer.adapter() else {
            return;
        };
        let params = grads.as_params();
        let grad = match adapter {
            bone::Adapter::Bone(bone) => {
                params.get::<Flex, 3>(bone.block.id).map(Tensor::into_data)
            }
            bone::Adapter::Miss(miss) => {
                params.get::<Flex, 2>(miss.block.id).map(Tensor::into_data)
            }
            bone::Adapter::MissMini(mini) => {
                params.get::<Flex, 2>(mini.block.id).map(Tensor::into_data)
            }
            bone::Adapter::BoneInput(_) => None,
        };
        let grad: Vec<f32> = grad.expect("has a gradient").iter::<f32>().collect();
        let expected = run.tensors.floats(&format!("grad0.{path}.miss_block"));
        let difference = relative_difference(&grad, &expected);
        assert!(difference < 1e-4, "{path}: {difference}");
        checked += 1;
    });
    checked
}

/// What the loop reports of every step.
struct Curves(Vec<StepReport>);

impl Reporter for Curves {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        if let Event::Step(step) = event {
            self.0.push(step);
        }
        Ok(())
    }
}

fn replay(model_folder: &Path, run: &Run, savings: Savings) {
    let device = Default::default();
    let base = Llama::<B>::from_folder(model_folder, &device, None).expect("loads");
    close(
        &logits(&base.valid(), run),
        &run.tensors.floats("base_logits"),
        "base logits",
    );
    let targets = Targets::new(Selection::AllLinear);
    let config = AdapterConfig::new(variant(run), run.number("r") as usize, targets);
    let model = bone::attach(base, &config).expect("fits");
    let model = bone::freeze_base(model);

    // The first gradients by themselves, then the whole run through the loop.
    let batches = run.batches();
    let mut grads = Gradients::default();
    let scale = 1.0 / batches[0].trained_tokens() as f64;
    backward(
        &model,
        &batches[0],
        scale,
        savings,
        (0, 0),
        &device,
        &mut grads,
    );
    let layers = first_gradients(&model, &grads, run);
    let expected = run.tensors.names();
    let expected = expected.iter().filter(|n| n.starts_with("grad0.")).count();
    assert_eq!(layers, expected);

    let betas = run.list("betas");
    let optimizer = Optimizer::new(AdamWSettings {
        beta1: betas[0],
        beta2: betas[1],
        epsilon: run.number("eps"),
        weight_decay: run.number("weight_decay"),
        max_grad_norm: None,
    });
    let total_steps = batches.len();
    let plan = Plan {
        total_steps,
        schedule: Schedule {
            kind: ScheduleKind::Constant,
            base_lr: run.number("lr"),
            warmup_steps: 0,
            total_steps,
        },
        savings,
        seed: 0,
        eval_every: total_steps,
        save_every: None,
        eval_batch_size: 1,
        pad_id: 0,
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
    let mut curves = Curves(Vec::new());
    let (model, _) = train(
        model,
        optimizer,
        &mut data,
        &plan,
        &device,
        &mut curves,
        |_, _| Ok(()),
    )
    .expect("finite");
    let expected = run.list("losses").into_iter().zip(run.list("grad_norms"));
    assert_eq!(curves.0.len(), total_steps);
    for (ours, (loss, norm)) in curves.0.iter().zip(expected) {
        let off = (ours.loss - loss).abs();
        assert!(off < 2e-5, "loss of {ours:?} is not {loss}");
        let off = (ours.grad_norm - norm).abs() / norm;
        assert!(off < 2e-4, "norm of {ours:?} is not {norm}");
    }
    let tuned = run.tensors.floats("tuned_logits");
    // AdamW divides by small moments, so every step widens the last digits' differences.
    let trained = logits(&model.valid(), run);
    let difference = max_difference(&trained, &tuned);
    assert!(difference < 1e-3, "our trained logits: {difference}");

    // What we save is what PEFT saves.
    let ours = tempfile::tempdir().expect("a folder");
    bone::peft::save::<B, _>(&model, &config, Some("base"), ours.path()).expect("saves");
    let read = |folder: &Path| {
        let file = Checkpoint::open_file(&folder.join("adapter_model.safetensors")).expect("whole");
        let tensors = file.tensors();
        tensors
            .map(|(name, info)| {
                (
                    name.to_string(),
                    info.shape.clone(),
                    format!("{:?}", info.dtype),
                )
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(read(ours.path()), read(&run.folder));
    let again = Llama::<Flex>::from_folder(model_folder, &device, None).expect("loads");
    let (again, same) = bone::peft::load(again, ours.path()).expect("loads back");
    assert_eq!(same, config);
    close(&logits(&again, run), &trained, "our adapter loaded again");
}

/// The adapter another tool trained, in its own file.
fn load_and_merge(model_folder: &Path, run: &Run) {
    let base = Llama::<Flex>::from_folder(model_folder, &Default::default(), None).expect("loads");
    let (model, _) = bone::peft::load(base.clone(), &run.folder).expect("fits");
    close(
        &logits(&model, run),
        &run.tensors.floats("tuned_logits"),
        "golden adapter",
    );
    let merged = bone::merge(model).expect("finite");
    close(
        &logits(&merged, run),
        &run.tensors.floats("merged_logits"),
        "golden adapter merged",
    );
    let restored = bone::unmerge(merged).expect("invertible");
    close(
        &logits(&bone::disable(restored), run),
        &run.tensors.floats("base_logits"),
        "unmerged",
    );
}

const PLAIN: Savings = Savings {
    recompute: false,
    head_chunk: None,
};
const SAVING: Savings = Savings {
    recompute: true,
    head_chunk: Some(16),
};

#[test]
fn runs_on_our_fixture_are_reproduced() {
    for name in ["miss-r8", "bat-r4", "mini-r8-4"] {
        let run = Run::open(fixtures().join(format!("golden-llama-tiny-{name}")));
        let model = fixtures().join("llama-tiny");
        replay(&model, &run, PLAIN);
        replay(&model, &run, SAVING);
        load_and_merge(&model, &run);
    }
}

#[test]
fn runs_on_stories260k_are_reproduced() {
    let Some(assets) = assets() else { return };
    for name in ["miss-r8", "bat-r4", "mini-r8-4"] {
        let run = Run::open(assets.join(format!("goldens/stories260k-{name}")));
        let model = assets.join("models/stories260k");
        replay(&model, &run, PLAIN);
        replay(&model, &run, SAVING);
        load_and_merge(&model, &run);
    }
}
