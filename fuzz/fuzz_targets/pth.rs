//! A file of `torch.save`, read as a model and as an adapter.
#![no_main]

use bone_files::Checkpoint;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let file = tempfile::NamedTempFile::with_suffix(".pth").expect("a file");
    std::fs::write(file.path(), bytes).expect("written");
    bone_fuzz::read_all(Checkpoint::open_file(file.path()));
    bone_fuzz::read_rwkv_peft(file.path());
});
