#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::super::Place;
use super::super::bytes::tests::{gzip, zstd};
use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};

mod broken;
mod fixtures;

/// Returns a file with these bytes.
fn file(bytes: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes.as_ref()).unwrap();
    file
}

fn open(bytes: impl AsRef<[u8]>) -> Result<Rows, DataError> {
    Rows::open(file(bytes).path())
}

/// Returns the rows, which must all be valid.
fn values(bytes: impl AsRef<[u8]>) -> Vec<Value> {
    let rows = open(bytes).unwrap();
    rows.map(|item| Value::Object(item.unwrap().1.unwrap()))
        .collect()
}

/// Returns every row with its place, or its problem.
fn listed(bytes: impl AsRef<[u8]>) -> Vec<String> {
    let rows = open(bytes).unwrap();
    rows.map(|item| match item.unwrap() {
        (place, Ok(row)) => format!("{place}: {}", Value::Object(row)),
        (place, Err(problem)) => format!("{place}: {problem}"),
    })
    .collect()
}

fn format(bytes: impl AsRef<[u8]>) -> String {
    open(bytes).unwrap().format().to_string()
}

#[test]
fn layout_is_detected_from_content() {
    let lines = "\r\n\n{\"a\":1}\r\n\r\n {\"a\":2}";
    let array = "\n\t [\n{\"a\":\n1},\r\n {\"a\":2} ]\n";
    for (text, layout) in [(lines, "JSON Lines"), (array, "JSON array")] {
        let marked = format!("\u{FEFF}{text}");
        for text in [text, &marked] {
            let bytes = text.as_bytes();
            for (bytes, name) in [
                (bytes.to_vec(), layout.to_owned()),
                (gzip(bytes), format!("{layout}, gzip")),
                (zstd(bytes), format!("{layout}, zstd")),
            ] {
                assert_eq!(values(&bytes), [json!({"a": 1}), json!({"a": 2})]);
                assert_eq!(format(&bytes), name);
            }
        }
    }
}

#[test]
fn fields_stay_in_their_order() {
    let row = r#"{"z":1,"a":{"y":2,"b":[3]}}"#;
    for text in [row.to_owned(), format!("[{row}]")] {
        assert_eq!(values(text)[0].to_string(), row);
    }
}

#[test]
fn multi_part_compressed_files_are_read() {
    for compress in [gzip, zstd] {
        // A row that spans two parts, and a byte-order mark in the first part.
        let parts = ["\u{FEFF}{\"a\":1}\n{\"a\"", ":2}\n", "{\"a\":3}"];
        let bytes = parts.map(|part| compress(part.as_bytes())).concat();
        assert_eq!(
            values(bytes),
            [json!({"a": 1}), json!({"a": 2}), json!({"a": 3})]
        );
    }
}

#[test]
fn truncated_stream_keeps_earlier_rows() {
    let text: String = (0..100_000).map(|n| format!("{{\"a\":{n}}}\n")).collect();
    for compress in [gzip, zstd] {
        let whole = compress(text.as_bytes());
        let cut = file(&whole[..whole.len() - 5]);
        let mut rows = Rows::open(cut.path()).unwrap();
        let (mut read, mut errors) = (0, 0);
        for item in &mut rows {
            match item {
                Ok((place, row)) => {
                    assert_eq!(place, Place::Line(read + 1));
                    assert_eq!(row.unwrap()["a"], read);
                    read += 1;
                }
                Err(error) => {
                    assert!(matches!(error, DataError::Damaged { .. }), "{error}");
                    errors += 1;
                }
            }
        }
        assert_eq!(errors, 1);
        assert!(read > 50_000, "{read} rows of 100000 were read");
        assert!(rows.next().is_none());
    }
}

#[test]
fn files_without_rows_are_errors() {
    for text in ["", " \n\r\n\t", "\u{FEFF}", "[]", " [ ] ", "\u{FEFF}[\n]\n"] {
        for bytes in [text.as_bytes().to_vec(), gzip(text.as_bytes())] {
            let error = open(bytes).unwrap_err();
            assert!(
                matches!(error, DataError::Empty { .. }),
                "{text:?}: {error}"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("absent.jsonl"), folder.path().into()] {
        let error = Rows::open(&path).unwrap_err();
        assert!(matches!(error, DataError::Io { .. }), "{error:?}");
        assert!(error.to_string().contains(&*path.to_string_lossy()));
    }
}

#[test]
fn unsupported_file_kinds_suggest_a_fix() {
    let utf16: Vec<u8> = "\u{FEFF}{}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let utf16_be: Vec<u8> = "\u{FEFF}{}"
        .encode_utf16()
        .flat_map(u16::to_be_bytes)
        .collect();
    let lfs = b"version https://git-lfs.example/spec/v1\noid sha256:00\n".to_vec();
    for (bytes, expected) in [
        (utf16.clone(), "text in UTF-16: convert it to UTF-8"),
        (utf16_be, "text in UTF-16"),
        (gzip(&utf16), "text in UTF-16"),
        (gzip(b"PAR1...PAR1"), "a Parquet file compressed with gzip"),
        (
            zstd(b"PAR1...PAR1"),
            "compressed with zstd as a whole: decompress it",
        ),
        (gzip(&gzip(b"{}")), "compressed twice, with gzip and gzip"),
        (zstd(&gzip(b"{}")), "compressed twice, with gzip and zstd"),
        (b"PK\x03\x04...".to_vec(), "a ZIP archive: unpack it"),
        (b"BZh9...".to_vec(), "compressed with bzip2"),
        (
            b"ARROW1\0\0".to_vec(),
            "an Arrow file: write the table as Parquet",
        ),
        (b"PARE....PARE".to_vec(), "an encrypted footer"),
        (lfs, "git lfs pull"),
    ] {
        let error = open(bytes).unwrap_err();
        assert!(matches!(error, DataError::Unusable { .. }), "{error:?}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[test]
fn rows_can_be_read_in_another_thread() {
    fn sendable<T: Send>(_: &T) {}
    sendable(&open("{}").unwrap());
}

proptest! {
    #[test]
    fn any_bytes_are_rows_or_an_error(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        start in prop::sample::select(vec![&b""[..], b"{", b"[", b"[{", b"\x1F\x8B", b"\x28\xB5\x2F\xFD", b"PAR1"]),
    ) {
        bytes.splice(0..0, start.iter().copied());
        if let Ok(rows) = open(bytes) {
            prop_assert!(rows.take(1000).count() <= 300);
        }
    }

    #[test]
    fn written_rows_are_read_back(
        texts in prop::collection::vec((".*", any::<i64>()), 1..20),
        pretty: bool,
    ) {
        let rows: Vec<_> = texts.iter().map(|(a, b)| json!({"text": a, "n": [b, null]})).collect();
        let lines = rows.iter().map(|row| format!("{row}\n")).collect::<String>();
        let array = if pretty {
            serde_json::to_string_pretty(&rows).unwrap()
        } else {
            serde_json::to_string(&rows).unwrap()
        };
        for text in [lines, array] {
            prop_assert_eq!(&values(&text), &rows);
            prop_assert_eq!(&values(gzip(text.as_bytes())), &rows);
            prop_assert_eq!(&values(zstd(text.as_bytes())), &rows);
        }
    }
}
