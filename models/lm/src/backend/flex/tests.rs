//! Compares the processor's own bodies with the reference bodies, and those with finite
//! differences.

use crate::backend::{AdamWStep, Backend, Gate, Moments, NormParams, reference};
use burn::backend::Autodiff;
use burn::tensor::ops::FloatTensorOps;
use burn::tensor::{Distribution, FloatDType, Int, Tensor, TensorData, TensorPrimitive};
use burn_flex::{Flex, FlexTensor};
use proptest::prelude::*;

mod attention;

fn random<const D: usize>(shape: [usize; D], range: f64, f64: bool) -> Tensor<Flex, D> {
    let distribution = Distribution::Uniform(-range, range);
    let dtype = match f64 {
        true => FloatDType::F64,
        false => FloatDType::F32,
    };
    Tensor::<Flex, D>::random(shape, distribution, &Default::default()).cast(dtype)
}

fn primitive<const D: usize>(tensor: Tensor<Flex, D>) -> FlexTensor {
    tensor.into_primitive().tensor()
}

fn values(tensor: FlexTensor) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}

fn assert_same(what: &str, ours: FlexTensor, reference: FlexTensor, bound: f64) {
    assert_eq!(ours.layout().shape(), reference.layout().shape(), "{what}");
    assert_eq!(ours.dtype(), reference.dtype(), "{what}");
    for (a, b) in values(ours).into_iter().zip(values(reference)) {
        assert!((a - b).abs() <= bound, "{what}: {a} is not {b}");
    }
}

fn bound(f64: bool) -> f64 {
    if f64 { 1e-11 } else { 1e-4 }
}

/// Returns `[rows, columns]`, stored as such or transposed.
fn matrix([rows, columns]: [usize; 2], range: f64, f64: bool, view: bool) -> FlexTensor {
    primitive(match view {
        true => random([columns, rows], range, f64).transpose(),
        false => random([rows, columns], range, f64),
    })
}

