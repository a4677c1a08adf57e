//! From data files to training and held-out samples.

use crate::{
    DataError, Holdout, Limits, Pool, Sample, Samples, Schema, Sources, Template, split_validation,
};
use bone_files::wording::counted;
use bone_tokenizer::Tokenizer;
use reader::Reader;
use std::io;
use std::sync::Arc;

mod reader;
mod report;

pub use report::FileReport;

/// Returns the error of the temporary file that holds the rows' tokens.
pub fn temporary(source: io::Error) -> DataError {
    DataError::Other(format!(
        "the temporary file of the rows' tokens in {} (TMPDIR names another folder): {source}",
        std::env::temp_dir().display()
    ))
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

/// What data files hold.
#[derive(Debug)]
pub struct Checked {
    /// All samples.
    pub samples: Arc<Samples>,
    /// Those of each source.
    pub pools: Vec<Pool>,
    /// What was found in each file.
    pub reports: Vec<FileReport>,
    /// What is wrong, where that was to be passed over.
    pub problems: Vec<DataError>,
}

/// Reads every source's files into samples; a `.txt` as one text, a binidx as tokens, anything
/// else as rows.
///
/// # Errors
/// [`DataError`].
pub fn read(sources: &Sources, reading: Reading<'_>) -> Result<Checked, DataError> {
    Reader::new(reading, false).read(sources)
}

/// As [`read`], and goes on where rows have problems: what is good, and what is wrong. That all was
/// dropped is among it.
///
/// # Errors
/// A file that cannot be read to its end.
pub fn check(sources: &Sources, reading: Reading<'_>) -> Result<Checked, DataError> {
    Reader::new(reading, true).read(sources)
}

/// Reads a run's data and holds rows out: `validation` of them, chosen by `seed`.
///
/// # Errors
/// [`DataError`].
pub fn load(
    sources: &Sources,
    reading: Reading<'_>,
    validation: Holdout,
    seed: u64,
) -> Result<Dataset, DataError> {
    let Checked {
        samples,
        pools: mut train,
        reports,
        ..
    } = read(sources, reading)?;
    let split = split_validation(&samples, validation, seed)?;
    for pool in &mut train {
        let is_trained = |number: &u32| split.train.binary_search(number).is_ok();
        pool.samples.retain(is_trained);
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
        samples,
        train,
        validation,
        notes,
    })
}
