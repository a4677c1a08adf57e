//! Sizes that several threads share and that take several panels.

use super::*;

/// 300 × 128 × 704, blocks of 32: 27 million multiplications, above the limit for one thread.
const SIZES: [usize; 4] = [300, 128, 704, 32];

fn every_case(test: impl Fn(Case)) {
    for half in [None, Some(FloatDType::BF16), Some(FloatDType::F16)] {
        for (views, f64) in [(false, false), (true, false), (false, true), (true, true)] {
            test(Case { views, half, f64 });
        }
    }
}

impl Case {
    /// Asserts with larger bounds: the sums have hundreds of terms, and a gradient to a half weight
    /// is rounded.
    fn assert_large(self, what: &str, ours: Option<FlexTensor>, reference: Option<FlexTensor>) {
        let bounds = match (self.half, what) {
            (Some(_), "dW") => [0.5, 0.0],
            _ => {
                let [bound, relative] = self.bounds();
                [10.0 * bound, relative]
            }
        };
        assert_same(&format!("{what}, {self:?}"), ours, reference, bounds);
    }
}

#[test]
fn bone_matches_reference() {
    let [n, d_input, d_output, r] = SIZES;
    every_case(|case| {
        for (blocks, [ours, reference], [our_backward, its_backward]) in [
            (
                d_input / r,
                [
                    Flex::bone_input_product as Product,
                    bone_input::product::<Flex>,
                ],
                [
                    Flex::bone_input_backward as Backward,
                    bone_input::backward::<Flex>,
                ],
            ),
            (
                d_output / r,
                [Flex::bone_output_product, bone_output::product::<Flex>],
                [Flex::bone_output_backward, bone_output::backward::<Flex>],
            ),
        ] {
            let [x, w] = [case.matrix(n, d_input), case.weight(d_input, d_output)];
            // Small, as in training: the bounds are relative to the size of the sums.
            let block = primitive(random([blocks, r, r], case.dtype()) * 0.1);
            let grad = case.matrix(n, d_output);
            let [a, b, c] = [&x, &w, &block].map(FlexTensor::clone);
            let expected = reference(a, b, c);
            let [a, b, c] = [&x, &w, &block].map(FlexTensor::clone);
            case.assert_large("y", Some(ours(a, b, c)), Some(expected));
            let wants = BoneWants::from([true; 3]);
            let [a, b, c, d] = [&x, &w, &block, &grad].map(FlexTensor::clone);
            let ours = our_backward(a, b, c, d, wants);
            let expected = its_backward(x, w, block, grad, wants);
            case.assert_large("dx", ours.input, expected.input);
            case.assert_large("dW", ours.weight, expected.weight);
            case.assert_large("dB", ours.block, expected.block);
        }
    });
}

#[test]
fn miss_matches_reference() {
    let [n, d_input, d_output, r] = SIZES;
    every_case(|case| {
        for (width, masks) in [(d_output, false), (64, true)] {
            let [x, w] = [case.matrix(n, d_input), case.weight(d_input, d_output)];
            // This rank does not divide the inputs.
            let d = case.matrix(r + 5, width);
            let (mask, grad) = (
                masks.then(|| case.matrix(n, d_input)),
                case.matrix(n, d_output),
            );
            let inputs = || (x.clone(), w.clone(), d.clone(), mask.clone());
            let (a, b, c, m) = inputs();
            let expected = miss::product::<Flex>(a, b, c, m);
            let (a, b, c, m) = inputs();
            case.assert_large("y", Some(Flex::miss_product(a, b, c, m)), Some(expected));
            let wants = BoneWants::from([true; 3]);
            let (a, b, c, m) = inputs();
            let ours = Flex::miss_backward(a, b, c, m, grad.clone(), wants);
            let (a, b, c, m) = inputs();
            let expected = miss::backward::<Flex>(a, b, c, m, grad, wants);
            case.assert_large("dx", ours.input, expected.input);
            case.assert_large("dW", ours.weight, expected.weight);
            case.assert_large("dD", ours.block, expected.block);
        }
    });
}

#[test]
fn lora_matches_reference() {
    let [n, d_input, d_output, r] = SIZES;
    every_case(|case| {
        for (trained, masks) in [(r, false), (r, true), (r / 2, false), (r / 2, true)] {
            let [x, w] = [case.matrix(n, d_input), case.weight(d_input, d_output)];
            let term = LoraTerm {
                factors: [case.matrix(r, d_input), case.matrix(d_output, r)],
                scale: 0.1,
                trained,
                mask: masks.then(|| case.matrix(n, d_input)),
            };
            let grad = case.matrix(n, d_output);
            let expected = lora::product::<Flex>(x.clone(), w.clone(), term.clone());
            let ours = Flex::lora_product(x.clone(), w.clone(), term.clone());
            case.assert_large("y", Some(ours), Some(expected));
            let wants = LoraWants {
                input: true,
                weight: true,
                a: true,
                b: true,
            };
            let ours = Flex::lora_backward(x.clone(), w.clone(), term.clone(), grad.clone(), wants);
            let expected = lora::backward::<Flex>(x, w, term, grad, wants);
            let names = ["dx", "dW", "dA", "dB"].into_iter();
            for (what, (ours, expected)) in names.zip(ours.into_iter().zip(expected)) {
                case.assert_large(what, ours, expected);
            }
        }
    });
}

#[test]
fn base_product_matches_reference() {
    let [n, d_input, d_output, _] = SIZES;
    every_case(|case| {
        let [x, w] = [case.matrix(n, d_input), case.weight(d_input, d_output)];
        let grad = case.matrix(n, d_output);
        let expected = product::forward::<Flex>(x.clone(), w.clone());
        case.assert_large(
            "y",
            Some(Flex::product(x.clone(), w.clone())),
            Some(expected),
        );
        let ours = Flex::product_backward(x.clone(), w.clone(), grad.clone(), [true; 2]);
        let expected = product::backward::<Flex>(x, w, grad, [true; 2]);
        for (what, (ours, expected)) in ["dx", "dW"].into_iter().zip(ours.into_iter().zip(expected))
        {
            case.assert_large(what, ours, expected);
        }
    });
}
