//! Peak memory and time of a training step with and without block recompute and chunked head.
//!
//! `cargo bench -p bone-train --bench step_memory` runs a random LLaMA of 768 × 12, vocabulary 32,000, bone
//! of rank 64 on all seven projections, 4 × 256 tokens. Each case runs in its own process. The table
//! compares each case with the case that has both off.

use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_data::Batch;
use bone_llama2::{Llama, LlamaConfig};
use bone_train::memory::{
    ActivationShape, Estimate, ModelShape, RunShape, human, peak_resident_bytes,
};
use bone_train::optimizer::{AdamWSettings, Optimizer};
use bone_train::step::Gradients;
use bone_train::step::{Savings, backward};
use burn::backend::{Autodiff, Flex};
use std::process::Command;
use std::time::Instant;

type B = Autodiff<Flex>;

const CASE: &str = "BONE_BENCH_CASE";
const ROWS: usize = 4;
const LEN: usize = 256;
const RANK: usize = 64;
const STEPS: usize = 3;

fn config() -> LlamaConfig {
    LlamaConfig {
        hidden_size: 768,
        intermediate_size: 2048,
        num_hidden_layers: 12,
        num_attention_heads: 12,
        num_key_value_heads: 12,
        head_dim: 64,
        vocab_size: 32_000,
        max_position_embeddings: 2048,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        tie_word_embeddings: false,
        attention_bias: false,
        mlp_bias: false,
        initializer_range: 0.02,
    }
}

const CASES: [(&str, bool, bool); 4] = [
    ("both off", false, false),
    ("block recompute", true, false),
    ("chunked head", false, true),
    ("both on", true, true),
];

fn main() {
    match std::env::var(CASE) {
        Ok(name) => match CASES.iter().find(|(case, ..)| *case == name) {
            Some(case) => run(*case),
            None => eprintln!("no case {name}"),
        },
        Err(_) => compare(),
    }
}

/// Runs every case in its own process and prints the table.
fn compare() {
    println!("LLaMA 768 × 12, vocabulary 32,000, bone r {RANK}, {ROWS} × {LEN} tokens, f32");
    println!(
        "{:<16} {:>10} {:>6} {:>9} {:>6} {:>10}",
        "", "peak MB", "ratio", "s/step", "ratio", "estimate"
    );
    let mut base: Option<(f64, f64)> = None;
    for (name, ..) in CASES {
        let output = std::env::current_exe()
            .and_then(|exe| Command::new(exe).env(CASE, name).output())
            .expect("the benchmark runs itself");
        let text = String::from_utf8_lossy(&output.stdout);
        let mut numbers = text.split_whitespace().map(str::parse::<f64>);
        let (Some(Ok(bytes)), Some(Ok(seconds)), Some(Ok(estimate))) =
            (numbers.next(), numbers.next(), numbers.next())
        else {
            eprintln!("{name} failed: {}", String::from_utf8_lossy(&output.stderr));
            continue;
        };
        let (all_bytes, all_seconds) = *base.get_or_insert((bytes, seconds));
        println!(
            "{name:<16} {:>10.0} {:>6.2} {seconds:>9.2} {:>6.2} {:>10}",
            bytes / 1e6,
            bytes / all_bytes,
            seconds / all_seconds,
            human(estimate as u64)
        );
    }
}

/// Prints peak resident bytes, the fastest step's seconds and the estimated bytes.
fn run((_, recompute, chunked): (&str, bool, bool)) {
    let device = Default::default();
    let config = config();
    let chunk = 512;
    let adapter = AdapterConfig::new(
        Variant::Bone(BlockAxis::Output),
        RANK,
        Targets::new(Selection::AllLinear),
    );
    let model = Llama::<B>::random(config.clone(), 0, &device);
    let model = bone::attach(model, &adapter).expect("64 divides every layer");
    let mut model = bone::freeze_base(model);
    let trainable_parameters = bone::count_params::<B, _>(&model).trainable;
    let batch = Batch::full(ROWS, LEN, |i| (i * 7919 % 32_000) as u32);
    let savings = Savings {
        recompute,
        head_chunk: chunked.then_some(chunk),
    };
    let mut optimizer = Optimizer::new(AdamWSettings::default());
    let mut fastest = f64::INFINITY;
    for step in 0..STEPS {
        let started = Instant::now();
        let count = batch.trained_tokens() as f64;
        let mut grads = Gradients::default();
        let at = (0, step as u64);
        let sum = backward(
            &model,
            &batch,
            1.0 / count,
            (savings, None),
            at,
            &device,
            &mut grads,
        );
        let outcome;
        (model, outcome) = optimizer.step(model, grads, (sum, count, 1.0), 1e-4);
        outcome.expect("finite");
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    let estimate = Estimate::new(
        &ModelShape {
            parameters: config.num_params(),
            block_parameters: config.block_params(),
            hidden_size: config.hidden_size,
            intermediate_size: config.intermediate_size,
            num_layers: config.num_hidden_layers,
            vocab_size: config.vocab_size,
            activations: ActivationShape::llama(
                config.hidden_size,
                config.intermediate_size,
                config.num_attention_heads,
            ),
        },
        &RunShape {
            trainable_parameters,
            trains_base: false,
            base_bytes_per_parameter: 4,
            half_precision: Some("bf16"),
            batch_size: ROWS,
            max_seq_len: LEN,
            chunk_ctx: None,
            recompute,
            chunked_head: chunked,
            head_chunk: chunk,
            tiles: true,
            casts: false,
        },
    );
    println!("{} {fastest} {}", peak_resident_bytes(), estimate.total());
}