fn targets(n: usize, vocab: usize) -> Tensor<Flex, 1, Int> {
    let values: Vec<i32> = (0..n).map(|i| (i * 7 % vocab) as i32).collect();
    Tensor::from_data(TensorData::new(values, [n]), &Default::default())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn cross_entropy_matches_reference(
        (n, vocab) in (1usize..40, 1usize..70),
        range in prop_oneof![Just(1.0), Just(200.0)],
        f64 in any::<bool>(),
        view in any::<bool>(),
    ) {
        let logits = matrix([n, vocab], range, f64, view);
        let targets = || targets(n, vocab).into_primitive();
        let bound = bound(f64) * range;
        let (losses, gradient) = Flex::cross_entropy_and_gradient(logits.clone(), targets());
        let (expected, expected_gradient) =
            reference::cross_entropy_and_gradient::<Flex>(logits.clone(), targets());
        assert_same("loss", losses, expected.clone(), bound);
        assert_same("gradient", gradient.clone(), expected_gradient, bound);
        assert_same("loss alone", Flex::cross_entropy(logits.clone(), targets()), expected, bound);
        let expected = reference::cross_entropy::<Flex>(logits.clone(), targets());
        assert_same("reference alone", Flex::cross_entropy(logits, targets()), expected, bound);
        let factors = primitive(random([n], 1.0, f64));
        let scaled = reference::scale_rows::<Flex>(gradient.clone(), factors.clone());
        assert_same("scaled", Flex::scale_rows(gradient, factors), scaled, bound);
    }

    #[test]
    fn adamw_matches_reference(
        // More than one thread's share.
        (rows, columns) in (1usize..200, 1usize..200),
        time in prop_oneof![Just(1u32), 2u32..1000],
        weight_decay in prop_oneof![Just(0.0), Just(0.1)],
        grad_factor in prop_oneof![Just(1.0), Just(0.25)],
        shared in any::<bool>(),
        f64 in any::<bool>(),
        view in any::<bool>(),
    ) {
        let matrix = |range| matrix([rows, columns], range, f64, view);
        let (param, grad) = (matrix(1.0), matrix(1.0));
        let moments = (time > 1).then(|| {
            let second = primitive(random([rows, columns], 1.0, f64).square());
            Moments { first: matrix(0.1), second }
        });
        let step = AdamWStep {
            learning_rate: 1e-2,
            beta1: 0.9,
            beta2: 0.99,
            epsilon: 1e-3,
            weight_decay,
            time,
            grad_factor,
        };
        let expected = reference::adamw::<Flex>(
            param.clone(), grad.clone(), moments.clone(), &step,
        );
        // A shared tensor stays unchanged.
        let kept = shared.then(|| (param.clone(), values(param.clone())));
        let (param, after) = Flex::adamw(param, grad.clone(), moments, &step);
        if let Some((kept, before)) = kept {
            assert_eq!(values(kept), before);
        }
        assert_same("parameter", param, expected.0, bound(f64));
        assert_same("first moment", after.first, expected.1.first, bound(f64));
        assert_same("second moment", after.second, expected.1.second, bound(f64));
        let sum = reference::squared_sum::<Flex>(grad.clone());
        let bound = bound(f64) * values(sum.clone())[0].max(1.0);
        assert_same("sum of squares", Flex::squared_sum(grad), sum, bound);
    }

    #[test]
    fn layer_norm_matches_reference(
        (n, group, groups) in (1usize..40, 2usize..40, 1usize..5),
        f64 in any::<bool>(),
        view in any::<bool>(),
        wants in any::<bool>(),
    ) {
        let size = group * groups;
        // Inputs around 1e3: a variance computed as a difference of squares would lose its digits.
        let far = random([1, 1], 1.0, f64).mul_scalar(1e3);
        let input = Tensor::<Flex, 2>::from_primitive(TensorPrimitive::Float(
            matrix([n, size], 1.0, f64, view),
        ));
        let input = primitive(input + far);
        let params = || NormParams {
            weight: primitive(Tensor::from_data(
                TensorData::from(&vec![1.5f64; size][..]).convert_dtype(input.dtype()),
                (&Default::default(), input.dtype()),
            ) as Tensor<Flex, 1>),
            bias: primitive(Tensor::<Flex, 1>::full(
                [size],
                0.25,
                (&Default::default(), input.dtype()),
            )),
            groups,
            epsilon: 1e-3,
        };
        // f32 itself loses three digits to the offset.
        let bound = if f64 { 1e-8 } else { 2e-2 };
        let ours = Flex::grouped_norm(input.clone(), params());
        let expected = reference::grouped_norm::<Flex>(input.clone(), params());
        assert_same("output", ours, expected, bound);
        let grad = matrix([n, size], 1.0, f64, view);
        let ours = Flex::grouped_norm_backward(input.clone(), params(), grad.clone(), wants);
        let expected = reference::grouped_norm_backward::<Flex>(input.clone(), params(), grad, wants);
        assert_same("input", ours.input, expected.input, bound * 10.0);
        prop_assert_eq!(ours.params.is_some(), wants);
        prop_assert_eq!(expected.params.is_some(), wants);
        if let (Some(ours), Some(expected)) = (ours.params, expected.params) {
            assert_same("weight", ours.0, expected.0, bound * 10.0);
            assert_same("bias", ours.1, expected.1, bound);
        }
    }
}

/// Computes a loss with `change` added to one entry of `at`, by `f`.
fn finite_difference(
    at: &Tensor<Flex, 2>,
    entry: usize,
    f: &dyn Fn(Tensor<Flex, 2>) -> f64,
) -> f64 {
    let step = 1e-6;
    let moved = |by: f64| {
        let mut values: Vec<f64> = at.to_data().iter::<f64>().collect();
        values[entry] += by;
        f(Tensor::from_data(
            TensorData::new(values, at.dims()),
            (&Default::default(), at.dtype()),
        ))
    };
    (moved(step) - moved(-step)) / (2.0 * step)
}

type Tracked = Autodiff<Flex>;

