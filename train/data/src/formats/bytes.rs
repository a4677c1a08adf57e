//! A file's bytes, decompressed.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::path::Path;

use super::SourceError;
use super::error::Fault;
use super::format::{Compression, HEAD};

/// A file that has been opened, at its first byte.
pub(super) struct Opened {
    /// Its first bytes, decompressed; at most [`HEAD`] of them.
    pub(super) head: Vec<u8>,
    /// What was undone.
    pub(super) compression: Option<Compression>,
    /// All of it, decompressed, `head` included.
    pub(super) reader: Box<dyn Read + Send>,
}

/// Opens `path` to be read as bytes, decompressed where it begins as gzip or zstd.
///
/// What is read is not looked at: it need not be text, and a byte-order mark stays. Memory is a
/// buffer and the decompressor's window, at most 128 MiB and mostly under one.
///
/// # Errors
/// [`SourceError::Io`]. Errors of the reader itself are made into a [`SourceError`] by
/// [`SourceError::reading`].
pub fn open_bytes(path: &Path) -> Result<Box<dyn Read + Send>, SourceError> {
    open(path).map(|opened| opened.reader)
}

/// As [`open_bytes`], with what was seen on the way.
pub(super) fn open(path: &Path) -> Result<Opened, SourceError> {
    let file = File::open(path).map_err(|source| SourceError::io(path, source))?;
    opened(file).map_err(|error| SourceError::reading(path, error))
}

fn opened(file: File) -> io::Result<Opened> {
    let (head, raw) = with_head(Box::new(Raw(file)))?;
    let compression = Compression::of(&head);
    let Some(compression) = compression else {
        return Ok(Opened {
            head,
            compression: None,
            reader: raw,
        });
    };
    let decoder: Box<dyn Read + Send> = match compression {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::new(raw))),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(raw)?),
    };
    let (head, reader) = with_head(Box::new(Decoded {
        decoder,
        compression,
    }))?;
    Ok(Opened {
        head,
        compression: Some(compression),
        reader,
    })
}

/// The first bytes of `reader`, and a reader that still gives them.
fn with_head(mut reader: Box<dyn Read + Send>) -> io::Result<(Vec<u8>, Box<dyn Read + Send>)> {
    let mut head = Vec::new();
    (&mut reader).take(HEAD).read_to_end(&mut head)?;
    let whole = Cursor::new(head.clone()).chain(reader);
    Ok((head, Box::new(whole)))
}

/// Marks errors as the file's own, so that they are not taken for a damaged stream's.
struct Raw(File);

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| {
            let kind = error.kind();
            Fault::File(error).with_kind(kind)
        })
    }
}

/// Marks errors as the stream's, unless they are the file's.
struct Decoded {
    decoder: Box<dyn Read + Send>,
    compression: Compression,
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.decoder.read(buffer).map_err(|error| {
            let kind = error.kind();
            if error.get_ref().is_some_and(|inner| inner.is::<Fault>()) {
                return error;
            }
            let text = error.to_string();
            let fault = match kind {
                io::ErrorKind::UnexpectedEof => {
                    Fault::Stream(format!("its {} stream is cut off", self.compression))
                }
                // As the library's `ZSTD_getErrorString` has it.
                _ if text.contains("too much memory") => Fault::Window,
                _ => Fault::Stream(format!(
                    "its {} stream is corrupt: {text}",
                    self.compression
                )),
            };
            fault.with_kind(kind)
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
