//! Fine-tuning of any language model of the workspace: loss, loop, checkpoints, devices.
//!
//! A program trains as `bone train` does. Fill in a [`RawConfig`](config::RawConfig), check it with
//! [`validate`](config::RawConfig::validate), and give it to [`run::train`] with a
//! [`Reporter`](report::Reporter) for the metrics; an [`Outcome`](run::Outcome) says where the adapter
//! lies. [`run::resume`] and [`run::fork`] continue what was stopped. `examples/train.rs` is a whole
//! program.
//!
//! ```no_run
//! use bone_train::config::{MethodName, RawConfig};
//! use bone_train::run::{Host, train};
//! use std::path::PathBuf;
//!
//! let settings = RawConfig {
//!     model: Some("llama2".into()),
//!     data: Some(PathBuf::from("rows.jsonl").into()),
//!     out: Some("run".into()),
//!     method: Some(MethodName::Miss),
//!     ..RawConfig::default()
//! };
//! let outcome = train(&settings.validate()?, Host::new(&mut ()))?;
//! println!("{}", outcome.result.display());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The loop alone, for a model and batches of your own, is [`trainer::train`].

pub mod config;
pub mod device;
mod disk;
pub mod layout;
pub mod loss_scale;
pub mod memory;
pub mod models;
pub mod optimizer;
pub mod report;
pub mod run;
pub mod schedule;
pub mod step;
pub mod trainer;
