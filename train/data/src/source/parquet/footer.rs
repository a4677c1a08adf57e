//! A file's footer: its schema, and where its columns are.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use ::parquet::basic::Compression;
use ::parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};

use super::super::format::PARQUET;
use super::{Fault, guarded, thrift};

/// Length of the footer's length and of the mark behind it.
const TAIL: u64 = 8;

/// Reads the footer of `file`. It is held as long as the file is read.
pub(super) fn read(mut file: &File) -> Result<ParquetMetaData, Fault> {
    let length = file.seek(SeekFrom::End(0)).map_err(Fault::Io)?;
    let cut_off = || Fault::damaged("its end is missing, where its footer is");
    let before = length
        .checked_sub(TAIL)
        .filter(|&before| before >= PARQUET.len() as u64)
        .ok_or_else(cut_off)?;
    file.seek(SeekFrom::Start(before)).map_err(Fault::Io)?;
    let mut tail = [0; TAIL as usize];
    file.read_exact(&mut tail).map_err(Fault::Io)?;
    let [a, b, c, d, mark @ ..] = tail;
    if mark != *PARQUET {
        return Err(cut_off());
    }
    let size = u64::from(u32::from_le_bytes([a, b, c, d]));
    let start = before
        .checked_sub(size)
        .filter(|&start| start >= PARQUET.len() as u64)
        .ok_or_else(|| Fault::damaged("its footer is longer than the file"))?;
    file.seek(SeekFrom::Start(start)).map_err(Fault::Io)?;
    let mut footer = Vec::new();
    file.take(size)
        .read_to_end(&mut footer)
        .map_err(Fault::Io)?;
    thrift::check_schema(&footer)
        .map_err(|what| Fault::Damaged(format!("in its footer, {what}")))?;
    guarded(
        || "its footer".to_owned(),
        || ParquetMetaDataReader::decode_metadata(&footer),
    )
}

/// Checks that every column is compressed in a way that is read.
pub(super) fn check_codecs(metadata: &ParquetMetaData) -> Result<(), Fault> {
    let chunks = metadata.row_groups().iter().flat_map(|g| g.columns());
    let mut unread: Vec<_> = chunks
        .filter_map(|chunk| match chunk.compression() {
            Compression::UNCOMPRESSED
            | Compression::SNAPPY
            | Compression::GZIP(_)
            | Compression::ZSTD(_)
            | Compression::LZ4
            | Compression::LZ4_RAW
            | Compression::BROTLI(_) => None,
            other => Some(format!("{} with {other}", chunk.column_path())),
        })
        .collect();
    unread.sort_unstable();
    unread.dedup();
    if unread.is_empty() {
        return Ok(());
    }
    Err(Fault::Unsupported(format!(
        "a Parquet file whose columns are compressed in a way that is not read ({}): write it \
         with snappy, gzip, zstd, lz4 or brotli",
        unread.join(", ")
    )))
}
