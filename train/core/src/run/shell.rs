//! Text for the user to paste into a shell.

use std::path::Path;

/// Quotes a path for a shell. A leading `-` is kept from looking like a flag.
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
    fn shell_paths_are_quoted_if_needed() {
        for (given, wanted) in [("run", "run"), ("my run", "'my run'"), ("-x", "./-x")] {
            assert_eq!(path(Path::new(given)), wanted);
        }
    }
}
