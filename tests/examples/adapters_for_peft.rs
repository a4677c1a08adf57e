//! Writes adapters of every variant on the fixture model, trained a few steps by us, with the
//! logits they give and the merged model: what `tests/reference/check_adapters.py` holds against
//! PEFT and transformers.
//!
//! `cargo run -p bone-tests --example adapters_for_peft -- DIR`

use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_llama2::Llama;
use bone_lm::generate::token_tensor;
use bone_lm::{CausalLm, checkpoint};
use bone_tests::{Run, fixtures};
use bone_train::gradients::Gradients;
use bone_train::models::save_folder;
use bone_train::optimizer::{AdamWSettings, Optimizer};
use bone_train::step::{Savings, backward};
use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::tensor::TensorData;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type B = Autodiff<Flex>;

fn main() {
    let Some(folder) = std::env::args().nth(1).map(PathBuf::from) else {
        eprintln!("usage: adapters_for_peft DIR");
        std::process::exit(2);
    };
    for (name, variant, rank) in [
        ("bone", Variant::Bone(BlockAxis::Output), 4),
        ("bone-input", Variant::Bone(BlockAxis::Input), 4),
        ("miss", Variant::Miss, 8),
        ("miss-mini", Variant::MissMini { width: 4 }, 8),
    ] {
        write(&folder.join(name), variant, rank);
        println!("{}", folder.join(name).display());
    }
}

fn write(folder: &Path, variant: Variant, rank: usize) {
    let device = Default::default();
    let base = fixtures().join("llama-tiny");
    let targets = Targets::new(Selection::AllLinear);
    let config = AdapterConfig::new(variant, rank, targets);
    let model = Llama::<B>::from_folder(&base, &device, None).expect("the fixture loads");
    let model = bone::attach(model, &config).expect("fits");
    let mut model = bone::freeze_base(model);
    let run = Run::open(fixtures().join("golden-llama-tiny-miss-r8"));
    let mut optimizer = Optimizer::new(AdamWSettings::default());
    let savings = Savings {
        recompute: true,
        head_chunk: Some(16),
    };
    for (step, batch) in run.batches().iter().enumerate() {
        let count = batch.trained_tokens() as f64;
        let mut grads = Gradients::default();
        let at = (0, step as u64);
        let sum = backward(&model, batch, 1.0 / count, savings, at, &device, &mut grads);
        let outcome;
        (model, outcome) = optimizer.step(model, grads, sum, count, 5e-3);
        outcome.expect("finite");
    }

    let batch = &run.batches()[0];
    let tokens = token_tensor(&batch.tokens, batch.rows, batch.len, &device);
    let logits = model.valid().forward(tokens).into_data();
    let ids: Vec<i64> = batch.tokens.iter().map(|id| i64::from(*id)).collect();
    let expected = [
        ("logits".to_string(), logits),
        (
            "tokens".to_string(),
            TensorData::new(ids, [batch.rows, batch.len]),
        ),
    ];
    // The writer makes model folders; here its one file is wanted under another name.
    let written = folder.join("expected");
    checkpoint::save(&written, expected, u64::MAX, BTreeMap::new()).expect("written");
    std::fs::rename(
        written.join(checkpoint::SINGLE_FILE),
        folder.join("expected.safetensors"),
    )
    .expect("renamed");
    std::fs::remove_dir(&written).expect("empty");

    bone::peft::save::<B, _>(&model, &config, Some("llama-tiny"), &folder.join("adapter"))
        .expect("saves");
    let merged = bone::merge(model).expect("finite").valid();
    save_folder(&merged, &base, &folder.join("merged")).expect("saves");
    let plain = Llama::<Flex>::from_folder(&base, &device, None).expect("loads");
    save_folder(&plain, &base, &folder.join("model")).expect("saves");
}
