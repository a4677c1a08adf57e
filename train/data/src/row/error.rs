//! What can be wrong with rows.

use std::path::PathBuf;

use thiserror::Error;

use crate::formats::{Place, RowProblem, SourceError};
use crate::schema::{FieldProblem, Schema};
use bone_files::wording::and_more;

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
    let alike = shown
        .windows(2)
        .all(|pair| pair[0].1.to_string() == pair[1].1.to_string());
    let (mut text, between) = match shown {
        [(_, problem), ..] if alike => {
            let places = shown.iter().map(|(place, _)| place.to_string());
            let places = and_more(places, total).join(", ");
            (format!(" {problem} ({places})"), "; ")
        }
        _ => {
            let rows = shown
                .iter()
                .map(|(place, problem)| format!("{place}: {problem}"));
            let lines = and_more(rows, total);
            let lines = lines.iter().map(|line| format!("\n  {line}"));
            (lines.collect(), "\n  ")
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
