#![allow(clippy::unwrap_used)]

use std::fs;

use super::*;
use crate::DataError;
use proptest::prelude::*;

/// Returns a folder, and the stem of files in it.
fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let stem = folder.path().join("some.data");
    (folder, stem)
}

fn write(stem: &Path, vocab_size: usize, sequences: &[Vec<u32>]) -> Summary {
    let mut writer = Writer::create(stem, vocab_size).unwrap();
    for sequence in sequences {
        writer.push(sequence).unwrap();
    }
    writer.finish().unwrap()
}

/// Returns an index with these sizes and starts in bytes, with one document per sequence.
fn index(code: u8, sizes: &[i32], starts: &[i64]) -> Vec<u8> {
    let mut bytes = Vec::from(b"MMIDIDX\0\0");
    bytes.extend(1u64.to_le_bytes());
    bytes.push(code);
    bytes.extend((sizes.len() as u64).to_le_bytes());
    bytes.extend((sizes.len() as u64 + 1).to_le_bytes());
    bytes.extend(sizes.iter().flat_map(|size| size.to_le_bytes()));
    bytes.extend(starts.iter().flat_map(|start| start.to_le_bytes()));
    bytes.extend((0..=sizes.len() as i64).flat_map(i64::to_le_bytes));
    bytes
}

/// Opens files with these bytes.
fn open(idx: &[u8], bin: &[u8]) -> Result<Binidx, DataError> {
    let (_folder, stem) = folder();
    fs::write(with_ending(&stem, ".idx"), idx).unwrap();
    fs::write(with_ending(&stem, ".bin"), bin).unwrap();
    Binidx::open(&stem)
}

fn message(result: Result<Binidx, DataError>) -> String {
    result.unwrap_err().to_string()
}

fn all(data: &Binidx) -> Vec<Vec<u32>> {
    (0..data.len())
        .map(|sequence| data.read(sequence, usize::MAX).unwrap())
        .collect()
}

#[test]
fn written_binidx_matches_specification() {
    let (_folder, stem) = folder();
    let summary = write(&stem, 65_536, &[vec![1, 65_535], vec![258]]);
    assert_eq!(
        summary,
        Summary {
            sequences: 2,
            tokens: 3,
            dtype: Dtype::U16,
            bin: with_ending(&stem, ".bin"),
            idx: with_ending(&stem, ".idx"),
        }
    );
    assert_eq!(fs::read(&summary.bin).unwrap(), [1, 0, 0xFF, 0xFF, 2, 1]);
    let expected: &[&[u8]] = &[
        b"MMIDIDX\0\0",
        // Version, code of u16, two sequences, three document entries.
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[8],
        &[2, 0, 0, 0, 0, 0, 0, 0],
        &[3, 0, 0, 0, 0, 0, 0, 0],
        // Sizes in tokens, starts in bytes.
        &[2, 0, 0, 0],
        &[1, 0, 0, 0],
        &[0, 0, 0, 0, 0, 0, 0, 0],
        &[4, 0, 0, 0, 0, 0, 0, 0],
        // No sequence before the first document, one before the second, two in total.
        &[0, 0, 0, 0, 0, 0, 0, 0],
        &[1, 0, 0, 0, 0, 0, 0, 0],
        &[2, 0, 0, 0, 0, 0, 0, 0],
    ];
    assert_eq!(fs::read(&summary.idx).unwrap(), expected.concat());

    let (_folder, stem) = folder();
    let summary = write(&stem, 65_537, &[vec![65_536]]);
    assert_eq!(summary.dtype, Dtype::I32);
    assert_eq!(fs::read(summary.bin).unwrap(), [0, 0, 1, 0]);
    assert_eq!(fs::read(summary.idx).unwrap()[17], 4);
}

