//! Rows of instruction, input and response from JSON Lines or a JSON array.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use serde::Deserializer as _;
use serde::de::{self, SeqAccess, Visitor};
use serde_json::Value;
use thiserror::Error;

use super::field_map::FieldMap;
use collect::Collector;

mod collect;
#[cfg(test)]
mod tests;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// One row of a data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What is asked.
    pub instruction: String,
    /// Further context, empty where the row has none.
    pub input: String,
    /// What the model should answer.
    pub response: String,
    /// Place of the row in its file, from 0; blank lines are not counted.
    pub index: u64,
}

/// How a file of rows is laid out, decided by its first byte that is not a space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// One object a line.
    JsonLines,
    /// One array of objects.
    JsonArray,
}

impl fmt::Display for RowFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::JsonLines => "JSON Lines",
            Self::JsonArray => "JSON array",
        })
    }
}

/// All rows of a file and how they were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFile {
    /// The rows in the file's order; never empty.
    pub rows: Vec<Row>,
    /// The field map that was given, or the known schema that the rows fit.
    pub fields: FieldMap,
    /// The file's layout.
    pub format: RowFormat,
}

/// Where in a file a problem is, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A line of the file.
    Line(u64),
    /// An element of the file's array.
    Row(u64),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(number) => write!(f, "line {number}"),
            Self::Row(number) => write!(f, "row {number}"),
        }
    }
}

/// One thing wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// Bytes that are not UTF-8.
    #[error("invalid UTF-8 at byte {0} of the line")]
    NotUtf8(usize),
    /// Text that does not parse.
    #[error("not JSON: {message} (column {column})")]
    NotJson {
        /// What the parser says.
        message: String,
        /// Column of the line, from 1.
        column: usize,
    },
    /// A value that is not an object.
    #[error("not an object but {0}")]
    NotAnObject(&'static str),
    /// A field that the schema needs.
    #[error("field '{0}' is missing")]
    Missing(String),
    /// A field that holds something other than text.
    #[error("field '{field}' is {found}, not a string")]
    WrongType {
        /// Name of the field.
        field: String,
        /// What it holds.
        found: &'static str,
    },
    /// An object of no known schema, in a file with other problems.
    #[error("the fields {0} fit no known schema")]
    UnknownSchema(String),
}

/// A file of rows that cannot be used.
#[derive(Debug, Error)]
pub enum RowError {
    /// The file cannot be opened or read.
    #[error("{}: {source}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// No rows at all.
    #[error("{}: the file holds no rows", .path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// The rows have other fields than those of the known schemas.
    #[error(
        "{}: the rows fit no known schema ({}); the first has the fields {fields}: \
         name them with a field map, instruction=FIELD,response=FIELD[,input=FIELD]",
        .path.display(), collect::known_schemas()
    )]
    UnknownSchema {
        /// The file.
        path: PathBuf,
        /// Fields of the first row.
        fields: String,
    },
    /// A row that fits more than one known schema.
    #[error(
        "{}: {place} fits more than one schema ({schemas}): \
         choose with a field map, instruction=FIELD,response=FIELD[,input=FIELD]",
        .path.display()
    )]
    AmbiguousSchema {
        /// The file.
        path: PathBuf,
        /// The row.
        place: Place,
        /// The schemas that it fits.
        schemas: String,
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
    let missing = |(_, problem): &(_, Problem)| matches!(problem, Problem::Missing(_));
    if shown.iter().any(missing) {
        text.push_str(between);
        text.push_str(
            "correct the rows, or name their fields with \
             --field-map instruction=FIELD,response=FIELD[,input=FIELD]",
        );
    }
    text
}

/// Reads the rows of `path`, JSON Lines or one JSON array of objects.
///
/// The fields are those of `fields`, or of the known schema that the rows fit: `query`/`response`,
/// `instruction`/`input`/`output` or `prompt`/`completion`. An input may be absent, empty or null.
/// Other fields are ignored.
///
/// # Errors
/// [`RowError`], which names the file and every row and field with a problem.
pub fn read_rows(path: &Path, fields: Option<&FieldMap>) -> Result<RowFile, RowError> {
    let io_error = |source| RowError::Io {
        path: path.to_owned(),
        source,
    };
    let mut reader = BufReader::new(File::open(path).map_err(io_error)?);
    let (first, skipped_lines) = skip_blank(&mut reader).map_err(io_error)?;
    let mut collector = Collector::new(path, fields);
    let format = match first {
        None => {
            return Err(RowError::Empty {
                path: path.to_owned(),
            });
        }
        Some(b'[') => {
            read_array(reader, skipped_lines, &mut collector).map_err(io_error)?;
            RowFormat::JsonArray
        }
        Some(_) => {
            read_lines(reader, skipped_lines, &mut collector).map_err(io_error)?;
            RowFormat::JsonLines
        }
    };
    collector.finish(format)
}

/// Skips a byte-order mark and blank space; returns the next byte and the line breaks skipped.
fn skip_blank(reader: &mut impl BufRead) -> io::Result<(Option<u8>, u64)> {
    if reader.fill_buf()?.starts_with(BYTE_ORDER_MARK) {
        reader.consume(BYTE_ORDER_MARK.len());
    }
    let mut lines = 0;
    loop {
        match reader.fill_buf()?.first() {
            Some(byte) if byte.is_ascii_whitespace() => {
                lines += u64::from(*byte == b'\n');
                reader.consume(1);
            }
            first => return Ok((first.copied(), lines)),
        }
    }
}

fn read_lines(
    mut reader: impl BufRead,
    skipped_lines: u64,
    collector: &mut Collector<'_>,
) -> io::Result<()> {
    let mut line = Vec::new();
    let mut number = skipped_lines;
    while reader.read_until(b'\n', &mut line)? > 0 {
        number += 1;
        let place = Place::Line(number);
        let going_on = match std::str::from_utf8(&line).map(str::trim) {
            Err(error) => collector.problem(place, Problem::NotUtf8(error.valid_up_to() + 1)),
            Ok("") => true,
            Ok(text) => match serde_json::from_str::<Value>(text) {
                Ok(value) => collector.value(place, value),
                Err(error) => collector.problem(place, not_json(&error)),
            },
        };
        if !going_on {
            break;
        }
        line.clear();
    }
    Ok(())
}

fn read_array(
    reader: impl BufRead,
    skipped_lines: u64,
    collector: &mut Collector<'_>,
) -> io::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_reader(reader);
    let read = deserializer
        .deserialize_seq(Elements(collector))
        .and_then(|()| deserializer.end());
    match read {
        Err(error) if error.is_io() => return Err(error.into()),
        Err(error) if !collector.stopped() => {
            let line = skipped_lines + error.line() as u64;
            collector.problem(Place::Line(line), not_json(&error));
        }
        _ => {}
    }
    Ok(())
}

/// Hands an array's elements on one by one, so that the whole array is never held as JSON.
struct Elements<'a, 'b>(&'a mut Collector<'b>);

impl<'de> Visitor<'de> for Elements<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let mut number = 0;
        while let Some(value) = elements.next_element::<Value>()? {
            number += 1;
            if !self.0.value(Place::Row(number), value) {
                return Err(de::Error::custom("stopped"));
            }
        }
        Ok(())
    }
}

fn not_json(error: &serde_json::Error) -> Problem {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    Problem::NotJson {
        message: text.strip_suffix(&place).unwrap_or(&text).to_owned(),
        column: error.column(),
    }
}
