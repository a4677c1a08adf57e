//! Fine-tuning of any language model of the workspace: loss, loop, checkpoints, devices.
//!
//! A program trains in the same way as `bone train`. Fill in a [`RawConfig`](config::RawConfig) and check
//! it with [`validate`](config::RawConfig::validate). Pass it to [`run::train`] with a
//! [`Reporter`](report::Reporter) for the metrics. The returned [`Outcome`](run::Outcome) names the
//! adapter's folder. [`run::resume`] and [`run::fork`] continue a stopped run. `examples/train.rs` is a
//! complete program.
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
//! To run only the loop with your own model and batches, use [`trainer::train`].

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
