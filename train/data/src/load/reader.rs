//! Reading one file after the other into samples.

use super::{Checked, FileReport, Reading, temporary};
use crate::{
    Binidx, Content, DataError, Dropped, Kind, Pool, RenderError, Row, RowReader, Sample, Samples,
    Selection, Sources, Tokenized, chunked, read_bytes, read_text, tokenize, tokenize_text,
};
use bone_files::wording::{Problems, and_more, counted};
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

/// Limits of a group of rows that all threads tokenize together: the number of rows, and the bytes of their
/// texts without the last one. A tokenizer takes 200 bytes per byte of text.
const AT_ONCE: usize = 512;
const BYTES_AT_ONCE: usize = 1 << 20;

/// Reads files into samples.
pub(super) struct Reader<'a> {
    reading: Reading<'a>,
    samples: Samples,
    reports: Vec<FileReport>,
    /// Number of rows in the earlier files.
    rows: u64,
    shortest_prompt: usize,
    /// Whether files with problems are read to the end for their good rows.
    keep_going: bool,
    problems: Vec<DataError>,
}

/// The number of rows of a file, or of rows looked at, and the problem with them.
type Found = (u64, Option<DataError>);

impl<'a> Reader<'a> {
    pub(super) fn new(reading: Reading<'a>, keep_going: bool) -> Self {
        Self {
            keep_going,
            problems: Vec::new(),
            reading,
            samples: Samples::default(),
            reports: Vec::new(),
            rows: 0,
            shortest_prompt: usize::MAX,
        }
    }

    /// Reads all files. The rows of a source are counted across its files.
    pub(super) fn read(mut self, sources: &Sources) -> Result<Checked, DataError> {
        let mut pools = Vec::new();
        for source in &sources.0 {
            let (first, reports) = (self.samples.len() as u32, self.reports.len());
            self.selection(&source.selection)?;
            for report in &mut self.reports[reports..] {
                report.weight = source.weight;
            }
            pools.push(Pool {
                samples: (first..self.samples.len() as u32).collect(),
                weight: source.weight,
            });
        }
        if self.samples.is_empty() && self.problems.is_empty() {
            self.problem(Some(self.nothing_left()))?;
        }
        Ok(Checked {
            samples: Arc::new(self.samples),
            pools,
            reports: self.reports,
            problems: self.problems,
        })
    }

    /// Returns the problem as an error, or stores it.
    fn problem(&mut self, problem: Option<DataError>) -> Result<(), DataError> {
        match problem {
            Some(problem) if !self.keep_going => Err(problem),
            problem => {
                self.problems.extend(problem);
                Ok(())
            }
        }
    }

    fn selection(&mut self, selection: &Selection) -> Result<(), DataError> {
        let (files, from, to) = (selection.files()?, selection.from, selection.to);
        let sliced = from > 0 || to.is_some();
        if sliced && files.iter().any(|file| Kind::of(file) == Kind::Text) {
            return Err(DataError::Other(format!(
                "{selection}: a slice selects rows, but plain text has none: use the whole file, or write \
                 it as rows of {{\"text\": …}}"
            )));
        }
        let end = to.unwrap_or(u64::MAX);
        let mut before = 0;
        let samples = self.samples.len();
        for path in files {
            if before >= end {
                break;
            }
            let slice = from.saturating_sub(before)..end - before;
            before += self.file(&path, slice)?;
        }
        if before <= from && samples == self.samples.len() {
            let what = format!(
                "{selection} selects no row: there are only {}",
                counted(before as usize, "row")
            );
            return Err(DataError::empty(&selection.path, what));
        }
        if let Some(to) = to.filter(|to| *to > before)
            && let Some(last) = self.reports.last_mut()
        {
            let rows = counted(before as usize, "row");
            let what = format!("; the slice ends at {to}, but there are only {rows}");
            last.what.push_str(&what);
        }
        Ok(())
    }

