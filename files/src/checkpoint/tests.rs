#![allow(clippy::unwrap_used)]

use std::fs;

use burn::tensor::f16;
use proptest::prelude::*;

use super::*;

/// A safetensors file with `header` as it is, and `data` bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend((0..data).map(|byte| byte as u8));
    bytes
}

fn entry(name: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
}

fn problems(header: &str, data: usize) -> Vec<Problem> {
    header::parse(&file(header, data), 0).unwrap_err()
}

fn tensors() -> Vec<(String, TensorData)> {
    vec![
        ("b".to_owned(), TensorData::from([[1f32, 2.], [3., 4.]])),
        (
            "a".to_owned(),
            TensorData::from([1f32, 2., 3.].map(f16::from_f32)),
        ),
        ("c".to_owned(), TensorData::from([5f32])),
        ("step".to_owned(), TensorData::from([7i64])),
    ]
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
fn round_trip_in_one_file() {
    let dir = tempfile::tempdir().unwrap();
    let metadata = BTreeMap::from([("step".to_owned(), "7".to_owned())]);
    let paths = save(dir.path(), tensors(), u64::MAX, metadata).unwrap();
    assert_eq!(paths, [dir.path().join(SINGLE_FILE)]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);

    for checkpoint in [
        Checkpoint::open(dir.path()).unwrap(),
        Checkpoint::open_file(&paths[0]).unwrap(),
    ] {
        let names: Vec<_> = checkpoint.tensors().map(|(name, _)| name).collect();
        assert_eq!(names, ["a", "b", "c", "step"]);
        for (name, data) in tensors() {
            assert_eq!(checkpoint.data(&name).unwrap(), data, "{name}");
        }
        assert_eq!(checkpoint.total_bytes(), 16 + 6 + 4 + 8);
        assert_eq!(checkpoint.get("b").unwrap().shape, [2, 2]);
        assert_eq!(checkpoint.get("a").unwrap().dtype, Dtype::F16);
        assert_eq!(checkpoint.metadata()["step"], "7");
        assert_eq!(checkpoint.metadata()["format"], "pt");
        assert_eq!(checkpoint.files().len(), 1);
        let error = checkpoint.data("x").unwrap_err();
        assert!(matches!(error, CheckpointError::NoTensor { .. }));
    }
    // The format's own implementation reads it too.
    let bytes = fs::read(&paths[0]).unwrap();
    let reference = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let expected = TensorData::from([[1f32, 2.], [3., 4.]]);
    assert_eq!(reference.tensor("b").unwrap().data(), &*expected.bytes);
}

#[test]
fn round_trip_in_shards() {
    let dir = tempfile::tempdir().unwrap();
    let paths = save(dir.path(), tensors(), 24, BTreeMap::new()).unwrap();
    let names: Vec<_> = paths
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors",
            INDEX_FILE
        ]
    );
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 3);
    let index: serde_json::Value = serde_json::from_slice(&fs::read(&paths[2]).unwrap()).unwrap();
    assert_eq!(index["metadata"]["total_size"], 34);
    assert_eq!(index["weight_map"]["a"], names[0]);
    assert_eq!(index["weight_map"]["c"], names[1]);

    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.files().len(), 2);
    for (name, data) in tensors() {
        assert_eq!(checkpoint.data(&name).unwrap(), data, "{name}");
    }
}

#[test]
fn data_is_not_copied_where_it_is_aligned() {
    let dir = tempfile::tempdir().unwrap();
    save(dir.path(), tensors(), u64::MAX, BTreeMap::new()).unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    for (name, info) in checkpoint.tensors() {
        let data = checkpoint.data(name).unwrap();
        let mapped = checkpoint.maps[0][info.start..].as_ptr();
        assert_eq!(data.bytes.as_ptr(), mapped, "{name} was copied");
    }
    let kept = checkpoint.data("b").unwrap();
    drop(checkpoint);
    assert_eq!(kept, TensorData::from([[1f32, 2.], [3., 4.]]));
}

