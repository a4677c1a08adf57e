//! How the sequences of a binidx become rows of a batch.

use std::fmt;
use std::str::FromStr;

/// RWKV-PEFT's two ways: in both a sequence is a sample, without what is beyond `max_seq_len`. The
/// loss is the same; what is computed is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Cut {
    /// Every row is padded to `max_seq_len`, so that all batches have one shape.
    Pad,
    /// Only the sequences: rows are as long as the longest of their batch.
    #[default]
    Only,
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pad => "pad",
            Self::Only => "only",
        })
    }
}

impl FromStr for Cut {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "pad" => Ok(Self::Pad),
            "only" => Ok(Self::Only),
            _ => Err(format!("'{word}' is neither pad nor only")),
        }
    }
}