    /// Reads one file. Returns the number of its rows, or of the rows looked at.
    fn file(&mut self, path: &Path, slice: Range<u64>) -> Result<u64, DataError> {
        let first = self.samples.len() as u32;
        let mut report = FileReport {
            path: path.to_owned(),
            ..FileReport::default()
        };
        let (rows, problem) = match Kind::of(path) {
            Kind::Text => self.text(&mut report)?,
            Kind::Binidx => self.binidx(&mut report, slice)?,
            Kind::Rows => self.rows(&mut report, slice)?,
        };
        self.problem(problem)?;
        report.samples = first..self.samples.len() as u32;
        self.rows += rows;
        self.reports.push(report);
        Ok(rows)
    }

    fn text(&mut self, report: &mut FileReport) -> Result<Found, DataError> {
        let Reading {
            tokenizer, limits, ..
        } = self.reading;
        let mut not_utf8 = "";
        let samples = match tokenizer.byte_level() {
            Some(tokenizer) => {
                let bytes = read_bytes(&report.path)?;
                if std::str::from_utf8(&bytes).is_err() {
                    not_utf8 = "; not UTF-8, read as bytes";
                }
                chunked(tokenizer.encode_bytes(&bytes), tokenizer, limits)?
            }
            None => tokenize_text(&read_text(&report.path)?, tokenizer, limits)?,
        };
        report.rows = samples.len() as u64;
        report.what = format!(
            "plain text: {} of up to {} tokens, all tokens trained{not_utf8}",
            counted(samples.len(), "chunk"),
            limits.max_seq_len
        );
        for mut sample in samples {
            sample.row += self.rows;
            self.push(report, &sample)?;
        }
        Ok((report.rows, None))
    }

    fn binidx(&mut self, report: &mut FileReport, slice: Range<u64>) -> Result<Found, DataError> {
        let limits = self.reading.limits;
        let file = Binidx::open(&report.path)?;
        let all = file.len() as u64;
        for index in slice.start.min(all)..slice.end.min(all) {
            let len = file.size(index as usize);
            report.lengths.push(len.try_into().unwrap_or(u32::MAX));
            report.rows += 1;
            let tokens = file.read(index as usize, limits.max_seq_len)?;
            if let Some(what) = limits.beyond_vocab(&tokens) {
                return Err(not_tokenized(&report.path, vec![(index + 1, what)], 1));
            }
            let sample = Sample::after_prompt(tokens, 0, self.rows + index);
            if sample.trained.is_empty() {
                report.dropped.empty += 1
            } else {
                self.push(report, &sample)?
            }
            report.dropped.truncated += usize::from(len > limits.max_seq_len);
        }
        report.what = format!(
            "binidx: {} of tokens, all tokens trained",
            counted(report.rows as usize, "sequence")
        );
        Ok((all, None))
    }

