//! The vocabulary of a World tokenizer.
#![no_main]

use bone_tokenizer::{ByteLevel, WorldTokenizer};
use libfuzzer_sys::fuzz_target;
use std::path::Path;

fuzz_target!(|bytes: &[u8]| {
    match WorldTokenizer::from_vocabulary(bytes, Path::new("vocabulary")) {
        Ok(tokenizer) => {
            let ids = tokenizer.encode_bytes(bytes);
            assert_eq!(tokenizer.decode_bytes(&ids), bytes);
        }
        Err(error) => bone_fuzz::bounded(error),
    }
});
