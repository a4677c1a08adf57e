#![allow(clippy::unwrap_used)]

use std::fs;

use burn::tensor::f16;
use proptest::prelude::*;

use super::*;

mod broken;

/// Returns a safetensors file with the exact `header` and `data` bytes of data.
fn file(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.extend((0..data).map(|byte| byte as u8));
    bytes
}

fn entry(name: &str, shape: &str, begin: u64, end: u64) -> String {
    format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":[{begin},{end}]}}"#)
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
    // The format's reference implementation reads it too.
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
fn misaligned_data_is_copied_correctly() {
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
fn missing_weights_error_gives_hint() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("nowhere");
    let error = Checkpoint::open(&missing).unwrap_err();
    assert!(matches!(error, CheckpointError::NotAFolder { .. }));
    assert!(error.to_string().contains("nowhere"), "{error}");

    let hint = || match Checkpoint::open(dir.path()).unwrap_err() {
        CheckpointError::NoWeights { hint, .. } => hint,
        other => panic!("{other}"),
    };
    assert!(hint().contains("empty"), "{}", hint());
    for (name, part) in [
        ("readme.md", "download"),
        ("m.gguf", "m.gguf"),
        ("pytorch_model.bin", "save_pretrained"),
        ("model-1-of-2.safetensors", INDEX_FILE),
        ("adapter_model.safetensors", "base model"),
    ] {
        fs::write(dir.path().join(name), b"").unwrap();
        assert!(hint().contains(part), "{}", hint());
    }
}

#[test]
fn writer_removes_partial_files_and_never_overwrites() {
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

/// Asserts the guarantees of a parsed header, for any bytes.
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
