//! Rows as tokens, and which of those are trained.

use std::fmt;
use std::ops::{AddAssign, Range};

use bone_tokenizer::{Encoded, Tokenizer, encode_pieces};

use super::conversation::Content;
use super::row::Row;
use super::template::{RenderError, Template};

mod store;
#[cfg(test)]
pub(super) mod tests;

pub use store::Samples;

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
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokenized {
    /// Its samples: one, several of a text that is longer than `max_seq_len`, or none.
    pub samples: Vec<Sample>,
    /// Tokens of the row before anything was cut or dropped.
    pub len: usize,
    /// How many of them come before the first that is trained.
    pub prompt_len: usize,
    /// What was left out of it, or that it was.
    pub dropped: Dropped,
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
}

impl AddAssign for Dropped {
    fn add_assign(&mut self, other: Self) {
        self.prompt_too_long += other.prompt_too_long;
        self.empty += other.empty;
        self.truncated += other.truncated;
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

/// Whether the template itself writes the end token that is added behind an answer.
fn check_end(template: &Template, tokenizer: &dyn Tokenizer) -> Result<(), RenderError> {
    let (suffix, Some(end)) = (template.suffix(), tokenizer.eos().first()) else {
        return Ok(());
    };
    if suffix.is_empty() {
        return Ok(());
    }
    let ids = tokenizer.encode(suffix).map_err(refused)?;
    if ids.contains(end) {
        return Err(refused(format!(
            "the template '{template}' writes token {end}, which ends a sequence, after \
             {{response}}, where it is added anyway: take it out of the template"
        )));
    }
    Ok(())
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
) -> Result<Tokenized, RenderError> {
    let mut tokenized = Tokenized::default();
    let pieces = match template.pieces(&row.content) {
        Err(RenderError::NoAnswer) => {
            tokenized.dropped.empty = 1;
            return Ok(tokenized);
        }
        pieces => pieces?,
    };
    let Encoded { ids, trained } = encode_pieces(tokenizer, &pieces).map_err(refused)?;
    let is_text = matches!(row.content, Content::Text(_));
    // Only a row that has the end token before its end can have it from the template.
    let end = tokenizer.eos().first();
    if !is_text && ids.iter().filter(|id| Some(*id) == end).nth(1).is_some() {
        check_end(template, tokenizer)?;
    }
    if let Some(what) = limits.beyond_vocab(&ids) {
        return Err(RenderError::Refused(what));
    }
    let mut sample = Sample {
        trained: targets(trained),
        tokens: ids,
        row: number,
    };
    tokenized.len = sample.tokens.len();
    tokenized.prompt_len = sample.prompt_len();
    let most = limits.max_seq_len;
    if sample.trained.is_empty() {
        tokenized.dropped.empty = 1;
    } else if tokenized.len <= most {
        tokenized.samples = vec![sample];
    } else if is_text {
        let chunks = chunks(&sample.tokens, most);
        let samples = chunks.map(|tokens| Sample::after_prompt(tokens.to_vec(), 0, number));
        tokenized.samples = samples.collect();
    } else if tokenized.prompt_len >= most {
        tokenized.dropped.prompt_too_long = 1;
    } else {
        tokenized.dropped.truncated = 1;
        sample.tokens.truncate(most);
        let within = |range: Range<usize>| range.start..range.end.min(most);
        sample.trained = targets(sample.trained.into_iter().map(within));
        tokenized.samples = vec![sample];
    }
    Ok(tokenized)
}

fn refused(what: impl ToString) -> RenderError {
    RenderError::Refused(what.to_string())
}

/// Chunks of at most `max_seq_len` tokens, at least 2. A chunk begins with the last token of the
/// one before it, which is read and not trained: so every token but the very first is a target
/// exactly once.
pub(super) fn chunks(tokens: &[u32], max_seq_len: usize) -> impl Iterator<Item = &[u32]> {
    let starts = (0..tokens.len().saturating_sub(1)).step_by(max_seq_len.saturating_sub(1).max(1));
    starts.map(move |start| &tokens[start..tokens.len().min(start + max_seq_len)])
}
