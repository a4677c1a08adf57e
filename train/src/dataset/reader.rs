//! Reading file after file into samples.

use super::{DatasetError, Reading, SHOWN_FAILURES, temporary};
use crate::data::{
    Binidx, Content, Dropped, Kind, Resolved, Row, RowError, RowReader, Sample, Samples,
    SamplesBuilder, Selection, Tokenized, read_bytes, read_text, tokenize, tokenize_bytes,
    tokenize_text,
};
use rayon::prelude::*;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Rows that are tokenized at once, by all threads.
const AT_ONCE: usize = 512;

/// What was found in one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileReport {
    /// The file.
    pub path: PathBuf,
    /// Its layout and its fields, or that it is a text.
    pub what: String,
    /// Rows that were read.
    pub rows: u64,
    /// Whether its rows went through the template.
    pub templated: bool,
    /// Rows that were left out or cut.
    pub dropped: Dropped,
    /// Tokens of each row, before anything was cut or dropped.
    pub lengths: Vec<u32>,
    /// Numbers of its samples.
    pub samples: Range<u32>,
    /// Tokens of them that are trained.
    pub trained: usize,
}

impl FileReport {
    /// One line a fact, with the file's name where there are several.
    pub(super) fn lines(&self, named: bool) -> Vec<String> {
        let name = match named {
            true => format!("{}: ", self.path.display()),
            false => String::new(),
        };
        let mut lines = vec![format!("{name}{}", self.what)];
        if self.templated {
            lines.push(format!("{name}{}", self.dropped));
        }
        lines
    }
}

/// Reads files into samples.
pub(super) struct Reader<'a> {
    reading: Reading<'a>,
    builder: SamplesBuilder,
    reports: Vec<FileReport>,
    /// Rows of the files before.
    rows: u64,
    trained: usize,
    shortest_prompt: usize,
    may_be_outside: bool,
    /// Whether files with problems are read to the end, for what is good in them.
    keep_going: bool,
    problems: Vec<DatasetError>,
}

/// What was found in a file, how many rows it has or were looked at, and what is wrong with them.
type Found = (FileReport, u64, Option<DatasetError>);

/// What the rows of one file came to.
#[derive(Default)]
struct Tally {
    dropped: Dropped,
    lengths: Vec<u32>,
    /// Rows with an input that the template leaves out, and the first of them.
    unused_inputs: Option<(usize, u64)>,
    shown: Vec<(u64, String)>,
    total: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(reading: Reading<'a>, keep_going: bool) -> Self {
        Self {
            keep_going,
            may_be_outside: false,
            problems: Vec::new(),
            trained: 0,
            reading,
            builder: SamplesBuilder::default(),
            reports: Vec::new(),
            rows: 0,
            shortest_prompt: usize::MAX,
        }
    }

    /// How many samples there are so far.
    pub(super) fn samples(&self) -> usize {
        self.builder.len()
    }

    /// Reads the files of a selection; its rows are counted through all of them.
    pub(super) fn selection(&mut self, selection: &Selection) -> Result<(), DatasetError> {
        let Resolved { files, from, to } = selection.resolve()?;
        let end = to.unwrap_or(u64::MAX);
        let mut before = 0;
        // Of several files some may lie outside the slice.
        self.may_be_outside = files.len() > 1;
        let samples = self.builder.len();
        for path in files {
            if before >= end {
                break;
            }
            let slice = from.saturating_sub(before)..end - before;
            before += self.file(&path, slice)?;
        }
        if before <= from && samples == self.builder.len() {
            return Err(RowError::Empty {
                path: selection.path.clone(),
                what: format!("no row is in {selection}: there are {before}"),
            }
            .into());
        }
        Ok(())
    }

    /// Reads one file; returns how many rows it has, or how many were looked at.
    fn file(&mut self, path: &Path, slice: Range<u64>) -> Result<u64, DatasetError> {
        let first = self.builder.len() as u32;
        let trained = self.trained;
        let (mut report, rows, problem) = match Kind::of(path) {
            Kind::Text => self.text(path)?,
            Kind::Binidx => self.binidx(path, slice)?,
            Kind::Rows => self.rows(path, slice)?,
        };
        match problem {
            Some(problem) if !self.keep_going => return Err(problem),
            problem => self.problems.extend(problem),
        }
        report.samples = first..self.builder.len() as u32;
        report.trained = self.trained - trained;
        self.rows += rows;
        self.reports.push(report);
        Ok(rows)
    }

    fn text(&mut self, path: &Path) -> Result<Found, DatasetError> {
        let Reading {
            tokenizer, limits, ..
        } = self.reading;
        let mut not_utf8 = "";
        let samples = match tokenizer.byte_level() {
            Some(tokenizer) => {
                let bytes = read_bytes(path)?;
                if std::str::from_utf8(&bytes).is_err() {
                    not_utf8 = "; read as bytes: not UTF-8";
                }
                tokenize_bytes(&bytes, tokenizer, limits)?
            }
            None => tokenize_text(&read_text(path)?, tokenizer, limits)?,
        };
        let chunks = samples.len();
        for mut sample in samples {
            sample.row += self.rows;
            self.push(&sample)?;
        }
        let what = format!(
            "plain text: {chunks} chunks of up to {} tokens, every token trained{not_utf8}",
            limits.max_seq_len
        );
        let report = FileReport::new(path, what, chunks as u64);
        Ok((report, chunks as u64, None))
    }

