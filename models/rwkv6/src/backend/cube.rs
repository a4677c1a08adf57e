//! The operations on every GPU that CubeCL compiles for: CUDA, ROCm, Vulkan, Metal and WebGPU.

use super::{Backend, TokenMix, TokenMixGrads, TokenMixWants, Wkv6Kernel, token_mix as reference};
use bone::Backend as _;
use bone::kernels::{Kernel, record_fallback};
use burn::tensor::DType;
use burn::tensor::ops::FloatTensor;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

mod kernels;
mod token_mix;
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
            record_fallback(Kernel::Wkv6, || reason);
            return None;
        }
        Some(Wkv6Kernel {
            forward: wkv6::forward::<R>,
            backward: Some(wkv6::backward::<R>),
        })
    }

    fn token_mix<const K: usize>(inputs: TokenMix<FloatTensor<Self>, K>) -> [FloatTensor<Self>; K] {
        match Self::has_kernel(Kernel::TokenShift, inputs.x.dtype, &inputs.x.device) {
            true => token_mix::forward(inputs),
            false => reference::forward::<Self, K>(inputs),
        }
    }

    fn token_mix_backward<const K: usize>(
        inputs: TokenMix<FloatTensor<Self>, K>,
        grads: [Option<FloatTensor<Self>>; K],
        wants: TokenMixWants,
    ) -> TokenMixGrads<FloatTensor<Self>, K> {
        let has = Self::has_kernel(Kernel::TokenShift, inputs.x.dtype, &inputs.x.device);
        match has && !wants.maa {
            true => token_mix::backward(inputs, grads, wants.x),
            false => reference::backward::<Self, K>(inputs, grads, wants),
        }
    }
}
