use super::*;
use crate::testing::{self, B, config, effective, layer, numbers, relative_error, tensor, values};
use crate::{BlockAxis, LoraConfig, LoraStart, SvdMethod, Variant, dropout};
use burn::tensor::TensorData;
use proptest::prelude::*;

const BONE: Variant = Variant::Bone(BlockAxis::Output);
const BONE_INPUT: Variant = Variant::Bone(BlockAxis::Input);

/// Returns square, wide and tall layers; ragged and `r > in` where the variant allows it.
fn cases() -> Vec<(Variant, usize, [usize; 2])> {
    let mut cases = Vec::new();
    for variant in [BONE, BONE_INPUT] {
        for dims in [[6, 6], [6, 12], [12, 6]] {
            cases.push((variant, 3, dims));
        }
        cases.push((variant, 1, [4, 5]));
        cases.push((variant, 4, [4, 8]));
    }
    for variant in [Variant::Miss, Variant::MissMini { width: 3 }] {
        for (r, dims) in [
            (3, [6, 6]),
            (3, [6, 12]),
            (3, [12, 6]),
            (4, [10, 6]),
            (9, [5, 6]),
        ] {
            cases.push((variant, r, dims));
        }
    }
    for start in [
        LoraStart::Random,
        LoraStart::Pissa(SvdMethod::Exact),
        LoraStart::Olora,
    ] {
        for (r, dims) in [(3, [6, 6]), (4, [5, 9]), (2, [9, 4])] {
            let settings = LoraConfig {
                alpha: 6.0,
                rslora: r == 4,
                start,
            };
            cases.push((Variant::Lora(settings), r, dims));
        }
    }
    cases
}

/// Computes `y = x·W'ᵀ + b` from the definition.
fn expected_output(layer: &BoneLinear<B>, x: &[f64], n: usize) -> Vec<f64> {
    let [d_input, d_output] = layer.dims();
    let adapter = layer.adapter().expect("has one");
    let w = values(layer.weight.val().transpose());
    let tensors = adapter.saved_tensors().into_iter();
    let block: Vec<f64> = tensors
        .flat_map(|data| data.iter::<f64>().collect::<Vec<_>>())
        .collect();
    let saved = config(adapter.variant(), adapter.rank()).saved();
    let full = effective(saved.variant, saved.rank, &w, &block, [d_input, d_output]);
    let bias = values(layer.bias.as_ref().expect("has one").val());
    (0..n * d_output)
        .map(|at| {
            let (row, o) = (at / d_output, at % d_output);
            let dot: f64 = (0..d_input)
                .map(|i| x[row * d_input + i] * full[o * d_input + i])
                .sum();
            dot + bias[o]
        })
        .collect()
}

#[test]
fn forward_matches_definition() {
    for (variant, r, dims) in cases() {
        let layer = layer(&config(variant, r), dims, 1);
        let x = numbers(9, 2 * 3 * dims[0]);
        let y = layer.forward(tensor(x.clone(), [2, 3, dims[0]]));
        assert_eq!(y.dims(), [2, 3, dims[1]]);
        let error = relative_error(&values(y), &expected_output(&layer, &x, 6));
        assert!(error < 1e-12, "{variant:?} r {r} {dims:?}: {error}");
    }
}

/// Computes `Σ c·y` for fixed random `c`, the scalar whose gradients are checked.
fn weighted(layer: &BoneLinear<B>, x: Tensor<B, 2>) -> Tensor<B, 1> {
    let y = layer.forward(x);
    let [n, d] = y.dims();
    (y * tensor(numbers(77, n * d), [n, d])).sum()
}

fn scalar(tensor: Tensor<B, 1>) -> f64 {
    values(tensor)[0]
}

