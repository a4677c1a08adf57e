//! The processor's own bodies against the reference bodies.

use crate::backend::{Backend, BoneWants, bone_input, primitive, product, tensor};
use burn::tensor::{Distribution, FloatDType, Tensor};
use burn_flex::{Flex, FlexTensor};
use proptest::prelude::*;

fn random<const D: usize>(shape: [usize; D], dtype: FloatDType) -> Tensor<Flex, D> {
    let distribution = Distribution::Uniform(-1.0, 1.0);
    Tensor::<Flex, D>::random(shape, distribution, &Default::default()).cast(dtype)
}

fn assert_same(what: &str, ours: Option<FlexTensor>, reference: Option<FlexTensor>, bound: f64) {
    let values = |tensor: FlexTensor| -> Vec<f64> { tensor.into_data().iter::<f64>().collect() };
    assert_eq!(ours.is_some(), reference.is_some(), "{what}");
    let (Some(ours), Some(reference)) = (ours, reference) else {
        return;
    };
    assert_eq!(ours.layout().shape(), reference.layout().shape(), "{what}");
    assert_eq!(ours.dtype(), reference.dtype(), "{what}");
    for (a, b) in values(ours).into_iter().zip(values(reference)) {
        assert!((a - b).abs() < bound, "{what}: {a} is not {b}");
    }
}

/// Every size may be 1, and x and the weight may be views.
fn compare(
    [n, blocks, tiles, r]: [usize; 4],
    views: bool,
    half: bool,
    wants: [bool; 3],
    f64: bool,
) {
    let (dtype, bound) = match f64 {
        true => (FloatDType::F64, 1e-12),
        false => (FloatDType::F32, 1e-4),
    };
    let matrix = |rows, columns, dtype| match views {
        true => random([columns, rows], dtype).transpose(),
        false => random([rows, columns], dtype),
    };
    let weight = if half { FloatDType::BF16 } else { dtype };
    let x = primitive(matrix(n, blocks * r, dtype));
    let weight = primitive(matrix(blocks * r, tiles * r, weight));
    let block = primitive(random([blocks, r, r], dtype));
    let grad = primitive(matrix(n, tiles * r, dtype));
    let [input, d_weight, d_block] = wants;
    let wants = BoneWants {
        input,
        weight: d_weight,
        block: d_block,
    };
    let inputs = || (x.clone(), weight.clone(), block.clone());

    let (x, w, b) = inputs();
    let ours = Flex::bone_input_product(x, w, b);
    let (x, w, b) = inputs();
    let reference = bone_input::product::<Flex>(x, w, b);
    assert_same("y", Some(ours), Some(reference), bound);

    let (x, w, b) = inputs();
    let ours = Flex::bone_input_backward(x, w, b, grad.clone(), wants);
    let (x, w, b) = inputs();
    let reference = bone_input::backward::<Flex>(x, w, b, grad, wants);
    assert_same("dx", ours.input, reference.input, bound);
    // bf16's own rounding may fall either way.
    let of_weight = if half { 0.1 } else { bound };
    assert_same("dW", ours.weight, reference.weight, of_weight);
    assert_same("dB", ours.block, reference.block, bound);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn bone_on_the_input_axis_is_the_references(
        sizes in [1usize..40, 1..5, 1..5, 1..9],
        views in any::<bool>(),
        half in any::<bool>(),
        wants in any::<[bool; 3]>(),
        f64 in any::<bool>(),
    ) {
        compare(sizes, views, half, wants, f64);
    }
}

#[test]
fn a_view_into_the_middle_of_a_tensor_is_read_where_it_lies() {
    let whole = random([9, 12], FloatDType::F32);
    let part = whole.slice([2..7, 4..10]);
    let copy = tensor::<Flex, 2>(primitive(part.clone()).to_contiguous());
    let (weight, block) = (
        random([6, 4], FloatDType::F32),
        random([3, 2, 2], FloatDType::F32),
    );
    let product = |x: Tensor<Flex, 2>| {
        Flex::bone_input_product(
            primitive(x),
            primitive(weight.clone()),
            primitive(block.clone()),
        )
    };
    assert_same("y", Some(product(part)), Some(product(copy)), 1e-6);
}

proptest! {
    #[test]
    fn products_are_the_references(
        n in 1..40usize, d_input in 1..150usize, d_output in 1..150usize,
        views: bool, half: bool, f64: bool, wants: [bool; 2],
    ) {
        let (dtype, bound) = match f64 {
            true => (FloatDType::F64, 1e-11),
            false => (FloatDType::F32, 1e-4),
        };
        let matrix = |rows, columns, dtype| primitive(match views {
            true => random([columns, rows], dtype).transpose(),
            false => random([rows, columns], dtype),
        });
        let of_weight = if half { FloatDType::BF16 } else { dtype };
        let x = matrix(n, d_input, dtype);
        let weight = matrix(d_input, d_output, of_weight);
        let grad = matrix(n, d_output, dtype);
        let ours = Flex::product(x.clone(), weight.clone());
        let expected = product::forward::<Flex>(x.clone(), weight.clone());
        assert_same("forward", Some(ours), Some(expected), bound);
        let ours = Flex::product_backward(x.clone(), weight.clone(), grad.clone(), wants);
        let expected = product::backward::<Flex>(x, weight, grad, wants);
        for (what, (ours, expected)) in ["input", "weight"].iter().zip(ours.into_iter().zip(expected)) {
            // One unit in the last place of bf16, where the gradient is rounded to it.
            let bound = if half && *what == "weight" { 0.2 } else { bound };
            assert_same(what, ours, expected, bound);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Of sizes that are shared out among threads.
    #[test]
    fn large_products_are_the_references(
        n in 1..700usize, d_input in 64..200usize, d_output in 1..1200usize, views: bool,
    ) {
        let matrix = |rows, columns| primitive(match views {
            true => random([columns, rows], FloatDType::F64).transpose(),
            false => random([rows, columns], FloatDType::F64),
        });
        let (x, weight) = (matrix(n, d_input), matrix(d_input, d_output));
        let expected = product::forward::<Flex>(x.clone(), weight.clone());
        assert_same("product", Some(Flex::product(x, weight)), Some(expected), 1e-11);
    }
}