#[test]
fn binidx_opens_by_stem_bin_or_idx() {
    let (folder, stem) = folder();
    write(&stem, 10, &[vec![1, 2, 3], vec![4]]);
    for name in ["some.data", "some.data.bin", "some.data.idx"] {
        let data = Binidx::open(&folder.path().join(name)).unwrap();
        assert_eq!((data.len(), data.size(0), data.size(1)), (2, 3, 1));
        assert_eq!((data.size(2), data.is_empty()), (0, false));
        assert_eq!(data.read(0, 2).unwrap(), [1, 2]);
        assert_eq!(data.read(1, 2).unwrap(), [4]);
        let message = data.read(2, 1).unwrap_err().to_string();
        for part in ["sequence 2", "there are 2"] {
            assert!(message.contains(part), "no {part} in: {message}");
        }
    }
    let gone = Binidx::open(&folder.path().join("other.bin"))
        .unwrap_err()
        .to_string();
    assert!(
        gone.contains("other.bin and ") && gone.contains("other.idx; "),
        "{gone}"
    );
    fs::remove_file(with_ending(&stem, ".bin")).unwrap();
    let gone = Binidx::open(&stem).unwrap_err().to_string();
    assert!(gone.contains("some.data.bin; "), "{gone}");
}

#[test]
fn every_type_of_token_is_read() {
    for (code, bin, expected) in [
        (1, vec![7, 0xFF], vec![7, 255]),
        (2, vec![7, 0x7F], vec![7, 127]),
        (3, vec![7, 1, 0, 0], vec![263, 0]),
        (
            4,
            vec![7, 0, 1, 0, 0, 0, 0, 0x7F],
            vec![65_543, 0x7F00_0000],
        ),
        (
            5,
            [7u64, u64::from(u32::MAX)].map(u64::to_le_bytes).concat(),
            vec![7, u32::MAX],
        ),
        (8, vec![7, 1, 0xFF, 0xFF], vec![263, 65_535]),
    ] {
        let data = open(&index(code, &[2], &[0]), &bin).unwrap();
        assert_eq!(all(&data), [expected], "code {code}");
        assert_eq!(data.index.dtype as u8, code);
    }
}

#[test]
fn negative_or_huge_tokens_are_rejected() {
    for (code, bin) in [
        (2, vec![1, 0x80, 0xFF]),
        (3, [1i16, -128, -1].map(i16::to_le_bytes).concat()),
        (4, [1i32, -128, -1].map(i32::to_le_bytes).concat()),
        (5, [1i64, -128, 1 << 32].map(i64::to_le_bytes).concat()),
    ] {
        let data = open(&index(code, &[3], &[0]), &bin).unwrap();
        assert_eq!(data.read(0, 1).unwrap(), [1]);
        let message = data.read(0, 3).unwrap_err().to_string();
        for part in ["2 tokens of sequence 0", "2^32", "the first is -128 at 1"] {
            assert!(message.contains(part), "no {part} in: {message}");
        }
    }
}

#[test]
fn sequences_may_lie_anywhere_in_the_file() {
    let bin: Vec<u8> = (0..200).collect();
    // Reverse order; every other sequence is empty.
    let sizes: Vec<i32> = (0..100).map(|n| n % 2).collect();
    let starts: Vec<i64> = (0..100).map(|n| 199 - n).collect();
    let data = open(&index(1, &sizes, &starts), &bin).unwrap();
    for (sequence, &start) in starts.iter().enumerate() {
        let expected = [start as u32];
        assert_eq!(data.read(sequence, 9).unwrap(), expected[..sequence % 2]);
    }
    // Consecutive starts, except for the last, which begins before the others end.
    let starts: Vec<i64> = (0..100).map(|n| if n == 99 { 3 } else { n }).collect();
    let data = open(&index(1, &[1; 100], &starts), &bin).unwrap();
    let expected: Vec<_> = starts.iter().map(|&start| vec![start as u32]).collect();
    assert_eq!(all(&data), expected);
}

#[test]
fn multimodal_index_is_read() {
    let mut idx = index(1, &[1, 2], &[0, 1]);
    idx.extend([0, 1]);
    assert_eq!(all(&open(&idx, &[7, 8, 9]).unwrap()), [vec![7], vec![8, 9]]);
}

