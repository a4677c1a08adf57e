//! Errors of devices.

use super::{DeviceName, Kind};

/// Reason why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// The name is unknown, or the device does not support the chosen precision for weights.
    #[error("{0}")]
    Usage(String),
    /// The device is not in this build, is missing, or does not work.
    #[error("{0}")]
    Unusable(String),
    /// The device failed while it worked.
    #[error("{device} failed: {reason}")]
    Failed {
        /// The device.
        device: DeviceName,
        /// The runtime's message.
        reason: String,
    },
    /// The device's memory is full.
    #[error("{device} is out of memory: {reason}")]
    OutOfMemory {
        /// The device.
        device: DeviceName,
        /// The runtime's message.
        reason: String,
    },
}

impl DeviceError {
    pub(super) fn not_built(kind: Kind) -> Self {
        let built: Vec<_> = Kind::of_this_build().map(Kind::name).collect();
        let place = if kind == Kind::Metal {
            "on macOS, "
        } else {
            ""
        };
        Self::Unusable(format!(
            "this build has no {} backend, only: {}; {place}build with --features {}",
            kind.name(),
            built.join(", "),
            kind.feature()
        ))
    }
}
