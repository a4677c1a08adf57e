//! What a person copies into a shell.

use std::path::Path;

/// A path as a shell reads it, and a program that takes what begins with `-` for a flag.
pub(crate) fn path(path: &Path) -> String {
    let shown = path.display().to_string();
    let shown = match shown.starts_with('-') {
        true => format!("./{shown}"),
        false => shown,
    };
    word(&shown)
}

/// A word as a shell reads it.
pub(crate) fn word(text: &str) -> String {
    shlex::try_quote(text).map_or(text.to_owned(), Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_read_as_it_is_meant() {
        for (given, wanted) in [("run", "run"), ("my run", "'my run'"), ("-x", "./-x")] {
            assert_eq!(path(Path::new(given)), wanted);
        }
    }
}
