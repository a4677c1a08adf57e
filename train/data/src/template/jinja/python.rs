//! Formatting values as Python does.

use minijinja::value::{Kwargs, Value, ValueKind};
use minijinja::{Error, ErrorKind, Output, State};
use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter};
use std::io;

/// Writes a value into the text: `True` and `None` instead of minijinja's `true` and `none`.
pub(super) fn format(
    output: &mut Output<'_>,
    _: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), Error> {
    Ok(output.write_str(&text(value))?)
}

fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::None => "None".to_owned(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        _ => value.to_string(),
    }
}

/// The `string` filter.
pub(super) fn to_text(value: &Value) -> String {
    text(value)
}

/// The `tojson` filter of transformers: `json.dumps` with `ensure_ascii` off and without HTML escapes.
pub(super) fn to_json(value: &Value, kwargs: Kwargs) -> Result<Value, Error> {
    let indent: Option<usize> = kwargs.get("indent")?;
    let _: Option<bool> = kwargs.get("ensure_ascii")?;
    let sorted: Option<bool> = kwargs.get("sort_keys")?;
    kwargs.assert_all_used()?;
    let wrong = |error: &dyn std::fmt::Display| {
        Error::new(ErrorKind::InvalidOperation, format!("tojson: {error}"))
    };
    let mut json = serde_json::to_value(value).map_err(|error| wrong(&error))?;
    if sorted == Some(true) {
        json.sort_all_objects();
    }
    let mut bytes = Vec::new();
    let written = match indent {
        None => json.serialize(&mut serde_json::Serializer::with_formatter(
            &mut bytes, Spaced,
        )),
        Some(indent) => {
            let space = " ".repeat(indent.min(16));
            let pretty = PrettyFormatter::with_indent(space.as_bytes());
            json.serialize(&mut serde_json::Serializer::with_formatter(
                &mut bytes, pretty,
            ))
        }
    };
    written.map_err(|error| wrong(&error))?;
    let text = String::from_utf8(bytes).map_err(|error| wrong(&error))?;
    Ok(Value::from_safe_string(text))
}

/// JSON on one line, with a space after `,` and `:`.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        writer.write_all(if first { b"" } else { b", " })
    }

    fn begin_object_key<W: ?Sized + io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> io::Result<()> {
        self.begin_array_value(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }
}
