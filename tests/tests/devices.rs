//! Every device of this build, with and without fusion, against the processor and the records.
//!
//! Without a GPU's feature there are the processor's two backends; `.ci/run` runs this again with
//! `vulkan` and with `wgpu` on Mesa's software Vulkan, for which it is kept tiny.

use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_llama2::Llama;
use bone_lm::{Gate, cross_entropy, gated, layer_norm};
use bone_rwkv6::{Form, Rwkv6, Wkv6, wkv6};
use bone_tests::replay::{SAVING, Tolerance, replay};
use bone_tests::{Run, fixtures};
use bone_train::device::{DeviceName, Kind, OnDevice, Trial, all_devices, on_device};
use bone_train::models::{Architecture, ModelBackend};
use burn::module::Param;
use burn::tensor::{DType, Int, Tensor, TensorData};
use std::path::Path;

/// A GPU adds up in another order, and a step of AdamW widens what that changes.
const TOLERANCE: Tolerance = Tolerance {
    gradient: 1e-3,
    loss: 1e-3,
    norm: 1e-2,
    tuned: 5e-2,
};

/// Every device but the processor's own, by whether operations are fused.
fn on_trial() -> Vec<(DeviceName, bool)> {
    let names = all_devices().into_iter().map(|device| device.name);
    names
        .filter(|name| name.kind != Kind::Cpu)
        .flat_map(|name| match name.kind.on_processor() {
            true => vec![(name, false)],
            false => vec![(name, true), (name, false)],
        })
        .collect()
}

#[test]
fn a_feature_that_is_built_in_has_a_device_to_try() {
    // Else the tests below would pass on nothing.
    for kind in Kind::of_this_build() {
        let found = bone_train::device::devices(kind);
        if matches!(kind, Kind::Cuda | Kind::Rocm | Kind::Metal) && found.is_err() {
            println!("skipped: {}: {found:?}", kind.name());
            continue;
        }
        assert!(found.is_ok(), "{}: {found:?}", kind.name());
    }
}

#[test]
fn a_training_step_is_the_processors() {
    let cpu = DeviceName {
        kind: Kind::Cpu,
        index: 0,
    };
    for architecture in [Architecture::Llama2, Architecture::Rwkv6] {
        let expected = Trial::of(architecture, cpu, false, DType::F64).expect("works");
        for (name, fusion) in on_trial() {
            let trial = Trial::of(architecture, name, fusion, DType::F32).expect("works");
            let off = trial.difference(&expected);
            println!("{architecture:?} on {name}, fusion {fusion}: {off:.1e}");
            assert!(
                off < 1e-3,
                "{architecture:?} on {name}, fusion {fusion}: {off}"
            );
        }
    }
}

/// One of the records of our fixtures.
struct Golden {
    architecture: Architecture,
}

impl OnDevice for Golden {
    type Output = ();

    fn run<B: ModelBackend>(self, device: B::Device) {
        let layer = |path: &str| path.split(".adapter").next().expect("a path").to_string();
        let adapter = |run: &Run, axis| {
            let targets = Targets::new(Selection::AllLinear);
            AdapterConfig::new(Variant::Bone(axis), run.number("r") as usize, targets)
        };
        match self.architecture {
            Architecture::Llama2 => {
                let run = Run::open(fixtures().join("golden-llama-tiny-bat-r4"));
                let base = fixtures().join("llama-tiny");
                let base = Llama::<B>::from_folder(&base, &device, None).expect("loads");
                let model = bone::attach::<B, _>(base, &adapter(&run, BlockAxis::Output));
                let model = bone::freeze_base::<B, _>(model.expect("fits"));
                let name = |path: &str| format!("{}.miss_block", layer(path));
                replay::<B, _>(model, &run, SAVING, TOLERANCE, name, &device);
            }
            Architecture::Rwkv6 => {
                let run = Run::open(fixtures().join("golden-rwkv6-tiny-bone-input-r8"));
                let base: &Path = &fixtures().join("rwkv6-tiny");
                let base = Rwkv6::<B>::from_path(base, &device, None).expect("loads");
                let model = bone::attach::<B, _>(base, &adapter(&run, BlockAxis::Input));
                let model = bone::freeze_base::<B, _>(model.expect("fits"));
                replay::<B, _>(model, &run, SAVING, TOLERANCE, layer, &device);
            }
        }
    }
}

#[test]
fn a_record_of_each_model_is_reproduced() {
    for (name, fusion) in on_trial() {
        for architecture in [Architecture::Llama2, Architecture::Rwkv6] {
            println!("{architecture:?} on {name}, fusion {fusion}");
            on_device(name, fusion, Golden { architecture })
                .unwrap_or_else(|error| panic!("{architecture:?}, fusion {fusion}: {error}"));
        }
    }
}

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
    let mixed = mixed + gated(x.clone(), x.clone(), Gate::Relu);
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
    let cpu = DeviceName {
        kind: Kind::Cpu,
        index: 0,
    };
    let expected = on_device(cpu, false, Operations).expect("works");
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
