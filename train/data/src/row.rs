//! Reading the rows of a data file one at a time, with their meaning.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::conversation::Content;
use super::formats::{self, Place, RowProblem};
use super::schema::Schema;
use crate::DataError;
use bone_files::wording::{Problems, joined};

#[cfg(test)]
mod tests;

/// Number of rows after which a file that fits no schema is rejected.
const ROWS_TO_RECOGNISE: usize = 100;

/// One row of a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The content of the row.
    pub content: Content,
    /// Number of the row in its file, from 0. Blank lines do not count.
    pub index: u64,
}

/// Facts about a file of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFile {
    /// The given schema, or the known one that fits the rows.
    pub schema: Schema,
    /// The file's layout and compression.
    pub format: String,
    /// Number of rows returned.
    pub rows: u64,
}

/// Reads rows from a file and records every problem.
///
/// Rows with problems are skipped. [`RowReader::finish`] then lists them.
#[derive(Debug)]
pub struct RowReader {
    path: PathBuf,
    source: formats::Rows,
    /// Rows to read, numbered from 0.
    slice: std::ops::Range<u64>,
    next_index: u64,
    schema: Option<Schema>,
    /// Whether the user named the fields.
    given: bool,
    input_seen: bool,
    /// Objects to return once one of them has fitted a schema.
    pending: VecDeque<(Place, u64, Map<String, Value>)>,
    rows: u64,
    problems: Problems<(Place, String)>,
    /// Whether a row lacks a field of its schema.
    field_missing: bool,
}

impl RowReader {
    /// Opens the rows `slice` of `path`: JSON Lines, a JSON array or Parquet, compressed or not.
    ///
    /// Without a `schema`, it detects the known one that fits the rows. An input may be missing, empty or
    /// null. Other fields are ignored.
    ///
    /// # Errors
    /// [`DataError`].
    pub fn open(
        path: &Path,
        slice: std::ops::Range<u64>,
        schema: Option<&Schema>,
    ) -> Result<Self, DataError> {
        Ok(Self {
            path: path.to_owned(),
            source: formats::Rows::open(path)?,
            slice,
            next_index: 0,
            schema: schema.cloned(),
            given: schema.is_some_and(|schema| schema.name().is_none()),
            input_seen: false,
            pending: VecDeque::new(),
            rows: 0,
            problems: Problems::default(),
            field_missing: false,
        })
    }

    /// Returns the next good row; `None` at the end of the file or of the slice.
    ///
    /// # Errors
    /// [`DataError`]: reading cannot continue, or the rows fit no schema or several.
    pub fn next_row(&mut self) -> Result<Option<Row>, DataError> {
        loop {
            if self.schema.is_some()
                && let Some((place, index, row)) = self.pending.pop_front()
            {
                if let Some(content) = self.content(place, &row) {
                    self.rows += 1;
                    return Ok(Some(Row { content, index }));
                }
                continue;
            }
            if self.next_index >= self.slice.end {
                return Ok(None);
            }
            let Some(next) = self.source.next().transpose()? else {
                return Ok(None);
            };
            let index = self.next_index;
            self.next_index += 1;
            match next {
                _ if index < self.slice.start => {}
                (place, Err(problem)) => self.problems.add((place, problem.to_string())),
                (place, Ok(row)) => {
                    if self.schema.is_none() {
                        self.recognise(place, &row)?;
                    }
                    self.pending.push_back((place, index, row));
                    if self.schema.is_none() && self.pending.len() >= ROWS_TO_RECOGNISE {
                        return Err(self.unknown_schema());
                    }
                }
            }
        }
    }

    fn recognise(&mut self, place: Place, row: &Map<String, Value>) -> Result<(), DataError> {
        let mut schemas = Schema::fitting(row);
        if schemas.len() > 1 {
            let fields: Vec<_> = schemas.iter().map(Schema::fields).collect();
            let what = format!(
                "{place} matches several schemas ({}); choose one with --schema ({}), or set --field-map \
                 instruction=FIELD,response=FIELD[,input=FIELD]",
                fields.join(", "),
                Schema::names().join(", ")
            );
            return Err(DataError::unusable(&self.path, what));
        }
        self.schema = schemas.pop();
        Ok(())
    }

    /// Returns the content of a row, or records its problem.
    fn content(&mut self, place: Place, row: &Map<String, Value>) -> Option<Content> {
        let schema = self.schema.as_ref()?;
        if let Schema::Fields(fields) = schema
            && let Some(input) = &fields.input
        {
            self.input_seen |= row.contains_key(input);
        }
        let problems = match schema.content(row) {
            Ok(content) => return Some(content),
            Err(problems) => problems,
        };
        for problem in problems {
            self.field_missing |= matches!(problem, RowProblem::Missing(_));
            self.problems.add((place, problem.to_string()));
        }
        None
    }

    /// Returns the number of good rows so far.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Returns the number of rows looked at, good or not.
    pub fn looked_at(&self) -> u64 {
        self.next_index
    }

    /// Returns the facts about the file, after all rows were read.
    ///
    /// # Errors
    /// [`DataError`] that names the file and every row and field with a problem.
    pub fn finish(mut self) -> Result<RowFile, DataError> {
        if self.schema.is_some() {
            // These rows were not requested.
            self.pending.clear();
        }
        if self.problems.total == 0 && !self.pending.is_empty() {
            return Err(self.unknown_schema());
        }
        for (place, _, row) in std::mem::take(&mut self.pending) {
            let what = format!("the fields {} match no known schema", names(&row));
            self.problems.add((place, what));
        }
        if self.problems.total > 0 {
            return Err(DataError::Rows {
                path: self.path,
                shown: self.problems.shown,
                total: self.problems.total,
                missing: self.field_missing,
            });
        }
        let Some(schema) = self.schema.filter(|_| self.rows > 0) else {
            let what = match self.next_index {
                0 => "the file has no rows".to_owned(),
                rows => format!(
                    "the slice [{}:{}] selects no row: the file has {rows} rows",
                    self.slice.start, self.slice.end
                ),
            };
            return Err(DataError::empty(&self.path, what));
        };
        if let Schema::Fields(fields) = &schema
            && let Some(field) = &fields.input
            // Otherwise a misspelt input would be silently dropped from every row.
            && self.given
            && !self.input_seen
        {
            let what = format!(
                "no row has the field '{field}', which --field-map gives as the input; correct \
                 input=FIELD, or remove it"
            );
            return Err(DataError::unusable(&self.path, what));
        }
        Ok(RowFile {
            schema,
            format: self.source.format(),
            rows: self.rows,
        })
    }

    fn unknown_schema(&self) -> DataError {
        let known = Schema::names()
            .iter()
            .filter_map(|name| Schema::named(name));
        let known: Vec<_> = known.map(|schema| schema.fields()).collect();
        let first = self.pending.front();
        let what = format!(
            "the rows match no known schema ({}); the first row has the fields {}. Set the field names \
             with --field-map instruction=FIELD,response=FIELD[,input=FIELD]",
            known.join(", "),
            first.map(|(_, _, row)| names(row)).unwrap_or_default()
        );
        DataError::unusable(&self.path, what)
    }
}

fn names(row: &Map<String, Value>) -> String {
    if row.is_empty() {
        return "(none)".to_owned();
    }
    joined(row.keys(), ", ")
}
