//! Broken files, indices and folders.

use super::*;

fn problems(header: &str, data: usize) -> Vec<Problem> {
    header::parse(&file(header, data), 0).unwrap_err()
}

fn broken(folder: &Path) -> Vec<(String, Problem)> {
    match Checkpoint::open(folder).unwrap_err() {
        CheckpointError::Broken { problems, .. } => problems
            .into_iter()
            .map(|problem| (problem.file, problem.problem))
            .collect(),
        other => panic!("expected broken files, got {other:?}"),
    }
}

#[test]
fn broken_headers() {
    let is = |bytes: &[u8], expected: fn(&Problem) -> bool| {
        let found = header::parse(bytes, 0).unwrap_err();
        assert!(found.len() == 1 && expected(&found[0]), "{found:?}");
    };
    is(b"", |p| matches!(p, Problem::TooShort { len: 0 }));
    is(
        b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
        |p| matches!(p, Problem::LfsPointer),
    );
    is(&u64::MAX.to_le_bytes(), |p| {
        matches!(p, Problem::HeaderTooLong { .. })
    });
    is(&100u64.to_le_bytes(), |p| {
        matches!(
            p,
            Problem::HeaderPastEnd {
                needed: 108,
                len: 8
            }
        )
    });
    for json in [
        "",
        "[]",
        "nul",
        "{",
        r#"{"a":1}"#,
        r#"{"a":{"dtype":"F32"}}"#,
    ] {
        is(&file(json, 0), |p| matches!(p, Problem::Json { .. }));
    }
    let deep = format!(r#"{{"a":{}}}"#, "[".repeat(100_000));
    is(&file(&deep, 0), |p| matches!(p, Problem::Json { .. }));
}

#[test]
fn broken_entries_are_all_listed() {
    let header = [
        entry("twice", "[1]", 0, 4),
        entry("twice", "[1]", 0, 4),
        entry("reversed", "[1]", 8, 4),
        entry("past", "[1]", 4, 800),
        entry("huge", "[4294967296, 4294967296, 4294967296]", 0, 4),
        entry("wrong", "[3]", 4, 8),
        entry("type", "[1]", 0, 4).replace("F32", "F33"),
    ];
    let found = problems(&format!("{{{}}}", header.join(",")), 8);
    assert_eq!(found.len(), 6, "{found:?}");
    assert!(matches!(&found[0], Problem::Duplicate { name } if name == "twice"));
    assert!(matches!(
        &found[1],
        Problem::Reversed {
            begin: 8,
            end: 4,
            ..
        }
    ));
    assert!(matches!(
        &found[2],
        Problem::PastEnd {
            end: 800,
            len: 8,
            ..
        }
    ));
    assert!(matches!(&found[3], Problem::ShapeOverflow { name, .. } if name == "huge"));
    assert!(matches!(
        &found[4],
        Problem::WrongSize {
            needed: 96,
            bytes: 4,
            ..
        }
    ));
    assert!(matches!(&found[5], Problem::UnknownDtype { dtype, .. } if dtype == "F33"));
}

#[test]
fn overlaps_and_holes() {
    let header = |entries: &[String]| format!("{{{}}}", entries.join(","));
    let overlap = [entry("a", "[2]", 0, 8), entry("b", "[2]", 4, 12)];
    assert_eq!(
        problems(&header(&overlap), 12),
        [Problem::Overlap {
            first: "a".to_owned(),
            second: "b".to_owned()
        }]
    );
    let within = [
        entry("a", "[3]", 0, 12),
        entry("b", "[1]", 4, 8),
        entry("c", "[1]", 8, 12),
    ];
    assert_eq!(problems(&header(&within), 12).len(), 2);
    let holes = [entry("a", "[1]", 4, 8), entry("b", "[1]", 12, 16)];
    assert_eq!(
        problems(&header(&holes), 20),
        [
            Problem::Hole { begin: 0, end: 4 },
            Problem::Hole { begin: 8, end: 12 },
            Problem::Hole { begin: 16, end: 20 },
        ]
    );
    let empty = [entry("none", "[0, 5]", 4, 4), entry("a", "[1]", 0, 4)];
    assert!(header::parse(&file(&header(&empty), 4), 0).is_ok());
}

#[test]
fn a_truncated_file_is_broken() {
    let dir = tempfile::tempdir().unwrap();
    let path = save(dir.path(), tensors(), u64::MAX, BTreeMap::new()).unwrap();
    let whole = fs::read(&path[0]).unwrap();
    fs::write(&path[0], &whole[..whole.len() - 1]).unwrap();
    let message = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("cut off"), "{message}");
    assert!(message.contains(SINGLE_FILE), "{message}");
}

