//! Estimate of a training step's memory, before anything is loaded.

use std::fmt;

use super::human;
use super::limit::{MemoryError, MemoryLimit};
use super::shape::{ModelShape, RunShape};

#[cfg(test)]
mod tests;

/// Bytes per f32 value. Activations, adapters, gradients and moments are f32.
const F32: f64 = 4.0;

/// Memory of the program itself, its threads' stacks and the tokenizer.
const PROGRAM_BYTES: f64 = (64 << 20) as f64;

/// Number of copies of the logits: the logits, the log-softmax, and the gradient of each. The chunked head
/// writes the gradient directly, which saves one copy.
const LOGITS_WHOLE: f64 = 4.0;
const LOGITS_CHUNKED: f64 = 3.0;

/// One part of the memory of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Term {
    /// Its name.
    name: &'static str,
    /// Its size in bytes.
    bytes: u64,
    /// The setting that reduces it.
    remedy: String,
}

impl Term {
    /// Returns a part of `size` bytes. A hostile `config.json` may cause any size, so large ones saturate.
    fn new(name: &'static str, size: f64, remedy: impl Into<String>) -> Self {
        Self {
            name,
            bytes: size.ceil() as u64,
            remedy: remedy.into(),
        }
    }
}

/// The peak memory of a run, part by part: an f32 step on the CPU with autodiff. It is rounded up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Estimate {
    terms: Vec<Term>,
}

impl Estimate {
    /// Estimates the memory of a run of a model.
    pub fn new(model: &ModelShape, run: &RunShape) -> Self {
        Self {
            terms: vec![
                base(model, run),
                trainable(model, run),
                kept(model, run),
                block(model, run),
                logits(model, run),
                Term::new("the program", PROGRAM_BYTES, "use a larger machine"),
            ],
        }
    }

    #[cfg(test)]
    fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Returns the sum of all parts, in bytes.
    pub fn total(&self) -> u64 {
        let bytes = self.terms.iter().map(|term| term.bytes);
        bytes.fold(0, u64::saturating_add)
    }

    fn largest(&self) -> &Term {
        let largest = self.terms.iter().max_by_key(|term| term.bytes);
        largest.unwrap_or(&self.terms[0])
    }

    /// Returns the memory that the run needs, its largest part, and the setting that reduces it.
    pub fn advice(&self) -> String {
        let Term {
            name,
            bytes,
            remedy,
        } = self.largest();
        format!(
            "the run needs about {}; the largest part is {name} with {}: {remedy}",
            human(self.total()),
            human(*bytes),
        )
    }

    /// Compares the total with the limit.
    ///
    /// Mapped weights count in full. The system could drop and reread their pages, but a step needs all of
    /// them.
    ///
    /// # Errors
    /// [`MemoryError`] with every part, the limit, and the setting that reduces the largest part.
    pub fn check(&self, limit: MemoryLimit) -> Result<(), MemoryError> {
        if self.total() <= limit.bytes {
            return Ok(());
        }
        let Term { name, remedy, .. } = self.largest();
        Err(MemoryError(format!(
            "the run needs about {}, but {limit}: {self}. The largest part is {name}: {remedy}",
            human(self.total()),
        )))
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

/// Memory of the base: `parameters × bytes`.
fn base(model: &ModelShape, run: &RunShape) -> Term {
    let can_halve = run.base_bytes_per_parameter > 2 && !run.trains_base;
    let smaller = "use a smaller model or a larger machine";
    let remedy = match run.half_precision.filter(|_| can_halve) {
        Some(half) => format!("set dtype {half}, or {smaller}"),
        None => smaller.to_owned(),
    };
    let size = model.parameters as f64 * run.base_bytes_per_parameter as f64;
    Term::new("base weights", size, remedy)
}

/// Memory of the trained parameters: `trainable × 4 × (gradient + 2 moments)`, and the f32 adapters
/// themselves if they are not part of the base. The update holds one more tensor, at most as large as the
/// embedding.
fn trainable(model: &ModelShape, run: &RunShape) -> Term {
    let trainable = run.trainable_parameters as f64;
    let update = trainable.min(model.head());
    let size = |copies| F32 * (copies * trainable + update);
    if run.trains_base {
        let remedy = "train adapters: set method bone or miss instead of full";
        Term::new("gradients and AdamW's moments", size(3.0), remedy)
    } else {
        let remedy = "lower rank, or select fewer targets or layers";
        Term::new("adapters, gradients and AdamW's moments", size(4.0), remedy)
    }
}

/// Memory kept for the backward. With recompute: `tokens × hidden` for each block's input and the last
/// output. Without it: everything that autodiff keeps, for every block. With pieces also the carried states
/// of every block, at the start and at the end of the piece.
fn kept(model: &ModelShape, run: &RunShape) -> Term {
    let layers = model.num_layers as f64;
    let mut carried = 0.0;
    if run.chunk_ctx.is_some() {
        let own = &model.activations;
        let of_row = own.carried + own.carried_of_token * run.max_seq_len as f64;
        carried = 2.0 * F32 * layers * run.batch_size as f64 * of_row;
    }
    if run.recompute {
        let inputs = F32 * run.tokens() * model.hidden_size as f64 * (layers + 1.0);
        Term::new("inputs of the blocks", inputs + carried, run.fewer_tokens())
    } else {
        let size = layers * kept_of_block(model, run) + carried;
        Term::new("activations of all blocks", size, "set recompute true")
    }
}

/// Returns what autodiff keeps of one block. A half-precision weight is cast for its product and the f32
/// cast is kept too, so a block's weights are added in f32.
fn kept_of_block(model: &ModelShape, run: &RunShape) -> f64 {
    let own = &model.activations;
    let of_token = own.kept + own.kept_of_pair * run.scored();
    let cast = model.block_parameters as f64 * run.cast_copies();
    F32 * (run.tokens() * of_token + cast)
}

/// Memory of one block in the backward: its temporary tensors and two copies of the largest weight (the
/// adapted one and the matrix product's own). With recompute also what autodiff keeps of the block.
fn block(model: &ModelShape, run: &RunShape) -> Term {
    let own = &model.activations;
    let passing = own.passing + own.passing_of_pair * run.scored();
    let hidden = model.hidden_size as f64;
    let weights = 2.0 * hidden * hidden.max(model.intermediate_size as f64);
    let mut size = F32 * (run.tokens() * passing + weights);
    if run.recompute {
        size += kept_of_block(model, run);
    }
    Term::new("temporary tensors of one block", size, run.fewer_tokens())
}

/// Memory of the logits: several copies of `rows × vocab`, where a row is a token of the chunk or of the
/// batch. Also the gradient of the hidden states, the head's weight if it is cast, and its gradient if it
/// trains.
fn logits(model: &ModelShape, run: &RunShape) -> Term {
    let tokens = run.tokens();
    let (rows, copies, remedy) = if run.chunked_head {
        let length = run.chunk_ctx.map_or("max_seq_len", |_| "chunk_ctx");
        let remedy = format!("lower head_chunk, batch_size or {length}");
        (tokens.min(run.head_chunk as f64), LOGITS_CHUNKED, remedy)
    } else {
        (tokens, LOGITS_WHOLE, "set chunked_head true".to_owned())
    };
    let logits = copies * rows * model.vocab_size as f64;
    let gradient = 2.0 * tokens * model.hidden_size as f64;
    let head_copies = run.cast_copies() + f64::from(u8::from(run.trains_base));
    let size = F32 * (logits + gradient + head_copies * model.head());
    Term::new("logits", size, remedy)
}
