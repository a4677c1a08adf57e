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

/// Ending of the types that hold values which PEFT's configuration has no place for and would
/// ignore.
const WITH_PARAMETERS: &str = "_WITH_PARAMETERS";
/// PEFT's type of miss, miss-mini and bone on the output axis.
const MISS: &str = "MISS";
/// Its name before.
const BONE: &str = "BONE";
/// PEFT's type of LoRA.
const LORA: &str = "LORA";
/// Ours of bone on the input axis.
const BONE_INPUT: &str = "BONE_INPUT";
/// Ours of adapters that PEFT does not have.
const OWN: [&str; 1] = [BONE_INPUT];
/// Ours of RWKV's initial states.
const STATES: &str = "RWKV_STATE";

/// What a folder's configuration says.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "there is one a folder")]
pub(super) enum Layout {
    /// Adapters, and beside them parameters held whole.
    Adapter {
        config: AdapterConfig,
        naming: Naming,
        /// Modules all of whose parameters are in the file: PEFT's `modules_to_save`, each the
        /// end of a module's path.
        modules: Vec<String>,
        /// Single parameters in the file: `parameters_to_save`, which PEFT does not have.
        parameters: Vec<String>,
    },
    /// The initial state of every block, and nothing else.
    States,
}