#[test]
fn invalid_index_error_names_problem() {
    let good = index(8, &[1], &[0]);
    let changed = |at: usize, byte: u8| {
        let mut idx = good.clone();
        idx[at] = byte;
        message(open(&idx, &[0, 0]))
    };
    for (text, expected) in [
        (message(open(&good[..33], &[0, 0])), "only 33 bytes"),
        (changed(0, b'X'), "MMIDIDX"),
        (changed(9, 2), "version 2 is not supported"),
        (changed(17, 7), "code 7, which is a floating-point type"),
        (changed(17, 9), "code 9, which is unknown"),
        (
            message(open(&[b"TNTIDX\0\0", &[0; 40][..]].concat(), &[])),
            "\"mmap\"",
        ),
        (
            message(open(&good[..good.len() - 1], &[0, 0])),
            "62 bytes, found 61",
        ),
        (
            changed(25, 0xFF),
            "18374686479671623681 sequences and 2 document entries has 220496237756059484222 bytes",
        ),
        (
            changed(33, 0x7F),
            "and 9151314442816847874 document entries",
        ),
    ] {
        assert!(text.contains(expected), "{text}");
    }
}

#[test]
fn invalid_sequences_are_listed() {
    let sizes = [2, -1, 1, i32::MAX, 1];
    let starts = [0, 4, -6, 6, i64::MAX];
    let text = message(open(&index(8, &sizes, &starts), &[0; 8]));
    for part in [
        "4 of its sequences",
        "sequence 1 has -1 tokens",
        "sequence 2 starts at byte -6",
        "sequence 3 ends at byte 4294967300 of 8",
        "sequence 4 ends at byte 9223372036854775809 of 8",
    ] {
        assert!(text.contains(part), "no {part} in: {text}");
    }
    // All problems are counted, the first ones are shown.
    let text = message(open(&index(1, &[1; 25], &[5; 25]), &[0; 5]));
    assert!(text.contains("25 of its sequences"), "{text}");
    assert!(
        text.contains("sequence 9 ends at byte 6 of 5, and 15 more;"),
        "{text}"
    );
}

#[test]
fn invalid_sequence_is_rejected_and_not_written() {
    let (_folder, stem) = folder();
    let mut writer = Writer::create(&stem, 100).unwrap();
    writer.push(&[99]).unwrap();
    let refused = |result: Result<(), DataError>, parts: &[&str]| {
        let message = result.unwrap_err().to_string();
        for part in parts {
            assert!(message.contains(part), "no {part} in: {message}");
        }
    };
    refused(writer.push(&[]), &["sequence 1 has no tokens"]);
    refused(
        writer.push(&[1, 100, 2, u32::MAX]),
        &[
            "2 tokens of sequence 1",
            "vocabulary of 100",
            "the first is 100 at 1",
        ],
    );
    writer.push(&[3, 4]).unwrap();
    writer.finish().unwrap();
    assert_eq!(all(&Binidx::open(&stem).unwrap()), [vec![99], vec![3, 4]]);
    let too_large = Writer::create(&stem, (1 << 31) + 1).map(drop);
    refused(too_large, &["2147483649 tokens", "2^31"]);
}

