//! Models of a few thousand parameters for testing a device, the same on every backend.

use super::info::Architecture;
use super::open::{ModelBackend, WithModel};
use bone::weights;
use bone_llama2::{Llama, LlamaConfig};
use bone_rwkv6::{Names, Rwkv6, Rwkv6Config};
use burn::module::Module;
use burn::tensor::{DType, TensorData};

/// Vocabulary size of a tiny model.
pub const TINY_VOCAB: usize = 48;

/// Does `work` with a tiny model with weights of type `dtype`.
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
            work.run(waves::<B, _>(model, dtype))
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
            work.run(waves::<B, _>(model, dtype))
        }
    }
}

/// Adds a wave to every weight. The zeros of the published initialization would block gradients.
fn waves<B: ModelBackend, M: Module<B>>(model: M, dtype: DType) -> M {
    let wave = |(phase, (name, data)): (usize, (String, TensorData))| {
        let values = data.iter::<f64>().enumerate();
        let values = values.map(|(i, value)| value + 0.1 * (0.7 * i as f64 + phase as f64).sin());
        let values = TensorData::new(values.collect::<Vec<_>>(), data.shape.clone());
        (name, values.convert_dtype(dtype))
    };
    let weights = weights::named_weights::<B, M>(&model).enumerate().map(wave);
    let Ok(model) = weights::overlay::<B, M>(model, weights.collect()) else {
        unreachable!("the weights are the model's own")
    };
    model
}
