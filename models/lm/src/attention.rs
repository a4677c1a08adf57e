use crate::backend::{Backend, to_query_heads};
use crate::window::Sight;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Tensor, TensorPrimitive, module};

/// Computes `softmax(x)` over the last dimension.
pub fn softmax<B: Backend, const D: usize>(input: Tensor<B, D>) -> Tensor<B, D> {
    let output = B::softmax_last(input.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(output))
}

/// Computes `softmax(query · keyᵀ / √width) · value`, where `sight` selects the keys that a query
/// sees.
///
/// # Shapes
///
/// - query: `[batch, heads, len, width]`; the output has the same shape
/// - key, value: `[batch, kv heads, keys, width]`, each for `heads / kv heads` query heads
///
/// # Panics
///
/// If the number of key heads does not divide the number of query heads.
pub fn attention<B: Backend>(
    query: Tensor<B, 4>,
    key: Tensor<B, 4>,
    value: Tensor<B, 4>,
    sight: &Sight<B>,
) -> Tensor<B, 4> {
    let [batch, heads, len, width] = query.dims();
    let (kv_heads, keys) = (key.dims()[1], key.dims()[2]);
    assert!(
        kv_heads > 0 && heads.is_multiple_of(kv_heads),
        "{heads} query heads must be a multiple of {kv_heads} key heads"
    );
    let _span = tracing::trace_span!("attention").entered();
    if B::attends_by_window() {
        let [query, key, value] = [query, key, value].map(|x| x.into_primitive().tensor());
        let output = B::windowed_attention(query, key, value, &sight.window);
        return Tensor::from_primitive(TensorPrimitive::Float(output));
    }
    if len == 1 {
        // The query heads of a group are treated as more queries to its keys.
        let group = heads / kv_heads;
        let mask = sight.mask.clone();
        let mask = mask.map(|mask| mask.expand([batch, kv_heads, group, keys]));
        let query = query.reshape([batch, kv_heads, group, width]);
        return module::attention(query, key, value, mask, None, Default::default())
            .reshape([batch, heads, len, width]);
    }
    let [key, value] = [key, value].map(|x| to_query_heads(x, heads));
    let mask = sight.mask.clone();
    let mask = mask.map(|mask| mask.expand([batch, heads, len, keys]));
    if !B::ad_enabled(&query.device()) {
        let options = AttentionModuleOptions {
            // A mask already includes causality.
            is_causal: mask.is_none(),
            ..Default::default()
        };
        return module::attention(query, key, value, mask, None, options);
    }
    // burn's version divides a tensor by a tensor, and saves more than the softmax for the
    // backward.
    let hidden = mask.unwrap_or_else(|| {
        Tensor::<B, 2, Bool>::tril_mask([len, keys], 0, &query.device()).unsqueeze()
    });
    let scores = query.matmul(key.swap_dims(2, 3)) / (width as f64).sqrt();
    let scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
    softmax(scores).matmul(value)
}

/// Rotary positions (Su et al. 2021): rotates the two halves of every head by its position's
/// angles.
///
/// # Shapes
///
/// - x: `[batch, heads, len, width]`; the output has the same shape
/// - cos, sin: `[batch or 1, 1, len, width / 2]`
pub fn rotate<B: Backend>(x: Tensor<B, 4>, cos: &Tensor<B, 4>, sin: &Tensor<B, 4>) -> Tensor<B, 4> {
    let _span = tracing::trace_span!("rotary positions").entered();
    let [x, cos, sin] = [x, cos.clone(), sin.clone()].map(|x| x.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(B::rotate(x, cos, sin, false)))
}

/// Writes `rows` into `buffer` from position `at` on, in place if the buffer is not shared.
///
/// # Shapes
///
/// - buffer: `[batch, heads, room, width]`; the output has the same shape
/// - rows: `[batch, heads, len, width]`
pub fn write_positions<B: Backend>(
    buffer: Tensor<B, 4>,
    at: usize,
    rows: Tensor<B, 4>,
) -> Tensor<B, 4> {
    let [buffer, rows] = [buffer, rows].map(|x| x.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(B::write_positions(buffer, at, rows)))
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::Window;
    use burn::backend::{Autodiff, Flex};
    use burn::tensor::{DType, TensorData};

    type B = Autodiff<Flex>;

    fn wave(shape: [usize; 4], frequency: f64) -> Tensor<B, 4> {
        let count: usize = shape.iter().product();
        let values: Vec<f64> = (0..count)
            .map(|i| 3.0 * (frequency * i as f64).sin())
            .collect();
        let data = TensorData::new(values, shape);
        Tensor::from_data(data, (&Default::default(), DType::F64)).require_grad()
    }

    fn assert_same(what: &str, ours: Tensor<Flex, 4>, theirs: Tensor<Flex, 4>) {
        let difference = (ours - theirs).abs().max().into_data();
        let difference = difference.iter::<f64>().next().expect("a number");
        assert!(difference < 1e-12, "{what}: {difference}");
    }

    /// With as many keys as queries, and with earlier keys.
    #[test]
    fn attention_matches_burn_attention() {
        for keys in [5, 9] {
            let query = wave([2, 3, 5, 4], 0.7);
            let key = wave([2, 3, keys, 4], 1.1);
            let value = wave([2, 3, keys, 4], 0.3);
            let run = |ours: bool| {
                let (q, k, v) = (query.clone(), key.clone(), value.clone());
                let output = match ours {
                    true => {
                        let window = Window::causal(keys - 5);
                        attention(q, k, v, &Sight::new(window, [5, keys], &Default::default()))
                    }
                    false => {
                        let options = AttentionModuleOptions {
                            is_causal: true,
                            ..Default::default()
                        };
                        module::attention(q, k, v, None, None, options)
                    }
                };
                let grads = output.clone().powi_scalar(3).sum().backward();
                let grad = |x: &Tensor<B, 4>| x.grad(&grads).expect("tracked");
                (output.inner(), [&query, &key, &value].map(grad))
            };
            let (ours, theirs) = (run(true), run(false));
            assert_same("output", ours.0, theirs.0);
            let names = ["query", "key", "value"];
            for ((name, ours), theirs) in names.into_iter().zip(ours.1).zip(theirs.1) {
                assert_same(name, ours, theirs);
            }
        }
    }
}
