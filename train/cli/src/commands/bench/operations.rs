//! `bone bench operations`: each operation that has a body of its own, against burn's.

use super::{RunArgs, refuse_extremes, usage};
use crate::bench::{OPERATIONS, OperationBench, OperationTime};
use crate::commands::{CommandError, say_json};
use bone_train::device::{self, DeviceName, OnDevice};
use bone_train::models::ModelBackend;
use serde_json::json;

/// The sizes.
#[derive(Debug, Clone, clap::Args)]
pub struct BenchOperationsArgs {
    /// Sequences of a batch
    #[arg(long, value_name = "N", default_value_t = 4, help_heading = "Batch")]
    pub batch_size: usize,
    /// Tokens of each
    #[arg(long, value_name = "N", default_value_t = 512, help_heading = "Batch")]
    pub max_seq_len: usize,
    /// Width of the residual stream
    #[arg(long, value_name = "N", default_value_t = 768, help_heading = "Model")]
    pub hidden_size: usize,
    /// Heads [default: one for each 64 of the hidden size]
    #[arg(long, value_name = "N", help_heading = "Model")]
    pub heads: Option<usize>,
    /// Width inside the feed-forward part
    #[arg(long, value_name = "N", default_value_t = 2048, help_heading = "Model")]
    pub intermediate_size: usize,
    /// Entries of the vocabulary
    #[arg(
        long,
        value_name = "N",
        default_value_t = 32_000,
        help_heading = "Model"
    )]
    pub vocab_size: usize,
    /// Rank of bone's blocks
    #[arg(long, value_name = "N", default_value_t = 64, help_heading = "Model")]
    pub rank: usize,
    /// How often each is timed, after once to warm up
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub rounds: usize,
    /// Only these, with commas between [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = OPERATIONS)]
    pub only: Vec<String>,
    /// Where, and how it is told
    #[command(flatten)]
    pub run: RunArgs,
}

impl BenchOperationsArgs {
    fn bench(&self) -> Result<OperationBench, CommandError> {
        refuse_extremes(&[
            ("batch-size", self.batch_size),
            ("max-seq-len", self.max_seq_len),
            ("hidden-size", self.hidden_size),
            ("heads", self.heads.unwrap_or(1)),
            ("intermediate-size", self.intermediate_size),
            ("vocab-size", self.vocab_size),
            ("rank", self.rank),
            ("rounds", self.rounds),
        ])?;
        let hidden = self.hidden_size;
        let heads = self.heads.unwrap_or((hidden / 64).max(1));
        let problems = [
            (self.max_seq_len < 2)
                .then(|| "--max-seq-len: the token shift is of two tokens at least".to_owned()),
            (!hidden.is_multiple_of(2 * heads))
                .then(|| format!("--heads: {hidden} is not {heads} heads of an even width")),
            (!hidden.is_multiple_of(self.rank)).then(|| {
                format!(
                    "--rank: {} does not divide --hidden-size {hidden}",
                    self.rank
                )
            }),
        ];
        let problems: Vec<_> = problems.into_iter().flatten().collect();
        if !problems.is_empty() {
            return Err(usage(problems.join("\n")));
        }
        Ok(OperationBench {
            batch: self.batch_size,
            len: self.max_seq_len,
            hidden,
            heads,
            intermediate: self.intermediate_size,
            vocab: self.vocab_size,
            rank: self.rank,
            rounds: self.rounds,
            only: self.only.clone(),
        })
    }
}

impl OnDevice for OperationBench {
    type Output = Vec<OperationTime>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        OperationBench::run::<B>(&self, &device)
    }
}

/// Runs it.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &BenchOperationsArgs) -> Result<(), CommandError> {
    let bench = args.bench()?;
    let (device, _) = device::choose(&args.run.device)?;
    let times = device::on_device(device.name, args.run.fusion, bench.clone())?;
    match args.run.json {
        true => say_json(&to_json(&bench, args, device.name, &times)),
        false => {
            line!(
                "{} × {} tokens, {} wide, {} heads, {} inside, vocabulary {}, rank {}, on {} ({}), fusion {}",
                bench.batch,
                bench.len,
                bench.hidden,
                bench.heads,
                bench.intermediate,
                bench.vocab,
                bench.rank,
                device.name,
                device.description(),
                if args.run.fusion { "on" } else { "off" }
            );
            line!(
                "\n{:<18} {:>10} {:>10} {:>7}",
                "forward, backward",
                "ours ms",
                "burn's ms",
                "ratio"
            );
            for time in &times {
                line!(
                    "{:<18} {:>10.3} {:>10.3} {:>7.2}",
                    time.name,
                    1e3 * time.ours,
                    1e3 * time.composed,
                    time.composed / time.ours
                );
            }
        }
    }
    Ok(())
}

fn to_json(
    bench: &OperationBench,
    args: &BenchOperationsArgs,
    device: DeviceName,
    times: &[OperationTime],
) -> serde_json::Value {
    let operations: serde_json::Map<_, _> = times
        .iter()
        .map(|time| {
            let both = json!({"seconds": time.ours, "composed_seconds": time.composed});
            (time.name.to_owned(), both)
        })
        .collect();
    json!({
        "device": device.to_string(),
        "fusion": args.run.fusion,
        "batch_size": bench.batch,
        "max_seq_len": bench.len,
        "hidden_size": bench.hidden,
        "heads": bench.heads,
        "intermediate_size": bench.intermediate,
        "vocab_size": bench.vocab,
        "rank": bench.rank,
        "rounds": bench.rounds,
        "operations": operations,
    })
}
