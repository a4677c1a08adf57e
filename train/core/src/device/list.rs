//! Listing devices.

use super::{Device, DeviceName, Kind, guard};
use crate::memory::available_memory;

/// Returns the devices of one kind.
///
/// # Errors
///
/// A message that says why this kind has no device.
pub fn devices(kind: Kind) -> Result<Vec<Device>, String> {
    if !kind.built_in() {
        return Err(format!("not in this build (--features {})", kind.feature()));
    }
    let found = guard::quietly(|| -> Result<Vec<Device>, String> {
        match kind {
            Kind::Cpu | Kind::NdArray => Ok(vec![processor(kind)]),
            #[cfg(feature = "cuda")]
            Kind::Cuda => super::cuda::devices(),
            #[cfg(feature = "rocm")]
            Kind::Rocm => super::rocm::devices(),
            #[cfg(feature = "adapters")]
            Kind::Vulkan | Kind::Metal | Kind::Wgpu => super::adapters::devices(kind),
            #[allow(unreachable_patterns, reason = "the rest is not built in")]
            _ => Ok(Vec::new()),
        }
    })??;
    if found.is_empty() {
        return Err("no device was found".into());
    }
    Ok(found)
}

/// Returns every device of this build, preferred kinds first.
pub fn all_devices() -> Vec<Device> {
    Kind::of_this_build()
        .flat_map(|kind| devices(kind).unwrap_or_default())
        .collect()
}

fn processor(kind: Kind) -> Device {
    let mut system = sysinfo::System::new();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    let brand = system
        .cpus()
        .first()
        .map(|cpu| cpu.brand().trim().to_string());
    let brand = brand.filter(|brand| !brand.is_empty());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Device {
        name: DeviceName { kind, index: 0 },
        title: format!(
            "{}, {}",
            brand.unwrap_or_else(|| "the CPU".into()),
            bone_data::counted(threads, "thread")
        ),
        driver: None,
        memory: Some(available_memory().bytes),
        software: false,
    }
}
