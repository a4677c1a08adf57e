//! `bone devices`: what this build can run on, and whether a training step is right there.

use crate::error::CommandError;
use crate::output::line;
use bone_train::device::{self, Capabilities, Device, DeviceName, Kind, Trial};
use bone_train::models::Architecture;
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

/// How far a step in some precision may be from the processor's in f64.
fn tolerance(dtype: DType) -> f64 {
    match dtype {
        // Several times what rounding the weights alone comes to; a wrong kernel is off by one.
        DType::BF16 => 2e-1,
        DType::F16 => 5e-2,
        _ => 1e-3,
    }
}

/// The processor's own step of each architecture in f64, where this build has that backend.
type References = [(Architecture, Option<Trial>); 2];

fn references() -> References {
    let cpu = DeviceName {
        kind: Kind::Cpu,
        index: 0,
    };
    [Architecture::Llama2, Architecture::Rwkv6].map(|architecture| {
        let trial = Trial::of(architecture, cpu, false, DType::F64);
        (architecture, trial.ok())
    })
}

/// Prints every device of this build with what it can store and compute in, and makes a training
/// step of a tiny LLaMA2 and a tiny RWKV6 on each, in f32 and in each half precision it computes
/// in, compared with the processor's in f64.
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
    let references = references();
    let mut bad = Vec::new();
    for kind in Kind::ALL {
        if asked.is_some_and(|asked| asked.kind != kind) {
            continue;
        }
        match device::devices(kind) {
            Err(reason) => line!("{:<10} {reason}", kind.name()),
            Ok(devices) => {
                for device in devices {
                    let meant = asked.is_none_or(|asked| asked == device.name);
                    if meant && !look_at(&device, args.fusion, &references) {
                        bad.push(device.name.to_string());
                    }
                }
            }
        }
    }
    if asked.is_none() {
        let (device, reason) = device::choose("auto")?;
        line!("\n--device auto is {}: {reason}", device.name);
    }
    if bad.is_empty() {
        return Ok(());
    }
    Err(CommandError::Wrong(format!(
        "no training on {}: a step there is not what the processor makes of it",
        bad.join(", ")
    )))
}

/// Prints what a device is and does; whether all of it is right.
fn look_at(device: &Device, fusion: bool, references: &References) -> bool {
    line!("{:<10} {}", device.name.to_string(), device.description());
    let mut dtypes = vec![DType::F32];
    match Capabilities::of(device.name) {
        Ok(known) => {
            line!(
                "{:<10} stores {}; computes in {}",
                "",
                Capabilities::names(&known.stored),
                Capabilities::names(&known.computed)
            );
            if !device.name.kind.on_processor() {
                let halves = [DType::BF16, DType::F16];
                dtypes.extend(halves.iter().filter(|half| known.computed.contains(half)));
            }
        }
        Err(error) => {
            line!("{:<10} {error}", "");
            return false;
        }
    }
    let mut good = true;
    for dtype in dtypes {
        for (architecture, reference) in references {
            let trial = Trial::of(*architecture, device.name, fusion, dtype);
            let (right, told) = match trial {
                Ok(trial) => verdict(&trial, reference.as_ref(), dtype),
                Err(error) => (false, error.to_string()),
            };
            good &= right;
            let (name, dtype) = (architecture.name(), Capabilities::names(&[dtype]));
            line!("{:<10} {name:<6} {dtype:<4} {told}", "");
        }
    }
    let verdict = if good { "works" } else { "DOES NOT WORK" };
    line!("{:<10} {verdict}", "");
    good
}

/// Whether a step is right, and what to say of it.
fn verdict(trial: &Trial, reference: Option<&Trial>, dtype: DType) -> (bool, String) {
    let (right, found) = match reference {
        Some(reference) => {
            let distance = trial.distance(reference);
            let right = distance <= tolerance(dtype);
            let word = if right { "right" } else { "WRONG" };
            let found = format!("{word}: {distance:.0e} from the processor's in f64");
            (right, found)
        }
        None => {
            let finite = |values: &Vec<f64>| values.iter().all(|value| value.is_finite());
            let right = trial.loss.is_finite() && trial.gradients.values().all(finite);
            let word = if right { "finite" } else { "NOT FINITE" };
            let found = "compared with nothing (this build has no processor backend)";
            (right, format!("{word}, {found}"))
        }
    };
    let speed = trial.tokens_per_second;
    (right, format!("training step {found}, {speed:.0} tokens/s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_is_off_or_not_finite_is_wrong() {
        let trial = |loss| Trial {
            loss,
            gradients: Default::default(),
            tokens_per_second: 5.0,
        };
        assert!(verdict(&trial(1.0), Some(&trial(1.0005)), DType::F32).0);
        for loss in [1.1, f64::NAN] {
            let (right, told) = verdict(&trial(loss), Some(&trial(1.0)), DType::F32);
            assert!(!right && told.contains("WRONG"), "{told}");
        }
        assert!(verdict(&trial(1.0), None, DType::F32).0);
        let (right, told) = verdict(&trial(f64::INFINITY), None, DType::F32);
        assert!(!right && told.contains("NOT FINITE"), "{told}");
    }
}
