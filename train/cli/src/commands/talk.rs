//! Continuing prompts as text.

use super::CommandError;
use super::stops::Stops;
use bone_lm::generate::{self, BatchConfig, EndedRow, Event, generate_all};
use bone_lm::{Backend, CausalLm};
use bone_tokenizer::{TextStream, Tokenizer, TokenizerError};
use std::ops::ControlFlow;

/// How a model's tokens become text, and what ends it.
#[derive(Clone, Copy)]
pub(super) struct Talk<'a> {
    pub(super) tokenizer: &'a dyn Tokenizer,
    /// Texts that end an answer, and are no part of it.
    pub(super) stops: &'a [String],
    pub(super) config: &'a BatchConfig,
}

/// What happens.
pub(super) enum Said<'a> {
    /// An answer has more text.
    Text {
        prompt: usize,
        text: &'a str,
    },
    Ended(Answered),
}

/// A whole answer.
pub(super) struct Answered {
    /// Index of the prompt.
    pub(super) prompt: usize,
    pub(super) text: String,
    /// Tokens that were made, those of a text that ended it with them.
    pub(super) tokens: usize,
    pub(super) why: generate::Ended,
    pub(super) near_tie: Option<usize>,
}

/// An answer that goes on.
struct Running<'a> {
    stream: Option<TextStream<'a>>,
    stops: Stops,
    text: String,
}

impl Talk<'_> {
    /// Continues `prompts`. An error of `on` ends it.
    ///
    /// # Errors
    ///
    /// What `on` returns; a prompt that cannot be continued.
    pub(super) fn with<B: Backend, M: CausalLm<B>>(
        &self,
        model: &M,
        prompts: &[Vec<u32>],
        device: &B::Device,
        mut on: impl FnMut(Said<'_>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let start = |prompt: &Vec<u32>| {
            Ok(Running {
                // A stream knows what came before: a space between prompt and text is kept.
                stream: Some(TextStream::after(self.tokenizer, prompt)?),
                stops: Stops::new(self.stops.to_vec()),
                text: String::new(),
            })
        };
        let rows: Result<Vec<_>, TokenizerError> = prompts.iter().map(start).collect();
        let mut rows = rows?;
        let mut failed = None;
        generate_all(model, prompts, self.config, device, |event| {
            let done = match event {
                Event::Token { prompt, token } => rows[prompt].token(prompt, token, &mut on),
                Event::Ended(row) => rows[row.prompt].end(row, &mut on),
            };
            done.unwrap_or_else(|error| {
                failed.get_or_insert(error);
                ControlFlow::Break(())
            })
        })?;
        failed.map_or(Ok(()), Err)
    }
}

type Flow = Result<ControlFlow<()>, CommandError>;

impl Running<'_> {
    fn token(
        &mut self,
        prompt: usize,
        token: u32,
        on: &mut impl FnMut(Said<'_>) -> Result<(), CommandError>,
    ) -> Flow {
        if let Some(stream) = &mut self.stream
            && let Some(text) = stream.push(token)?
        {
            self.take(prompt, &text, on)?;
        }
        Ok(match self.stops.ended() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    fn take(
        &mut self,
        prompt: usize,
        text: &str,
        on: &mut impl FnMut(Said<'_>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let text = self.stops.push(text);
        self.give(prompt, &text, on)
    }

    fn give(
        &mut self,
        prompt: usize,
        text: &str,
        on: &mut impl FnMut(Said<'_>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        self.text.push_str(text);
        match text.is_empty() {
            true => Ok(()),
            false => on(Said::Text { prompt, text }),
        }
    }

    fn end(
        &mut self,
        row: EndedRow,
        on: &mut impl FnMut(Said<'_>) -> Result<(), CommandError>,
    ) -> Flow {
        if let Some(rest) = self
            .stream
            .take()
            .map(TextStream::finish)
            .transpose()?
            .flatten()
        {
            self.take(row.prompt, &rest, on)?;
        }
        let rest = std::mem::take(&mut self.stops).finish();
        self.give(row.prompt, &rest, on)?;
        on(Said::Ended(Answered {
            prompt: row.prompt,
            text: std::mem::take(&mut self.text),
            tokens: row.tokens.len(),
            why: row.why,
            near_tie: row.near_tie,
        }))?;
        Ok(ControlFlow::Continue(()))
    }
}
