//! Products that round, and products with zero rows.

use super::super::cast;
use super::*;
use crate::matrix::bf16::tests::in_bf16;
use burn::tensor::DType;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Weights in bf16 on a processor that multiplies bf16, with the portable kernel.
    #[test]
    fn bf16_products_match_reference_up_to_rounding(
        [n, blocks, tiles, r] in [1usize..60, 1..5, 1..5, 1..9],
        views in any::<bool>(),
    ) {
        let case = Case { views, half: Some(FloatDType::BF16), f64: false };
        let (d_input, d_output) = (blocks * r, tiles * r);
        let weight = case.weight(d_input, d_output);
        // Numbers that bf16 cannot represent.
        let x = case.matrix(n, d_input);
        let wants = [true, false, true];
        for (ours, backward, block) in [
            (Flex::bone_input_product as Product, Flex::bone_input_backward as Backward, blocks),
            (Flex::bone_output_product, Flex::bone_output_backward, tiles),
        ] {
            let block = primitive(random([block, r, r], case.dtype()));
            let grad = case.matrix(n, d_output);
            let widened = cast(weight.clone(), DType::F32);
            let inputs = |weight| [x.clone(), weight, block.clone(), grad.clone()];
            let exact = results(ours, backward, inputs(widened), wants);
            let rounded = in_bf16(|| results(ours, backward, inputs(weight.clone()), wants));
            let mut same = true;
            for ((what, rounded), (_, exact)) in rounded.into_iter().zip(exact) {
                same &= rounded.is_none() || values(&rounded) == values(&exact);
                // Eight bits, in sums of up to 40 numbers and in the adapter's sums of as many.
                assert_same(what, rounded, exact, [0.5, 0.0]);
            }
            // Products of few rows do not round.
            prop_assert!(n <= 32 || d_input < 4 || !same, "nothing was rounded");
        }
    }
}

/// burn's sums over zero rows fail, so no reference exists. Such a gradient must be zero.
#[test]
fn zero_rows_give_zero_adapter_gradients() {
    for half in [None, Some(FloatDType::BF16)] {
        let case = Case {
            views: false,
            half,
            f64: false,
        };
        // More outputs than one panel holds.
        let (d_input, d_output, r) = (16, 1024, 8);
        let (w, x) = (case.weight(d_input, d_output), case.matrix(0, d_input));
        let grad = case.matrix(0, d_output);
        let blocks = |count| primitive(random([count, r, r], case.dtype()));
        let miss: Product = |x, w, d| Flex::miss_product(x, w, d, None);
        let miss_backward: Backward =
            |x, w, d, g, wants| Flex::miss_backward(x, w, d, None, g, wants);
        for (product, backward, block) in [
            (
                Flex::bone_input_product as Product,
                Flex::bone_input_backward as Backward,
                blocks(2),
            ),
            (
                Flex::bone_output_product,
                Flex::bone_output_backward,
                blocks(d_output / r),
            ),
            (miss, miss_backward, case.matrix(r, d_output)),
        ] {
            let inputs = [x.clone(), w.clone(), block.clone(), grad.clone()];
            let [(_, y), (_, d_x), (_, d_block)] = results(product, backward, inputs, [true; 3]);
            assert!(values(&y).is_empty() && values(&d_x).is_empty());
            let d_block = values(&d_block);
            assert_eq!(d_block.len(), block.layout().num_elements());
            assert!(d_block.iter().all(|&value| value == 0.0));
        }
        let term = LoraTerm {
            factors: [case.matrix(4, d_input), case.matrix(d_output, 4)],
            scale: 1.5,
            trained: 2,
            mask: Some(x.clone()),
        };
        let wants = LoraWants {
            input: true,
            weight: false,
            a: true,
            b: true,
        };
        assert!(
            values(&Some(Flex::lora_product(
                x.clone(),
                w.clone(),
                term.clone()
            )))
            .is_empty()
        );
        let [d_x, _, d_a, d_b] = Flex::lora_backward(x, w, term, grad, wants);
        assert!(values(&d_x).is_empty());
        for (gradient, count) in [(d_a, 4 * d_input), (d_b, 4 * d_output)] {
            assert_eq!(values(&gradient), vec![0.0; count]);
        }
    }
}

/// Returns an operation's result and its gradients.
fn results(
    product: Product,
    backward: Backward,
    [x, weight, block, grad]: [FlexTensor; 4],
    [input, d_weight, d_block]: [bool; 3],
) -> [(&'static str, Option<FlexTensor>); 3] {
    let wants = BoneWants {
        input,
        weight: d_weight,
        block: d_block,
    };
    let y = product(x.clone(), weight.clone(), block.clone());
    let grads = backward(x, weight, block, grad, wants);
    [("y", Some(y)), ("dx", grads.input), ("dB", grads.block)]
}

fn values(tensor: &Option<FlexTensor>) -> Vec<f32> {
    let data = tensor.clone().map(|tensor| tensor.into_data());
    data.map_or_else(Vec::new, |data| data.iter::<f32>().collect())
}
