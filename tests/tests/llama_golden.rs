//! Compares our training step with runs that Hugging Face PEFT recorded: first gradients, losses,
//! gradient norms, trained and merged logits, and the adapter's file.

use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_llama2::Llama;
use bone_lm::checkpoint::Checkpoint;
use bone_tests::replay::{B, PLAIN, SAVING, Tolerance, logits};
use bone_tests::{Run, assets, fixtures, max_difference};
use bone_train::step::Savings;
use burn::backend::Flex;
use burn::module::AutodiffModule;
use std::path::Path;

/// AdamW divides by small moments, so every step amplifies differences in the last digits.
const TOLERANCE: Tolerance = Tolerance {
    gradient: 1e-4,
    loss: 2e-5,
    norm: 2e-4,
    tuned: 1e-3,
};

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

fn close(got: &[f32], expected: &[f32], what: &str) {
    let difference = max_difference(got, expected);
    assert!(difference < 1e-4, "{what}: {difference}");
}

fn replay(model_folder: &Path, run: &Run, savings: Savings) {
    let device = Default::default();
    let base = Llama::<B>::from_folder(model_folder, &device, None).expect("loads");
    close(
        &logits(&base.valid(), run, &device),
        &run.tensors.floats("base_logits"),
        "base logits",
    );
    let targets = Targets::new(Selection::AllLinear);
    let config = AdapterConfig::new(variant(run), run.number("r") as usize, targets);
    let model = bone::attach(base, &config).expect("fits");
    let model = bone::freeze_base(model);

    let name = |path: &str| {
        let layer = path.split(".adapter").next().expect("a path");
        format!("{layer}.miss_block")
    };
    let model = bone_tests::replay::replay::<B, _>(model, run, savings, TOLERANCE, name, &device);
    let trained = logits(&model.valid(), run, &device);

    // Our file equals PEFT's.
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
    assert_eq!(same, (&config).into());
    close(
        &logits::<Flex, _>(&again, run, &device),
        &trained,
        "our adapter loaded again",
    );
}

/// Loads the adapter that another tool trained, from that tool's file.
fn load_and_merge(model_folder: &Path, run: &Run) {
    let base = Llama::<Flex>::from_folder(model_folder, &Default::default(), None).expect("loads");
    let (model, _) = bone::peft::load(base.clone(), &run.folder).expect("fits");
    close(
        &logits::<Flex, _>(&model, run, &Default::default()),
        &run.tensors.floats("tuned_logits"),
        "golden adapter",
    );
    let merged = bone::merge(model).expect("finite");
    close(
        &logits::<Flex, _>(&merged, run, &Default::default()),
        &run.tensors.floats("merged_logits"),
        "golden adapter merged",
    );
    let restored = bone::unmerge(merged).expect("invertible");
    close(
        &logits::<Flex, _>(&bone::disable(restored), run, &Default::default()),
        &run.tensors.floats("base_logits"),
        "unmerged",
    );
}

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

/// The record does not have the initial A, so the run cannot be repeated. Instead the test reads
/// PEFT's trained adapter, compares its adapted and merged logits, and writes it unchanged.
#[test]
fn pefts_lora_on_stories260k_is_read_and_merged() {
    let Some(assets) = assets() else { return };
    let run = Run::open(assets.join("goldens/stories260k-lora-r4"));
    let model = assets.join("models/stories260k");
    load_and_merge(&model, &run);

    let saved = bone::peft::scan(&run.folder).and_then(bone::saved::Scan::finish);
    let saved = saved.expect("whole");
    let ours = tempfile::tempdir().expect("a folder");
    bone::peft::write(&saved, Some("base"), ours.path()).expect("writes");
    let read = |folder: &Path| {
        let file = Checkpoint::open_file(&folder.join("adapter_model.safetensors")).expect("whole");
        let tensors = file.tensors().map(|(name, _)| name.to_string());
        let names: Vec<_> = tensors.collect();
        let values = names.iter().map(|name| file.data(name).expect("there"));
        let values: Vec<_> = values.map(|data| data.as_bytes().to_vec()).collect();
        (names, values)
    };
    assert_eq!(read(ours.path()), read(&run.folder));
}
