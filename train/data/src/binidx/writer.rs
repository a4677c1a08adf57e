//! Writes sequences of tokens.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::{Dtype, MAGIC, VERSION, list, paths, with_ending};
use crate::DataError;

/// The largest vocabulary that two bytes have room for.
const SMALL_VOCABULARY: usize = 1 << 16;
/// The largest that four bytes with a sign have room for.
const LARGE_VOCABULARY: usize = 1 << 31;

/// Indexed files of tokens that are being written.
///
/// They have other names until [`finish`](Self::finish), and are removed where it is not called:
/// what has its name is whole. Of the sequences only the sizes are held, 4 bytes each.
#[derive(Debug)]
pub struct Writer {
    bin: Unfinished,
    idx: Unfinished,
    out: BufWriter<File>,
    dtype: Dtype,
    vocab_size: usize,
    sizes: Vec<i32>,
    tokens: u64,
    failed: bool,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// How many sequences.
    pub sequences: usize,
    /// How many tokens they have together.
    pub tokens: u64,
    /// The type that they are stored in.
    pub dtype: Dtype,
    /// The file of tokens.
    pub bin: PathBuf,
    /// Its index.
    pub idx: PathBuf,
}

impl Writer {
    /// Begins `stem.bin` and `stem.idx` of tokens below `vocab_size`: in two bytes each where that
    /// is at most 65536, else in four. `stem` may also be the name of either. The folder is made,
    /// where there is none.
    ///
    /// # Errors
    /// [`DataError`]: one of the files exists or cannot be made; a vocabulary above 2^31.
    pub fn create(stem: &Path, vocab_size: usize) -> Result<Self, DataError> {
        let dtype = if vocab_size <= SMALL_VOCABULARY {
            Dtype::U16
        } else if vocab_size <= LARGE_VOCABULARY {
            Dtype::I32
        } else {
            return Err(DataError::Other(format!(
                "a vocabulary of {vocab_size} tokens is too large for these files, which have at \
                 most 2^31"
            )));
        };
        let (bin, idx) = paths(stem);
        check_free(&[&bin, &idx])?;
        let bin = Unfinished::new(bin);
        if let Some(folder) = bin.path.parent() {
            fs::create_dir_all(folder).map_err(DataError::io(folder))?;
        }
        let file = File::create(&bin.partial).map_err(DataError::io(&bin.partial))?;
        Ok(Self {
            bin,
            idx: Unfinished::new(idx),
            out: BufWriter::new(file),
            dtype,
            vocab_size,
            sizes: Vec::new(),
            tokens: 0,
            failed: false,
        })
    }

    /// Adds a sequence, which is a document of its own.
    ///
    /// # Errors
    /// [`DataError`]: no tokens, too many of them, or some beyond the vocabulary, and then
    /// nothing is written of the sequence; a file that cannot be written, and then nothing more
    /// can be.
    pub fn push(&mut self, tokens: &[u32]) -> Result<(), DataError> {
        self.check_unbroken()?;
        let sequence = self.sizes.len();
        let other = |what: String| DataError::Other(format!("sequence {sequence} has {what}"));
        if tokens.is_empty() {
            return Err(other("no tokens: leave it out".to_owned()));
        }
        let len = tokens.len();
        let size = i32::try_from(len).map_err(|_| {
            other(format!(
                "{len} tokens, and an index counts to 2^31 - 1: cut it"
            ))
        })?;
        let vocab_size = self.vocab_size;
        let is_beyond = |token: &u32| *token as usize >= vocab_size;
        if let Some(place) = tokens.iter().position(is_beyond) {
            return Err(DataError::Other(format!(
                "{} of the tokens of sequence {sequence} are not in the vocabulary of \
                 {vocab_size}, the first of them {} at {place}",
                tokens.iter().copied().filter(is_beyond).count(),
                tokens[place]
            )));
        }
        let width = self.dtype.bytes();
        for token in tokens {
            let written = self.out.write_all(&token.to_le_bytes()[..width]);
            self.failed |= written.is_err();
            written.map_err(DataError::io(&self.bin.partial))?;
        }
        self.sizes.push(size);
        self.tokens += tokens.len() as u64;
        Ok(())
    }

    /// Writes the index and gives both files their names, the index last.
    ///
    /// # Errors
    /// [`DataError`]: nothing was written, something failed before, or fails now.
    pub fn finish(mut self) -> Result<Summary, DataError> {
        self.check_unbroken()?;
        if self.sizes.is_empty() {
            return Err(DataError::unusable(
                &self.bin.path,
                "no sequence was written",
            ));
        }
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(DataError::io(&self.bin.partial))?;
        self.write_index()
            .map_err(DataError::io(&self.idx.partial))?;
        check_free(&[&self.bin.path, &self.idx.path])?;
        self.bin.rename()?;
        self.idx.rename()?;
        Ok(Summary {
            sequences: self.sizes.len(),
            tokens: self.tokens,
            dtype: self.dtype,
            bin: self.bin.path.clone(),
            idx: self.idx.path.clone(),
        })
    }

    fn write_index(&self) -> io::Result<()> {
        let mut out = BufWriter::new(File::create(&self.idx.partial)?);
        let sequences = self.sizes.len() as u64;
        out.write_all(MAGIC)?;
        out.write_all(&VERSION.to_le_bytes())?;
        out.write_all(&[self.dtype as u8])?;
        out.write_all(&sequences.to_le_bytes())?;
        out.write_all(&(sequences + 1).to_le_bytes())?;
        for size in &self.sizes {
            out.write_all(&size.to_le_bytes())?;
        }
        let mut start = 0_i64;
        for &size in &self.sizes {
            out.write_all(&start.to_le_bytes())?;
            start += i64::from(size) * self.dtype.bytes() as i64;
        }
        for document in 0..=sequences {
            out.write_all(&document.to_le_bytes())?;
        }
        out.flush()?;
        out.get_ref().sync_all()
    }

    fn check_unbroken(&self) -> Result<(), DataError> {
        if self.failed {
            return Err(DataError::unusable(
                &self.bin.path,
                "writing has failed before: begin again",
            ));
        }
        Ok(())
    }
}

fn check_free(paths: &[&PathBuf]) -> Result<(), DataError> {
    let mut there = paths.to_vec();
    there.retain(|path| path.exists());
    if there.is_empty() {
        return Ok(());
    }
    Err(DataError::Other(format!(
        "{} would be written over: choose another name or remove it",
        list(&there)
    )))
}

/// A file under another name, which is removed unless it gets its own.
#[derive(Debug)]
struct Unfinished {
    path: PathBuf,
    partial: PathBuf,
}

impl Unfinished {
    fn new(path: PathBuf) -> Self {
        let partial = with_ending(&path, &format!(".partial-{}", std::process::id()));
        Self { path, partial }
    }

    fn rename(&self) -> Result<(), DataError> {
        fs::rename(&self.partial, &self.path).map_err(DataError::io(&self.path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name, and an error while cleaning up
        // after another one has nowhere to go.
        let _ = fs::remove_file(&self.partial);
    }
}
