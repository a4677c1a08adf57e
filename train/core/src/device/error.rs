//! Why a device cannot be used.

use super::{DeviceName, Kind};

/// Why a device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// There is no such name, or the device cannot hold weights in the precision that was asked for.
    #[error("{0}")]
    Usage(String),
    /// The device is not built in, not there, or does not do its work.
    #[error("{0}")]
    Unusable(String),
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
