//! Helpers of the unit tests: random f64 layers, and the method's definition in plain loops.

use crate::{AdapterConfig, BlockAxis, BoneLinear, Selection, Targets, Variant};
use burn::backend::{Autodiff, Flex};
use burn::module::{Module, Param, ParamId};
use burn::tensor::{DType, Tensor, TensorData};

pub(crate) type B = Autodiff<Flex>;

/// Returns numbers in (−1, 1) from a seed.
pub(crate) fn numbers(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

pub(crate) fn tensor<const D: usize>(values: Vec<f64>, shape: [usize; D]) -> Tensor<B, D> {
    Tensor::from_data(
        TensorData::new(values, shape),
        (&Default::default(), DType::F64),
    )
}

pub(crate) fn values<const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().iter::<f64>().collect()
}

pub(crate) fn config(variant: Variant, rank: usize) -> AdapterConfig {
    AdapterConfig::new(variant, rank, Targets::new(Selection::AllLinear))
}

/// Makes a random f64 layer whose adapter holds random values.
pub(crate) fn layer(
    config: &AdapterConfig,
    [d_input, d_output]: [usize; 2],
    seed: u64,
) -> BoneLinear<B> {
    let weight = tensor(numbers(seed, d_input * d_output), [d_input, d_output]);
    let bias = tensor(numbers(seed + 1, d_output), [d_output]);
    let linear = BoneLinear {
        weight: Param::initialized(ParamId::new(), weight.require_grad()),
        bias: Some(Param::initialized(ParamId::new(), bias.require_grad())),
        adapter: None,
        state: crate::State::Enabled,
    };
    let linear = linear.attach(config, "layer").expect("shape allowed");
    fill_adapters(linear, seed + 2)
}

struct Fill(u64);

impl burn::module::ModuleMapper<B> for Fill {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        self.0 += 1;
        let seed = self.0;
        param.map(|old| {
            let shape: [usize; D] = old.dims();
            tensor(numbers(seed, shape.iter().product()), shape)
                .mul_scalar(0.3)
                .cast(old.dtype())
                .require_grad()
        })
    }
}

/// Replaces the adapters' values by random ones.
pub(crate) fn fill_adapters<M: Module<B>>(module: M, seed: u64) -> M {
    crate::map_linears(module, |path, mut layer: BoneLinear<B>| {
        let salt = seed ^ crate::dropout::layer_salt(path);
        layer.adapter = layer.adapter.map(|adapter| adapter.map(&mut Fill(salt)));
        layer
    })
}

/// Computes `W'` `[out, in]` by the definitions, entry by entry. `w` is `[out, in]`, `block` the
/// adapter's values in file order.
pub(crate) fn effective(
    variant: Variant,
    r: usize,
    w: &[f64],
    block: &[f64],
    [d_input, d_output]: [usize; 2],
) -> Vec<f64> {
    let mut result = w.to_vec();
    for o in 0..d_output {
        for i in 0..d_input {
            result[o * d_input + i] += match variant {
                Variant::Bone(axis) => {
                    let b = match axis {
                        BlockAxis::Output => o / r,
                        BlockAxis::Input => i / r,
                    };
                    let first = i / r * r;
                    let product: f64 = (0..r)
                        .map(|j| w[o * d_input + first + j] * block[(b * r + j) * r + i % r])
                        .sum();
                    product + block[(b * r + o % r) * r + i % r]
                }
                Variant::Miss => block[i % r * d_output + o],
                Variant::MissMini { width } => block[i % r * width + o % width],
                Variant::Lora(lora) => {
                    let (a, b) = block.split_at(r * d_input);
                    let product = (0..r)
                        .map(|j| b[o * r + j] * a[j * d_input + i])
                        .sum::<f64>();
                    lora.scale(r) * product
                }
            };
        }
    }
    result
}

/// Returns the largest difference over the largest expected entry.
pub(crate) fn relative_error(got: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let scale = expected.iter().fold(1e-12f64, |m, v| m.max(v.abs()));
    got.iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs() / scale)
        .fold(0.0, |max, e| if e.is_nan() { f64::NAN } else { max.max(e) })
}
