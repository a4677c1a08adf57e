//! What a training step will take, before anything is loaded.

use std::fmt;

use thiserror::Error;

use super::human;
use super::limit::MemoryLimit;
use super::shape::{ActivationShape, ModelShape, RunShape};

#[cfg(test)]
mod tests;

/// Bytes of the f32 that activations, adapters, gradients and moments are.
const F32: f64 = 4.0;

/// The program itself, its threads' stacks and the tokenizer.
const PROGRAM_BYTES: f64 = (64 << 20) as f64;

/// Copies of the logits: themselves, the log-softmax, and the gradient of each. In chunks the
/// gradient is written down directly, which saves one.
const LOGITS_WHOLE: f64 = 4.0;
const LOGITS_CHUNKED: f64 = 3.0;

/// One part of the memory of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// What it is.
    pub name: &'static str,
    /// How large.
    pub bytes: u64,
    /// The setting that makes it smaller.
    pub remedy: &'static str,
}

/// The memory of a run at its peak, part by part: an f32 step on the CPU with autodiff, rounded
/// up rather than down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    terms: Vec<Term>,
}

/// A run that does not fit.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "the run would take about {} and {} has {} to give: {estimate}. The largest part is {}: {}",
    human(estimate.total()),
    .limit.source,
    human(.limit.bytes),
    .largest.name,
    .largest.remedy
)]
pub struct MemoryError {
    /// Every part.
    pub estimate: Estimate,
    /// What there is.
    pub limit: MemoryLimit,
    /// The part to make smaller.
    pub largest: Term,
}

impl Estimate {
    /// Estimates a run of a model.
    pub fn new(model: &ModelShape, run: &RunShape) -> Self {
        let sizes = Sizes::new(model, run);
        let rows = match (run.batch_size > 1, run.chunk_ctx) {
            (true, None) => {
                "lower batch_size (gradient_accumulation makes up for it) or max_seq_len, or set \
                 chunk_ctx"
            }
            (true, Some(_)) => {
                "lower batch_size (gradient_accumulation makes up for it) or chunk_ctx"
            }
            (false, None) => "lower max_seq_len, or set chunk_ctx",
            (false, Some(_)) => "lower chunk_ctx",
        };
        let can_halve = run.base_bytes_per_parameter > 2 && !run.trains_base;
        let half = run.half_precision.filter(|_| can_halve);
        let terms = vec![
            Term {
                name: if run.base_mapped {
                    "base weights (mapped from their files)"
                } else {
                    "base weights"
                },
                bytes: bytes(sizes.base()),
                remedy: match half {
                    Some("bf16") => "set dtype bf16, or take a smaller model or a larger machine",
                    Some(_) => "set dtype f16, or take a smaller model or a larger machine",
                    None => "take a smaller model or a larger machine",
                },
            },
            Term {
                name: if run.trains_base {
                    "gradients and AdamW's moments"
                } else {
                    "adapters, gradients and AdamW's moments"
                },
                bytes: bytes(sizes.trainable()),
                remedy: if run.trains_base {
                    "train adapters: set method bone or miss in place of full"
                } else {
                    "lower rank, or name fewer targets or layers"
                },
            },
            Term {
                name: if run.recompute {
                    "inputs of the blocks"
                } else {
                    "activations of all blocks"
                },
                bytes: bytes(sizes.kept()),
                remedy: if run.recompute {
                    rows
                } else {
                    "set recompute true"
                },
            },
            Term {
                name: "work of one block",
                bytes: bytes(sizes.block()),
                remedy: rows,
            },
            Term {
                name: "logits",
                bytes: bytes(sizes.logits()),
                remedy: if run.chunked_head {
                    match run.chunk_ctx {
                        None => "lower head_chunk, batch_size or max_seq_len",
                        Some(_) => "lower head_chunk, batch_size or chunk_ctx",
                    }
                } else {
                    "set chunked_head true"
                },
            },
            Term {
                name: "the program",
                bytes: bytes(PROGRAM_BYTES),
                remedy: "take a larger machine",
            },
        ];
        Self { terms }
    }

    /// The parts.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// All parts together, in bytes.
    pub fn total(&self) -> u64 {
        self.terms
            .iter()
            .fold(0, |sum, term| sum.saturating_add(term.bytes))
    }

    fn largest(&self) -> Option<&Term> {
        self.terms.iter().max_by_key(|term| term.bytes)
    }

    /// What the run should take, the largest part of it, and what makes that smaller.
    pub fn advice(&self) -> String {
        let total = human(self.total());
        match self.largest() {
            Some(largest) => format!(
                "the run should take about {total}, the largest part is {} with {}: {}",
                largest.name,
                human(largest.bytes),
                largest.remedy
            ),
            None => format!("the run should take about {total}"),
        }
    }

