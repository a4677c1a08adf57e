//! The token shift in ordinary tensor operations.

use super::{TokenMix, TokenMixGrads, TokenMixWants};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive, backend::Backend};

fn tensor<B: Backend, const D: usize>(primitive: FloatTensor<B>) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(primitive))
}

fn primitive<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

/// Returns x, and the term to mix in: each token's predecessor minus the token.
fn rows<B: Backend>(
    x: FloatTensor<B>,
    before: Option<FloatTensor<B>>,
) -> (Tensor<B, 3>, Tensor<B, 3>) {
    let x = tensor::<B, 3>(x);
    let [batch, len, size] = x.dims();
    let first = match before {
        Some(before) => tensor::<B, 2>(before).reshape([batch, 1, size]),
        None => Tensor::zeros([batch, 1, size], (&x.device(), x.dtype())),
    };
    let previous = match len {
        1 => first,
        _ => Tensor::cat(vec![first, x.clone().narrow(1, 0, len - 1)], 1),
    };
    (x.clone(), previous - x)
}

/// Returns the μ of each output, `[1 or batch, 1 or len, size]`.
fn factors<B: Backend, const K: usize>(
    maa: [FloatTensor<B>; K],
    by_data: Option<FloatTensor<B>>,
    shape: [usize; 3],
) -> [Tensor<B, 3>; K] {
    let by_data = by_data.map(tensor::<B, 3>);
    let mut index = 0;
    maa.map(|maa| {
        let maa = tensor::<B, 3>(maa);
        let of_tokens = by_data
            .clone()
            .map(|all| all.narrow(0, index, 1).reshape(shape));
        index += 1;
        match of_tokens {
            Some(of_tokens) => of_tokens + maa,
            None => maa,
        }
    })
}

/// Computes the reference result of [`Backend::token_mix`](crate::Backend::token_mix).
pub fn forward<B: Backend, const K: usize>(
    inputs: TokenMix<FloatTensor<B>, K>,
) -> [FloatTensor<B>; K] {
    let (x, d) = rows::<B>(inputs.x, inputs.before);
    let factors = factors::<B, K>(inputs.maa, inputs.by_data, x.dims());
    factors.map(|mu| primitive(x.clone() + d.clone() * mu))
}

/// Computes the reference result of [`Backend::token_mix_backward`](crate::Backend::token_mix_backward).
pub fn backward<B: Backend, const K: usize>(
    inputs: TokenMix<FloatTensor<B>, K>,
    grads: [Option<FloatTensor<B>>; K],
    wants: TokenMixWants,
) -> TokenMixGrads<FloatTensor<B>, K> {
    let (has_before, has_data) = (inputs.before.is_some(), inputs.by_data.is_some());
    let (x, d) = rows::<B>(inputs.x, inputs.before);
    let [batch, len, size] = x.dims();
    let factors = factors::<B, K>(inputs.maa, inputs.by_data, x.dims());
    let grads = grads.map(|grad| match grad {
        Some(grad) => tensor::<B, 3>(grad),
        None => x.zeros_like(),
    });
    let to_mu = |grad: &Tensor<B, 3>| grad.clone() * d.clone();

    let maa = wants
        .maa
        .then(|| std::array::from_fn(|k| primitive(to_mu(&grads[k]).sum_dim(0).sum_dim(1))));
    let by_data = has_data.then(|| {
        let own = grads
            .iter()
            .map(|grad| to_mu(grad).reshape([1, batch * len, size]));
        primitive(Tensor::cat(own.collect(), 0))
    });
    let (mut d_x, mut d_before) = (None, None);
    if wants.x {
        let mut straight = x.zeros_like();
        // The gradient to the predecessors, shifted by one token.
        let mut shifted = x.zeros_like();
        for (grad, mu) in grads.iter().zip(factors) {
            straight = straight + grad.clone();
            shifted = shifted + grad.clone() * mu;
        }
        let last = Tensor::zeros([batch, 1, size], (&x.device(), x.dtype()));
        let back = match len {
            1 => last,
            _ => Tensor::cat(vec![shifted.clone().narrow(1, 1, len - 1), last], 1),
        };
        d_before = has_before.then(|| {
            let first = shifted.clone().narrow(1, 0, 1);
            primitive(first.reshape([batch, size]))
        });
        d_x = Some(primitive(straight - shifted + back));
    }
    TokenMixGrads {
        x: d_x,
        before: d_before,
        maa,
        by_data,
    }
}
