//! `bone eval ppl`.

use super::progress::{Amount, Progress, check_new};
use crate::error::CommandError;
use crate::eval::resume::Unfinished;
use crate::output::line;
use crate::session::SessionArgs;
use crate::work::Work;
use bone_data::grouped;
use bone_data::load::{self, Checked, Reading};
use bone_data::{FieldMap, Limits, Sample, Schema, Sources};
use bone_train::report::tell;
use bone_train::run::fingerprint::Hash;
use bone_train::step::{TrainBackend, TrainModel};
use bone_train::trainer::{EvalReading, mean_loss};
use std::path::PathBuf;

/// A text, and how it is read.
#[derive(Debug, clap::Args)]
pub struct PerplexityArgs {
    /// Who reads it.
    #[command(flatten)]
    pub session: SessionArgs,
    /// A .txt, rows or a binidx, as for bone train; of rows the answers count
    #[arg(long, value_name = "FILES")]
    pub data: Sources,
    /// Template of rows: trained for the one of the training run, or as for bone train
    /// [default: trained, else alpaca]
    #[arg(long, value_name = "NAME|FILE")]
    pub template: Option<String>,
    /// What the rows' fields are, as for bone train [default: found from the rows]
    #[arg(long, value_name = "NAME", conflicts_with = "field_map")]
    pub schema: Option<Schema>,
    /// Fields of a row: instruction=FIELD,response=FIELD[,input=FIELD]
    #[arg(long, value_name = "MAP")]
    pub field_map: Option<FieldMap>,
    /// Longest sequence in tokens; a text is read in pieces of so many, each without the others
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(2..))]
    pub max_seq_len: u32,
    /// Sequences at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: u32,
    /// File for the result, as JSON; with it an evaluation that was stopped goes on
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace a result that is there
    #[arg(long, requires = "out")]
    pub overwrite: bool,
}

/// What made the result.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
struct Settings {
    bone: String,
    model: PathBuf,
    adapter: Option<PathBuf>,
    weights: String,
    data: String,
    /// A hash of the sequences.
    samples: String,
    /// `None` where no file has rows.
    template: Option<String>,
    max_seq_len: u32,
    batch_size: u32,
    device: String,
    dtype: String,
}

/// The result.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
struct Perplexity {
    settings: Settings,
    /// `exp` of the mean loss a token.
    perplexity: f64,
    /// Mean of −ln p over the tokens that count.
    nats_per_token: f64,
    /// Tokens that count.
    tokens: usize,
    sequences: usize,
    /// Rows that lost their end, whose tokens there do not count.
    truncated: usize,
    /// Of a plain text: bits a byte, which do not depend on the tokenizer.
    #[serde(skip_serializing_if = "Option::is_none")]
    bits_per_byte: Option<f64>,
}

/// Sums over the sequences that were read.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Sums {
    sequences: usize,
    /// Losses, as the bits of an f64, so that what goes on ends where one that was not stopped does.
    loss_bits: u64,
    tokens: usize,
}

impl Sums {
    fn loss(&self) -> f64 {
        f64::from_bits(self.loss_bits)
    }

    fn add(&mut self, sequences: usize, loss: f64, tokens: usize) {
        self.sequences += sequences;
        self.loss_bits = (self.loss() + loss).to_bits();
        self.tokens += tokens;
    }

    fn nats_per_token(&self) -> f64 {
        self.loss() / self.tokens.max(1) as f64
    }
}

/// Batches of samples that are read from the store at once.
const AT_ONCE: usize = 4;
/// Tokens whose logits there are at once.
const HEAD_CHUNK: usize = 512;

