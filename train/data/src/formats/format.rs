//! Recognizing a file by its first bytes.

use std::fmt;

/// Compression of a whole file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Compression {
    /// gzip, of one member or several (RFC 1952).
    Gzip,
    /// Zstandard, of one frame or several (RFC 8878).
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// Number of first bytes that identify a file.
pub(super) const HEAD: u64 = 64;

/// Byte-order mark of UTF-8.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// First and last bytes of a Parquet file.
pub(super) const PARQUET: &[u8] = b"PAR1";

impl Compression {
    /// Returns the compression of a file that begins with `head`.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match head {
            [0x1F, 0x8B, ..] => Some(Self::Gzip),
            // A frame, or a skippable frame, which some compressors write first.
            [0x28, 0xB5, 0x2F, 0xFD, ..] | [0x50..=0x5F, 0x2A, 0x4D, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }
}

const ARROW: &str = "write the table as Parquet or JSON Lines";
const RECOMPRESS: &str = "use gzip or zstd instead";
const UNPACK: &str = "unpack it and give one of its files";
const UTF_8: &str = "convert it to UTF-8: iconv -f UTF-16 -t UTF-8";

/// First bytes of unsupported files, their kind, and what to do about them.
const REFUSED: [(&[u8], &str, &str); 12] = [
    (b"\xFF\xFE", "text in UTF-16", UTF_8),
    (b"\xFE\xFF", "text in UTF-16", UTF_8),
    (
        b"PARE",
        "a Parquet file with an encrypted footer",
        "write it without encryption",
    ),
    (b"ARROW1", "an Arrow file", ARROW),
    (b"\xFF\xFF\xFF\xFF", "an Arrow stream", ARROW),
    (b"PK\x03\x04", "a ZIP archive", UNPACK),
    (b"7z\xBC\xAF\x27\x1C", "a 7z archive", UNPACK),
    (b"BZh", "compressed with bzip2", RECOMPRESS),
    (b"\xFD7zXZ\0", "compressed with xz", RECOMPRESS),
    (b"\x04\x22\x4D\x18", "compressed with lz4", RECOMPRESS),
    (
        b"SQLite format 3\0",
        "an SQLite database",
        "export the table as JSON Lines",
    ),
    (
        bone_files::LFS_POINTER,
        "a Git LFS pointer instead of the file",
        "fetch it with git lfs pull",
    ),
];

/// Message for a file that looks like CSV.
pub(super) const DELIMITED: &str = "its first line is not JSON and looks like CSV: convert the file to JSON \
                                    Lines, a JSON array or Parquet";

/// Returns whether content looks like CSV: names separated by commas, semicolons or tabs.
pub(super) fn is_delimited(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| b"\r\n".contains(byte));
    let line = lines.next().unwrap_or_default();
    !line.contains(&b'{') && line.iter().any(|byte| b",;\t".contains(byte))
}

/// Returns why content that begins with `head` cannot be read as rows, if so.
pub(super) fn refusal(head: &[u8], compression: Option<Compression>) -> Option<String> {
    if let Some(outer) = compression {
        if head.starts_with(PARQUET) {
            return Some(format!(
                "a Parquet file compressed with {outer} as a whole: decompress it (Parquet compresses its \
                 columns itself)"
            ));
        }
        if let Some(inner) = Compression::of(head) {
            return Some(format!(
                "compressed twice, with {inner} and {outer}: decompress it once"
            ));
        }
    }
    REFUSED
        .iter()
        .find(|(magic, ..)| head.starts_with(magic))
        .map(|(_, what, fix)| format!("{what}: {fix}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_magic_number_fits_file_head() {
        assert!(REFUSED.iter().all(|(magic, ..)| magic.len() as u64 <= HEAD));
    }
}
