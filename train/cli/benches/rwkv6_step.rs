//! A training step of RWKV6 with each form of wkv6.
//!
//! `cargo bench -p bone-cli --bench rwkv6_step` runs a random RWKV6 of 768 × 12, head size 64, vocabulary
//! 65,536, bone of rank 64 on the eight linear layers of every block, 4 × 256 tokens. It uses
//! `bone train`'s own defaults (block recompute, chunked head). Each form runs in its own process and is compared
//! with the reference form. Names after `--` select cases.

use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_cli::commands::bench::random::RandomModel;
use bone_data::Batch;
use bone_rwkv6::{Form, Rwkv6, Wkv6, wkv6};
use bone_train::memory::{keep_freed_memory, peak_resident_bytes};
use bone_train::models::Architecture;
use bone_train::optimizer::{AdamWSettings, Optimizer};
use bone_train::step::Gradients;
use bone_train::step::{Savings, backward};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{DType, Distribution, Tensor};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type B = Autodiff<Flex>;

const CASE: &str = "BONE_BENCH_CASE";
const ROWS: usize = 4;
const LEN: usize = 256;
const RANK: usize = 64;
const HIDDEN: usize = 768;
const HEAD: usize = 64;
const LAYERS: usize = 12;
const VOCAB: usize = 65_536;
/// Smallest default of `bone train`.
const HEAD_CHUNK: usize = 512;
/// Number of timed steps, after one warm-up step.
const STEPS: usize = 2;

/// Name, form, and whether the blocks are run again in the backward.
const CASES: [(&str, Form, bool); 4] = [
    ("reference", Form::Recurrence, true),
    ("chunked", Form::Chunked, true),
    ("kernel", Form::Kernel, true),
    ("kernel-no-recompute", Form::Kernel, false),
];

fn main() {
    if let Ok(name) = std::env::var(CASE) {
        match CASES.iter().find(|(case, ..)| *case == name) {
            Some((_, form, recompute)) => run(*form, *recompute),
            None => eprintln!("no case {name}"),
        }
        return;
    }
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let asked: Vec<&String> = asked.iter().filter(|name| !name.starts_with('-')).collect();
    compare(|name| asked.is_empty() || asked.iter().any(|asked| *asked == name));
}

/// Runs every case in its own process and prints the table.
fn compare(wanted: impl Fn(&str) -> bool) {
    println!(
        "RWKV6 {HIDDEN} × {LAYERS}, vocabulary {VOCAB}, bone r {RANK} on the input axis, \
         {ROWS} × {LEN} tokens, f32"
    );
    println!(
        "{:<20} {:>9} {:>6} {:>7} {:>10} {:>9} {:>6}",
        "wkv6", "tokens/s", "ratio", "s/step", "wkv6 share", "peak MB", "ratio"
    );
    let mut base: Option<(f64, f64)> = None;
    for (name, ..) in CASES.iter().filter(|(name, ..)| wanted(name)) {
        let output = std::env::current_exe()
            .and_then(|exe| Command::new(exe).env(CASE, name).output())
            .expect("the benchmark runs itself");
        let text = String::from_utf8_lossy(&output.stdout);
        let numbers: Vec<f64> = text.split_whitespace().flat_map(str::parse).collect();
        let [bytes, seconds, share] = numbers[..] else {
            eprintln!("{name} failed: {}", String::from_utf8_lossy(&output.stderr));
            continue;
        };
        let speed = (ROWS * LEN) as f64 / seconds;
        let (base_speed, base_bytes) = *base.get_or_insert((speed, bytes));
        println!(
            "{name:<20} {speed:>9.1} {:>6.2} {seconds:>7.2} {:>8.1} % {:>9.0} {:>6.2}",
            speed / base_speed,
            100.0 * share,
            bytes / 1e6,
            bytes / base_bytes
        );
    }
}

