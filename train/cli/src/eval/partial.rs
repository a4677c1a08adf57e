//! Files that are whole or not there, and what is kept beside them until then.

use serde::Serialize;
use std::io;
use std::path::{Path, PathBuf};

/// Where an evaluation whose result will be `out` keeps what it has so far.
pub fn beside(out: &Path) -> PathBuf {
    ending(out, ".partial")
}

fn ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// Writes a value: the file that is there is the whole of it, or the one before. Its folder is
/// made.
///
/// # Errors
/// The file cannot be written.
pub fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let new = ending(path, ".new");
    std::fs::write(&new, serde_json::to_string_pretty(value)? + "\n")?;
    std::fs::rename(&new, path)
}
