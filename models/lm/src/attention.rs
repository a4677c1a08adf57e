use crate::Backend;
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, Tensor, TensorPrimitive, module};

/// `softmax(x)` over the last dimension.
pub fn softmax<B: Backend, const D: usize>(input: Tensor<B, D>) -> Tensor<B, D> {
    let output = B::softmax_last(input.into_primitive().tensor());
    Tensor::from_primitive(TensorPrimitive::Float(output))
}

/// `softmax(query · keyᵀ / √width) · value`, where a position sees those before it and itself; or,
/// with a `mask`, those where that is false.
///
/// # Shapes
///
/// - query: `[batch, heads, len, width]`, and so the output
/// - key, value: `[batch, heads, keys, width]`
/// - mask: `[batch, heads, len, keys]`
pub fn attention<B: Backend>(
    query: Tensor<B, 4>,
    key: Tensor<B, 4>,
    value: Tensor<B, 4>,
    mask: Option<Tensor<B, 4, Bool>>,
) -> Tensor<B, 4> {
    let [_, _, len, width] = query.dims();
    if len == 1 || !B::ad_enabled(&query.device()) {
        let options = AttentionModuleOptions {
            // A mask says all there is to say, and from a single token nothing is hidden.
            is_causal: mask.is_none() && len > 1,
            ..Default::default()
        };
        return module::attention(query, key, value, mask, None, options);
    }
    // burn's divides a tensor by a tensor, and keeps more for that backward than the softmax.
    let keys = key.dims()[2];
    let hidden = mask.unwrap_or_else(|| {
        let before = (keys - len) as i64;
        Tensor::<B, 2, Bool>::tril_mask([len, keys], before, &query.device()).unsqueeze()
    });
    let scores = query.matmul(key.swap_dims(2, 3)) / (width as f64).sqrt();
    let scores = scores.mask_fill(hidden, f32::NEG_INFINITY);
    softmax(scores).matmul(value)
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
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

    /// With as many keys as queries, and with earlier ones.
    #[test]
    fn values_and_gradients_are_burns() {
        for keys in [5, 9] {
            let query = wave([2, 3, 5, 4], 0.7);
            let key = wave([2, 3, keys, 4], 1.1);
            let value = wave([2, 3, keys, 4], 0.3);
            let run = |ours: bool| {
                let (q, k, v) = (query.clone(), key.clone(), value.clone());
                let output = match ours {
                    true => attention(q, k, v, None),
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
