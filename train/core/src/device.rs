//! Devices: listing them, choosing one, and running work on its backend.

use crate::models::ModelBackend;
use crate::step::Gradients;
use bone::{AdapterConfig, BlockAxis, BoneLinearConfig, Selection, Targets, Variant};
use bone_data::{counted, human};
use burn::tensor::Tensor;
use std::str::FromStr;

#[cfg(feature = "adapters")]
mod adapters;
mod backend;
mod capabilities;
#[cfg(feature = "cuda")]
mod cuda;
mod error;
mod guard;
mod list;
mod name;
pub mod precision;
#[cfg(feature = "rocm")]
mod rocm;
#[cfg(feature = "gpu")]
mod runtime;
mod trial;

pub use backend::{OnDevice, on_device};
pub use capabilities::Capabilities;
pub use error::DeviceError;
pub use list::{all_devices, devices};
pub use name::{DeviceName, Kind};
pub use precision::{DtypeChoice, Precision};
pub use trial::Trial;

/// A device of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its name for `--device`.
    pub name: DeviceName,
    /// Its vendor's name.
    pub title: String,
    /// Version of its driver, if it has one.
    pub driver: Option<String>,
    /// Its memory in bytes, if known.
    pub memory: Option<u64>,
    /// Whether it is a GPU that the driver emulates on the CPU.
    pub software: bool,
}

impl Device {
    /// Returns title, driver and memory on one line.
    pub fn description(&self) -> String {
        let mut parts = vec![self.title.clone()];
        parts.extend(self.driver.clone());
        parts.extend(self.memory.map(human));
        if self.software {
            parts.push("emulated on the CPU".into());
        }
        parts.join(", ")
    }
}

impl FromStr for DeviceName {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index.parse())),
            None => (text, None),
        };
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == name);
        match (kind, index) {
            (Some(kind), None) => Ok(Self { kind, index: 0 }),
            (Some(kind), Some(Ok(index))) if !kind.on_processor() => Ok(Self { kind, index }),
            _ => Err(DeviceError::Usage(format!(
                "unknown device '{text}'; choose from auto, cpu, ndarray, cuda, rocm, metal, vulkan and \
                 wgpu, with :N for device number N"
            ))),
        }
    }
}

/// Returns the device that `name` stands for, and the reason for the choice. `auto` picks the best working
/// device of this build: a GPU first, then the CPU, then an emulated GPU.
///
/// # Errors
///
/// [`DeviceError`]. A device chosen by name is never replaced by another.
pub fn choose(name: &str) -> Result<(Device, String), DeviceError> {
    if name != "auto" {
        return Ok((find(name.parse()?)?, "requested".into()));
    }
    let mut passed_over = Vec::new();
    let mut candidates = Vec::new();
    for kind in Kind::of_this_build() {
        match devices(kind) {
            Ok(found) => candidates.extend(found),
            Err(reason) => passed_over.push(format!("{}: {reason}", kind.name())),
        }
    }
    candidates.sort_by_key(|device| (device.software, device.name));
    for device in candidates {
        match check(device.name) {
            Ok(()) if passed_over.is_empty() => {
                return Ok((device, "the best device of this build".to_owned()));
            }
            Ok(()) => {
                let others = passed_over.join("; ");
                return Ok((device, format!("the best device that works; {others}")));
            }
            Err(error) => passed_over.push(error.to_string()),
        }
    }
    Err(DeviceError::Unusable(format!(
        "no device works here: {}; docs/devices.md lists what each device needs",
        passed_over.join("; ")
    )))
}

/// Returns the device of this name, after a trial training step on it.
///
/// # Errors
/// It does not exist or does not work.
pub fn find(name: DeviceName) -> Result<Device, DeviceError> {
    if !name.kind.built_in() {
        return Err(DeviceError::not_built(name.kind));
    }
    let found = devices(name.kind).map_err(|reason| absent(name, &reason))?;
    let count = found.len();
    let device = found.into_iter().nth(name.index).ok_or_else(|| {
        let devices = counted(count, &format!("{} device", name.kind.name()));
        absent(name, &format!("{devices} found, numbered from 0"))
    })?;
    check(name)?;
    Ok(device)
}

fn absent(device: DeviceName, reason: &str) -> DeviceError {
    let there: Vec<_> = all_devices()
        .iter()
        .map(|device| format!("{} ({})", device.name, device.title))
        .collect();
    let available = if there.is_empty() {
        "nothing else".to_owned()
    } else {
        there.join(", ")
    };
    DeviceError::Unusable(format!(
        "{device} was not found: {reason}; this build can use: {available}"
    ))
}

/// Checks that a training step works on the device by running a small one.
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
            // The rank 4 divides the size 8, so attaching never fails.
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
    let broken = |reason: &str| {
        DeviceError::Unusable(format!(
            "{device} does not work: {reason}; check its driver and the requirements in docs/devices.md, or \
             use another --device"
        ))
    };
    match on_device(device, true, Probe) {
        Ok(true) => Ok(()),
        Ok(false) => Err(broken(
            "the gradients of a small training step are not finite",
        )),
        Err(DeviceError::Failed { reason, .. }) => Err(broken(&reason)),
        Err(other) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_device_feature_is_named() {
        for kind in Kind::ALL {
            if !kind.built_in() {
                let error = choose(kind.name()).expect_err("not built").to_string();
                let fix = format!("build with --features {}", kind.feature());
                assert!(error.contains(&fix) && error.contains("only: "), "{error}");
            }
        }
    }

    #[cfg(feature = "flex")]
    #[test]
    fn cpu_device_is_found_and_works() {
        let (device, reason) = choose("cpu").expect("works");
        assert_eq!(
            (device.name.kind, reason.as_str()),
            (Kind::Cpu, "requested")
        );
        assert!(device.memory.is_some_and(|bytes| bytes > 0), "{device:?}");
        assert!(device.title.contains("thread"), "{device:?}");
        let (best, _) = choose("auto").expect("works");
        assert!(!best.software, "{best:?}");
    }
}
