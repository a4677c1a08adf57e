//! Why a device cannot be used.

use super::{DeviceName, Kind};

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is none.
    #[error(
        "`{0}` is no device; use auto, cpu, ndarray, or cuda, rocm, metal, vulkan or wgpu, with :N \
         for the N-th of them"
    )]
    Name(String),
    /// The backend was not compiled in.
    #[error(
        "this build has no {} backend, only: {}; {}build with --features {}",
        .asked.name(),
        Kind::of_this_build().map(Kind::name).collect::<Vec<_>>().join(", "),
        if *.asked == Kind::Metal { "on macOS, " } else { "" },
        .asked.feature()
    )]
    NotBuilt {
        /// What was asked for.
        asked: Kind,
    },
    /// The backend is there, the device is not.
    #[error(
        "there is no {device} here: {reason}; this build can use: {available}; name one of them"
    )]
    Absent {
        /// What was asked for.
        device: DeviceName,
        /// What its runtime said.
        reason: String,
        /// What is there.
        available: String,
    },
    /// None of what this build has works.
    #[error("no device works here: {0}; docs/devices.md says what each needs to run")]
    NoneWorks(String),
    /// The device cannot hold weights in the precision that was asked for.
    #[error("{0}")]
    Dtype(String),
    /// The device is there and does not do its work.
    #[error(
        "{device} does not work: {reason}; check its driver, and what else docs/devices.md says it \
         needs, or use another --device"
    )]
    Broken {
        /// The device.
        device: DeviceName,
        /// What its runtime said.
        reason: String,
    },
    /// The device gave up in the middle of its work.
    #[error("{device} failed: {reason}")]
    Failed {
        /// The device.
        device: DeviceName,
        /// What its runtime said.
        reason: String,
    },
    /// The device's memory is full.
    #[error("{device} is out of memory: {reason}")]
    OutOfMemory {
        /// The device.
        device: DeviceName,
        /// What its runtime said.
        reason: String,
    },
}
