use super::batch::Batch;
use super::row::{EndedRow, Row};
use super::{GenerateError, check};
use crate::sampling::SamplingConfig;
use crate::{Backend, CausalLm};
use std::ops::ControlFlow;

/// New prompts are taken in when an eighth of the places is free: taken in one at a time, each
/// would cost a pass through the model of its own.
const SHARE: usize = 8;

/// How to continue many prompts.
#[derive(Debug, Clone)]
pub struct BatchConfig {
    /// Prompts that run at once, at most; 0 is taken as 1.
    pub batch_size: usize,
    /// How the next token is chosen. Each prompt draws from the seed plus its index.
    pub sampling: SamplingConfig,
    /// Tokens to add to a prompt at most.
    pub max_new_tokens: usize,
    /// Tokens a sequence may have in all, the prompt's and the new ones; `None` for a model
    /// without such a limit.
    pub max_positions: Option<usize>,
    /// Tokens that end a sequence; they are not part of the result.
    pub stop: Vec<u32>,
    /// How near, in logits, the second most likely token may come before
    /// [`EndedRow::near_tie`] tells of it.
    pub near_tie: Option<f64>,
}

/// What happens while prompts are continued.
#[derive(Debug)]
pub enum Event {
    /// A sequence has a new token. Breaking ends the sequence with it.
    Token {
        /// Index of the prompt.
        prompt: usize,
        /// The token.
        token: u32,
    },
    /// A sequence has ended. Breaking ends the run: what still runs or waits is left as it is.
    Ended(EndedRow),
}

/// Continues all `prompts`, in their order, `batch_size` of them at once. A sequence that ends is
/// reported at once and makes place for a prompt that waits, while the others run on.
///
/// What a prompt gets does not depend on its neighbours or on `batch_size`, but for rounding: two
/// tokens as likely as each other may be taken for one another.
///
/// # Errors
///
/// [`GenerateError`], before anything is run for what concerns the prompts and settings. A prompt
/// too long for `max_positions` is none: it ends at once.
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
