//! Graphs of several threads at once.

use bone::graph::cat;
use burn::backend::{Autodiff, Flex};
use burn::tensor::{Tensor, TensorData};
use std::sync::atomic::{AtomicBool, Ordering};

type B = Autodiff<Flex>;

fn values(count: usize) -> Tensor<B, 1> {
    let data = TensorData::new(vec![0.5f32; count], [count]);
    Tensor::from_data(data, &Default::default())
}

/// Runs backwards one after the other until `stop`; each cleans up the graph at its end.
fn backwards(stop: &AtomicBool) {
    let weight = values(1).require_grad();
    while !stop.load(Ordering::Relaxed) {
        let _ = weight.clone().powi_scalar(2).backward();
    }
}

/// Only the tensors being concatenated refer to the graph. With burn's `cat` this fails within a
/// few hundred rounds.
#[test]
fn cat_keeps_gradients_during_concurrent_backward() {
    let stop = AtomicBool::new(false);
    let missing = std::thread::scope(|scope| {
        scope.spawn(|| backwards(&stop));
        let weight = values(1 << 16).require_grad();
        let rounds = (0..2000).filter(|_| {
            let parts = vec![weight.clone().mul_scalar(2.0), values(1 << 16)];
            let grads = cat(parts, 0).sum().backward();
            weight.grad(&grads).is_none()
        });
        let missing = rounds.count();
        stop.store(true, Ordering::Relaxed);
        missing
    });
    assert_eq!(missing, 0);
}
