#![allow(clippy::unwrap_used)]

use std::fs;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::tests::{assets, stream};
use crate::{ByteTokenizer, TextStream};

/// Returns a vocabulary of our own: byte b has the id b + 1, then follow 11 longer tokens.
pub(crate) fn small_vocabulary() -> String {
    let mut lines: Vec<String> = (0..=255)
        .map(|byte: u8| match byte {
            b'\'' => "40 \"'\" 1".to_owned(),
            b'\\' => "93 '\\\\' 1".to_owned(),
            0x20..=0x7E => format!("{} '{}' 1", u32::from(byte) + 1, char::from(byte)),
            0x80.. => format!("{} b'\\x{byte:02x}' 1", u32::from(byte) + 1),
            _ => format!("{} '\\x{byte:02x}' 1", u32::from(byte) + 1),
        })
        .collect();
    lines.extend(
        [
            "257 'ab' 2",
            "258 'abcd' 4",
            "259 'bc' 2",
            r"260 '\n\n' 2",
            "261 '  ' 2",
            "262 ' a' 2",
            "263 'é' 2",
            r"264 b'\xe2\x82' 2",
            r"265 '\u20ac!' 4",
            r#"266 "it's" 4"#,
            r"267 b'\xff\xfe' 2",
        ]
        .map(str::to_owned),
    );
    lines.join("\n") + "\n"
}

fn read(vocabulary: impl AsRef<[u8]>) -> Result<WorldTokenizer, TokenizerError> {
    WorldTokenizer::from_vocabulary(vocabulary.as_ref(), Path::new("vocabulary.txt"))
}

fn small() -> WorldTokenizer {
    read(small_vocabulary()).unwrap()
}

#[test]
fn the_longest_token_is_taken() {
    let tokenizer = small();
    for (text, ids) in [
        ("", &[][..]),
        ("abcd", &[258]),
        // "abc" starts "abcd" but is not a token: back to "ab".
        ("abc", &[257, 100]),
        ("abce", &[257, 100, 102]),
        ("bcd", &[259, 101]),
        ("   a", &[261, 262]),
        ("  a", &[261, 98]),
        ("\n\n\n", &[260, 11]),
        ("é", &[263]),
        ("è", &[0xC3 + 1, 0xA8 + 1]),
        ("€!", &[265]),
        // Greedy, although this splits the character.
        ("€?", &[264, 0xAC + 1, 64]),
        ("it's it", &[266, 33, 106, 117]),
        ("\0", &[1]),
        ("<|", &[61, 125]),
    ] {
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(ids).unwrap(), text);
    }
    assert_eq!(tokenizer.encode_bytes(b"\xFF\xFE\xFE\xE2"), [267, 255, 227]);
    assert_eq!(tokenizer.vocab_size(), 268);
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (None, &[0][..]));
}

#[test]
fn ids_without_bytes_decode_to_nothing() {
    let tokenizer = small();
    let ids = [98, 0, 99, 268, 65_535, u32::MAX];
    assert_eq!(tokenizer.decode_bytes(&ids), b"ab");
    assert_eq!(tokenizer.decode(&[264, 98]).unwrap(), "\u{FFFD}a");
    let gap = small_vocabulary() + "300 'zz' 2\n";
    let tokenizer = read(gap).unwrap();
    assert_eq!(tokenizer.vocab_size(), 301);
    assert_eq!(tokenizer.decode_bytes(&[299, 300]), b"zz");
}

#[test]
fn line_ends_and_order_of_lines_do_not_matter() {
    let vocabulary = small_vocabulary();
    let reversed: Vec<&str> = vocabulary.lines().rev().collect();
    for variant in [
        vocabulary.trim_end().to_owned(),
        vocabulary.replace('\n', "\r\n"),
        reversed.join("\n"),
    ] {
        let tokenizer = read(variant).unwrap();
        assert_eq!(tokenizer.encode("abc it's").unwrap(), [257, 100, 33, 266]);
    }
}

