use super::BatchConfig;
use crate::sampling::{Sampler, SamplingError};

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It produced this stop token, which the result excludes.
    Stop(u32),
    /// It reached the maximum number of new tokens.
    MaxNewTokens,
    /// It reached the model's maximum number of positions.
    Positions,
    /// It never started: the prompt alone has more tokens than the model has positions.
    PromptTooLong,
    /// The caller ended it.
    Caller,
}

/// A sequence that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRow {
    /// Index of the prompt.
    pub prompt: usize,
    /// The new tokens.
    pub tokens: Vec<u32>,
    /// Why it ended.
    pub why: Ended,
    /// Index into `tokens` of the first new token with a near tie, as [`BatchConfig::near_tie`]
    /// defines; for the stop token, the length of `tokens`. From this token on, rounding may
    /// decide. `None` without a near tie, if the setting is `None`, and if tokens are sampled.
    pub near_tie: Option<usize>,
}

/// A sequence that is being continued.
pub(super) struct Row {
    prompt: usize,
    prompt_len: usize,
    /// Tokens of the prompt and the new ones.
    tokens: Vec<u32>,
    sampler: Sampler,
    /// Maximum number of tokens, and the reason for this limit.
    limit: (usize, Ended),
    near_tie: Option<usize>,
}

impl Row {
    pub(super) fn new(
        index: usize,
        prompt: &[u32],
        config: &BatchConfig,
    ) -> Result<Self, SamplingError> {
        let mut sampling = config.sampling.clone();
        sampling.seed = sampling.seed.wrapping_add(index as u64);
        let positions = config.max_positions.unwrap_or(usize::MAX);
        let allowed = prompt.len().saturating_add(config.max_new_tokens);
        let limit = if prompt.len() > positions {
            (positions, Ended::PromptTooLong)
        } else if allowed > positions {
            (positions, Ended::Positions)
        } else {
            (allowed, Ended::MaxNewTokens)
        };
        Ok(Self {
            prompt: index,
            prompt_len: prompt.len(),
            tokens: prompt.to_vec(),
            sampler: Sampler::new(sampling)?,
            limit,
            near_tie: None,
        })
    }

    pub(super) fn prompt(&self) -> usize {
        self.prompt
    }

    pub(super) fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Chooses the next token by its logits and appends it, or returns the stop token.
    pub(super) fn choose(
        &mut self,
        logits: &[f32],
        config: &BatchConfig,
    ) -> Result<Result<u32, Ended>, SamplingError> {
        let token = self.sampler.sample(logits, &self.tokens)?;
        let lead = config.near_tie.zip(self.sampler.lead());
        if self.near_tie.is_none() && lead.is_some_and(|(near, lead)| lead <= near) {
            self.near_tie = Some(self.tokens.len() - self.prompt_len);
        }
        if config.stop.contains(&token) {
            return Ok(Err(Ended::Stop(token)));
        }
        self.tokens.push(token);
        Ok(Ok(token))
    }

    /// Returns why the row may have no more tokens; `None` if it may.
    pub(super) fn at_limit(&self) -> Option<Ended> {
        let (tokens, why) = self.limit;
        (self.tokens.len() >= tokens).then_some(why)
    }

    /// Returns the result and leaves the row empty.
    pub(super) fn end(&mut self, why: Ended) -> EndedRow {
        EndedRow {
            prompt: self.prompt,
            tokens: self.tokens.split_off(self.prompt_len),
            why,
            near_tie: self.near_tie,
        }
    }
}