    fn binidx(&mut self, path: &Path, slice: Range<u64>) -> Result<Found, DatasetError> {
        let Reading { limits, .. } = self.reading;
        let file = Binidx::open(path)?;
        let all = file.len() as u64;
        let mut report = FileReport::new(path, String::new(), 0);
        for index in slice.start.min(all)..slice.end.min(all) {
            let index_here = index as usize;
            let len = file.size(index_here);
            report.lengths.push(len.try_into().unwrap_or(u32::MAX));
            report.rows += 1;
            let tokens = file.read(index_here, limits.max_seq_len)?;
            if let Some(what) = limits.beyond_vocab(&tokens) {
                return Err(DatasetError::Tokens {
                    path: path.to_owned(),
                    shown: vec![(index + 1, what)],
                    total: 1,
                });
            }
            let sample = Sample::after_prompt(tokens, 0, self.rows + index);
            match sample.trained.is_empty() {
                true => report.dropped.empty += 1,
                false => self.push(&sample)?,
            }
            report.dropped.truncated += usize::from(len > limits.max_seq_len);
        }
        report.what = format!(
            "binidx: {} sequences of tokens, every token trained; {}",
            report.rows, report.dropped
        );
        Ok((report, all, None))
    }

    fn rows(&mut self, path: &Path, slice: Range<u64>) -> Result<Found, DatasetError> {
        let mut rows = RowReader::open(path, slice, self.reading.schema)?;
        let mut tally = Tally::default();
        loop {
            let mut some = Vec::with_capacity(AT_ONCE);
            while some.len() < AT_ONCE
                && let Some(row) = rows.next_row()?
            {
                some.push(row);
            }
            if some.is_empty() {
                break;
            }
            self.tokenize(&some, &mut tally)?;
        }
        let looked_at = rows.looked_at();
        let mut report = FileReport::new(path, String::new(), rows.rows());
        report.templated = true;
        report.dropped = tally.dropped;
        report.lengths = tally.lengths;
        let path = path.to_owned();
        let problem = match (rows.finish(), tally.unused_inputs) {
            (Err(RowError::Empty { .. }), _) if self.may_be_outside && looked_at > 0 => None,
            (Err(error), _) => Some(error.into()),
            (_, Some((rows, first))) => Some(DatasetError::InputUnused {
                path,
                rows,
                first: first + 1,
                template: self.reading.template.to_string(),
            }),
            _ if tally.total > 0 => Some(DatasetError::Tokens {
                path,
                shown: tally.shown,
                total: tally.total,
            }),
            (Ok(file), None) => {
                report.what = format!("{} rows of {}, {}", file.rows, file.format, file.schema);
                None
            }
        };
        Ok((report, looked_at, problem))
    }

    /// Tokenizes rows on all threads and takes their samples in order.
    fn tokenize(&mut self, rows: &[Row], tally: &mut Tally) -> Result<(), DatasetError> {
        let Reading {
            template,
            tokenizer,
            limits,
            ..
        } = self.reading;
        let before = self.rows;
        let tokenized: Vec<_> = rows
            .par_iter()
            .map(|row| tokenize(row, before + row.index, template, tokenizer, limits))
            .collect();
        for (row, tokenized) in rows.iter().zip(tokenized) {
            if let Content::Single { input, .. } = &row.content
                && !input.is_empty()
                && !template.uses_input()
            {
                let (count, first) = tally.unused_inputs.unwrap_or((0, row.index));
                tally.unused_inputs = Some((count + 1, first));
            }
            match tokenized {
                Err(what) => {
                    tally.total += 1;
                    if tally.shown.len() < SHOWN_FAILURES {
                        tally.shown.push((row.index + 1, what));
                    }
                }
                Ok(tokenized) => {
                    tally.dropped.count(&tokenized);
                    let len = tokenized.len();
                    tally.lengths.push(len.try_into().unwrap_or(u32::MAX));
                    let prompt_len = match &tokenized {
                        Tokenized::PromptTooLong { prompt_len, .. } => *prompt_len,
                        other => other.samples().first().map_or(len, Sample::prompt_len),
                    };
                    self.shortest_prompt = self.shortest_prompt.min(prompt_len);
                    for sample in tokenized.samples() {
                        self.push(sample)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, sample: &Sample) -> Result<(), DatasetError> {
        self.trained += sample.trained_tokens();
        self.builder.push(sample).map_err(temporary)
    }

    /// All samples, a report for every file, and what was wrong if that was to be passed over.
    pub(super) fn finish(
        self,
    ) -> Result<(Samples, Vec<FileReport>, Vec<DatasetError>), DatasetError> {
        if self.builder.is_empty() && !self.keep_going {
            let mut dropped = Dropped::default();
            for report in &self.reports {
                dropped.prompt_too_long += report.dropped.prompt_too_long;
                dropped.empty += report.dropped.empty;
                dropped.truncated += report.dropped.truncated;
            }
            return Err(DatasetError::NothingLeft {
                dropped,
                shortest_prompt: match self.shortest_prompt {
                    usize::MAX => 0,
                    tokens => tokens,
                },
                max_seq_len: self.reading.limits.max_seq_len,
            });
        }
        let samples = self.builder.finish().map_err(temporary)?;
        Ok((samples, self.reports, self.problems))
    }
}

impl FileReport {
    fn new(path: &Path, what: String, rows: u64) -> Self {
        Self {
            path: path.to_owned(),
            what,
            rows,
            templated: false,
            dropped: Dropped::default(),
            lengths: Vec::new(),
            samples: 0..0,
            trained: 0,
        }
    }
}
