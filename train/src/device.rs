//! From `--device` to a backend type: the one place that names backends.

use crate::gradients::Gradients;
use crate::models::ModelBackend;
use bone::{AdapterConfig, BlockAxis, BoneLinearConfig, Selection, Targets, Variant};
use burn::backend::Autodiff;
use burn::tensor::Tensor;
use std::fmt;
use std::str::FromStr;

/// A kind of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The processor.
    Cpu,
    /// NVIDIA through CUDA.
    Cuda,
    /// Any vendor through Vulkan.
    Vulkan,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Cpu, Self::Cuda, Self::Vulkan];

    /// `cpu`, `cuda` or `vulkan`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
            Self::Vulkan => "vulkan",
        }
    }

    /// Whether this build has the backend.
    pub fn built_in(self) -> bool {
        match self {
            Self::Cpu => cfg!(feature = "flex"),
            Self::Cuda => cfg!(feature = "cuda"),
            Self::Vulkan => cfg!(feature = "vulkan"),
        }
    }
}

/// A device as a person names it: `cpu`, `cuda:1`, `vulkan`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceName {
    /// Its kind.
    pub kind: Kind,
    /// Its number among those of its kind.
    pub index: usize,
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Cpu => f.write_str("cpu"),
            kind => write!(f, "{}:{}", kind.name(), self.index),
        }
    }
}

/// Why there is no such device.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is none.
    #[error("`{0}` is no device; use auto, cpu, cuda, cuda:N, vulkan or vulkan:N")]
    Name(String),
    /// The backend was not compiled in.
    #[error(
        "this build has no {asked} backend, only: {}; build with --features {asked}",
        .built.join(", ")
    )]
    NotBuilt {
        /// What was asked for.
        asked: &'static str,
        /// What there is.
        built: Vec<&'static str>,
    },
    /// The backend is there, the device is not.
    #[error("{device} cannot be used: {reason}; check its driver, or use --device cpu")]
    Absent {
        /// What was asked for.
        device: DeviceName,
        /// What the backend said.
        reason: String,
    },
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
        if kind == Kind::Cpu && index.is_some() {
            return Err(bad());
        }
        Ok(Self {
            kind,
            index: index.unwrap_or(0),
        })
    }
}

/// Work that runs on whichever backend a device needs.
pub trait OnDevice {
    /// What it gives.
    type Output;

    /// Does the work.
    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output;
}

/// The kinds this build has.
pub fn built_in() -> Vec<&'static str> {
    Kind::ALL
        .into_iter()
        .filter(|kind| kind.built_in())
        .map(Kind::name)
        .collect()
}

/// The device `name` stands for and why: `auto` is the first of CUDA, Vulkan and the processor
/// that is built in and there.
///
/// # Errors
///
/// [`DeviceError`]. A device asked for by name is never replaced by another.
pub fn choose(name: &str) -> Result<(DeviceName, String), DeviceError> {
    if name != "auto" {
        let device: DeviceName = name.parse()?;
        check(device)?;
        return Ok((device, "asked for".into()));
    }
    let mut passed_over = Vec::new();
    for kind in [Kind::Cuda, Kind::Vulkan, Kind::Cpu] {
        let device = DeviceName { kind, index: 0 };
        match check(device) {
            Ok(()) => {
                let reason = if passed_over.is_empty() {
                    "the best this build has".to_string()
                } else {
                    passed_over.join("; ")
                };
                return Ok((device, reason));
            }
            Err(DeviceError::NotBuilt { .. }) => {}
            Err(error) => passed_over.push(error.to_string()),
        }
    }
    Err(DeviceError::NotBuilt {
        asked: "cpu",
        built: built_in(),
    })
}

/// Whether the device is there and a training step works on it, found out by making a small one.
///
/// # Errors
///
/// [`DeviceError`].
pub fn check(device: DeviceName) -> Result<(), DeviceError> {
    struct Probe;
    impl OnDevice for Probe {
        type Output = bool;
        fn run<B: ModelBackend>(self, device: B::Device) -> bool {
            let layer = BoneLinearConfig::new(8, 8).init::<B>(&device);
            let targets = Targets::new(Selection::AllLinear);
            let config = AdapterConfig::new(Variant::Bone(BlockAxis::Output), 4, targets);
            // 4 divides 8, so that there always is an adapter.
            let Ok(layer) = layer.attach(&config, "probe") else {
                return false;
            };
            let x = Tensor::<B, 2>::ones([4, 8], &device);
            let mut grads = layer.forward(x).sum().backward();
            let mut found = Gradients::default();
            found.add::<B, _>(&mut grads, &layer);
            let norm = found.squared_norm::<B, _>(&layer).map(Tensor::into_data);
            norm.is_some_and(|norm| norm.iter::<f64>().all(|n| n.is_finite() && n > 0.0))
        }
    }
    built(device.kind)?;
    // GPU runtimes panic where there is no adapter or driver; nobody should see that.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let outcome = std::panic::catch_unwind(|| on_device(device, Probe));
    std::panic::set_hook(hook);
    match outcome {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => Err(DeviceError::Absent {
            device,
            reason: "a small training step gave no finite gradient".into(),
        }),
        Ok(Err(error)) => Err(error),
        Err(panic) => {
            let reason = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("its runtime failed");
            let reason = reason.lines().next().unwrap_or_default().to_string();
            Err(DeviceError::Absent { device, reason })
        }
    }
}

fn built(kind: Kind) -> Result<(), DeviceError> {
    if kind.built_in() {
        Ok(())
    } else {
        Err(DeviceError::NotBuilt {
            asked: if kind == Kind::Cpu {
                "flex"
            } else {
                kind.name()
            },
            built: built_in(),
        })
    }
}

/// Runs `work` on the backend of `device`.
///
/// # Errors
///
/// [`DeviceError::NotBuilt`]; [`check`] says whether the device is there.
pub fn on_device<W: OnDevice>(device: DeviceName, work: W) -> Result<W::Output, DeviceError> {
    built(device.kind)?;
    match device.kind {
        #[cfg(feature = "flex")]
        Kind::Cpu => Ok(work.run::<Autodiff<burn::backend::Flex>>(Default::default())),
        #[cfg(feature = "cuda")]
        Kind::Cuda => {
            let device = burn::backend::cuda::CudaDevice::new(device.index);
            Ok(work.run::<Autodiff<burn::backend::Cuda>>(device))
        }
        #[cfg(feature = "vulkan")]
        Kind::Vulkan => {
            let device = match device.index {
                0 => burn::backend::wgpu::WgpuDevice::DefaultDevice,
                index => burn::backend::wgpu::WgpuDevice::DiscreteGpu(index),
            };
            Ok(work.run::<Autodiff<burn::backend::Vulkan>>(device))
        }
        #[allow(
            unreachable_patterns,
            reason = "with every feature on, all kinds are matched above"
        )]
        kind => Err(DeviceError::NotBuilt {
            asked: kind.name(),
            built: built_in(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read() {
        let name: DeviceName = "cuda:3".parse().expect("a name");
        assert_eq!(name.to_string(), "cuda:3");
        assert_eq!(
            "cpu".parse::<DeviceName>().expect("a name").to_string(),
            "cpu"
        );
        for bad in ["gpu", "cuda:", "cuda:x", "cpu:1", ""] {
            assert!(bad.parse::<DeviceName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_not_built_in_is_said() {
        if !Kind::Cuda.built_in() {
            let error = choose("cuda").expect_err("not built").to_string();
            assert!(error.contains("--features cuda"), "{error}");
        }
    }
}
