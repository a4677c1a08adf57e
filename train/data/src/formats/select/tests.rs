#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn parse(text: &str) -> Selection {
    text.parse().unwrap()
}

fn refused(text: &str) -> String {
    text.parse::<Selection>().unwrap_err()
}

fn selection(path: impl Into<PathBuf>, from: u64, to: Option<u64>) -> Selection {
    Selection {
        path: path.into(),
        from,
        to,
    }
}

/// Returns a folder with empty files of these names.
fn folder(names: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, "").unwrap();
    }
    folder
}

/// Returns the names of the files that `source` selects in `folder`, or the error without the folder's
/// name.
fn files(folder: &tempfile::TempDir, source: &str) -> Result<Vec<String>, String> {
    let bare = |text: String| text.replace(&format!("{}/", folder.path().display()), "");
    parse(&folder.path().join(source).to_string_lossy())
        .files()
        .map(|files| {
            files
                .into_iter()
                .map(|f| bare(f.display().to_string()))
                .collect()
        })
        .map_err(|error| bare(error.to_string()))
}

#[test]
fn trailing_brackets_are_a_row_range() {
    assert_eq!(parse("a.jsonl"), selection("a.jsonl", 0, None));
    assert_eq!(parse("d/train[:100]"), selection("d/train", 0, Some(100)));
    assert_eq!(parse("a[5:]"), selection("a", 5, None));
    assert_eq!(parse("a[5:7]"), selection("a", 5, Some(7)));
    assert_eq!(parse("a[:]"), selection("a", 0, None));
    assert_eq!(parse("a[1:2][3:4]"), selection("a[1:2]", 3, Some(4)));
    // The brackets are part of a name, not a range.
    for name in ["a[b]", "[a]/b.json", "a[1:2]b"] {
        assert_eq!(parse(name), selection(name, 0, None));
    }
}

#[test]
fn invalid_row_range_error_names_problem() {
    for (text, expected) in [
        ("a[-5:]", "-5 counts from the end"),
        ("a[:-1]", "-1 counts from the end"),
        ("a[:10%]", "10% is a fraction"),
        ("a[5:5]", "the start 5 must be less than the end 5"),
        ("a[:0]", "the start 0 must be less than the end 0"),
        ("a[7:3]", "the start 7 must be less than the end 3"),
        ("a[1.5:2]", "'1.5' is not a row number"),
        ("a[+1:2]", "'+1' is not a row number"),
        ("a[1:2:3]", "'2:3' is not a row number"),
        ("a[x:y]", "'x' is not a row number"),
        ("a[5]", "[5] is not a range"),
        ("a[]", "[] is not a range"),
        ("a[99999999999999999999:]", "is not a row number"),
        ("[1:2]", "the file name is missing"),
        ("", "the file name is missing"),
    ] {
        let message = refused(text);
        assert!(message.contains(expected), "{text}: {message}");
        assert!(
            message.starts_with(&format!("data '{text}': ")),
            "{message}"
        );
        assert!(message.contains("PATH[FROM:TO]"), "{message}");
    }
}

#[test]
fn existing_file_named_like_range_is_opened() {
    let folder = folder(&["a[1:2]", "a", "b[:9]", "c[x:y]", "d[3]"]);
    let read = |name: &str| parse(&folder.path().join(name).to_string_lossy());
    for name in ["a[1:2]", "b[:9]", "c[x:y]", "d[3]"] {
        let whole = selection(folder.path().join(name), 0, None);
        assert_eq!(read(name), whole);
        assert_eq!(whole.files().unwrap(), [folder.path().join(name)]);
        // The printed form is read the same way.
        assert_eq!(parse(&whole.to_string()), whole);
    }
    let part = selection(folder.path().join("a"), 1, Some(3));
    assert_eq!(read("a[1:3]"), part);
    assert_eq!(part.files().unwrap(), [folder.path().join("a")]);
}

#[test]
fn split_selects_files_with_its_name() {
    let folder = folder(&[
        "train.jsonl",
        "test.json.gz",
        "data/validation-00001-of-00002.parquet",
        "data/validation-00000-of-00002.parquet",
        "old-00000-of-00001-0123456789abcdef.parquet",
        "README.md",
        "dataset_infos.json",
        ".hidden.json",
        "more/a.jsonl",
    ]);
    assert_eq!(files(&folder, "train").unwrap(), ["train.jsonl"]);
    assert_eq!(files(&folder, "test[:3]").unwrap(), ["test.json.gz"]);
    assert_eq!(
        files(&folder, "validation").unwrap(),
        [
            "data/validation-00000-of-00002.parquet",
            "data/validation-00001-of-00002.parquet"
        ]
    );
    assert_eq!(
        files(&folder, "old").unwrap(),
        ["old-00000-of-00001-0123456789abcdef.parquet"]
    );
    // A file is selected by its name, whatever its kind.
    assert_eq!(files(&folder, "README.md").unwrap(), ["README.md"]);
    // One folder stands for its split `train`, the other for its only split.
    assert_eq!(files(&folder, "").unwrap(), ["train.jsonl"]);
    assert_eq!(files(&folder, "more").unwrap(), ["more/a.jsonl"]);
}

