//! Adapter folders as Hugging Face PEFT reads and writes them: `adapter_config.json` and
//! `adapter_model.safetensors`.
//!
//! | `peft_type` | adapter |
//! |---|---|
//! | `MISS`, and `BONE` in older versions | miss; with `init_weights` `"bat"` bone on the output axis, with `"mini"` miss-mini |
//! | `LORA` | LoRA; PiSSA and OLoRA are written as the equivalent LoRA of twice the rank |
//! | `BONE_INPUT` | bone on the input axis. PEFT does not know it and raises an error |
//! | `MISS_WITH_PARAMETERS`, `LORA_WITH_PARAMETERS` | the adapters and single parameters, as values and not differences. PEFT would ignore the parameters, so this type makes it raise an error |
//! | `RWKV_STATE` | the initial state of every block and no adapter; tensors have RWKV-PEFT's names, `blocks.N.att.time_state` |
//!
//! If the full parameters make up a whole module, they are PEFT's `modules_to_save`. Others are
//! listed as `parameters_to_save`.
//!
//! ```
//! # #[cfg(feature = "flex")] {
//! use bone::{AdapterConfig, BoneLinearConfig, Selection, Targets, Variant, peft};
//! use burn::backend::Flex;
//!
//! let base = vec![BoneLinearConfig::new(6, 4).init::<Flex>(&Default::default())];
//! let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
//! let module = bone::attach(base.clone(), &config)?;
//!
//! let folder = tempfile::tempdir()?;
//! peft::save(&module, &config, Some("my-base"), folder.path())?;
//! let (loaded, _contents) = peft::load(base, folder.path())?;
//! assert_eq!(bone::count_params(&loaded), bone::count_params(&module));
//! // Without the model.
//! assert_eq!(peft::read_contents(folder.path())?.adapter, Some(config));
//! let saved = peft::scan(folder.path())?.finish()?;
//! assert_eq!(peft::own_type(&saved), None);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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
/// Name of the tensor file in an adapter folder.
pub const TENSOR_FILE: &str = "adapter_model.safetensors";
/// Name of the tensor file in folders of older PEFT versions, written by `torch.save`.
pub const OLD_TENSOR_FILE: &str = "adapter_model.bin";

/// Reads the contents of an adapter folder without a model.
///
/// See the [example](crate::peft).
///
/// # Errors
///
/// Same as [`scan`].
pub fn read_contents(dir: &Path) -> Result<Contents, FileError> {
    scan(dir).map(|scan| scan.contents())
}

/// Puts the adapter in the folder `dir` on `module` and returns its contents.
///
/// See the [example](crate::peft).
///
/// # Errors
///
/// Same as [`scan`] and [`Scan::put_on`].
pub fn load<B: Backend, M: Module<B>>(module: M, dir: &Path) -> Result<(M, Contents), FileError> {
    scan(dir)?.put_on::<B, M>(module)
}

/// Writes the part of `module` that `contents` names to `dir`: the adapters and the full
/// parameters, in f32. It creates `dir` if needed, and records `base_model` as the base model.
///
/// See the [example](crate::peft).
///
/// # Errors
///
/// Same as [`SavedAdapter::of`] and [`write()`].
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
