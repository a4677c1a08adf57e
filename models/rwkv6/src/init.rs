//! RWKV6's published initialisation.

use crate::weights::{Source, build};
use crate::{Backend, Rwkv6, Rwkv6Config};
use bone_lm::init::Initialiser;
use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::Tensor;

/// Draws a model's starting weights by their names.
struct Random<B: Backend> {
    init: Initialiser<B>,
    layers: usize,
    hidden_size: usize,
}

/// A name in a block: its number, and what comes after it.
fn in_block(name: &str) -> Option<(usize, &str)> {
    let (number, rest) = name.strip_prefix("blocks.")?.split_once('.')?;
    Some((number.parse().ok()?, rest))
}

impl<B: Backend> Random<B> {
    /// `value` of every channel c: its share c/C and its number.
    fn channels(&self, value: impl Fn(f64, usize) -> f64) -> Vec<f32> {
        let size = self.hidden_size;
        (0..size)
            .map(|c| value(c as f64 / size as f64, c) as f32)
            .collect()
    }

    /// The values of a tensor that is no random matrix, or `None`.
    fn vector(&self, name: &str) -> Option<Vec<f32>> {
        let Some((layer, rest)) = in_block(name) else {
            return match name.rsplit('.').next() {
                Some("weight") if name.starts_with("ln") => Some(self.channels(|_, _| 1.0)),
                Some("bias") => Some(self.channels(|_, _| 0.0)),
                _ => None,
            };
        };
        let layers = self.layers as f64;
        // From 0 to 1 and from 1 to nearly 0 over the blocks.
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
            // time_maa_w1 and time_decay_w1: the data has no say at first.
            _ if last.starts_with("time_") => self.init.zeros(shape),
            // The embedding, which ln0 brings to size.
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
        // Drawn as checkpoints have it, [out, in].
        let weight = weight.map(|weight| weight.transpose());
        Linear { weight, bias: None }
    }
}

impl<B: Backend> Rwkv6<B> {
    /// A model with the published starting weights, the same for a seed on every backend.
    pub fn random(config: Rwkv6Config, seed: u64, device: &B::Device) -> Self {
        let mut source = Random {
            init: Initialiser::new(seed, device),
            layers: config.num_hidden_layers,
            hidden_size: config.hidden_size,
        };
        build(config, &mut source)
    }
}
