//! Replays another trainer's runs of 20 steps.

use super::on_trial;
use bone::{AdapterConfig, BlockAxis, Selection, Targets, Variant};
use bone_llama2::Llama;
use bone_rwkv6::Rwkv6;
use bone_tests::replay::{SAVING, Tolerance, replay};
use bone_tests::{Run, fixtures};
use bone_train::device::{OnDevice, on_device};
use bone_train::models::{Architecture, ModelBackend};
use std::path::Path;

/// A GPU sums in another order, and a step of AdamW amplifies the difference.
const TOLERANCE: Tolerance = Tolerance {
    gradient: 1e-3,
    loss: 1e-3,
    norm: 1e-2,
    tuned: 1e-2,
};

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
fn devices_reproduce_record_of_each_model() {
    for name in on_trial() {
        for architecture in [Architecture::Llama2, Architecture::Rwkv6] {
            println!("{architecture:?} on {name}");
            on_device(name, false, Golden { architecture })
                .unwrap_or_else(|error| panic!("{architecture:?}: {error}"));
        }
    }
}
