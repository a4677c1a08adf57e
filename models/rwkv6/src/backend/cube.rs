//! On every GPU that CubeCL compiles for: CUDA, ROCm, Vulkan, Metal and WebGPU.

use super::{Backend, Wkv6Kernel};
use bone::Backend as _;
use bone::kernels::Kernel;
use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

mod kernels;
mod wkv6;

impl<R, F, I, BT> Backend for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn wkv6_kernel(
        dtype: DType,
        head_size: usize,
        device: &Self::Device,
    ) -> Option<Wkv6Kernel<FloatTensor<Self>>> {
        let wanted = Self::has_kernel(Kernel::Wkv6, dtype, device);
        (wanted && wkv6::runs_on(&R::client(device), head_size)).then_some(Wkv6Kernel {
            forward: wkv6::forward::<R>,
            backward: Some(wkv6::backward::<R>),
        })
    }
}
