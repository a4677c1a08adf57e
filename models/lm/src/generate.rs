//! Continues prompts, token by token.

use crate::sampling::{SamplingConfig, SamplingError};
use crate::{Backend, CausalLm};
use burn::tensor::{Int, Tensor, TensorData};
use std::ops::ControlFlow;

mod batch;
mod continuous;
mod row;
#[cfg(all(test, feature = "flex"))]
mod tests;

pub use continuous::{BatchConfig, Event, generate_all};
pub use row::{Ended, EndedRow};

/// Settings for continuing prompts.
#[derive(Debug, Clone)]
pub struct GenerateConfig {
    /// How the next token is chosen.
    pub sampling: SamplingConfig,
    /// Maximum number of tokens to add.
    pub max_new_tokens: usize,
    /// Tokens that end a sequence; the result excludes them.
    pub stop: Vec<u32>,
}

/// Why a prompt could not be continued.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A prompt is empty and the tokenizer has no beginning-of-sequence token.
    #[error(
        "prompt {} is empty and the tokenizer has no beginning-of-sequence token; give at least one \
         character",
        .0 + 1
    )]
    EmptyPrompt(usize),
    /// A prompt holds a token that the model does not know.
    #[error(
        "prompt {} has token {token}, but the model's vocabulary has {vocab_size} tokens",
        .prompt + 1
    )]
    UnknownToken {
        /// Index of the prompt, from 0.
        prompt: usize,
        /// The unknown token.
        token: u32,
        /// Rows of the model's embedding.
        vocab_size: usize,
    },
    /// The settings or the logits are unusable.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
}

/// Continues `prompts` as one batch and returns the new tokens of each, without the token that
/// ended it. `on_token` gets every new token immediately: the prompt's index and the token.
///
/// Each row has its own seed, so its result does not depend on its neighbours.
///
/// # Errors
///
/// [`GenerateError`]. Errors in the prompts and settings are returned before the model runs.
pub fn generate<B: Backend, M: CausalLm<B>>(
    model: &M,
    prompts: &[Vec<u32>],
    config: &GenerateConfig,
    device: &B::Device,
    mut on_token: impl FnMut(usize, u32),
) -> Result<Vec<Vec<u32>>, GenerateError> {
    let config = BatchConfig {
        batch_size: prompts.len(),
        sampling: config.sampling.clone(),
        max_new_tokens: config.max_new_tokens,
        max_positions: None,
        stop: config.stop.clone(),
        near_tie: None,
    };
    let mut results = vec![Vec::new(); prompts.len()];
    generate_all(model, prompts, &config, device, |event| {
        match event {
            Event::Token { prompt, token } => on_token(prompt, token),
            Event::Ended(row) => results[row.prompt] = row.tokens,
        }
        ControlFlow::Continue(())
    })?;
    Ok(results)
}

fn check(prompts: &[Vec<u32>], vocab_size: usize) -> Result<(), GenerateError> {
    for (index, prompt) in prompts.iter().enumerate() {
        if prompt.is_empty() {
            return Err(GenerateError::EmptyPrompt(index));
        }
        if let Some(&token) = prompt.iter().find(|t| **t as usize >= vocab_size) {
            return Err(GenerateError::UnknownToken {
                prompt: index,
                token,
                vocab_size,
            });
        }
    }
    Ok(())
}

/// Returns token ids as a tensor `[batch, len]`.
pub fn token_tensor<B: Backend>(
    tokens: &[u32],
    batch: usize,
    len: usize,
    device: &B::Device,
) -> Tensor<B, 2, Int> {
    let ids: Vec<i32> = tokens.iter().map(|t| *t as i32).collect();
    Tensor::from_data(TensorData::new(ids, [batch, len]), device)
}
