//! Compares the processor's token shift with its reference, and the reference with autodiff.

use super::*;
use crate::backend::{TokenMixGrads, TokenMixWants, token_mix as reference};
use burn::backend::autodiff::grads::Gradients;
use burn::backend::{Autodiff, Flex};
use burn::tensor::ops::FloatTensor;
use burn::tensor::{DType, TensorData};
use proptest::prelude::*;

type B = Autodiff<Flex>;

#[derive(Debug, Clone, Copy)]
struct Case {
    shape: [usize; 3],
    before: bool,
    by_data: bool,
    dtype: DType,
}

fn wave<B: Backend, const D: usize>(
    shape: [usize; D],
    frequency: f64,
    dtype: DType,
) -> Tensor<B, D> {
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count)
        .map(|i: usize| (i as f64 * frequency).sin())
        .collect();
    let data = TensorData::new(values, shape).convert_dtype(dtype);
    Tensor::from_data(data, (&Default::default(), dtype))
}

fn values<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

/// x, the tokens before, the shared parts and the tokens' own parts.
struct Inputs<B: Backend, const K: usize> {
    x: Tensor<B, 3>,
    before: Option<Tensor<B, 2>>,
    maa: [Tensor<B, 3>; K],
    by_data: Option<Tensor<B, 3>>,
}

impl Case {
    fn inputs<B: Backend, const K: usize>(self) -> Inputs<B, K> {
        let [batch, len, size] = self.shape;
        Inputs {
            x: wave(self.shape, 0.7, self.dtype),
            before: self.before.then(|| wave([batch, size], 1.3, self.dtype)),
            maa: std::array::from_fn(|k| wave([1, 1, size], 0.3 + k as f64, self.dtype)),
            by_data: self
                .by_data
                .then(|| wave([K, batch * len, size], 0.9, self.dtype)),
        }
    }
}

fn primitive<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> FloatTensor<B> {
    tensor.into_primitive().tensor()
}

impl<B: Backend, const K: usize> Inputs<B, K> {
    fn primitives(self) -> TokenMix<FloatTensor<B>, K> {
        TokenMix {
            x: primitive(self.x),
            before: self.before.map(primitive),
            maa: self.maa.map(primitive),
            by_data: self.by_data.map(primitive),
        }
    }
}

type Gradient = Option<Vec<f64>>;

/// Outputs, and the gradients to x, the tokens before, the tokens' own parts and the shared parts.
type Results = (Vec<Vec<f64>>, Vec<Gradient>);

fn of_autodiff<const K: usize>(
    case: Case,
    forward: fn(TokenMix<FloatTensor<B>, K>) -> [FloatTensor<B>; K],
) -> Results {
    let inputs = case.inputs::<B, K>();
    let inputs = Inputs {
        x: inputs.x.require_grad(),
        before: inputs.before.map(Tensor::require_grad),
        maa: inputs.maa.map(Tensor::require_grad),
        by_data: inputs.by_data.map(Tensor::require_grad),
    };
    let leaves = Inputs {
        x: inputs.x.clone(),
        before: inputs.before.clone(),
        maa: inputs.maa.clone(),
        by_data: inputs.by_data.clone(),
    };
    let outputs = forward(inputs.primitives())
        .map(|output| Tensor::<B, 3>::from_primitive(TensorPrimitive::Float(output)));
    let loss = outputs.iter().enumerate().map(|(k, output)| {
        // The second of several outputs is unused.
        let weight = if k == 1 { 0.0 } else { 1.0 };
        (output.clone() * wave(case.shape, 0.2 + k as f64, case.dtype)).sum() * weight
    });
    let loss = loss.reduce(|a, b| a + b).expect("an output");
    let grads = loss.backward();
    let found = |grads: &Gradients| {
        let mut all = vec![leaves.x.grad(grads).map(values)];
        all.push(
            leaves
                .before
                .as_ref()
                .and_then(|t| t.grad(grads))
                .map(values),
        );
        all.push(
            leaves
                .by_data
                .as_ref()
                .and_then(|t| t.grad(grads))
                .map(values),
        );
        all.extend(leaves.maa.iter().map(|t| t.grad(grads).map(values)));
        all
    };
    (outputs.map(values).to_vec(), found(&grads))
}

#[track_caller]
fn close(actual: &[f64], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(1.0f64, |m, x| m.max(x.abs()));
    for (a, e) in actual.iter().zip(expected) {
        assert!((a - e).abs() <= tolerance * largest, "{what}: {a}, not {e}");
    }
}

fn same(actual: &Results, expected: &Results, tolerance: f64, what: &str) {
    for (actual, expected) in actual.0.iter().zip(&expected.0) {
        close(actual, expected, tolerance, what);
    }
    assert_eq!(actual.1.len(), expected.1.len());
    for (actual, expected) in actual.1.iter().zip(&expected.1) {
        match (actual, expected) {
            (Some(actual), Some(expected)) => close(actual, expected, tolerance, what),
            (actual, expected) => assert_eq!(actual.is_some(), expected.is_some(), "{what}"),
        }
    }
}

/// Compares the node with its hand-written backward with the plain operations under autodiff.
fn compare<const K: usize>(case: Case, tolerance: f64) {
    let ours = of_autodiff::<K>(case, <B as Backend>::token_mix::<K>);
    let plain = of_autodiff::<K>(case, reference::forward::<B, K>);
    same(&ours, &plain, tolerance, &format!("{case:?}"));
}

/// Compares the reference backward with the processor's.
fn compare_backwards<const K: usize>(case: Case) {
    let grads = || {
        let grad = |k| primitive(wave::<Flex, 3>(case.shape, 0.4 + k as f64, case.dtype));
        std::array::from_fn(|k| (k != 1).then(|| grad(k)))
    };
    let wants = TokenMixWants { x: true, maa: true };
    let flat = |grads: TokenMixGrads<FloatTensor<Flex>, K>| {
        let [x, before, by_data] = [grads.x, grads.before, grads.by_data];
        let shared = grads.maa.into_iter().flatten().map(Some);
        let all = [x, before, by_data].into_iter().chain(shared);
        let values = all.map(|grad| grad.map(|grad| grad.into_data().iter::<f64>().collect()));
        (Vec::new(), values.collect())
    };
    let inputs = || case.inputs::<Flex, K>().primitives();
    let ours = flat(Flex::token_mix_backward::<K>(inputs(), grads(), wants));
    let expected = flat(reference::backward::<Flex, K>(inputs(), grads(), wants));
    same(&ours, &expected, 1e-12, &format!("{case:?}"));
}

proptest! {
    #[test]
    fn token_mix_matches_reference_for_any_shape(batch in 1..4usize, len in 1..40usize, size in 1..20usize, before: bool, by_data: bool) {
        let case = Case { shape: [batch, len, size], before, by_data, dtype: DType::F64 };
        compare::<1>(case, 1e-12);
        compare::<2>(case, 1e-12);
        compare::<5>(case, 1e-12);
        compare_backwards::<5>(case);
        compare_backwards::<2>(case);
        compare::<5>(Case { dtype: DType::F32, ..case }, 1e-5);
    }
}
