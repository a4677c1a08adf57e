//! Rows of a data file, one at a time, with what they mean.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use thiserror::Error;

use super::conversation::Content;
use super::schema::{FieldProblem, Schema};
use super::formats::{self, Format, Place, RowProblem, SourceError};

#[cfg(test)]
mod tests;

/// A file with more problems than this shows the first and counts the rest.
const SHOWN_PROBLEMS: usize = 10;
/// A file whose first rows fit no schema is given up after so many.
const ROWS_TO_RECOGNISE: usize = 100;

/// One row of a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it holds.
    pub content: Content,
    /// Place of the row in its file, from 0; blank lines are not counted.
    pub index: u64,
}

/// One thing wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[allow(
    missing_docs,
    reason = "each variant but the last is another module's problem"
)]
pub enum Problem {
    #[error(transparent)]
    Row(#[from] RowProblem),
    #[error(transparent)]
    Field(#[from] FieldProblem),
    /// An object of no known schema, in a file with other problems.
    #[error("the fields {0} fit no known schema")]
    UnknownSchema(String),
}

/// A file of rows that cannot be used.
#[derive(Debug, Error)]
pub enum RowError {
    /// The file cannot be opened, read or decompressed, or holds nothing.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// No rows at all, or none in the slice.
    #[error("{}: {what}", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
        /// What there is instead.
        what: String,
    },
    /// The rows have other fields than those of the known schemas.
    #[error(
        "{}: the rows fit no known schema ({}); the first has the fields {fields}: \
         name them with a field map, instruction=FIELD,response=FIELD[,input=FIELD]",
        .path.display(), known_schemas()
    )]
    UnknownSchema {
        /// The file.
        path: PathBuf,
        /// Fields of the first row.
        fields: String,
    },
    /// A row that fits more than one known schema.
    #[error(
        "{}: {place} fits more than one schema ({}): choose with a schema ({}), or with a field \
         map, instruction=FIELD,response=FIELD[,input=FIELD]",
        .path.display(),
        .schemas.iter().map(short).collect::<Vec<_>>().join(", "),
        Schema::names().join(", ")
    )]
    AmbiguousSchema {
        /// The file.
        path: PathBuf,
        /// The row.
        place: Place,
        /// The schemas that it fits.
        schemas: Vec<Schema>,
    },
    /// The field map names an input that no row has.
    #[error(
        "{}: no row has the field '{field}', which the field map names as the input: \
         correct it or leave it out", .path.display()
    )]
    InputInNoRow {
        /// The file.
        path: PathBuf,
        /// The field that was named.
        field: String,
    },
    /// Rows with problems: all are counted, the first are shown.
    #[error("{}: {total} problem(s) in its rows:{}", .path.display(), list(.shown, *.total))]
    Rows {
        /// The file.
        path: PathBuf,
        /// The first problems.
        shown: Vec<(Place, Problem)>,
        /// How many problems there are.
        total: usize,
    },
}

fn known_schemas() -> String {
    let schemas = Schema::names()
        .iter()
        .filter_map(|name| Schema::named(name));
    schemas
        .map(|schema| short(&schema))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A schema's fields alone: `instruction/input/output`.
fn short(schema: &Schema) -> String {
    match schema {
        Schema::Fields(fields) => match &fields.input {
            Some(input) => format!("{}/{input}/{}", fields.instruction, fields.response),
            None => format!("{}/{}", fields.instruction, fields.response),
        },
        Schema::Messages => "messages".to_owned(),
        Schema::Conversations => "conversations".to_owned(),
        Schema::Text => "text".to_owned(),
    }
}

/// Problems of one kind on one line, others a line each.
fn list(shown: &[(Place, Problem)], total: usize) -> String {
    let more = match total - shown.len() {
        0 => String::new(),
        more => format!("and {more} more"),
    };
    let alike = shown
        .windows(2)
        .all(|pair| pair[0].1.to_string() == pair[1].1.to_string());
    let (mut text, between) = match shown {
        [(_, problem), ..] if alike => {
            let mut places: Vec<_> = shown.iter().map(|(place, _)| place.to_string()).collect();
            places.extend(Some(more).filter(|more| !more.is_empty()));
            (format!(" {problem} ({})", places.join(", ")), "; ")
        }
        _ => {
            let lines = shown
                .iter()
                .map(|(place, problem)| format!("{place}: {problem}"))
                .chain(Some(more).filter(|more| !more.is_empty()));
            (lines.map(|line| format!("\n  {line}")).collect(), "\n  ")
        }
    };
    let missing =
        |(_, problem): &(_, Problem)| matches!(problem, Problem::Field(FieldProblem::Missing(_)));
    if shown.iter().any(missing) {
        text.push_str(between);
        text.push_str(
            "correct the rows, or name their fields with \
             --field-map instruction=FIELD,response=FIELD[,input=FIELD]",
        );
    }
    text
}

/// What a file of rows turned out to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFile {
    /// The schema that was given, or the known one that the rows fit.
    pub schema: Schema,
    /// The file's layout.
    pub format: Format,
    /// Rows that were given out.
    pub rows: u64,
}

/// Reads rows from a file, and takes note of all that is wrong with them.
///
/// Rows with problems are left out as they come; [`RowReader::finish`] then says which they were.
#[derive(Debug)]
pub struct RowReader {
    path: PathBuf,
    source: formats::Rows,
    /// Rows to read: places from 0.
    slice: std::ops::Range<u64>,
    next_index: u64,
    schema: Option<Schema>,
    /// Whether a person named the fields.
    given: bool,
    input_seen: bool,
    /// Objects read before one fitted a schema.
    pending: Vec<(Place, u64, Map<String, Value>)>,
    ready: VecDeque<Row>,
    rows: u64,
    shown: Vec<(Place, Problem)>,
    total: usize,
    ended: bool,
}

