//! Measures the matrix products of a training step by shape: GFLOP/s on all threads.
//!
//! `cargo bench -p bone --bench product`. It times forward, input gradient and weight gradient of
//! 1,024 rows through the layers of a 768 × 12 model and its head, by `product` and by burn-flex.
//! Then it times forward products of few rows, the shapes of generation.
//! `benches/vs_peft/product.py` prints torch's rates.

use bone::Backend;
use burn::backend::Flex;
use burn::tensor::{Distribution, FloatDType, Tensor, TensorPrimitive};
use burn_flex::FlexTensor;
use std::time::Instant;

const ROWS: usize = 1024;
const SHAPES: [[usize; 2]; 5] = [
    [768, 768],
    [768, 2048],
    [2048, 768],
    [768, 32_000],
    [2048, 2048],
];

fn random(shape: [usize; 2]) -> Tensor<Flex, 2> {
    Tensor::random(shape, Distribution::Default, &Default::default())
}

fn p(tensor: &Tensor<Flex, 2>) -> FlexTensor {
    tensor.clone().into_primitive().tensor()
}

fn of(tensor: FlexTensor) -> Tensor<Flex, 2> {
    Tensor::from_primitive(TensorPrimitive::Float(tensor))
}

/// Returns the rate of the fastest of several runs; load on a shared machine slows the others.
fn rate(flops: f64, mut run: impl FnMut()) -> f64 {
    run();
    let repeats = (3e10 / flops).clamp(3.0, 40.0) as usize;
    let seconds = (0..repeats).map(|_| {
        let started = Instant::now();
        run();
        started.elapsed().as_secs_f64()
    });
    flops / seconds.fold(f64::INFINITY, f64::min) / 1e9
}

fn main() {
    // The thread pool of the binary.
    let pool = rayon::ThreadPoolBuilder::new().use_current_thread();
    pool.build_global().expect("the pool is made once");
    println!(
        "{:<14} {:>8} {:>8} {:>8}   {:>8} {:>8} {:>8}",
        "in × out", "y", "dx", "dW", "flex y", "dx", "dW"
    );
    for [d_input, d_output] in SHAPES {
        let x = random([ROWS, d_input]);
        // `[out, in]`, the layout of a checkpoint.
        let weight = random([d_output, d_input]).transpose();
        let grad = random([ROWS, d_output]);
        let flops = 2.0 * (ROWS * d_input * d_output) as f64;
        let back = |wants| {
            let grads = Flex::product_backward(p(&x), p(&weight), p(&grad), wants);
            grads.into_iter().flatten().map(of).for_each(drop);
        };
        let rates = [
            rate(flops, || drop(of(Flex::product(p(&x), p(&weight))))),
            rate(flops, || back([true, false])),
            rate(flops, || back([false, true])),
            rate(flops, || drop(x.clone().matmul(weight.clone()))),
            rate(flops, || {
                drop(grad.clone().matmul(weight.clone().transpose()))
            }),
            rate(flops, || drop(x.clone().transpose().matmul(grad.clone()))),
        ];
        let [a, b, c, d, e, f] = rates;
        println!(
            "{:<14} {a:>8.0} {b:>8.0} {c:>8.0}   {d:>8.0} {e:>8.0} {f:>8.0}",
            format!("{d_input} × {d_output}")
        );
    }
    println!(
        "\n{:<14} {:>8} {:>8} {:>8}",
        "rows", "f32", "bf16", "flex f32"
    );
    let [d_input, d_output] = [2048, 2048];
    let weight = random([d_output, d_input]);
    let half = weight.clone().cast(FloatDType::BF16).transpose();
    let weight = weight.transpose();
    for rows in [1, 2, 4, 8, 16, 24, 32, 48, 64] {
        let x = random([rows, d_input]);
        let flops = 2.0 * (rows * d_input * d_output) as f64;
        let rates = [&weight, &half]
            .map(|weight| rate(flops, || drop(of(Flex::product(p(&x), p(weight))))));
        let flex = rate(flops, || drop(x.clone().matmul(weight.clone())));
        println!("{rows:<14} {:>8.1} {:>8.1} {flex:>8.1}", rates[0], rates[1]);
    }
}
