use super::{Backend, BurnBackend, DeviceMemory};
use crate::kernels::Kernel;
use burn::tensor::DType;
use burn::tensor::backend::DTypeUsage;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_fusion::{Fusion, FusionBackend};

impl<R, F, I, BT> Backend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn multiplies_in(dtype: DType, device: &Self::Device) -> bool {
        <Self as BurnBackend>::dtype_usage(device, dtype).contains(DTypeUsage::Arithmetic)
    }

    fn device_memory(device: &Self::Device) -> Option<DeviceMemory> {
        let usage = R::client(device).memory_usage().ok()?;
        Some(DeviceMemory {
            in_use: usage.bytes_in_use,
            reserved: usage.bytes_reserved,
        })
    }

    fn has_kernel(kernel: Kernel, dtype: DType, device: &Self::Device) -> bool {
        // They add up in f32 whatever they read and write.
        let runs = match dtype {
            DType::F32 => true,
            DType::F16 | DType::BF16 => Self::multiplies_in(dtype, device),
            _ => false,
        };
        runs && kernel.is_on()
    }
}

// The default body is made of operations that fusion already knows.
impl<B: FusionBackend + Backend> Backend for Fusion<B> {
    fn multiplies_in(dtype: DType, device: &Self::Device) -> bool {
        B::multiplies_in(dtype, device)
    }

    fn device_memory(device: &Self::Device) -> Option<DeviceMemory> {
        B::device_memory(device)
    }

    fn has_kernel(kernel: Kernel, dtype: DType, device: &Self::Device) -> bool {
        B::has_kernel(kernel, dtype, device)
    }
}
