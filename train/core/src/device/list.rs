//! What devices there are.

use super::{DeviceName, Kind, guard};
use crate::memory::{available_memory, human};

/// A device that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// What `--device` calls it.
    pub name: DeviceName,
    /// What its maker calls it.
    pub title: String,
    /// Its driver, where it has one.
    pub driver: Option<String>,
    /// Bytes of its memory, where that can be known.
    pub memory: Option<u64>,
    /// Whether it is a GPU's driver that computes on the processor.
    pub software: bool,
}

impl Device {
    /// Title, driver and memory in one line.
    pub fn description(&self) -> String {
        let mut parts = vec![self.title.clone()];
        parts.extend(self.driver.clone());
        parts.extend(self.memory.map(human));
        if self.software {
            parts.push("emulated by the processor".into());
        }
        parts.join(", ")
    }
}

/// The devices of one kind, or why there are none.
///
/// # Errors
///
/// What is missing, in words.
pub fn devices(kind: Kind) -> Result<Vec<Device>, String> {
    if !kind.built_in() {
        return Err(format!("not in this build (--features {})", kind.feature()));
    }
    let found = guard::quietly(|| match kind {
        Kind::Cpu | Kind::NdArray => Ok(vec![processor(kind)]),
        #[cfg(feature = "cuda")]
        Kind::Cuda => super::cuda::devices(),
        #[cfg(feature = "rocm")]
        Kind::Rocm => super::rocm::devices(),
        #[cfg(feature = "adapters")]
        Kind::Vulkan | Kind::Metal | Kind::Wgpu => super::adapters::devices(kind),
        #[allow(unreachable_patterns, reason = "the rest is not built in")]
        _ => Err("not in this build".into()),
    });
    match found {
        Ok(Ok(devices)) if devices.is_empty() => Err("no device was found".into()),
        Ok(found) => found,
        Err(panic) => Err(panic),
    }
}

/// Every device of this build, the kinds to prefer first.
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
            brand.unwrap_or_else(|| "the processor".into()),
            bone_data::counted(threads, "thread")
        ),
        driver: None,
        memory: Some(available_memory().bytes),
        software: false,
    }
}
