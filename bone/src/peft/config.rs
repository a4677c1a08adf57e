//! `adapter_config.json`.

use crate::saved::Naming;
use crate::{AdapterConfig, Selection};

mod read;
#[cfg(test)]
mod tests;
mod write;

pub(super) use read::from_json;
pub(crate) use write::naming;
pub use write::own_type;
pub(super) use write::to_json;

/// Suffix of types that hold values which PEFT's configuration cannot express and would ignore.
const WITH_PARAMETERS: &str = "_WITH_PARAMETERS";
/// PEFT's type of miss, miss-mini and bone on the output axis.
const MISS: &str = "MISS";
/// PEFT's older name for this type.
const BONE: &str = "BONE";
/// PEFT's type of LoRA.
const LORA: &str = "LORA";
/// Our type for bone on the input axis.
const BONE_INPUT: &str = "BONE_INPUT";
/// Our types for adapters that PEFT does not have.
const OWN: [&str; 1] = [BONE_INPUT];
/// Our type for RWKV's initial states.
const STATES: &str = "RWKV_STATE";

/// The contents of a folder's configuration.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there is one a folder")]
pub(super) enum Layout {
    /// Adapters, and optionally full parameters.
    Adapter {
        config: AdapterConfig,
        naming: Naming,
        /// Modules whose parameters are all in the file: PEFT's `modules_to_save`. Each is the end
        /// of a module's path.
        modules: Vec<String>,
        /// Single parameters in the file: `parameters_to_save`, a key that PEFT does not have.
        parameters: Vec<String>,
    },
    /// Only the initial state of every block.
    States,
}
