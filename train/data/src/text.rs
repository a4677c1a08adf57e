//! Plain text for language-model training: no rows, no template, every token trained.

use std::io::Read;
use std::path::{Path, PathBuf};

use bone_tokenizer::{ByteLevel, Tokenizer, TokenizerError};
use thiserror::Error;

use super::formats::{self, Selection, SourceError};
use super::sample::{Limits, Sample, chunks};

/// As UTF-8 has it.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// A text that cannot be trained on.
#[derive(Debug, Error)]
pub enum TextError {
    /// The file cannot be opened, read or decompressed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The file is not UTF-8.
    #[error("{}: invalid UTF-8 at line {line} (byte {byte} of the file): convert it to UTF-8", .path.display())]
    NotUtf8 {
        /// The file.
        path: PathBuf,
        /// Line of the first invalid byte, from 1.
        line: usize,
        /// That byte's place in the file, from 1.
        byte: usize,
    },
    /// The file holds nothing but blank space.
    #[error("{}: the file holds no text", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Rows of a text, which has none.
    #[error(
        "{selection}: a slice counts rows, and this is plain text, which has none: name all of it, \
         or write it as rows of {{\"text\": …}}"
    )]
    Slice {
        /// The file with the slice.
        selection: Selection,
    },
    /// The tokenizer refuses the text.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// Token ids without an embedding.
    #[error("the text cannot be tokenized for this model: {0}")]
    BeyondVocab(String),
    /// A single token, and nothing before it.
    #[error("nothing is left to train on: the text is a single token")]
    OneToken,
}

