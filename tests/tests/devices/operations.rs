//! Operations that have bodies of their own on some backend.

use super::{CPU, on_trial};
use bone_lm::{Gate, cross_entropy, gated, layer_norm, tanh};
use bone_rwkv6::{Form, Wkv6, wkv6};
use bone_train::device::{OnDevice, on_device};
use bone_train::models::ModelBackend;
use burn::module::Param;
use burn::tensor::{Int, Tensor, TensorData};

/// Outputs and gradients of the operations that have bodies of their own on some backend.
struct Operations;

type Named = Vec<(&'static str, Vec<f64>)>;

impl OnDevice for Operations {
    type Output = Named;

    fn run<B: ModelBackend>(self, device: B::Device) -> Named {
        let mut found = Vec::new();
        norms::<B>(&device, &mut found);
        recurrence::<B>(&device, &mut found);
        found
    }
}

fn wave<B: ModelBackend, const D: usize>(
    shape: [usize; D],
    frequency: f64,
    device: &B::Device,
) -> Tensor<B, D> {
    let count: usize = shape.iter().product();
    let values: Vec<f32> = (0..count)
        .map(|i| (frequency * i as f64 + frequency).sin() as f32)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), device).require_grad()
}

fn values<B: burn::tensor::backend::Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn norms<B: ModelBackend>(device: &B::Device, found: &mut Named) {
    let x = wave::<B, 2>([5, 12], 0.7, device);
    let gate = wave::<B, 2>([5, 12], 1.3, device);
    let weight = Param::from_tensor(wave::<B, 1>([12], 0.4, device));
    let bias = Param::from_tensor(wave::<B, 1>([12], 0.9, device));
    let normed = layer_norm(x.clone(), &weight, &bias, 3, 1e-5);
    let mixed =
        gated(gate.clone(), normed, Gate::Silu) + gated(gate.clone(), x.clone(), Gate::Sigmoid);
    let mixed = mixed + gated(x.clone(), x.clone(), Gate::Relu) + tanh(x.clone());
    let targets = Tensor::<B, 1, Int>::from_ints([3, 0, 11, 7, 7], device);
    let losses = cross_entropy(mixed, targets);
    found.push(("losses", values(losses.clone())));
    let grads = losses.sum().backward();
    for (name, tensor) in [("x", &x), ("gate", &gate)] {
        found.push((name, values(tensor.grad(&grads).expect("tracked"))));
    }
    for (name, param) in [("weight", &weight), ("bias", &bias)] {
        found.push((name, values(param.val().grad(&grads).expect("tracked"))));
    }
}

fn recurrence<B: ModelBackend>(device: &B::Device, found: &mut Named) {
    let rows = |frequency| wave::<B, 3>([2, 19, 16], frequency, device);
    let inputs = Wkv6 {
        receptance: rows(0.3),
        key: rows(0.5),
        value: rows(0.8),
        decay: rows(1.1),
        bonus: wave::<B, 2>([2, 8], 0.6, device),
        state: Some(wave::<B, 4>([2, 2, 8, 8], 0.2, device)),
    };
    for (name, form) in [
        ("wkv6 by chunks", Form::Chunked),
        ("wkv6 by token", Form::Recurrence),
    ] {
        let (output, state) = wkv6(inputs.clone(), Some(form));
        found.push((name, values(output.clone())));
        let grads = (output.powi_scalar(2).sum() + state.powi_scalar(2).sum()).backward();
        for tensor in [
            &inputs.receptance,
            &inputs.key,
            &inputs.value,
            &inputs.decay,
        ] {
            found.push((name, values(tensor.grad(&grads).expect("tracked"))));
        }
        let state = inputs.state.as_ref().and_then(|state| state.grad(&grads));
        found.push((name, values(state.expect("tracked"))));
    }
}

#[test]
fn operations_are_the_processors() {
    let expected = on_device(CPU, false, Operations).expect("works");
    for (name, fusion) in on_trial() {
        let found = on_device(name, fusion, Operations).expect("works");
        assert_eq!(found.len(), expected.len());
        for ((what, found), (_, expected)) in found.iter().zip(&expected) {
            let largest = expected.iter().fold(1e-6f64, |max, x| max.max(x.abs()));
            for (a, e) in found.iter().zip(expected) {
                let off = (a - e).abs() / largest;
                assert!(
                    off < 1e-4,
                    "{what} on {name}, fusion {fusion}: {a}, not {e}"
                );
            }
        }
    }
}