#[test]
fn error_counts_bad_lines_and_names_the_first() {
    let bad = [
        ("", "expected an id, a literal"),
        ("300", "expected an id, a literal"),
        ("300 'x'", "expected an id, a literal"),
        ("x 'xy' 2", "1048575, not x"),
        ("+300 'xy' 2", "1048575, not +300"),
        ("0 'xy' 2", "id 0 is reserved"),
        ("1048576 'xy' 2", "1048575, not 1048576"),
        ("99999999999999999999 'xy' 2", "the id must be from 1"),
        ("300 xy 2", "not a Python str"),
        ("300 '' 0", "the token is empty"),
        ("300 'xy' 3", "has 2 bytes, but the line says 3"),
        ("300 'xy' -2", "2 bytes, but the line says -2"),
        ("300 'é' 1", "2 bytes, but the line says 1"),
        ("300  'xy' 2", "not a Python str"),
        ("98 'xy' 2", "line 98 has id 98 too"),
        ("300 'ab' 2", "line 257 has the same token"),
    ];
    for (line, what) in bad {
        let vocabulary = format!("{}{line}\n301 'zz' 2\n", small_vocabulary());
        let message = read(vocabulary).unwrap_err().to_string();
        assert!(message.contains("vocabulary.txt"), "{message}");
        assert!(message.contains("1 bad line(s): line 268: "), "{message}");
        assert!(message.contains(what), "no {what:?} in: {message}");
    }
    let all: String = bad.iter().map(|(line, _)| format!("{line}\n")).collect();
    let message = read(small_vocabulary() + &all).unwrap_err().to_string();
    for part in ["16 bad line(s)", "line 268: ", "line 277: ", "and 6 more"] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
    assert!(!message.contains("line 278: "), "{message}");

    let not_utf8 = [small_vocabulary().as_bytes(), b"300 '\xFF' 1"].concat();
    let message = read(not_utf8).unwrap_err().to_string();
    assert!(message.contains("line 268: not UTF-8"), "{message}");
    let long = format!("300 {} 1", "x".repeat(10_000));
    let message = read(small_vocabulary() + &long).unwrap_err().to_string();
    assert!(message.len() < 400, "{message}");
}

#[test]
fn a_vocabulary_without_some_bytes_is_refused() {
    let vocabulary = small_vocabulary().replace("98 'a' 1\n", "");
    let message = read(vocabulary).unwrap_err().to_string();
    assert!(message.contains("but 1 are missing: 0x61"), "{message}");
    let message = read("1 'ab' 2\n").unwrap_err().to_string();
    assert!(
        message.contains("but 256 are missing: 0x00, 0x01"),
        "{message}"
    );
    assert!(read("").is_err());
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [&folder.path().join("absent.txt"), folder.path()] {
        let message = WorldTokenizer::from_file(path).unwrap_err().to_string();
        assert!(message.starts_with(path.to_str().unwrap()), "{message}");
    }
    let path = folder.path().join("vocabulary.txt");
    fs::write(&path, small_vocabulary()).unwrap();
    assert_eq!(WorldTokenizer::from_file(&path).unwrap().vocab_size(), 268);
}

#[test]
fn world_tokenizer_matches_vectors() {
    let Some(assets) = assets() else { return };
    let folder = assets.join("tokenizers");
    let tokenizer = WorldTokenizer::from_file(&folder.join("rwkv_vocab_v20230424.txt")).unwrap();
    assert_eq!(tokenizer.vocab_size(), 65_530);
    let vectors = fs::read(folder.join("rwkv_world_vectors.json")).unwrap();
    let vectors: Vec<Value> = serde_json::from_slice(&vectors).unwrap();
    assert!(vectors.len() > 100);
    for vector in vectors {
        let text = vector["text"].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(vector["ids"].clone()).unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        let pieces = stream(TextStream::new(&tokenizer), &ids);
        assert_eq!(pieces.concat(), text);
    }
    // Every token encodes to itself, because no longer token starts with all of it.
    for (id, token) in (0..).zip(&tokenizer.tokens).skip(1) {
        assert_eq!(tokenizer.encode_bytes(token), [id], "{token:?}");
    }
}

#[test]
fn streamed_characters_are_whole() {
    let tokenizer = small();
    let ids = tokenizer.encode("a€?€!é").unwrap();
    let pieces = stream(TextStream::new(&tokenizer), &ids);
    assert_eq!(pieces, ["a", "€", "?", "€!", "é"]);
    // The prompt ends within a character.
    let after = TextStream::after(&tokenizer, &[98, 264]).unwrap();
    assert_eq!(stream(after, &[0xAC + 1, 98]), ["€", "a"]);
    // A broken character is returned as soon as it is known to be broken; an incomplete one at the
    // end waits.
    let pieces = stream(TextStream::new(&tokenizer), &[264, 98, 267, 264]);
    assert_eq!(pieces, ["\u{FFFD}a", "\u{FFFD}\u{FFFD}", "\u{FFFD}"]);
    assert_eq!(
        stream(TextStream::new(&ByteTokenizer), &[0xE9, 0]),
        ["\u{FFFD}\0"]
    );
}

