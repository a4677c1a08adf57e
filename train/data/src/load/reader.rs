//! Reading file after file into samples.

use super::{DatasetError, FileReport, Reading, temporary};
use crate::{
    Binidx, Content, Dropped, Kind, Refused, Resolved, Row, RowError, RowReader, Sample, Samples,
    SamplesBuilder, Selection, Source, TextError, Tokenized, read_bytes, read_text, tokenize,
    tokenize_bytes, tokenize_text,
};
use bone_files::wording::{Problems, counted};
use rayon::prelude::*;
use std::ops::Range;
use std::path::Path;

/// Rows that are tokenized at once, by all threads, and the bytes of their texts, but for the last
/// of them: a tokenizer takes 200 bytes for one.
const AT_ONCE: usize = 512;
const BYTES_AT_ONCE: usize = 1 << 20;

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
    refused: Problems<(u64, String)>,
    /// Whether the template met a limit.
    limited: bool,
    /// The first row that it was not tried on.
    not_tried: Option<(u64, String)>,
}

impl Tally {
    fn refuse(&mut self, row: u64, what: Refused) {
        match what {
            // Rows that began beside the one that met it say no more than that.
            Refused::Limit(_) if self.limited => return,
            Refused::Limit(_) => self.limited = true,
            Refused::NotTried(_) => {
                self.not_tried.get_or_insert((row, what.to_string()));
                return;
            }
            Refused::Row(_) => {}
        }
        self.refused.add((row, what.to_string()));
    }

    /// Rows that could not be tokenized. Where the template met a limit in another file, there is
    /// only that it was not tried.
    fn refused(self) -> (Vec<(u64, String)>, usize) {
        match self.not_tried {
            Some(first) if self.refused.total == 0 => (vec![first], 1),
            _ => (self.refused.shown, self.refused.total),
        }
    }
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

    /// Reads the files of a source; its rows are counted through all of them.
    pub(super) fn source(&mut self, source: &Source) -> Result<(), DatasetError> {
        let reports = self.reports.len();
        self.selection(&source.selection)?;
        for report in &mut self.reports[reports..] {
            report.weight = source.weight;
        }
        Ok(())
    }

    fn selection(&mut self, selection: &Selection) -> Result<(), DatasetError> {
        let Resolved { files, from, to } = selection.resolve()?;
        let sliced = from > 0 || to.is_some();
        if sliced && files.iter().any(|file| Kind::of(file) == Kind::Text) {
            let selection = selection.clone();
            return Err(TextError::Slice { selection }.into());
        }
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
        if let Some(to) = to.filter(|to| *to > before)
            && let Some(last) = self.reports.last_mut()
        {
            let rows = counted(before as usize, "row");
            let what = format!("; the slice goes to {to}, and there are only {rows}");
            last.what.push_str(&what);
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
            "plain text: {} of up to {} tokens, every token trained{not_utf8}",
            counted(chunks, "chunk"),
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
            if sample.trained.is_empty() {
                report.dropped.empty += 1
            } else {
                self.push(&sample)?
            }
            report.dropped.truncated += usize::from(len > limits.max_seq_len);
        }
        report.what = format!(
            "binidx: {} of tokens, every token trained; {}",
            counted(report.rows as usize, "sequence"),
            report.dropped
        );
        Ok((report, all, None))
    }

    fn rows(&mut self, path: &Path, slice: Range<u64>) -> Result<Found, DatasetError> {
        let mut rows = RowReader::open(path, slice, self.reading.schema)?;
        let mut tally = Tally::default();
        loop {
            let mut some = Vec::with_capacity(AT_ONCE);
            let mut bytes = 0;
            while some.len() < AT_ONCE
                && bytes < BYTES_AT_ONCE
                && let Some(row) = rows.next_row()?
            {
                bytes += row.content.bytes();
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
        report.lengths = std::mem::take(&mut tally.lengths);
        let path = path.to_owned();
        let unused_inputs = tally.unused_inputs;
        let (shown, total) = tally.refused();
        let problem = match (rows.finish(), unused_inputs) {
            (Err(RowError::Empty { .. }), _) if self.may_be_outside && looked_at > 0 => None,
            (Err(error), _) => Some(error.into()),
            (_, Some((rows, first))) => Some(DatasetError::InputUnused {
                path,
                rows,
                first: first + 1,
                template: self.reading.template.to_string(),
            }),
            _ if total > 0 => Some(DatasetError::Tokens { path, shown, total }),
            (Ok(file), None) => {
                let rows = counted(file.rows as usize, "row");
                report.what = format!("{rows} of {}, {}", file.format, file.schema);
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
                Err(what) => tally.refuse(row.index + 1, what),
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
        mut self,
    ) -> Result<(Samples, Vec<FileReport>, Vec<DatasetError>), DatasetError> {
        if self.builder.is_empty() && self.problems.is_empty() {
            let mut dropped = Dropped::default();
            for report in &self.reports {
                dropped.prompt_too_long += report.dropped.prompt_too_long;
                dropped.empty += report.dropped.empty;
                dropped.truncated += report.dropped.truncated;
            }
            let nothing = DatasetError::NothingLeft {
                dropped,
                shortest_prompt: match self.shortest_prompt {
                    usize::MAX => 0,
                    tokens => tokens,
                },
                max_seq_len: self.reading.limits.max_seq_len,
            };
            if self.keep_going {
                self.problems.push(nothing)
            } else {
                return Err(nothing);
            }
        }
        let samples = self.builder.finish().map_err(temporary)?;
        Ok((samples, self.reports, self.problems))
    }
}
