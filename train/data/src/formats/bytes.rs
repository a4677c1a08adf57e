//! The decompressed bytes of a file.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use super::format::{Compression, HEAD};
use crate::DataError;

/// An opened file, at its first byte.
pub(super) struct Opened {
    /// Its first bytes, decompressed; at most [`HEAD`] of them.
    pub(super) head: Vec<u8>,
    /// The compression of the file, which `reader` undoes.
    pub(super) compression: Option<Compression>,
    /// All bytes, decompressed, including `head`.
    pub(super) reader: Box<dyn Read + Send>,
}

/// Reads a whole file and decompresses gzip and zstd.
///
/// The content is not checked: it need not be text, and a byte-order mark stays.
///
/// # Errors
/// [`DataError::Io`]; [`DataError::Damaged`] for a compressed stream.
pub(crate) fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let mut opened = open(path)?;
    let mut bytes = Vec::new();
    let read = opened.reader.read_to_end(&mut bytes);
    read.map_err(|error| reading(path, opened.compression, error))?;
    Ok(bytes)
}

/// Opens a file for reading like [`read_bytes`]. The memory is a buffer and the decompressor's window, at
/// most 128 MiB and mostly under one. Pass errors of the reader to [`reading`].
pub(super) fn open(path: &Path) -> Result<Opened, DataError> {
    let file = File::open(path).map_err(DataError::io(path))?;
    let (head, raw) = with_head(Box::new(file)).map_err(DataError::io(path))?;
    let compression = Compression::of(&head);
    let decoder: Box<dyn Read + Send> = match compression {
        None => {
            return Ok(Opened {
                head,
                compression,
                reader: raw,
            });
        }
        Some(Compression::Gzip) => {
            Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(raw)))
        }
        Some(Compression::Zstd) => {
            Box::new(zstd::stream::read::Decoder::new(raw).map_err(DataError::io(path))?)
        }
    };
    let (head, reader) = with_head(decoder).map_err(|error| reading(path, compression, error))?;
    Ok(Opened {
        head,
        compression,
        reader,
    })
}

/// Returns the first bytes of `reader`, and a reader that still returns them.
fn with_head(mut reader: Box<dyn Read + Send>) -> io::Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut head = Vec::new();
    (&mut reader).take(HEAD).read_to_end(&mut head)?;
    let whole = Cursor::new(head.clone()).chain(reader);
    Ok((head, Box::new(whole)))
}

/// Converts an error from the reader of an [`Opened`]. System errors have a number, errors of the
/// decompressor have none.
pub(super) fn reading(
    path: &Path,
    compression: Option<Compression>,
    error: io::Error,
) -> DataError {
    let Some(compression) = compression.filter(|_| error.raw_os_error().is_none()) else {
        return DataError::io(path)(error);
    };
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return DataError::damaged(path, format!("its {compression} stream is cut off"));
    }
    let text = error.to_string();
    // This is the text of zstd's `ZSTD_getErrorString`.
    if text.contains("too much memory") {
        return DataError::unusable(
            path,
            "the zstd window is larger than 128 MiB: compress it again without --long=28 or higher",
        );
    }
    DataError::damaged(path, format!("its {compression} stream is corrupt: {text}"))
}

#[cfg(test)]
pub(super) mod tests;