impl RowReader {
    /// Opens the rows `slice` of `path`; JSON Lines, a JSON array or Parquet, compressed or not.
    ///
    /// With no `schema` it is the known one that the rows fit. An input may be absent, empty or
    /// null. Other fields are ignored.
    ///
    /// # Errors
    /// [`SourceError`].
    pub fn open(
        path: &Path,
        slice: std::ops::Range<u64>,
        schema: Option<&Schema>,
    ) -> Result<Self, SourceError> {
        Ok(Self {
            path: path.to_owned(),
            source: formats::Rows::open(path)?,
            slice,
            next_index: 0,
            schema: schema.cloned(),
            given: schema.is_some_and(|schema| schema.name().is_none()),
            input_seen: false,
            pending: Vec::new(),
            ready: VecDeque::new(),
            rows: 0,
            shown: Vec::new(),
            total: 0,
            ended: false,
        })
    }

    /// The next good row; `None` at the end of the file or of the slice.
    ///
    /// # Errors
    /// [`RowError`]: reading cannot go on, or the rows fit no schema or several.
    pub fn next_row(&mut self) -> Result<Option<Row>, RowError> {
        loop {
            if let Some(row) = self.ready.pop_front() {
                self.rows += 1;
                return Ok(Some(row));
            }
            if self.ended || self.next_index >= self.slice.end {
                return Ok(None);
            }
            match self.source.next().transpose()? {
                None => self.ended = true,
                Some((place, row)) => self.take(place, row)?,
            }
        }
    }

    fn take(
        &mut self,
        place: Place,
        row: Result<Map<String, Value>, RowProblem>,
    ) -> Result<(), RowError> {
        let index = self.next_index;
        self.next_index += 1;
        if index < self.slice.start {
            return Ok(());
        }
        let row = match row {
            Ok(row) => row,
            Err(problem) => {
                self.problem(place, problem);
                return Ok(());
            }
        };
        if self.schema.is_none() {
            self.recognise(place, &row)?;
        }
        match self.schema.clone() {
            Some(schema) => self.content(place, index, &row, &schema),
            None => self.pending.push((place, index, row)),
        }
        match self.pending.len() >= ROWS_TO_RECOGNISE {
            true => Err(self.unknown_schema()),
            false => Ok(()),
        }
    }

    fn recognise(&mut self, place: Place, row: &Map<String, Value>) -> Result<(), RowError> {
        let mut schemas = Schema::fitting(row);
        if schemas.len() > 1 {
            return Err(RowError::AmbiguousSchema {
                path: self.path.clone(),
                place,
                schemas,
            });
        }
        if let Some(schema) = schemas.pop() {
            for (place, index, row) in std::mem::take(&mut self.pending) {
                self.content(place, index, &row, &schema);
            }
            self.schema = Some(schema);
        }
        Ok(())
    }

    fn content(&mut self, place: Place, index: u64, row: &Map<String, Value>, schema: &Schema) {
        if let Schema::Fields(fields) = schema
            && let Some(input) = &fields.input
        {
            self.input_seen |= row.contains_key(input);
        }
        match schema.content(row) {
            Ok(content) => self.ready.push_back(Row { content, index }),
            Err(problems) => problems
                .into_iter()
                .for_each(|problem| self.problem(place, problem)),
        }
    }

    fn problem(&mut self, place: Place, problem: impl Into<Problem>) {
        self.total += 1;
        if self.shown.len() < SHOWN_PROBLEMS {
            self.shown.push((place, problem.into()));
        }
    }

    /// Good rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Rows of the file that were looked at, good or not.
    pub fn looked_at(&self) -> u64 {
        self.next_index
    }

    /// What the file was, once all of its rows were taken.
    ///
    /// # Errors
    /// [`RowError`], which names the file and every row and field with a problem.
    pub fn finish(mut self) -> Result<RowFile, RowError> {
        if self.total == 0 && !self.pending.is_empty() {
            return Err(self.unknown_schema());
        }
        for (place, _, row) in std::mem::take(&mut self.pending) {
            self.problem(place, Problem::UnknownSchema(names(&row)));
        }
        if self.total > 0 {
            return Err(RowError::Rows {
                path: self.path,
                shown: self.shown,
                total: self.total,
            });
        }
        let Some(schema) = self.schema.filter(|_| self.rows > 0) else {
            return Err(RowError::Empty {
                path: self.path,
                what: match self.next_index {
                    0 => "the file holds no rows".to_owned(),
                    rows => format!(
                        "no row is in the slice [{}:{}]: the file has {rows}",
                        self.slice.start, self.slice.end
                    ),
                },
            });
        };
        if let Schema::Fields(fields) = &schema
            && let Some(field) = &fields.input
            // A misspelt input would otherwise be dropped from every row in silence.
            && self.given
            && !self.input_seen
        {
            return Err(RowError::InputInNoRow {
                path: self.path,
                field: field.clone(),
            });
        }
        Ok(RowFile {
            schema,
            format: self.source.format(),
            rows: self.rows,
        })
    }

    fn unknown_schema(&self) -> RowError {
        let first = self.pending.first();
        RowError::UnknownSchema {
            path: self.path.clone(),
            fields: first.map(|(_, _, row)| names(row)).unwrap_or_default(),
        }
    }
}

fn names(row: &Map<String, Value>) -> String {
    if row.is_empty() {
        return "(none)".to_owned();
    }
    row.keys().cloned().collect::<Vec<_>>().join(", ")
}
