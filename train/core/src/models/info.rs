//! What is known of a model before its weights are read.

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
    /// Name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Llama2 => "LLaMA2",
            Self::Rwkv6 => "RWKV6",
        }
    }

    /// The block axis of its published Bone.
    pub fn block_axis(self) -> BlockAxis {
        match self {
            Self::Llama2 => BlockAxis::Output,
            Self::Rwkv6 => BlockAxis::Input,
        }
    }
}

/// What can be known of a model before its weights are read.
#[derive(Debug, Clone)]
pub struct ModelInfo {
    /// Its family.
    pub architecture: Architecture,
    /// Its sizes.
    pub shape: ModelShape,
    /// Longest sequence it was made for; `None` where there is no such.
    pub positions: Option<usize>,
    /// Every linear layer: module path, inputs, outputs.
    pub linear_layers: Vec<(String, usize, usize)>,
    /// The initial states of all blocks: name, shape and precision of each; none without a recurrent
    /// state.
    pub states: Vec<(String, Info)>,
    /// Parameters of each part it has.
    pub parts: BTreeMap<Part, usize>,
    /// The precision most of its file's weights have; `None` without a file.
    pub stored: Option<Dtype>,
    /// Bytes of its files' tensors.
    pub stored_bytes: usize,
}

impl ModelInfo {
    /// What to say of sequences that are longer than those the model was made for.
    pub fn beyond_positions(&self, max_seq_len: usize) -> Option<String> {
        let positions = self.positions.filter(|most| max_seq_len > *most)?;
        Some(format!(
            "note: max_seq_len {max_seq_len} is beyond the {positions} positions the model was made \
             for"
        ))
    }
}

/// The path in its module of the tensor that a checkpoint calls `name`.
pub fn own_name(architecture: Architecture, name: &str) -> String {
    match architecture {
        Architecture::Llama2 => name.to_string(),
        Architecture::Rwkv6 => bone_rwkv6::own_name(name),
    }
}
