use super::{Backend, BurnBackend};
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

    fn has_kernel(kernel: Kernel, dtype: DType, _device: &Self::Device) -> bool {
        dtype == DType::F32 && kernel.is_on()
    }
}

// The default body is made of operations that fusion already knows.
impl<B: FusionBackend + Backend> Backend for Fusion<B> {
    fn multiplies_in(dtype: DType, device: &Self::Device) -> bool {
        B::multiplies_in(dtype, device)
    }

    fn has_kernel(kernel: Kernel, dtype: DType, device: &Self::Device) -> bool {
        B::has_kernel(kernel, dtype, device)
    }
}
