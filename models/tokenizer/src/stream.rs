use super::{ByteLevel, Tokenizer, TokenizerError};

/// Tokens after which an incomplete character counts as broken: no character has more than 4 bytes.
const MAX_HELD: usize = 4;

/// Turns ids into text one by one, as they are generated.
///
/// A token may hold part of a character, and its text may depend on the token before it (a space at
/// the start of a text is dropped). So each piece is the text that the new token adds to the
/// decoding of the last few tokens. For byte tokenizers the pieces together equal the decoded
/// tokens, with U+FFFD for each byte outside a character.
pub struct TextStream<'a> {
    tokenizer: &'a dyn Tokenizer,
    /// Set for byte tokenizers; the other fields are then unused.
    bytes: Option<ByteStream<'a>>,
    /// Ids of the last piece that was returned whole, and all later ids.
    ids: Vec<u32>,
    /// Index in `ids` after that piece.
    piece_start: usize,
    /// The text of `ids` that has been returned.
    given: String,
    /// Number of consecutive tokens that left a character incomplete.
    held: usize,
}

impl std::fmt::Debug for TextStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TextStream")
            .field("ids", &self.ids)
            .field("given", &self.given)
            .finish_non_exhaustive()
    }
}

impl<'a> TextStream<'a> {
    /// Makes a stream for a text on its own.
    pub fn new(tokenizer: &'a dyn Tokenizer) -> Self {
        Self {
            tokenizer,
            bytes: tokenizer.byte_level().map(|tokenizer| ByteStream {
                tokenizer,
                held: Vec::new(),
            }),
            ids: Vec::new(),
            piece_start: 0,
            given: String::new(),
            held: 0,
        }
    }

    /// Makes a stream that continues the text of `ids` without returning that text again. It keeps
    /// a space between the two, and completes a character that `ids` leave incomplete.
    ///
    /// # Errors
    /// If `ids` can't be decoded.
    pub fn after(tokenizer: &'a dyn Tokenizer, ids: &[u32]) -> Result<Self, TokenizerError> {
        let mut stream = Self::new(tokenizer);
        if let Some(bytes) = &mut stream.bytes {
            bytes.held = bytes.tokenizer.decode_bytes(ids);
            bytes.take_complete();
            return Ok(stream);
        }
        Ok(Self {
            ids: ids.to_vec(),
            piece_start: ids.len(),
            given: tokenizer.decode(ids)?,
            ..stream
        })
    }

    /// Takes the next token and returns the text that it completes, if any.
    ///
    /// # Errors
    /// If the tokens can't be decoded.
    pub fn push(&mut self, id: u32) -> Result<Option<String>, TokenizerError> {
        if let Some(bytes) = &mut self.bytes {
            return Ok(bytes.push(id));
        }
        self.ids.push(id);
        self.held += 1;
        self.take(self.held > MAX_HELD)
    }

    /// Returns the remaining text, if any: an incomplete character.
    ///
    /// # Errors
    /// If the tokens can't be decoded.
    pub fn finish(&mut self) -> Result<Option<String>, TokenizerError> {
        if let Some(bytes) = &self.bytes {
            return Ok(text(&bytes.held));
        }
        self.take(true)
    }

    fn take(&mut self, even_incomplete: bool) -> Result<Option<String>, TokenizerError> {
        let now = self.tokenizer.decode(&self.ids)?;
        let complete = if even_incomplete {
            now.as_str()
        } else {
            now.trim_end_matches(char::REPLACEMENT_CHARACTER)
        };
        let at_seam = complete.len() == now.len();
        // A broken character may change text already returned, which cannot be undone: return only
        // the difference.
        let same: usize = self
            .given
            .chars()
            .zip(complete.chars())
            .take_while(|(a, b)| a == b)
            .map(|(a, _)| a.len_utf8())
            .sum();
        let text = complete[same..].to_owned();
        if at_seam || !text.is_empty() {
            self.held = 0;
        }
        if text.is_empty() {
            return Ok(None);
        }
        if at_seam {
            self.ids.drain(..self.piece_start);
            self.piece_start = self.ids.len();
            self.given = self.tokenizer.decode(&self.ids)?;
        } else {
            self.given = complete.to_owned();
        }
        Ok(Some(text))
    }
}

/// Collects bytes and returns whole characters.
struct ByteStream<'a> {
    tokenizer: &'a dyn ByteLevel,
    /// The start of a character.
    held: Vec<u8>,
}

impl ByteStream<'_> {
    fn push(&mut self, id: u32) -> Option<String> {
        self.held.extend(self.tokenizer.decode_bytes(&[id]));
        text(&self.take_complete())
    }

    /// Takes everything except the start of a character at the end.
    fn take_complete(&mut self) -> Vec<u8> {
        let mut complete = 0;
        while let Err(error) = std::str::from_utf8(&self.held[complete..]) {
            complete += error.valid_up_to();
            let Some(invalid) = error.error_len() else {
                let incomplete = self.held.split_off(complete);
                return std::mem::replace(&mut self.held, incomplete);
            };
            complete += invalid;
        }
        std::mem::take(&mut self.held)
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    (!bytes.is_empty()).then(|| String::from_utf8_lossy(bytes).into_owned())
}
