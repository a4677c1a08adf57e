//! Fingerprints of a run's inputs. A run resumes only on the same inputs.

use crate::disk::{PathError, at};
use bone_data::{Pool, Sample, Samples};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// File extensions that are part of a model or an adapter. Notes and pictures beside them are not.
const KINDS: [&str; 7] = ["bin", "jinja", "json", "model", "pth", "safetensors", "txt"];

/// Returns one hash per file of a model or an adapter, by name. `path` is a folder or a single file.
///
/// # Errors
///
/// One of them cannot be read.
pub fn of_files(path: &Path) -> Result<BTreeMap<String, String>, PathError> {
    let files = match path.is_dir() {
        false => vec![path.to_path_buf()],
        true => {
            let entries = fs::read_dir(path).map_err(at(path))?;
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            let mut files: Vec<_> = paths.collect::<io::Result<_>>().map_err(at(path))?;
            let kind = |file: &PathBuf| file.extension().is_some_and(is_kind);
            files.retain(|file| kind(file) && file.is_file());
            files
        }
    };
    let hash = |path: PathBuf| {
        let hashed = File::open(&path).and_then(|mut file| of_file(&mut file));
        let (_, hash) = hashed.map_err(at(&path))?;
        let name = path.file_name().unwrap_or_default();
        Ok((name.to_string_lossy().into_owned(), hash))
    };
    files.into_iter().map(hash).collect()
}

fn is_kind(extension: &OsStr) -> bool {
    KINDS.iter().any(|kind| extension == *kind)
}

/// Returns the number of bytes from the file's position to its end, and their hash as `xxh128sum` prints
/// it.
///
/// # Errors
///
/// It cannot be read.
pub(crate) fn of_file(file: &mut File) -> io::Result<(u64, String)> {
    let mut hash = Hash::default();
    let bytes = io::copy(file, &mut hash.0)?;
    Ok((bytes, hash.text()))
}

/// An incremental hash.
#[derive(Default)]
pub struct Hash(Xxh3);

impl Hash {
    /// Adds bytes.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Adds tokens and their count, which marks where they end.
    pub fn tokens(&mut self, tokens: &[u32]) {
        for token in tokens.iter().chain([&u32::MAX]) {
            self.bytes(&token.to_le_bytes());
        }
    }

    /// Adds a sample: its tokens, and which of them are trained on.
    pub fn sample(&mut self, sample: &Sample) {
        for token in &sample.tokens {
            self.bytes(&token.to_le_bytes());
        }
        for range in &sample.trained {
            self.bytes(&(range.start as u64).to_le_bytes());
            self.bytes(&(range.end as u64).to_le_bytes());
        }
        self.bytes(&u32::MAX.to_le_bytes());
    }

    /// Returns the hash as `xxh128sum` prints it.
    pub fn text(&self) -> String {
        format!("{:032x}", self.0.digest128())
    }
}

/// Returns the hash of the training rows and the held-out rows. Their tokens reflect the template and the
/// tokenizer.
///
/// # Errors
///
/// Rows stored on the disk cannot be read again.
pub fn of_rows(samples: &Samples, train: &[Pool], validation: &[Sample]) -> io::Result<String> {
    let mut hash = Hash::default();
    for pool in train {
        hash.bytes(&pool.weight.to_le_bytes());
        for &number in &pool.samples {
            hash.sample(&samples.read(number)?);
        }
    }
    hash.bytes(&u64::MAX.to_le_bytes());
    for sample in validation {
        hash.sample(sample);
    }
    let trained: usize = train.iter().map(|pool| pool.samples.len()).sum();
    Ok(format!(
        "{trained} and {} held out, {}",
        validation.len(),
        hash.text()
    ))
}