    /// Compares the total with what there is.
    ///
    /// Mapped weights count in full: they could be read from the disk again and again, but a step
    /// needs all of them.
    ///
    /// # Errors
    /// [`MemoryError`] with every part, the limit, and what makes the largest part smaller.
    pub fn check(&self, limit: MemoryLimit) -> Result<(), MemoryError> {
        match self.largest() {
            Some(largest) if self.total() > limit.bytes => Err(MemoryError {
                estimate: self.clone(),
                limit,
                largest: largest.clone(),
            }),
            _ => Ok(()),
        }
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, term) in self.terms.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", term.name, human(term.bytes))?;
        }
        Ok(())
    }
}

/// Bytes of a size that may come from a hostile `config.json`: what is too large saturates.
fn bytes(size: f64) -> u64 {
    size.ceil() as u64
}

/// The sizes as floats, in which products do not overflow.
struct Sizes {
    parameters: f64,
    block_parameters: f64,
    hidden: f64,
    intermediate: f64,
    layers: f64,
    vocab: f64,
    activations: ActivationShape,
    /// Tokens that one token may look at.
    seen: f64,
    /// Those of them whose scores are in memory.
    scored: f64,
    rows: f64,
    /// Tokens in memory at once.
    tokens: f64,
    trainable: f64,
    run: RunShape,
}

impl Sizes {
    fn new(model: &ModelShape, run: &RunShape) -> Self {
        Self {
            parameters: model.parameters as f64,
            block_parameters: model.block_parameters as f64,
            hidden: model.hidden_size as f64,
            intermediate: model.intermediate_size as f64,
            layers: model.num_layers as f64,
            vocab: model.vocab_size as f64,
            activations: model.activations,
            seen: run.max_seq_len as f64,
            scored: if run.tiles {
                0.0
            } else {
                run.max_seq_len as f64
            },
            rows: run.batch_size as f64,
            tokens: run.batch_size as f64 * run.tokens_of_row() as f64,
            trainable: run.trainable_parameters as f64,
            run: *run,
        }
    }

    /// `parameters × bytes`.
    fn base(&self) -> f64 {
        self.parameters * self.run.base_bytes_per_parameter as f64
    }

    /// `trainable × 4 × (gradient + 2 moments)`, with the adapters themselves in f32 when they
    /// are no part of the base. One more tensor, at most the embedding's size, is in the making
    /// during the update.
    fn trainable(&self) -> f64 {
        let copies = if self.run.trains_base { 3.0 } else { 4.0 };
        let update = self.trainable.min(self.vocab * self.hidden);
        F32 * (copies * self.trainable + update)
    }

    /// What a block under autodiff keeps of one token, in floats.
    fn kept_of_token(&self) -> f64 {
        self.activations.kept + self.activations.kept_of_pair * self.scored
    }

    /// Whether half-precision weights are cast whole.
    fn casts(&self) -> bool {
        self.run.base_bytes_per_parameter < 4 && self.run.casts
    }

    /// A half-precision weight is cast for its product, and autodiff keeps the cast: a block's
    /// weights in f32.
    fn cast_of_block(&self) -> f64 {
        if self.casts() {
            F32 * self.block_parameters
        } else {
            0.0
        }
    }

    /// In pieces every block's state at the start of the piece and at its end.
    fn carried(&self) -> f64 {
        if self.run.chunk_ctx.is_none() {
            return 0.0;
        }
        let of_row = self.activations.carried + self.activations.carried_of_token * self.seen;
        2.0 * F32 * self.layers * self.rows * of_row
    }

    /// With recompute `tokens × hidden` for each block's input and the last output; without it
    /// everything autodiff keeps, for every block. In pieces the carried states as well.
    fn kept(&self) -> f64 {
        let activations = if self.run.recompute {
            F32 * self.tokens * self.hidden * (self.layers + 1.0)
        } else {
            self.layers * (F32 * self.tokens * self.kept_of_token() + self.cast_of_block())
        };
        activations + self.carried()
    }

    /// The backward's passing tensors, two copies of the largest weight (the adapted one and the
    /// matrix product's own), and with recompute what autodiff keeps of the one block.
    fn block(&self) -> f64 {
        let passing = self.activations.passing + self.activations.passing_of_pair * self.scored;
        let weights = 2.0 * self.hidden * self.hidden.max(self.intermediate);
        let own = if self.run.recompute {
            F32 * self.tokens * self.kept_of_token() + self.cast_of_block()
        } else {
            0.0
        };
        F32 * (self.tokens * passing + weights) + own
    }

    /// `rows × vocab` logits in several copies, where a row is a token of the chunk or of the
    /// batch; the hidden states' gradient; the head's weight where it is cast, its gradient
    /// where it trains.
    fn logits(&self) -> f64 {
        let (rows, copies) = if self.run.chunked_head {
            let chunk = self.run.head_chunk as f64;
            (chunk.min(self.tokens), LOGITS_CHUNKED)
        } else {
            (self.tokens, LOGITS_WHOLE)
        };
        let head_copies =
            f64::from(u8::from(self.casts())) + f64::from(u8::from(self.run.trains_base));
        F32 * (copies * rows * self.vocab
            + 2.0 * self.tokens * self.hidden
            + head_copies * self.vocab * self.hidden)
    }
}
