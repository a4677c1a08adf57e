//! Reads and writes files of weights: model folders in the Hugging Face layout
//! (`model.safetensors`, or shards and their index), and single files, safetensors or written by
//! `torch.save` (`.pth`).
//!
//! [`Checkpoint`] maps the files and checks them before anything is used, and [`Writer`] writes a
//! folder of safetensors.
//!
//! Unchecked files are untrusted. A broken file gives an error that lists all its problems. It
//! never causes a panic, or an allocation of a size that it states.
//!
//! ```
//! # #[cfg(feature = "burn")] {
//! use bone_files::{Checkpoint, save};
//! use burn::tensor::TensorData;
//!
//! let folder = tempfile::tempdir()?;
//! let weight = TensorData::new(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2]);
//! save(folder.path(), [("layer.weight".to_owned(), weight)], u64::MAX, Default::default())?;
//!
//! let checkpoint = Checkpoint::open(folder.path())?;
//! assert_eq!(checkpoint.get("layer.weight").unwrap().shape, [2, 2]);
//! assert_eq!(checkpoint.data("layer.weight")?.to_vec::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0]);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Without the feature `burn` the crate has only [`read_small`], for crates that read other files
//! of a model folder.

#[cfg(feature = "burn")]
mod checkpoint;
mod folder;
pub mod panics;
pub mod wording;

#[cfg(feature = "burn")]
pub use checkpoint::{
    Checkpoint, CheckpointError, Dtype, FileProblem, INDEX_FILE, LFS_POINTER, Planned, Problem,
    PthProblem, SINGLE_FILE, SaveError, TensorInfo, Writer, burn_dtype, file_dtype, json_object,
    resolve, save, save_pth, save_streamed, sync_folder,
};
pub use folder::{MAX_JSON_BYTES, read_small};
