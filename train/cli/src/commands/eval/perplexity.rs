//! `bone eval ppl`.

use super::progress::Progress;
use super::resume::{Unfinished, check_new};
use crate::error::CommandError;
use crate::output::line;
use crate::session::SessionArgs;
use crate::work::Work;
use bone_data::grouped;
use bone_data::load::{self, Checked, Reading};
use bone_data::{FieldMap, Limits, Samples, Schema, Source, Sources};
use bone_train::report::tell;
use bone_train::run::fingerprint::Hash;
use bone_train::step::{TrainBackend, TrainModel};
use bone_train::trainer::{EvalReading, mean_loss};
use serde_json::json;
use std::path::PathBuf;

/// A text, and how it is read.
#[derive(Debug, clap::Args)]
pub struct PerplexityArgs {
    /// Data files, as for bone train; in rows only the answers count
    #[arg(long, value_name = "FILES")]
    pub data: Sources,
    /// Prompt template of rows: trained, or as for bone train [default: trained, else alpaca]
    ///
    /// `trained` is the template of the training run.
    #[arg(long, value_name = "NAME|FILE")]
    pub template: Option<String>,
    /// Format of the rows, as for bone train [default: detected from the rows]
    #[arg(long, value_name = "NAME", conflicts_with = "field_map")]
    pub schema: Option<Schema>,
    /// Field names of the rows: instruction=FIELD,response=FIELD[,input=FIELD]
    #[arg(long, value_name = "MAP")]
    pub field_map: Option<FieldMap>,
    /// Maximum sequence length in tokens
    ///
    /// Longer texts are split; pieces do not see each other.
    #[arg(long, value_name = "TOKENS", default_value_t = 512, value_parser = clap::value_parser!(u32).range(2..))]
    pub max_seq_len: u32,
    /// Sequences per batch
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..))]
    pub batch_size: u32,
    /// Output file (JSON); a stopped evaluation is resumed from it
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace an existing result
    #[arg(long, requires = "out")]
    pub overwrite: bool,
    /// The model.
    #[command(flatten)]
    pub session: SessionArgs,
}

/// Sums over the sequences read so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Sums {
    sequences: usize,
    /// Sum of losses, as the bits of an f64, so that a resumed evaluation gives exactly the same result.
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

/// Number of batches to read from the store at once.
const AT_ONCE: usize = 4;
/// Number of tokens whose logits are in memory at once.
const HEAD_CHUNK: usize = 512;

pub(super) fn run(args: &PerplexityArgs) -> Result<(), CommandError> {
    if let Some(out) = &args.out {
        check_new(out, args.overwrite)?;
    }
    let (session, model) = args.session.open()?;
    if let Some(note) = session.info.beyond_positions(args.max_seq_len as usize) {
        tell(&note);
    }
    let template = session.template_or(args.template.as_deref(), "alpaca")?;
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
    for line in reports.iter().flat_map(|report| report.lines(true)) {
        line!("{line}");
    }
    let templated = reports.iter().any(|report| report.templated);
    let mut hash = Hash::default();
    for number in 0..samples.len() as u32 {
        hash.sample(&samples.read(number).map_err(load::temporary)?);
    }
    let settings = json!({
        "bone": env!("CARGO_PKG_VERSION"),
        "model": args.session.model.display().to_string(),
        "adapter": args.session.adapter.as_ref().map(|path| path.display().to_string()),
        "weights": args.session.fingerprint()?,
        "data": args.data.to_string(),
        "samples": hash.text(),
        "template": templated.then(|| template.to_string()),
        "max_seq_len": args.max_seq_len,
        "batch_size": args.batch_size,
        "device": session.device.name.to_string(),
        "dtype": session.dtype,
    });
    let (mut kept, mut sums) = (None, Sums::default());
    if let Some(out) = &args.out {
        let (unfinished, before) = Unfinished::open::<Sums>(out, &settings)?;
        (kept, sums) = (Some(unfinished), before.last().copied().unwrap_or_default());
    }
    let progress = Progress::new("sequences", samples.len(), sums.sequences);
    let sums = model.with(Losses {
        samples: &samples,
        batch_size: args.batch_size as usize,
        sums,
        on: |read: usize, sums: &Sums| {
            let perplexity = sums.nats_per_token().exp();
            progress.step(read, "read", &format!("perplexity {perplexity:.3}"));
            kept.as_mut().map_or(Ok(()), |kept| kept.push(sums))
        },
    })?;
    progress.finish();
    let nats = sums.nats_per_token();
    // Bits per byte, for plain texts only. They do not depend on the tokenizer.
    let bytes: Option<u64> = args.data.0.iter().map(bytes_of_text).sum();
    let bits = |bytes: u64| sums.loss() / std::f64::consts::LN_2 / bytes.max(1) as f64;
    let bits = bytes.map(bits);
    line!(
        "perplexity {:.4}, {nats:.4} nats per token over {} tokens of {} sequences{}",
        nats.exp(),
        grouped(sums.tokens),
        grouped(samples.len()),
        bits.map_or(String::new(), |bits| format!(", {bits:.4} bits per byte"))
    );
    let Some(kept) = kept else {
        return Ok(());
    };
    let mut result = json!({
        "settings": settings,
        "perplexity": nats.exp(),
        "nats_per_token": nats,
        "tokens": sums.tokens,
        "sequences": samples.len(),
        // Rows that were cut. The tokens after the cut do not count.
        "truncated": reports.iter().map(|report| report.dropped.truncated).sum::<usize>(),
    });
    if let Some(bits) = bits {
        result["bits_per_byte"] = bits.into();
    }
    kept.finish(&result)
}

/// Returns the size of a plain text's file in bytes.
fn bytes_of_text(source: &Source) -> Option<u64> {
    let path = &source.selection.path;
    let text = path.extension()? == "txt";
    text.then(|| std::fs::metadata(path).ok())?
        .map(|file| file.len())
}

struct Losses<'a, F> {
    samples: &'a Samples,
    batch_size: usize,
    sums: Sums,
    /// Called with the number of sequences read, and the sums so far.
    on: F,
}

impl<F: FnMut(usize, &Sums) -> Result<(), CommandError>> Work for Losses<'_, F> {
    type Output = Sums;

    fn run<B: TrainBackend, M: TrainModel<B>>(
        mut self,
        model: M,
        device: &B::Device,
    ) -> Result<Sums, CommandError> {
        let model = model.valid();
        let reading = EvalReading {
            batch_size: self.batch_size,
            pad_id: 0,
            head_chunk: Some(HEAD_CHUNK),
            chunk_ctx: None,
        };
        let at_once = AT_ONCE * self.batch_size;
        for first in (self.sums.sequences..self.samples.len()).step_by(at_once) {
            let numbers = first..self.samples.len().min(first + at_once);
            let samples = numbers.map(|number| self.samples.read(number as u32));
            let samples: Vec<_> = samples.collect::<Result<_, _>>().map_err(load::temporary)?;
            let (loss, tokens) = mean_loss(&model, &samples, reading, device);
            self.sums.add(samples.len(), loss * tokens as f64, tokens);
            (self.on)(samples.len(), &self.sums)?;
        }
        Ok(self.sums)
    }
}
