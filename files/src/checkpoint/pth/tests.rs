#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use crate::{Checkpoint, CheckpointError, FileProblem, INDEX_FILE};

/// Returns the path of a file written by torch itself; `tests/reference/pth_fixtures.py` makes them.
fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures/pth")
        .join(name)
}

fn bytes(name: &str) -> Vec<u8> {
    fs::read(fixture(name)).unwrap()
}

/// Panics unless both hold the same tensors.
fn check_same(pth: &Checkpoint, safetensors: &Checkpoint) {
    let shapes = |checkpoint: &Checkpoint| -> Vec<_> {
        let tensors = checkpoint.tensors();
        tensors
            .map(|(name, info)| (name.to_owned(), info.shape.clone(), info.dtype, info.bytes))
            .collect()
    };
    assert_eq!(shapes(pth), shapes(safetensors));
    assert_eq!(pth.total_bytes(), safetensors.total_bytes());
    for (name, _) in safetensors.tensors() {
        let (found, expected) = (pth.data(name).unwrap(), safetensors.data(name).unwrap());
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn torch_files_equal_their_safetensors() {
    for name in ["plain", "views", "module", "wrapped", "protocol4", "zip64"] {
        let pth = Checkpoint::open_file(&fixture(&format!("{name}.pth"))).unwrap();
        let path = fixture(&format!("{name}.safetensors"));
        check_same(&pth, &Checkpoint::open_file(&path).unwrap());
    }
}

#[test]
fn only_strided_tensors_are_copied() {
    let views = Checkpoint::open_file(&fixture("views.pth")).unwrap();
    for (name, info) in views.tensors() {
        let data = views.data(name).unwrap();
        let in_file = data.bytes.as_ptr() == views.maps[0][info.start..].as_ptr();
        let rows = ["parameter", "rows", "shared", "shared_rows", "shared_too"];
        assert_eq!(in_file, rows.contains(&name), "{name}");
    }
}

#[test]
fn unsafe_and_unsupported_files_are_refused() {
    for (name, parts) in [
        (
            "calls_system",
            vec!["posix.system", "run code", "state_dict"],
        ),
        ("calls_by_stack", vec!["os.system"]),
        ("calls_by_inst", vec!["os.system"]),
        ("calls_eval", vec!["__builtin__.eval"]),
        ("namespace", vec!["argparse.Namespace"]),
        ("complex", vec!["torch.ComplexFloatStorage"]),
        ("negated", vec!["metadata"]),
        ("training", vec!["\"model\" (a dict), \"step\" (an int)"]),
        ("list", vec!["a list", "a dict of tensors"]),
        ("legacy", vec!["before 1.6", "torch.save it again"]),
        ("deflated", vec!["compressed", "one/data.pkl"]),
        ("big_endian", vec!["\"big\" endian"]),
    ] {
        let file = format!("{name}.pth");
        let message = Checkpoint::open_file(&fixture(&file))
            .unwrap_err()
            .to_string();
        for part in parts.iter().chain([&file.as_str()]) {
            assert!(message.contains(part), "{name}: {message}");
        }
    }
    let tar = [&[b' '; 257][..], b"ustar", &[0; 250]].concat();
    assert!(is_pth(&tar).unwrap_err().to_string().contains("tar"));
    let bare = is_pth(b"\x80\x02}q\x00X\x01\x00\x00\x00.").unwrap_err();
    assert!(bare.to_string().contains("a bare pickle"), "{bare}");
    // A safetensors file whose header is 640 bytes long begins like a pickle.
    assert_eq!(is_pth(b"\x80\x02\0\0\0\0\0\0{."), Ok(false));
}

/// Returns why the reader refuses a pickle.
fn refused(pickle: &[u8]) -> &'static str {
    match pickle::read(pickle) {
        Err(PthProblem::Pickle { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn hostile_pickles_are_bounded() {
    // A dict that contains itself, and a list in a list in a list.
    let ring = b"}q\x00X\x01\x00\x00\x00ah\x00s.";
    assert!(matches!(
        pickle::read(ring).unwrap().nodes[0],
        Node::Dict(_)
    ));
    let deep = [b"]".repeat(100_000), b"a".repeat(99_999), b".".to_vec()].concat();
    assert!(pickle::read(&deep).is_ok());

    // Each list doubles the contents of the one before it.
    let mut doubling = b"]q\x00".to_vec();
    for level in 1..250u8 {
        doubling.extend([b'h', level - 1, b'h', level - 1, 0x86, b'q', level]);
    }
    doubling.push(b'.');
    assert!(pickle::read(&doubling).is_ok());

    assert!(refused(&b"(".repeat(2000)).contains("nested"));
    assert!(refused(&b"N".repeat(5 << 20)).contains("too many"));
    let recalls = [b"Nq\x00".to_vec(), b"h\x00".repeat(5 << 20)].concat();
    assert!(refused(&recalls).contains("too many"));
    assert!(refused(&b"N".repeat(20 << 20)).contains("too long"));
    // A shape that is a tuple of a million numbers, used many times.
    let mut shapes = b"(".to_vec();
    shapes.extend(b"K\x01".repeat(1 << 20));
    shapes.extend(b"tq\x00c");
    shapes.extend(b"torch._utils\n_rebuild_tensor_v2\nh\x00R.");
    assert!(refused(&shapes).contains("short tuple"));

    for (pickle, part) in [
        (&b"."[..], "missing"),
        (b"N", "cut off"),
        (b"X\xff\xff\xff\xff.", "cut off"),
        (b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff.", "cut off"),
        (b"X\x01\x00\x00\x00\xff.", "UTF-8"),
        (b"h\x00.", "recalled"),
        (b"t.", "without a start"),
        (b"(N(s.", "missing"),
        (b"NNs.", "missing"),
        (b"NNNs.", "other than a dict"),
        (b"\x8a\x09.", "64 bits"),
        (b"ctorch", "without an end"),
        (b"ccollections\nOrderedDict\nN\x85R.", "arguments"),
        (b"ccollections\nOrderedDict\n)\x81.", "unsupported object"),
        (b"NQ.", "not a storage"),
        (b"\x82\x00.", "does not write"),
    ] {
        assert!(
            refused(pickle).contains(part),
            "{pickle:?}: {}",
            refused(pickle)
        );
    }
}

/// Returns why `views.pth` is refused after the first `from` in its pickle is replaced by `to`.
fn refused_when_changed(from: &[u8], to: &[u8]) -> Vec<Problem> {
    assert_eq!(from.len(), to.len());
    let mut file = bytes("views.pth");
    let at = file.windows(from.len()).position(|part| part == from);
    let at = at.unwrap();
    file[at..at + from.len()].copy_from_slice(to);
    parse(&file, 0).unwrap_err()
}

#[test]
fn tensors_must_lie_in_their_storages() {
    // `sliced` is [3, 6] with strides [8, 1] and offset 17 of 64 elements.
    let sliced = b"K\x11K\x03K\x06\x86q";
    for wrong in [b"K\x13K\x03K\x1e\x86q", b"K\xffK\x03K\x06\x86q"] {
        let found = refused_when_changed(sliced, wrong);
        let [Problem::Pth(PthProblem::OutOfStorage { name, len, .. })] = &found[..] else {
            panic!("{found:?}");
        };
        assert_eq!((name.as_str(), *len), ("sliced", 256));
    }
    // The storage of `transposed` has 24 elements and is entry 0.
    let found = refused_when_changed(b"cpuq\x07K\x18t", b"cpuq\x07K\x19t");
    assert!(
        matches!(&found[..], [Problem::Pth(PthProblem::OutOfStorage { name, .. })] if name == "transposed"),
        "{found:?}"
    );
    let storage = b"FloatStorage\nq\x05X\x01\x00\x00\x000";
    let found = refused_when_changed(storage, b"FloatStorage\nq\x05X\x01\x00\x00\x00x");
    let missing = PthProblem::NoStorage {
        name: "transposed".to_owned(),
        key: "x".to_owned(),
    };
    assert_eq!(found, [missing.into()]);
    let found = refused_when_changed(b"\x06\x00\x00\x00slicedq", b"\x06\x00\x00\x00columnq");
    let name = "column".to_owned();
    assert_eq!(found, [Problem::Duplicate { name }]);
}

#[test]
fn expanded_tensors_have_bounded_size() {
    // `expanded_scalar` is [2, 2] with strides [0, 0]: here it is [2^31 - 1] with stride [0].
    let found = refused_when_changed(
        b"K\x00K\x02K\x02\x86qRK\x00K\x00\x86qS",
        b"K\x00\x8a\x04\xff\xff\xff\x7f\x85qRK\x00\x85qS",
    );
    let [Problem::Pth(PthProblem::TooLarge { total, .. })] = &found[..] else {
        panic!("{found:?}");
    };
    assert!((1 << 33..(1 << 33) + 10_000).contains(total), "{total}");
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (from, to) in files {
        fs::copy(fixture(from), dir.path().join(to)).unwrap();
    }
    dir
}

#[test]
fn folder_with_single_weights_file_opens() {
    let expected = Checkpoint::open_file(&fixture("plain.safetensors")).unwrap();
    for files in [
        &[("plain.pth", "rwkv.pth")][..],
        // The content decides, not the name.
        &[("plain.pth", "model.safetensors")],
        &[("plain.safetensors", "rwkv.pth")],
        &[
            ("plain.safetensors", "w.safetensors"),
            ("views.pth", "x.pth"),
        ],
        &[
            ("plain.safetensors", "model.safetensors"),
            ("views.pth", "x.safetensors"),
        ],
    ] {
        let dir = folder(files);
        check_same(&Checkpoint::open(dir.path()).unwrap(), &expected);
        check_same(&Checkpoint::open_path(dir.path()).unwrap(), &expected);
        let file = dir.path().join(files[0].1);
        check_same(&Checkpoint::open_path(&file).unwrap(), &expected);
    }
    for files in [
        [("plain.pth", "a.pth"), ("views.pth", "b.pth")],
        [
            ("plain.safetensors", "a.safetensors"),
            ("views.safetensors", "b.safetensors"),
        ],
    ] {
        let dir = folder(&files);
        let error = Checkpoint::open(dir.path()).unwrap_err();
        let names = files.map(|(_, name)| name.to_owned());
        assert!(
            matches!(&error, CheckpointError::Several { files, .. } if *files == names),
            "{error}"
        );
    }
    let shard = folder(&[("plain.safetensors", "model-00001-of-00002.safetensors")]);
    let error = Checkpoint::open(shard.path()).unwrap_err();
    assert!(
        matches!(&error, CheckpointError::NoWeights { hint, .. } if hint.contains(INDEX_FILE)),
        "{error}"
    );
    let missing = Checkpoint::open_path(&shard.path().join("a.pth")).unwrap_err();
    let CheckpointError::Broken { problems, .. } = &missing else {
        panic!("{missing}");
    };
    assert!(
        matches!(&problems[..], [FileProblem { file, problem: Problem::Missing }] if file == "a.pth"),
        "{missing}"
    );
}

/// Compares RWKV's own format and safetensors of one released model, if the machine has both.
#[test]
fn released_pth_and_safetensors_are_equal() {
    let assets = std::env::var_os("BONE_ASSETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/assets"),
        PathBuf::from,
    );
    let model = assets.join("models/rwkv6-1m");
    if !model.is_dir() {
        println!("skipped: assets not found");
        return;
    }
    let [pth, safetensors] = ["model.pth", "model.safetensors"]
        .map(|name| Checkpoint::open_file(&model.join(name)).unwrap());
    assert_eq!(pth.tensors().count(), 342);
    check_same(&pth, &safetensors);
}

/// Reads a file with arbitrary damage. It must be refused, or every tensor must be readable.
fn check_sound(file: &[u8]) {
    let Ok(true) = is_pth(file) else { return };
    let Ok(header) = parse(file, 0) else { return };
    for (name, info) in header.tensors {
        let elements: usize = info.shape.iter().product();
        assert_eq!(elements * info.dtype.bitsize(), info.bytes * 8, "{name}");
        let size = info.dtype.bitsize() / 8;
        let data = match &info.strides {
            None => file[info.start..info.start + info.bytes].to_vec(),
            Some(strides) => {
                super::super::strided::gather(&file[info.start..], &info.shape, strides, size)
            }
        };
        assert_eq!(data.len(), info.bytes, "{name}");
    }
}

proptest! {
    #[test]
    fn damaged_files_never_panic(
        name in prop::sample::select(vec!["views.pth", "plain.pth", "zip64.pth", "protocol4.pth"]),
        cut in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut file = bytes(name);
        check_sound(&file[..cut.index(file.len())]);
        for (at, value) in flips {
            let at = at.index(file.len());
            file[at] = value;
            check_sound(&file);
        }
    }

    /// Damages the most sensitive parts: the pickle, and the directory at the end.
    #[test]
    fn damaged_pickles_never_panic(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        noise in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let whole = bytes("views.pth");
        let place = archive::entries(&whole).unwrap()["views/data.pkl"].clone();
        let mut file = whole.clone();
        for &(at, value) in &flips {
            file[place.start + at.index(place.len())] = value;
        }
        check_sound(&file);
        let mut file = whole.clone();
        for &(at, value) in &flips {
            file[whole.len() - 1 - at.index(1500)] = value;
        }
        check_sound(&file);
        let _ = pickle::read(&noise);
    }
}
