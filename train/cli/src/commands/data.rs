//! `bone data`: checks training data before training, and writes it as RWKV's binidx.

use crate::error::CommandError;
use crate::output::line;
use bone_data::load::{self, Reading};
use bone_data::{BinidxWriter, FieldMap, Limits, Schema, Sources, Template};
use bone_tokenizer::{self as tokenizer, Tokenizer, TokenizerChoice};
use bone_train::models::read_config;
use std::path::PathBuf;

mod check;

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub enum DataCommand {
    /// Check training data: rows, skipped rows and why, lengths, samples
    Check(check::CheckArgs),
    /// Write tokenized rows as RWKV's binidx, X.bin and X.idx
    Binidx(BinidxArgs),
}

/// How rows become tokens.
#[derive(Debug, clap::Args)]
pub struct ReadingArgs {
    /// Data files, separated by commas; `FILE[0:1000]` selects rows, DIR/train a split
    #[arg(value_name = "FILES")]
    pub data: Sources,
    /// Model whose tokenizer is used
    #[arg(long, value_name = "DIR|FILE", required_unless_present = "tokenizer")]
    pub model: Option<PathBuf>,
    /// Tokenizer: auto (the model's own), bytes, or a file [default: auto]
    #[arg(long, value_name = "NAME|FILE")]
    pub tokenizer: Option<TokenizerChoice>,
    /// Prompt template, as for bone train
    #[arg(long, value_name = "NAME|FILE", default_value = "alpaca")]
    pub template: String,
    /// Format of the rows, as for bone train [default: detected from the rows]
    #[arg(long, value_name = "NAME", conflicts_with = "field_map")]
    pub schema: Option<Schema>,
    /// Field names of the rows: instruction=FIELD,response=FIELD[,input=FIELD]
    #[arg(long, value_name = "MAP")]
    pub field_map: Option<FieldMap>,
}

/// Where to write tokens.
#[derive(Debug, clap::Args)]
pub struct BinidxArgs {
    /// How rows become tokens.
    #[command(flatten)]
    pub reading: ReadingArgs,
    /// Name X of the new files X.bin and X.idx
    #[arg(long, value_name = "X")]
    pub out: PathBuf,
}

/// A tokenizer with its template and schema, opened.
struct Opened {
    tokenizer: Box<dyn Tokenizer>,
    tokenizer_reason: String,
    vocab_size: usize,
    template: Template,
    schema: Option<Schema>,
}

impl Opened {
    fn of(args: &ReadingArgs) -> Result<Self, CommandError> {
        let choice = args.tokenizer.clone().unwrap_or(TokenizerChoice::Auto);
        if args.model.is_none() && choice == TokenizerChoice::Auto {
            return Err(CommandError::usage(
                "--tokenizer: auto uses the tokenizer of the model; give --model or a tokenizer",
            ));
        }
        let model = args.model.as_deref().map(read_config).transpose()?;
        let known = model.map(|info| info.shape.vocab_size);
        let beside = args.model.clone().unwrap_or_default();
        let (tokenizer, reason) = tokenizer::open(&beside, &choice, known.unwrap_or(0))?;
        let own = args.field_map.clone().map(Schema::Fields);
        Ok(Self {
            vocab_size: known.unwrap_or(tokenizer.vocab_size()),
            tokenizer,
            tokenizer_reason: reason,
            template: Template::load(&args.template, args.model.as_deref())?,
            schema: own.or_else(|| args.schema.clone()),
        })
    }

    fn reading(&self, max_seq_len: usize) -> Reading<'_> {
        Reading {
            schema: self.schema.as_ref(),
            template: &self.template,
            tokenizer: self.tokenizer.as_ref(),
            limits: Limits {
                max_seq_len,
                vocab_size: self.vocab_size,
            },
        }
    }
}

/// Runs the command.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(command: &DataCommand) -> Result<(), CommandError> {
    match command {
        DataCommand::Check(args) => check::run(args),
        DataCommand::Binidx(args) => binidx(args),
    }
}

fn binidx(args: &BinidxArgs) -> Result<(), CommandError> {
    let opened = Opened::of(&args.reading)?;
    let mut writer = BinidxWriter::create(&args.out, opened.vocab_size)?;
    // Nothing is cut: the format supports sequences of any length.
    let reading = opened.reading(u32::MAX as usize);
    let found = load::read(&args.reading.data, reading)?;
    let samples = found.samples;
    for number in 0..samples.len() as u32 {
        let sample = samples.read(number);
        writer.push(&sample.map_err(load::temporary)?.tokens)?;
    }
    let summary = writer.finish()?;
    for line in found.reports.iter().flat_map(|report| report.lines(true)) {
        line!("{line}");
    }
    line!(
        "wrote {} sequences ({} tokens in all) to {} and {}",
        summary.sequences,
        summary.tokens,
        summary.bin.display(),
        summary.idx.display()
    );
    Ok(())
}
