//! Shared code of the fuzz targets. Input goes through files, as a user's does.

use bone::saved::Scan;
use bone::{BlockAxis, rwkv_peft};
use bone_files::Checkpoint;
use std::path::Path;

/// Longest message that a file may cause, in bytes.
const LONGEST: usize = 1 << 20;

/// Reads every tensor of a checkpoint that opens.
pub fn read_all(opened: Result<Checkpoint, impl std::fmt::Display>) {
    let checkpoint = match opened {
        Ok(checkpoint) => checkpoint,
        Err(error) => return bounded(error),
    };
    let names: Vec<String> = checkpoint.tensors().map(|(name, _)| name.into()).collect();
    for name in names {
        let info = checkpoint.get(&name).expect("listed");
        let elements: usize = info.shape.iter().product();
        // A type that burn does not have is an error.
        if let Ok(data) = checkpoint.data(&name) {
            assert_eq!(data.num_elements(), elements, "{name}");
        }
    }
}

/// Reads a single-file adapter, with and without a given kind.
pub fn read_rwkv_peft(path: &Path) {
    let kinds = [
        None,
        Some(rwkv_peft::Kind::Miss),
        Some(rwkv_peft::Kind::Bone(BlockAxis::Input)),
        Some(rwkv_peft::Kind::Bone(BlockAxis::Output)),
    ];
    for kind in kinds {
        if let Err(error) = rwkv_peft::scan(path, kind).and_then(Scan::finish) {
            bounded(error);
        }
    }
}

/// Checks that a message is neither empty nor too long.
pub fn bounded(error: impl std::fmt::Display) {
    let message = error.to_string();
    assert!(!message.is_empty() && message.len() < LONGEST);
}
