//! Reads small files of a model folder. The folder is untrusted, so every read has a limit.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest JSON file read from a model folder: the longest known tokenizer.json is 35 MB.
pub const MAX_JSON_BYTES: u64 = 256 * 1024 * 1024;

/// Reads a whole regular file of at most `max_bytes`; `None` if it does not exist.
///
/// A device or a pipe is refused, because reading it might never end.
pub fn read_small(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "not a regular file",
            ));
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    }
    let mut bytes = Vec::new();
    // Reads one byte more than allowed, to detect a file that is too long even if it grows
    // meanwhile.
    File::open(path)?
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("longer than {max_bytes} bytes, the maximum for such a file"),
        ));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn read_small_refuses_long_files() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.json");
        assert_eq!(read_small(&path, 4).unwrap(), None);
        std::fs::write(&path, b"1234").unwrap();
        assert_eq!(read_small(&path, 4).unwrap().unwrap(), b"1234");
        let error = read_small(&path, 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let error = read_small(dir.path(), 3).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
}
