//! Devices by name: `cpu`, `cuda:1`, `vulkan`.

use super::DeviceError;
use std::fmt;
use std::str::FromStr;

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// NVIDIA through CUDA.
    Cuda,
    /// AMD through ROCm.
    Rocm,
    /// Apple through Metal.
    Metal,
    /// Any vendor through Vulkan, shaders as SPIR-V.
    Vulkan,
    /// Any vendor through WebGPU, shaders as WGSL.
    Wgpu,
    /// The processor, through Flex.
    Cpu,
    /// The processor, through ndarray.
    NdArray,
}

impl Kind {
    /// Every kind, the one to prefer first.
    pub const ALL: [Self; 7] = [
        Self::Cuda,
        Self::Rocm,
        Self::Metal,
        Self::Vulkan,
        Self::Wgpu,
        Self::Cpu,
        Self::NdArray,
    ];

    /// The word for `--device`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cuda => "cuda",
            Self::Rocm => "rocm",
            Self::Metal => "metal",
            Self::Vulkan => "vulkan",
            Self::Wgpu => "wgpu",
            Self::Cpu => "cpu",
            Self::NdArray => "ndarray",
        }
    }

    /// The cargo feature that builds it in.
    pub fn feature(self) -> &'static str {
        match self {
            Self::Cpu => "flex",
            other => other.name(),
        }
    }

    /// Whether this build has it.
    pub fn built_in(self) -> bool {
        match self {
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Rocm => cfg!(feature = "rocm"),
            Self::Metal => cfg!(feature = "metal"),
            Self::Vulkan => cfg!(feature = "vulkan"),
            Self::Wgpu => cfg!(feature = "wgpu"),
            Self::Cpu => cfg!(feature = "flex"),
            Self::NdArray => cfg!(feature = "ndarray"),
        }
    }

    /// Whether it computes in the machine's own memory, on the processor.
    pub fn on_processor(self) -> bool {
        matches!(self, Self::Cpu | Self::NdArray)
    }

    /// The kinds of this build.
    pub fn of_this_build() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|kind| kind.built_in())
    }
}

/// A device as a person names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceName {
    /// Its kind.
    pub kind: Kind,
    /// Its number among those of its kind.
    pub index: usize,
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind.on_processor() {
            true => f.write_str(self.kind.name()),
            false => write!(f, "{}:{}", self.kind.name(), self.index),
        }
    }
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || DeviceError::Name(text.to_string());
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index.parse().map_err(|_| bad())?)),
            None => (text, None),
        };
        let kind = Kind::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(bad)?;
        if kind.on_processor() && index.is_some() {
            return Err(bad());
        }
        Ok(Self {
            kind,
            index: index.unwrap_or(0),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
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
