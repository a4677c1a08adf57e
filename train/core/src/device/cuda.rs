//! NVIDIA devices, as the driver lists them.

use super::{Device, DeviceName, Kind};
use cudarc::driver::{result, sys};

pub(super) fn devices() -> Result<Vec<Device>, String> {
    // SAFETY: only opens a system library.
    if !unsafe { sys::is_culib_present() } {
        return Err("no NVIDIA driver (libcuda) was found".into());
    }
    let said = |error: result::DriverError| format!("the NVIDIA driver says: {error:?}");
    result::init().map_err(said)?;
    let mut version = 0;
    // SAFETY: writes one number.
    let known = unsafe { sys::cuDriverGetVersion(&mut version) } == sys::CUresult::CUDA_SUCCESS;
    let driver = known.then(|| format!("CUDA {}.{}", version / 1000, version % 1000 / 10));
    let count = result::device::get_count().map_err(said)?;
    (0..count)
        .map(|ordinal| {
            let device = result::device::get(ordinal).map_err(said)?;
            // SAFETY: the driver returned this device.
            let memory = unsafe { result::device::total_mem(device) }.ok();
            Ok(Device {
                name: DeviceName {
                    kind: Kind::Cuda,
                    index: usize::try_from(ordinal).unwrap_or(0),
                },
                title: result::device::get_name(device).map_err(said)?,
                driver: driver.clone(),
                memory: memory.map(|bytes| bytes as u64),
                software: false,
            })
        })
        .collect()
}
