//! What a run's inputs are known by, so that it is not gone on with on others.

use crate::data::{Pool, Sample, Samples};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// Of all bytes of the files of a model or an adapter: of a folder's own, or of the file.
///
/// # Errors
///
/// The file or folder that cannot be read, and what the system says.
pub fn of_files(path: &Path) -> Result<String, (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |error| (path, error)
    };
    let mut files = match path.is_dir() {
        false => vec![path.to_path_buf()],
        true => {
            let entries = fs::read_dir(path).map_err(at(path))?;
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            paths.collect::<io::Result<Vec<_>>>().map_err(at(path))?
        }
    };
    files.retain(|file| file.is_file());
    files.sort();
    let mut hasher = Xxh3::new();
    for path in files {
        let name = path.file_name().unwrap_or_default();
        hasher.update(name.as_encoded_bytes());
        hasher.update(&[0]);
        let mut file = File::open(&path).map_err(at(&path))?;
        let bytes = add_file(&mut hasher, &mut file).map_err(at(&path))?;
        hasher.update(&bytes.to_le_bytes());
    }
    Ok(format!("{:032x}", hasher.digest128()))
}

/// Adds a file from where it is read next to its end; how many bytes that were.
///
/// # Errors
///
/// It cannot be read.
pub(crate) fn add_file(hasher: &mut Xxh3, file: &mut File) -> io::Result<u64> {
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(bytes);
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// Gives what a sample is, its tokens and which of them count, to a hash.
pub(crate) fn give_sample(sample: &Sample, mut to: impl FnMut(&[u8])) {
    for token in &sample.tokens {
        to(&token.to_le_bytes());
    }
    for range in &sample.trained {
        to(&(range.start as u64).to_le_bytes());
        to(&(range.end as u64).to_le_bytes());
    }
    to(&u32::MAX.to_le_bytes());
}

/// Of the rows as they are trained on and held out: their tokens hold the template and the tokenizer too.
///
/// # Errors
///
/// Rows that were put aside cannot be read again.
pub fn of_rows(samples: &Samples, train: &[Pool], validation: &[Sample]) -> io::Result<String> {
    let mut hasher = Xxh3::new();
    let add =
        |hasher: &mut Xxh3, sample: &Sample| give_sample(sample, |bytes| hasher.update(bytes));
    for pool in train {
        hasher.update(&pool.weight.to_le_bytes());
        for &number in &pool.samples {
            add(&mut hasher, &samples.read(number)?);
        }
    }
    hasher.update(&u64::MAX.to_le_bytes());
    for sample in validation {
        add(&mut hasher, sample);
    }
    Ok(format!("{:032x}", hasher.digest128()))
}
