//! The precisions a device knows.

use super::{DeviceError, DeviceName, OnDevice, on_device};
use crate::models::ModelBackend;
use burn::tensor::DType;
use burn::tensor::backend::DTypeUsage;

/// The precisions a device knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// Those it can hold tensors in and convert from and to.
    pub stored: Vec<DType>,
    /// Those it computes in.
    pub computed: Vec<DType>,
    /// The half precisions it makes products in with a weight that is held in them.
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
    /// Asks the device.
    ///
    /// # Errors
    ///
    /// [`DeviceError`].
    pub fn of(device: DeviceName) -> Result<Self, DeviceError> {
        on_device(device, false, Ask)
    }

    /// `f32, bf16`.
    pub fn names(dtypes: &[DType]) -> String {
        let names: Vec<_> = dtypes.iter().map(DType::name).collect();
        names.join(", ")
    }
}
