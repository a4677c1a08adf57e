//! Compares the reference with its definition in loops and with finite differences, in f64.

use super::*;

/// Computes the definition, index by index: the output and the last state.
fn loops(case: Case, [r, k, v, w, u, state]: &Inputs) -> [Vec<f64>; 2] {
    let Case {
        batch,
        len,
        heads,
        size,
        ..
    } = case;
    let mut output = vec![0.0; batch * len * heads * size];
    let mut state = match case.state {
        true => state.clone(),
        false => vec![0.0; batch * heads * size * size],
    };
    for (b, h) in (0..batch).flat_map(|b| (0..heads).map(move |h| (b, h))) {
        let s = &mut state[(b * heads + h) * size * size..][..size * size];
        for t in 0..len {
            let row = ((b * len + t) * heads + h) * size;
            for (i, j) in (0..size).flat_map(|i| (0..size).map(move |j| (i, j))) {
                let kv = k[row + i] * v[row + j];
                output[row + j] += r[row + i] * (u[h * size + i] * kv + s[i * size + j]);
                s[i * size + j] = (-w[row + i].exp()).exp() * s[i * size + j] + kv;
            }
        }
    }
    [output, state]
}

#[test]
fn recurrence_matches_definition() {
    for state in [true, false] {
        let case = Case {
            state,
            ..Case::new(9, 5)
        };
        let inputs = case.values();
        let [output, last] = loops(case, &inputs);
        let inputs = case.inputs::<Flex>(&inputs, DType::F64);
        let (actual_output, actual_last) = wkv6(inputs, Some(Form::Recurrence));
        assert!(difference(&values(actual_output), &output, 0.0) < 1e-14);
        assert!(difference(&values(actual_last), &last, 0.0) < 1e-14);
    }
}

fn loss(case: Case, values: &Inputs) -> f64 {
    let inputs = case.inputs::<Flex>(values, DType::F64);
    case.loss(wkv6(inputs, Some(Form::Recurrence)))
        .into_scalar_f64()
}

trait IntoF64 {
    fn into_scalar_f64(self) -> f64;
}

impl IntoF64 for Tensor<Flex, 1> {
    fn into_scalar_f64(self) -> f64 {
        values(self)[0]
    }
}

/// Returns the loss's slope along a direction of one input; the error falls with the fourth power
/// of the step.
fn slope(case: Case, inputs: &Inputs, which: usize, direction: &[f64]) -> f64 {
    let step = 1e-3;
    let at = |times: f64| {
        let mut moved = inputs.clone();
        for (x, d) in moved[which].iter_mut().zip(direction) {
            *x += times * step * d;
        }
        loss(case, &moved)
    };
    (8.0 * (at(1.0) - at(-1.0)) - (at(2.0) - at(-2.0))) / (12.0 * step)
}

#[test]
fn gradient_entries_match_finite_differences() {
    let case = Case::new(4, 3);
    let inputs = case.values();
    let results = case.run::<B>(Form::Recurrence, DType::F64);
    for (which, (name, gradient)) in results[2..].iter().enumerate() {
        let differences: Vec<f64> = (0..gradient.len())
            .map(|n| {
                let mut direction = vec![0.0; gradient.len()];
                direction[n] = 1.0;
                slope(case, &inputs, which, &direction)
            })
            .collect();
        let difference = difference(gradient, &differences, 0.0);
        assert!(difference < 1e-8, "{name} is off by {difference:e}");
    }
}

#[test]
fn gradients_match_finite_differences_at_all_lengths() {
    for (len, size, state) in [1, 2, 15, 16, 17, 64, 257].into_iter().flat_map(|len| {
        [
            (len, 8, true),
            (len, 64, true),
            (len, 8, false),
            (len, 64, false),
        ]
    }) {
        let case = Case {
            batch: 1,
            state,
            ..Case::new(len, size)
        };
        let inputs = case.values();
        let results = case.run::<B>(Form::Recurrence, DType::F64);
        for (which, (name, gradient)) in results[2..].iter().enumerate() {
            let direction = numbers(99, gradient.len());
            let expected = slope(case, &inputs, which, &direction);
            let products = gradient.iter().zip(&direction).map(|(g, d)| g * d);
            let scale: f64 = products.clone().map(f64::abs).sum();
            let actual: f64 = products.sum();
            assert!(
                (actual - expected).abs() <= 1e-8 * scale.max(1e-3),
                "{case:?}: {name} gives {actual}, differences {expected}"
            );
        }
    }
}
