//! In which precision the base weights are held, and why.

use crate::config::DtypeChoice;
use crate::device::{DeviceName, Kind};
use crate::models::ModelInfo;
use bone_lm::checkpoint::Dtype;
use burn::tensor::FloatDType;

/// The precision of the base weights.
pub(super) struct Precision {
    /// What weights are converted to at loading; `None` keeps the file's.
    pub(super) convert: Option<FloatDType>,
    /// Bytes of a weight as it is held.
    pub(super) bytes: usize,
    /// Whether the weights stay pages of their file.
    pub(super) mapped: bool,
    /// What is printed.
    pub(super) text: String,
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

/// Chooses the precision. Everything is computed in f32 whatever the weights are held in.
pub(super) fn choose(choice: DtypeChoice, info: &ModelInfo, device: DeviceName) -> Precision {
    let file = stored(info);
    let (held, reason) = match choice {
        DtypeChoice::F32 => (FloatDType::F32, "asked for".to_string()),
        DtypeChoice::Bf16 => (FloatDType::BF16, "asked for".to_string()),
        DtypeChoice::F16 => (FloatDType::F16, "asked for".to_string()),
        DtypeChoice::Auto => match (file, device.kind) {
            (None, _) => (FloatDType::F32, "random weights".to_string()),
            (Some(FloatDType::F32), _) => (FloatDType::F32, "as in the file".to_string()),
            (Some(half), Kind::Cpu) => (
                FloatDType::F32,
                format!(
                    "the file has {}, which this CPU backend would convert to f32 for every product; --dtype {} holds it in half the memory, slower",
                    name(half),
                    name(half)
                ),
            ),
            (Some(half), _) => (
                FloatDType::F32,
                format!(
                    "the file has {}; products on this device are made in f32, --dtype {} holds it in half the memory",
                    name(half),
                    name(half)
                ),
            ),
        },
    };
    let same = file == Some(held);
    let mapped = same && device.kind == Kind::Cpu;
    let how = if mapped {
        ", mapped and not copied"
    } else {
        ""
    };
    Precision {
        convert: (!same).then_some(held),
        bytes: match held {
            FloatDType::F16 | FloatDType::BF16 => 2,
            _ => 4,
        },
        mapped,
        text: format!("{}, computed in f32 ({reason}{how})", name(held)),
    }
}
