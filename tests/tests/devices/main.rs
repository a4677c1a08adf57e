//! Compares every device of this build with the processor and the records.
//!
//! Kernels run with and without fusion, `operations` and `twenty_steps` with it, and `records` without
//! it, because an emulated device compiles for minutes.
//!
//! Without a GPU feature the tests use the processor's two backends. `.ci/run` also runs them with
//! `vulkan` on Mesa's software Vulkan, and the kernels with `wgpu`.

use bone_train::device::{DeviceName, Kind, all_devices};

mod kernels;
mod operations;
mod records;
mod twenty_steps;

const CPU: DeviceName = DeviceName {
    kind: Kind::Cpu,
    index: 0,
};

/// Returns every device except the default one of the processor. Its second backend does not fuse.
fn on_trial() -> Vec<DeviceName> {
    let names = all_devices().into_iter().map(|device| device.name);
    names.filter(|name| name.kind != Kind::Cpu).collect()
}

#[test]
fn a_feature_that_is_built_in_has_a_device_to_try() {
    // Otherwise the tests below would pass without a device.
    for kind in Kind::of_this_build() {
        let found = bone_train::device::devices(kind);
        if matches!(kind, Kind::Cuda | Kind::Rocm | Kind::Metal) && found.is_err() {
            println!("skipped: {}: {found:?}", kind.name());
            continue;
        }
        assert!(found.is_ok(), "{}: {found:?}", kind.name());
    }
}
