//! A LLaMA's weights: from a checkpoint, or random.

use crate::{Attention, Llama, LlamaBlock, LlamaConfig, LlamaError, LlamaTrunk, Mlp};
use bone_lm::checkpoint::{Checkpoint, Loader};
use bone_lm::{Backend, RmsNorm, init::Initialiser};
use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::{FloatDType, Tensor};
use std::path::Path;

/// Source of a model's tensors.
trait Source<B: Backend> {
    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Param<Tensor<B, 2>>;
    fn norm(&mut self, name: &str, size: usize) -> Param<Tensor<B, 1>>;
    fn linear(&mut self, path: &str, d_input: usize, d_output: usize, bias: bool) -> Linear<B>;
}

impl<B: Backend> Source<B> for Loader<'_, B> {
    fn matrix(&mut self, name: &str, shape: [usize; 2]) -> Param<Tensor<B, 2>> {
        self.tensor(name, shape)
    }

    fn norm(&mut self, name: &str, size: usize) -> Param<Tensor<B, 1>> {
        self.tensor(name, [size])
    }

    fn linear(&mut self, path: &str, d_input: usize, d_output: usize, bias: bool) -> Linear<B> {
        Loader::linear(self, path, d_input, d_output, bias)
    }
}

/// Random weights: normal with the configuration's `initializer_range`; norms are one, biases zero.
struct Random<B: Backend> {
    init: Initialiser<B>,
    std: f64,
}

impl<B: Backend> Source<B> for Random<B> {
    fn matrix(&mut self, _name: &str, shape: [usize; 2]) -> Param<Tensor<B, 2>> {
        self.init.normal(self.std, shape)
    }

    fn norm(&mut self, _name: &str, size: usize) -> Param<Tensor<B, 1>> {
        self.init.ones([size])
    }

    fn linear(&mut self, _path: &str, d_input: usize, d_output: usize, bias: bool) -> Linear<B> {
        Linear {
            weight: self.init.normal(self.std, [d_input, d_output]),
            bias: bias.then(|| self.init.zeros([d_output])),
        }
    }
}

impl<B: Backend> Llama<B> {
    /// Loads a Hugging Face folder: `config.json` and its safetensors. The files are mapped, and on
    /// the CPU not copied. `dtype` converts the weights; `None` keeps the file's type. No parameter
    /// requires gradients.
    ///
    /// # Errors
    ///
    /// [`LlamaError`]. One error lists all tensors that are missing, left over or of a wrong shape.
    pub fn from_folder(
        folder: &Path,
        device: &B::Device,
        dtype: Option<FloatDType>,
    ) -> Result<Self, LlamaError> {
        let config = LlamaConfig::from_folder(folder)?;
        let checkpoint = Checkpoint::open(folder)?;
        Self::from_checkpoint(config, &checkpoint, device, dtype)
    }

    /// Loads an open checkpoint, like [`from_folder`](Self::from_folder).
    ///
    /// # Errors
    ///
    /// Same as [`from_folder`](Self::from_folder).
    pub fn from_checkpoint(
        config: LlamaConfig,
        checkpoint: &Checkpoint,
        device: &B::Device,
        dtype: Option<FloatDType>,
    ) -> Result<Self, LlamaError> {
        if config.tie_word_embeddings {
            check_tied_head(checkpoint)?;
        }
        let mut loader = Loader::new(checkpoint, device.clone(), dtype);
        // Old checkpoints store the rotary frequencies, which follow from the configuration.
        loader.skip_matching(|name| name.ends_with(".rotary_emb.inv_freq"));
        if config.tie_word_embeddings {
            loader.skip("lm_head.weight");
        }
        let model = build(config, &mut loader);
        loader.finish()?;
        Ok(model)
    }

    /// Makes a model with random weights, the same for a seed on every backend.
    pub fn random(config: LlamaConfig, seed: u64, device: &B::Device) -> Self {
        let mut source = Random {
            init: Initialiser::new(seed, device),
            std: config.initializer_range,
        };
        build(config, &mut source)
    }
}

/// Checks that a head beside tied embeddings equals them; a different head contradicts the
/// configuration.
fn check_tied_head(checkpoint: &Checkpoint) -> Result<(), LlamaError> {
    let (head, embedding) = ("lm_head.weight", "model.embed_tokens.weight");
    if checkpoint.get(head).is_none() || checkpoint.get(embedding).is_none() {
        return Ok(());
    }
    let same = checkpoint.data(head)?.bytes == checkpoint.data(embedding)?.bytes;
    if same {
        Ok(())
    } else {
        Err(LlamaError::UntiedHead(checkpoint.folder().to_path_buf()))
    }
}

fn build<B: Backend>(config: LlamaConfig, source: &mut impl Source<B>) -> Llama<B> {
    let embed_tokens = Embedding {
        weight: source.matrix(
            "model.embed_tokens.weight",
            [config.vocab_size, config.hidden_size],
        ),
    };
    let layers = (0..config.num_hidden_layers)
        .map(|layer| block(&config, source, &format!("model.layers.{layer}")))
        .collect();
    let norm = norm(&config, source, "model.norm");
    let lm_head = (!config.tie_word_embeddings).then(|| {
        source
            .linear("lm_head", config.hidden_size, config.vocab_size, false)
            .into()
    });
    Llama {
        model: LlamaTrunk {
            embed_tokens,
            layers,
            norm,
        },
        lm_head,
        config,
    }
}

fn norm<B: Backend>(config: &LlamaConfig, source: &mut impl Source<B>, path: &str) -> RmsNorm<B> {
    RmsNorm {
        weight: source.norm(&format!("{path}.weight"), config.hidden_size),
        epsilon: config.rms_norm_eps,
    }
}

fn block<B: Backend>(
    config: &LlamaConfig,
    source: &mut impl Source<B>,
    path: &str,
) -> LlamaBlock<B> {
    let (h, f) = (config.hidden_size, config.intermediate_size);
    let q = config.num_attention_heads * config.head_dim;
    let kv = config.num_key_value_heads * config.head_dim;
    let input_layernorm = norm(config, source, &format!("{path}.input_layernorm"));
    let mut attention = |name: &str, d_input, d_output| {
        let path = format!("{path}.self_attn.{name}");
        source
            .linear(&path, d_input, d_output, config.attention_bias)
            .into()
    };
    let self_attn = Attention::new(
        config,
        [
            attention("q_proj", h, q),
            attention("k_proj", h, kv),
            attention("v_proj", h, kv),
            attention("o_proj", q, h),
        ],
    );
    let post_attention_layernorm =
        norm(config, source, &format!("{path}.post_attention_layernorm"));
    let mut mlp = |name: &str, d_input, d_output| {
        let path = format!("{path}.mlp.{name}");
        source
            .linear(&path, d_input, d_output, config.mlp_bias)
            .into()
    };
    LlamaBlock {
        input_layernorm,
        self_attn,
        post_attention_layernorm,
        mlp: Mlp {
            gate_proj: mlp("gate_proj", h, f),
            up_proj: mlp("up_proj", h, f),
            down_proj: mlp("down_proj", f, h),
        },
    }
}
