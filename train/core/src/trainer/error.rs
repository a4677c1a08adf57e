//! Why the loop stops early.

use crate::optimizer::NonFinite;
use crate::report::ReportError;

/// Steps one after the other that may be left out because their numbers are not finite.
pub(crate) const MOST_SKIPPED: usize = 3;

/// Why a run stopped early.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// Steps one after the other gave no finite numbers.
    #[error(
        "step {step} and the {} before it: {source} (rows {})",
        MOST_SKIPPED - 1, listed(rows)
    )]
    NonFinite {
        /// The last of them, from 1.
        step: usize,
        /// Its rows.
        rows: Vec<u64>,
        /// Its numbers.
        source: NonFinite,
    },
    /// No step changed anything.
    #[error(
        "the gradients of all {skipped} steps overflowed f16 and nothing was trained; take dtype \
         bf16 or f32, or more steps: the loss is scaled down at each"
    )]
    NothingTrained {
        /// Steps of the run.
        skipped: usize,
    },
    /// The report could not be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The result could not be saved.
    #[error("{0}")]
    Save(String),
    /// Rows that had been put aside could not be read again.
    #[error("step {step}: the temporary file of the rows' tokens: {source}")]
    Data {
        /// The step, from 1.
        step: usize,
        /// What the system says.
        source: std::io::Error,
    },
}

/// Row numbers, the first of many.
fn listed(rows: &[u64]) -> String {
    let shown: Vec<_> = rows.iter().take(16).map(u64::to_string).collect();
    match rows.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
