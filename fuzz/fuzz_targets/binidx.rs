//! The index of a file of tokens, and the tokens.
#![no_main]

use bone_data::Binidx;
use libfuzzer_sys::fuzz_target;

/// Maximum number of tokens to read of a sequence.
const MOST: usize = 1 << 16;

fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let stem = folder.path().join("data");
    std::fs::write(stem.with_extension("idx"), bytes).expect("written");
    std::fs::write(stem.with_extension("bin"), bytes).expect("written");
    let binidx = match Binidx::open(&stem) {
        Ok(binidx) => binidx,
        Err(error) => return bone_fuzz::bounded(error),
    };
    for sequence in 0..=binidx.len().min(100) {
        match binidx.read(sequence, MOST) {
            Ok(tokens) => assert_eq!(tokens.len(), binidx.size(sequence).min(MOST)),
            Err(error) => bone_fuzz::bounded(error),
        }
    }
});
