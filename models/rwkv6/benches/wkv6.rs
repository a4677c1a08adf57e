//! Forward and backward of the three forms of wkv6 on the processor, at the size of one layer of
//! the smallest released RWKV6's width: batch 4, 256 tokens, 12 heads of 64.

// criterion's macro makes an item without documentation.
#![allow(missing_docs)]

use bone_rwkv6::{Form, Wkv6, wkv6};
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Distribution, Tensor};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

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

criterion_group!(benches, forms);
criterion_main!(benches);
