//! A byte tokenizer for this crate's tests.

use bone_tokenizer::{Tokenizer, TokenizerError};

pub(super) const BOS: u32 = 256;
pub(super) const EOS: u32 = 257;

pub(super) struct Bytes {
    pub(super) bos: Option<u32>,
    pub(super) eos: Vec<u32>,
    pub(super) refused: Option<char>,
}

impl Default for Bytes {
    fn default() -> Self {
        Self {
            bos: Some(BOS),
            eos: vec![EOS],
            refused: None,
        }
    }
}

impl Tokenizer for Bytes {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        if self.refused.is_some_and(|c| text.contains(c)) {
            return Err(TokenizerError::Encode {
                reason: "refused".into(),
            });
        }
        Ok(text.bytes().map(u32::from).collect())
    }

    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        let bytes: Vec<u8> = ids.iter().filter_map(|&id| id.try_into().ok()).collect();
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn bos(&self) -> Option<u32> {
        self.bos
    }

    fn eos(&self) -> &[u32] {
        &self.eos
    }

    fn vocab_size(&self) -> usize {
        258
    }
}
