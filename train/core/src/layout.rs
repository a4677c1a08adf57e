//! The names of all entries in a run's output folder.

/// Every setting of the run. `bone train` can read it again.
pub const CONFIG: &str = "config.toml";
/// One line per step, skipped step and evaluation.
pub const METRICS: &str = "metrics.jsonl";
/// The folder of logs.
pub const LOGS: &str = "logs";
/// The folder of checkpoints, each named `step-N`.
pub const CHECKPOINTS: &str = "checkpoints";
/// The result of a run that trains an adapter, parts or states.
pub const ADAPTER: &str = "adapter";
/// The result of a run that trains every weight.
pub const MODEL: &str = "model";
/// The result of an earlier run while a new [`MODEL`] replaces it.
pub const OLD_MODEL: &str = "model.old";
/// Written last, when the result is synced to the disk.
pub const FINISHED: &str = "finished.json";
/// Locked by the run that writes into the folder.
pub const LOCK: &str = "run.lock";

/// Entries of a run that a new run would replace.
pub const RESULTS: [&str; 4] = [ADAPTER, MODEL, OLD_MODEL, CHECKPOINTS];
