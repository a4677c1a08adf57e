//! Continuing prompts, token by token.

use crate::sampling::{Sampler, SamplingConfig, SamplingError};
use crate::{Backend, Block, CausalLm, Span};
use burn::tensor::{DType, Int, Tensor, TensorData};

/// How to continue.
#[derive(Debug, Clone)]
pub struct GenerateConfig {
    /// How the next token is chosen.
    pub sampling: SamplingConfig,
    /// Tokens to add at most.
    pub max_new_tokens: usize,
    /// Tokens that end a sequence; they are not part of the result.
    pub stop: Vec<u32>,
}

/// Why a prompt could not be continued.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// A prompt holds nothing to start from.
    #[error("prompt {0} is empty and the tokenizer has no beginning-of-sequence token")]
    EmptyPrompt(usize),
    /// A prompt holds a token the model does not know.
    #[error("prompt {prompt} holds token {token}, the model knows {vocab_size}")]
    UnknownToken {
        /// Which prompt.
        prompt: usize,
        /// The token.
        token: u32,
        /// Rows of the model's embedding.
        vocab_size: usize,
    },
    /// The settings or the logits are unusable.
    #[error(transparent)]
    Sampling(#[from] SamplingError),
}

/// Continues `prompts` as one batch and returns the new tokens of each, without the token that
/// ended it. `on_token` sees every new token as it comes: the prompt's index and the token.
///
/// Each row draws from a seed of its own, so a row's result does not depend on its neighbours.
///
/// # Errors
///
/// [`GenerateError`], before anything is run for what concerns the prompts and settings.
pub fn generate<B: Backend, M: CausalLm<B>>(
    model: &M,
    prompts: &[Vec<u32>],
    config: &GenerateConfig,
    device: &B::Device,
    mut on_token: impl FnMut(usize, u32),
) -> Result<Vec<Vec<u32>>, GenerateError> {
    check(prompts, model.vocab_size())?;
    let mut samplers = (0..prompts.len() as u64)
        .map(|row| {
            let mut sampling = config.sampling.clone();
            sampling.seed = sampling.seed.wrapping_add(row);
            Sampler::new(sampling)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let Some(longest) = prompts.iter().map(Vec::len).max() else {
        return Ok(Vec::new());
    };
    let batch = prompts.len();
    let left_pad: Vec<_> = prompts.iter().map(|p| longest - p.len()).collect();
    let padded = left_pad.iter().any(|pad| *pad > 0);
    let mut span = Span {
        batch,
        past: 0,
        len: longest,
        left_pad: if padded { left_pad.clone() } else { Vec::new() },
    };
    let mut input: Vec<u32> = Vec::with_capacity(batch * longest);
    for (prompt, pad) in prompts.iter().zip(&left_pad) {
        input.extend(std::iter::repeat_n(0, *pad));
        input.extend(prompt);
    }

    let mut states = vec![<M::Block as Block<B>>::State::default(); model.blocks().len()];
    let mut histories = prompts.to_vec();
    let mut finished = vec![false; batch];
    for _ in 0..config.max_new_tokens {
        let logits = last_logits(model, &input, &span, &mut states, device);
        input.clear();
        for (row, logits) in logits.chunks_exact(model.vocab_size()).enumerate() {
            // A finished row is carried along: its tokens are nobody's.
            if finished[row] {
                input.push(0);
                continue;
            }
            let token = samplers[row].sample(logits, &histories[row])?;
            input.push(token);
            if config.stop.contains(&token) {
                finished[row] = true;
            } else {
                histories[row].push(token);
                on_token(row, token);
            }
        }
        if finished.iter().all(|done| *done) {
            break;
        }
        span.past += span.len;
        span.len = 1;
    }
    Ok(histories
        .into_iter()
        .zip(prompts)
        .map(|(history, prompt)| history[prompt.len()..].to_vec())
        .collect())
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

/// Token ids as a tensor `[batch, len]`.
pub fn token_tensor<B: Backend>(
    tokens: &[u32],
    batch: usize,
    len: usize,
    device: &B::Device,
) -> Tensor<B, 2, Int> {
    let ids: Vec<i32> = tokens.iter().map(|t| *t as i32).collect();
    Tensor::from_data(TensorData::new(ids, [batch, len]), device)
}

/// Runs one piece and returns the logits of its last position, `[batch · vocab_size]`.
fn last_logits<B: Backend, M: CausalLm<B>>(
    model: &M,
    tokens: &[u32],
    span: &Span,
    states: &mut [<M::Block as Block<B>>::State],
    device: &B::Device,
) -> Vec<f32> {
    let context = model.context(span);
    let mut hidden = model.embed(token_tensor(tokens, span.batch, span.len, device));
    for (block, state) in model.blocks().iter().zip(states) {
        hidden = block.forward(hidden, &context, Some(state));
    }
    let [batch, len, size] = hidden.dims();
    let last = hidden.slice([0..batch, len - 1..len, 0..size]);
    let logits = model.head(last).into_data().convert_dtype(DType::F32);
    logits.iter::<f32>().collect()
}
