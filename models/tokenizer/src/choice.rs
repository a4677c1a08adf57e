use std::convert::Infallible;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::hf::{TOKENIZER_FILE, folder_of};
use super::{ByteTokenizer, HfTokenizer, Tokenizer, TokenizerError, WorldTokenizer};

const AUTO: &str = "auto";
const BYTES: &str = "bytes";

/// The tokenizer of a model; written `auto`, `bytes` or as a path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TokenizerChoice {
    /// Detected from the files beside the model.
    #[default]
    Auto,
    /// The text's bytes.
    Bytes,
    /// A `.json` of Hugging Face, a `.txt` of RWKV, or a folder with one of these.
    File(PathBuf),
}

impl FromStr for TokenizerChoice {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text {
            AUTO => Self::Auto,
            BYTES => Self::Bytes,
            path => Self::File(path.into()),
        })
    }
}

impl fmt::Display for TokenizerChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str(AUTO),
            Self::Bytes => f.write_str(BYTES),
            // Reading back a file with such a name must not give the word.
            Self::File(path) if [AUTO, BYTES].iter().any(|word| path.as_os_str() == *word) => {
                write!(f, "./{}", path.display())
            }
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Opens the tokenizer of the model at `model_path`, its folder or its weights file. Also returns
/// one line with the choice and its reason. `vocab_size` is the model's.
///
/// `auto` takes the `tokenizer.json` beside the model, otherwise the only `rwkv_vocab*.txt`,
/// otherwise raw bytes for a model of 256 tokens.
///
/// # Errors
/// If no such file exists, if it is not valid, or if there are several vocabularies.
pub fn open(
    model_path: &Path,
    choice: &TokenizerChoice,
    vocab_size: usize,
) -> Result<(Box<dyn Tokenizer>, String), TokenizerError> {
    match choice {
        TokenizerChoice::Auto if model_path.is_dir() => beside(model_path, vocab_size),
        TokenizerChoice::Auto => beside(folder_of(model_path), vocab_size),
        TokenizerChoice::Bytes => Ok((Box::new(ByteTokenizer), "raw bytes".to_owned())),
        TokenizerChoice::File(path) if path.is_dir() => beside(path, vocab_size),
        TokenizerChoice::File(path) => file(path),
    }
}

/// Returns the names of the RWKV vocabularies in `folder`, `rwkv_vocab*.txt`, in order. Saving a
/// model copies them too. Empty if the folder can't be listed.
pub fn companions(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.starts_with("rwkv_vocab") && name.ends_with(".txt"))
        .filter(|name| folder.join(name).is_file())
        .collect();
    names.sort_unstable();
    names
}

fn beside(
    folder: &Path,
    vocab_size: usize,
) -> Result<(Box<dyn Tokenizer>, String), TokenizerError> {
    if folder.join(TOKENIZER_FILE).exists() {
        return file(&folder.join(TOKENIZER_FILE));
    }
    let mut names = companions(folder);
    if names.len() > 1 {
        return Err(TokenizerError::SeveralVocabularies {
            folder: folder.to_owned(),
            names,
        });
    }
    if let Some(name) = names.pop() {
        return file(&folder.join(name));
    }
    if vocab_size == ByteTokenizer::VOCAB_SIZE {
        let reason =
            format!("raw bytes: the model, which has {vocab_size} tokens, has no tokenizer file");
        return Ok((Box::new(ByteTokenizer), reason));
    }
    let hint = if folder.join("tokenizer.model").exists() {
        "it has tokenizer.model; convert it (in Python: \
         AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER))"
    } else {
        "download it into the folder (for RWKV: rwkv_vocab_v20230424.txt), or give a tokenizer: a .json, \
         a .txt, a folder, or \"bytes\""
    };
    Err(TokenizerError::NoTokenizer {
        folder: folder.to_owned(),
        hint: hint.to_owned(),
    })
}

fn file(path: &Path) -> Result<(Box<dyn Tokenizer>, String), TokenizerError> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    let tokenizer: Box<dyn Tokenizer> = match extension {
        Some("json") => Box::new(HfTokenizer::from_file(path)?),
        Some("txt") => Box::new(WorldTokenizer::from_file(path)?),
        _ if !path.exists() => {
            return Err(TokenizerError::Io {
                path: path.to_owned(),
                source: std::io::ErrorKind::NotFound.into(),
            });
        }
        _ => {
            return Err(TokenizerError::Invalid {
                path: path.to_owned(),
                reason:
                    "not a tokenizer file; give a .json file of Hugging Face or a .txt file of RWKV"
                        .to_owned(),
            });
        }
    };
    let reason = format!("{}, {} tokens", path.display(), tokenizer.vocab_size());
    Ok((tokenizer, reason))
}

#[cfg(test)]
mod tests;
