//! Tests operations that a backend implements itself.

use super::{CPU, on_trial};
use bone::{AdapterConfig, BlockAxis, BoneLinear, BoneLinearConfig, Selection, Targets, Variant};
use bone_lm::{Gate, Sight, attention, cross_entropy, gated, layer_norm, tanh};
use bone_rwkv6::{Form, TokenMix, Wkv6, wkv6};
use bone_train::device::{OnDevice, on_device};
use bone_train::models::ModelBackend;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Int, Tensor, TensorData, TensorPrimitive};
use std::marker::PhantomData;

/// Outputs and gradients of the operations that a backend implements itself.
struct Operations;

pub(crate) type Named = Vec<(&'static str, Vec<f64>)>;

impl OnDevice for Operations {
    type Output = Named;

    fn run<B: ModelBackend>(self, device: B::Device) -> Named {
        let mut found = Vec::new();
        layers::<B>(&device, &mut found);
        norms::<B>(&device, &mut found);
        attended::<B>(&device, &mut found);
        token_shift::<B>(&device, &mut found);
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

pub(crate) fn values<B: burn::tensor::backend::Backend, const D: usize>(
    tensor: Tensor<B, D>,
) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// Gives every parameter of a module different values and requires its gradient.
struct Fill<B: ModelBackend> {
    device: B::Device,
    frequency: f64,
}

impl<B: ModelBackend> ModuleMapper<B> for Fill<B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        self.frequency += 0.3;
        let shape: [usize; D] = param.val().dims();
        Param::from_tensor(wave::<B, D>(shape, self.frequency, &self.device))
    }
}

/// Reads the gradient of every parameter of a module.
struct Read<'a, B: ModelBackend> {
    grads: &'a <B as AutodiffBackend>::Gradients,
    found: &'a mut Named,
    name: &'static str,
    backend: PhantomData<B>,
}

impl<B: ModelBackend> ModuleVisitor<B> for Read<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let gradient = param.val().grad(self.grads).expect("tracked");
        self.found.push((self.name, values(gradient)));
    }
}

/// Runs a layer without an adapter and one of each variant. Rows do not fill a tile; inputs outnumber
/// outputs and the reverse; for miss the rank does not divide the width.
fn layers<B: ModelBackend>(device: &B::Device, found: &mut Named) {
    let variants = [
        ("product", None),
        (
            "bone on the output axis",
            Some((Variant::Bone(BlockAxis::Output), 4)),
        ),
        (
            "bone on the input axis",
            Some((Variant::Bone(BlockAxis::Input), 4)),
        ),
        ("miss", Some((Variant::Miss, 5))),
        ("miss-mini", Some((Variant::MissMini { width: 4 }, 5))),
    ];
    for (name, adapter) in variants {
        for [d_input, d_output] in [[12, 20], [20, 12]] {
            let mut layer: BoneLinear<B> = BoneLinearConfig::new(d_input, d_output).init(device);
            if let Some((variant, rank)) = adapter {
                let config = AdapterConfig::new(variant, rank, Targets::new(Selection::AllLinear));
                layer = layer.attach(&config, "layer").expect("fits");
            }
            let mut fill = Fill {
                device: device.clone(),
                frequency: 0.2,
            };
            let layer = Module::<B>::map(layer, &mut fill);
            let x = wave::<B, 3>([1, 7, d_input], 0.7, device);
            let y = layer.forward(x.clone());
            found.push((name, values(y.clone())));
            let grads = y.powi_scalar(2).sum().backward();
            found.push((name, values(x.grad(&grads).expect("tracked"))));
            let mut read = Read::<B> {
                grads: &grads,
                found,
                name,
                backend: PhantomData,
            };
            Module::<B>::visit(&layer, &mut read);
        }
    }
}

/// Runs RWKV6's token shift with earlier tokens and data-dependent parts.
fn token_shift<B: ModelBackend>(device: &B::Device, found: &mut Named) {
    let name = "token shift";
    let x = wave::<B, 3>([2, 7, 12], 0.7, device);
    let before = wave::<B, 2>([2, 12], 0.4, device);
    let maa = [0.9, 1.3].map(|frequency| wave::<B, 3>([1, 1, 12], frequency, device));
    let by_data = wave::<B, 3>([2, 14, 12], 0.3, device);
    let mixed = B::token_mix(TokenMix {
        x: x.clone().into_primitive().tensor(),
        before: Some(before.clone().into_primitive().tensor()),
        maa: maa.clone().map(|maa| maa.into_primitive().tensor()),
        by_data: Some(by_data.clone().into_primitive().tensor()),
    });
    let [first, second] =
        mixed.map(|mixed| Tensor::<B, 3>::from_primitive(TensorPrimitive::Float(mixed)));
    found.push((name, values(first.clone())));
    found.push((name, values(second.clone())));
    let grads = (first.powi_scalar(2) + second.powi_scalar(3))
        .sum()
        .backward();
    for tensor in [&x, &maa[0], &maa[1], &by_data] {
        found.push((name, values(tensor.grad(&grads).expect("tracked"))));
    }
    found.push((name, values(before.grad(&grads).expect("tracked"))));
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

fn attended<B: ModelBackend>(device: &B::Device, found: &mut Named) {
    let heads = |frequency| wave::<B, 4>([2, 3, 17, 8], frequency, device);
    let inputs = [heads(0.3), heads(0.5), heads(0.8)];
    let [query, key, value] = inputs.clone();
    let output = attention(query * 4.0, key, value, &Sight::causal(17, device));
    found.push(("attention", values(output.clone())));
    let grads = output.powi_scalar(3).sum().backward();
    for tensor in &inputs {
        found.push(("attention", values(tensor.grad(&grads).expect("tracked"))));
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
fn device_operations_match_cpu() {
    let expected = on_device(CPU, false, Operations).expect("works");
    for name in on_trial() {
        let found = on_device(name, true, Operations).expect("works");
        let (what, off) = largest_difference(&found, &expected);
        assert!(off < 1e-4, "{what} on {name} is {off:.1e} off");
    }
}

/// Returns the tensor that differs most, and its difference as a fraction of its largest entry. NaN
/// counts as infinitely far.
pub(crate) fn largest_difference(found: &Named, expected: &Named) -> (&'static str, f64) {
    let names = |all: &Named| all.iter().map(|(name, _)| *name).collect::<Vec<_>>();
    assert_eq!(names(found), names(expected));
    let mut furthest = ("nothing", 0.0);
    for ((what, found), (_, expected)) in found.iter().zip(expected) {
        assert_eq!(found.len(), expected.len(), "{what}");
        let largest = expected.iter().fold(1e-6f64, |max, x| max.max(x.abs()));
        for (a, e) in found.iter().zip(expected) {
            let off = (a - e).abs() / largest;
            let off = if off.is_nan() { f64::INFINITY } else { off };
            if off > furthest.1 {
                furthest = (what, off);
            }
        }
    }
    furthest
}
