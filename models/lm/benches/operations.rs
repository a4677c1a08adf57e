//! Times the operations of a training step on the processor, forward and then backward, beside
//! their references. The sizes are those of a 768 × 12 LLaMA with 4 × 256 tokens.
//!
//! `cargo bench -p bone-lm --bench operations`. A name after `--` selects one.
//! `benches/vs_peft/operations.py` prints torch's times for the same operations.

// criterion's macro makes an item without documentation.
#![allow(missing_docs)]

use bone_lm::backend::{NormParams, reference};
use bone_lm::{AdamWStep, Backend, Gate, Moments, Window};
use burn::backend::Flex;
use burn::tensor::ops::FloatTensorOps;
use burn::tensor::{Distribution, Int, Tensor};
use burn_flex::FlexTensor;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

// The allocator of the binary. The system allocator gives large tensors new pages every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 1024;
const HIDDEN: usize = 768;
const INTERMEDIATE: usize = 2048;
const VOCAB: usize = 32_000;
const EPSILON: f64 = 1e-5;

fn random<const D: usize>(shape: [usize; D]) -> FlexTensor {
    let distribution = Distribution::Uniform(-1.0, 1.0);
    let tensor = Tensor::<Flex, D>::random(shape, distribution, &Default::default());
    tensor.into_primitive().tensor()
}

/// Times both bodies of an operation.
fn both<T, U>(c: &mut Criterion, name: &str, ours: impl Fn() -> T, reference: impl Fn() -> U) {
    let mut group = c.benchmark_group(name);
    group.bench_function("ours", |b| b.iter(|| black_box(ours())));
    group.bench_function("reference", |b| b.iter(|| black_box(reference())));
    group.finish();
}

fn norms(c: &mut Criterion) {
    let (x, grad) = (random([ROWS, HIDDEN]), random([ROWS, HIDDEN]));
    let weight = random([HIDDEN]);
    both(
        c,
        "rms_norm",
        || {
            let y = Flex::rms_norm(x.clone(), weight.clone(), EPSILON);
            let back = (x.clone(), weight.clone(), grad.clone());
            (
                y,
                Flex::rms_norm_backward(back.0, back.1, back.2, EPSILON, false),
            )
        },
        || {
            let y = reference::rms_norm::<Flex>(x.clone(), weight.clone(), EPSILON);
            let back = (x.clone(), weight.clone(), grad.clone());
            let back = reference::rms_norm_backward::<Flex>(back.0, back.1, back.2, EPSILON, false);
            (y, back)
        },
    );
    let params = |groups| NormParams {
        weight: weight.clone(),
        bias: weight.clone(),
        groups,
        epsilon: EPSILON,
    };
    for (name, groups) in [("layer_norm", 1), ("group_norm of 12", 12)] {
        both(
            c,
            name,
            || {
                let y = Flex::grouped_norm(x.clone(), params(groups));
                (
                    y,
                    Flex::grouped_norm_backward(x.clone(), params(groups), grad.clone(), false),
                )
            },
            || {
                let y = reference::grouped_norm::<Flex>(x.clone(), params(groups));
                let (x, grad) = (x.clone(), grad.clone());
                (
                    y,
                    reference::grouped_norm_backward::<Flex>(x, params(groups), grad, false),
                )
            },
        );
    }
}

fn activations(c: &mut Criterion) {
    let [gate, value, grad] = [0; 3].map(|_| random([ROWS, INTERMEDIATE]));
    for (name, function) in [
        ("swiglu", Gate::Silu),
        ("sigmoid gate", Gate::Sigmoid),
        ("squared relu", Gate::Relu),
    ] {
        both(
            c,
            name,
            || {
                let y = Flex::gated(gate.clone(), value.clone(), function);
                let back = (gate.clone(), value.clone(), grad.clone());
                (y, Flex::gated_backward(back.0, back.1, back.2, function))
            },
            || {
                let y = reference::gated::<Flex>(gate.clone(), value.clone(), function);
                let back = (gate.clone(), value.clone(), grad.clone());
                let back = reference::gated_backward::<Flex>(back.0, back.1, back.2, function);
                (y, back)
            },
        );
    }
    both(
        c,
        "tanh",
        || {
            let y = Flex::tanh(value.clone());
            (Flex::tanh_backward(y.clone(), grad.clone()), y)
        },
        || {
            let y = Flex::float_tanh(value.clone());
            let back = reference::tanh_backward::<Flex>(y.clone(), grad.clone());
            (back, y)
        },
    );
}

