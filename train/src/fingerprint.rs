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
    let mut buffer = vec![0; 1 << 20];
    for path in files {
        let name = path.file_name().unwrap_or_default();
        hasher.update(name.as_encoded_bytes());
        hasher.update(&[0]);
        let mut file = File::open(&path).map_err(at(&path))?;
        let mut bytes = 0u64;
        loop {
            let read = file.read(&mut buffer).map_err(at(&path))?;
            if read == 0 {
                break;
            }
            hasher.update(&buffer[..read]);
            bytes += read as u64;
        }
        hasher.update(&bytes.to_le_bytes());
    }
    Ok(format!("{:032x}", hasher.digest128()))
}

fn add(hasher: &mut Xxh3, sample: &Sample) {
    for token in &sample.tokens {
        hasher.update(&token.to_le_bytes());
    }
    for range in &sample.trained {
        hasher.update(&(range.start as u64).to_le_bytes());
        hasher.update(&(range.end as u64).to_le_bytes());
    }
    hasher.update(&u32::MAX.to_le_bytes());
}

/// Of the rows as they are trained on and held out: their tokens hold the template and the tokenizer too.
///
/// # Errors
///
/// Rows that were put aside cannot be read again.
pub fn of_rows(samples: &Samples, train: &[Pool], validation: &[Sample]) -> io::Result<String> {
    let mut hasher = Xxh3::new();
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
