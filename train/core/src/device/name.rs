//! Devices by name: `cpu`, `cuda:1`, `vulkan`.

use std::fmt;

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// NVIDIA GPUs through CUDA.
    Cuda,
    /// AMD GPUs through ROCm.
    Rocm,
    /// Apple GPUs through Metal.
    Metal,
    /// GPUs of any vendor through Vulkan, with SPIR-V shaders.
    Vulkan,
    /// GPUs of any vendor through WebGPU, with WGSL shaders.
    Wgpu,
    /// The CPU, through Flex.
    Cpu,
    /// The CPU, through ndarray.
    NdArray,
}

impl Kind {
    /// Every kind, in order of preference.
    pub const ALL: [Self; 7] = [
        Self::Cuda,
        Self::Rocm,
        Self::Metal,
        Self::Vulkan,
        Self::Wgpu,
        Self::Cpu,
        Self::NdArray,
    ];

    /// Returns the word for `--device`, and whether this build includes the kind.
    fn row(self) -> (&'static str, bool) {
        match self {
            Self::Cuda => ("cuda", cfg!(feature = "cuda")),
            Self::Rocm => ("rocm", cfg!(feature = "rocm")),
            Self::Metal => ("metal", cfg!(feature = "metal")),
            Self::Vulkan => ("vulkan", cfg!(feature = "vulkan")),
            Self::Wgpu => ("wgpu", cfg!(feature = "wgpu")),
            Self::Cpu => ("cpu", cfg!(feature = "flex")),
            Self::NdArray => ("ndarray", cfg!(feature = "ndarray")),
        }
    }

    /// Returns the word for `--device`.
    pub fn name(self) -> &'static str {
        self.row().0
    }

    /// Returns the cargo feature that includes it.
    pub fn feature(self) -> &'static str {
        if self == Self::Cpu {
            "flex"
        } else {
            self.name()
        }
    }

    /// Returns whether this build includes it.
    pub fn built_in(self) -> bool {
        self.row().1
    }

    /// Returns whether it computes on the CPU, in main memory.
    pub fn on_processor(self) -> bool {
        matches!(self, Self::Cpu | Self::NdArray)
    }

    /// Returns the kinds that this build includes.
    pub fn of_this_build() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.built_in())
    }
}

/// Name of a device, as the user types it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName {
    /// Its kind.
    pub kind: Kind,
    /// Its number within its kind.
    pub index: usize,
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind.name())?;
        if self.kind.on_processor() {
            return Ok(());
        }
        write!(f, ":{}", self.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_parse_and_print() {
        for (text, written) in [
            ("cuda:3", "cuda:3"),
            ("vulkan", "vulkan:0"),
            ("rocm", "rocm:0"),
            ("metal:0", "metal:0"),
            ("wgpu:1", "wgpu:1"),
            ("cpu", "cpu"),
            ("ndarray", "ndarray"),
        ] {
            let name: DeviceName = text.parse().expect("a name");
            assert_eq!(name.to_string(), written);
        }
        for bad in [
            "gpu",
            "cuda:",
            "cuda:x",
            "cuda:-1",
            "cpu:1",
            "ndarray:0",
            "",
            "auto",
        ] {
            assert!(bad.parse::<DeviceName>().is_err(), "{bad}");
        }
    }
}
