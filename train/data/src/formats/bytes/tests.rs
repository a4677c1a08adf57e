#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::*;

/// Returns one gzip member.
pub(in super::super) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Returns one zstd frame.
pub(in super::super) fn zstd(bytes: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(bytes, 3).unwrap()
}

fn read(bytes: &[u8]) -> Result<Vec<u8>, DataError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    read_bytes(file.path())
}

#[test]
fn plain_and_compressed_bytes_are_read() {
    let text = "\u{FEFF}text ".repeat(10_000).into_bytes();
    for bytes in [&b""[..], b"a", b"\xFF\xFE\0", b"PAR1", &text] {
        assert_eq!(read(bytes).unwrap(), bytes);
        assert_eq!(read(&gzip(bytes)).unwrap(), bytes);
        assert_eq!(read(&zstd(bytes)).unwrap(), bytes);
    }
    // An empty member, and members that share a read buffer.
    let members = [gzip(b"a"), gzip(b""), gzip(&text), gzip(b"c")].concat();
    let expected = [b"a", &text[..], b"c"].concat();
    assert_eq!(read(&members).unwrap(), expected);
    // A skippable frame before, between and after the others.
    let skipped = b"\x5A\x2A\x4D\x18\x03\0\0\0abc".to_vec();
    let frames = [
        &skipped,
        &zstd(b"a"),
        &skipped,
        &zstd(&text),
        &zstd(b"c"),
        &skipped,
    ];
    assert_eq!(read(&frames.map(Vec::as_slice).concat()).unwrap(), expected);
}

#[test]
fn streams_that_are_cut_off_or_changed_are_damaged() {
    let text: Vec<u8> = (0..50_000u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    for (name, whole) in [("gzip", gzip(&text)), ("zstd", zstd(&text))] {
        for length in [10, whole.len() / 2, whole.len() - 1] {
            let message = read(&whole[..length]).unwrap_err().to_string();
            assert!(message.contains("damaged: "), "{message}");
            assert!(
                message.contains(&format!("its {name} stream is cut off")),
                "{message}"
            );
        }
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 0x55;
        // A checksum detects any changed byte; zstd has none by default.
        match read(&changed) {
            Ok(read) if name == "zstd" => assert_eq!(read.len(), text.len()),
            other => assert!(matches!(other, Err(DataError::Damaged { .. })), "{name}"),
        }
        let behind = read(&[&whole, &b"more than that"[..]].concat()).unwrap_err();
        assert!(matches!(behind, DataError::Damaged { .. }), "{behind}");
    }
}

#[test]
fn zstd_window_above_limit_is_rejected() {
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.include_contentsize(false).unwrap();
    encoder.write_all(b"text").unwrap();
    let error = read(&encoder.finish().unwrap()).unwrap_err();
    assert!(matches!(error, DataError::Unusable { .. }), "{error}");
    assert!(error.to_string().contains("without --long=28"), "{error}");
}

#[test]
fn files_that_cannot_be_read_are_named() {
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("absent"), folder.path().to_owned()] {
        let Err(error) = read_bytes(&path) else {
            panic!("{} was read", path.display());
        };
        assert!(matches!(error, DataError::Io { .. }), "{error:?}");
        assert!(
            error.to_string().starts_with(&*path.to_string_lossy()),
            "{error}"
        );
    }
}
