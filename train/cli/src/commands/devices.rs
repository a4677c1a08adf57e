//! `bone devices`: lists the devices of this build, and checks a training step on each.

use crate::error::CommandError;
use crate::output::line;
use bone_train::device::{self, Capabilities, Device, DeviceName, Kind, Trial};
use bone_train::models::Architecture;
use burn::tensor::DType;

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct DevicesArgs {
    /// Check only this device [default: all]
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// GPU: fuse neighbouring operations into one kernel
    #[arg(long, value_name = "BOOL", default_value_t = true, action = clap::ArgAction::Set)]
    pub fusion: bool,
}

/// The CPU's step of each architecture in f64, if this build has that backend.
type References = [(Architecture, Option<Trial>); 2];

/// Prints every device of this build with its precisions for storing and computing. Runs a training step of
/// a tiny LLaMA2 and a tiny RWKV6 on each. The steps use f32 and each half precision the device computes
/// in, and are compared with the CPU's step in f64.
///
/// # Errors
///
/// The requested device does not exist, or the step of a device is wrong.
pub fn run(args: &DevicesArgs) -> Result<(), CommandError> {
    let asked = match &args.device {
        Some(name) if name == "auto" => Some(device::choose(name)?.0.name),
        Some(name) => Some(name.parse::<DeviceName>()?),
        None => None,
    };
    if let Some(name) = asked {
        // If the device is missing, the error lists the available ones.
        device::find(name)?;
    }
    let (kind, index) = (Kind::Cpu, 0);
    let references = [Architecture::Llama2, Architecture::Rwkv6].map(|architecture| {
        let cpu = DeviceName { kind, index };
        let trial = Trial::of(architecture, cpu, false, DType::F64);
        (architecture, trial.ok())
    });
    let mut bad = Vec::new();
    let is_meant = |kind: &Kind| asked.is_none_or(|asked| asked.kind == *kind);
    for kind in Kind::ALL.into_iter().filter(is_meant) {
        let devices = device::devices(kind).unwrap_or_else(|reason| {
            line!("{:<10} {reason}", kind.name());
            Vec::new()
        });
        for device in devices {
            let is_meant = asked.is_none_or(|asked| asked == device.name);
            if is_meant && !look_at(&device, args.fusion, &references) {
                bad.push(device.name.to_string());
            }
        }
    }
    if asked.is_none() {
        let (device, reason) = device::choose("auto")?;
        line!("\n--device auto uses {}: {reason}", device.name);
    }
    if bad.is_empty() {
        return Ok(());
    }
    Err(CommandError::wrong(format!(
        "{} is not usable for training: its training step differs from the CPU's",
        bad.join(", ")
    )))
}

/// Prints a device's facts and checks. Returns whether all checks pass.
fn look_at(device: &Device, fusion: bool, references: &References) -> bool {
    line!("{:<10} {}", device.name.to_string(), device.description());
    let known = match Capabilities::of(device.name) {
        Ok(known) => known,
        Err(error) => {
            line!("{:<10} {error}", "");
            return false;
        }
    };
    let stored = Capabilities::names(&known.stored);
    let computed = Capabilities::names(&known.computed);
    line!("{:<10} stores {stored}; computes in {computed}", "");
    let mut dtypes = vec![DType::F32];
    if !device.name.kind.on_processor() {
        let halves = [DType::BF16, DType::F16];
        dtypes.extend(halves.iter().filter(|half| known.computed.contains(half)));
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

/// Returns whether a step is correct, and a text about it.
fn verdict(trial: &Trial, reference: Option<&Trial>, dtype: DType) -> (bool, String) {
    let (right, found) = if let Some(reference) = reference {
        let (difference, tolerance) = match dtype {
            // Several times the error from rounding the weights. A wrong kernel is off by about 1.
            DType::BF16 => (trial.distance(reference), 2e-1),
            DType::F16 => (trial.distance(reference), 5e-2),
            _ => (trial.difference(reference), 1e-3),
        };
        let right = difference <= tolerance;
        let word = if right { "right" } else { "WRONG" };
        (
            right,
            format!("{word}: differs by {difference:.0e} from the CPU in f64"),
        )
    } else {
        let mut values = trial.gradients.values().flatten();
        let right = trial.loss.is_finite() && values.all(|value| value.is_finite());
        let word = if right { "finite" } else { "NOT FINITE" };
        let why = "not compared (this build has no CPU backend)";
        (right, format!("{word}, {why}"))
    };
    let speed = trial.tokens_per_second;
    (right, format!("training step {found}, {speed:.0} tokens/s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_or_non_finite_step_fails_verdict() {
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
