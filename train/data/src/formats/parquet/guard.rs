//! Calls of the crate `parquet`, which must not end the process.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Once;

use ::parquet::errors::ParquetError;

use super::super::SourceError;

/// Calls the crate `parquet` to read `path`.
///
/// It panics on some damaged pages. What a panic leaves behind is never used again: any error ends
/// the reading of the file.
pub(super) fn guarded<T>(
    path: &Path,
    call: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, SourceError> {
    let what = match quietly(call) {
        Some(Ok(value)) => return Ok(value),
        Some(Err(error)) => error.to_string(),
        None => "a part of it makes no sense".to_owned(),
    };
    Err(SourceError::Damaged {
        path: path.to_owned(),
        what,
    })
}

thread_local! {
    /// Whether a panic of this thread is expected and caught.
    static CAUGHT: Cell<bool> = const { Cell::new(false) };
}

/// What `call` gives, or nothing where it panics, without the message that a panic prints.
fn quietly<T>(call: impl FnOnce() -> T) -> Option<T> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CAUGHT.get() {
                others(info);
            }
        }));
    });
    let before = CAUGHT.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(call));
    CAUGHT.set(before);
    result.ok()
}