#[test]
fn unfinished_writer_leaves_no_files() {
    let (folder, stem) = folder();
    let files = || fs::read_dir(folder.path()).unwrap().count();
    let mut writer = Writer::create(&stem, 10).unwrap();
    writer.push(&[1]).unwrap();
    assert!(!with_ending(&stem, ".bin").exists());
    drop(writer);
    assert_eq!(files(), 0);
    let nothing = Writer::create(&stem, 10).unwrap().finish().unwrap_err();
    assert!(
        nothing.to_string().ends_with("no sequence was written"),
        "{nothing}"
    );
    assert_eq!(files(), 0);

    write(&stem, 10, &[vec![1]]);
    assert_eq!(files(), 2);
    let exists = Writer::create(&stem, 10).unwrap_err().to_string();
    assert!(
        exists.contains(".bin and ") && exists.contains("cannot overwrite"),
        "{exists}"
    );
    fs::remove_file(with_ending(&stem, ".bin")).unwrap();
    let exists = Writer::create(&with_ending(&stem, ".bin"), 10)
        .unwrap_err()
        .to_string();
    assert!(!exists.contains(".bin and "), "{exists}");
    assert_eq!(files(), 1);
    // An index file that appears during writing is kept too.
    fs::remove_file(with_ending(&stem, ".idx")).unwrap();
    let mut writer = Writer::create(&stem, 10).unwrap();
    writer.push(&[2]).unwrap();
    write(&with_ending(&stem, ".other"), 10, &[vec![1]]);
    fs::rename(with_ending(&stem, ".other.idx"), with_ending(&stem, ".idx")).unwrap();
    let exists = writer.finish().unwrap_err().to_string();
    assert!(
        exists.contains(".idx; ") && !exists.contains(" and "),
        "{exists}"
    );
    let message = Writer::create(&folder.path().join("file/x"), 10);
    assert!(message.is_ok(), "a missing folder is created");
    fs::write(folder.path().join("text"), "").unwrap();
    let message = Writer::create(&folder.path().join("text/x"), 10);
    let message = message.unwrap_err().to_string();
    assert!(message.contains("/text: "), "{message}");
}

#[test]
fn corrupt_index_is_rejected_or_consistent() {
    let bin = [1u8, 0, 2, 0, 3, 0, 4, 0, 5, 0];
    let whole = index(8, &[2, 1, 2], &[0, 4, 6]);
    let (_folder, stem) = folder();
    fs::write(with_ending(&stem, ".bin"), bin).unwrap();
    let mut well = 0;
    for at in 0..whole.len() {
        let flipped = (0..8).map(|bit| whole[at] ^ (1 << bit));
        for byte in flipped.chain([0, 0xFF]) {
            let mut idx = whole.clone();
            idx[at] = byte;
            fs::write(with_ending(&stem, ".idx"), &idx).unwrap();
            let Ok(data) = Binidx::open(&stem) else {
                continue;
            };
            well += 1;
            assert!(data.len() <= 3);
            for sequence in 0..data.len() {
                let tokens = data.read(sequence, usize::MAX);
                assert!(tokens.is_ok_and(|tokens| tokens.len() == data.size(sequence)));
            }
        }
    }
    // Only changes in documents, which are ignored, and from a zero to a one remain valid.
    assert!(well > 32 * 9, "{well}");
    for length in 0..whole.len() {
        assert!(open(&whole[..length], &bin).is_err());
    }
}

proptest! {
    #[test]
    fn written_sequences_are_read_back(
        vocab_size in prop::sample::select(vec![300usize, 65_536, 65_537, 1 << 31]),
        sequences in prop::collection::vec(prop::collection::vec(any::<u32>(), 1..20), 1..200),
        most in 0..25usize,
    ) {
        let sequences: Vec<Vec<u32>> = sequences
            .into_iter()
            .map(|sequence| sequence.into_iter().map(|t| t % vocab_size as u32).collect())
            .collect();
        let (_folder, stem) = folder();
        let summary = write(&stem, vocab_size, &sequences);
        let data = Binidx::open(&stem).unwrap();
        let tokens: usize = sequences.iter().map(Vec::len).sum();
        prop_assert_eq!(summary.tokens, tokens as u64);
        prop_assert_eq!(data.index.dtype, summary.dtype);
        prop_assert_eq!(&all(&data), &sequences);
        for (number, sequence) in sequences.iter().enumerate().rev() {
            prop_assert_eq!(data.size(number), sequence.len());
            let first = &sequence[..sequence.len().min(most)];
            prop_assert_eq!(data.read(number, most).unwrap(), first);
        }
    }

    #[test]
    fn random_index_bytes_never_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200), headed: bool) {
        if headed {
            bytes.splice(0..0, index(8, &[], &[])[..18].iter().copied());
        }
        if let Ok(data) = open(&bytes, &[0; 100]) {
            prop_assert!(data.len() < 20);
        }
    }
}
