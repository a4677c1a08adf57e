//! Every device of this build, with and without fusion, against the processor and the records.
//!
//! Without a GPU's feature there are the processor's two backends; `.ci/run` runs this again with
//! `vulkan` and with `wgpu` on Mesa's software Vulkan, for which it is kept tiny.

use bone_train::device::{DeviceName, Kind, all_devices};

mod kernels;
mod operations;
mod records;
mod twenty_steps;

const CPU: DeviceName = DeviceName {
    kind: Kind::Cpu,
    index: 0,
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
