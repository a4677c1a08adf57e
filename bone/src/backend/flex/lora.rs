//! LoRA: two thin products; the second is added in place to the base product.

use super::product::{base, base_backward, weight_gradient};
use super::weight::Weight;
use super::{shape, tensor, times};
use crate::backend::{LoraTerm, LoraWants};
use crate::matrix::{Matrix, Real, forwards, matrix, product as matrix_product, product_into};
use burn::tensor::ElementConversion;
use burn_flex::FlexTensor;
use rayon::prelude::*;
use std::ops::Range;

/// Computes `s·values`.
fn scaled<T: Real>(mut values: Vec<T>, scale: f64) -> Vec<T> {
    let scale: T = scale.elem();
    let times = |value: &mut T| *value = *value * scale;
    values.par_iter_mut().with_min_len(1 << 14).for_each(times);
    values
}

/// Computes `to += a ∘ b`.
fn add_times<T: Real>(to: &mut [T], a: &[T], b: &[T]) {
    let all = to.par_iter_mut().with_min_len(1 << 14).zip(a).zip(b);
    all.for_each(|((to, &a), &b)| *to += a * b);
}

/// Applies a mask to `x`.
fn masked<T: Real>(x: &FlexTensor, mask: &FlexTensor) -> FlexTensor {
    let dims: [usize; 2] = shape(x);
    let [x, mask] = [x, mask].map(FlexTensor::to_contiguous);
    tensor(times(x.storage::<T>(), mask.storage::<T>()), dims)
}

pub(super) fn product<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    term: LoraTerm<FlexTensor>,
) -> FlexTensor {
    let _span = tracing::trace_span!("adapter").entered();
    let [a, b] = term.factors;
    let [x, a, b] = [input, a, b].map(forwards);
    let weight = Weight::new(weight);
    let ([n, _], [_, d_output], [r, _]) = (shape(&x), weight.dims(), shape(&a));
    let left = term.mask.map(|mask| masked::<T>(&x, &mask));
    let [x, a] = [&x, &a].map(matrix::<T>);
    let a = a.transposed();
    let inner = match &left {
        Some(left) if term.trained < r => {
            let mut inner = vec![T::ZERO; n * r];
            let (trained, fixed) = (0..term.trained, term.trained..r);
            let to = (r, false);
            product_into(&mut inner, to, matrix(left), a.some_columns(&trained));
            if n > 0 {
                product_into(&mut inner[fixed.start..], to, x, a.some_columns(&fixed));
            }
            inner
        }
        left => matrix_product(left.as_ref().map_or(x, matrix), a),
    };
    let inner = scaled(inner, term.scale);
    let inner = Matrix::rows(&inner, [n, r], r);
    let mut y = base(x, n, &weight);
    product_into(
        &mut y,
        (d_output, true),
        inner,
        matrix::<T>(&b).transposed(),
    );
    tensor(y, [n, d_output])
}

pub(super) fn backward<T: Real>(
    input: FlexTensor,
    weight: FlexTensor,
    term: LoraTerm<FlexTensor>,
    grad: FlexTensor,
    wants: LoraWants,
) -> [Option<FlexTensor>; 4] {
    let _span = tracing::trace_span!("adapter").entered();
    let (scale, mask) = (term.scale, term.mask);
    let [a, b] = term.factors;
    let [x, a, b, grad] = [input, a, b, grad].map(forwards);
    let weight = Weight::new(weight);
    let ([n, d_input], [_, d_output], [r, _]) = (shape(&x), weight.dims(), shape(&a));
    let (trained, fixed) = (0..term.trained, term.trained..r);
    let left = match (&mask, wants.a || wants.b) {
        (Some(mask), true) => Some(masked::<T>(&x, mask)),
        _ => None,
    };
    let [x, a, b, g] = [&x, &a, &b, &grad].map(matrix::<T>);
    let seen = left.as_ref().map_or(x, matrix::<T>);
    let d_b = wants.b.then(|| {
        let a = a.transposed().some_columns(&trained);
        let inner = scaled(matrix_product(seen, a), scale);
        let inner = Matrix::rows(&inner, [n, trained.len()], trained.len());
        let mut d_b = vec![T::ZERO; d_output * r];
        product_into(&mut d_b, (r, false), g.transposed(), inner);
        tensor(d_b, [d_output, r])
    });
    let d_inner = match wants.input || wants.a {
        true => scaled(matrix_product(g, b), scale),
        false => vec![T::ZERO; n * r],
    };
    let d_inner = Matrix::rows(&d_inner, [n, r], r);
    let d_a = wants.a.then(|| {
        let mut d_a = vec![T::ZERO; r * d_input];
        let of_trained = d_inner.some_columns(&trained).transposed();
        product_into(&mut d_a, (d_input, false), of_trained, seen);
        tensor(d_a, [r, d_input])
    });
    let d_weight = wants.weight.then(|| weight_gradient(x, g, &weight));
    let d_x = wants.input.then(|| {
        let mut d_x = base_backward(g, n, &weight);
        let some_of = |range: &Range<usize>| {
            let a = a.transposed().some_columns(range).transposed();
            (d_inner.some_columns(range), a)
        };
        match &mask {
            Some(mask) => {
                let mask = mask.to_contiguous();
                let (d_inner, a) = some_of(&trained);
                let through_a = matrix_product(d_inner, a);
                add_times(&mut d_x, &through_a, mask.storage::<T>());
                if !fixed.is_empty() {
                    let (d_inner, a) = some_of(&fixed);
                    product_into(&mut d_x, (d_input, true), d_inner, a);
                }
            }
            None => product_into(&mut d_x, (d_input, true), d_inner, a),
        }
        tensor(d_x, [n, d_input])
    });
    [d_x, d_weight, d_a, d_b]
}
