use super::{Backend, BurnBackend, DeviceMemory};
use crate::kernels::{Kernel, record_fallback};
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
        if !kernel.is_on() {
            return false;
        }
        // Kernels compute in f32 for every input and output precision.
        let takes = match dtype {
            DType::F32 => true,
            DType::F16 | DType::BF16 => Self::multiplies_in(dtype, device),
            _ => false,
        };
        let most = R::client(device).properties().hardware.max_bindings;
        let needed = bindings(kernel);
        if !takes {
            record_fallback(kernel, || {
                format!("this device does not compute in {dtype:?}")
            });
        } else if needed > most {
            record_fallback(kernel, || {
                format!("it needs {needed} bindings, but the maximum is {most}")
            });
        }
        takes && needed <= most
    }
}

/// Returns the most tensors that a kernel takes, plus those that CubeCL adds. wkv6 states its own
/// number.
fn bindings(kernel: Kernel) -> u32 {
    let tensors = match kernel {
        Kernel::Attention => 2,
        Kernel::CrossEntropy => 3,
        Kernel::Gate => 5,
        Kernel::Norm | Kernel::Rotary => 4,
        Kernel::TokenShift => 8,
        Kernel::Wkv6 => 0,
    };
    tensors + 2
}

// The default body consists of operations that fusion already knows.
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
