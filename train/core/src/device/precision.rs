//! In which precision the base weights are held, and why.

use super::{Capabilities, DeviceError, DeviceName, Kind};
use crate::models::ModelInfo;
use bone_lm::checkpoint::Dtype;
use burn::tensor::{DType, FloatDType};

/// The precision the base weights are held in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtypeChoice {
    /// Chosen from the checkpoint and the device; the run prints which and why.
    #[default]
    Auto,
    /// 32-bit floats.
    F32,
    /// bfloat16.
    Bf16,
    /// 16-bit floats.
    F16,
}

impl DtypeChoice {
    /// Returns the precision that was asked for; `None` for auto.
    pub fn dtype(self) -> Option<DType> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(DType::F32),
            Self::Bf16 => Some(DType::BF16),
            Self::F16 => Some(DType::F16),
        }
    }
}

/// The precision of the base weights.
pub struct Precision {
    /// What weights are converted to at loading; `None` keeps the file's.
    pub convert: Option<FloatDType>,
    /// Bytes of a weight as it is held.
    pub bytes: usize,
    /// Whether the weights stay pages of their file.
    pub mapped: bool,
    /// The half precision that the device can hold a base in.
    pub half: Option<&'static str>,
    /// Whether products are made in half precision, which rounds what goes into them.
    pub half_products: bool,
    /// Whether gradients pass through products in f16, whose small numbers would be lost.
    pub scales_loss: bool,
    /// What is printed.
    pub text: String,
}

fn name(dtype: FloatDType) -> &'static str {
    match dtype {
        FloatDType::F16 => "f16",
        FloatDType::BF16 => "bf16",
        _ => "f32",
    }
}

fn stored(info: &ModelInfo) -> Option<FloatDType> {
    match info.stored {
        Some(Dtype::F32) => Some(FloatDType::F32),
        Some(Dtype::F16) => Some(FloatDType::F16),
        Some(Dtype::BF16) => Some(FloatDType::BF16),
        _ => None,
    }
}

/// Those that a base can be held in: f64 is for our own comparisons.
fn bases(stored: &[DType]) -> Vec<DType> {
    let half_or_single = |dtype: &&DType| **dtype != DType::F64;
    stored.iter().filter(half_or_single).copied().collect()
}

/// Chooses the precision the weights are held in. The products with them are made in it where the
/// device computes in it, and everything else in f32.
///
/// # Errors
///
/// The device cannot hold what was asked for.
pub fn choose(
    choice: DtypeChoice,
    info: &ModelInfo,
    device: DeviceName,
) -> Result<Precision, DeviceError> {
    let known = Capabilities::of(device)?;
    let stores = |held: FloatDType| known.stored.contains(&held.into());
    let file = stored(info);
    let asked: Option<FloatDType> = choice.dtype().map(Into::into);
    if let Some(asked) = asked
        && !stores(asked)
    {
        return Err(DeviceError::Dtype(format!(
            "--dtype {}: {device} holds a base in {} only; name that, or leave dtype out",
            name(asked),
            Capabilities::names(&bases(&known.stored))
        )));
    }
    let (held, reason) = match (asked, file) {
        (Some(asked), _) => (asked, "asked for".to_string()),
        (None, None) => (FloatDType::F32, "random weights".to_string()),
        (None, Some(FloatDType::F32)) => (FloatDType::F32, "as in the file".to_string()),
        // Mapped, in half the memory of f32, and for every product as good: exact where the processor
        // multiplies in f32.
        (None, Some(half)) if device.kind == Kind::Cpu => (half, "as in the file".to_string()),
        (None, Some(half)) => {
            let half_name = name(half);
            let why = match stores(half) {
                false => format!("the file has {half_name}, which {device} cannot hold"),
                true => format!(
                    "the file has {half_name}; --dtype {half_name} holds it in half the memory"
                ),
            };
            (FloatDType::F32, why)
        }
    };
    let in_half = known.multiplied.contains(&held.into());
    let same = file == Some(held);
    let mapped = same && device.kind == Kind::Cpu;
    let how = if mapped {
        ", mapped and not copied"
    } else {
        ""
    };
    let computed = match in_half {
        true => format!("products in {}, the rest computed in f32", name(held)),
        false => "computed in f32".to_string(),
    };
    Ok(Precision {
        convert: (!same).then_some(held),
        bytes: match held {
            FloatDType::F16 | FloatDType::BF16 => 2,
            _ => 4,
        },
        mapped,
        half: [FloatDType::BF16, FloatDType::F16]
            .into_iter()
            .find(|half| stores(*half))
            .map(name),
        half_products: in_half && held != FloatDType::F32,
        scales_loss: in_half && held == FloatDType::F16,
        text: format!("{}, {computed} ({reason}{how})", name(held)),
    })
}
