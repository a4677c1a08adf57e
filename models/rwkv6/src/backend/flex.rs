//! wkv6 on the processor: heads in parallel, vectors along the state.

use super::{Backend, TokenMix, TokenMixGrads, TokenMixWants, Wkv6Inputs, Wkv6Kernel, Wkv6Outputs};
use backward::{Backward, HeadGrads};
use burn::tensor::{DType, TensorData, TensorMetadata};
use burn_flex::{Flex, FlexTensor};
use forward::Forward;
use head::{Dims, Head, Rows, rows_mut};
use lanes::Real;
use pulp::Arch;
use rayon::prelude::*;

mod backward;
mod forward;
mod head;
mod lanes;
mod token_mix;

impl Backend for Flex {
    fn wkv6_kernel(
        dtype: DType,
        _head_size: usize,
        _device: &Self::Device,
    ) -> Option<Wkv6Kernel<FlexTensor>> {
        match dtype {
            DType::F32 => Some(kernel::<f32>()),
            DType::F64 => Some(kernel::<f64>()),
            _ => None,
        }
    }

    fn token_mix<const K: usize>(inputs: TokenMix<FlexTensor, K>) -> [FlexTensor; K] {
        match inputs.x.dtype() {
            DType::F32 => token_mix::forward::<f32, K>(inputs),
            DType::F64 => token_mix::forward::<f64, K>(inputs),
            _ => super::token_mix::forward::<Self, K>(inputs),
        }
    }

    fn token_mix_backward<const K: usize>(
        inputs: TokenMix<FlexTensor, K>,
        grads: [Option<FlexTensor>; K],
        wants: TokenMixWants,
    ) -> TokenMixGrads<FlexTensor, K> {
        match inputs.x.dtype() {
            DType::F32 => token_mix::backward::<f32, K>(inputs, grads, wants),
            DType::F64 => token_mix::backward::<f64, K>(inputs, grads, wants),
            _ => super::token_mix::backward::<Self, K>(inputs, grads, wants),
        }
    }
}

fn kernel<T: Real>() -> Wkv6Kernel<FlexTensor> {
    Wkv6Kernel {
        forward: forward::<T>,
        backward: Some(backward::<T>),
    }
}

fn dims(inputs: &Wkv6Inputs<FlexTensor>) -> Dims {
    let (rows, bonus) = (inputs.receptance.shape(), inputs.bonus.shape());
    Dims {
        batch: rows[0],
        len: rows[1],
        heads: bonus[0],
        size: bonus[1],
    }
}

fn tensor<T: Real, const D: usize>(values: Vec<T>, shape: [usize; D]) -> FlexTensor {
    FlexTensor::from_data(TensorData::new(values, shape))
}

fn zeros<T: Real, const D: usize>(shape: [usize; D]) -> Vec<T> {
    vec![T::ZERO; shape.iter().product()]
}

fn forward<T: Real>(inputs: Wkv6Inputs<FlexTensor>) -> Wkv6Outputs<FlexTensor> {
    let dims = dims(&inputs);
    let inputs = inputs.map(|tensor| tensor.to_contiguous());
    let inputs = inputs.as_ref().map(|tensor| tensor.storage::<T>());
    let (mut output, mut state) = (zeros(dims.rows()), zeros(dims.state()));
    rows_mut(&mut output, dims)
        .into_par_iter()
        .zip(state.par_chunks_exact_mut(dims.size * dims.size))
        .enumerate()
        .for_each(|(index, (output, state))| {
            let head = Head::new(&inputs, dims, index);
            Arch::new().dispatch(Forward {
                head,
                output,
                state,
            });
        });
    Wkv6Outputs {
        output: tensor(output, dims.rows()),
        state: tensor(state, dims.state()),
    }
}

fn backward<T: Real>(
    inputs: Wkv6Inputs<FlexTensor>,
    outputs: Wkv6Outputs<Option<FlexTensor>>,
) -> Wkv6Inputs<FlexTensor> {
    let dims = dims(&inputs);
    let inputs = inputs.map(|tensor| tensor.to_contiguous());
    let inputs = inputs.as_ref().map(|tensor| tensor.storage::<T>());
    let outputs = Wkv6Outputs {
        output: outputs.output.map(|tensor| tensor.to_contiguous()),
        state: outputs.state.map(|tensor| tensor.to_contiguous()),
    };
    let output = outputs.output.as_ref().map(FlexTensor::storage::<T>);
    let last = outputs.state.as_ref().map(FlexTensor::storage::<T>);

    let [mut receptance, mut key, mut value, mut decay] =
        std::array::from_fn(|_| zeros::<T, 3>(dims.rows()));
    // One row per sequence, because sequences run in parallel.
    let mut bonus = zeros::<T, 3>([dims.batch, dims.heads, dims.size]);
    let mut state = inputs.state.map(|_| zeros::<T, 4>(dims.state()));
    let cell = dims.size * dims.size;
    let mut states = state.as_mut().map(|state| state.chunks_exact_mut(cell));
    let grads: Vec<_> = rows_mut(&mut receptance, dims)
        .into_iter()
        .zip(rows_mut(&mut key, dims))
        .zip(rows_mut(&mut value, dims))
        .zip(rows_mut(&mut decay, dims))
        .zip(bonus.chunks_exact_mut(dims.size))
        .map(|((((receptance, key), value), decay), bonus)| HeadGrads {
            receptance,
            key,
            value,
            decay,
            bonus,
            state: states.as_mut().and_then(Iterator::next),
        })
        .collect();
    grads
        .into_par_iter()
        .enumerate()
        .for_each(|(index, grads)| {
            let (sequence, head) = (index / dims.heads, index % dims.heads);
            Arch::new().dispatch(Backward {
                head: Head::new(&inputs, dims, index),
                output: output.map(|data| Rows::new(data, dims, sequence, head)),
                last: last.map(|data| &data[index * cell..][..cell]),
                grads,
            });
        });

    let mut sum = zeros::<T, 2>(dims.bonus());
    for sequence in bonus.chunks_exact(sum.len()) {
        for (sum, &x) in sum.iter_mut().zip(sequence) {
            *sum += x;
        }
    }
    Wkv6Inputs {
        receptance: tensor(receptance, dims.rows()),
        key: tensor(key, dims.rows()),
        value: tensor(value, dims.rows()),
        decay: tensor(decay, dims.rows()),
        bonus: tensor(sum, dims.bonus()),
        state: state.map(|state| tensor(state, dims.state())),
    }
}
