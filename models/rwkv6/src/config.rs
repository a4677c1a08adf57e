use crate::{Names, Rwkv6Error};
use bone_lm::Part;
use bone_lm::checkpoint::Checkpoint;
use std::collections::BTreeMap;

mod agreement;
mod file;
mod shapes;

/// RWKV6's dimensions. [`from_checkpoint`] reads them off a checkpoint's tensors. [`from_folder`]
/// reads them from a `config.json`, only for a model that starts from random weights.
///
/// [`from_checkpoint`]: Self::from_checkpoint
/// [`from_folder`]: Self::from_folder
#[derive(Debug, Clone, PartialEq)]
pub struct Rwkv6Config {
    /// Rows of the embedding and of the head.
    pub vocab_size: usize,
    /// Width of the residual stream, RWKV's `n_embd` or C.
    pub hidden_size: usize,
    /// Number of blocks, RWKV's `n_layer`.
    pub num_hidden_layers: usize,
    /// Width of one head, N.
    pub head_size: usize,
    /// Width inside the channel mix, F.
    pub intermediate_size: usize,
    /// Width of the token shift's low-rank part.
    pub shift_rank: usize,
    /// Width of the decay's low-rank part.
    pub decay_rank: usize,
    /// Whether the blocks have their own initial state, `att.time_state`.
    pub initial_state: bool,
    /// Naming scheme of the checkpoint's tensors.
    pub names: Names,
}

impl Rwkv6Config {
    /// Reads the dimensions off a checkpoint's tensors.
    ///
    /// # Errors
    ///
    /// [`Rwkv6Error::NotRwkv6`] lists every tensor that is missing or has an impossible shape.
    pub fn from_checkpoint(checkpoint: &Checkpoint) -> Result<Self, Rwkv6Error> {
        shapes::read(checkpoint).map_err(|problems| Rwkv6Error::NotRwkv6 {
            path: match checkpoint.files() {
                [file] => file.clone(),
                _ => checkpoint.folder().to_path_buf(),
            },
            problems,
        })
    }

    /// Returns the number of heads.
    pub fn num_heads(&self) -> usize {
        self.hidden_size / self.head_size
    }

    /// Returns path, inputs and outputs of every linear layer of the blocks, and of the head.
    pub fn linear_layers(&self) -> Vec<(String, usize, usize)> {
        let (c, f) = (self.hidden_size, self.intermediate_size);
        let mut layers = Vec::new();
        for layer in 0..self.num_hidden_layers {
            for name in ["receptance", "key", "value", "gate", "output"] {
                layers.push((format!("blocks.{layer}.att.{name}"), c, c));
            }
            layers.push((format!("blocks.{layer}.ffn.key"), c, f));
            layers.push((format!("blocks.{layer}.ffn.receptance"), c, c));
            layers.push((format!("blocks.{layer}.ffn.value"), f, c));
        }
        layers.push(("head".to_string(), c, self.vocab_size));
        layers
    }

    /// Returns the number of parameters of each part that can be trained in full.
    pub fn part_params(&self) -> BTreeMap<Part, usize> {
        let (c, layers) = (self.hidden_size, self.num_hidden_layers);
        // Six vectors of the token shift, decay, bonus, two vectors of the channel mix.
        let time = (6 + 1 + 1 + 2) * c + self.low_rank_params();
        BTreeMap::from([
            (Part::Time, layers * time),
            (Part::Norm, (layers * 6 + 4) * c),
            (Part::Embedding, self.vocab_size * c),
            (Part::Head, self.vocab_size * c),
        ])
    }

    /// Returns the number of parameters of one block's data-dependent token shift and decay.
    fn low_rank_params(&self) -> usize {
        let c = self.hidden_size;
        10 * c * self.shift_rank + 2 * c * self.decay_rank
    }

    /// Returns the number of parameters of one block, without block 0's extra norm.
    pub fn block_params(&self) -> usize {
        let (c, f) = (self.hidden_size, self.intermediate_size);
        let linears = 6 * c * c + 2 * c * f;
        let low_rank = self.low_rank_params();
        // Six vectors of the token shift, decay, bonus, three norms of the block with their
        // biases, two vectors of the channel mix.
        let vectors = (6 + 1 + 1 + 6 + 2) * c;
        let state = if self.initial_state {
            c * self.head_size
        } else {
            0
        };
        linears + low_rank + vectors + state
    }

    /// Returns the number of all parameters.
    pub fn num_params(&self) -> usize {
        let ends = 2 * self.vocab_size * self.hidden_size;
        let norms = 4 * self.hidden_size;
        ends + norms + self.num_hidden_layers * self.block_params()
    }
}
