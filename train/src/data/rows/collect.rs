//! Checks rows against a schema as they are read, and finds the schema where none is given.

use std::path::Path;

use serde_json::{Map, Value};

use super::{FieldMap, Place, Problem, Row, RowError, RowFile, RowFormat};

/// A file with more problems than this shows the first and counts the rest.
const SHOWN_PROBLEMS: usize = 10;
/// A file whose first rows fit no schema is given up after so many.
const ROWS_TO_RECOGNISE: usize = 100;

/// Instruction, input and response of the schemas that need no field map.
const KNOWN: [(&str, Option<&str>, &str); 3] = [
    ("query", None, "response"),
    ("instruction", Some("input"), "output"),
    ("prompt", None, "completion"),
];

pub(super) fn known_schemas() -> String {
    schemas(KNOWN.iter())
}

fn schemas<'a>(
    known: impl Iterator<Item = &'a (&'static str, Option<&'static str>, &'static str)>,
) -> String {
    known
        .map(|(instruction, input, response)| match input {
            Some(input) => format!("{instruction}/{input}/{response}"),
            None => format!("{instruction}/{response}"),
        })
        .collect::<Vec<_>>()
        .join(", ")
}

pub(super) struct Collector<'a> {
    path: &'a Path,
    fields: Option<FieldMap>,
    given: bool,
    input_seen: bool,
    /// Objects read before one fitted a schema.
    pending: Vec<(Place, u64, Map<String, Value>)>,
    rows: Vec<Row>,
    next_index: u64,
    shown: Vec<(Place, Problem)>,
    total: usize,
    fatal: Option<RowError>,
}

impl<'a> Collector<'a> {
    pub(super) fn new(path: &'a Path, fields: Option<&FieldMap>) -> Self {
        Self {
            path,
            fields: fields.cloned(),
            given: fields.is_some(),
            input_seen: false,
            pending: Vec::new(),
            rows: Vec::new(),
            next_index: 0,
            shown: Vec::new(),
            total: 0,
            fatal: None,
        }
    }

    pub(super) fn stopped(&self) -> bool {
        self.fatal.is_some()
    }

    /// Takes note of a problem; returns whether reading should go on.
    pub(super) fn problem(&mut self, place: Place, problem: Problem) -> bool {
        self.total += 1;
        if self.shown.len() < SHOWN_PROBLEMS {
            self.shown.push((place, problem));
        }
        true
    }

    /// Takes one row; returns whether reading should go on.
    pub(super) fn value(&mut self, place: Place, value: Value) -> bool {
        let index = self.next_index;
        self.next_index += 1;
        let Value::Object(object) = value else {
            return self.problem(place, Problem::NotAnObject(kind(&value)));
        };
        if self.fields.is_none() {
            self.recognise(place, &object);
        }
        match self.fields.clone() {
            Some(fields) => self.object(place, index, &object, &fields),
            None => self.pending.push((place, index, object)),
        }
        if self.pending.len() >= ROWS_TO_RECOGNISE {
            self.fatal = Some(self.unknown_schema());
        }
        !self.stopped()
    }

    fn recognise(&mut self, place: Place, object: &Map<String, Value>) {
        let fits: Vec<_> = KNOWN
            .iter()
            .filter(|(i, _, r)| object.contains_key(*i) && object.contains_key(*r))
            .collect();
        match fits[..] {
            [] => {}
            [&(instruction, input, response)] => {
                let fields = FieldMap::known(instruction, input, response);
                for (place, index, object) in std::mem::take(&mut self.pending) {
                    self.object(place, index, &object, &fields);
                }
                self.fields = Some(fields);
            }
            _ => {
                self.fatal = Some(RowError::AmbiguousSchema {
                    path: self.path.to_owned(),
                    place,
                    schemas: schemas(fits.into_iter()),
                });
            }
        }
    }

    fn object(&mut self, place: Place, index: u64, row: &Map<String, Value>, fields: &FieldMap) {
        let instruction = self.required(place, row, &fields.instruction);
        let input = match &fields.input {
            Some(name) => self.optional(place, row, name),
            None => Some(String::new()),
        };
        let response = self.required(place, row, &fields.response);
        if let (Some(instruction), Some(input), Some(response)) = (instruction, input, response) {
            self.rows.push(Row {
                instruction,
                input,
                response,
                index,
            });
        }
    }

    fn required(&mut self, place: Place, row: &Map<String, Value>, name: &str) -> Option<String> {
        match row.get(name) {
            Some(value) => self.text(place, name, value),
            None => {
                self.problem(place, Problem::Missing(name.to_owned()));
                None
            }
        }
    }

    fn optional(&mut self, place: Place, row: &Map<String, Value>, name: &str) -> Option<String> {
        let value = row.get(name);
        self.input_seen |= value.is_some();
        match value {
            None | Some(Value::Null) => Some(String::new()),
            Some(value) => self.text(place, name, value),
        }
    }

    fn text(&mut self, place: Place, name: &str, value: &Value) -> Option<String> {
        if let Value::String(text) = value {
            return Some(text.clone());
        }
        let problem = Problem::WrongType {
            field: name.to_owned(),
            found: kind(value),
        };
        self.problem(place, problem);
        None
    }

    pub(super) fn finish(mut self, format: RowFormat) -> Result<RowFile, RowError> {
        if let Some(error) = self.fatal {
            return Err(error);
        }
        if self.total == 0 && !self.pending.is_empty() {
            return Err(self.unknown_schema());
        }
        for (place, _, object) in std::mem::take(&mut self.pending) {
            self.problem(place, Problem::UnknownSchema(names(&object)));
        }
        let path = self.path.to_owned();
        if self.total > 0 {
            return Err(RowError::Rows {
                path,
                shown: self.shown,
                total: self.total,
            });
        }
        let Some(fields) = self.fields.filter(|_| !self.rows.is_empty()) else {
            return Err(RowError::Empty { path });
        };
        match &fields.input {
            // A misspelt input would otherwise be dropped from every row in silence.
            Some(field) if self.given && !self.input_seen => Err(RowError::InputInNoRow {
                path,
                field: field.clone(),
            }),
            _ => Ok(RowFile {
                rows: self.rows,
                fields,
                format,
            }),
        }
    }

    fn unknown_schema(&self) -> RowError {
        RowError::UnknownSchema {
            path: self.path.to_owned(),
            fields: self
                .pending
                .first()
                .map(|(_, _, object)| names(object))
                .unwrap_or_default(),
        }
    }
}

fn names(object: &Map<String, Value>) -> String {
    if object.is_empty() {
        return "(none)".to_owned();
    }
    object.keys().cloned().collect::<Vec<_>>().join(", ")
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