    fn rows(&mut self, report: &mut FileReport, slice: Range<u64>) -> Result<Found, DataError> {
        let mut rows = RowReader::open(&report.path, slice, self.reading.schema)?;
        report.templated = true;
        let mut refused = Problems::default();
        let mut unused_inputs = Problems::default();
        loop {
            let some = at_once(&mut rows)?;
            report.rows = rows.rows();
            if some.is_empty() {
                break;
            }
            let tokenized = self.tokenize(&some);
            // After the template met a limit, later rows only repeat that error.
            let stuck = some.iter().zip(&tokenized).filter_map(|(row, tokenized)| {
                Some(match tokenized {
                    Err(what @ RenderError::Limit(_)) => (false, row, what),
                    Err(what @ RenderError::NotTried(_)) => (true, row, what),
                    _ => return None,
                })
            });
            if let Some((_, row, what)) = stuck.min_by_key(|(not_tried, ..)| *not_tried) {
                let shown = vec![(row.index + 1, what.to_string())];
                let problem = not_tokenized(&report.path, shown, 1);
                return Ok((rows.looked_at(), Some(problem)));
            }
            for (row, tokenized) in some.iter().zip(tokenized) {
                if let Content::Single { input, .. } = &row.content
                    && !input.is_empty()
                    && !self.reading.template.uses_input()
                {
                    unused_inputs.add(row.index + 1);
                }
                match tokenized {
                    Err(what) => refused.add((row.index + 1, what.to_string())),
                    Ok(tokenized) => self.take(report, &tokenized)?,
                }
            }
        }
        let looked_at = rows.looked_at();
        let problem = match rows.finish() {
            // With several files, some may be outside the slice.
            Err(DataError::Empty { .. }) if looked_at > 0 => None,
            Err(error) => Some(error),
            Ok(_) if unused_inputs.total > 0 => Some(DataError::unusable(
                &report.path,
                format!(
                    "{} row(s) have an input (first: row {}), but the template '{}' has no {{input}}. Add \
                     it to the template, or ignore the input with --field-map \
                     instruction=FIELD,response=FIELD",
                    unused_inputs.total, unused_inputs.shown[0], self.reading.template
                ),
            )),
            Ok(_) if refused.total > 0 => {
                Some(not_tokenized(&report.path, refused.shown, refused.total))
            }
            Ok(file) => {
                let rows = counted(file.rows as usize, "row");
                report.what = format!("{rows} of {}, {}", file.format, file.schema);
                None
            }
        };
        Ok((looked_at, problem))
    }

    /// Tokenizes rows on all threads.
    fn tokenize(&self, rows: &[Row]) -> Vec<Result<Tokenized, RenderError>> {
        let Reading {
            template,
            tokenizer,
            limits,
            ..
        } = self.reading;
        let before = self.rows;
        rows.par_iter()
            .map(|row| tokenize(row, before + row.index, template, tokenizer, limits))
            .collect()
    }

    /// Adds the result for one row.
    fn take(&mut self, report: &mut FileReport, row: &Tokenized) -> Result<(), DataError> {
        report.dropped += row.dropped;
        report.lengths.push(row.len.try_into().unwrap_or(u32::MAX));
        self.shortest_prompt = self.shortest_prompt.min(row.prompt_len);
        row.samples
            .iter()
            .try_for_each(|sample| self.push(report, sample))
    }

    fn push(&mut self, report: &mut FileReport, sample: &Sample) -> Result<(), DataError> {
        report.trained += sample.trained_tokens();
        self.samples.push(sample).map_err(temporary)
    }

    fn nothing_left(&self) -> DataError {
        let mut dropped = Dropped::default();
        for report in &self.reports {
            dropped += report.dropped;
        }
        let shortest_prompt = match self.shortest_prompt {
            usize::MAX => 0,
            tokens => tokens,
        };
        DataError::Other(format!(
            "no samples left: {dropped}. The shortest prompt has {shortest_prompt} tokens, \
             but max_seq_len is {}; raise max_seq_len",
            self.reading.limits.max_seq_len
        ))
    }
}

/// Returns the next group of rows to tokenize together.
fn at_once(rows: &mut RowReader) -> Result<Vec<Row>, DataError> {
    let mut some = Vec::with_capacity(AT_ONCE);
    let mut bytes = 0;
    while some.len() < AT_ONCE
        && bytes < BYTES_AT_ONCE
        && let Some(row) = rows.next_row()?
    {
        bytes += row.content.bytes();
        some.push(row);
    }
    Ok(some)
}

/// Returns the error for rows, from 1, that the template or the tokenizer rejects, or that exceed the
/// model's limits.
fn not_tokenized(path: &Path, shown: Vec<(u64, String)>, total: usize) -> DataError {
    let rows = shown.iter().map(|(row, what)| format!("row {row}: {what}"));
    let lines = and_more(rows, total).join("\n  ");
    let what = format!("{total} row(s) cannot be tokenized for this model:\n  {lines}");
    DataError::unusable(path, what)
}
