use super::{ByteLevel, Tokenizer, TokenizerError};

/// Raw bytes: a token's id is the byte, there are 256, and none is special.
#[derive(Debug, Clone, Copy, Default)]
pub struct ByteTokenizer;

impl ByteTokenizer {
    /// The number of tokens.
    pub const VOCAB_SIZE: usize = 256;
}

impl Tokenizer for ByteTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.encode_bytes(text.as_bytes()))
    }

    /// Decodes; bytes that are not UTF-8 become U+FFFD.
    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        Ok(String::from_utf8_lossy(&self.decode_bytes(ids)).into_owned())
    }

    fn bos(&self) -> Option<u32> {
        None
    }

    fn eos(&self) -> &[u32] {
        &[]
    }

    fn vocab_size(&self) -> usize {
        Self::VOCAB_SIZE
    }

    fn byte_level(&self) -> Option<&dyn ByteLevel> {
        Some(self)
    }
}

impl ByteLevel for ByteTokenizer {
    fn encode_bytes(&self, bytes: &[u8]) -> Vec<u32> {
        bytes.iter().copied().map(u32::from).collect()
    }

    fn decode_bytes(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter().filter_map(|&id| id.try_into().ok()).collect()
    }
}
