//! Writes sequences of tokens.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use super::error::BinidxError;
use super::{Dtype, MAGIC, VERSION, paths, with_ending};

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
    /// What is written of a sequence, to be written at once.
    buffer: Vec<u8>,
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
    /// [`BinidxError`]: one of the files exists or cannot be made; a vocabulary above 2^31.
    pub fn create(stem: &Path, vocab_size: usize) -> Result<Self, BinidxError> {
        let dtype = if vocab_size <= SMALL_VOCABULARY {
            Dtype::U16
        } else if vocab_size <= LARGE_VOCABULARY {
            Dtype::I32
        } else {
            return Err(BinidxError::Vocabulary(vocab_size));
        };
        let (bin, idx) = paths(stem);
        check_free(&[&bin, &idx])?;
        let bin = Unfinished::new(bin);
        if let Some(folder) = bin.path.parent() {
            fs::create_dir_all(folder).map_err(BinidxError::io(folder))?;
        }
        let file = File::create(&bin.partial).map_err(BinidxError::io(&bin.partial))?;
        Ok(Self {
            bin,
            idx: Unfinished::new(idx),
            out: BufWriter::new(file),
            dtype,
            vocab_size,
            sizes: Vec::new(),
            tokens: 0,
            buffer: Vec::new(),
            failed: false,
        })
    }

    /// Adds a sequence, which is a document of its own.
    ///
    /// # Errors
    /// [`BinidxError`]: no tokens, too many of them, or some beyond the vocabulary, and then
    /// nothing is written of the sequence; a file that cannot be written, and then nothing more
    /// can be.
    pub fn push(&mut self, tokens: &[u32]) -> Result<(), BinidxError> {
        self.check_unbroken()?;
        let sequence = self.sizes.len();
        if tokens.is_empty() {
            return Err(BinidxError::EmptySequence { sequence });
        }
        let size = i32::try_from(tokens.len()).map_err(|_| BinidxError::LongSequence {
            sequence,
            len: tokens.len(),
        })?;
        let vocab_size = self.vocab_size;
        let mut beyond = tokens
            .iter()
            .enumerate()
            .filter(|&(_, &token)| token as usize >= vocab_size);
        if let Some((place, &token)) = beyond.next() {
            return Err(BinidxError::BeyondVocabulary {
                sequence,
                total: 1 + beyond.count(),
                token,
                place,
                vocab_size,
            });
        }
        self.buffer.clear();
        let width = self.dtype.bytes();
        for token in tokens {
            self.buffer.extend_from_slice(&token.to_le_bytes()[..width]);
        }
        if let Err(error) = self.out.write_all(&self.buffer) {
            self.failed = true;
            return Err(BinidxError::io(&self.bin.partial)(error));
        }
        self.sizes.push(size);
        self.tokens += tokens.len() as u64;
        Ok(())
    }

    /// Writes the index and gives both files their names, the index last.
    ///
    /// # Errors
    /// [`BinidxError`]: nothing was written, something failed before, or fails now.
    pub fn finish(mut self) -> Result<Summary, BinidxError> {
        self.check_unbroken()?;
        if self.sizes.is_empty() {
            return Err(BinidxError::Nothing(self.bin.path.clone()));
        }
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(BinidxError::io(&self.bin.partial))?;
        self.write_index()
            .map_err(BinidxError::io(&self.idx.partial))?;
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
        out.write_all(&[self.dtype.code()])?;
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

    fn check_unbroken(&self) -> Result<(), BinidxError> {
        if self.failed {
            return Err(BinidxError::Broken(self.bin.path.clone()));
        }
        Ok(())
    }
}

fn check_free(paths: &[&PathBuf]) -> Result<(), BinidxError> {
    let there: Vec<_> = paths.iter().filter(|path| path.exists()).collect();
    if there.is_empty() {
        return Ok(());
    }
    Err(BinidxError::Exists(
        there.into_iter().map(|&path| path.clone()).collect(),
    ))
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

    fn rename(&self) -> Result<(), BinidxError> {
        fs::rename(&self.partial, &self.path).map_err(BinidxError::io(&self.path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is nothing left under this name, and an error while cleaning up
        // after another one has nowhere to go.
        let _ = fs::remove_file(&self.partial);
    }
}
