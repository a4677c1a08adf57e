//! AMD devices, as HIP lists them.

use super::{Device, DeviceName, Kind};
use cubecl_hip_sys::{
    HIP_SUCCESS, hipDeviceGetName, hipDeviceTotalMem, hipGetDeviceCount, hipRuntimeGetVersion,
    is_available,
};
use std::ffi::{CStr, c_char, c_int};

pub(super) fn devices() -> Result<Vec<Device>, String> {
    if !is_available() {
        return Err("no ROCm (libamdhip64) was found".into());
    }
    let (mut count, mut version) = (0 as c_int, 0 as c_int);
    // SAFETY: each call writes one number.
    let status = unsafe { hipGetDeviceCount(&mut count) };
    if status != HIP_SUCCESS {
        return Err(format!(
            "HIP returned error {status} for the list of devices"
        ));
    }
    // SAFETY: as above.
    let known = unsafe { hipRuntimeGetVersion(&mut version) } == HIP_SUCCESS;
    let driver = known.then(|| {
        let (major, minor) = (version / 10_000_000, version / 100_000 % 100);
        format!("HIP {major}.{minor}")
    });
    Ok((0..count)
        .map(|ordinal| device(ordinal, driver.clone()))
        .collect())
}

fn device(ordinal: c_int, driver: Option<String>) -> Device {
    const LENGTH: usize = 256;
    let mut name = [0 as c_char; LENGTH + 1];
    let mut memory = 0usize;
    // SAFETY: the name's buffer is longer than the length given to HIP, so it ends in a zero. The memory is
    // one number.
    let (named, known) = unsafe {
        (
            hipDeviceGetName(name.as_mut_ptr(), LENGTH as c_int, ordinal) == HIP_SUCCESS,
            hipDeviceTotalMem(&mut memory, ordinal) == HIP_SUCCESS,
        )
    };
    // SAFETY: as above.
    let text = unsafe { CStr::from_ptr(name.as_ptr()) }.to_string_lossy();
    Device {
        name: DeviceName {
            kind: Kind::Rocm,
            index: usize::try_from(ordinal).unwrap_or(0),
        },
        title: if named {
            text.into_owned()
        } else {
            "an AMD device".into()
        },
        driver,
        memory: known.then_some(memory as u64),
        software: false,
    }
}