pub(super) fn run(args: &PerplexityArgs) -> Result<(), CommandError> {
    if let Some(out) = &args.out {
        check_new(out, args.overwrite)?;
    }
    let (session, model) = args.session.open()?;
    if let Some(note) = session.info.beyond_positions(args.max_seq_len as usize) {
        tell(&note);
    }
    let template = session.template_or_trained(args.template.as_deref())?;
    let own = args.field_map.clone().map(Schema::Fields);
    let schema = own.or_else(|| args.schema.clone());
    let reading = Reading {
        schema: schema.as_ref(),
        template: &template,
        tokenizer: session.tokenizer.as_ref(),
        limits: Limits {
            max_seq_len: args.max_seq_len as usize,
            vocab_size: session.info.shape.vocab_size,
        },
    };
    let Checked {
        samples, reports, ..
    } = load::read(&args.data, reading)?;
    for report in &reports {
        line!("{}: {}", report.path.display(), report.what);
        if report.templated {
            line!("{}: {}", report.path.display(), report.dropped);
        }
    }
    let templated = reports.iter().any(|report| report.templated);
    let read = |number| samples.read(number).map_err(load::temporary);
    let all = samples.len() as u32;
    let mut hash = Hash::default();
    for number in 0..all {
        hash.sample(&read(number)?);
    }
    let settings = Settings {
        bone: env!("CARGO_PKG_VERSION").to_owned(),
        model: args.session.model.clone(),
        adapter: args.session.adapter.clone(),
        weights: args.session.fingerprint()?,
        data: args.data.to_string(),
        samples: hash.text(),
        template: templated.then(|| template.to_string()),
        max_seq_len: args.max_seq_len,
        batch_size: args.batch_size,
        device: session.device.name.to_string(),
        dtype: session.dtype.clone(),
    };
    let (mut kept, mut sums) = match &args.out {
        Some(out) => {
            let (kept, sums) = Unfinished::open::<Sums>(out, &settings)?;
            (Some(kept), sums.last().copied().unwrap_or_default())
        }
        None => (None, Sums::default()),
    };
    let samples_of = |numbers: std::ops::Range<u32>| -> Result<Vec<Sample>, CommandError> {
        Ok(numbers.map(read).collect::<Result<_, _>>()?)
    };
    let at_once = AT_ONCE * args.batch_size as usize;
    let mut progress = Progress::new(Amount {
        what: "sequences",
        all: samples.len(),
        before: sums.sequences,
        right: 0,
        at_once: 1,
    });
    model.with(Losses {
        reading: EvalReading {
            batch_size: args.batch_size as usize,
            pad_id: 0,
            head_chunk: Some(HEAD_CHUNK),
            chunk_ctx: None,
        },
        next: (sums.sequences as u32..all)
            .step_by(at_once)
            .map(|start| samples_of(start..all.min(start + at_once as u32))),
        on: |sequences: usize, loss: f64, count: usize| {
            sums.add(sequences, loss * count as f64, count);
            let perplexity = sums.nats_per_token().exp();
            progress.step(sequences, &format!("perplexity {perplexity:.3}"), "read");
            if let Some(kept) = &mut kept {
                kept.push(&sums)?;
            }
            Ok(())
        },
    })?;
    progress.finish();
    let (tokens, nats) = (sums.tokens, sums.nats_per_token());
    let bytes: Option<u64> = args
        .data
        .0
        .iter()
        .map(|source| {
            let path = &source.selection.path;
            let plain = path.extension().is_some_and(|extension| extension == "txt");
            plain
                .then(|| Some(std::fs::metadata(path).ok()?.len()))
                .flatten()
        })
        .sum();
    let bits = |bytes: u64| sums.loss() / std::f64::consts::LN_2 / bytes.max(1) as f64;
    let result = Perplexity {
        settings,
        perplexity: nats.exp(),
        nats_per_token: nats,
        tokens,
        sequences: samples.len(),
        truncated: reports.iter().map(|report| report.dropped.truncated).sum(),
        bits_per_byte: bytes.map(bits),
    };
    line!(
        "perplexity {:.4}, {:.4} nats a token over {} tokens of {} sequences{}",
        result.perplexity,
        result.nats_per_token,
        grouped(tokens),
        grouped(samples.len()),
        result
            .bits_per_byte
            .map_or(String::new(), |bits| format!(", {bits:.4} bits a byte"))
    );
    if let (Some(kept), Some(out)) = (kept, &args.out) {
        kept.finish(out, &result)?;
    }
    Ok(())
}

struct Losses<I, F> {
    reading: EvalReading,
    next: I,
    on: F,
}

impl<I, F> Work for Losses<I, F>
where
    I: Iterator<Item = Result<Vec<Sample>, CommandError>>,
    F: FnMut(usize, f64, usize) -> Result<(), CommandError>,
{
    type Output = ();

    fn run<B: TrainBackend, M: TrainModel<B>>(
        mut self,
        model: M,
        device: &B::Device,
    ) -> Result<(), CommandError> {
        let model = model.valid();
        for samples in self.next {
            let samples = samples?;
            let (loss, tokens) = mean_loss(&model, &samples, self.reading, device);
            (self.on)(samples.len(), loss, tokens)?;
        }
        Ok(())
    }
}