#[test]
fn gradients_match_finite_differences() {
    for (variant, r, dims) in cases() {
        let layer = layer(&config(variant, r), dims, 3);
        let n = 3;
        let x0 = numbers(5, n * dims[0]);
        let x = tensor(x0.clone(), [n, dims[0]]).require_grad();
        let grads = weighted(&layer, x.clone()).backward();
        let h = 1e-6;

        let numeric: Vec<f64> = (0..x0.len())
            .map(|i| {
                let at = |delta: f64| {
                    let mut x = x0.clone();
                    x[i] += delta;
                    scalar(weighted(&layer, tensor(x, [n, dims[0]])))
                };
                (at(h) - at(-h)) / (2.0 * h)
            })
            .collect();
        let analytic = x.grad(&grads).expect("tracked").into_data();
        let analytic: Vec<f64> = analytic.iter::<f64>().collect();
        let error = relative_error(&analytic, &numeric);
        assert!(error < 1e-7, "{variant:?} r {r} {dims:?} dx: {error}");

        let w0 = values(layer.weight.val());
        let numeric: Vec<f64> = (0..w0.len())
            .map(|i| {
                let at = |delta: f64| {
                    let mut w = w0.clone();
                    w[i] += delta;
                    let mut moved = layer.clone();
                    moved.weight = moved.weight.map(|_| tensor(w, dims));
                    scalar(weighted(&moved, tensor(x0.clone(), [n, dims[0]])))
                };
                (at(h) - at(-h)) / (2.0 * h)
            })
            .collect();
        let analytic = layer.weight.grad(&grads).expect("tracked").into_data();
        let analytic: Vec<f64> = analytic.iter::<f64>().collect();
        let error = relative_error(&analytic, &numeric);
        assert!(error < 1e-7, "{variant:?} r {r} {dims:?} dW: {error}");

        let adapter = layer.adapter().expect("has one");
        let tensors = adapter.tensors();
        let initial = match adapter {
            Adapter::Lora(lora) => lora.initial.as_ref().map(|factors| {
                [factors.lora_a.val(), factors.lora_b.val()].map(|factor| factor.into_data())
            }),
            _ => None,
        };
        let initial: Vec<_> = initial.into_iter().flatten().collect();
        let at = |which: usize, i: usize, delta: f64| {
            let mut tensors = tensors.clone();
            let mut values: Vec<f64> = tensors[which].iter::<f64>().collect();
            values[i] += delta;
            tensors[which] = TensorData::new(values, tensors[which].shape.clone());
            let mut moved = layer.clone();
            moved.adapter = Some(Adapter::from_tensors(
                &config(variant, r),
                "layer",
                [tensors, initial.clone()].concat(),
                Default::default(),
                DType::F64,
            ));
            scalar(weighted(&moved, tensor(x0.clone(), [n, dims[0]])))
        };
        let (mut numeric, mut analytic) = (Vec::new(), Vec::new());
        for (which, gradient) in adapter.gradients(&grads).into_iter().enumerate() {
            analytic.extend(gradient.expect("tracked").iter::<f64>());
            let size = tensors[which].num_elements();
            numeric.extend((0..size).map(|i| (at(which, i, h) - at(which, i, -h)) / (2.0 * h)));
        }
        let error = relative_error(&analytic, &numeric);
        assert!(error < 1e-7, "{variant:?} r {r} {dims:?} dB: {error}");
    }
}

#[test]
fn backward_over_many_block_rows_equals_merged_layer() {
    // More rows than one group of the backward, and a frozen weight as in training.
    let dims = [8, 600];
    let layer = layer(&config(BONE, 4), dims, 3);
    let mut frozen = layer.clone();
    frozen.weight = frozen.weight.set_require_grad(false);
    let x = tensor(numbers(5, 2 * 8), [2, 8]).require_grad();
    let merged = layer.clone().merge("").expect("finite");
    let through_op = weighted(&frozen, x.clone()).backward();
    let plain = weighted(&merged, x.clone()).backward();
    let dx = |grads| -> Vec<f64> {
        x.grad(grads)
            .expect("dx")
            .into_data()
            .iter::<f64>()
            .collect()
    };
    assert!(relative_error(&dx(&through_op), &dx(&plain)) < 1e-12);
    assert!(frozen.weight.grad(&through_op).is_none());
}

#[test]
fn fresh_adapter_keeps_layer_output() {
    for (variant, r, dims) in cases() {
        let base = layer(&config(variant, r), dims, 1).detach();
        let x = tensor(numbers(9, 2 * dims[0]), [2, dims[0]]);
        let adapted = base
            .clone()
            .attach(&config(variant, r), "layer")
            .expect("allowed");
        let error = relative_error(
            &values(adapted.forward(x.clone())),
            &values(base.forward(x)),
        );
        assert!(error < 1e-14, "{variant:?}: {error}");
    }
}

#[test]
fn merged_layer_equals_adapted_layer_and_unmerges() {
    for (variant, r, dims) in cases() {
        let layer = layer(&config(variant, r), dims, 1);
        let x = tensor(numbers(9, 2 * dims[0]), [2, dims[0]]);
        let adapted = values(layer.forward(x.clone()));
        let merged = layer.clone().merge("layer").expect("finite");
        assert_eq!(merged.state(), State::Merged);
        assert!(merged.clone().merge("layer").is_err(), "merges only once");
        let error = relative_error(&values(merged.forward(x.clone())), &adapted);
        assert!(error < 1e-12, "{variant:?} r {r} {dims:?}: {error}");

        let back = merged.unmerge("layer").expect("invertible");
        let error = relative_error(&values(back.weight.val()), &values(layer.weight.val()));
        assert!(error < 1e-10, "{variant:?} r {r} {dims:?}: {error}");
        assert!(relative_error(&values(back.forward(x)), &adapted) < 1e-10);
        assert!(back.unmerge("layer").is_err(), "unmerges only once");
    }
}