/// Compares the gradient to x of `Σ c·f(x)`, for fixed uneven c, with finite differences.
fn check<const R: usize>(
    x: Tensor<Flex, 2>,
    plain: impl Fn(Tensor<Flex, 2>) -> Tensor<Flex, R>,
    tracked: impl Fn(Tensor<Tracked, 2>) -> Tensor<Tracked, R>,
) {
    let weights = random(plain(x.clone()).dims(), 1.0, true);
    let sum = |x| {
        let sum = (plain(x) * weights.clone()).sum();
        sum.into_data().iter::<f64>().next().expect("a number")
    };
    let leaf = Tensor::<Tracked, 2>::from_inner(x.clone()).require_grad();
    let output = tracked(leaf.clone()) * Tensor::from_inner(weights.clone());
    let grads = output.sum().backward();
    let grad: Vec<f64> = leaf
        .grad(&grads)
        .expect("tracked")
        .into_data()
        .iter::<f64>()
        .collect();
    for (entry, ours) in grad.into_iter().enumerate() {
        let expected = finite_difference(&x, entry, &sum);
        assert!(
            (ours - expected).abs() < 1e-7,
            "{entry}: {ours} is not {expected}"
        );
    }
}

#[test]
fn cross_entropy_gradient_matches_finite_differences() {
    let targets = targets(5, 7);
    let tracked = targets.clone();
    check::<1>(
        random([5, 7], 3.0, true),
        move |x| crate::cross_entropy(x, targets.clone()),
        move |x| crate::cross_entropy(x, Tensor::from_inner(tracked.clone())),
    );
}

#[test]
fn layer_norm_gradients_match_finite_differences() {
    use burn::module::{Param, ParamId};
    let (weight, bias) = (random([12], 1.0, true), random([12], 1.0, true));
    fn param<B: crate::Backend>(tensor: Tensor<B, 1>) -> Param<Tensor<B, 1>> {
        Param::initialized(ParamId::new(), tensor)
    }
    for groups in [1, 3] {
        let plain = (param(weight.clone()), param(bias.clone()));
        let tracked: (Param<Tensor<Tracked, 1>>, Param<Tensor<Tracked, 1>>) = (
            param(Tensor::from_inner(weight.clone())),
            param(Tensor::from_inner(bias.clone())),
        );
        check::<2>(
            random([4, 12], 1.0, true),
            |x| crate::layer_norm(x, &plain.0, &plain.1, groups, 1e-5),
            |x| crate::layer_norm(x, &tracked.0, &tracked.1, groups, 1e-5),
        );
        // The same sum as a function of the weight.
        let x = random([4, 12], 1.0, true);
        check::<2>(
            weight.clone().unsqueeze(),
            |w| {
                let w = param(w.reshape([12]));
                crate::layer_norm(x.clone(), &w, &plain.1, groups, 1e-5)
            },
            |w| {
                let w = Param::initialized(ParamId::new(), w.reshape([12]));
                crate::layer_norm(Tensor::from_inner(x.clone()), &w, &tracked.1, groups, 1e-5)
            },
        );
    }
}

const GATES: [Gate; 3] = [Gate::Silu, Gate::Sigmoid, Gate::Relu];

proptest! {
    #[test]
    fn gates_match_reference(rows in 1..9usize, columns in 1..70usize, f64: bool, view: bool) {
        let tensor = |range| matrix([rows, columns], range, f64, view);
        let (gate, value, grad) = (tensor(20.0), tensor(3.0), tensor(2.0));
        for function in GATES {
            let what = format!("{function:?}");
            let ours = Flex::gated(gate.clone(), value.clone(), function);
            let expected = reference::gated::<Flex>(gate.clone(), value.clone(), function);
            assert_same(&what, ours, expected, bound(f64));
            let inputs = || (gate.clone(), value.clone(), grad.clone());
            let (g, v, d) = inputs();
            let ours = Flex::gated_backward(g, v, d, function);
            let (g, v, d) = inputs();
            let expected = reference::gated_backward::<Flex>(g, v, d, function);
            assert_same(&what, ours.0, expected.0, bound(f64));
            assert_same(&what, ours.1, expected.1, bound(f64));
        }
    }
}

