//! Reads sequences of tokens.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::index::Index;
use super::{Dtype, list, paths};
use crate::DataError;

/// Indexed files of tokens, open to be read.
///
/// Only the index is held, 12 bytes a sequence; a sequence is read when it is asked for. Threads
/// may share one.
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
    /// All sizes and places of the index are checked against the file of tokens.
    ///
    /// # Errors
    /// [`DataError`]: a file that is not there or cannot be read, one that is no index, and
    /// sequences that are not within the tokens, which are listed.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let (bin, idx) = paths(path);
        let mut missing = vec![&bin, &idx];
        missing.retain(|path| !path.exists());
        if !missing.is_empty() {
            return Err(DataError::Other(format!(
                "there is no {}: indexed tokens are two files, NAME.bin and NAME.idx",
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

    /// How many sequences there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.index.sizes.len()
    }

    /// Whether there is no sequence.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tokens a sequence has, counted from 0; none where there is no such sequence.
    #[must_use]
    pub fn size(&self, sequence: usize) -> usize {
        let size = self.index.sizes.get(sequence);
        size.map_or(0, |&size| size as usize)
    }

    /// The tokens of a sequence, counted from 0; of a longer one the first `max_tokens`.
    ///
    /// # Errors
    /// [`DataError`]: no such sequence, a file that cannot be read, numbers that are no tokens.
    pub fn read(&self, sequence: usize, max_tokens: usize) -> Result<Vec<u32>, DataError> {
        let Some(&start) = self.index.starts.get(sequence) else {
            let what = format!("there is no sequence {sequence}, there are {}", self.len());
            return Err(DataError::unusable(&self.idx, what));
        };
        let dtype = self.index.dtype;
        let mut bytes = vec![0; self.size(sequence).min(max_tokens) * dtype.bytes()];
        {
            // A thread that panicked left nothing half done: every read seeks first.
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
                "{total} of the tokens of sequence {sequence} are negative or above 2^32, the \
                 first of them {} at {place}",
                numbers[place]
            );
            return Err(DataError::unusable(&self.bin, what));
        }
        Ok(numbers.into_iter().map(|value| value as u32).collect())
    }
}

/// The number that as many bytes are as the type has.
fn number(dtype: Dtype, bytes: &[u8]) -> i64 {
    let mut whole = [0; 8];
    let count = bytes.len().min(whole.len());
    whole[..count].copy_from_slice(&bytes[..count]);
    let value = i64::from_le_bytes(whole);
    match dtype {
        Dtype::U8 | Dtype::U16 | Dtype::I64 => value,
        // The lowest bytes, with their sign.
        Dtype::I8 => i64::from(value as i8),
        Dtype::I16 => i64::from(value as i16),
        Dtype::I32 => i64::from(value as i32),
    }
}
