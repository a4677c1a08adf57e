//! Reading sequences of tokens.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::index::Index;
use super::{Dtype, list, paths};
use crate::DataError;

/// Indexed token files, open for reading.
///
/// Only the index is in memory, 12 bytes per sequence. A sequence is read on request. Threads may share one
/// reader.
#[derive(Debug)]
pub struct Binidx {
    bin: PathBuf,
    idx: PathBuf,
    file: Mutex<File>,
    pub(super) index: Index,
}

impl Binidx {
    /// Opens `X.bin` and `X.idx`, where `path` is `X` or either of them.
    ///
    /// Checks all sizes and positions of the index against the token file.
    ///
    /// # Errors
    /// [`DataError`]: a file is missing or unreadable, the index is invalid, or sequences are outside the
    /// token file. The error lists these sequences.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (bin, idx) = paths(path);
        let mut missing = vec![&bin, &idx];
        missing.retain(|path| !path.exists());
        if !missing.is_empty() {
            return Err(DataError::Other(format!(
                "file not found: {}; a binidx has two files, NAME.bin and NAME.idx",
                list(&missing)
            )));
        }
        let file = File::open(&bin).map_err(DataError::io(&bin))?;
        let bytes = fs::metadata(&bin).map_err(DataError::io(&bin))?.len();
        let index = Index::read(&idx, bytes)?;
        Ok(Self {
            file: Mutex::new(file),
            bin,
            idx,
            index,
        })
    }

    /// Returns the number of sequences.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.sizes.len()
    }

    /// Returns whether there are no sequences.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the number of tokens of a sequence, counted from 0; `None` if it does not exist.
    #[must_use]
    pub fn size(&self, sequence: usize) -> usize {
        let size = self.index.sizes.get(sequence);
        size.map_or(0, |&size| size as usize)
    }

    /// Returns the tokens of a sequence, counted from 0; at most the first `max_tokens`.
    ///
    /// # Errors
    /// [`DataError`]: the sequence does not exist, the file cannot be read, or a number is not a token id.
    pub fn read(&self, sequence: usize, max_tokens: usize) -> Result<Vec<u32>, DataError> {
        let Some(&start) = self.index.starts.get(sequence) else {
            let what = format!(
                "sequence {sequence} does not exist; there are {} sequences",
                self.len()
            );
            return Err(DataError::unusable(&self.idx, what));
        };
        let dtype = self.index.dtype;
        let mut bytes = vec![0; self.size(sequence).min(max_tokens) * dtype.bytes()];
        {
            // A thread that panicked left no partial state: every read seeks first.
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(start as u64))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(DataError::io(&self.bin))?;
        }
        let numbers = bytes.chunks_exact(dtype.bytes());
        let numbers: Vec<_> = numbers.map(|bytes| number(dtype, bytes)).collect();
        let is_token = |value: i64| u32::try_from(value).is_ok();
        if let Some(place) = numbers.iter().position(|&value| !is_token(value)) {
            let total = numbers.iter().filter(|&&value| !is_token(value)).count();
            let what = format!(
                "{total} tokens of sequence {sequence} are negative or above 2^32; the first is {} at \
                 {place}",
                numbers[place]
            );
            return Err(DataError::unusable(&self.bin, what));
        }
        Ok(numbers.into_iter().map(|value| value as u32).collect())
    }
}

/// Decodes a number of the given type from its bytes.
fn number(dtype: Dtype, bytes: &[u8]) -> i64 {
    let mut whole = [0; 8];
    let count = bytes.len().min(whole.len());
    whole[..count].copy_from_slice(&bytes[..count]);
    let value = i64::from_le_bytes(whole);
    match dtype {
        Dtype::U8 | Dtype::U16 | Dtype::I64 => value,
        // Keeps the lowest bytes, with their sign.
        Dtype::I8 => i64::from(value as i8),
        Dtype::I16 => i64::from(value as i16),
        Dtype::I32 => i64::from(value as i32),
    }
}
