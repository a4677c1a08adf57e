//! The names of everything in a run's output folder.

/// Every setting of the run, as `bone train` reads it again.
pub const CONFIG: &str = "config.toml";
/// A line a step, skipped step and evaluation.
pub const METRICS: &str = "metrics.jsonl";
/// The folder of logs.
pub const LOGS: &str = "logs";
/// The folder of checkpoints, `step-N` each.
pub const CHECKPOINTS: &str = "checkpoints";
/// The result of a run that trains an adapter, parts or states.
pub const ADAPTER: &str = "adapter";
/// The result of a run that trains every weight.
pub const MODEL: &str = "model";
/// The result of an earlier run while a new [`MODEL`] takes its place.
pub const OLD_MODEL: &str = "model.old";
/// Written last, when the result is on the disk.
pub const FINISHED: &str = "finished.json";
/// Held by the run that writes into the folder.
pub const LOCK: &str = "run.lock";

/// What a run leaves that another would replace.
pub const RESULTS: [&str; 4] = [ADAPTER, MODEL, OLD_MODEL, CHECKPOINTS];
