use super::BatchConfig;
use crate::sampling::{Sampler, SamplingError};

/// Why a sequence ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// With this stop token, which is not part of the result.
    Stop(u32),
    /// With the last of the tokens it was allowed.
    MaxNewTokens,
    /// With the last of the model's positions.
    Positions,
    /// Before it began: the prompt alone has more tokens than the model has positions.
    PromptTooLong,
    /// Because the caller said so.
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
    /// The first new token that was chosen although the second most likely one came as near as
    /// [`BatchConfig::near_tie`]: an index into `tokens`, or their number where it was the stop
    /// token. From there on rounding may decide. `None` where there is none, where nothing was
    /// asked for, and where tokens are drawn.
    pub near_tie: Option<usize>,
}

/// A sequence that is being continued.
pub(super) struct Row {
    prompt: usize,
    prompt_len: usize,
    /// Of the prompt and the new ones.
    tokens: Vec<u32>,
    sampler: Sampler,
    /// How many tokens it may have, and why not more.
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

    /// Chooses the next token by its logits and takes it, or tells which stop token it is.
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

    /// Why it may have no more tokens, if it may not.
    pub(super) fn at_limit(&self) -> Option<Ended> {
        let (tokens, why) = self.limit;
        (self.tokens.len() >= tokens).then_some(why)
    }

    /// What it has come to. Nothing of it is left.
    pub(super) fn end(&mut self, why: Ended) -> EndedRow {
        EndedRow {
            prompt: self.prompt,
            tokens: self.tokens.split_off(self.prompt_len),
            why,
            near_tie: self.near_tie,
        }
    }
}
