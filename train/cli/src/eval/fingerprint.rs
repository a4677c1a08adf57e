//! What tells two evaluations of the same names apart: a file may be another one by now.

use super::Question;
use bone_data::Sample;
use bone_train::run::fingerprint::give_sample;
use std::path::Path;

/// Of all that is read and asked: a question's tokens hold the template, the examples and the
/// tokenizer too.
pub fn of_prompts<'a>(prompts: impl Iterator<Item = (&'a Question, &'a [u32])>) -> String {
    let mut hasher = crc32fast::Hasher::new();
    for (question, tokens) in prompts {
        hasher.update(question.gold.as_bytes());
        hasher.update(&[0]);
        for token in tokens {
            hasher.update(&token.to_le_bytes());
        }
        hasher.update(&u32::MAX.to_le_bytes());
    }
    format!("{:08x}", hasher.finalize())
}

/// Of the sequences of a text, and which of their tokens count.
///
/// # Errors
/// What reading one gives.
pub fn of_samples<E>(samples: impl Iterator<Item = Result<Sample, E>>) -> Result<String, E> {
    let mut hasher = crc32fast::Hasher::new();
    for sample in samples {
        give_sample(&sample?, |bytes| hasher.update(bytes));
    }
    Ok(format!("{:08x}", hasher.finalize()))
}

/// Of a model's or an adapter's files, by their names, sizes and times: their bytes may take
/// minutes to read.
///
/// # Errors
/// A file or folder cannot be read.
pub fn of_files(path: &Path) -> std::io::Result<String> {
    let mut files = Vec::new();
    match path.is_dir() {
        true => {
            for entry in std::fs::read_dir(path)? {
                files.push(entry?.path());
            }
        }
        false => files.push(path.to_owned()),
    }
    files.sort();
    let mut hasher = crc32fast::Hasher::new();
    for file in files {
        let about = std::fs::metadata(&file)?;
        if !about.is_file() {
            continue;
        }
        let name = file.file_name().unwrap_or_default();
        hasher.update(name.as_encoded_bytes());
        hasher.update(&about.len().to_le_bytes());
        let time = about.modified()?.duration_since(std::time::UNIX_EPOCH);
        hasher.update(&time.unwrap_or_default().as_nanos().to_le_bytes());
    }
    Ok(format!("{:08x}", hasher.finalize()))
}
