//! Parsing the bytes of one row as an object.

use serde_json::{Map, Value};

use super::RowProblem;
use super::unreadable::without_nan;

/// Start of a row that may span several lines of its file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// Line of the file, from 1.
    pub(super) line: u64,
    /// Byte of that line, from 1.
    pub(super) column: u64,
}

/// Parses `bytes` as an object.
pub(super) fn object(bytes: &[u8], start: Option<Start>) -> Result<Map<String, Value>, RowProblem> {
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let at = error.valid_up_to() + 1;
        RowProblem::Other(format!("invalid UTF-8 at byte {at} of the row"))
    })?;
    let parsed = serde_json::from_str(text).or_else(|error| {
        let changed = without_nan(text).and_then(|text| serde_json::from_str(&text).ok());
        changed.ok_or(error)
    });
    match parsed {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Err(RowProblem::Other(format!(
            "expected an object, found {}",
            kind(&other)
        ))),
        Err(error) => Err(not_json(&error, start)),
    }
}

/// Returns the kind of a value, with its article.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

fn not_json(error: &serde_json::Error, start: Option<Start>) -> RowProblem {
    let text = error.to_string();
    let (line, column) = (error.line() as u64, error.column() as u64);
    let message = text
        .strip_suffix(&format!(" at line {line} column {column}"))
        .unwrap_or(&text);
    // The parser counts a line break as byte 0 of the next line.
    let mut place = format!("column {}", column.max(1));
    if let Some(start) = start {
        if line <= 1 {
            place = format!("column {}", start.column + column.saturating_sub(1));
        }
        place = format!("line {}, {place}", start.line + line.saturating_sub(1));
    }
    RowProblem::NotJson {
        what: format!("{message} ({place})"),
        cut_off: error.is_eof(),
    }
}

/// Returns whether `byte` is blank in JSON.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r')
}
