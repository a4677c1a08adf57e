//! Tests attention, rotary positions and the root mean square norm.

use super::{Tracked, assert_same, bound, check, matrix, primitive, random};
use crate::backend::{Backend, attention, reference};
use crate::{RmsNorm, Sight, Window, rotate};
use burn::module::{Param, ParamId};
use burn::tensor::{FloatDType, Tensor, TensorPrimitive};
use burn_flex::{Flex, FlexTensor};
use proptest::prelude::*;

fn heads(shape: [usize; 4], f64: bool, view: bool) -> FlexTensor {
    let [batch, heads, len, width] = shape;
    primitive(match view {
        // The layout after a product with a weight.
        true => random([batch, len, heads, width], 2.0, f64).swap_dims(1, 2),
        false => random(shape, 2.0, f64),
    })
}

fn transposed(tensor: FlexTensor) -> FlexTensor {
    let tensor = Tensor::<Flex, 4>::from_primitive(TensorPrimitive::Float(tensor));
    primitive(tensor.swap_dims(1, 2))
}

/// Returns windows of causality, padding on the left and several packed sequences.
fn window(batch: usize, len: usize, past: usize, seeds: &[usize]) -> Window {
    let first = (0..batch * len).map(|i| {
        let own = past + i % len;
        let row = i / len;
        let begin = seeds[row % seeds.len()] % (past + len);
        match seeds[0] % 3 {
            0 => 0,
            // A padding position sees itself.
            1 => begin.min(own),
            // Another sequence begins at `begin`.
            _ => {
                if own >= begin {
                    begin
                } else {
                    0
                }
            }
        }
    });
    Window::from_first(past, first.map(|first| first as u32).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn attention_matches_reference(
        (batch, kv_heads, group, width) in (1usize..3, 1usize..3, 1usize..4, 1usize..10),
        (len, past) in (prop_oneof![1usize..20, 60usize..140], 0usize..20),
        seeds in prop::collection::vec(0usize..1000, 1..4),
        room in 0usize..3,
        f64 in any::<bool>(),
        view in any::<bool>(),
    ) {
        let window = window(batch, len, past, &seeds);
        let of_queries = [batch, kv_heads * group, len, width];
        let of_keys = [batch, kv_heads, past + len + room, width];
        let query = heads(of_queries, f64, view);
        let (key, value) = (heads(of_keys, f64, view), heads(of_keys, f64, !view));
        let inputs = || [query.clone(), key.clone(), value.clone()];
        let [q, k, v] = inputs();
        let ours = Flex::windowed_attention(q, k, v, &window);
        let expected = attention::forward::<Flex>(inputs(), &window);
        assert_same("output", ours, expected, bound(f64));
        let grad = heads(of_queries, f64, view);
        let ours = Flex::windowed_attention_backward(inputs(), grad.clone(), &window);
        let expected = attention::backward::<Flex>(inputs(), grad, &window);
        let bound = 10.0 * bound(f64);
        assert_same("query", ours.query, expected.query, bound);
        assert_same("key", ours.key, expected.key, bound);
        assert_same("value", ours.value, expected.value, bound);
    }

    #[test]
    fn rotation_matches_reference_and_inverts(
        (batch, heads_, len, half) in (1usize..4, 1usize..4, 1usize..40, 1usize..9),
        per_row in any::<bool>(),
        f64 in any::<bool>(),
        view in any::<bool>(),
    ) {
        let input = heads([batch, heads_, len, 2 * half], f64, view);
        let rows = if per_row { batch } else { 1 };
        let angles: Tensor<Flex, 4> = random([rows, 1, len, half], 3.0, f64);
        let (cos, sin) = (angles.clone().cos(), angles.sin());
        let (cos, sin) = (|| primitive(cos.clone()), || primitive(sin.clone()));
        for back in [false, true] {
            let ours = Flex::rotate(input.clone(), cos(), sin(), back);
            let expected = reference::rotate::<Flex>(input.clone(), cos(), sin(), back);
            assert_same("rotated", ours.clone(), expected, bound(f64));
            let again = Flex::rotate(ours, cos(), sin(), !back);
            assert_same("turned back", transposed(again), transposed(input.clone()), bound(f64));
        }
    }

    #[test]
    fn rms_norm_matches_reference(
        (n, size) in (1usize..40, 1usize..70),
        f64 in any::<bool>(),
        view in any::<bool>(),
        wants in any::<bool>(),
    ) {
        let (input, grad) = (matrix([n, size], 2.0, f64, view), matrix([n, size], 2.0, f64, view));
        let weight = primitive(random([size], 2.0, f64));
        let ours = Flex::rms_norm(input.clone(), weight.clone(), 1e-3);
        let expected = reference::rms_norm::<Flex>(input.clone(), weight.clone(), 1e-3);
        assert_same("output", ours, expected, bound(f64));
        let inputs = || (input.clone(), weight.clone(), grad.clone());
        let (x, w, g) = inputs();
        let ours = Flex::rms_norm_backward(x, w, g, 1e-3, wants);
        let (x, w, g) = inputs();
        let expected = reference::rms_norm_backward::<Flex>(x, w, g, 1e-3, wants);
        // A row with only one small number has a large factor.
        assert_same("input", ours.0, expected.0, 100.0 * bound(f64));
        prop_assert_eq!(ours.1.is_some(), wants);
        if let (Some(ours), Some(expected)) = (ours.1, expected.1) {
            assert_same("weight", ours, expected, 10.0 * bound(f64));
        }
    }
}

/// Checks each input's gradient, with two query heads per key head and several sequences in a row.
#[test]
fn attention_gradients_match_finite_differences() {
    let (of_queries, of_keys) = ([1, 4, 5, 3], [1, 2, 7, 3]);
    let window = Window::from_first(2, vec![0, 0, 3, 3, 3]);
    let [q, k, v] = [of_queries, of_keys, of_keys].map(|shape| random(shape, 1.0, true));
    fn output<B: crate::Backend>(inputs: [Tensor<B, 4>; 3], window: &Window) -> Tensor<B, 2> {
        let [query, key, value] = inputs;
        let sight = Sight::new(window.clone(), [5, 7], &query.device());
        crate::attention(query, key, value, &sight).reshape([20, 3])
    }
    for which in 0..3 {
        let x = [&q, &k, &v][which].clone();
        let shape = x.dims();
        let rows = shape.iter().product::<usize>() / 3;
        check::<2>(
            x.reshape([rows, 3]),
            |x| {
                let mut inputs = [q.clone(), k.clone(), v.clone()];
                inputs[which] = x.reshape(shape);
                output(inputs, &window)
            },
            |x| {
                let mut inputs = [&q, &k, &v].map(|x| Tensor::<Tracked, 4>::from_inner(x.clone()));
                inputs[which] = x.reshape(shape);
                output(inputs, &window)
            },
        );
    }
}

#[test]
fn rotation_gradient_matches_finite_differences() {
    let angles: Tensor<Flex, 4> = random([1, 1, 3, 2], 3.0, true);
    let (cos, sin) = (angles.clone().cos(), angles.sin());
    let tracked = [&cos, &sin].map(|x| Tensor::<Tracked, 4>::from_inner(x.clone()));
    check::<2>(
        random([6, 4], 1.0, true),
        |x| rotate(x.reshape([1, 2, 3, 4]), &cos, &sin).reshape([6, 4]),
        |x| rotate(x.reshape([1, 2, 3, 4]), &tracked[0], &tracked[1]).reshape([6, 4]),
    );
}

#[test]
fn rms_norm_gradients_match_finite_differences() {
    fn normed<B: crate::Backend>(x: Tensor<B, 2>, weight: Tensor<B, 1>) -> Tensor<B, 2> {
        let weight = Param::initialized(ParamId::new(), weight);
        let epsilon = 1e-3;
        RmsNorm { weight, epsilon }.forward(x)
    }
    let (x, weight): (Tensor<Flex, 2>, Tensor<Flex, 1>) =
        (random([4, 6], 1.0, true), random([6], 1.0, true));
    check::<2>(
        x.clone(),
        |x| normed(x, weight.clone()),
        |x| normed(x, Tensor::from_inner(weight.clone())),
    );
    check::<2>(
        weight.clone().unsqueeze(),
        |w| normed(x.clone(), w.reshape([6])),
        |w| normed(Tensor::from_inner(x.clone()), w.reshape([6])),
    );
}

/// The rounding error is at most that of the reference: both in f32, compared with the reference in
/// f64.
#[test]
fn rms_norm_rounding_error_is_bounded() {
    let error = |found: FlexTensor, exact: &FlexTensor| {
        let (found, exact) = (super::values(found), super::values(exact.clone()));
        let off = found.iter().zip(&exact).map(|(a, b)| (a - b).powi(2));
        (off.sum::<f64>() / exact.iter().map(|x| x * x).sum::<f64>()).sqrt()
    };
    for size in [32, 768] {
        let exact = [0; 2].map(|_| matrix([64, size], 1.0, true, false));
        let weight: Tensor<Flex, 1> = random([size], 1.0, true);
        let single = exact.clone().map(|x| {
            let x = Tensor::<Flex, 2>::from_primitive(TensorPrimitive::Float(x));
            primitive(x.cast(FloatDType::F32))
        });
        let weights = [
            weight.clone().cast(FloatDType::F32),
            weight.cast(FloatDType::F64),
        ];
        let [w, exact_w] = weights.map(primitive);
        let ([x, grad], [exact_x, exact_grad]) = (single, exact);
        let exact = reference::rms_norm::<Flex>(exact_x.clone(), exact_w.clone(), 1e-5);
        let ours = Flex::rms_norm(x.clone(), w.clone(), 1e-5);
        let theirs = reference::rms_norm::<Flex>(x.clone(), w.clone(), 1e-5);
        assert!(error(ours, &exact) < 2.0 * error(theirs, &exact), "{size}");
        let backward = reference::rms_norm_backward::<Flex>;
        let exact = backward(exact_x, exact_w, exact_grad, 1e-5, false).0;
        let ours = Flex::rms_norm_backward(x.clone(), w.clone(), grad.clone(), 1e-5, false).0;
        let theirs = backward(x, w, grad, 1e-5, false).0;
        assert!(error(ours, &exact) < 2.0 * error(theirs, &exact), "{size}");
    }
}