#[test]
fn non_finite_merge_and_singular_unmerge_fail() {
    let mut endless = layer(&config(Variant::Miss, 2), [4, 4], 1);
    endless.weight = endless.weight.map(|w| w.mul_scalar(f64::INFINITY));
    let error = endless.merge("model.q").expect_err("not finite");
    assert!(
        error.to_string().starts_with("model.q (4 inputs"),
        "{error}"
    );

    // B = −I: I + B has no inverse.
    let singular = layer(&config(BONE, 2), [2, 2], 1);
    let mut singular = singular.detach();
    singular.adapter = Some(Adapter::from_tensors(
        &config(BONE, 2),
        "",
        vec![TensorData::new(vec![-1.0, 0.0, 0.0, -1.0], [1, 2, 2])],
        Default::default(),
        DType::F64,
    ));
    let merged = singular.merge("q").expect("finite");
    assert!(merged.unmerge("q").is_err());
}

#[test]
fn misfitting_shape_error_names_layer() {
    let plain = layer(&config(Variant::Miss, 2), [6, 8], 1).detach();
    for (variant, rank, words) in [
        (BONE, 4, "rank 4 does not divide its 6 inputs"),
        (BONE_INPUT, 5, "its 6 inputs and its 8 outputs"),
        (Variant::MissMini { width: 3 }, 2, "width 3"),
        (Variant::Miss, 0, "at least 1"),
    ] {
        let error = plain
            .clone()
            .attach(&config(variant, rank), "model.layers.0.q")
            .expect_err("impossible")
            .to_string();
        assert!(
            error.contains(words) && error.contains("model.layers.0.q"),
            "{error}"
        );
    }
}

#[test]
fn dropout_mask_depends_only_on_scope() {
    let config = config(Variant::Miss, 3).with_dropout(0.5);
    let layer = layer(&config, [6, 6], 1);
    let x = tensor(numbers(9, 2 * 4 * 6), [2, 4, 6]);
    let run = |step: u64, rows: &[u64]| {
        let draw = dropout::Draw {
            seed: 1,
            step,
            rows: rows.to_vec(),
        };
        values(dropout::scope(draw, || layer.forward(x.clone())))
    };
    assert_eq!(run(0, &[0, 1]), run(0, &[0, 1]));
    assert_ne!(run(0, &[0, 1]), run(1, &[0, 1]));
    assert_ne!(run(0, &[0, 1]), run(0, &[0, 2]));
    // Outside a scope burn's own dropout runs; on a backend without autodiff it does nothing.
    let inner = burn::module::AutodiffModule::valid(&layer);
    let y = inner.forward(x.clone().inner());
    let expected = expected_output(&layer, &values(x.clone()), 8);
    let y: Vec<f64> = y.into_data().iter::<f64>().collect();
    assert!(relative_error(&y, &expected) < 1e-12);
}

#[test]
fn half_precision_weights_accept_wider_input() {
    for (variant, r, dims) in cases() {
        let layer = layer(&config(variant, r), dims, 1);
        let mut half = layer.clone();
        half.weight = half.weight.map(|w| w.cast(DType::BF16));
        half.bias = None;
        let mut wide = half.clone();
        wide.weight = wide.weight.map(|w| w.cast(DType::F64));
        let x = tensor(numbers(9, 2 * dims[0]), [2, dims[0]]);
        let y = half.forward(x.clone());
        assert_eq!(y.dtype(), DType::F64);
        assert!(relative_error(&values(y), &values(wide.forward(x))) < 1e-12);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn forward_matches_definition_for_any_shape(
        r in 1usize..6, ins in 1usize..5, outs in 1usize..5, n in 1usize..5,
        extra in 0usize..4, kind in 0usize..4, seed in 0u64..1000,
    ) {
        let (variant, dims) = match kind {
            0 => (BONE, [r * ins, r * outs]),
            1 => (BONE_INPUT, [r * ins, r * outs]),
            2 => (Variant::Miss, [r * ins + extra, r * outs + extra]),
            _ => (Variant::MissMini { width: outs }, [r * ins + extra, outs * (1 + extra)]),
        };
        let layer = testing::layer(&config(variant, r), dims, seed);
        let x = numbers(seed + 9, n * dims[0]);
        let y = values(layer.forward(tensor(x.clone(), [n, dims[0]])));
        prop_assert!(relative_error(&y, &expected_output(&layer, &x, n)) < 1e-11);
    }
}