/// Reads a text file, without its byte-order mark.
///
/// # Errors
/// [`TextError`]: unreadable, not UTF-8, or blank.
pub fn read_text(path: &Path) -> Result<String, TextError> {
    let bytes = read_bytes(path)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let lines = error.as_bytes()[..valid].iter().filter(|&&b| b == b'\n');
        TextError::NotUtf8 {
            path: path.to_owned(),
            line: 1 + lines.count(),
            byte: valid + 1,
        }
    })?;
    Ok(match text.strip_prefix('\u{FEFF}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Reads a file that need not be text as it is, with its byte-order mark if it has one;
/// decompressed, if it is gzip or zstd.
///
/// # Errors
/// [`TextError`]: unreadable or blank.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, TextError> {
    let mut bytes = Vec::new();
    formats::open_bytes(path)?
        .read_to_end(&mut bytes)
        .map_err(|error| SourceError::reading(path, error))?;
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    if text.iter().all(|byte| b" \t\r\n".contains(byte)) {
        return Err(TextError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(bytes)
}

/// Cuts BOS, text and EOS into chunks of at most `max_seq_len` tokens. A chunk begins with the
/// last token of the one before it, which is read and not trained.
///
/// # Errors
/// [`TextError`]: the tokenizer refuses the text, ids beyond the vocabulary, nothing to train.
pub fn tokenize_text(
    text: &str,
    tokenizer: &dyn Tokenizer,
    limits: Limits,
) -> Result<Vec<Sample>, TextError> {
    let mut tokens: Vec<u32> = tokenizer.bos().into_iter().collect();
    tokens.extend(tokenizer.encode(text)?);
    cut(tokens, tokenizer, limits)
}

/// As [`tokenize_text`], of bytes that need not be text.
///
/// # Errors
/// [`TextError`]: ids beyond the vocabulary, nothing to train.
pub fn tokenize_bytes(
    bytes: &[u8],
    tokenizer: &dyn ByteLevel,
    limits: Limits,
) -> Result<Vec<Sample>, TextError> {
    let mut tokens: Vec<u32> = tokenizer.bos().into_iter().collect();
    tokens.extend(tokenizer.encode_bytes(bytes));
    cut(tokens, tokenizer, limits)
}

/// Chunks of `tokens` and EOS.
fn cut(
    mut tokens: Vec<u32>,
    tokenizer: &dyn Tokenizer,
    limits: Limits,
) -> Result<Vec<Sample>, TextError> {
    tokens.extend(tokenizer.eos().first());
    if let Some(what) = limits.beyond_vocab(&tokens) {
        return Err(TextError::BeyondVocab(what));
    }
    if tokens.len() < 2 {
        return Err(TextError::OneToken);
    }
    Ok((0..)
        .zip(chunks(&tokens, limits.max_seq_len))
        .map(|(row, tokens)| Sample::after_prompt(tokens.to_vec(), 0, row))
        .collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::test_tokenizer::{BOS, Bytes, EOS};
    use bone_tokenizer::ByteTokenizer;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<String, TextError> {
        with_file(bytes, read_text)
    }

    fn with_file<T>(bytes: &[u8], read: impl FnOnce(&Path) -> T) -> T {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text.txt");
        std::fs::write(&path, bytes).unwrap();
        read(&path)
    }

    fn limits(max_seq_len: usize) -> Limits {
        Limits {
            max_seq_len,
            vocab_size: 258,
        }
    }

    #[test]
    fn a_text_is_read_as_it_is() {
        assert_eq!(read(b" a\r\nb\n").unwrap(), " a\r\nb\n");
        assert_eq!(read("\u{FEFF}a".as_bytes()).unwrap(), "a");
    }

    #[test]
    fn unusable_texts_are_errors_that_name_the_file() {
        let message = read(b"a\nb\xFFc").unwrap_err().to_string();
        assert!(message.contains("text.txt"), "{message}");
        assert!(message.contains("line 2 (byte 4"), "{message}");
        assert!(matches!(read(b" \n"), Err(TextError::Empty { .. })));
        let absent = read_text(Path::new("absent.txt")).unwrap_err().to_string();
        assert!(absent.starts_with("absent.txt: "), "{absent}");
    }

    #[test]
    fn bytes_are_read_and_tokenized_as_they_are() {
        let file = b"\xFF\xFEa\0\xE9\0\xEF\xBB\xBF";
        let bytes = with_file(file, read_bytes).unwrap();
        assert_eq!(bytes, file);
        let marked = "\u{FEFF}a".as_bytes();
        assert_eq!(with_file(marked, read_bytes).unwrap(), marked);
        for blank in [&b""[..], b" \r\n\t", b"\xEF\xBB\xBF \n"] {
            let error = with_file(blank, read_bytes).unwrap_err();
            assert!(matches!(error, TextError::Empty { .. }), "{error}");
        }
        // Neither a first nor a last token, and nothing but the bytes.
        let samples = tokenize_bytes(&bytes, &ByteTokenizer, limits(6)).unwrap();
        let tokens: Vec<_> = samples.iter().map(|s| s.tokens.as_slice()).collect();
        assert_eq!(
            tokens,
            [&[0xFF, 0xFE, 97, 0, 0xE9, 0][..], &[0, 0xEF, 0xBB, 0xBF]]
        );
        assert!(matches!(
            tokenize_bytes(b"a", &ByteTokenizer, limits(6)),
            Err(TextError::OneToken)
        ));
    }

    #[test]
    fn chunks_overlap_by_the_token_that_is_only_read() {
        let samples = tokenize_text("abcd", &Bytes::default(), limits(3)).unwrap();
        let tokens: Vec<_> = samples.iter().map(|s| s.tokens.as_slice()).collect();
        assert_eq!(tokens, [&[BOS, 97, 98][..], &[98, 99, 100], &[100, EOS]]);
        assert_eq!(samples.iter().map(|s| s.row).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn what_cannot_be_trained_is_an_error() {
        let bytes = Bytes::default();
        let bare = Bytes {
            bos: None,
            eos: vec![],
            ..Bytes::default()
        };
        assert!(matches!(
            tokenize_text("a", &bare, limits(9)),
            Err(TextError::OneToken)
        ));
        let small = Limits {
            max_seq_len: 9,
            vocab_size: 257,
        };
        assert!(matches!(
            tokenize_text("a", &bytes, small),
            Err(TextError::BeyondVocab(_))
        ));
        let strict = Bytes {
            refused: Some('a'),
            ..Bytes::default()
        };
        assert!(matches!(
            tokenize_text("a", &strict, limits(9)),
            Err(TextError::Tokenizer(_))
        ));
    }

    proptest! {
        #[test]
        fn every_token_but_the_first_is_a_target_once(
            text in ".{1,60}",
            max_seq_len in 2..20_usize,
        ) {
            let samples = tokenize_text(&text, &Bytes::default(), limits(max_seq_len)).unwrap();
            let mut whole = samples[0].tokens[..1].to_vec();
            for sample in &samples {
                prop_assert!(sample.tokens.len() <= max_seq_len);
                prop_assert_eq!(whole.last(), sample.tokens.first());
                whole.extend(&sample.tokens[sample.trained[0].clone()]);
            }
            let expected: Vec<u32> = [BOS]
                .into_iter()
                .chain(text.bytes().map(u32::from))
                .chain([EOS])
                .collect();
            prop_assert_eq!(whole, expected);
        }
    }
}
