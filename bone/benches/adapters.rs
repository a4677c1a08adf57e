//! Times every adapter on one layer: 768 inputs, 2,048 outputs, 1,024 rows, forward and backward
//! without the weight's gradient. Each adapter runs beside its reference and beside the layer
//! without an adapter.
//!
//! `cargo bench -p bone --bench adapters`. A name after `--` selects one.
//! `benches/vs_peft/operations.py` prints PEFT's times for the same operations.

// criterion's macro makes an item without documentation.
#![allow(missing_docs)]

use bone::Backend;
use bone::backend::{BoneGrads, BoneWants, LoraTerm, LoraWants, reference};
use burn::backend::Flex;
use burn::tensor::{Distribution, Tensor};
use burn_flex::FlexTensor;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

// The allocator of the binary. The system allocator gives large tensors new pages every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 1024;
const INPUT: usize = 768;
const OUTPUT: usize = 2048;
const RANK: usize = 64;

fn random<const D: usize>(shape: [usize; D]) -> Tensor<Flex, D> {
    let distribution = Distribution::Uniform(-0.1, 0.1);
    Tensor::random(shape, distribution, &Default::default())
}

fn primitive<const D: usize>(tensor: Tensor<Flex, D>) -> FlexTensor {
    tensor.into_primitive().tensor()
}

type Product = fn(FlexTensor, FlexTensor, FlexTensor) -> FlexTensor;
type Backward =
    fn(FlexTensor, FlexTensor, FlexTensor, FlexTensor, BoneWants) -> BoneGrads<FlexTensor>;

/// A name, an adapter, and the two bodies of its operation.
type Case = (
    &'static str,
    FlexTensor,
    [(&'static str, Product, Backward); 2],
);

fn adapters(c: &mut Criterion) {
    let x = primitive(random([ROWS, INPUT]));
    // The layout of a checkpoint.
    let weight = primitive(random([OUTPUT, INPUT]).transpose());
    let grad = primitive(random([ROWS, OUTPUT]));
    let wants = BoneWants {
        input: true,
        weight: false,
        block: true,
    };
    let blocks = |count| primitive(random([count, RANK, RANK]));
    let cases: [Case; 3] = [
        (
            "bone, output axis",
            blocks(OUTPUT / RANK),
            [
                (
                    "ours",
                    Flex::bone_output_product,
                    Flex::bone_output_backward,
                ),
                (
                    "reference",
                    reference::bone_output_product::<Flex>,
                    reference::bone_output_backward::<Flex>,
                ),
            ],
        ),
        (
            "bone, input axis",
            blocks(INPUT / RANK),
            [
                ("ours", Flex::bone_input_product, Flex::bone_input_backward),
                (
                    "reference",
                    reference::bone_input_product::<Flex>,
                    reference::bone_input_backward::<Flex>,
                ),
            ],
        ),
        (
            "miss",
            primitive(random([RANK, OUTPUT])),
            [
                (
                    "ours",
                    |x, w, d| Flex::miss_product(x, w, d, None),
                    |x, w, d, grad, wants| Flex::miss_backward(x, w, d, None, grad, wants),
                ),
                (
                    "reference",
                    |x, w, d| reference::miss_product::<Flex>(x, w, d, None),
                    |x, w, d, grad, wants| {
                        reference::miss_backward::<Flex>(x, w, d, None, grad, wants)
                    },
                ),
            ],
        ),
    ];
    for (name, block, bodies) in cases {
        let mut group = c.benchmark_group(name);
        for (which, product, backward) in bodies {
            group.bench_function(which, |b| {
                b.iter(|| {
                    let inputs = || (x.clone(), weight.clone(), block.clone());
                    let (x, w, d) = inputs();
                    black_box(product(x, w, d));
                    let (x, w, d) = inputs();
                    black_box(backward(x, w, d, grad.clone(), wants))
                });
            });
        }
        group.finish();
    }

    let term = LoraTerm {
        factors: [random([36, INPUT]), random([OUTPUT, 36])].map(primitive),
        scale: 1.0,
        trained: 36,
        mask: None,
    };
    let wants = LoraWants {
        input: true,
        weight: false,
        a: true,
        b: true,
    };
    let mut group = c.benchmark_group("lora, rank 36");
    let inputs = || (x.clone(), weight.clone(), term.clone());
    group.bench_function("ours", |b| {
        b.iter(|| {
            let (x, w, t) = inputs();
            black_box(Flex::lora_product(x, w, t));
            let (x, w, t) = inputs();
            black_box(Flex::lora_backward(x, w, t, grad.clone(), wants))
        });
    });
    group.bench_function("reference", |b| {
        b.iter(|| {
            let (x, w, t) = inputs();
            black_box(reference::lora_product::<Flex>(x, w, t));
            let (x, w, t) = inputs();
            black_box(reference::lora_backward::<Flex>(
                x,
                w,
                t,
                grad.clone(),
                wants,
            ))
        });
    });
    group.finish();

    let mut group = c.benchmark_group("no adapter");
    group.bench_function("ours", |b| {
        b.iter(|| {
            black_box(Flex::product(x.clone(), weight.clone()));
            let (x, w) = (x.clone(), weight.clone());
            black_box(Flex::product_backward(x, w, grad.clone(), [true, false]))
        });
    });
    group.bench_function("reference", |b| {
        b.iter(|| {
            black_box(reference::product::<Flex>(x.clone(), weight.clone()));
            let (x, w) = (x.clone(), weight.clone());
            black_box(reference::product_backward::<Flex>(
                x,
                w,
                grad.clone(),
                [true, false],
            ))
        });
    });
    group.finish();
}

criterion_group! {
    name = layers;
    config = Criterion::default().sample_size(10);
    targets = adapters
}
criterion_main!(layers);
