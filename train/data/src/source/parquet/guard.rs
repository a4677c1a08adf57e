//! Calls of the crate `parquet`, which must not end the process.

use std::cell::Cell;
use std::io;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Once;

use ::parquet::errors::ParquetError;

use super::super::SourceError;

/// Why a file cannot be read on.
#[derive(Debug)]
pub(super) enum Fault {
    Io(io::Error),
    Damaged(String),
    Unsupported(String),
}

impl Fault {
    pub(super) fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged(what.into())
    }

    pub(super) fn into_error(self, path: &Path) -> SourceError {
        let path = path.to_owned();
        match self {
            Self::Io(source) => SourceError::Io { path, source },
            Self::Damaged(what) => SourceError::Damaged { path, what },
            Self::Unsupported(what) => SourceError::Unsupported { path, what },
        }
    }
}

/// Calls the crate `parquet`; `what` is what it is to read, for a message.
///
/// It panics on some damaged pages. What a panic leaves behind is never used again: any fault ends
/// the reading of the file.
pub(super) fn guarded<T>(
    what: impl Fn() -> String,
    call: impl FnOnce() -> Result<T, ParquetError>,
) -> Result<T, Fault> {
    let text = match quietly(call) {
        Some(Ok(value)) => return Ok(value),
        Some(Err(ParquetError::External(error))) => match error.downcast::<io::Error>() {
            Ok(error) if error.raw_os_error().is_some() => return Err(Fault::Io(*error)),
            Ok(error) => error.to_string(),
            Err(error) => error.to_string(),
        },
        Some(Err(
            ParquetError::General(text) | ParquetError::EOF(text) | ParquetError::NYI(text),
        )) => text,
        Some(Err(error)) => error.to_string(),
        None => return Err(Fault::Damaged(format!("{} makes no sense", what()))),
    };
    Err(Fault::Damaged(format!("{}: {text}", what())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_fault() {
        let call = |result: Option<Result<i32, ParquetError>>| {
            guarded(|| "it".to_owned(), || result.expect("a panic"))
        };
        assert!(matches!(call(Some(Ok(7))), Ok(7)));
        let damaged = |fault| match fault {
            Err(Fault::Damaged(what)) => what,
            other => panic!("{other:?}"),
        };
        assert_eq!(damaged(call(None)), "it makes no sense");
        let wrong = ParquetError::General("wrong".to_owned());
        assert_eq!(damaged(call(Some(Err(wrong)))), "it: wrong");
        let io = ParquetError::from(io::Error::from_raw_os_error(5));
        assert!(matches!(call(Some(Err(io))), Err(Fault::Io(_))));
    }
}