#[test]
fn misaligned_data_is_copied_and_right() {
    let dir = tempfile::tempdir().unwrap();
    let mut header = format!("{{{}}}", entry("w", "[2]", 0, 8));
    while header.len() % 8 != 1 {
        header.push(' ');
    }
    let mut bytes = file(&header, 0);
    bytes.extend([1f32, -2.].iter().flat_map(|value| value.to_le_bytes()));
    fs::write(dir.path().join(SINGLE_FILE), bytes).unwrap();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    let data = checkpoint.data("w").unwrap();
    assert_eq!(data.as_slice::<f32>().unwrap(), [1., -2.]);
}

#[test]
fn folders_without_weights_say_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("nowhere");
    let error = Checkpoint::open(&missing).unwrap_err();
    assert!(matches!(error, CheckpointError::NotAFolder { .. }));
    assert!(error.to_string().contains("nowhere"), "{error}");

    let hint = || Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(hint().contains("the folder is empty"), "{}", hint());
    for (name, part) in [
        ("readme.md", "download the model"),
        ("m.gguf", "m.gguf"),
        ("pytorch_model.bin", "save the model as safetensors"),
        ("model-1-of-2.safetensors", "index.json beside them"),
        ("adapter_model.safetensors", "base model"),
    ] {
        fs::write(dir.path().join(name), b"").unwrap();
        assert!(hint().contains(part), "{}", hint());
    }
}

#[test]
fn broken_headers() {
    let is = |bytes: &[u8], expected: fn(&Problem) -> bool| {
        let found = header::parse(bytes, 0).unwrap_err();
        assert!(found.len() == 1 && expected(&found[0]), "{found:?}");
    };
    is(b"", |p| matches!(p, Problem::TooShort { len: 0 }));
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

#[test]
fn a_writer_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let count = || fs::read_dir(dir.path()).unwrap().count();
    let new = || Writer::create(dir.path(), 8, BTreeMap::new());

    let error = new().unwrap().finish().unwrap_err();
    assert!(matches!(error, SaveError::Empty { .. }));
    let mut writer = new().unwrap();
    writer.push("a", TensorData::from([1f32, 2.])).unwrap();
    writer.push("b", TensorData::from([1f32])).unwrap();
    assert_eq!(count(), 1, "the first shard is on disk before the second");
    let wrong = TensorData::from_bytes_vec(vec![0; 3], [1], DType::F32);
    for (name, data) in [
        ("a", TensorData::from([1f32])),
        ("__metadata__", TensorData::from([1f32])),
        ("wrong", wrong),
    ] {
        let error = writer.push(name, data).unwrap_err();
        assert!(matches!(error, SaveError::Tensor { .. }), "{error:?}");
    }
    drop(writer);
    assert_eq!(count(), 0, "unfinished files are removed");

    save(dir.path(), tensors(), u64::MAX, BTreeMap::new()).unwrap();
    let error = new().unwrap_err();
    assert!(error.to_string().contains(SINGLE_FILE), "{error}");
}

/// What a parsed header promises, whatever the bytes were.
fn check_sound(bytes: &[u8]) {
    if let Ok(header) = header::parse(bytes, 0) {
        for (_, info) in header.tensors {
            assert!(bytes.get(info.start..info.start + info.bytes).is_some());
            let elements: usize = info.shape.iter().product();
            assert_eq!(elements * info.dtype.bitsize(), info.bytes * 8);
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check_sound(&bytes);
        check_sound(&file(&String::from_utf8_lossy(&bytes), 8));
        let _ = index::parse(&bytes);
    }

    #[test]
    fn damaged_files_never_panic(
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8u8), 0..4),
        offsets in prop::collection::vec((any::<u64>(), any::<u64>()), 2),
        dims in prop::collection::vec(any::<u64>(), 0..4),
    ) {
        let header = format!("{{{},{}}}", entry("a", "[2,2]", 0, 16), entry("b", "[1]", 16, 20));
        let mut bytes = file(&header, 20);
        check_sound(&bytes[..cut.index(bytes.len())]);
        for (at, bit) in flips {
            let at = at.index(bytes.len());
            bytes[at] ^= 1u8 << bit;
        }
        check_sound(&bytes);
        let shape = format!("{dims:?}");
        let wild: Vec<_> = offsets.iter().map(|&(begin, end)| entry("x", &shape, begin, end)).collect();
        check_sound(&file(&format!("{{{}}}", wild[0]), 64));
        check_sound(&file(&format!("{{{}}}", wild.join(",")), 64));
    }
}
