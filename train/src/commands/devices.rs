//! `bone devices`: what this build can run on.

use super::CommandError;
use crate::device::{self, DeviceName, Kind};

/// Prints each kind of device, whether it is built in, and whether it works.
///
/// # Errors
///
/// No device works.
pub fn run() -> Result<(), CommandError> {
    let mut working = 0;
    for kind in [Kind::Cpu, Kind::Cuda, Kind::Vulkan] {
        let device = DeviceName { kind, index: 0 };
        match device::check(device) {
            Ok(()) => {
                working += 1;
                println!("{device:<10} works: a small training step was made on it");
            }
            Err(error @ device::DeviceError::NotBuilt { .. }) => {
                let name = kind.name();
                println!("{name:<10} not in this build ({})", first_fix(&error));
            }
            Err(error) => println!("{device:<10} {error}"),
        }
    }
    match device::choose("auto") {
        Ok((device, reason)) => println!("\n--device auto is {device}: {reason}"),
        Err(error) => return Err(error.into()),
    }
    if working == 0 {
        return Err(CommandError::Usage("no device works".into()));
    }
    Ok(())
}

fn first_fix(error: &device::DeviceError) -> String {
    let text = error.to_string();
    text.rsplit("; ").next().unwrap_or(&text).to_string()
}
