//! Continuing prompts as text.

use crate::error::CommandError;
use crate::session::Session;
use crate::stop::{StopTexts, stop_tokens};
use crate::work::Work;
use bone_lm::generate::{BatchConfig, EndedRow, Event, generate_all};
use bone_lm::sampling::SamplingConfig;
use bone_lm::{Backend, CausalLm};
use bone_tokenizer::{TextStream, Tokenizer, TokenizerError};
use bone_train::step::{TrainBackend, TrainModel};
use std::ops::ControlFlow;

/// How tokens are chosen.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Sampling")]
pub struct SamplingArgs {
    /// Sampling temperature; 0 always takes the most likely token
    #[arg(
        long,
        value_name = "T",
        allow_negative_numbers = true,
        default_value_t = 0.0
    )]
    pub temperature: f32,
    /// Sample from the most likely tokens with this total probability
    #[arg(long, value_name = "P", allow_negative_numbers = true)]
    pub top_p: Option<f32>,
    /// Random seed of the sampling
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value_t = 0
    )]
    pub seed: u64,
    /// Sample from the K most likely tokens
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub top_k: Option<usize>,
    /// Penalty for repeated tokens; 1 disables it
    #[arg(
        long,
        value_name = "X",
        allow_negative_numbers = true,
        default_value_t = 1.0
    )]
    pub repetition_penalty: f32,
}

impl SamplingArgs {
    /// # Errors
    ///
    /// A list of settings that are out of range or have no effect.
    pub(crate) fn config(&self) -> Result<SamplingConfig, CommandError> {
        let config = SamplingConfig {
            temperature: self.temperature,
            top_k: self.top_k,
            top_p: self.top_p,
            repetition_penalty: self.repetition_penalty,
            seed: self.seed,
        };
        config.validate()?;
        let (top_k, top_p) = (self.top_k.is_some(), self.top_p.is_some());
        if self.temperature == 0.0 && (top_k || top_p) {
            let ignored = if top_k { "top_k" } else { "top_p" };
            return Err(CommandError::usage(format!(
                "{ignored} has no effect with temperature 0 (always the most likely token); remove this \
                 option, or set a temperature greater than 0"
            )));
        }
        Ok(config)
    }
}

/// Continues prompts with a tokenizer and a rule for the end of an answer.
pub(crate) struct Answering<'a> {
    tokenizer: &'a dyn Tokenizer,
    /// Texts that end an answer. They are not part of it.
    stops: Vec<String>,
    config: BatchConfig,
}

impl<'a> Answering<'a> {
    /// # Errors
    ///
    /// The tokenizer rejects one of `stops`.
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

    /// Continues `prompts`. Calls `on` with the prompt's index, the new text of its answer and, at the end,
    /// the reason for the end. An error of `on` stops everything.
    ///
    /// # Errors
    ///
    /// An error that `on` returns, or a prompt that cannot be continued.
    pub(crate) fn run<B: Backend, M: CausalLm<B>>(
        &self,
        model: &M,
        prompts: &[Vec<u32>],
        device: &B::Device,
        mut on: impl FnMut(usize, &str, Option<EndedRow>) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let start = |prompt: &Vec<u32>| {
            Ok(Running {
                // The stream knows the prompt, so it keeps a space between prompt and text.
                stream: TextStream::after(self.tokenizer, prompt)?,
                stops: StopTexts::new(self.stops.clone()),
            })
        };
        let rows = prompts.iter().map(start);
        let mut rows = rows.collect::<Result<Vec<_>, TokenizerError>>()?;
        let mut heard = |event| -> Result<ControlFlow<()>, CommandError> {
            let (prompt, token, ended) = match event {
                Event::Token { prompt, token } => (prompt, Some(token), None),
                Event::Ended(row) => (row.prompt, None, Some(row)),
            };
            let row = &mut rows[prompt];
            on(prompt, &row.text(token)?, ended)?;
            if token.is_some() && row.stops.ended() {
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        };
        let mut failed = Ok(());
        generate_all(model, prompts, &self.config, device, |event| {
            if failed.is_err() {
                return ControlFlow::Break(());
            }
            heard(event).unwrap_or_else(|error| {
                failed = Err(error);
                ControlFlow::Break(())
            })
        })?;
        failed
    }
}

/// Prompts to continue with a session's model.
pub(crate) struct Prompts<'a, F> {
    pub(crate) answering: &'a Answering<'a>,
    pub(crate) prompts: &'a [Vec<u32>],
    pub(crate) on: F,
}

impl<F> Work for Prompts<'_, F>
where
    F: FnMut(usize, &str, Option<EndedRow>) -> Result<(), CommandError>,
{
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

/// An unfinished answer.
struct Running<'a> {
    stream: TextStream<'a>,
    stops: StopTexts,
}

impl Running<'_> {
    /// Adds a token, or marks the end. Returns the new text that is certainly part of the answer.
    fn text(&mut self, token: Option<u32>) -> Result<String, TokenizerError> {
        let Some(token) = token else {
            let rest = self.stream.finish()?.unwrap_or_default();
            return Ok(self.stops.push(&rest) + &self.stops.finish());
        };
        let text = self.stream.push(token)?.unwrap_or_default();
        Ok(self.stops.push(&text))
    }
}
