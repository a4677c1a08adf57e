//! Rows as tokens, and which of those are trained.

use std::fmt;
use std::ops::Range;

use bone_tokenizer::{Encoded, Tokenizer, encode_pieces};
use thiserror::Error;

use super::conversation::Content;
use super::row::Row;
use super::template::{RenderError, Template};

mod store;
#[cfg(test)]
pub(super) mod tests;

pub use store::{Samples, SamplesBuilder};

/// Messages show this many ids and count the rest.
const SHOWN_IDS: usize = 10;

/// One training sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Token ids: what is read, and what is learnt.
    pub tokens: Vec<u32>,
    /// The positions that are training targets: ascending, apart, none empty. Position 0 is never
    /// one, as nothing predicts it.
    pub trained: Vec<Range<usize>>,
    /// Number of the row among all rows of the run, or of the chunk of a plain text.
    pub row: u64,
}

impl Sample {
    /// A sequence whose first `prompt_len` tokens are only read.
    pub fn after_prompt(tokens: Vec<u32>, prompt_len: usize, row: u64) -> Self {
        let all = prompt_len..tokens.len();
        Self {
            trained: targets([all]),
            tokens,
            row,
        }
    }

    /// Number of training targets.
    pub fn trained_tokens(&self) -> usize {
        self.trained.iter().map(ExactSizeIterator::len).sum()
    }

    /// How many tokens are only read before the first that is trained; all, if none is.
    pub fn prompt_len(&self) -> usize {
        self.trained
            .first()
            .map_or(self.tokens.len(), |trained| trained.start)
    }

    /// What samples that a split must keep together have in common: the tokens before the first
    /// that is trained. A lone first token is no prompt: such samples are told apart by all they
    /// have.
    pub(super) fn prompt(&self) -> &[u32] {
        match self.prompt_len() {
            0 | 1 => &self.tokens,
            len => &self.tokens[..len],
        }
    }
}

/// Ranges without position 0 and without the empty ones.
fn targets(ranges: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    ranges
        .into_iter()
        .map(|range| range.start.max(1)..range.end)
        .filter(|range| !range.is_empty())
        .collect()
}

/// What a model can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest sequence in tokens; the rest of a longer one is cut off. At least 2.
    pub max_seq_len: usize,
    /// Rows of the model's embedding: every token id is below it.
    pub vocab_size: usize,
}

impl Limits {
    /// Names the ids that the model has no embedding for.
    pub(crate) fn beyond_vocab(&self, tokens: &[u32]) -> Option<String> {
        let mut ids: Vec<u32> = tokens
            .iter()
            .copied()
            .filter(|&id| id as usize >= self.vocab_size)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let shown = &ids[..ids.len().min(SHOWN_IDS)];
        (!ids.is_empty()).then(|| {
            format!(
                "{} token id(s) beyond the model's vocabulary of {}, {shown:?}: \
                 use the tokenizer that belongs to the model",
                ids.len(),
                self.vocab_size
            )
        })
    }
}

/// What became of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tokenized {
    /// One sequence.
    Whole(Sample),
    /// A sequence without its end, which is beyond `max_seq_len`.
    Cut {
        /// What is left.
        sample: Sample,
        /// Tokens of the whole.
        len: usize,
    },
    /// A text longer than `max_seq_len`, in pieces.
    Chunks(Vec<Sample>),
    /// Nothing in it is to be trained.
    Empty {
        /// Tokens of the whole.
        len: usize,
    },
    /// The first token to train lies beyond `max_seq_len`.
    PromptTooLong {
        /// Tokens before it.
        prompt_len: usize,
        /// Tokens of the whole.
        len: usize,
    },
}

impl Tokenized {
    /// The row's samples.
    pub fn samples(&self) -> &[Sample] {
        match self {
            Self::Whole(sample) | Self::Cut { sample, .. } => std::slice::from_ref(sample),
            Self::Chunks(samples) => samples,
            Self::Empty { .. } | Self::PromptTooLong { .. } => &[],
        }
    }

    /// Tokens of the row before anything was cut or dropped.
    pub fn len(&self) -> usize {
        match self {
            Self::Whole(sample) => sample.tokens.len(),
            // A chunk begins with the last token of the one before it.
            Self::Chunks(samples) => {
                let all: usize = samples.iter().map(|sample| sample.tokens.len()).sum();
                all + 1 - samples.len().min(all + 1)
            }
            Self::Cut { len, .. } | Self::Empty { len } | Self::PromptTooLong { len, .. } => *len,
        }
    }

    /// Whether the row has no tokens at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What tokenizing left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Rows whose prompt alone fills `max_seq_len`.
    pub prompt_too_long: usize,
    /// Rows with nothing to train: an empty answer under a tokenizer that has no
    /// end-of-sequence token, a conversation in which nobody answers.
    pub empty: usize,
    /// Rows that were kept without their end, which is beyond `max_seq_len`.
    pub truncated: usize,
}

