//! Mapping from a device to its backend type. No other module names backends.

#[cfg(feature = "gpu")]
use super::guard;
use super::{DeviceError, DeviceName, Kind};
use crate::models::ModelBackend;
use burn::backend::Autodiff;

/// Work that runs on the backend of any device.
pub trait OnDevice {
    /// Its result.
    type Output;

    /// Does the work.
    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output;
}

/// A backend with or without operation fusion.
#[cfg(feature = "gpu")]
trait Fused {
    type Unfused;
}

#[cfg(feature = "gpu")]
impl<B: burn_fusion::FusionBackend> Fused for burn_fusion::Fusion<B> {
    type Unfused = B;
}

#[cfg(feature = "gpu")]
macro_rules! gpu {
    ($backend:ty, $device:expr, $fusion:expr, $work:expr) => {
        if $fusion {
            $work.run::<Autodiff<$backend>>($device)
        } else {
            $work.run::<Autodiff<<$backend as Fused>::Unfused>>($device)
        }
    };
}

/// Runs `work` on the backend of `device`. On a GPU, operations are fused or run one by one.
///
/// # Errors
///
/// [`DeviceError`]: the backend is not in this build, the device is missing or failed, or its memory is
/// full.
pub fn on_device<W: OnDevice>(
    device: DeviceName,
    fusion: bool,
    work: W,
) -> Result<W::Output, DeviceError> {
    #[cfg(feature = "gpu")]
    if !device.kind.on_processor() {
        super::runtime::configure();
        return guard::quietly(|| run(device, fusion, work)).unwrap_or_else(|reason| {
            Err(if guard::says_out_of_memory(&reason) {
                DeviceError::OutOfMemory { device, reason }
            } else {
                DeviceError::Failed { device, reason }
            })
        });
    }
    run(device, fusion, work)
}

fn run<W: OnDevice>(device: DeviceName, fusion: bool, work: W) -> Result<W::Output, DeviceError> {
    let _ = fusion;
    #[cfg(feature = "adapters")]
    let adapter = || {
        super::adapters::open(device).ok_or_else(|| {
            super::absent(
                device,
                "no device has this number; `bone devices` lists them",
            )
        })
    };
    match device.kind {
        #[cfg(feature = "flex")]
        Kind::Cpu => Ok(work.run::<Autodiff<burn::backend::Flex>>(Default::default())),
        #[cfg(feature = "ndarray")]
        Kind::NdArray => Ok(work.run::<Autodiff<burn::backend::NdArray>>(Default::default())),
        #[cfg(feature = "cuda")]
        Kind::Cuda => {
            let device = burn::backend::cuda::CudaDevice::new(device.index);
            Ok(gpu!(burn::backend::Cuda, device, fusion, work))
        }
        #[cfg(feature = "rocm")]
        Kind::Rocm => {
            let device = burn::backend::rocm::RocmDevice::new(device.index);
            Ok(gpu!(burn::backend::Rocm, device, fusion, work))
        }
        #[cfg(feature = "vulkan")]
        Kind::Vulkan => Ok(gpu!(burn::backend::Vulkan, adapter()?, fusion, work)),
        #[cfg(feature = "metal")]
        Kind::Metal => Ok(gpu!(burn::backend::Metal, adapter()?, fusion, work)),
        #[cfg(feature = "wgpu")]
        Kind::Wgpu => Ok(gpu!(burn::backend::WebGpu, adapter()?, fusion, work)),
        #[allow(unreachable_patterns, reason = "the rest is not built in")]
        kind => Err(DeviceError::not_built(kind)),
    }
}
