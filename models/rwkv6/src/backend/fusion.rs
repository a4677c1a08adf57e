//! Under burn's fusion: a kernel of the backend below stays one.

use super::{Backend, Wkv6Inputs, Wkv6Kernel, Wkv6Outputs};
use bone::fusion::{Inputs, record};
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
}

/// The kernel of the backend below.
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
