//! The precisions that a device supports.

use super::{DeviceError, DeviceName, OnDevice, on_device};
use crate::models::ModelBackend;
use burn::tensor::DType;
use burn::tensor::backend::DTypeUsage;

/// The precisions that a device supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Precisions for storing tensors and converting them.
    pub stored: Vec<DType>,
    /// Precisions for computing.
    pub computed: Vec<DType>,
    /// Half precisions for matrix products with a weight stored in them.
    pub multiplied: Vec<DType>,
}

const ALL: [DType; 4] = [DType::F32, DType::F16, DType::BF16, DType::F64];

struct Ask;

impl OnDevice for Ask {
    type Output = Capabilities;

    fn run<B: ModelBackend>(self, device: B::Device) -> Capabilities {
        let with = |usage: DTypeUsage| {
            let has = |dtype: &DType| B::dtype_usage(&device, *dtype).contains(usage);
            ALL.into_iter().filter(has).collect()
        };
        Capabilities {
            stored: with(DTypeUsage::Storage),
            computed: with(DTypeUsage::Arithmetic),
            multiplied: [DType::BF16, DType::F16]
                .into_iter()
                .filter(|half| B::multiplies_in(*half, &device))
                .collect(),
        }
    }
}

impl Capabilities {
    /// Returns the capabilities that the device reports.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn of(device: DeviceName) -> Result<Self, DeviceError> {
        on_device(device, false, Ask)
    }

    /// Returns names like `f32, bf16`.
    pub fn names(dtypes: &[DType]) -> String {
        let names: Vec<_> = dtypes.iter().map(DType::name).collect();
        names.join(", ")
    }
}
