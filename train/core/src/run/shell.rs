//! What a person copies into a shell.

use std::path::Path;

/// A path as a shell reads it, and a program that takes what begins with `-` for a flag.
pub(crate) fn path(path: &Path) -> String {
    let mut shown = path.display().to_string();
    if shown.starts_with('-') {
        shown.insert_str(0, "./");
    }
    shlex::try_quote(&shown).map_or(shown.clone(), Into::into)
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
