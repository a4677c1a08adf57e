//! From data files to training and held-out samples.

use crate::{
    BinidxError, Dropped, Holdout, Limits, Pool, RowError, Sample, Samples, Schema, SourceError,
    Sources, SplitError, Template, TextError, split_validation,
};
use bone_files::wording::{and_more, counted};
use bone_tokenizer::Tokenizer;
use reader::Reader;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

mod reader;
mod report;

pub use report::FileReport;

/// Why data files give no samples.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "most variants are another module's errors")]
pub enum DatasetError {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Rows(#[from] RowError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Binidx(#[from] BinidxError),
    #[error(transparent)]
    Split(#[from] SplitError),
    /// The template leaves out what some rows hold.
    #[error(
        "{}: {rows} row(s), the first of them row {first}, have an input, and the template \
         '{template}' has no {{input}}: add it, or leave the input out with a field map, \
         instruction=FIELD,response=FIELD", .path.display()
    )]
    InputUnused {
        /// The file.
        path: PathBuf,
        /// How many rows have an input.
        rows: usize,
        /// The first of them, from 1.
        first: u64,
        /// The template's name.
        template: String,
    },
    /// Rows that the template or the tokenizer refuses, or the model cannot take; all counted, the
    /// first shown.
    #[error(
        "{}: {total} row(s) cannot be tokenized for this model: {}", .path.display(),
        list(.shown, *.total)
    )]
    Tokens {
        /// The file.
        path: PathBuf,
        /// Row, from 1, and what is wrong with it.
        shown: Vec<(u64, String)>,
        /// How many rows there are.
        total: usize,
    },
    /// Every row was dropped.
    #[error(
        "nothing is left to train on: {dropped}; the shortest prompt has {shortest_prompt} tokens \
         and max_seq_len is {max_seq_len}"
    )]
    NothingLeft {
        /// What was dropped.
        dropped: Dropped,
        /// Tokens of the shortest prompt.
        shortest_prompt: usize,
        /// The limit.
        max_seq_len: usize,
    },
    /// The temporary file of many tokens.
    #[error(
        "the temporary file of the rows' tokens in {} (TMPDIR names another folder): {source}",
        std::env::temp_dir().display()
    )]
    Temporary {
        /// What the system says.
        source: io::Error,
    },
}

/// Returns the error of the temporary file that holds the rows' tokens.
pub fn temporary(source: io::Error) -> DatasetError {
    DatasetError::Temporary { source }
}

fn list(shown: &[(u64, String)], total: usize) -> String {
    let rows = shown.iter().map(|(row, what)| format!("row {row}: {what}"));
    let lines = and_more(rows, total);
    lines.iter().map(|line| format!("\n  {line}")).collect()
}

/// How rows become tokens.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The rows' fields; `None` to find them from the rows.
    pub schema: Option<&'a Schema>,
    /// How a row becomes text.
    pub template: &'a Template,
    /// How text becomes tokens.
    pub tokenizer: &'a dyn Tokenizer,
    /// What the model can take.
    pub limits: Limits,
}

/// Samples, and what a person should know of how they came about.
#[derive(Debug)]
pub struct Dataset {
    /// All samples.
    pub samples: Arc<Samples>,
    /// Those to train on, by source.
    pub train: Vec<Pool>,
    /// Those held out.
    pub validation: Vec<Sample>,
    /// One line a fact.
    pub notes: Vec<String>,
}

/// What there is of data that was looked at.
#[derive(Debug)]
pub struct Checked {
    /// All samples.
    pub samples: Arc<Samples>,
    /// Those of each source.
    pub pools: Vec<Pool>,
    /// What was found in each file.
    pub reports: Vec<FileReport>,
    /// What is wrong.
    pub problems: Vec<DatasetError>,
}

/// Reads every source's files into samples; a `.txt` as one text, a binidx as tokens, anything
/// else as rows. Returns the samples, how many each source gave, and what was found in each file.
///
/// # Errors
/// [`DatasetError`].
pub fn read(
    sources: &Sources,
    reading: Reading<'_>,
) -> Result<(Samples, Vec<usize>, Vec<FileReport>), DatasetError> {
    let mut reader = Reader::new(reading, false);
    let mut ends = Vec::new();
    for source in &sources.0 {
        reader.source(source)?;
        ends.push(reader.samples());
    }
    let (samples, reports, _) = reader.finish()?;
    Ok((samples, ends, reports))
}

/// As [`read`], and goes on where rows have problems: what is good, and what is wrong. That all was
/// dropped is among it.
///
/// # Errors
/// A file that cannot be read to its end.
pub fn check(sources: &Sources, reading: Reading<'_>) -> Result<Checked, DatasetError> {
    let mut reader = Reader::new(reading, true);
    let mut pools = Vec::new();
    for source in &sources.0 {
        let first = reader.samples() as u32;
        reader.source(source)?;
        pools.push(Pool {
            samples: (first..reader.samples() as u32).collect(),
            weight: source.weight,
        });
    }
    let (samples, reports, problems) = reader.finish()?;
    Ok(Checked {
        samples: Arc::new(samples),
        pools,
        reports,
        problems,
    })
}

/// Reads a run's data and holds rows out: `validation` of them, chosen by `seed`.
///
/// # Errors
/// [`DatasetError`].
pub fn load(
    sources: &Sources,
    reading: Reading<'_>,
    validation: Holdout,
    seed: u64,
) -> Result<Dataset, DatasetError> {
    let (samples, ends, reports) = read(sources, reading)?;
    let split = split_validation(&samples, validation, seed)?;
    let mut train = Vec::new();
    let mut left = &split.train[..];
    for (source, end) in sources.0.iter().zip(ends) {
        let (of_source, others) =
            left.split_at(left.partition_point(|number| (*number as usize) < end));
        left = others;
        train.push(Pool {
            samples: of_source.to_vec(),
            weight: source.weight,
        });
    }
    let validation = split.validation.iter().map(|number| samples.read(*number));
    let validation = validation
        .collect::<io::Result<Vec<_>>>()
        .map_err(temporary)?;
    let mut notes: Vec<_> = reports
        .iter()
        .flat_map(|report| report.lines(reports.len() > 1))
        .collect();
    if reports.iter().any(|report| report.templated) {
        notes.push(format!("template {}", reading.template));
    }
    notes.push(format!(
        "{} to train on, {} held out",
        counted(split.train.len(), "row"),
        validation.len()
    ));
    Ok(Dataset {
        samples: Arc::new(samples),
        train,
        validation,
        notes,
    })
}
