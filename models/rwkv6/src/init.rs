//! RWKV6's published initialisation.

use crate::weights::{Source, build};
use crate::{Backend, Rwkv6, Rwkv6Config};
use bone_lm::init::Initialiser;
use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::Tensor;

/// Draws a model's initial weights by their names.
struct Random<B: Backend> {
    init: Initialiser<B>,
    layers: usize,
    hidden_size: usize,
}

/// Splits a name in a block into the block's number and the rest.
fn in_block(name: &str) -> Option<(usize, &str)> {
    let (number, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

impl<B: Backend> Random<B> {
    /// Returns `value` of every channel c, given c/C and c.
    fn channels(&self, value: impl Fn(f64, usize) -> f64) -> Vec<f32> {
        let size = self.hidden_size;
        (0..size)
            .map(|c| value(c as f64 / size as f64, c) as f32)
            .collect()
    }

    /// Returns the values of a tensor that is not drawn at random, otherwise `None`.
    fn vector(&self, name: &str) -> Option<Vec<f32>> {
        let Some((layer, rest)) = in_block(name) else {
            return match name.rsplit('.').next() {
                Some("weight") if name.starts_with("ln") => Some(self.channels(|_, _| 1.0)),
                Some("bias") => Some(self.channels(|_, _| 0.0)),
                _ => None,
            };
        };
        let layers = self.layers as f64;
        // q rises from 0 to 1 and p falls from 1 to almost 0 over the blocks.
        let q = layer as f64 / (layers - 1.0).max(1.0);
        let p = 1.0 - layer as f64 / layers;
        let last = (self.hidden_size as f64 - 1.0).max(1.0);
        Some(match rest {
            "att.time_maa_x" | "att.time_maa_w" | "att.time_maa_k" => {
                self.channels(|share, _| 1.0 - share.powf(p))
            }
            "att.time_maa_v" => self.channels(|share, _| 1.0 - (share.powf(p) + 0.3 * q)),
            "att.time_maa_r" | "att.time_maa_g" => {
                self.channels(|share, _| 1.0 - share.powf(0.5 * p))
            }
            "ffn.time_maa_k" | "ffn.time_maa_r" => {
                self.channels(|share, _| 1.0 - share.powf(p.powi(3)))
            }
            "att.time_decay" => {
                self.channels(|_, n| -6.0 + 5.0 * (n as f64 / last).powf(0.7 + 1.3 * q))
            }
            "att.time_faaaa" => self.channels(|_, n| {
                let zigzag = ((n + 1) % 3) as f64 - 1.0;
                q * (1.0 - n as f64 / last) + zigzag * 0.1
            }),
            "att.ln_x.weight" => {
                let weight = ((1.0 + layer as f64) / layers).powf(0.7);
                self.channels(|_, _| weight)
            }
            "att.ln_x.bias" | "ln0.bias" | "ln1.bias" | "ln2.bias" => self.channels(|_, _| 0.0),
            "ln0.weight" | "ln1.weight" | "ln2.weight" => self.channels(|_, _| 1.0),
            _ => return None,
        })
    }
}

impl<B: Backend> Source<B> for Random<B> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Param<Tensor<B, D>> {
        if let Some(values) = self.vector(name) {
            return self.init.values(values, shape);
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        match last {
            "time_maa_w2" | "time_decay_w2" => self.init.uniform(0.01, shape),
            // time_maa_w1 and time_decay_w1: at first nothing depends on the data.
            _ if last.starts_with("time_") => self.init.zeros(shape),
            // The embedding, which ln0 scales.
            _ => self.init.uniform(1e-4, shape),
        }
    }

    fn linear(&mut self, path: &str, d_input: usize, d_output: usize) -> Linear<B> {
        let layer = in_block(path).map_or(path, |(_, rest)| rest);
        let weight = match layer {
            "att.output" | "ffn.value" | "ffn.receptance" => {
                return Linear {
                    weight: self.init.zeros([d_input, d_output]),
                    bias: None,
                };
            }
            "att.key" | "att.gate" => self.init.orthogonal(0.1, [d_output, d_input]),
            "head" => {
                let ratio = d_output as f64 / d_input as f64;
                let gain = 0.5 * ratio.max(1.0).sqrt();
                self.init.orthogonal(gain, [d_output, d_input])
            }
            _ => self.init.orthogonal(1.0, [d_output, d_input]),
        };
        // Drawn in the layout of checkpoints, [out, in].
        let weight = weight.map(|weight| weight.transpose());
        Linear { weight, bias: None }
    }
}

impl<B: Backend> Rwkv6<B> {
    /// Makes a model with the published initial weights, the same for a seed on every backend.
    pub fn random(config: Rwkv6Config, seed: u64, device: &B::Device) -> Self {
        let mut source = Random {
            init: Initialiser::new(seed, device),
            layers: config.num_hidden_layers,
            hidden_size: config.hidden_size,
        };
        build(config, &mut source)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::Names;
    use bone_lm::CausalLm;
    use burn::backend::Flex;
    use burn::tensor::Int;

    /// Makes a model with C 8, two heads, three blocks, and a head that is twice as high as wide.
    fn model() -> Rwkv6<Flex> {
        let config = Rwkv6Config {
            vocab_size: 16,
            hidden_size: 8,
            num_hidden_layers: 3,
            head_size: 4,
            intermediate_size: 12,
            shift_rank: 3,
            decay_rank: 5,
            initial_state: false,
            names: Names::Rwkv,
        };
        Rwkv6::random(config, 1, &Default::default())
    }

    fn values<const D: usize>(tensor: Tensor<Flex, D>) -> Vec<f32> {
        tensor.into_data().iter::<f32>().collect()
    }

    #[track_caller]
    fn close(actual: &[f32], expected: &[f32]) {
        assert_eq!(actual.len(), expected.len());
        for (a, e) in actual.iter().zip(expected) {
            assert!((a - e).abs() < 1e-5, "{actual:?}, not {expected:?}");
        }
    }

    /// The middle block has q = 1/2 and p = 2/3; the expected values were computed by hand.
    #[test]
    fn initial_vectors_match_published_formulas() {
        let model = model();
        let att = &model.blocks[1].att;
        let ends = |values: Vec<f32>| [values[0], values[1], values[7]];
        let maa = |param: &Param<Tensor<Flex, 3>>| ends(values(param.val()));
        // 1 − (c/8)^(2/3); then minus 0.3·q; then with the power 1/3.
        close(&maa(&att.time_maa_k), &[1.0, 0.75, 0.085_174]);
        close(&maa(&att.time_maa_x), &[1.0, 0.75, 0.085_174]);
        close(&maa(&att.time_maa_w), &[1.0, 0.75, 0.085_174]);
        close(&maa(&att.time_maa_v), &[0.85, 0.6, -0.064_826]);
        close(&maa(&att.time_maa_r), &[1.0, 0.5, 0.043_534]);
        close(&maa(&att.time_maa_g), &[1.0, 0.5, 0.043_534]);
        // 1 − (c/8)^(8/27).
        let ffn = &model.blocks[1].ffn;
        close(&maa(&ffn.time_maa_k), &[1.0, 0.459_97, 0.038_792]);
        close(&maa(&ffn.time_maa_r), &[1.0, 0.459_97, 0.038_792]);
        // −6 + 5·(n/7)^1.35.
        close(&maa(&att.time_decay), &[-6.0, -5.638_517, -1.0]);
        // (1 − n/7)/2 plus 0, 0.1 and −0.1 in turn.
        let bonus = values(att.time_faaaa.val());
        close(&bonus[..3], &[0.5, 0.528_571, 0.257_143]);
        // ((1 + 1)/3)^0.7.
        close(&values(att.ln_x.weight.val())[..1], &[0.752_898]);
    }

    #[test]
    fn initial_matrices_are_orthogonal_or_zero() {
        let model = model();
        let zero = |tensor: Tensor<Flex, 2>| values(tensor).iter().all(|x| *x == 0.0);
        for block in &model.blocks {
            assert!(zero(block.att.output.weight.val()));
            assert!(zero(block.ffn.value.weight.val()));
            assert!(zero(block.ffn.receptance.weight.val()));
            assert!(zero(block.att.time_maa_w1.val()) && zero(block.att.time_decay_w1.val()));
            let w2 = values(block.att.time_maa_w2.val());
            assert!(w2.iter().all(|x| x.abs() <= 0.01) && w2.iter().any(|x| x.abs() > 0.005));
            for (layer, gain) in [
                (&block.att.receptance, 1.0),
                (&block.att.value, 1.0),
                (&block.att.key, 0.1),
                (&block.att.gate, 0.1),
                (&block.ffn.key, 1.0),
            ] {
                orthogonal(layer.weight.val(), gain);
            }
        }
        // 0.5·√(16/8).
        orthogonal(model.head.weight.val(), 0.5 * 2f32.sqrt());
        let emb = values(model.emb.weight.val());
        assert!(emb.iter().all(|x| x.abs() <= 1e-4) && emb.iter().any(|x| x.abs() > 5e-5));
        let tokens = Tensor::<Flex, 2, Int>::from_ints([[1, 5, 9]], &Default::default());
        assert!(values(model.forward(tokens)).iter().all(|x| x.is_finite()));
    }

    /// The weight is `[in, out]`; no layer here has more inputs than outputs.
    #[track_caller]
    fn orthogonal(weight: Tensor<Flex, 2>, gain: f32) {
        let [inputs, _] = weight.dims();
        let product = values(weight.clone().matmul(weight.transpose()));
        for (at, x) in product.iter().enumerate() {
            let wanted = if at / inputs == at % inputs {
                gain * gain
            } else {
                0.0
            };
            assert!((x - wanted).abs() < 1e-4, "{x}, not {wanted}");
        }
    }
}