#[test]
fn missing_split_error_lists_available_splits() {
    let folder = folder(&[
        "a.jsonl",
        "b.parquet",
        "sub/main/train.jsonl",
        "sub/other/x.json",
    ]);
    assert_eq!(
        files(&folder, "train").unwrap_err(),
        "train: file not found; choose one of a, b"
    );
    assert_eq!(
        files(&folder, "sub/main/test").unwrap_err(),
        "sub/main/test: file not found; found sub/main/train"
    );
    assert_eq!(
        files(&folder, "nowhere/train").unwrap_err(),
        "nowhere/train: file not found"
    );
    assert!(
        files(&folder, "")
            .unwrap_err()
            .ends_with("several splits; choose one of a, b")
    );
    let message = files(&folder, "sub").unwrap_err();
    assert!(
        message.starts_with("sub: the folder has no data file"),
        "{message}"
    );
    assert!(
        message.ends_with("; choose one of sub/main, sub/other"),
        "{message}"
    );
}

/// openai/gsm8k has its rows in `main` and `socratic`. RWKV's trainers name a binidx without its extension.
#[test]
fn missing_path_error_suggests_nearby_paths() {
    let folder = folder(&[
        "hub/main/train-00000-of-00001.parquet",
        "hub/main/test-00000-of-00001.parquet",
        "hub/socratic/train-00000-of-00001.parquet",
        "hub/other/test.jsonl",
        "tokens/corpus.idx",
    ]);
    assert_eq!(
        files(&folder, "hub/train").unwrap_err(),
        "hub/train: file not found; choose one of hub/main/train, hub/socratic/train"
    );
    assert_eq!(
        files(&folder, "tokens/corpus").unwrap_err(),
        "tokens/corpus: file not found; found tokens/corpus.idx"
    );
}

#[test]
fn missing_files_of_a_set_are_listed() {
    let folder = folder(&[
        "train-00001-of-00004.json.zst",
        "train-00003-of-00004.json.zst",
    ]);
    let message = files(&folder, "train").unwrap_err();
    for part in [
        "train: 2 of 4 files",
        ": train-00000-of-00004.json.zst, train-00002-of-00004.json.zst",
    ] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
    let folder = self::folder(&["x-00000-of-00020.json"]);
    let message = files(&folder, "x").unwrap_err();
    assert!(message.contains("19 of 20"), "{message}");
    assert!(
        message.ends_with("x-00010-of-00020.json, and 9 more"),
        "{message}"
    );
}

#[test]
fn ambiguous_split_is_rejected() {
    for (names, expected) in [
        (&["a.jsonl", "a.parquet"][..], "a.jsonl and as a.parquet"),
        (&["a.json", "data/a.json"], "a.json and as data/a.json"),
        (
            &["a-00000-of-00002.json", "a-00001-of-00002.json", "a.json"],
            "a.json and as a-00000-of-00002.json and 1 more",
        ),
        (
            &["a-00000-of-00001.json", "a-00000-of-00002.json"],
            "a-00000-of-00001.json and as a-00000-of-00002.json",
        ),
        (
            &["a-00000-of-00001-aa.json", "a-00000-of-00001-bb.json"],
            "a-00000-of-00001-aa.json and as a-00000-of-00001-bb.json",
        ),
    ] {
        let message = files(&folder(names), "a").unwrap_err();
        assert!(message.starts_with("a: "), "{message}");
        let expected = format!(" copies, {expected}: choose one");
        assert!(message.contains(&expected), "{message}");
    }
}

#[test]
fn malformed_shard_names_are_separate_splits() {
    let folder = folder(&[
        "a-00002-of-00002.json",
        "b-1-of-2.json",
        "c-00000-of-00001-xyz.json",
    ]);
    for name in ["a-00002-of-00002", "b-1-of-2", "c-00000-of-00001-xyz"] {
        assert_eq!(files(&folder, name).unwrap(), [format!("{name}.json")]);
    }
}

proptest! {
    #[test]
    fn printed_selection_parses_back(
        path in "[a-z/]{1,6}(\\[[0-9]?:[0-9]?\\]|\\[[a-z%5]{0,3}\\])?",
        from in prop_oneof![Just(0), any::<u64>()],
        length in prop::option::of(1..u64::MAX),
    ) {
        let to = length.and_then(|length| from.checked_add(length));
        let written = selection(path, from, to);
        prop_assert_eq!(parse(&written.to_string()), written);
    }

    #[test]
    fn random_selection_text_never_panics(text in ".*") {
        if let Ok(selection) = text.parse::<Selection>() {
            prop_assert_eq!(parse(&selection.to_string()), selection);
        }
    }
}
