//! Writing sequences of tokens.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::{Dtype, MAGIC, VERSION, list, paths, with_ending};
use crate::DataError;

/// Largest vocabulary that fits into two bytes.
const SMALL_VOCABULARY: usize = 1 << 16;
/// Largest vocabulary that fits into four bytes with a sign.
const LARGE_VOCABULARY: usize = 1 << 31;

/// Indexed token files that are being written.
///
/// The files have temporary names until [`finish`](Self::finish), and are removed without it. So a file
/// under its final name is complete. Only the sizes of the sequences are in memory, 4 bytes each.
#[derive(Debug)]
pub struct Writer {
    bin: PathBuf,
    idx: PathBuf,
    /// Temporary file of the tokens until they are complete.
    partial: TempPath,
    out: BufWriter<File>,
    dtype: Dtype,
    vocab_size: usize,
    sizes: Vec<i32>,
    tokens: u64,
}

/// Summary of the written files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// Number of sequences.
    pub sequences: usize,
    /// Number of tokens in all sequences.
    pub tokens: u64,
    /// Type of the stored tokens.
    pub dtype: Dtype,
    /// The token file.
    pub bin: PathBuf,
    /// The index file.
    pub idx: PathBuf,
}

impl Writer {
    /// Starts `stem.bin` and `stem.idx` for tokens below `vocab_size`. A token takes two bytes if
    /// `vocab_size` is at most 65536, else four. `stem` may also be the name of either file. Creates a
    /// missing folder.
    ///
    /// # Errors
    /// [`DataError`]: one of the files exists or cannot be created, or the vocabulary is above 2^31.
    pub fn create(stem: &Path, vocab_size: usize) -> Result<Self, DataError> {
        let dtype = if vocab_size <= SMALL_VOCABULARY {
            Dtype::U16
        } else if vocab_size <= LARGE_VOCABULARY {
            Dtype::I32
        } else {
            return Err(DataError::Other(format!(
                "a vocabulary of {vocab_size} tokens is too large for a binidx; the limit is 2^31"
            )));
        };
        let (bin, idx) = paths(stem);
        check_free(&[&bin, &idx])?;
        if let Some(folder) = bin.parent() {
            fs::create_dir_all(folder).map_err(DataError::io(folder))?;
        }
        let (partial, file) = beside(&bin)?;
        Ok(Self {
            bin,
            idx,
            partial,
            out: BufWriter::new(file),
            dtype,
            vocab_size,
            sizes: Vec::new(),
            tokens: 0,
        })
    }

    /// Adds a sequence as a separate document.
    ///
    /// # Errors
    /// [`DataError`]: the sequence is empty, too long, or has ids beyond the vocabulary; then nothing of it
    /// is written. Or a file cannot be written.
    pub fn push(&mut self, tokens: &[u32]) -> Result<(), DataError> {
        let sequence = self.sizes.len();
        let other = |what: String| DataError::Other(format!("sequence {sequence} has {what}"));
        if tokens.is_empty() {
            return Err(other("no tokens: remove it".to_owned()));
        }
        let len = tokens.len();
        let size = i32::try_from(len)
            .map_err(|_| other(format!("{len} tokens, but the limit is 2^31 - 1: split it")))?;
        let vocab_size = self.vocab_size;
        let is_beyond = |token: &u32| *token as usize >= vocab_size;
        if let Some(place) = tokens.iter().position(is_beyond) {
            return Err(DataError::Other(format!(
                "{} tokens of sequence {sequence} are not in the vocabulary of {vocab_size}; the first is \
                 {} at {place}",
                tokens.iter().copied().filter(is_beyond).count(),
                tokens[place]
            )));
        }
        let width = self.dtype.bytes();
        for token in tokens {
            let written = self.out.write_all(&token.to_le_bytes()[..width]);
            written.map_err(DataError::io(&self.bin))?;
        }
        self.sizes.push(size);
        self.tokens += tokens.len() as u64;
        Ok(())
    }

    /// Writes the index and renames both files to their final names, the index last.
    ///
    /// # Errors
    /// [`DataError`]: nothing was written, or an earlier or the current operation failed.
    pub fn finish(mut self) -> Result<Summary, DataError> {
        let io_error = DataError::io(&self.bin);
        if self.sizes.is_empty() {
            return Err(DataError::unusable(&self.bin, "no sequence was written"));
        }
        self.out.flush().map_err(io_error)?;
        let file = self.out.get_ref();
        file.sync_all().map_err(io_error)?;
        if file.metadata().map_err(io_error)?.len() != self.start_of(self.tokens) {
            let what = "an earlier write failed: start again";
            return Err(DataError::unusable(&self.bin, what));
        }
        let (partial_idx, mut idx) = beside(&self.idx)?;
        idx.write_all(&self.index())
            .and_then(|()| idx.sync_all())
            .map_err(DataError::io(&self.idx))?;
        check_free(&[&self.bin, &self.idx])?;
        let named = self.partial.persist(&self.bin);
        named.map_err(|error| io_error(error.error))?;
        let named = partial_idx.persist(&self.idx);
        named.map_err(|error| DataError::io(&self.idx)(error.error))?;
        Ok(Summary {
            sequences: self.sizes.len(),
            tokens: self.tokens,
            dtype: self.dtype,
            bin: self.bin,
            idx: self.idx,
        })
    }

    /// Returns the position in bytes after `tokens` tokens.
    fn start_of(&self, tokens: u64) -> u64 {
        tokens * self.dtype.bytes() as u64
    }

    fn index(&self) -> Vec<u8> {
        let sequences = self.sizes.len() as u64;
        let mut bytes = Vec::from(*MAGIC);
        bytes.extend(VERSION.to_le_bytes());
        bytes.push(self.dtype as u8);
        bytes.extend(sequences.to_le_bytes());
        bytes.extend((sequences + 1).to_le_bytes());
        bytes.extend(self.sizes.iter().flat_map(|size| size.to_le_bytes()));
        let mut before = 0;
        for &size in &self.sizes {
            bytes.extend(self.start_of(before).to_le_bytes());
            before += size as u64;
        }
        bytes.extend((0..=sequences).flat_map(u64::to_le_bytes));
        bytes
    }
}

/// Creates a temporary file beside `path`, which is removed unless it is renamed to `path`.
fn beside(path: &Path) -> Result<(TempPath, File), DataError> {
    let partial = with_ending(path, &format!(".partial-{}", std::process::id()));
    let file = File::create(&partial).map_err(DataError::io(&partial))?;
    let partial = TempPath::try_from_path(partial).map_err(DataError::io(path))?;
    Ok((partial, file))
}

fn check_free(paths: &[&PathBuf]) -> Result<(), DataError> {
    let mut there = paths.to_vec();
    there.retain(|path| path.exists());
    if there.is_empty() {
        return Ok(());
    }
    Err(DataError::Other(format!(
        "cannot overwrite {}; remove it, or choose another name",
        list(&there)
    )))
}
