//! The index of a model in two shards, `a.safetensors` and `b.safetensors`, and what lies outside
//! the folder.
#![no_main]

use bone_files::{Checkpoint, INDEX_FILE};
use libfuzzer_sys::fuzz_target;
use std::path::PathBuf;
use std::sync::LazyLock;
use tempfile::TempDir;

/// One value named `name`.
fn shard(name: &str) -> Vec<u8> {
    let header = format!(r#"{{"{name}":{{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}}}"#);
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(1f32.to_le_bytes());
    bytes
}

static FOLDER: LazyLock<(TempDir, PathBuf)> = LazyLock::new(|| {
    let outside = tempfile::tempdir().expect("a folder");
    let folder = outside.path().join("model");
    std::fs::create_dir(&folder).expect("made");
    std::fs::write(folder.join("a.safetensors"), shard("a")).expect("written");
    std::fs::write(folder.join("b.safetensors"), shard("b")).expect("written");
    std::fs::write(outside.path().join("c.safetensors"), shard("c")).expect("written");
    (outside, folder)
});

fuzz_target!(|bytes: &[u8]| {
    let (_, folder) = &*FOLDER;
    std::fs::write(folder.join(INDEX_FILE), bytes).expect("written");
    let opened = Checkpoint::open(folder);
    if let Ok(checkpoint) = &opened {
        let outside = checkpoint
            .files()
            .iter()
            .find(|file| !lies_in(file, folder));
        assert!(outside.is_none(), "{outside:?}");
    }
    bone_fuzz::read_all(opened);
});

fn lies_in(file: &std::path::Path, folder: &std::path::Path) -> bool {
    let real = |path: &std::path::Path| path.canonicalize().expect("there");
    real(file).starts_with(real(folder))
}
