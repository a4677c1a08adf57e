//! What a run's inputs are known by, so that it is not gone on with on others.

use bone_data::{Pool, Sample, Samples};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

/// What a model or an adapter is made of; notes and pictures beside it are not.
const KINDS: [&str; 7] = ["bin", "jinja", "json", "model", "pth", "safetensors", "txt"];

/// A hash of each file of a model or an adapter, by its name: of a folder's own, or of the file.
///
/// # Errors
///
/// The file or folder that cannot be read, and what the system says.
pub fn of_files(path: &Path) -> Result<BTreeMap<String, String>, (PathBuf, io::Error)> {
    let at = |path: &Path| {
        let path = path.to_path_buf();
        move |error| (path, error)
    };
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

/// Of a file from where it is read next to its end: how many bytes that are, and their hash as `xxh128sum`
/// prints it.
///
/// # Errors
///
/// It cannot be read.
pub(crate) fn of_file(file: &mut File) -> io::Result<(u64, String)> {
    let mut hasher = Xxh3::new();
    let mut buffer = vec![0; 1 << 20];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((bytes, format!("{:032x}", hasher.digest128())));
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// Gives what a sample is, its tokens and which of them count, to a hash.
pub fn give_sample(sample: &Sample, mut to: impl FnMut(&[u8])) {
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
    let trained: usize = train.iter().map(|pool| pool.samples.len()).sum();
    Ok(format!(
        "{trained} and {} held out, {:032x}",
        validation.len(),
        hasher.digest128()
    ))
}