fn positions(c: &mut Criterion) {
    // The layout that the preceding products produce.
    let x = random([4, 256, 12, 64]).transpose(1, 2);
    let [cos, sin] = [0; 2].map(|_| random([1, 1, 256, 32]));
    both(
        c,
        "rotary positions",
        || {
            let y = Flex::rotate(x.clone(), cos.clone(), sin.clone(), false);
            Flex::rotate(y, cos.clone(), sin.clone(), true)
        },
        || {
            let y = reference::rotate::<Flex>(x.clone(), cos.clone(), sin.clone(), false);
            reference::rotate::<Flex>(y, cos.clone(), sin.clone(), true)
        },
    );
}

fn attention(c: &mut Criterion) {
    for (name, kv_heads, len) in [
        ("attention, 256 tokens", 12, 256),
        ("attention, 1024 tokens", 12, 1024),
        ("attention, 4 heads of keys", 4, 256),
    ] {
        let rows = 1024 / len;
        let (query, grad) = (random([rows, 12, len, 64]), random([rows, 12, len, 64]));
        let [key, value] = [0; 2].map(|_| random([rows, kv_heads, len, 64]));
        let inputs = || [query.clone(), key.clone(), value.clone()];
        let window = Window::causal(0);
        both(
            c,
            name,
            || {
                let [q, k, v] = inputs();
                let y = Flex::windowed_attention(q, k, v, &window);
                (
                    y,
                    Flex::windowed_attention_backward(inputs(), grad.clone(), &window),
                )
            },
            || {
                let y = reference::windowed_attention::<Flex>(inputs(), &window);
                let grad = grad.clone();
                (
                    y,
                    reference::windowed_attention_backward::<Flex>(inputs(), grad, &window),
                )
            },
        );
    }
}

fn cross_entropy(c: &mut Criterion) {
    let rows = 256;
    let logits = random([rows, VOCAB]);
    let distribution = Distribution::Uniform(0.0, VOCAB as f64 - 1.0);
    let targets = Tensor::<Flex, 1, Int>::random([rows], distribution, &Default::default());
    let targets = targets.into_primitive();
    both(
        c,
        "cross-entropy of 256",
        || Flex::cross_entropy_and_gradient(logits.clone(), targets.clone()),
        || reference::cross_entropy_and_gradient::<Flex>(logits.clone(), targets.clone()),
    );
}

type AdamW = fn(
    FlexTensor,
    FlexTensor,
    Option<Moments<FlexTensor>>,
    &AdamWStep,
) -> (FlexTensor, Moments<FlexTensor>);

fn adamw(c: &mut Criterion) {
    let [param, grad, first] = [0; 3].map(|_| random([HIDDEN, INTERMEDIATE]));
    let second = Flex::float_mul(first.clone(), first.clone());
    let step = AdamWStep {
        learning_rate: 1e-4,
        beta1: 0.9,
        beta2: 0.999,
        epsilon: 1e-8,
        weight_decay: 0.01,
        time: 2,
        grad_factor: 0.5,
    };
    // Each step reuses the tensors of the step before; otherwise the benchmark would measure
    // copies.
    let steps = |body: AdamW| {
        let (first, second) = (first.clone(), second.clone());
        let mut state = Some((param.clone(), Moments { first, second }));
        let grad = grad.clone();
        move || {
            let (param, moments) = state.take()?;
            let norm = Flex::squared_sum(grad.clone());
            state = Some(body(param, grad.clone(), Some(moments), &step));
            Some(norm)
        }
    };
    let mut group = c.benchmark_group("adamw and norm");
    let mut ours = steps(Flex::adamw);
    group.bench_function("ours", |b| b.iter(|| black_box(ours())));
    let mut reference = steps(reference::adamw::<Flex>);
    group.bench_function("reference", |b| b.iter(|| black_box(reference())));
    group.finish();
}

criterion_group! {
    name = operations;
    config = Criterion::default().sample_size(10);
    targets = norms, activations, positions, attention, cross_entropy, adamw
}
criterion_main!(operations);
