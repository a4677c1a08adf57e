#![allow(clippy::unwrap_used)]

use std::io::Write;

use ::parquet::basic::{Compression, Encoding, Repetition, ZstdLevel};
use ::parquet::file::metadata::ParquetMetaDataReader;
use ::parquet::file::properties::{WriterProperties, WriterPropertiesBuilder, WriterVersion};
use ::parquet::schema::types::ColumnPath;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::Rows;
use crate::DataError;
use write::table;

mod damage;
mod shapes;
mod values;
mod write;

/// Returns a file with these bytes.
fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

/// Returns the rows of a file with these bytes, with their problems, or an error.
fn read(bytes: &[u8]) -> Result<Vec<Result<Value, String>>, DataError> {
    Rows::open(file(bytes).path())?
        .map(|item| item.map(|(_, row)| row.map(Value::Object).map_err(|e| e.to_string())))
        .collect()
}

/// Returns the rows, which must all be valid.
fn rows(bytes: &[u8]) -> Vec<Value> {
    read(bytes)
        .unwrap()
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

fn plain() -> WriterPropertiesBuilder {
    WriterProperties::builder().set_dictionary_enabled(false)
}

/// Sets small pages, so that rows and batches end within pages and at their ends.
fn small_pages(builder: WriterPropertiesBuilder) -> WriterPropertiesBuilder {
    builder
        .set_data_page_size_limit(64)
        .set_write_batch_size(3)
        .set_dictionary_page_size_limit(80)
}

const CHAT: &str = "message schema {
    required binary id (STRING);
    optional group messages (LIST) {
        repeated group list {
            optional group element {
                optional binary role (STRING);
                optional binary content (STRING);
                required int64 tokens;
            }
        }
    }
    optional group tags (LIST) { repeated group list { optional binary element (STRING); } }
}";

fn chat(count: usize) -> Vec<Value> {
    let message = |n: usize| match n % 4 {
        0 => Value::Null,
        1 => json!({"role": "user", "content": null, "tokens": n}),
        _ => json!({"role": "assistant", "content": "text ".repeat(n % 7), "tokens": -1}),
    };
    let row = |n: usize| {
        let messages = match n % 5 {
            0 => Value::Null,
            1 => json!([]),
            more => (0..more * 2).map(|m| message(n + m)).collect(),
        };
        let tags = match n % 3 {
            0 => json!(["a", null, "b"]),
            1 => Value::Null,
            _ => json!([]),
        };
        json!({"id": format!("row {n}"), "messages": messages, "tags": tags})
    };
    (0..count).map(row).collect()
}

#[test]
fn parquet_nested_messages_equal_json() {
    let written = chat(700);
    let versions = [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0];
    let (first, second) = written.split_at(300);
    for version in versions {
        for builder in [WriterProperties::builder(), plain()] {
            let builder = builder.set_writer_version(version);
            for properties in [builder.clone(), small_pages(builder)] {
                let groups = [first.to_vec(), second.to_vec()];
                assert_eq!(rows(&table(CHAT, properties.build(), &groups)), written);
            }
        }
    }
}

#[test]
fn rows_are_counted_over_all_groups() {
    let groups = [chat(2), chat(3)];
    let file = file(&table(CHAT, WriterProperties::builder().build(), &groups));
    let rows = Rows::open(file.path()).unwrap();
    assert_eq!(rows.format().to_string(), "Parquet");
    let places: Vec<_> = rows.map(|item| item.unwrap().0.to_string()).collect();
    assert_eq!(places, ["row 1", "row 2", "row 3", "row 4", "row 5"]);
}

#[test]
fn every_compression_is_undone() {
    let written = chat(50);
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(ZstdLevel::default()),
        Compression::LZ4,
        Compression::LZ4_RAW,
        Compression::BROTLI(Default::default()),
    ] {
        let properties = WriterProperties::builder().set_compression(compression);
        let bytes = table(CHAT, properties.build(), &[&written]);
        assert_eq!(rows(&bytes), written, "{compression}");
    }
}

#[test]
fn every_encoding_is_undone() {
    let written = chat(300);
    let texts = [
        Encoding::DELTA_LENGTH_BYTE_ARRAY,
        Encoding::DELTA_BYTE_ARRAY,
    ];
    let numbers = [Encoding::DELTA_BINARY_PACKED, Encoding::BYTE_STREAM_SPLIT];
    for (text, number) in texts.into_iter().zip(numbers) {
        let column = |path: &str| ColumnPath::new(path.split('.').map(str::to_owned).collect());
        for properties in [plain(), small_pages(plain())] {
            let properties = properties
                .set_column_encoding(column("id"), text)
                .set_column_encoding(column("messages.list.element.content"), text)
                .set_column_encoding(column("messages.list.element.tokens"), number);
            let bytes = table(CHAT, properties.build(), &[&written]);
            assert_eq!(rows(&bytes), written, "{text}, {number}");
        }
    }
}

#[test]
fn tables_without_rows_are_empty() {
    let none: [&[Vec<Value>]; 2] = [&[], &[vec![]]];
    for groups in none {
        let bytes = table(CHAT, WriterProperties::builder().build(), groups);
        let error = read(&bytes).unwrap_err();
        assert!(matches!(error, DataError::Empty { .. }), "{error:?}");
    }
    let between = [chat(1), vec![], chat(1)];
    let bytes = table(CHAT, WriterProperties::builder().build(), &between);
    assert_eq!(rows(&bytes).len(), 2);
}

#[test]
fn oversized_parquet_row_is_reported_and_skipped() {
    let row = |text: usize| json!({"id": "x".repeat(text), "messages": null, "tags": null});
    let written = vec![row(10), row(1000), row(20)];
    let file = file(&table(CHAT, plain().build(), &[written]));
    let rows = Rows::open_with_limit(file.path(), 900).unwrap();
    let rows: Vec<_> = rows.map(|item| item.unwrap().1).collect();
    assert!(rows[0].is_ok() && rows[2].is_ok());
    assert!(
        rows[1]
            .as_ref()
            .unwrap_err()
            .to_string()
            .starts_with("longer than")
    );
}

#[test]
fn large_rows_are_not_read_ahead() {
    // 60 rows of 1 MiB in pages of one row. Reading 256 rows ahead would hold all of them.
    let text = "x".repeat(1 << 20);
    let written: Vec<_> = (0..60)
        .map(|n| json!({"id": format!("{n} {text}"), "messages": null, "tags": null}))
        .collect();
    let bytes = table(CHAT, plain().set_write_batch_size(1).build(), &[written]);
    let file = std::fs::File::open(file(&bytes).path()).unwrap();
    let metadata = ParquetMetaDataReader::new().parse_and_finish(&file);
    assert_eq!(super::rows_at_once(&metadata.unwrap()), 1);
}
