//! The dimensions, read off a checkpoint's tensors.

use crate::{Names, Rwkv6Config};
use bone_lm::checkpoint::Checkpoint;
use std::collections::BTreeSet;

/// Collects problems while reading.
struct Reader<'a> {
    checkpoint: &'a Checkpoint,
    names: Names,
    problems: Vec<String>,
}

impl Reader<'_> {
    /// Returns a tensor's shape if it has `D` dimensions and none is 0.
    fn shape<const D: usize>(&mut self, name: &str) -> Option<[usize; D]> {
        let name = self.names.of(name);
        let Some(info) = self.checkpoint.get(&name) else {
            self.problems.push(format!("{name} is missing"));
            return None;
        };
        match <[usize; D]>::try_from(info.shape.as_slice()) {
            Ok(shape) if shape.iter().all(|size| *size > 0) => Some(shape),
            _ => {
                let shape = &info.shape;
                self.problems.push(format!(
                    "{name} has shape {shape:?}, expected {D} dimensions"
                ));
                None
            }
        }
    }

    /// Returns the number of blocks in the tensors' names, which must be numbered from 0 without
    /// gaps.
    fn count_layers(&mut self) -> usize {
        let prefix = self.names.of("blocks.");
        let numbers: BTreeSet<usize> = self
            .checkpoint
            .tensors()
            .filter_map(|(name, _)| name.strip_prefix(&prefix)?.split('.').next())
            .filter_map(|number| number.parse().ok())
            .collect();
        let mut expected = 0;
        for &number in &numbers {
            if number != expected {
                self.problems.push(format!(
                    "{prefix}{expected} is missing, but {prefix}{number} exists"
                ));
            }
            expected = number.saturating_add(1);
        }
        numbers.len()
    }
}

pub(super) fn read(checkpoint: &Checkpoint) -> Result<Rwkv6Config, Vec<String>> {
    let names = Names::used_in(checkpoint);
    let mut reader = Reader {
        checkpoint,
        names,
        problems: Vec::new(),
    };
    let embedding = reader.shape::<2>("emb.weight");
    let bonus = reader.shape::<2>("blocks.0.att.time_faaaa");
    let shift = reader.shape::<2>("blocks.0.att.time_maa_w1");
    let decay = reader.shape::<2>("blocks.0.att.time_decay_w1");
    let ffn = reader.shape::<2>("blocks.0.ffn.key.weight");
    let layers = reader.count_layers();
    let (
        Some([vocab_size, hidden_size]),
        Some([heads, head_size]),
        Some([_, five_ranks]),
        Some([_, decay_rank]),
        Some([intermediate_size, _]),
    ) = (embedding, bonus, shift, decay, ffn)
    else {
        return Err(reader.problems);
    };
    if heads.checked_mul(head_size) != Some(hidden_size) {
        reader.problems.push(format!(
            "{}: {heads} heads of {head_size} do not match the {hidden_size} channels of {}",
            names.of("blocks.0.att.time_faaaa"),
            names.of("emb.weight")
        ));
    }
    if !five_ranks.is_multiple_of(5) {
        reader.problems.push(format!(
            "{}: {five_ranks} columns cannot be split into five parts",
            names.of("blocks.0.att.time_maa_w1")
        ));
    }
    if !reader.problems.is_empty() {
        return Err(reader.problems);
    }
    let initial_state = checkpoint
        .get(&names.of("blocks.0.att.time_state"))
        .is_some();
    Ok(Rwkv6Config {
        vocab_size,
        hidden_size,
        num_hidden_layers: layers,
        head_size,
        intermediate_size,
        shift_rank: five_ranks / 5,
        decay_rank,
        initial_state,
        names,
    })
}
