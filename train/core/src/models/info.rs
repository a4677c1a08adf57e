//! Facts about a model that are known before its weights are read.

use crate::memory::ModelShape;
use bone::BlockAxis;
use bone::weights::Info;
use bone_lm::Part;
use bone_lm::checkpoint::Dtype;
use std::collections::BTreeMap;

/// A model family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// LLaMA2.
    Llama2,
    /// RWKV6 (x060).
    Rwkv6,
}

impl Architecture {
    /// Returns the name for messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama2 => "LLaMA2",
            Self::Rwkv6 => "RWKV6",
        }
    }

    /// Returns the block axis of its published Bone implementation.
    pub fn block_axis(self) -> BlockAxis {
        match self {
            Self::Llama2 => BlockAxis::Output,
            Self::Rwkv6 => BlockAxis::Input,
        }
    }
}

/// Facts about a model that are known before its weights are read.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// Its family.
    pub architecture: Architecture,
    /// Its sizes.
    pub shape: ModelShape,
    /// Maximum sequence length of the model; `None` if it has no limit.
    pub positions: Option<usize>,
    /// Every linear layer: module path, number of inputs, number of outputs.
    pub linear_layers: Vec<(String, usize, usize)>,
    /// The initial states of all blocks: name, shape and precision of each. Empty without a recurrent
    /// state.
    pub states: Vec<(String, Info)>,
    /// Number of parameters of each part.
    pub parts: BTreeMap<Part, usize>,
    /// The precision of most weights in its file; `None` without a file.
    pub stored: Option<Dtype>,
    /// Bytes of the tensors in its files.
    pub stored_bytes: usize,
}

impl ModelInfo {
    /// Returns a warning if `max_seq_len` exceeds the length that the model was trained for.
    pub fn beyond_positions(&self, max_seq_len: usize) -> Option<String> {
        let positions = self.positions.filter(|most| max_seq_len > *most)?;
        Some(format!(
            "note: max_seq_len {max_seq_len} exceeds the {positions} positions the model was trained on"
        ))
    }
}

/// Returns the module path of the tensor that a checkpoint calls `name`.
pub fn own_name(architecture: Architecture, name: &str) -> String {
    match architecture {
        Architecture::Llama2 => name.to_string(),
        Architecture::Rwkv6 => bone_rwkv6::own_name(name),
    }
}