/// Compares the node's backward with autodiff's backward of the reference, also for the squared
/// ReLU. There are several chunks, and the last is shorter.
#[test]
fn gates_and_tanh_match_reference_over_chunks() {
    for (f64, view) in [(false, false), (true, true)] {
        let tensor = |range| matrix([3, 12_345], range, f64, view);
        let (gate, value, grad) = (tensor(20.0), tensor(3.0), tensor(2.0));
        let ours = Flex::gated(gate.clone(), value.clone(), Gate::Silu);
        let expected = reference::gated::<Flex>(gate.clone(), value.clone(), Gate::Silu);
        assert_same("gate", ours, expected, bound(f64));
        let inputs = || (gate.clone(), value.clone(), grad.clone());
        let (g, v, d) = inputs();
        let ours = Flex::gated_backward(g, v, d, Gate::Silu);
        let (g, v, d) = inputs();
        let expected = reference::gated_backward::<Flex>(g, v, d, Gate::Silu);
        assert_same("to the gate", ours.0, expected.0, bound(f64));
        assert_same("to the value", ours.1, expected.1, bound(f64));
        let ours = Flex::tanh(value.clone());
        assert_same(
            "tanh",
            ours.clone(),
            Flex::float_tanh(value.clone()),
            bound(f64),
        );
        let expected = reference::tanh_backward::<Flex>(ours.clone(), grad.clone());
        assert_same(
            "tanh's",
            Flex::tanh_backward(ours, grad.clone()),
            expected,
            bound(f64),
        );
    }
}

#[test]
fn gates_have_the_gradients_of_autodiff() {
    type B = Autodiff<Flex>;
    type Forward = fn(Primitive, Primitive, Gate) -> Primitive;
    type Primitive = burn::tensor::ops::FloatTensor<B>;
    let leaf = || Tensor::<B, 2>::from_inner(random([5, 7], 4.0, true)).require_grad();
    let (x, v) = (leaf(), leaf());
    for function in GATES {
        for squared in [false, true] {
            let grads = |forward: Forward| {
                let value = if squared { x.clone() } else { v.clone() };
                let primitives = [x.clone(), value].map(|t| t.into_primitive().tensor());
                let [gate, value] = primitives;
                let output = forward(gate, value, function);
                let output = Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(output));
                let grads = output.powi_scalar(2).sum().backward();
                let values = |t: &Tensor<B, 2>| t.grad(&grads).map(|g| values(primitive(g)));
                [values(&x), values(&v)]
            };
            let ours = grads(<B as Backend>::gated);
            let expected = grads(reference::gated::<B>);
            for (ours, expected) in ours.iter().zip(&expected) {
                assert_eq!(ours.is_some(), expected.is_some());
                let pairs = ours.iter().flatten().zip(expected.iter().flatten());
                for (a, b) in pairs {
                    assert!(
                        (a - b).abs() < 1e-9,
                        "{function:?} {squared}: {a} is not {b}"
                    );
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn tanh_matches_reference(rows in 1..9usize, columns in 1..70usize, f64: bool, view: bool) {
        let tensor = |range| matrix([rows, columns], range, f64, view);
        let (x, grad) = (tensor(5.0), tensor(2.0));
        let expected = primitive(Tensor::<Flex, 2>::from_primitive(TensorPrimitive::Float(x.clone())).tanh());
        let ours = Flex::tanh(x);
        assert_same("output", ours.clone(), expected, bound(f64));
        let expected = reference::tanh_backward::<Flex>(ours.clone(), grad.clone());
        assert_same("gradient", Flex::tanh_backward(ours, grad), expected, bound(f64));
    }
}

#[test]
fn tanh_gradient_matches_finite_differences() {
    check::<2>(random([5, 7], 2.0, true), crate::tanh, crate::tanh);
}

proptest! {
    #[test]
    fn positions_are_written_in_place_or_into_a_copy(
        [batch, heads, room, width] in [1usize..4, 1..4, 1..9, 1..9],
        len in 1usize..4,
        at in 0usize..8,
        f64: bool,
        shared: bool,
    ) {
        let len = len.min(room);
        let at = at.min(room - len);
        let buffer = random([batch, heads, room, width], 1.0, f64);
        // The layout of attention's keys.
        let rows = random([batch, len, heads, width], 1.0, f64).swap_dims(1, 2);
        let expected = reference::write_positions::<Flex>(
            primitive(buffer.clone()),
            at,
            primitive(rows.clone()),
        );
        let before = values(primitive(buffer.clone()));
        let kept = shared.then(|| buffer.clone());
        let written = Flex::write_positions(primitive(buffer), at, primitive(rows));
        assert_same("written", written, expected, 0.0);
        if let Some(kept) = kept {
            prop_assert_eq!(values(primitive(kept)), before);
        }
    }
}
