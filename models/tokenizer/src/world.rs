use std::path::Path;

use super::{ByteLevel, Tokenizer, TokenizerError};
use bone_files::read_small;

mod literal;
mod trie;
mod vocabulary;

use trie::Trie;

/// Largest vocabulary file read: RWKV World's has 1.1 MB.
const MAX_VOCABULARY_BYTES: u64 = 64 * 1024 * 1024;

/// The token that ends a text; no line of the vocabulary has it.
const END_OF_TEXT: u32 = 0;

/// RWKV World: at every byte of a text the longest token of the vocabulary that matches.
///
/// Every byte is a token by itself, so any bytes can be tokenised. Token 0 ends a text and stands
/// for no bytes; no token begins one.
#[derive(Debug)]
pub struct WorldTokenizer {
    /// Bytes by id; those of an id without a token are empty.
    tokens: Vec<Vec<u8>>,
    trie: Trie,
}

impl WorldTokenizer {
    /// Reads a vocabulary such as `rwkv_vocab_v20230424.txt`: a line a token, its id, a Python
    /// `str` or `bytes` literal and the number of its bytes, as in `261 '\n\n' 2`.
    ///
    /// The literals are read as data; Python's escapes are known, `\N{..}` apart.
    ///
    /// # Errors
    /// When the file can't be read, lines are not as above, name a token or an id twice, or a
    /// byte has no token of its own.
    pub fn from_file(path: &Path) -> Result<Self, TokenizerError> {
        let io = |source| TokenizerError::Io {
            path: path.to_owned(),
            source,
        };
        let content = read_small(path, MAX_VOCABULARY_BYTES)
            .map_err(io)?
            .ok_or_else(|| io(std::io::ErrorKind::NotFound.into()))?;
        Self::from_vocabulary(&content, path)
    }

    /// A tokenizer from the content of a vocabulary file; messages call it `path`.
    ///
    /// # Errors
    /// As [`WorldTokenizer::from_file`].
    pub fn from_vocabulary(content: &[u8], path: &Path) -> Result<Self, TokenizerError> {
        let tokens = vocabulary::parse(content, path)?;
        let with_ids = (0..).zip(&tokens).filter(|(_, token)| !token.is_empty());
        let trie = Trie::new(with_ids.map(|(id, token)| (token.as_slice(), id)).collect());
        Ok(Self { tokens, trie })
    }
}

impl Tokenizer for WorldTokenizer {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        Ok(self.encode_bytes(text.as_bytes()))
    }

    /// Bytes that are not UTF-8 become U+FFFD.
    fn decode(&self, ids: &[u32]) -> Result<String, TokenizerError> {
        Ok(String::from_utf8_lossy(&self.decode_bytes(ids)).into_owned())
    }

    fn bos(&self) -> Option<u32> {
        None
    }

    fn eos(&self) -> &[u32] {
        &[END_OF_TEXT]
    }

    fn vocab_size(&self) -> usize {
        self.tokens.len()
    }

    fn byte_level(&self) -> Option<&dyn ByteLevel> {
        Some(self)
    }
}

impl ByteLevel for WorldTokenizer {
    fn encode_bytes(&self, mut bytes: &[u8]) -> Vec<u32> {
        let mut ids = Vec::new();
        // Every byte has a token, so something always matches.
        while let Some((len, id)) = self.trie.longest(bytes) {
            ids.push(id);
            bytes = &bytes[len..];
        }
        ids
    }

    /// The bytes of `ids`. The end of text has none, nor has an id without a token.
    fn decode_bytes(&self, ids: &[u32]) -> Vec<u8> {
        ids.iter()
            .filter_map(|&id| self.tokens.get(id as usize))
            .flatten()
            .copied()
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
