use std::path::Path;

use super::{ByteLevel, Tokenizer, TokenizerError};
use bone_files::read_small;

mod literal;
mod trie;
mod vocabulary;

use trie::Trie;

/// Largest vocabulary file read: RWKV World's has 1.1 MB.
const MAX_VOCABULARY_BYTES: u64 = 64 * 1024 * 1024;

/// The token that ends a text; the vocabulary file does not list it.
const END_OF_TEXT: u32 = 0;

/// RWKV World: at each position, takes the longest token of the vocabulary that matches.
///
/// Every byte is also a token, so all bytes can be tokenised. Token 0 ends a text and has no bytes.
/// It has no beginning-of-sequence token.
#[derive(Debug)]
pub struct WorldTokenizer {
    /// Bytes by id; empty for an id without a token.
    tokens: Vec<Vec<u8>>,
    trie: Trie,
}

impl WorldTokenizer {
    /// Reads a vocabulary such as `rwkv_vocab_v20230424.txt`: one line per token with its id, a
    /// Python `str` or `bytes` literal and the number of its bytes, like `261 '\n\n' 2`.
    ///
    /// The literals are read as data; all of Python's escapes except `\N{..}` are supported.
    ///
    /// # Errors
    /// If the file can't be read, if lines have another form or repeat a token or an id, or if a
    /// byte has no token.
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

    /// Makes a tokenizer from the content of a vocabulary file; `path` names it in messages.
    ///
    /// # Errors
    /// Same as [`WorldTokenizer::from_file`].
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

    /// Decodes; bytes that are not UTF-8 become U+FFFD.
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
        // Every byte has a token, so a token always matches.
        while let Some((len, id)) = self.trie.longest(bytes) {
            ids.push(id);
            bytes = &bytes[len..];
        }
        ids
    }

    /// Returns the bytes of `ids`. The end of text and ids without a token have none.
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
