//! On every GPU that CubeCL compiles for: CUDA, ROCm, Vulkan, Metal and WebGPU.

use super::{Backend, Wkv6Kernel};
use bone::Backend as _;
use bone::kernels::{Kernel, gives_way};
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
        if !Self::has_kernel(Kernel::Wkv6, dtype, device) {
            return None;
        }
        if let Some(reason) = wkv6::obstacle(&R::client(device), head_size) {
            gives_way(Kernel::Wkv6, || reason);
            return None;
        }
        Some(Wkv6Kernel {
            forward: wkv6::forward::<R>,
            backward: Some(wkv6::backward::<R>),
        })
    }
}
