use std::ops::Range;

use super::{Tokenizer, TokenizerError};

/// A piece of a sequence, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// The beginning-of-sequence token, if the tokenizer has one. Never trained.
    Bos,
    /// The first of the tokenizer's end tokens, if it has any.
    Eos {
        /// Whether the model learns to write it.
        trained: bool,
    },
    /// A text. Special tokens that appear in it become those tokens, if the tokenizer supports
    /// this.
    Text {
        /// The text.
        text: String,
        /// Whether the model learns to write it.
        trained: bool,
    },
}

impl Piece {
    /// Makes a text that is only context.
    pub fn read(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            trained: false,
        }
    }

    /// Makes a text that the model learns to write.
    pub fn trained(text: impl Into<String>) -> Self {
        Self::Text {
            text: text.into(),
            trained: true,
        }
    }
}

/// A sequence as tokens.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Encoded {
    /// The token ids.
    pub ids: Vec<u32>,
    /// Ranges of trained positions in `ids`: ascending, not adjacent, not empty.
    pub trained: Vec<Range<usize>>,
}

/// Returns the ids of pieces, and which of them are trained.
///
/// The ids of the first pieces never depend on those that follow, so generation from them starts
/// with exactly the ids that training saw. Adjacent texts are tokenised together, like text in
/// pretraining, if this does not change the ids of the earlier text. If a token would span the
/// seam, tokenising restarts at the seam.
///
/// A text is tokenised together with the text before it, back to the last seam where the tokenizer
/// itself splits, and never across a [`Piece::Bos`] or a [`Piece::Eos`]. So the time for a long
/// chat is linear in its length if it has such seams.
///
/// # Errors
/// If a text can't be tokenised, or two beginning-of-sequence tokens follow each other.
pub fn encode_pieces(
    tokenizer: &dyn Tokenizer,
    pieces: &[Piece],
) -> Result<Encoded, TokenizerError> {
    let mut encoded = Encoded::default();
    let mut run = Run::default();
    // Position of the last id if a `Piece::Eos` wrote it: some tokenizers begin and end texts with
    // the same token.
    let mut after_eos = None;
    for piece in pieces {
        let start = encoded.ids.len();
        let trained = match piece {
            Piece::Bos => {
                run = Run::default();
                encoded.ids.extend(tokenizer.bos());
                false
            }
            Piece::Eos { trained } => {
                run = Run::default();
                encoded.ids.extend(tokenizer.eos().first());
                *trained
            }
            Piece::Text { text, trained } => {
                encoded.ids.extend(run.extend(tokenizer, text)?);
                *trained
            }
        };
        let end = encoded.ids.len();
        if let Some(bos) = tokenizer.bos()
            && let Some(at) = doubled(&encoded.ids, bos, start, after_eos)
        {
            return Err(TokenizerError::DoubledBos { id: bos, at });
        }
        if matches!(piece, Piece::Eos { .. }) && end > start {
            after_eos = Some(end);
        }
        if trained && end > start {
            match encoded.trained.last_mut() {
                Some(last) if last.end == start => last.end = end,
                _ => encoded.trained.push(start..end),
            }
        }
    }
    Ok(encoded)
}

/// Returns the first position from `start` on where `bos` follows `bos`, except directly after an
/// end.
fn doubled(ids: &[u32], bos: u32, start: usize, after_eos: Option<usize>) -> Option<usize> {
    (start.max(1)..ids.len())
        .find(|&at| ids[at - 1] == bos && ids[at] == bos && after_eos != Some(at))
}

/// Texts that are tokenised together.
#[derive(Default)]
struct Run {
    text: String,
    ids: Vec<u32>,
    /// Start of the last text, in `text` and in `ids`.
    last: (usize, usize),
    started: bool,
}

impl Run {
    /// Returns the ids that one more text adds.
    fn extend(
        &mut self,
        tokenizer: &dyn Tokenizer,
        text: &str,
    ) -> Result<Vec<u32>, TokenizerError> {
        if self.started && text.is_empty() {
            return Ok(Vec::new());
        }
        self.forget(tokenizer)?;
        self.last = (self.text.len(), self.ids.len());
        self.text.push_str(text);
        let mut joint = tokenizer.encode(&self.text)?;
        let added = if !self.started || joint.starts_with(&self.ids) {
            joint.split_off(self.ids.len())
        } else {
            self.text.drain(..self.last.0);
            self.ids.clear();
            self.last = (0, 0);
            tokenizer.encode(text)?
        };
        self.started = true;
        self.ids.extend(&added);
        Ok(added)
    }

    /// Drops the text before the last one, if the tokenizer itself splits there: the following text
    /// then has the same ids without it.
    fn forget(&mut self, tokenizer: &dyn Tokenizer) -> Result<(), TokenizerError> {
        let (text_at, ids_at) = self.last;
        if text_at == 0 || ids_at == self.ids.len() {
            return Ok(());
        }
        if tokenizer.encode(&self.text[text_at..])? == self.ids[ids_at..] {
            self.text.drain(..text_at);
            self.ids.drain(..ids_at);
            self.last = (0, 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
