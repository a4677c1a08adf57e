//! Cut or changed files must give rows or an error, never a panic.

use std::io::{Seek, SeekFrom};

use super::*;

/// Returns a small file with many types.
fn small(builder: WriterPropertiesBuilder) -> Vec<u8> {
    table(CHAT, builder.build(), &[chat(7), chat(3)])
}

fn variants() -> Vec<(&'static str, Vec<u8>)> {
    let column = |path: &str| ColumnPath::new(path.split('.').map(str::to_owned).collect());
    let delta = plain()
        .set_column_encoding(column("id"), Encoding::DELTA_BYTE_ARRAY)
        .set_column_encoding(
            column("messages.list.element.content"),
            Encoding::DELTA_LENGTH_BYTE_ARRAY,
        )
        .set_column_encoding(
            column("messages.list.element.tokens"),
            Encoding::DELTA_BINARY_PACKED,
        )
        .set_writer_version(WriterVersion::PARQUET_2_0);
    let snappy = WriterProperties::builder().set_compression(Compression::SNAPPY);
    vec![
        ("dictionary", small(WriterProperties::builder())),
        ("plain", small(plain())),
        ("delta", small(delta)),
        ("snappy", small(snappy)),
    ]
}

#[test]
fn a_file_that_is_cut_off_is_damaged() {
    for (name, whole) in variants() {
        for length in 4..whole.len() {
            let error = read(&whole[..length]).unwrap_err();
            assert!(
                matches!(error, DataError::Damaged { .. }),
                "{name} {length}: {error}"
            );
        }
    }
}

/// Reads `whole` once per byte, with this byte changed by `change`. Returns the number of errors.
fn with_each_byte(whole: &[u8], change: impl Fn(u8) -> u8) -> usize {
    let mut file = file(whole);
    let mut put = |at: usize, byte: u8| {
        file.seek(SeekFrom::Start(at as u64)).unwrap();
        file.write_all(&[byte]).unwrap();
        file.path().to_owned()
    };
    let mut errors = 0;
    for (at, &before) in whole.iter().enumerate().skip(4) {
        let path = put(at, change(before));
        let read: Result<Vec<_>, _> = Rows::open(&path).and_then(Iterator::collect);
        put(at, before);
        match read {
            // The file has 10 rows.
            Ok(rows) => assert!(rows.len() <= 10, "byte {at}"),
            Err(error) => {
                let expected = matches!(
                    error,
                    DataError::Damaged { .. }
                        | DataError::Unusable { .. }
                        | DataError::Empty { .. }
                );
                assert!(expected, "byte {at}: {error:?}");
                errors += 1;
            }
        }
    }
    errors
}

#[test]
fn changed_parquet_byte_never_panics() {
    for (name, whole) in variants() {
        for change in [|b: u8| b ^ 1, |_| 0xFF] {
            let errors = with_each_byte(&whole, change);
            assert!(errors > whole.len() / 20, "{name}: {errors} errors");
        }
    }
}

#[test]
fn page_with_false_value_count_is_damaged() {
    let whole = table(
        "message m { required binary a (STRING); }",
        plain()
            .set_column_encoding(ColumnPath::from("a"), Encoding::DELTA_LENGTH_BYTE_ARRAY)
            .build(),
        &[vec![json!({"a": "x"}), json!({"a": "y"})]],
    );
    assert_eq!(rows(&whole).len(), 2);
    // The original header is: block size 128, 4 mini-blocks, 2 values. The damaged one of equal length
    // claims 2 GiB.
    let header = [0x80, 0x01, 0x04, 0x02];
    let at = whole.windows(4).position(|four| four == header).unwrap();
    let mut changed = whole.clone();
    changed[at + 3] = 0x7F;
    let error = read(&changed).unwrap_err();
    assert!(matches!(error, DataError::Damaged { .. }), "{error:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn random_bytes_between_magics_are_rejected(bytes in prop::collection::vec(any::<u8>(), 0..400), length: bool) {
        let mut file = [b"PAR1", &bytes[..]].concat();
        let footer = if length { bytes.len() as u32 } else { u32::MAX };
        file.extend(footer.to_le_bytes());
        file.extend(b"PAR1");
        prop_assert!(read(&file).is_err());
    }
}
