use super::{ByteLevel, Tokenizer, TokenizerError};

/// Tokens after which an incomplete character is taken to be broken: none has more than 4 bytes.
const MAX_HELD: usize = 4;

/// Turns ids into text one by one, as they are generated.
///
/// A token may hold part of a character, and what a token looks like may depend on the one before
/// it (a space at the start of a text is dropped), so each piece is what the decoding of the last
/// few tokens has more than it had before. Where tokens are bytes, the pieces together are exactly
/// what the tokens decode to, each byte that is no part of a character as U+FFFD.
pub struct TextStream<'a> {
    tokenizer: &'a dyn Tokenizer,
    /// Set where tokens are bytes; the other fields are then idle.
    bytes: Option<ByteStream<'a>>,
    /// The last piece given out whole, and everything since.
    ids: Vec<u32>,
    /// Where what follows that piece starts in `ids`.
    piece_start: usize,
    /// The text of `ids` that has been given out.
    given: String,
    /// Tokens in a row that left a character incomplete.
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
    /// A stream of text that stands alone.
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

    /// A stream of text that continues that of `ids`, which is not given out again: a space
    /// between the two is kept, a character that `ids` leave incomplete is completed.
    ///
    /// # Errors
    /// When `ids` can't be decoded.
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

    /// Takes the next token; gives the text that is complete with it, if any.
    ///
    /// # Errors
    /// When the tokens can't be decoded.
    pub fn push(&mut self, id: u32) -> Result<Option<String>, TokenizerError> {
        if let Some(bytes) = &mut self.bytes {
            return Ok(bytes.push(id));
        }
        self.ids.push(id);
        self.held += 1;
        self.take(self.held > MAX_HELD)
    }

    /// Gives the text held back, if any: a character that was left incomplete.
    ///
    /// # Errors
    /// When the tokens can't be decoded.
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
        // A broken character may change text already given out, which can't be taken back: only
        // what differs is given.
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

/// Bytes as they come, given out by whole characters.
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

    /// Takes all but a character's start at the end.
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
