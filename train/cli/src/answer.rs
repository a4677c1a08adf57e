//! Continuing prompts as text.

use crate::error::CommandError;
use crate::session::Session;
use crate::stop::{StopTexts, stop_tokens};
use crate::work::Work;
use bone_lm::generate::{self, BatchConfig, EndedRow, Event, generate_all};
use bone_lm::sampling::SamplingConfig;
use bone_lm::{Backend, CausalLm};
use bone_tokenizer::{TextStream, Tokenizer, TokenizerError};
use bone_train::step::{TrainBackend, TrainModel};
use std::ops::ControlFlow;

/// How tokens are chosen.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// 0 takes the most likely token; higher is more varied
    #[arg(
        long,
        value_name = "T",
        allow_negative_numbers = true,
        default_value_t = 0.0
    )]
    pub temperature: f32,
    /// Choose among the most likely tokens that make up this probability
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Seed of the draws
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0
    )]
    pub seed: u64,
}

impl SamplingArgs {
    pub(crate) fn config(&self) -> SamplingConfig {
        SamplingConfig {
            temperature: self.temperature,
            top_p: self.top_p,
            seed: self.seed,
            ..SamplingConfig::default()
        }
    }
}

/// What continues prompts: a tokenizer, and what ends an answer.
pub(crate) struct Answering<'a> {
    tokenizer: &'a dyn Tokenizer,
    /// Texts that end an answer, and are no part of it.
    stops: Vec<String>,
    config: BatchConfig,
}

/// What happens.
pub(crate) enum Answer<'a> {
    /// There is more text.
    Text {
        prompt: usize,
        text: &'a str,
    },
    Ended(Answered),
}

/// A whole answer.
pub(crate) struct Answered {
    /// Index of the prompt.
    pub(crate) prompt: usize,
    pub(crate) text: String,
    /// Tokens that were made, those of a text that ended it with them.
    pub(crate) tokens: usize,
    pub(crate) why: generate::Ended,
    pub(crate) near_tie: Option<usize>,
}

impl<'a> Answering<'a> {
    /// # Errors
    ///
    /// The tokenizer refuses one of `stops`.
    pub(crate) fn new(
        session: &'a Session,
        stops: Vec<String>,
        batch_size: usize,
        max_new_tokens: usize,
        sampling: SamplingConfig,
    ) -> Result<Self, CommandError> {
        let tokenizer = session.tokenizer.as_ref();
        let config = BatchConfig {
            batch_size,
            sampling,
            max_new_tokens,
            max_positions: session.info.positions,
            stop: stop_tokens(tokenizer, &stops)?,
            near_tie: Some(session.near_tie),
        };
        Ok(Self {
            tokenizer,
            stops,
            config,
        })
    }

    /// Continues `prompts`. An error of `on` ends it.
    ///
    /// # Errors
    ///
    /// What `on` returns; a prompt that cannot be continued.
    pub(crate) fn run<B: Backend, M: CausalLm<B>>(
        &self,
        model: &M,
        prompts: &[Vec<u32>],
        device: &B::Device,
        mut on: impl FnMut(Answer<'_>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let start = |prompt: &Vec<u32>| {
            Ok(Running {
                // A stream knows what came before: a space between prompt and text is kept.
                stream: Some(TextStream::after(self.tokenizer, prompt)?),
                stops: StopTexts::new(self.stops.clone()),
                text: String::new(),
            })
        };
        let rows: Result<Vec<_>, TokenizerError> = prompts.iter().map(start).collect();
        let mut rows = rows?;
        let mut failed = None;
        generate_all(model, prompts, &self.config, device, |event| {
            let goes_on = match event {
                Event::Token { prompt, token } => rows[prompt].token(prompt, token, &mut on),
                Event::Ended(row) => rows[row.prompt].end(row, &mut on).map(|()| true),
            };
            let goes_on = goes_on.unwrap_or_else(|error| {
                failed.get_or_insert(error);
                false
            });
            if goes_on {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        })?;
        failed.map_or(Ok(()), Err)
    }
}

/// Prompts to continue, as work on a session's model.
pub(crate) struct Prompts<'a, F> {
    pub(crate) answering: &'a Answering<'a>,
    pub(crate) prompts: &'a [Vec<u32>],
    pub(crate) on: F,
}

impl<F: FnMut(Answer<'_>) -> Result<(), CommandError>> Work for Prompts<'_, F> {
    type Output = ();

    fn run<B: TrainBackend, M: TrainModel<B>>(
        self,
        model: M,
        device: &B::Device,
    ) -> Result<(), CommandError> {
        let model = model.valid();
        self.answering.run(&model, self.prompts, device, self.on)
    }
}

/// An answer that goes on.
struct Running<'a> {
    stream: Option<TextStream<'a>>,
    stops: StopTexts,
    text: String,
}

impl Running<'_> {
    /// Takes a token; returns whether the answer goes on.
    fn token(
        &mut self,
        prompt: usize,
        token: u32,
        on: &mut impl FnMut(Answer<'_>) -> Result<(), CommandError>,
    ) -> Result<bool, CommandError> {
        if let Some(stream) = &mut self.stream
            && let Some(text) = stream.push(token)?
        {
            let text = self.stops.push(&text);
            self.give(prompt, &text, on)?;
        }
        Ok(!self.stops.ended())
    }

    fn give(
        &mut self,
        prompt: usize,
        text: &str,
        on: &mut impl FnMut(Answer<'_>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        self.text.push_str(text);
        if text.is_empty() {
            return Ok(());
        }
        on(Answer::Text { prompt, text })
    }

    fn end(
        &mut self,
        row: EndedRow,
        on: &mut impl FnMut(Answer<'_>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let mut rest = String::new();
        if let Some(stream) = self.stream.take()
            && let Some(text) = stream.finish()?
        {
            rest = self.stops.push(&text);
        }
        rest += &std::mem::take(&mut self.stops).finish();
        self.give(row.prompt, &rest, on)?;
        on(Answer::Ended(Answered {
            prompt: row.prompt,
            text: std::mem::take(&mut self.text),
            tokens: row.tokens.len(),
            why: row.why,
            near_tie: row.near_tie,
        }))
    }
}
