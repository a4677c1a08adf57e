//! Rows as tokens, with their trained positions.

use std::fmt;
use std::ops::{AddAssign, Range};

use bone_tokenizer::{Encoded, Tokenizer, encode_pieces};

use super::conversation::Content;
use super::row::Row;
use super::template::{RenderError, Template};
use crate::{counted, grouped, joined};

mod store;
#[cfg(test)]
pub(super) mod tests;

pub use store::Samples;

/// Maximum number of ids in a message; the others are counted.
const SHOWN_IDS: usize = 10;

/// One training sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Token ids, both context and trained.
    pub tokens: Vec<u32>,
    /// Ranges of positions that are training targets: ascending, separate, not empty. Position 0 is never a
    /// target, because nothing predicts it.
    pub trained: Vec<Range<usize>>,
    /// Number of the row among all rows of the run, or of the chunk of a plain text.
    pub row: u64,
}

impl Sample {
    /// Returns a sequence whose first `prompt_len` tokens are not trained.
    pub fn after_prompt(tokens: Vec<u32>, prompt_len: usize, row: u64) -> Self {
        let all = prompt_len..tokens.len();
        Self {
            trained: targets([all]),
            tokens,
            row,
        }
    }

    /// Returns the number of training targets.
    pub fn trained_tokens(&self) -> usize {
        self.trained.iter().map(ExactSizeIterator::len).sum()
    }

    /// Returns the number of tokens before the first trained one; all tokens if none is trained.
    pub fn prompt_len(&self) -> usize {
        self.trained
            .first()
            .map_or(self.tokens.len(), |trained| trained.start)
    }

    /// Returns the tokens before the first trained one. A split keeps samples with the same prompt
    /// together. If only the first token is untrained, it is not a prompt, and the result is the whole
    /// sample.
    pub(super) fn prompt(&self) -> &[u32] {
        match self.prompt_len() {
            0 | 1 => &self.tokens,
            len => &self.tokens[..len],
        }
    }
}

/// Drops position 0 and empty ranges.
fn targets(ranges: impl IntoIterator<Item = Range<usize>>) -> Vec<Range<usize>> {
    ranges
        .into_iter()
        .map(|range| range.start.max(1)..range.end)
        .filter(|range| !range.is_empty())
        .collect()
}

/// Limits of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum sequence length in tokens, at least 2; the rest of a longer sequence is cut off.
    pub max_seq_len: usize,
    /// Rows of the model's embedding. Every token id must be less.
    pub vocab_size: usize,
}

impl Limits {
    /// Returns a message about the ids beyond the model's embedding, if there are any.
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
                "{} token id(s) are beyond the model's vocabulary of {}: {shown:?}; use the tokenizer of \
                 the model",
                ids.len(),
                self.vocab_size
            )
        })
    }
}

/// Result of tokenizing a row.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tokenized {
    /// Its samples: one, several for a text longer than `max_seq_len`, or none.
    pub samples: Vec<Sample>,
    /// Number of tokens before cutting and dropping.
    pub len: usize,
    /// Number of tokens before the first trained one.
    pub prompt_len: usize,
    /// What was cut from the row, or why it was dropped.
    pub dropped: Dropped,
}

/// Counts of rows that tokenizing dropped or cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Rows whose prompt alone fills `max_seq_len`.
    pub prompt_too_long: usize,
    /// Rows without trained tokens: an empty answer with a tokenizer that has no end-of-sequence token, or
    /// a conversation without an answer.
    pub empty: usize,
    /// Rows that were cut at `max_seq_len`.
    pub truncated: usize,
}

impl Dropped {
    /// Returns the number of dropped rows, for any reason.
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

/// What was dropped and why; empty if nothing was.
impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part =
            |count: usize, what: &str| (count > 0).then(|| format!("{} {what}", grouped(count)));
        let reasons = [
            part(self.prompt_too_long, "with a prompt that fills max_seq_len"),
            part(self.empty, "without trained tokens"),
        ];
        let reasons = joined(reasons.into_iter().flatten(), ", ");
        let skipped = (self.rows() > 0)
            .then(|| format!("{} skipped ({reasons})", counted(self.rows(), "row")));
        let truncated = (self.truncated > 0).then(|| {
            format!(
                "{} truncated to max_seq_len",
                counted(self.truncated, "row")
            )
        });
        f.write_str(&joined(skipped.into_iter().chain(truncated), ", "))
    }
}

/// Checks that the template does not also write the end token that is added after an answer.
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
            "the template '{template}' writes the end-of-sequence token {end} after {{response}}; remove \
             it from the template, because bone adds it"
        )));
    }
    Ok(())
}

/// Tokenizes a row into training sequences of at most `max_seq_len` tokens. `number` becomes their
/// [`Sample::row`].
///
/// Positions, not ids, decide which tokens are trained. A text is split into chunks like a plain text file.
/// Any other row is cut at its end.
///
/// # Errors
/// The reason why the template or the tokenizer rejects the row, or that it has ids beyond the vocabulary.
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
    // The template can only have written the end token if the row has it before its end.
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

/// Splits tokens into chunks of at most `max_seq_len`, which is at least 2. A chunk starts with the last
/// token of the previous one, which is not trained again. So every token except the very first is a target
/// exactly once.
pub(super) fn chunks(tokens: &[u32], max_seq_len: usize) -> impl Iterator<Item = &[u32]> {
    let starts = (0..tokens.len().saturating_sub(1)).step_by(max_seq_len.saturating_sub(1).max(1));
    starts.map(move |start| &tokens[start..tokens.len().min(start + max_seq_len)])
}
