//! A file of rows: JSON Lines, a JSON array, Parquet, each compressed or not; and a file of text.
#![no_main]

use bone_data::{RowReader, Template, read_bytes, read_text};
use libfuzzer_sys::fuzz_target;

/// Maximum number of rows to read: a small file can declare millions.
const MOST: usize = 1000;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    if let Err(error) = read_text(file.path()) {
        bone_fuzz::bounded(error);
    }
    if let Err(error) = read_bytes(file.path()) {
        bone_fuzz::bounded(error);
    }
    let mut reader = match RowReader::open(file.path(), 0..u64::MAX, None) {
        Ok(reader) => reader,
        Err(error) => return bone_fuzz::bounded(error),
    };
    for _ in 0..MOST {
        match reader.next_row() {
            Ok(Some(row)) => {
                for template in [Template::Alpaca, Template::ChatMl, Template::Rwkv] {
                    if let Err(error) = template.pieces(&row.content) {
                        bone_fuzz::bounded(error);
                    }
                }
            }
            Ok(None) => break,
            Err(error) => return bone_fuzz::bounded(error),
        }
    }
    if let Err(error) = reader.finish() {
        bone_fuzz::bounded(error);
    }
});