/// Writes a checkpoint of random weights. The model maps it like a user's file.
fn checkpoint() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let random = RandomModel {
        architecture: Architecture::Rwkv6,
        hidden_size: HIDDEN,
        intermediate_size: None,
        layers: LAYERS,
        heads: Some(HIDDEN / HEAD),
        kv_heads: None,
        vocab_size: VOCAB,
    };
    let written = random.write(&folder.path().join("model"), LEN, DType::F32);
    written.expect("written");
    folder
}

fn model(form: Form, folder: &Path) -> Rwkv6<B> {
    let model = Rwkv6::<B>::from_path(&folder.join("model"), &Default::default(), None);
    let targets = Targets::new(Selection::AllLinear);
    let adapter = AdapterConfig::new(Variant::Bone(BlockAxis::Input), RANK, targets);
    let model = bone::attach(model.expect("loads"), &adapter).expect("64 divides every layer");
    bone::freeze_base(model).with_wkv6_form(Some(form))
}

/// Prints peak resident bytes, the median step's seconds and the fraction of wkv6 in it.
fn run(form: Form, recompute: bool) {
    let device = Default::default();
    // Both settings are those of `bone train`.
    let workers = rayon::ThreadPoolBuilder::new().use_current_thread();
    workers.build_global().expect("the first");
    if !recompute {
        keep_freed_memory();
    }
    let folder = checkpoint();
    let mut model = model(form, folder.path());
    let batch = Batch::full(ROWS, LEN, |i| (i * 7919 % VOCAB) as u32);
    let savings = Savings {
        recompute,
        head_chunk: Some(HEAD_CHUNK),
    };
    let mut optimizer = Optimizer::new(AdamWSettings::default());
    let mut seconds = Vec::new();
    for step in 0..=STEPS {
        let started = Instant::now();
        let count = batch.trained_tokens() as f64;
        let mut grads = Gradients::default();
        let sum = backward(
            &model,
            &batch,
            1.0 / count,
            (savings, None),
            (0, step as u64),
            &device,
            &mut grads,
        );
        let outcome;
        (model, outcome) = optimizer.step(model, grads, (sum, count, 1.0), 1e-4);
        outcome.expect("finite");
        if step > 0 {
            seconds.push(started.elapsed().as_secs_f64());
        }
    }
    seconds.sort_by(f64::total_cmp);
    let median = (seconds[(STEPS - 1) / 2] + seconds[STEPS / 2]) / 2.0;
    let peak = peak_resident_bytes();
    let share = LAYERS as f64 * seconds_of_wkv6(form, recompute) / median;
    println!("{peak} {median} {share}");
}

/// Returns the seconds of one layer's wkv6 in a step: forward and backward, and with recompute one more
/// forward.
fn seconds_of_wkv6(form: Form, recompute: bool) -> f64 {
    let rows = |low, high| {
        let shape = [ROWS, LEN, HIDDEN];
        let distribution = Distribution::Uniform(low, high);
        Tensor::<B, 3>::random(shape, distribution, &Default::default()).require_grad()
    };
    let shape = [HIDDEN / HEAD, HEAD];
    let inputs = Wkv6 {
        receptance: rows(-1.0, 1.0),
        key: rows(-1.0, 1.0),
        value: rows(-1.0, 1.0),
        decay: rows(-6.0, -1.0),
        bonus: Tensor::random(shape, Distribution::Default, &Default::default()),
        state: None,
    };
    let before = Wkv6 {
        receptance: inputs.receptance.clone().inner(),
        key: inputs.key.clone().inner(),
        value: inputs.value.clone().inner(),
        decay: inputs.decay.clone().inner(),
        bonus: inputs.bonus.clone().inner(),
        state: None,
    };
    let mut fastest = f64::INFINITY;
    for _ in 0..3 {
        let started = Instant::now();
        if recompute {
            wkv6(before.clone(), Some(form));
        }
        let (output, _) = wkv6(inputs.clone(), Some(form));
        output.sum().backward();
        fastest = fastest.min(started.elapsed().as_secs_f64());
    }
    fastest
}