/// Computes the definition, without a trie.
fn longest_match(tokens: &[Vec<u8>], mut bytes: &[u8]) -> Vec<u32> {
    let mut ids = Vec::new();
    while !bytes.is_empty() {
        let (id, token) = (0..)
            .zip(tokens)
            .filter(|(_, token)| !token.is_empty() && bytes.starts_with(token))
            .max_by_key(|(_, token)| token.len())
            .unwrap();
        ids.push(id);
        bytes = &bytes[token.len()..];
    }
    ids
}

/// Generates bytes, many of them part of longer tokens.
fn some_bytes() -> impl Strategy<Value = Vec<u8>> {
    let likely =
        prop::sample::select(&b"abcd \nit's\xC3\xA9\xE2\x82\xAC!\xF0\x9F\x98\x80\xFF\xFE"[..]);
    prop::collection::vec(prop_oneof![likely, any::<u8>()], 0..60)
}

proptest! {
    #[test]
    fn any_bytes_round_trip(bytes in some_bytes()) {
        let tokenizer = small();
        let ids = tokenizer.encode_bytes(&bytes);
        prop_assert_eq!(&ids, &longest_match(&tokenizer.tokens, &bytes));
        prop_assert_eq!(tokenizer.decode_bytes(&ids), &bytes[..]);
        let ids = ByteTokenizer.encode_bytes(&bytes);
        prop_assert_eq!(ByteTokenizer.decode_bytes(&ids), bytes);
    }

    #[test]
    fn published_vocabulary_round_trips_any_bytes(
        texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 64)
    ) {
        let Some(assets) = assets() else { return Ok(()) };
        static PUBLISHED: std::sync::OnceLock<WorldTokenizer> = std::sync::OnceLock::new();
        let tokenizer = PUBLISHED.get_or_init(|| {
            let path = assets.join("tokenizers/rwkv_vocab_v20230424.txt");
            WorldTokenizer::from_file(&path).unwrap()
        });
        for bytes in texts {
            let ids = tokenizer.encode_bytes(&bytes);
            prop_assert_eq!(tokenizer.decode_bytes(&ids), bytes);
        }
    }

    #[test]
    fn trie_finds_longest_token(
        longer in prop::collection::btree_set(prop::collection::vec(97u8..100, 2..6), 0..30),
        text in prop::collection::vec(97u8..101, 0..40),
    ) {
        let mut vocabulary = small_vocabulary().lines().take(256).collect::<Vec<_>>().join("\n");
        for (id, token) in (257..).zip(&longer) {
            let token_text = std::str::from_utf8(token).unwrap();
            vocabulary += &format!("\n{id} '{token_text}' {}", token.len());
        }
        let tokenizer = read(vocabulary).unwrap();
        prop_assert_eq!(tokenizer.encode_bytes(&text), longest_match(&tokenizer.tokens, &text));
    }

    #[test]
    fn streamed_text_equals_decoded_text(bytes in some_bytes(), ids in prop::collection::vec(0u32..300, 0..40)) {
        let (world, raw) = (small(), ByteTokenizer);
        let tokenizers: [&dyn ByteLevel; 2] = [&world, &raw];
        for tokenizer in tokenizers {
            for ids in [tokenizer.encode_bytes(&bytes), ids.clone()] {
                let tokenizer: &dyn Tokenizer = tokenizer;
                let pieces = stream(TextStream::new(tokenizer), &ids);
                prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
                prop_assert_eq!(pieces.concat(), tokenizer.decode(&ids).unwrap());
            }
        }
    }

    #[test]
    fn random_bytes_are_no_vocabulary(content in prop::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(read(content).is_err());
    }

    #[test]
    fn changed_line_is_an_error_or_a_token(
        at in 0usize..10, byte in any::<u8>(),
    ) {
        let mut vocabulary = small_vocabulary().into_bytes();
        let start = vocabulary.len();
        vocabulary.extend_from_slice(b"300 'xy' 2");
        vocabulary[start + at] = byte;
        if let Ok(tokenizer) = read(vocabulary) {
            // The last id is an ordinary token.
            let last = tokenizer.vocab_size() - 1;
            let ids = tokenizer.encode_bytes(&tokenizer.tokens[last]);
            prop_assert_eq!(ids, [last as u32]);
        }
    }
}
