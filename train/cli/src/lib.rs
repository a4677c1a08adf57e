//! The commands of the binary `bone`, as functions that other programs can call.
//!
//! ```
//! use bone_cli::commands::inspect::{InspectArgs, run};
//!
//! // The same as `bone inspect ../../tests/fixtures/llama-tiny`.
//! let args = InspectArgs {
//!     path: "../../tests/fixtures/llama-tiny".into(),
//!     model: None,
//!     tensors: false,
//!     block_axis: None,
//! };
//! run(&args)?;
//! # Ok::<(), bone_cli::error::CommandError>(())
//! ```

mod answer;
pub mod commands;
pub mod demo;
pub mod error;
mod output;
pub mod session;
mod stop;
pub mod terminal;
mod work;
