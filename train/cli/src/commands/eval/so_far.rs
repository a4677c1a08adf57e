//! What an evaluation of texts has read, beside its result until that is there.

use super::super::CommandError;
use crate::eval::partial::{beside, write_json};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Sums over the sequences that were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sums {
    pub(super) sequences: usize,
    /// Losses, as the bits of an f64, so that what goes on ends where one that was not stopped does.
    loss_bits: u64,
    pub(super) tokens: usize,
}

impl Sums {
    pub(super) fn loss(&self) -> f64 {
        f64::from_bits(self.loss_bits)
    }

    pub(super) fn add(&mut self, sequences: usize, loss: f64, tokens: usize) {
        self.sequences += sequences;
        self.loss_bits = (self.loss() + loss).to_bits();
        self.tokens += tokens;
    }
}

/// The file of the sums.
pub(super) struct SoFar<S> {
    path: PathBuf,
    settings: S,
}

#[derive(Serialize, Deserialize)]
struct Kept<S> {
    settings: S,
    sums: Sums,
}

impl<S: Clone + PartialEq + Serialize + DeserializeOwned> SoFar<S> {
    /// What an evaluation of the same settings left, whose result will be `out`.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or comes from other settings.
    pub(super) fn open(out: &Path, settings: S) -> Result<(Self, Sums), CommandError> {
        let path = beside(out);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok((Self { path, settings }, Sums::default()));
            }
            Err(error) => return Err(CommandError::io(&path)(error)),
        };
        let wrong = |what: &str| CommandError::Path {
            path: path.clone(),
            reason: format!("{what}; remove it, or name another --out"),
        };
        let Kept {
            settings: own,
            sums,
        } = serde_json::from_slice::<Kept<S>>(&bytes)
            .map_err(|error| wrong(&format!("is not what an evaluation leaves: {error}")))?;
        match own == settings {
            true => Ok((Self { path, settings }, sums)),
            false => Err(wrong(
                "is of an evaluation that was stopped, with other settings, weights or data",
            )),
        }
    }

    /// Keeps the sums.
    ///
    /// # Errors
    ///
    /// The file cannot be written.
    pub(super) fn keep(&self, sums: Sums) -> Result<(), CommandError> {
        let kept = Kept {
            settings: self.settings.clone(),
            sums,
        };
        write_json(&self.path, &kept).map_err(CommandError::io(&self.path))
    }

    /// Removes what was kept, as the result is there.
    ///
    /// # Errors
    ///
    /// The file cannot be removed.
    pub(super) fn finish(self) -> Result<(), CommandError> {
        match std::fs::remove_file(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(CommandError::io(&self.path)(error))
            }
            _ => Ok(()),
        }
    }
}
