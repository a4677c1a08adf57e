//! `bone data check`.

use super::{Opened, ReadingArgs};
use crate::error::CommandError;
use crate::output::{line, say};
use bone_data::load::{self, Checked, FileReport};
use bone_data::{BatchConfig, Batches, Dropped, Sample, Samples};
use bone_data::{counted, grouped};
use bone_tokenizer::{TextStream, Tokenizer};
use bone_train::report::printable;
use clap::ColorChoice;
use std::io::IsTerminal;

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct CheckArgs {
    /// How rows become tokens.
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Maximum sequence length in tokens
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(2..))]
    pub max_seq_len: u32,
    /// Number of samples to show
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub samples: u32,
    /// Colour trained tokens: auto (in a terminal), always, never (mark them with « and »)
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

pub(super) fn run(args: &CheckArgs) -> Result<(), CommandError> {
    let opened = Opened::of(&args.reading)?;
    let max_seq_len = args.max_seq_len as usize;
    let reading = opened.reading(max_seq_len);
    let Checked {
        samples,
        pools,
        reports,
        mut problems,
    } = load::check(&args.reading.data, reading)?;
    line!("tokenizer: {}", opened.tokenizer_reason);
    line!("template: {}", opened.template);
    for report in &reports {
        describe(report, &samples);
    }
    if !samples.is_empty() {
        let config = BatchConfig {
            batch_size: 1,
            gradient_accumulation: 1,
            window: 1,
            seed: 0,
            pad_id: 0,
            packing: Some(max_seq_len),
            row_len: 0,
        };
        let batches = Batches::new(samples.clone(), pools, config)?;
        line!("\nwith --packing: {}", batches.packing());
        let colour = match args.color {
            ColorChoice::Auto => std::io::stdout().is_terminal(),
            ColorChoice::Always => true,
            ColorChoice::Never => false,
        };
        show(&samples, args.samples, opened.tokenizer.as_ref(), colour)?;
    }
    if problems.len() > 1 {
        let all: Vec<_> = problems.iter().map(ToString::to_string).collect();
        return Err(CommandError::wrong(all.join("\n")));
    }
    problems.pop().map_or(Ok(()), |problem| Err(problem.into()))
}

fn describe(report: &FileReport, samples: &Samples) {
    line!("\n{}", report.path.display());
    if !report.what.is_empty() {
        line!("  {}", report.what);
    }
    let dropped = report.dropped;
    line!(
        "  {}: {}",
        counted(report.rows as usize, "valid row"),
        counted(report.samples.len(), "sample")
    );
    if dropped != Dropped::default() {
        line!("  {dropped}");
    }
    if report.weight != 1.0 {
        let (times, taken) = (report.weight, report.weight * report.samples.len() as f64);
        let taken = taken.round() as usize;
        line!("  weight {times}: {} per epoch", counted(taken, "sample"));
    }
    let numbers = report.samples.clone();
    let kept: Vec<_> = numbers
        .map(|number| samples.tokens_of(number) as u32)
        .collect();
    let tokens: usize = kept.iter().map(|len| *len as usize).sum();
    line!(
        "  {} tokens, {} of them trained ({:.1} %)",
        grouped(tokens),
        grouped(report.trained),
        100.0 * report.trained as f64 / tokens.max(1) as f64
    );
    lengths("tokens per row", &report.lengths);
    lengths("tokens per sample", &kept);
}

fn lengths(what: &str, lengths: &[u32]) {
    let mut sorted = lengths.to_vec();
    sorted.sort_unstable();
    let Some(last) = sorted.len().checked_sub(1) else {
        return;
    };
    // The nearest-rank percentile.
    let at = |share: f64| sorted[(share * last as f64).round() as usize];
    line!(
        "  {what:17}: min {}, median {}, 90 % up to {}, 99 % up to {}, max {}",
        sorted[0],
        at(0.5),
        at(0.9),
        at(0.99),
        sorted[last]
    );
}

/// Prints samples at even distances over all data.
fn show(
    samples: &Samples,
    count: u32,
    tokenizer: &dyn Tokenizer,
    colour: bool,
) -> Result<(), CommandError> {
    let all = samples.len() as u32;
    let count = count.min(all);
    for shown in 0..count {
        let number = (u64::from(shown) * u64::from(all) / u64::from(count)) as u32;
        let sample = samples.read(number).map_err(load::temporary)?;
        line!(
            "\nsample {} of {}: row {}, {} tokens, {} trained",
            number + 1,
            all,
            sample.row + 1,
            sample.tokens.len(),
            sample.trained_tokens()
        );
        say(&marked(&sample, tokenizer, colour)?);
        say("\n");
    }
    Ok(())
}

/// Returns a sample's text with the trained parts marked. Shows the first and last tokens as numbers.
fn marked(
    sample: &Sample,
    tokenizer: &dyn Tokenizer,
    colour: bool,
) -> Result<String, CommandError> {
    let (begin, end) = if colour {
        ("\u{1b}[32m", "\u{1b}[0m")
    } else {
        ("«", "»")
    };
    let mut text = String::new();
    let mut stream = TextStream::new(tokenizer);
    let mut inside = false;
    for (at, token) in sample.tokens.iter().enumerate() {
        let trained = sample.trained.iter().any(|range| range.contains(&at));
        if trained != inside {
            text.push_str(if trained { begin } else { end });
            inside = trained;
        }
        let new = stream.push(*token)?.unwrap_or_default();
        let special = tokenizer.bos() == Some(*token) || tokenizer.eos().contains(token);
        text += &if special {
            format!("<{token}>")
        } else {
            printable(&new).into_owned()
        };
    }
    text += &printable(&stream.finish()?.unwrap_or_default());
    if inside {
        text.push_str(end);
    }
    Ok(text)
}
