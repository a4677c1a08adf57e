//! `bone devices`: what this build can run on, and whether a training step is right there.

use super::CommandError;
use crate::device::{self, Capabilities, Device, DeviceName, Kind, Trial};
use crate::models::Architecture;
use burn::tensor::DType;

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct DevicesArgs {
    /// Only this device [default: all of this build]
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// On a GPU, run neighbouring operations as one
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub fusion: bool,
}

/// Largest difference from the processor's f64 that is no fault: of a gradient's largest entry.
const TOLERANCE: f64 = 1e-3;

/// Prints every device of this build with what it can store and compute in, and makes a training
/// step of a tiny LLaMA2 and a tiny RWKV6 on each, compared with the processor's in f64.
///
/// # Errors
///
/// A device was asked for that is not there, or one is there and its step is not right.
pub fn run(args: &DevicesArgs) -> Result<(), CommandError> {
    let asked = match &args.device {
        Some(name) if name == "auto" => Some(device::choose(name)?.0.name),
        Some(name) => Some(name.parse::<DeviceName>()?),
        None => None,
    };
    if let Some(name) = asked {
        // With what is there in its message where it is not.
        device::find(name)?;
    }
    let mut bad = Vec::new();
    for kind in Kind::ALL {
        if asked.is_some_and(|asked| asked.kind != kind) {
            continue;
        }
        match device::devices(kind) {
            Err(reason) => println!("{:<10} {reason}", kind.name()),
            Ok(devices) => {
                for device in devices {
                    if asked.is_none_or(|asked| asked == device.name) && !look_at(&device, args)? {
                        bad.push(device.name.to_string());
                    }
                }
            }
        }
    }
    if asked.is_none() {
        let (device, reason) = device::choose("auto")?;
        println!("\n--device auto is {}: {reason}", device.name);
    }
    match bad.is_empty() {
        true => Ok(()),
        false => Err(CommandError::DeviceTrial(format!(
            "no training on {}: a step there is not what the processor makes of it",
            bad.join(", ")
        ))),
    }
}

/// Prints what a device is and does; whether all of it is right.
fn look_at(device: &Device, args: &DevicesArgs) -> Result<bool, CommandError> {
    println!("{:<10} {}", device.name.to_string(), device.description());
    match Capabilities::of(device.name) {
        Ok(known) => println!(
            "{:<10} stores {}; computes in {}",
            "",
            Capabilities::names(&known.stored),
            Capabilities::names(&known.computed)
        ),
        Err(error) => {
            println!("{:<10} {error}", "");
            return Ok(false);
        }
    }
    let mut good = true;
    for architecture in [Architecture::Llama2, Architecture::Rwkv6] {
        let name = architecture.name();
        let trial = Trial::of(architecture, device.name, args.fusion, DType::F32);
        match (trial, reference(architecture)) {
            (Err(error), _) => {
                good = false;
                println!("{:<10} {name:<6} {error}", "");
            }
            (Ok(trial), Some(reference)) => {
                let difference = trial.difference(&reference);
                let right = difference <= TOLERANCE;
                good &= right;
                println!(
                    "{:<10} {name:<6} training step {}: {difference:.0e} from the processor's in \
                     f64, {:.0} tokens/s",
                    "",
                    if right { "right" } else { "WRONG" },
                    trial.tokens_per_second
                );
            }
            (Ok(trial), None) => {
                let finite = trial.loss.is_finite()
                    && trial.gradients.values().flatten().all(|g| g.is_finite());
                good &= finite;
                println!(
                    "{:<10} {name:<6} training step {}, compared with nothing (this build has no \
                     processor backend), {:.0} tokens/s",
                    "",
                    if finite { "finite" } else { "NOT FINITE" },
                    trial.tokens_per_second
                );
            }
        }
    }
    println!(
        "{:<10} {}",
        "",
        if good { "works" } else { "DOES NOT WORK" }
    );
    Ok(good)
}

/// The processor's own step in f64.
fn reference(architecture: Architecture) -> Option<Trial> {
    let kind = Kind::Cpu;
    let name = DeviceName { kind, index: 0 };
    Trial::of(architecture, name, false, DType::F64).ok()
}
