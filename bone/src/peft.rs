//! Adapter folders as Hugging Face PEFT reads and writes them: `adapter_config.json` and
//! `adapter_model.safetensors`.
//!
//! Bone on the output axis is PEFT's `MISS` with `init_weights = "bat"`, miss its default,
//! miss-mini its `"mini"`. Bone on the input axis, which PEFT does not have, is marked
//! `BONE_INPUT`, so that PEFT raises instead of loading it as something else.
//!
//! Beside its adapters a folder can hold parameters whole: values, not differences. Where all
//! parameters of a module are there, they are PEFT's `modules_to_save`. PEFT would pass over the
//! rest, which are listed as `parameters_to_save` under a `peft_type` of our own, so that it
//! raises here too. A folder of tuned states holds no adapter: its type is `RWKV_STATE` and its
//! tensors are named as RWKV-PEFT names them, `blocks.N.att.time_state`.

use crate::{AdapterConfig, BlockAxis, FileError, Variant};
use config::Layout;
use std::collections::BTreeSet;
use std::path::Path;

mod config;
mod load;
mod save;
mod whole;

pub use load::{load, read_contents};
pub use save::save;

/// Name of the configuration in an adapter folder.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// Name of the tensors' file in an adapter folder.
pub const TENSOR_FILE: &str = "adapter_model.safetensors";

const PREFIX: &str = "base_model.model.";

/// What an adapter folder holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Contents {
    /// The adapters; `None` for tuned states.
    pub adapter: Option<AdapterConfig>,
    /// Names of the parameters held whole, as [`named_weights`](crate::weights::named_weights)
    /// gives them: beside adapters any, otherwise the initial state of every block.
    pub full: BTreeSet<String>,
}

impl From<&AdapterConfig> for Contents {
    /// Adapters alone.
    fn from(config: &AdapterConfig) -> Self {
        Self {
            adapter: Some(config.clone()),
            full: BTreeSet::new(),
        }
    }
}

impl From<&Contents> for Contents {
    fn from(contents: &Contents) -> Self {
        contents.clone()
    }
}

/// Whether a parameter is the initial state of a block.
pub fn is_state(name: &str) -> bool {
    name.rsplit('.').next() == Some("time_state")
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> FileError + '_ {
    move |source| FileError::Io {
        path: path.to_path_buf(),
        source,
    }
}

fn suffix(config: &AdapterConfig) -> &'static str {
    match config.variant {
        Variant::Bone(BlockAxis::Input) => "bone_input_block",
        Variant::Bone(BlockAxis::Output) | Variant::Miss | Variant::MissMini { .. } => "miss_block",
    }
}

/// A parameter's name in the file.
fn key(layout: &Layout, name: &str) -> String {
    match layout {
        Layout::Adapter { .. } => format!("{PREFIX}{name}"),
        Layout::States => name.to_string(),
    }
}
