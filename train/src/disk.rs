//! What the disk says.

use std::io::{Error, ErrorKind};

/// Whether there is no room, or none is allowed, which there may be later.
pub(crate) fn is_full(error: &Error) -> bool {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), FileTooLarge | QuotaExceeded | StorageFull)
}
