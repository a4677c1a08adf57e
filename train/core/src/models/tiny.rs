//! Models of a few thousand parameters, the same on every backend, to try a device with.

use super::info::Architecture;
use super::open::{ModelBackend, WithModel};
use bone_llama2::{Llama, LlamaConfig};
use bone_rwkv6::{Names, Rwkv6, Rwkv6Config};
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor, TensorData};

/// Entries of a tiny model's vocabulary.
pub const TINY_VOCAB: usize = 48;

/// Does `work` with a tiny model whose weights are of `dtype`.
pub fn with_tiny<B: ModelBackend, W: WithModel<B>>(
    architecture: Architecture,
    dtype: DType,
    device: &B::Device,
    work: W,
) -> W::Output {
    match architecture {
        Architecture::Llama2 => {
            let config = LlamaConfig {
                hidden_size: 32,
                intermediate_size: 48,
                num_hidden_layers: 2,
                num_attention_heads: 4,
                num_key_value_heads: 2,
                head_dim: 8,
                vocab_size: TINY_VOCAB,
                max_position_embeddings: 64,
                rms_norm_eps: 1e-5,
                rope_theta: 10_000.0,
                tie_word_embeddings: false,
                attention_bias: false,
                mlp_bias: false,
                initializer_range: 0.1,
            };
            let model = Llama::<B>::random(config, 0, device);
            work.run(model.map(&mut Waves { dtype, seen: 0 }))
        }
        Architecture::Rwkv6 => {
            let config = Rwkv6Config {
                vocab_size: TINY_VOCAB,
                hidden_size: 32,
                num_hidden_layers: 2,
                head_size: 8,
                intermediate_size: 48,
                shift_rank: 4,
                decay_rank: 4,
                initial_state: false,
                names: Names::Rwkv,
            };
            let model = Rwkv6::<B>::random(config, 0, device);
            work.run(model.map(&mut Waves { dtype, seen: 0 }))
        }
    }
}

/// Adds a wave to every tensor, for the zeros of a published start let no gradient through.
struct Waves {
    dtype: DType,
    seen: usize,
}

impl<B: burn::tensor::backend::Backend> ModuleMapper<B> for Waves {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        let dtype = self.dtype;
        let phase = self.seen as f64;
        self.seen += 1;
        param.map(|tensor| {
            let (shape, device) = (tensor.shape(), tensor.device());
            let values: Vec<f64> = tensor
                .into_data()
                .iter::<f64>()
                .enumerate()
                .map(|(i, value)| value + 0.1 * (0.7 * i as f64 + phase).sin())
                .collect();
            let data = TensorData::new(values, shape).convert_dtype(dtype);
            Tensor::from_data(data, (&device, dtype))
        })
    }
}
