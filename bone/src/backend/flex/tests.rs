//! Compares the processor's own bodies with the reference bodies.

use crate::backend::{
    Backend, BoneGrads, BoneWants, LoraTerm, LoraWants, bone_input, bone_output, lora, miss,
    primitive, product, tensor,
};
use burn::tensor::{Distribution, FloatDType, Tensor};
use burn_flex::{Flex, FlexTensor};
use proptest::prelude::*;

mod edges;
mod large;

fn random<const D: usize>(shape: [usize; D], dtype: FloatDType) -> Tensor<Flex, D> {
    let distribution = Distribution::Uniform(-1.0, 1.0);
    Tensor::<Flex, D>::random(shape, distribution, &Default::default()).cast(dtype)
}

/// Asserts that tensors differ by less than `bound`, or than `relative` of the largest value.
fn assert_same(
    what: &str,
    ours: Option<FlexTensor>,
    reference: Option<FlexTensor>,
    [bound, relative]: [f64; 2],
) {
    let values = |tensor: FlexTensor| -> Vec<f64> { tensor.into_data().iter::<f64>().collect() };
    assert_eq!(ours.is_some(), reference.is_some(), "{what}");
    let (Some(ours), Some(reference)) = (ours, reference) else {
        return;
    };
    assert_eq!(ours.layout().shape(), reference.layout().shape(), "{what}");
    assert_eq!(ours.dtype(), reference.dtype(), "{what}");
    let (ours, reference) = (values(ours), values(reference));
    // Rounding errors grow with the results: sums of 64 products of sums of 64 products reach 150.
    let largest = reference.iter().fold(1.0, |most: f64, b| most.max(b.abs()));
    let bound = bound.max(relative * largest);
    for (a, b) in ours.into_iter().zip(reference) {
        assert!((a - b).abs() < bound, "{what}: {a} is not {b}");
    }
}

/// Precisions and layouts of a case: x and the weight may be views, the weight in half.
#[derive(Debug, Clone, Copy)]
struct Case {
    views: bool,
    half: Option<FloatDType>,
    f64: bool,
}

impl Case {
    fn dtype(self) -> FloatDType {
        if self.f64 {
            FloatDType::F64
        } else {
            FloatDType::F32
        }
    }

    /// Returns the error bounds, absolute and relative: bf16 products have eight bits.
    fn bounds(self) -> [f64; 2] {
        let in_bf16 =
            self.half == Some(FloatDType::BF16) && crate::matrix::bf16::kernel().is_some();
        match (self.f64, in_bf16) {
            (true, _) => [1e-11, 0.0],
            (false, true) => [0.3, 2f64.powi(-7)],
            (false, false) => [2e-4, 0.0],
        }
    }

    fn matrix(self, rows: usize, columns: usize) -> FlexTensor {
        self.matrix_of(rows, columns, self.dtype())
    }

    fn matrix_of(self, rows: usize, columns: usize, dtype: FloatDType) -> FlexTensor {
        primitive(match self.views {
            true => random([columns, rows], dtype).transpose(),
            false => random([rows, columns], dtype),
        })
    }

    fn weight(self, d_input: usize, d_output: usize) -> FlexTensor {
        let dtype = self.half.unwrap_or(self.dtype());
        self.matrix_of(d_input, d_output, dtype)
    }

