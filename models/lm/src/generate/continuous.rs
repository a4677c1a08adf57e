use super::batch::Batch;
use super::row::{EndedRow, Row};
use super::{GenerateError, check};
use crate::sampling::SamplingConfig;
use crate::{Backend, CausalLm};
use std::ops::ControlFlow;

/// New prompts start when an eighth of the places is free. If each started alone, each would need
/// its own pass through the model.
const SHARE: usize = 8;

/// Settings for continuing many prompts.
#[derive(Debug, Clone)]
pub struct BatchConfig {
    /// Maximum number of prompts that run at once; 0 counts as 1.
    pub batch_size: usize,
    /// How the next token is chosen. Each prompt draws from the seed plus its index.
    pub sampling: SamplingConfig,
    /// Maximum number of tokens to add to a prompt.
    pub max_new_tokens: usize,
    /// Maximum number of tokens of a sequence, prompt included; `None` for a model without a limit.
    pub max_positions: Option<usize>,
    /// Tokens that end a sequence; the result excludes them.
    pub stop: Vec<u32>,
    /// Distance in logits between the two most likely tokens up to which [`EndedRow::near_tie`]
    /// reports the token.
    pub near_tie: Option<f64>,
}

/// Events while prompts are continued.
#[derive(Debug)]
pub enum Event {
    /// A sequence has a new token. Breaking ends the sequence with this token.
    Token {
        /// Index of the prompt.
        prompt: usize,
        /// The token.
        token: u32,
    },
    /// A sequence has ended. Breaking ends the run; running and waiting sequences stop.
    Ended(EndedRow),
}

/// Continues all `prompts`, in their order, `batch_size` of them at once. A sequence that ends is
/// reported immediately and frees a place for a waiting prompt. The others continue.
///
/// A prompt's result does not depend on its neighbours or on `batch_size`, except for rounding: of
/// two equally likely tokens, either may be chosen.
///
/// # Errors
///
/// [`GenerateError`]. Errors in the prompts and settings are returned before the model runs. A
/// prompt too long for `max_positions` is not an error: it ends immediately.
pub fn generate_all<B: Backend, M: CausalLm<B>>(
    model: &M,
    prompts: &[Vec<u32>],
    config: &BatchConfig,
    device: &B::Device,
    mut on_event: impl FnMut(Event) -> ControlFlow<()>,
) -> Result<(), GenerateError> {
    check(prompts, model.vocab_size())?;
    config.sampling.validate()?;
    let size = config.batch_size.max(1);
    let mut waiting = prompts.iter().enumerate();
    let mut running = Batch::of(Vec::new(), model, device);
    loop {
        let free = size - running.len();
        let enough = size.div_ceil(SHARE).min(waiting.len());
        if waiting.len() > 0 && free >= enough {
            let mut rows = Vec::new();
            while rows.len() < free
                && let Some((index, prompt)) = waiting.next()
            {
                let mut row = Row::new(index, prompt, config)?;
                match row.at_limit() {
                    None => rows.push(row),
                    Some(why) => {
                        if on_event(Event::Ended(row.end(why))).is_break() {
                            return Ok(());
                        }
                    }
                }
            }
            let mut new = Batch::of(rows, model, device);
            if new.advance(config, &mut on_event)?.is_break() {
                return Ok(());
            }
            running.join(new);
        } else if running.len() == 0 || running.advance(config, &mut on_event)?.is_break() {
            return Ok(());
        }
    }
}
