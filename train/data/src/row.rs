//! Rows of a data file, one at a time, with what they mean.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::conversation::Content;
use super::formats::{self, Format, Place, RowProblem, SourceError};
use super::schema::Schema;
use bone_files::wording::Problems;

mod error;
#[cfg(test)]
mod tests;

pub use error::{Problem, RowError};

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
    problems: Problems<(Place, Problem)>,
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
            problems: Problems::default(),
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
        if self.pending.len() >= ROWS_TO_RECOGNISE {
            Err(self.unknown_schema())
        } else {
            Ok(())
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
        self.problems.add((place, problem.into()));
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
        if self.problems.total == 0 && !self.pending.is_empty() {
            return Err(self.unknown_schema());
        }
        for (place, _, row) in std::mem::take(&mut self.pending) {
            self.problem(place, Problem::UnknownSchema(names(&row)));
        }
        if self.problems.total > 0 {
            return Err(RowError::Rows {
                path: self.path,
                shown: self.problems.shown,
                total: self.problems.total,
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