    fn assert_same(self, what: &str, ours: Option<FlexTensor>, reference: Option<FlexTensor>) {
        // Rounding to half precision may go either way.
        let rounded = self.half.is_some() && what == "dW";
        let bounds = if rounded {
            [0.1, 2f64.powi(-7)]
        } else {
            self.bounds()
        };
        assert_same(what, ours, reference, bounds);
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let half = prop::option::of(prop_oneof![Just(FloatDType::BF16), Just(FloatDType::F16)]);
    (any::<bool>(), half, any::<bool>()).prop_map(|(views, half, f64)| Case { views, half, f64 })
}

type Product = fn(FlexTensor, FlexTensor, FlexTensor) -> FlexTensor;
type Backward =
    fn(FlexTensor, FlexTensor, FlexTensor, FlexTensor, BoneWants) -> BoneGrads<FlexTensor>;

/// Compares one operation with one adapter tensor against the reference on the same inputs.
fn compare(
    case: Case,
    [ours, reference]: [Product; 2],
    [our_backward, its_backward]: [Backward; 2],
    [x, weight, block, grad]: [FlexTensor; 4],
    [input, d_weight, d_block]: [bool; 3],
) {
    let wants = BoneWants {
        input,
        weight: d_weight,
        block: d_block,
    };
    let forward = |product: Product| product(x.clone(), weight.clone(), block.clone());
    case.assert_same("y", Some(forward(ours)), Some(forward(reference)));
    let back = |backward: Backward| {
        let inputs = (x.clone(), weight.clone(), block.clone(), grad.clone());
        backward(inputs.0, inputs.1, inputs.2, inputs.3, wants)
    };
    let (ours, reference) = (back(our_backward), back(its_backward));
    case.assert_same("dx", ours.input, reference.input);
    case.assert_same("dW", ours.weight, reference.weight);
    case.assert_same("dB", ours.block, reference.block);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // Every size may be 1.
    #[test]
    fn bone_matches_reference(
        [n, blocks, tiles, r] in [1usize..40, 1..5, 1..5, 1..9],
        case in cases(),
        wants in any::<[bool; 3]>(),
    ) {
        let (d_input, d_output) = (blocks * r, tiles * r);
        let inputs = |count| [
            case.matrix(n, d_input),
            case.weight(d_input, d_output),
            primitive(random([count, r, r], case.dtype())),
            case.matrix(n, d_output),
        ];
        compare(
            case,
            [Flex::bone_input_product, bone_input::product::<Flex>],
            [Flex::bone_input_backward, bone_input::backward::<Flex>],
            inputs(blocks),
            wants,
        );
        compare(
            case,
            [Flex::bone_output_product, bone_output::product::<Flex>],
            [Flex::bone_output_backward, bone_output::backward::<Flex>],
            inputs(tiles),
            wants,
        );
    }

    /// `r` need not divide the inputs, and may exceed them.
    #[test]
    fn miss_matches_reference(
        [n, d_input, r, width, tiles] in [1usize..40, 1..40, 1..9, 1..9, 1..5],
        masks in any::<bool>(),
        case in cases(),
        wants in any::<[bool; 3]>(),
    ) {
        let d_output = width * tiles;
        let (x, grad) = (case.matrix(n, d_input), case.matrix(n, d_output));
        let (w, d) = (case.weight(d_input, d_output), case.matrix(r, width));
        let mask = masks.then(|| case.matrix(n, d_input));
        let inputs = || (x.clone(), w.clone(), d.clone(), mask.clone());
        let (a, b, c, m) = inputs();
        let ours = Flex::miss_product(a, b, c, m);
        let (a, b, c, m) = inputs();
        case.assert_same("y", Some(ours), Some(miss::product::<Flex>(a, b, c, m)));
        let [input, weight, block] = wants;
        let wants = BoneWants { input, weight, block };
        let (a, b, c, m) = inputs();
        let ours = Flex::miss_backward(a, b, c, m, grad.clone(), wants);
        let expected = miss::backward::<Flex>(x, w, d, mask, grad, wants);
        case.assert_same("dx", ours.input, expected.input);
        case.assert_same("dW", ours.weight, expected.weight);
        case.assert_same("dD", ours.block, expected.block);
    }

    #[test]
    fn lora_matches_reference(
        [n, d_input, d_output, r] in [1usize..40, 1..40, 1..40, 1..9],
        (masks, halves) in (any::<bool>(), 1usize..3),
        case in cases(),
        [input, weight, of_a, of_b] in any::<[bool; 4]>(),
    ) {
        let (x, w) = (case.matrix(n, d_input), case.weight(d_input, d_output));
        let factors = [case.matrix(r, d_input), case.matrix(d_output, r)];
        let grad = case.matrix(n, d_output);
        let mask = masks.then(|| case.matrix(n, d_input));
        let term = LoraTerm { factors, scale: 1.5, trained: r.div_ceil(halves), mask };
        let inputs = || (x.clone(), w.clone(), term.clone());
        let (a, b, t) = inputs();
        let ours = Flex::lora_product(a, b, t);
        let (a, b, t) = inputs();
        case.assert_same("y", Some(ours), Some(lora::product::<Flex>(a, b, t)));
        let wants = LoraWants { input, weight, a: of_a, b: of_b };
        let (a, b, t) = inputs();
        let ours = Flex::lora_backward(a, b, t, grad.clone(), wants);
        let expected = lora::backward::<Flex>(x, w, term, grad, wants);
        for (what, (ours, expected)) in
            ["dx", "dW", "dA", "dB"].into_iter().zip(ours.into_iter().zip(expected))
        {
            case.assert_same(what, ours, expected);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    /// The weight has several panels of rows, and the last is shorter.
    #[test]
    fn products_over_row_panels_match_reference(tiles in 9usize..14, case in cases()) {
        let (n, d_input, d_output) = (3, 64, tiles * 64);
        let inputs = [
            case.matrix(n, d_input),
            case.weight(d_input, d_output),
            primitive(random([tiles, 64, 64], case.dtype())),
            case.matrix(n, d_output),
        ];
        compare(
            case,
            [Flex::bone_output_product, bone_output::product::<Flex>],
            [Flex::bone_output_backward, bone_output::backward::<Flex>],
            inputs.clone(),
            [true; 3],
        );
        let [x, w, _, grad] = inputs;
        let ours = Flex::product(x.clone(), w.clone());
        case.assert_same("y", Some(ours), Some(product::forward::<Flex>(x.clone(), w.clone())));
        let [ours, _] = Flex::product_backward(x.clone(), w.clone(), grad.clone(), [true, false]);
        let [expected, _] = product::backward::<Flex>(x, w, grad, [true, false]);
        case.assert_same("dx", ours, expected);
    }
}

#[test]
fn tensor_view_gives_product_of_its_copy() {
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
    assert_same("y", Some(product(part)), Some(product(copy)), [1e-6, 0.0]);
}

proptest! {
    #[test]
    fn plain_products_match_reference(
        n in 1..40usize, d_input in 1..150usize, d_output in 1..150usize,
        views: bool, half: bool, f64: bool, wants: [bool; 2],
    ) {
        let half_of = half.then_some(FloatDType::BF16);
        let case = Case { views, half: half_of, f64 };
        let (dtype, bounds) = (case.dtype(), case.bounds());
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
        assert_same("forward", Some(ours), Some(expected), bounds);
        let ours = Flex::product_backward(x.clone(), weight.clone(), grad.clone(), wants);
        let expected = product::backward::<Flex>(x, weight, grad, wants);
        for (what, (ours, expected)) in ["input", "weight"].iter().zip(ours.into_iter().zip(expected)) {
            // One unit in the last place of bf16: the gradient is rounded to it.
            let bounds = if half && *what == "weight" { [0.2, 0.0] } else { bounds };
            assert_same(what, ours, expected, bounds);
        }
    }
}
