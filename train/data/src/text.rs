//! Plain text for language-model training: no rows, no template, every token trained.

use std::path::Path;

use bone_tokenizer::Tokenizer;

use super::formats;
use super::sample::{Limits, Sample, chunks};
use crate::DataError;

/// The byte-order mark in UTF-8.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads a text file, without its byte-order mark.
///
/// # Errors
/// [`DataError`]: unreadable, not UTF-8, or blank.
pub fn read_text(path: &Path) -> Result<String, DataError> {
    let bytes = read_bytes(path)?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let lines = error.as_bytes()[..valid].iter().filter(|&&b| b == b'\n');
        let what = format!(
            "invalid UTF-8 at line {} (byte {} of the file): convert it to UTF-8",
            1 + lines.count(),
            valid + 1
        );
        DataError::unusable(path, what)
    })?;
    Ok(match text.strip_prefix('\u{FEFF}') {
        Some(rest) => rest.to_owned(),
        None => text,
    })
}

/// Reads a file that need not be text. Keeps a byte-order mark and decompresses gzip and zstd.
///
/// # Errors
/// [`DataError`]: the file is unreadable or blank.
pub fn read_bytes(path: &Path) -> Result<Vec<u8>, DataError> {
    let bytes = formats::read_bytes(path)?;
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
    if text.iter().all(|byte| b" \t\r\n".contains(byte)) {
        return Err(DataError::empty(path, "the file has no text"));
    }
    Ok(bytes)
}

/// Splits BOS, text and EOS into chunks of at most `max_seq_len` tokens. A chunk starts with the last token
/// of the previous one, which is not trained again.
///
/// # Errors
/// [`DataError`]: the tokenizer rejects the text, ids are beyond the vocabulary, or there is nothing to
/// train on.
pub fn tokenize_text(
    text: &str,
    tokenizer: &dyn Tokenizer,
    limits: Limits,
) -> Result<Vec<Sample>, DataError> {
    let tokens = tokenizer.encode(text);
    let tokens = tokens.map_err(|error| DataError::Other(error.to_string()))?;
    chunked(tokens, tokenizer, limits)
}

/// Splits a text's tokens into chunks like [`tokenize_text`].
///
/// # Errors
/// [`DataError`]: ids are beyond the vocabulary, or there is nothing to train on.
pub fn chunked(
    text: Vec<u32>,
    tokenizer: &dyn Tokenizer,
    limits: Limits,
) -> Result<Vec<Sample>, DataError> {
    let mut tokens: Vec<u32> = tokenizer.bos().into_iter().collect();
    tokens.extend(text);
    tokens.extend(tokenizer.eos().first());
    if let Some(what) = limits.beyond_vocab(&tokens) {
        let what = format!("the text cannot be tokenized for this model: {what}");
        return Err(DataError::Other(what));
    }
    if tokens.len() < 2 {
        let what = "no samples left: the text is a single token";
        return Err(DataError::Other(what.to_owned()));
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
    use bone_tokenizer::{ByteLevel, ByteTokenizer};
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<String, DataError> {
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
    fn text_file_is_read_unchanged() {
        assert_eq!(read(b" a\r\nb\n").unwrap(), " a\r\nb\n");
        assert_eq!(read("\u{FEFF}a".as_bytes()).unwrap(), "a");
    }

    #[test]
    fn unusable_text_error_names_file() {
        let message = read(b"a\nb\xFFc").unwrap_err().to_string();
        assert!(message.contains("text.txt"), "{message}");
        assert!(message.contains("line 2 (byte 4"), "{message}");
        assert!(matches!(read(b" \n"), Err(DataError::Empty { .. })));
        let absent = read_text(Path::new("absent.txt")).unwrap_err().to_string();
        assert!(absent.starts_with("absent.txt: "), "{absent}");
    }

    #[test]
    fn byte_file_is_tokenized_unchanged() {
        let file = b"\xFF\xFEa\0\xE9\0\xEF\xBB\xBF";
        let bytes = with_file(file, read_bytes).unwrap();
        assert_eq!(bytes, file);
        let marked = "\u{FEFF}a".as_bytes();
        assert_eq!(with_file(marked, read_bytes).unwrap(), marked);
        for blank in [&b""[..], b" \r\n\t", b"\xEF\xBB\xBF \n"] {
            let error = with_file(blank, read_bytes).unwrap_err();
            assert!(matches!(error, DataError::Empty { .. }), "{error}");
        }
        // No BOS or EOS, only the bytes.
        let samples = chunked(
            ByteTokenizer.encode_bytes(&bytes),
            &ByteTokenizer,
            limits(6),
        )
        .unwrap();
        let tokens: Vec<_> = samples.iter().map(|s| s.tokens.as_slice()).collect();
        assert_eq!(
            tokens,
            [&[0xFF, 0xFE, 97, 0, 0xE9, 0][..], &[0, 0xEF, 0xBB, 0xBF]]
        );
        let error = chunked(vec![97], &ByteTokenizer, limits(6)).unwrap_err();
        assert!(error.to_string().ends_with("the text is a single token"));
    }

    #[test]
    fn chunks_share_their_boundary_token() {
        let samples = tokenize_text("abcd", &Bytes::default(), limits(3)).unwrap();
        let tokens: Vec<_> = samples.iter().map(|s| s.tokens.as_slice()).collect();
        assert_eq!(tokens, [&[BOS, 97, 98][..], &[98, 99, 100], &[100, EOS]]);
        assert_eq!(samples.iter().map(|s| s.row).collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn untrainable_text_is_rejected() {
        let bytes = Bytes::default();
        let bare = Bytes {
            bos: None,
            eos: vec![],
            ..Bytes::default()
        };
        let small = Limits {
            max_seq_len: 9,
            vocab_size: 257,
        };
        let strict = Bytes {
            refused: Some('a'),
            ..Bytes::default()
        };
        for (tokenizer, limits, expected) in [
            (bare, limits(9), "the text is a single token"),
            (bytes, small, "for this model: "),
            (strict, limits(9), "refused"),
        ] {
            let error = tokenize_text("a", &tokenizer, limits).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_token_after_first_is_target_once(
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