#[test]
fn shards_must_be_plain_names_in_the_folder() {
    let map = |shards: &[&str]| {
        let entries: serde_json::Map<_, _> = shards
            .iter()
            .enumerate()
            .map(|(number, shard)| (format!("t{number}"), (*shard).into()))
            .collect();
        serde_json::json!({ "weight_map": entries }).to_string()
    };
    let bad = [
        "../x.safetensors",
        "/etc/x.safetensors",
        "sub/x.safetensors",
        "sub\\x.safetensors",
        "C:x.safetensors",
        "..",
        "",
        "x.bin",
        "x\0.safetensors",
    ];
    let found = index::parse(map(&bad).as_bytes()).unwrap_err();
    let expected = bad.map(|shard| Problem::ShardName {
        shard: shard.to_owned(),
    });
    assert_eq!(found, expected);
    assert!(index::parse(map(&["a.safetensors", "..b.safetensors"]).as_bytes()).is_ok());
    for json in ["", "{}", r#"{"weight_map":{}}"#, r#"{"weight_map":[]}"#] {
        let found = index::parse(json.as_bytes()).unwrap_err();
        assert!(matches!(found[..], [Problem::Json { .. }]), "{found:?}");
    }
    let twice = r#"{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}"#;
    let found = index::parse(twice.as_bytes()).unwrap_err();
    assert!(
        matches!(found[..], [Problem::Duplicate { .. }]),
        "{found:?}"
    );
}

#[test]
fn index_and_shards_must_agree() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, tensors: &[&str]| {
        let entries: Vec<_> = tensors
            .iter()
            .zip(0..)
            .map(|(tensor, number)| entry(tensor, "[1]", number * 4, number * 4 + 4))
            .collect();
        let bytes = file(&format!("{{{}}}", entries.join(",")), 4 * tensors.len());
        fs::write(dir.path().join(name), bytes).unwrap();
    };
    write("x.safetensors", &["a", "unlisted", "both"]);
    write("y.safetensors", &["b", "both"]);
    let index = serde_json::json!({"weight_map": {
        "a": "x.safetensors", "both": "x.safetensors", "b": "y.safetensors",
        "absent": "y.safetensors", "c": "z.safetensors",
    }});
    fs::write(dir.path().join(INDEX_FILE), index.to_string()).unwrap();
    let named = |name: &str| name.to_owned();
    let (x, y) = (named("x.safetensors"), named("y.safetensors"));
    assert_eq!(
        broken(dir.path()),
        [
            (
                x.clone(),
                Problem::NotInIndex {
                    name: named("unlisted")
                }
            ),
            (
                y.clone(),
                Problem::InTwoShards {
                    name: named("both"),
                    other: x
                }
            ),
            (
                y.clone(),
                Problem::NotInShard {
                    name: named("absent")
                }
            ),
            (
                y,
                Problem::NotInIndex {
                    name: named("both")
                }
            ),
            (named("z.safetensors"), Problem::Missing),
        ]
    );
}

#[cfg(unix)]
#[test]
fn links_may_leave_the_folder_only_for_the_cache() {
    use std::os::unix::fs::symlink;
    let root = tempfile::tempdir().unwrap();
    let outside = root.path().join("elsewhere");
    let written = save(&outside, tensors(), u64::MAX, BTreeMap::new()).unwrap();

    let folder = root.path().join("model");
    fs::create_dir(&folder).unwrap();
    let link = folder.join(SINGLE_FILE);
    symlink(&written[0], &link).unwrap();
    let problem = |problem| vec![(SINGLE_FILE.to_owned(), problem)];
    assert_eq!(broken(&folder), problem(Problem::LeavesFolder));

    fs::remove_file(&link).unwrap();
    symlink("nowhere", &link).unwrap();
    assert_eq!(broken(&folder), problem(Problem::Missing));

    fs::remove_file(&link).unwrap();
    fs::create_dir(&link).unwrap();
    assert_eq!(broken(&folder), problem(Problem::NotAFile));

    let snapshot = root.path().join("repo/snapshots/main");
    let blobs = root.path().join("repo/blobs");
    fs::create_dir_all(&snapshot).unwrap();
    fs::create_dir_all(&blobs).unwrap();
    fs::copy(&written[0], blobs.join("0123")).unwrap();
    symlink("../../blobs/0123", snapshot.join(SINGLE_FILE)).unwrap();
    assert!(Checkpoint::open(&snapshot).unwrap().get("a").is_some());
}
