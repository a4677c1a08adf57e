//! What the disk says.

use crate::memory::human;
use std::error::Error;
use std::io::{self, ErrorKind};
use std::path::Path;

/// What the smallest file takes, and a folder.
const BLOCK: u64 = 4096;

/// Whether there is no room, or none is allowed, which there may be later.
pub(crate) fn is_full(error: &io::Error) -> bool {
    use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), FileTooLarge | QuotaExceeded | StorageFull)
}

/// An error of writing `what`, which takes about `needed` bytes in `files` files, at `place`: with what a person
/// can do about it where there is no room.
pub(crate) fn explained(
    error: &(dyn Error + 'static),
    (what, needed, files): (&str, u64, u64),
    place: &Path,
) -> String {
    let mut causes = std::iter::successors(Some(error), |error: &&(dyn Error + 'static)| {
        (*error).source()
    });
    let cause = causes.find_map(|error| error.downcast_ref::<io::Error>());
    let Some(cause) = cause.filter(|cause| is_full(cause)) else {
        return error.to_string();
    };
    let needed = human(needed + files * BLOCK);
    if cause.kind() != ErrorKind::StorageFull {
        // What is free on the disk is not what is allowed.
        return format!(
            "{error}; {what} takes about {needed}: raise the limit, or give another folder"
        );
    }
    let place = place.ancestors().find(|place| place.exists());
    let free = place.and_then(|place| fs4::available_space(place).ok());
    let free = free.map_or(String::new(), |free| format!(", {} are free", human(free)));
    format!("{error}; {what} takes about {needed}{free}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::WriteError;

    #[test]
    fn what_has_no_room_is_told_with_what_it_takes() {
        let failed = |kind: ErrorKind| {
            let error = WriteError {
                path: "a/file".into(),
                source: kind.into(),
            };
            explained(&error, ("a checkpoint", 1 << 20, 6), Path::new("/nowhere"))
        };
        let said = failed(ErrorKind::StorageFull);
        assert!(
            said.starts_with("a/file: ") && said.contains("a checkpoint takes about 1.0 MiB, "),
            "{said}"
        );
        assert!(failed(ErrorKind::QuotaExceeded).ends_with("or give another folder"));
        assert!(!failed(ErrorKind::NotFound).contains("takes about"));
    }
}
