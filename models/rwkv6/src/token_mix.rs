//! Token shift: mixes each token with its predecessor, `x_t + (x_{t−1} − x_t)·μ`.

use crate::Backend;
use crate::backend::TokenMix;
use burn::module::Param;
use burn::tensor::{Tensor, TensorPrimitive};

/// Mixes `x` `[batch, len, size]` with its predecessors once for each of `maa` `[1, 1, size]`.
/// `by_data` `[K, batch · len, size]` adds a part for each token. The first token's predecessor is
/// `before` `[batch, size]`, or zero.
pub(crate) fn token_mix<B: Backend, const K: usize>(
    x: Tensor<B, 3>,
    before: Option<Tensor<B, 2>>,
    maa: [&Param<Tensor<B, 3>>; K],
    by_data: Option<Tensor<B, 3>>,
) -> [Tensor<B, 3>; K] {
    let _span = tracing::trace_span!("token shift").entered();
    let dtype = x.dtype();
    let outputs = B::token_mix(TokenMix {
        x: x.into_primitive().tensor(),
        before: before.map(|before| before.cast(dtype).into_primitive().tensor()),
        maa: maa.map(|maa| maa.val().cast(dtype).into_primitive().tensor()),
        by_data: by_data.map(|by_data| by_data.into_primitive().tensor()),
    });
    outputs.map(|output| Tensor::from_primitive(TensorPrimitive::Float(output)))
}

#[cfg(all(test, feature = "flex"))]
mod tests;
