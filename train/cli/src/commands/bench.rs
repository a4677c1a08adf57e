//! `bone bench`: a training step, or the continuing of prompts, of a model of given size, timed.

use crate::error::CommandError;

pub mod generate;
pub mod model;
pub mod parts;
pub mod random;
pub mod train;

/// What to time.
#[derive(Debug, clap::Subcommand)]
pub enum BenchCommand {
    /// Time a training step: tokens/s, memory, and the share of each part
    Train(Box<train::BenchTrainArgs>),
    /// Time the continuing of prompts: of a batch of prompts, and of each token after them
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