impl Dropped {
    /// How many rows were dropped, for any reason.
    pub fn rows(&self) -> usize {
        self.prompt_too_long + self.empty
    }

    /// Counts one more row.
    pub fn count(&mut self, row: &Tokenized) {
        match row {
            Tokenized::Whole(_) | Tokenized::Chunks(_) => {}
            Tokenized::Cut { .. } => self.truncated += 1,
            Tokenized::Empty { .. } => self.empty += 1,
            Tokenized::PromptTooLong { .. } => self.prompt_too_long += 1,
        }
    }
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} dropped ({} with a prompt that fills max_seq_len, {} with nothing to train), \
             {} truncated",
            self.rows(),
            self.prompt_too_long,
            self.empty,
            self.truncated
        )
    }
}

/// Why a row gives no sequence.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Refused {
    /// The template or the tokenizer refuses it, or the model cannot take it.
    #[error("{0}")]
    Row(String),
    /// The template met a limit at it, and is not tried again.
    #[error("{0}; it is not tried again on other rows")]
    Limit(String),
    /// The template met a limit before.
    #[error("{0}")]
    NotTried(String),
}

impl From<String> for Refused {
    fn from(what: String) -> Self {
        Self::Row(what)
    }
}

/// Whether the template itself writes the end token that is added behind an answer.
fn check_end(template: &Template, tokenizer: &dyn Tokenizer) -> Result<(), String> {
    let (suffix, Some(end)) = (template.suffix(), tokenizer.eos().first()) else {
        return Ok(());
    };
    if suffix.is_empty() {
        return Ok(());
    }
    let ids = tokenizer
        .encode(suffix)
        .map_err(|error| error.to_string())?;
    if ids.contains(end) {
        Err(format!(
            "the template '{template}' writes token {end}, which ends a sequence, after \
             {{response}}, where it is added anyway: take it out of the template"
        ))
    } else {
        Ok(())
    }
}

/// Turns a row into training sequences of at most `max_seq_len` tokens; `number` is its
/// [`Sample::row`].
///
/// What is trained is trained by position, whatever the ids. A text is cut into chunks as a file
/// of plain text is; everything else loses its end.
///
/// # Errors
/// Why the template or the tokenizer refuses the row, or that it has ids beyond the vocabulary.
pub fn tokenize(
    row: &Row,
    number: u64,
    template: &Template,
    tokenizer: &dyn Tokenizer,
    limits: Limits,
) -> Result<Tokenized, Refused> {
    let pieces = match template.pieces(&row.content) {
        Ok(pieces) => pieces,
        Err(RenderError::NoAnswer) => return Ok(Tokenized::Empty { len: 0 }),
        Err(error @ RenderError::Limit { .. }) => return Err(Refused::Limit(error.to_string())),
        Err(error @ RenderError::NotTried { .. }) => {
            return Err(Refused::NotTried(error.to_string()));
        }
        Err(error) => return Err(Refused::Row(error.to_string())),
    };
    let Encoded { ids, trained } =
        encode_pieces(tokenizer, &pieces).map_err(|error| error.to_string())?;
    // Only a row that has the end token before its end can have it from the template.
    let end = tokenizer.eos().first();
    let twice = ids.iter().filter(|id| Some(*id) == end).nth(1).is_some();
    if twice && !matches!(row.content, Content::Text(_)) {
        check_end(template, tokenizer)?;
    }
    if let Some(what) = limits.beyond_vocab(&ids) {
        return Err(Refused::Row(what));
    }
    let len = ids.len();
    let mut sample = Sample {
        trained: targets(trained),
        tokens: ids,
        row: number,
    };
    if sample.trained.is_empty() {
        return Ok(Tokenized::Empty { len });
    }
    if len <= limits.max_seq_len {
        return Ok(Tokenized::Whole(sample));
    }
    if let Content::Text(_) = row.content {
        let chunks = chunks(&sample.tokens, limits.max_seq_len);
        let samples = chunks.map(|tokens| Sample::after_prompt(tokens.to_vec(), 0, number));
        return Ok(Tokenized::Chunks(samples.collect()));
    }
    let prompt_len = sample.prompt_len();
    if prompt_len >= limits.max_seq_len {
        return Ok(Tokenized::PromptTooLong { prompt_len, len });
    }
    sample.tokens.truncate(limits.max_seq_len);
    let within = |range: Range<usize>| range.start..range.end.min(limits.max_seq_len);
    sample.trained = targets(sample.trained.into_iter().map(within));
    Ok(Tokenized::Cut { sample, len })
}

/// Chunks of at most `max_seq_len` tokens, at least 2. A chunk begins with the last token of the
/// one before it, which is read and not trained: so every token but the very first is a target
/// exactly once.
pub(super) fn chunks(tokens: &[u32], max_seq_len: usize) -> impl Iterator<Item = &[u32]> {
    let starts = (0..tokens.len().saturating_sub(1)).step_by(max_seq_len.saturating_sub(1).max(1));
    starts.map(move |start| &tokens[start..tokens.len().min(start + max_seq_len)])
}
