//! An RWKV6's weights: from a checkpoint, or random.

use crate::{
    Backend, ChannelMix, HeadNorm, Names, Rwkv6, Rwkv6Block, Rwkv6Config, Rwkv6Error, TimeMix,
};
use bone_lm::LayerNorm;
use bone_lm::checkpoint::{Checkpoint, Loader};
use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::{FloatDType, Tensor};
use std::path::Path;

/// ε of the norms of the blocks.
const EPSILON: f64 = 1e-5;

/// Source of a model's tensors, by RWKV's names.
pub(crate) trait Source<B: Backend> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Param<Tensor<B, D>>;
    fn linear(&mut self, path: &str, d_input: usize, d_output: usize) -> Linear<B>;
}

/// A checkpoint and its naming scheme.
struct Named<'a, B: Backend> {
    loader: Loader<'a, B>,
    names: Names,
}

impl<B: Backend> Source<B> for Named<'_, B> {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Param<Tensor<B, D>> {
        self.loader.tensor(&self.names.of(name), shape)
    }

    fn linear(&mut self, path: &str, d_input: usize, d_output: usize) -> Linear<B> {
        // A path is a name without its last part, so the same words are replaced.
        let weight = self.names.of(&format!("{path}.weight"));
        let path = weight.trim_end_matches(".weight");
        self.loader.linear(path, d_input, d_output, false)
    }
}

impl<B: Backend> Rwkv6<B> {
    /// Loads RWKV's `.pth` or safetensors, from a file or a folder with one, or the folder of a
    /// Hugging Face model. `dtype` converts the weights; `None` keeps the file's type. No parameter
    /// requires gradients.
    ///
    /// # Errors
    ///
    /// [`Rwkv6Error`]. One error lists all tensors that are missing, left over or of a wrong shape.
    /// Another lists all fields of a folder's `config.json` that contradict the tensors.
    pub fn from_path(
        path: &Path,
        device: &B::Device,
        dtype: Option<FloatDType>,
    ) -> Result<Self, Rwkv6Error> {
        let checkpoint = Checkpoint::open_path(path)?;
        let config = Rwkv6Config::at(path, &checkpoint)?;
        Self::load(config, &checkpoint, device, dtype)
    }

    /// Loads an open checkpoint, like [`from_path`](Self::from_path).
    ///
    /// # Errors
    ///
    /// Same as [`from_path`](Self::from_path).
    pub fn from_checkpoint(
        checkpoint: &Checkpoint,
        device: &B::Device,
        dtype: Option<FloatDType>,
    ) -> Result<Self, Rwkv6Error> {
        let config = Rwkv6Config::from_checkpoint(checkpoint)?;
        Self::load(config, checkpoint, device, dtype)
    }

    fn load(
        config: Rwkv6Config,
        checkpoint: &Checkpoint,
        device: &B::Device,
        dtype: Option<FloatDType>,
    ) -> Result<Self, Rwkv6Error> {
        let mut source = Named {
            loader: Loader::new(checkpoint, device.clone(), dtype),
            names: config.names,
        };
        let model = build(config, &mut source);
        source.loader.finish()?;
        Ok(model)
    }
}

/// Builds a model.
pub(crate) fn build<B: Backend>(config: Rwkv6Config, source: &mut impl Source<B>) -> Rwkv6<B> {
    let (c, vocab) = (config.hidden_size, config.vocab_size);
    Rwkv6 {
        emb: Embedding {
            weight: source.tensor("emb.weight", [vocab, c]),
        },
        blocks: (0..config.num_hidden_layers)
            .map(|layer| block(&config, source, layer))
            .collect(),
        ln_out: norm(source, "ln_out", c),
        head: source.linear("head", c, vocab).into(),
        config,
    }
}

fn norm<B: Backend>(source: &mut impl Source<B>, path: &str, size: usize) -> LayerNorm<B> {
    LayerNorm {
        weight: source.tensor(&format!("{path}.weight"), [size]),
        bias: source.tensor(&format!("{path}.bias"), [size]),
        epsilon: EPSILON,
    }
}

fn block<B: Backend>(
    config: &Rwkv6Config,
    source: &mut impl Source<B>,
    layer: usize,
) -> Rwkv6Block<B> {
    let (c, f) = (config.hidden_size, config.intermediate_size);
    let path = format!("blocks.{layer}");
    let ffn = format!("{path}.ffn");
    Rwkv6Block {
        ln0: (layer == 0).then(|| norm(source, &format!("{path}.ln0"), c)),
        ln1: norm(source, &format!("{path}.ln1"), c),
        ln2: norm(source, &format!("{path}.ln2"), c),
        att: time_mix(config, source, &format!("{path}.att")),
        ffn: ChannelMix {
            time_maa_k: source.tensor(&format!("{ffn}.time_maa_k"), [1, 1, c]),
            time_maa_r: source.tensor(&format!("{ffn}.time_maa_r"), [1, 1, c]),
            key: source.linear(&format!("{ffn}.key"), c, f).into(),
            receptance: source.linear(&format!("{ffn}.receptance"), c, c).into(),
            value: source.linear(&format!("{ffn}.value"), f, c).into(),
        },
    }
}

fn time_mix<B: Backend>(
    config: &Rwkv6Config,
    source: &mut impl Source<B>,
    path: &str,
) -> TimeMix<B> {
    let c = config.hidden_size;
    let (heads, size) = (config.num_heads(), config.head_size);
    let (shift, decay) = (config.shift_rank, config.decay_rank);
    let name = |name: &str| format!("{path}.{name}");
    let mut linear = |layer: &str| source.linear(&name(layer), c, c).into();
    let [receptance, key, value, gate, output] =
        ["receptance", "key", "value", "gate", "output"].map(&mut linear);
    let mut vector = |vector: &str| source.tensor(&name(vector), [1, 1, c]);
    TimeMix {
        time_maa_x: vector("time_maa_x"),
        time_maa_w: vector("time_maa_w"),
        time_maa_k: vector("time_maa_k"),
        time_maa_v: vector("time_maa_v"),
        time_maa_r: vector("time_maa_r"),
        time_maa_g: vector("time_maa_g"),
        time_decay: vector("time_decay"),
        time_maa_w1: source.tensor(&name("time_maa_w1"), [c, 5 * shift]),
        time_maa_w2: source.tensor(&name("time_maa_w2"), [5, shift, c]),
        time_decay_w1: source.tensor(&name("time_decay_w1"), [c, decay]),
        time_decay_w2: source.tensor(&name("time_decay_w2"), [decay, c]),
        time_faaaa: source.tensor(&name("time_faaaa"), [heads, size]),
        receptance,
        key,
        value,
        gate,
        output,
        ln_x: HeadNorm {
            weight: source.tensor(&name("ln_x.weight"), [c]),
            bias: source.tensor(&name("ln_x.bias"), [c]),
            heads,
        },
        time_state: config
            .initial_state
            .then(|| source.tensor(&name("time_state"), [heads, size, size])),
        form: None,
    }
}
