//! From a data file to training and held-out samples.

use crate::config::TrainConfig;
use crate::data::{
    FieldMap, Limits, RowError, Sample, SampleError, Split, SplitError, Template, TextError,
    read_bytes, read_rows, read_text, split_validation, tokenize, tokenize_bytes, tokenize_text,
};
use bone_lm::tokenizer::Tokenizer;
use std::path::Path;

/// Why a data file gives no samples.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "each variant is another module's error")]
pub enum DatasetError {
    #[error(transparent)]
    Rows(#[from] RowError),
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Sample(#[from] SampleError),
    #[error(transparent)]
    Split(#[from] SplitError),
}

/// Samples, and what a person should know of how they came about.
#[derive(Debug)]
pub struct Dataset {
    /// To train on, and held out.
    pub split: Split,
    /// One line a fact.
    pub notes: Vec<String>,
}

/// Reads the run's data file: a `.txt` as one text, anything else as rows.
///
/// # Errors
///
/// [`DatasetError`].
pub fn load(
    config: &TrainConfig,
    tokenizer: &dyn Tokenizer,
    vocab_size: usize,
) -> Result<Dataset, DatasetError> {
    let limits = Limits {
        max_seq_len: config.max_seq_len,
        vocab_size,
    };
    let (samples, mut notes) = if config.data_is_text() {
        text(&config.data, tokenizer, limits)?
    } else {
        rows(
            &config.data,
            config.field_map.as_ref(),
            &config.template,
            tokenizer,
            limits,
        )?
    };
    let split = split_validation(samples, config.validation, config.seed)?;
    notes.push(format!(
        "{} rows to train on, {} held out",
        split.train.len(),
        split.validation.len()
    ));
    Ok(Dataset { split, notes })
}

fn text(
    path: &Path,
    tokenizer: &dyn Tokenizer,
    limits: Limits,
) -> Result<(Vec<Sample>, Vec<String>), DatasetError> {
    let mut notes = Vec::new();
    let samples = match tokenizer.byte_level() {
        Some(tokenizer) => {
            let bytes = read_bytes(path)?;
            if std::str::from_utf8(&bytes).is_err() {
                notes.push("read as bytes: not UTF-8".to_owned());
            }
            tokenize_bytes(&bytes, tokenizer, limits)?
        }
        None => tokenize_text(&read_text(path)?, tokenizer, limits)?,
    };
    notes.push(format!(
        "plain text: {} chunks of up to {} tokens, every token trained",
        samples.len(),
        limits.max_seq_len
    ));
    Ok((samples, notes))
}

fn rows(
    path: &Path,
    fields: Option<&FieldMap>,
    template: &Template,
    tokenizer: &dyn Tokenizer,
    limits: Limits,
) -> Result<(Vec<Sample>, Vec<String>), DatasetError> {
    let file = read_rows(path, fields)?;
    let (samples, dropped) = tokenize(&file.rows, template, tokenizer, limits)?;
    let notes = vec![
        format!(
            "{} rows of {}, {}",
            file.rows.len(),
            file.format,
            file.fields
        ),
        format!("template {template}; {dropped}"),
    ];
    Ok((samples, notes))
}
