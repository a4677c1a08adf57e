//! The operations under burn's fusion. A kernel of the inner backend stays one operation.

use super::{
    Backend, TokenMix, TokenMixGrads, TokenMixWants, Wkv6Inputs, Wkv6Kernel, Wkv6Outputs, token_mix,
};
use bone::fusion::{Inputs, record};
use bone::kernels::Kernel;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorMetadata};
use burn_fusion::{Fusion, FusionBackend};

impl<B: FusionBackend + Backend> Backend for Fusion<B> {
    fn wkv6_kernel(
        dtype: DType,
        head_size: usize,
        device: &Self::Device,
    ) -> Option<Wkv6Kernel<FloatTensor<Self>>> {
        let kernel = B::wkv6_kernel(dtype, head_size, device)?;
        Some(Wkv6Kernel {
            forward: forward::<B>,
            backward: kernel.backward.and(Some(backward::<B>)),
        })
    }

    fn token_mix<const K: usize>(inputs: TokenMix<FloatTensor<Self>, K>) -> [FloatTensor<Self>; K] {
        if !mixes::<B>(&inputs.x) {
            return token_mix::forward::<Self, K>(inputs);
        }
        let given = Given::of(&inputs);
        let outputs = vec![(inputs.x.shape(), inputs.x.dtype); K];
        let inputs = inputs.into_vec().into();
        let outputs = record::<B>("token_mix", inputs, outputs, move |inputs| {
            let (inputs, _) = given.split::<_, K>(inputs.floats);
            B::token_mix(inputs).into()
        });
        let outputs: Result<[_; K], _> = outputs.try_into();
        outputs.expect("one for each mix")
    }

    fn token_mix_backward<const K: usize>(
        inputs: TokenMix<FloatTensor<Self>, K>,
        grads: [Option<FloatTensor<Self>>; K],
        wants: TokenMixWants,
    ) -> TokenMixGrads<FloatTensor<Self>, K> {
        if wants.maa || !mixes::<B>(&inputs.x) {
            return token_mix::backward::<Self, K>(inputs, grads, wants);
        }
        let given = Given::of(&inputs);
        let present = grads.each_ref().map(Option::is_some);
        let of = |tensor: Option<&FloatTensor<Self>>| {
            tensor.map(|tensor| (tensor.shape(), tensor.dtype))
        };
        let shapes = [
            of(wants.x.then_some(&inputs.x)),
            of(inputs.before.as_ref().filter(|_| wants.x)),
            of(inputs.by_data.as_ref()),
        ];
        let are_made = shapes.each_ref().map(Option::is_some);
        let mut all = inputs.into_vec();
        all.extend(grads.into_iter().flatten());
        let outputs = shapes.into_iter().flatten().collect();
        let made = record::<B>("token_mix_backward", all.into(), outputs, move |inputs| {
            let (inputs, mut grads) = given.split::<_, K>(inputs.floats);
            let grads = present.map(|present| present.then(|| grads.next()).flatten());
            let grads = B::token_mix_backward(inputs, grads, wants);
            let made = [grads.x, grads.before, grads.by_data];
            made.into_iter().flatten().collect()
        });
        let mut made = made.into_iter();
        let [x, before, by_data] = are_made.map(|is| is.then(|| made.next()).flatten());
        TokenMixGrads {
            x,
            before,
            maa: None,
            by_data,
        }
    }
}

/// Returns whether the inner backend has a kernel for the token shift.
fn mixes<B: FusionBackend + Backend>(x: &FloatTensor<Fusion<B>>) -> bool {
    B::has_kernel(Kernel::TokenShift, x.dtype, x.client.device())
}

/// Which optional inputs of a token mix are present.
#[derive(Debug, Clone, Copy)]
struct Given {
    before: bool,
    by_data: bool,
}

impl Given {
    fn of<T, const K: usize>(inputs: &TokenMix<T, K>) -> Self {
        Self {
            before: inputs.before.is_some(),
            by_data: inputs.by_data.is_some(),
        }
    }

    /// Splits the tensors into the inputs, in the order of [`TokenMix::into_vec`], and the tensors
    /// after them.
    fn split<T, const K: usize>(self, all: Vec<T>) -> (TokenMix<T, K>, impl Iterator<Item = T>) {
        let mut all = all.into_iter();
        let mut next = || all.next().expect("as many as were put in");
        let x = next();
        let maa = std::array::from_fn(|_| next());
        let before = self.before.then(&mut next);
        let by_data = self.by_data.then(next);
        let inputs = TokenMix {
            x,
            before,
            maa,
            by_data,
        };
        (inputs, all)
    }
}

/// Returns the kernel of the inner backend.
fn below<B: FusionBackend + Backend>(
    inputs: &Wkv6Inputs<FloatTensor<Fusion<B>>>,
) -> Wkv6Kernel<FloatTensor<B>> {
    let device = inputs.receptance.client.device();
    B::wkv6_kernel(inputs.dtype(), inputs.head_size(), device)
        .expect("only given out where the backend below has a kernel for these inputs")
}

fn forward<B: FusionBackend + Backend>(
    inputs: Wkv6Inputs<FloatTensor<Fusion<B>>>,
) -> Wkv6Outputs<FloatTensor<Fusion<B>>> {
    let kernel = below::<B>(&inputs).forward;
    let shapes = vec![
        (inputs.receptance.shape(), inputs.dtype()),
        (inputs.shape_of_state().into(), inputs.bonus.dtype()),
    ];
    let body = move |inputs: Inputs<B>| {
        let Wkv6Outputs { output, state } = kernel(Wkv6Inputs::from_vec(inputs.floats));
        vec![output, state]
    };
    let mut outputs = record::<B>("wkv6", inputs.into_vec().into(), shapes, body).into_iter();
    let mut next = || outputs.next().expect("there are two");
    Wkv6Outputs {
        output: next(),
        state: next(),
    }
}

fn backward<B: FusionBackend + Backend>(
    inputs: Wkv6Inputs<FloatTensor<Fusion<B>>>,
    grads: Wkv6Outputs<Option<FloatTensor<Fusion<B>>>>,
) -> Wkv6Inputs<FloatTensor<Fusion<B>>> {
    let kernel = below::<B>(&inputs)
        .backward
        .expect("only given out where the kernel below has one");
    let shapes = inputs
        .as_ref()
        .map(|input| (input.shape(), input.dtype()))
        .into_vec();
    let given = [grads.output.is_some(), grads.state.is_some()];
    let mut all = inputs.into_vec();
    all.extend(grads.output);
    all.extend(grads.state);
    let inputs = shapes.len();
    let body = move |all: Inputs<B>| {
        let mut all = all.floats;
        let mut grads = all.split_off(inputs).into_iter();
        let [output, state] = given.map(|given| given.then(|| grads.next()).flatten());
        kernel(Wkv6Inputs::from_vec(all), Wkv6Outputs { output, state }).into_vec()
    };
    Wkv6Inputs::from_vec(record::<B>("wkv6_backward", all.into(), shapes, body))
}
