//! Adapter folders as Hugging Face PEFT reads and writes them: `adapter_config.json` and
//! `adapter_model.safetensors`.
//!
//! | `peft_type` | what it is here |
//! |---|---|
//! | `MISS`, and `BONE` as older versions have it | miss; with `init_weights` `"bat"` bone on the output axis, with `"mini"` miss-mini |
//! | `LORA` | LoRA; PiSSA and OLoRA are written as the LoRA of twice the rank that they come to |
//! | `BONE_INPUT` | bone on the input axis. PEFT does not have it, and raises instead of loading it as something else |
//! | `MISS_WITH_PARAMETERS`, `LORA_WITH_PARAMETERS` | beside the adapters single parameters, values and not differences, that PEFT would pass over; it raises |
//! | `RWKV_STATE` | the initial state of every block and no adapter; tensors are named as RWKV-PEFT names them, `blocks.N.att.time_state` |
//!
//! Parameters held whole that make up all of a module are PEFT's `modules_to_save`; others are
//! listed as `parameters_to_save`.

#[cfg(doc)]
use crate::saved::Scan;
use crate::saved::{Contents, SavedAdapter};
use crate::{Backend, FileError};
use burn::module::Module;
use std::path::Path;

mod config;
mod scan;
mod write;

pub(crate) use config::naming;
pub use config::own_type;
pub use scan::{open, scan};
pub use write::{files, write};
pub(crate) use write::{replace, safetensors};

/// Name of the configuration in an adapter folder.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// Name of the tensors' file in an adapter folder.
pub const TENSOR_FILE: &str = "adapter_model.safetensors";
/// Its name in folders that older versions of PEFT wrote, as `torch.save` does.
pub const OLD_TENSOR_FILE: &str = "adapter_model.bin";

/// Reads what an adapter folder holds without needing a model.
///
/// # Errors
///
/// As [`scan`].
pub fn read_contents(dir: &Path) -> Result<Contents, FileError> {
    scan(dir).map(|scan| scan.contents())
}

/// Puts what the folder `dir` holds on `module` and returns what it is.
///
/// # Errors
///
/// As [`scan`] and [`Scan::put_on`].
pub fn load<B: Backend, M: Module<B>>(module: M, dir: &Path) -> Result<(M, Contents), FileError> {
    scan(dir)?.put_on::<B, M>(module)
}

/// Writes what `contents` names of `module` to `dir`, which is created if need be: the adapters,
/// and the parameters held whole. Everything is written in f32. `base_model` is recorded as the
/// model it belongs to.
///
/// # Errors
///
/// As [`SavedAdapter::of`] and [`write()`].
pub fn save<B: Backend, M: Module<B>>(
    module: &M,
    contents: impl Into<Contents>,
    base_model: Option<&str>,
    dir: &Path,
) -> Result<(), FileError> {
    write(
        &SavedAdapter::of::<B, M>(module, contents)?,
        base_model,
        dir,
    )
}
