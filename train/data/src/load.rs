//! Loading data files into training samples and held-out samples.

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
        "cannot use the temporary file for tokens in {}: {source}; set TMPDIR to use another folder",
        std::env::temp_dir().display()
    ))
}

/// How to turn rows into tokens.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The rows' fields; `None` to detect them from the rows.
    pub schema: Option<&'a Schema>,
    /// How to turn a row into text.
    pub template: &'a Template,
    /// How to turn text into tokens.
    pub tokenizer: &'a dyn Tokenizer,
    /// Limits of the model.
    pub limits: Limits,
}

/// Samples, and notes for the user about how they were made.
#[derive(Debug)]
pub struct Dataset {
    /// All samples.
    pub samples: Arc<Samples>,
    /// Training samples, by source.
    pub train: Vec<Pool>,
    /// Held-out samples.
    pub validation: Vec<Sample>,
    /// One fact per line.
    pub notes: Vec<String>,
}

/// The content of data files.
#[derive(Debug)]
pub struct Checked {
    /// All samples.
    pub samples: Arc<Samples>,
    /// The samples of each source.
    pub pools: Vec<Pool>,
    /// A report on each file.
    pub reports: Vec<FileReport>,
    /// The problems, if they were to be skipped.
    pub problems: Vec<DataError>,
}

/// Reads every source's files into samples. A `.txt` is one text, a binidx is tokens, and any other file is
/// rows.
///
/// # Errors
/// [`DataError`].
pub fn read(sources: &Sources, reading: Reading<'_>) -> Result<Checked, DataError> {
    Reader::new(reading, false).read(sources)
}

/// Reads like [`read`], but continues after rows with problems. Returns the good rows and the problems. If
/// all rows were dropped, that is one of the problems.
///
/// # Errors
/// A file cannot be read to its end.
pub fn check(sources: &Sources, reading: Reading<'_>) -> Result<Checked, DataError> {
    Reader::new(reading, true).read(sources)
}

/// Reads a run's data and holds out rows: `validation` of them, chosen by `seed`.
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
        "{} for training, {} held out",
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
