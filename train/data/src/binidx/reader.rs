//! Reads sequences of tokens.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::error::BinidxError;
use super::index::Index;
use super::{Dtype, paths};

/// Indexed files of tokens, open to be read.
///
/// Only the index is held, 4 bytes a sequence (12 where sequences do not follow one another in
/// the file); a sequence is read when it is asked for. Threads may share one.
#[derive(Debug)]
pub struct Binidx {
    bin: PathBuf,
    idx: PathBuf,
    file: Mutex<File>,
    index: Index,
}

impl Binidx {
    /// Opens `X.bin` and `X.idx`, where `path` is `X` or either of them.
    ///
    /// All sizes and places of the index are checked against the file of tokens.
    ///
    /// # Errors
    /// [`BinidxError`]: a file that is not there or cannot be read, one that is no index, and
    /// sequences that are not within the tokens, which are listed.
    pub fn open(path: &Path) -> Result<Self, BinidxError> {
        let (bin, idx) = paths(path);
        let missing: Vec<_> = [&bin, &idx]
            .into_iter()
            .filter(|path| !path.exists())
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Err(BinidxError::Missing(missing));
        }
        let io_error = BinidxError::io(&bin);
        let file = File::open(&bin).map_err(io_error)?;
        let bytes = fs::metadata(&bin).map_err(io_error)?.len();
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
        self.index.len()
    }

    /// Whether there is no sequence.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many tokens all sequences have together.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.index.tokens
    }

    /// How many tokens a sequence has, counted from 0; none where there is no such sequence.
    #[must_use]
    pub fn size(&self, sequence: usize) -> usize {
        self.index.size(sequence)
    }

    /// The type that the tokens are stored in.
    #[must_use]
    pub fn dtype(&self) -> Dtype {
        self.index.dtype
    }

    /// The tokens of a sequence, counted from 0; of a longer one the first `max_tokens`.
    ///
    /// # Errors
    /// [`BinidxError`]: no such sequence, a file that cannot be read, numbers that are no tokens.
    pub fn read(&self, sequence: usize, max_tokens: usize) -> Result<Vec<u32>, BinidxError> {
        if sequence >= self.len() {
            return Err(BinidxError::NoSuchSequence {
                path: self.idx.clone(),
                sequence,
                len: self.len(),
            });
        }
        let dtype = self.dtype();
        let mut bytes = vec![0; self.size(sequence).min(max_tokens) * dtype.bytes()];
        {
            // A thread that panicked left nothing half done: every read seeks first.
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(self.index.start(sequence)))
                .and_then(|_| file.read_exact(&mut bytes))
                .map_err(BinidxError::io(&self.bin))?;
        }
        let mut wrong = None;
        let mut total = 0;
        let tokens = bytes
            .chunks_exact(dtype.bytes())
            .enumerate()
            .map(|(place, bytes)| {
                let value = number(dtype, bytes);
                u32::try_from(value).unwrap_or_else(|_| {
                    total += 1;
                    wrong.get_or_insert((value, place));
                    0
                })
            })
            .collect();
        match wrong {
            None => Ok(tokens),
            Some((value, place)) => Err(BinidxError::Tokens {
                path: self.bin.clone(),
                sequence,
                total,
                value,
                place,
            }),
        }
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
