//! `bone bench`: times a training step or generation with a model of given size.

use crate::error::CommandError;

pub mod generate;
pub mod model;
pub mod parts;
pub mod random;
pub mod train;

/// Upper limit of every count in a benchmark.
const COUNTS: usize = 1 << 24;

/// What to time.
#[derive(Debug, clap::Subcommand)]
pub enum BenchCommand {
    /// Measure a training step: tokens/s, memory, share of each part
    Train(Box<train::BenchTrainArgs>),
    /// Measure generation: tokens/s of the prompt and of each new token, memory
    Generate(Box<generate::BenchGenerateArgs>),
}

/// Runs a benchmark.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(command: &BenchCommand) -> Result<(), CommandError> {
    match command {
        BenchCommand::Train(args) => train::run(args),
        BenchCommand::Generate(args) => generate::run(args),
    }
}

/// Rejects every flag value that is 0 or above `most`.
fn refuse_extremes(values: &[(&str, usize)], most: usize) -> Result<(), CommandError> {
    let extreme = values
        .iter()
        .filter(|(_, value)| !(1..=most).contains(value));
    let named: Vec<_> = extreme
        .map(|(name, value)| {
            let name = name.replace('_', "-");
            format!("--{name} must be from 1 to {most}, not {value}")
        })
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    Err(CommandError::usage(named.join("; ")))
}
