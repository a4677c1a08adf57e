//! Writes adapters of every variant on the fixture model, also with parameters trained in full
//! beside them. It trains each for a few steps and writes the logits, the merged model and the other
//! formats. `tests/reference/check_adapters.py` compares these with torch, PEFT and transformers.
//!
//! `cargo run -p bone-tests --example adapters_for_peft -- DIR`

use bone::saved::Contents;
use bone::{
    AdapterConfig, BlockAxis, LoraConfig, LoraStart, Selection, SvdMethod, Targets, Variant, peft,
};
use bone_cli::commands::convert::{self, ConvertArgs, Format};
use bone_cli::commands::merge::{MergeArgs, merge};
use bone_llama2::Llama;
use bone_lm::generate::token_tensor;
use bone_lm::{CausalLm, Part, checkpoint, named_weights};
use bone_tests::{Run, fixtures};
use bone_train::models::write_weights;
use bone_train::optimizer::{AdamWSettings, Optimizer};
use bone_train::step::Gradients;
use bone_train::step::{Savings, backward};
use burn::backend::{Autodiff, Flex};
use burn::module::AutodiffModule;
use burn::tensor::{FloatDType, TensorData};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

type B = Autodiff<Flex>;

const BASE: &str = "llama-tiny";

fn main() {
    let Some(folder) = std::env::args().nth(1).map(PathBuf::from) else {
        eprintln!("usage: adapters_for_peft DIR");
        std::process::exit(2);
    };
    let bone = Variant::Bone(BlockAxis::Output);
    let pissa = LoraStart::Pissa(SvdMethod::Exact);
    let ends = [Part::Norm, Part::Embedding, Part::Head];
    for (name, base, variant, rank, parts) in [
        ("bone", BASE, bone, 4, &[][..]),
        ("bone-input", BASE, Variant::Bone(BlockAxis::Input), 4, &[]),
        ("miss", BASE, Variant::Miss, 8, &[]),
        ("miss-mini", BASE, Variant::MissMini { width: 4 }, 8, &[]),
        ("lora", BASE, lora(LoraStart::Random, false), 4, &[]),
        (
            "lora-rslora",
            BASE,
            lora(LoraStart::Random, true),
            4,
            &[Part::Head],
        ),
        ("pissa", BASE, lora(pissa, false), 4, &[]),
        ("olora", BASE, lora(LoraStart::Olora, true), 4, &[]),
        (
            "miss-norms-head",
            BASE,
            Variant::Miss,
            8,
            &[Part::Norm, Part::Head],
        ),
        ("bone-all-parts", BASE, bone, 4, &ends),
        // PEFT would not tie the embedding, so it must refuse this adapter.
        ("miss-tied", "llama-tiny-tied", Variant::Miss, 8, &ends[..2]),
    ] {
        write(&folder.join(name), base, variant, rank, parts);
        println!("{}", folder.join(name).display());
    }
}

fn lora(start: LoraStart, rslora: bool) -> Variant {
    Variant::Lora(LoraConfig {
        alpha: 6.0,
        rslora,
        start,
    })
}

/// Writes the commands' outputs for the adapter: a merged model, a LoRA, a torch file.
fn write_forms(folder: &Path, contents: &Contents) {
    let (base, adapter) = (folder.join("model"), folder.join("adapter"));
    let args = MergeArgs {
        model: base.clone(),
        adapter: vec![adapter.clone()],
        out: folder.join("merged"),
        device: "cpu".into(),
        ..MergeArgs::default()
    };
    merge(&args).expect("agrees");
    let convert = |to, energy, out: &str| {
        let args = ConvertArgs {
            path: adapter.clone(),
            to,
            out: folder.join(out),
            model: Some(base.clone()),
            rank: None,
            energy,
            block_axis: None,
        };
        convert::run(&args).expect("held");
    };
    let variant = contents.adapter.as_ref().map(|config| config.variant);
    match (variant, contents.full.is_empty()) {
        (Some(Variant::Miss | Variant::MissMini { .. }), true) => {
            convert(Format::Lora, None, "lora");
        }
        (Some(Variant::Bone(_)), true) => convert(Format::Lora, Some(1.0), "lora"),
        _ => {}
    }
    if let Some(Variant::Bone(_) | Variant::Miss) = variant {
        convert(Format::RwkvPth, None, "adapter.pth");
    }
}

fn write(folder: &Path, base: &str, variant: Variant, rank: usize, parts: &[Part]) {
    let device = Default::default();
    let base_name = base;
    let base = fixtures().join(base);
    let targets = Targets::new(Selection::AllLinear);
    let config = AdapterConfig::new(variant, rank, targets);
    let f32 = Some(FloatDType::F32);
    let model = Llama::<B>::from_folder(&base, &device, f32).expect("the fixture loads");
    let full: BTreeSet<_> = bone::weights::infos::<B, _>(&model)
        .into_keys()
        .filter(|name| {
            model
                .part_of(name)
                .is_some_and(|part| parts.contains(&part))
        })
        .collect();
    let model = bone::attach(model, &config).expect("fits");
    let model = bone::freeze_base(model);
    let mut model: Llama<B> =
        bone::train_also(model, |name| full.contains(name)).expect("no adapter on these");
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
        let how = (savings, None);
        let sum = backward(&model, batch, 1.0 / count, how, at, &device, &mut grads);
        let outcome;
        (model, outcome) = optimizer.step(model, grads, (sum, count, 1.0), 5e-3);
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
    // The writer makes model folders; this file needs another name.
    let written = folder.join("expected");
    checkpoint::save(&written, expected, u64::MAX, BTreeMap::new()).expect("written");
    std::fs::rename(
        written.join(checkpoint::SINGLE_FILE),
        folder.join("expected.safetensors"),
    )
    .expect("renamed");
    std::fs::remove_dir(&written).expect("empty");

    let contents = Contents {
        adapter: Some(config),
        full,
    };
    let adapter = folder.join("adapter");
    peft::save::<B, _>(&model, &contents, Some(base_name), &adapter).expect("saves");
    let plain = Llama::<Flex>::from_folder(&base, &device, f32).expect("loads");
    let saved = folder.join("model");
    std::fs::create_dir(&saved).expect("a new folder");
    write_weights(named_weights(&plain), &base, &saved).expect("saves");
    write_forms(folder, &contents);
}
