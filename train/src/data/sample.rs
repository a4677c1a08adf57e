//! Rows as tokens, and which of those are trained.

use std::fmt;
use std::ops::Range;

use bone_lm::tokenizer::{Tokenizer, encode_prompt_and_response};
use thiserror::Error;

use super::rows::Row;
use super::template::Template;

#[cfg(test)]
pub(super) mod tests;

/// Errors show this many rows and count the rest.
const SHOWN_FAILURES: usize = 10;

/// One training sequence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Token ids: the prompt, then what is trained.
    pub tokens: Vec<u32>,
    /// How many of the tokens, from the first, are only read. 0 means that there is no prompt.
    pub prompt_len: usize,
    /// [`Row::index`], or the number of the chunk of a plain text.
    pub row: u64,
}

impl Sample {
    /// Positions that are training targets: all from `prompt_len` on. Position 0 is none, as
    /// nothing predicts it.
    pub fn trained(&self) -> Range<usize> {
        let start = self.prompt_len.max(1);
        start..self.tokens.len().max(start)
    }
}

/// What a model can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Longest sequence in tokens; the rest of a longer one is cut off. At least 2.
    pub max_seq_len: usize,
    /// Rows of the model's embedding: every token id is below it.
    pub vocab_size: usize,
}

/// What tokenizing left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Rows whose prompt alone fills `max_seq_len`.
    pub prompt_too_long: usize,
    /// Rows with an empty completion, under a tokenizer that has no end-of-sequence token.
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

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} dropped ({} with a prompt that fills max_seq_len, {} with an empty response), \
             {} truncated",
            self.rows(),
            self.prompt_too_long,
            self.empty,
            self.truncated
        )
    }
}

/// Rows that cannot become samples.
#[derive(Debug, Error)]
pub enum SampleError {
    /// No position could be trained.
    #[error("max_seq_len is {0}: it must be at least 2, one token to read and one to predict")]
    MaxSeqLen(usize),
    /// The template leaves out what some rows hold.
    #[error(
        "{rows} row(s), the first of them row {first}, have an input, and the template \
         '{template}' has no {{input}}: add it, or leave the input out with a field map, \
         instruction=FIELD,response=FIELD"
    )]
    InputUnused {
        /// How many rows have an input.
        rows: usize,
        /// The first of them, from 1.
        first: u64,
        /// The template's name.
        template: String,
    },
    /// Rows that the tokenizer refuses or the model cannot take; all counted, the first shown.
    #[error("{total} row(s) cannot be tokenized for this model: {}", list(.shown, *.total))]
    Rows {
        /// Row, from 1, and what is wrong with it.
        shown: Vec<(u64, String)>,
        /// How many rows there are.
        total: usize,
    },
    /// Every row was dropped.
    #[error(
        "nothing is left to train on: {dropped}; the shortest prompt has {shortest_prompt} tokens \
         and max_seq_len is {max_seq_len}"
    )]
    NothingLeft {
        /// What was dropped.
        dropped: Dropped,
        /// Tokens of the shortest prompt.
        shortest_prompt: usize,
        /// The limit.
        max_seq_len: usize,
    },
}

fn list(shown: &[(u64, String)], total: usize) -> String {
    let mut text = shown
        .iter()
        .map(|(row, what)| format!("\n  row {row}: {what}"))
        .collect::<String>();
    if total > shown.len() {
        text.push_str(&format!("\n  and {} more", total - shown.len()));
    }
    text
}

impl Limits {
    pub(super) fn check(&self) -> Result<(), SampleError> {
        match self.max_seq_len {
            0 | 1 => Err(SampleError::MaxSeqLen(self.max_seq_len)),
            _ => Ok(()),
        }
    }

    /// Names the ids that the model has no embedding for.
    pub(super) fn beyond_vocab(&self, tokens: &[u32]) -> Option<String> {
        let mut ids: Vec<u32> = tokens
            .iter()
            .copied()
            .filter(|&id| id as usize >= self.vocab_size)
            .collect();
        ids.sort_unstable();
        ids.dedup();
        let shown = &ids[..ids.len().min(SHOWN_FAILURES)];
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

/// Tokenizes rows: BOS (where the tokenizer has one), prompt, completion and EOS, cut to
/// `max_seq_len`. The completion and the EOS are trained, by position whatever their ids.
///
/// Samples keep the order of the rows. EOS is the first of [`Tokenizer::eos`]; a tokenizer that
/// has none ends samples without it.
///
/// # Errors
/// [`SampleError`] with every row that the tokenizer refuses or that has ids beyond the
/// vocabulary; inputs that the template would leave out; nothing left to train.
pub fn tokenize(
    rows: &[Row],
    template: &Template,
    tokenizer: &dyn Tokenizer,
    limits: Limits,
) -> Result<(Vec<Sample>, Dropped), SampleError> {
    limits.check()?;
    if !template.uses_input() {
        refuse_inputs(rows, template)?;
    }
    let mut samples = Vec::with_capacity(rows.len());
    let mut dropped = Dropped::default();
    let mut shortest_prompt = usize::MAX;
    let (mut shown, mut total) = (Vec::new(), 0);
    for row in rows {
        match tokenize_row(row, template, tokenizer, limits) {
            Ok(mut sample) => {
                shortest_prompt = shortest_prompt.min(sample.prompt_len);
                if sample.trained().is_empty() {
                    dropped.empty += 1;
                } else if sample.trained().start >= limits.max_seq_len {
                    dropped.prompt_too_long += 1;
                } else {
                    dropped.truncated += usize::from(sample.tokens.len() > limits.max_seq_len);
                    sample.tokens.truncate(limits.max_seq_len);
                    samples.push(sample);
                }
            }
            Err(what) => {
                total += 1;
                if shown.len() < SHOWN_FAILURES {
                    shown.push((row.index + 1, what));
                }
            }
        }
    }
    if total > 0 {
        return Err(SampleError::Rows { shown, total });
    }
    if samples.is_empty() {
        return Err(SampleError::NothingLeft {
            dropped,
            shortest_prompt: if rows.is_empty() { 0 } else { shortest_prompt },
            max_seq_len: limits.max_seq_len,
        });
    }
    Ok((samples, dropped))
}

fn refuse_inputs(rows: &[Row], template: &Template) -> Result<(), SampleError> {
    let mut with_input = rows.iter().filter(|row| !row.input.is_empty());
    match with_input.next() {
        Some(first) => Err(SampleError::InputUnused {
            rows: 1 + with_input.count(),
            first: first.index + 1,
            template: template.to_string(),
        }),
        None => Ok(()),
    }
}

/// A row's whole sequence, however long.
fn tokenize_row(
    row: &Row,
    template: &Template,
    tokenizer: &dyn Tokenizer,
    limits: Limits,
) -> Result<Sample, String> {
    let prompt = template.prompt(row);
    let completion = template.completion(row);
    let (mut tokens, prompt_len) = encode_prompt_and_response(tokenizer, &prompt, &completion)
        .map_err(|error| error.to_string())?;
    tokens.extend(tokenizer.eos().first());
    if prompt_len > tokens.len() {
        return Err(format!(
            "the tokenizer counts {prompt_len} prompt tokens among {}",
            tokens.len()
        ));
    }
    match limits.beyond_vocab(&tokens) {
        Some(what) => Err(what),
        None => Ok(Sample {
            tokens,
            // A lone BOS is no prompt: such rows share nothing that a split must keep together.
            prompt_len: if prompt.is_empty() { 0 } else { prompt_len },
            row: row.index,
        }),
    }
}
