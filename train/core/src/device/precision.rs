//! Choosing the precision of the base weights.

use super::{Capabilities, DeviceError, DeviceName, Kind};
use crate::models::ModelInfo;
use bone_lm::checkpoint::burn_dtype;
use burn::tensor::{DType, FloatDType};

/// Precision of the base weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DtypeChoice {
    /// Chosen from the checkpoint and the device. The run prints the choice and its reason.
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
    /// Returns the given precision; `None` for auto.
    pub fn dtype(self) -> Option<DType> {
        match self {
            Self::Auto => None,
            Self::F32 => Some(DType::F32),
            Self::Bf16 => Some(DType::BF16),
            Self::F16 => Some(DType::F16),
        }
    }
}

/// Chosen precision of the base weights.
pub struct Precision {
    /// Type that weights are converted to when loaded; `None` keeps the file's type.
    pub convert: Option<FloatDType>,
    /// Bytes per weight in memory.
    pub bytes: usize,
    /// Whether the weights stay memory-mapped from their file.
    pub mapped: bool,
    /// The half precision that the device supports for the base.
    pub half: Option<&'static str>,
    /// Whether products are computed in half precision, which rounds their inputs.
    pub half_products: bool,
    /// Whether gradients pass through f16 products, which lose small numbers.
    pub scales_loss: bool,
    /// The text to print.
    pub text: String,
}

/// Precisions that the base supports.
const BASES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

/// Chooses the precision of the weights. Products with them use that precision if the device computes in
/// it. Everything else is f32.
///
/// # Errors
///
/// The device does not support the requested precision.
pub fn choose(
    choice: DtypeChoice,
    info: &ModelInfo,
    device: DeviceName,
) -> Result<Precision, DeviceError> {
    let known = Capabilities::of(device)?;
    let stores = |held: &DType| known.stored.contains(held);
    let file = info.stored.and_then(burn_dtype);
    let file = file.filter(|stored| BASES.contains(stored));
    let (held, reason) = match (choice.dtype(), file) {
        (Some(asked), _) if !stores(&asked) => {
            let bases: Vec<_> = BASES.into_iter().filter(stores).collect();
            return Err(DeviceError::Usage(format!(
                "--dtype {}: {device} supports only {} for the base weights; use one of them, or remove \
                 dtype",
                asked.name(),
                Capabilities::names(&bases)
            )));
        }
        (Some(asked), _) => (asked, "requested".to_string()),
        (None, None) => (DType::F32, "random weights".to_string()),
        // On the CPU a half-precision file is mapped, which takes half the memory of f32. Products are just
        // as accurate: they are exact where the CPU multiplies in f32.
        (None, Some(file)) if file == DType::F32 || device.kind == Kind::Cpu => {
            (file, "as in the file".to_string())
        }
        (None, Some(half)) => {
            let name = half.name();
            let why = if stores(&half) {
                format!("the file has {name}; --dtype {name} needs half the memory")
            } else {
                format!("the file has {name}, which {device} does not support")
            };
            (DType::F32, why)
        }
    };
    let name = held.name();
    let half_products = known.multiplied.contains(&held);
    let is_as_stored = file == Some(held);
    let mapped = is_as_stored && device.kind == Kind::Cpu;
    let how = if mapped {
        ", mapped without a copy"
    } else {
        ""
    };
    let computed = if half_products {
        format!("matrix products in {name}, everything else in f32")
    } else {
        "computed in f32".to_string()
    };
    let half = [DType::BF16, DType::F16].into_iter().find(stores);
    Ok(Precision {
        convert: (!is_as_stored).then(|| held.into()),
        bytes: held.size(),
        mapped,
        half: half.map(|half| half.name()),
        half_products,
        scales_loss: half_products && held == DType::F16,
        text: format!("{name}, {computed} ({reason}{how})"),
    })
}
