//! Times forward and backward of RWKV6's own operations on the processor, for one layer of the
//! smallest released RWKV6: batch 4, 256 tokens, 12 heads of 64.
//!
//! `cargo bench -p bone-rwkv6 --bench operations`. `benches/vs_peft/operations.py` prints torch's
//! times of the token shift. Those of wkv6's recurrence make up most of
//! `train/cli/benches/rwkv6_eager.py`.

// criterion's macro makes an item without documentation.
#![allow(missing_docs)]

use bone_rwkv6::{Backend, Form, TokenMix, TokenMixWants, Wkv6, reference, wkv6};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Distribution, Tensor};
use burn_flex::FlexTensor;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

// The allocator of the binary. The system allocator gives large tensors new pages every time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type B = Autodiff<Flex>;

const BATCH: usize = 4;
const LEN: usize = 256;
const HEADS: usize = 12;
const SIZE: usize = 64;

fn inputs() -> Wkv6<B> {
    let rows = |low, high| {
        let distribution = Distribution::Uniform(low, high);
        Tensor::random(
            [BATCH, LEN, HEADS * SIZE],
            distribution,
            &Default::default(),
        )
        .require_grad()
    };
    Wkv6 {
        receptance: rows(-1.0, 1.0),
        key: rows(-1.0, 1.0),
        value: rows(-1.0, 1.0),
        decay: rows(-6.0, -1.0),
        bonus: Tensor::random([HEADS, SIZE], Distribution::Default, &Default::default())
            .require_grad(),
        state: None,
    }
}

fn forms(criterion: &mut Criterion) {
    let inputs = inputs();
    let mut group = criterion.benchmark_group("wkv6");
    group.sample_size(10);
    for form in [Form::Kernel, Form::Chunked, Form::Recurrence] {
        group.bench_function(format!("{form:?} forward"), |bencher| {
            bencher.iter(|| {
                let inner = Wkv6 {
                    receptance: inputs.receptance.clone().inner(),
                    key: inputs.key.clone().inner(),
                    value: inputs.value.clone().inner(),
                    decay: inputs.decay.clone().inner(),
                    bonus: inputs.bonus.clone().inner(),
                    state: None,
                };
                black_box(wkv6(inner, Some(form)))
            });
        });
        group.bench_function(format!("{form:?} forward and backward"), |bencher| {
            bencher.iter(|| {
                let (output, _) = wkv6(inputs.clone(), Some(form));
                black_box(output.sum().backward())
            });
        });
    }
    group.finish();
}

/// Times the five mixes of a time mix.
fn token_shift(criterion: &mut Criterion) {
    const MIXES: usize = 5;
    let hidden = HEADS * SIZE;
    fn random<const D: usize>(shape: [usize; D]) -> FlexTensor {
        let distribution = Distribution::Uniform(-1.0, 1.0);
        let tensor = Tensor::<Flex, D>::random(shape, distribution, &Default::default());
        tensor.into_primitive().tensor()
    }
    let inputs = TokenMix {
        x: random([BATCH, LEN, hidden]),
        before: None,
        maa: [0; MIXES].map(|_| random([1, 1, hidden])),
        by_data: Some(random([MIXES, BATCH * LEN, hidden])),
    };
    let grads = [0; MIXES].map(|_| Some(random([BATCH, LEN, hidden])));
    let wants = TokenMixWants {
        x: true,
        maa: false,
    };
    let mut group = criterion.benchmark_group("token shift");
    group.sample_size(10);
    group.bench_function("ours", |bencher| {
        bencher.iter(|| {
            black_box(Flex::token_mix(inputs.clone()));
            black_box(Flex::token_mix_backward(
                inputs.clone(),
                grads.clone(),
                wants,
            ))
        });
    });
    group.bench_function("reference", |bencher| {
        bencher.iter(|| {
            black_box(reference::token_mix::<Flex, MIXES>(inputs.clone()));
            let (inputs, grads) = (inputs.clone(), grads.clone());
            black_box(reference::token_mix_backward::<Flex, MIXES>(
                inputs, grads, wants,
            ))
        });
    });
    group.finish();
}

criterion_group!(benches, forms, token_shift);
criterion_main!(benches);
