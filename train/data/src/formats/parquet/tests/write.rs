//! A separate writer for the tests: writes JSON rows as a table.

use std::sync::Arc;

use ::parquet::column::writer::ColumnWriter;
use ::parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use ::parquet::schema::types::Type;

use super::*;

/// Data of a leaf column.
#[derive(Debug, Clone, Default)]
struct Leaf {
    values: Vec<Value>,
    levels: Vec<i16>,
    repeats: Vec<i16>,
}

/// Writes a file with row groups. Bytes that are not text are arrays of numbers.
pub(super) fn table(
    schema: &str,
    properties: WriterProperties,
    groups: &[impl AsRef<[Value]>],
) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(Vec::new(), Arc::clone(&schema), Arc::new(properties)).unwrap();
    for rows in groups {
        let mut leaves = vec![Leaf::default(); leaf_count(&schema)];
        for row in rows.as_ref() {
            let mut at = 0;
            for field in schema.get_fields() {
                shred(field, &row[field.name()], (0, 0, 0), &mut leaves, &mut at);
            }
        }
        let mut group = writer.next_row_group().unwrap();
        for leaf in leaves {
            let mut column = group.next_column().unwrap().unwrap();
            write(column.untyped(), &leaf);
            column.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.into_inner().unwrap()
}

fn leaf_count(field: &Type) -> usize {
    match field {
        Type::PrimitiveType { .. } => 1,
        Type::GroupType { fields, .. } => fields.iter().map(|field| leaf_count(field)).sum(),
    }
}

/// Repetition level, definition level, and number of open lists.
type Levels = (i16, i16, i16);

fn shred(field: &Type, value: &Value, at: Levels, leaves: &mut [Leaf], leaf: &mut usize) {
    let (repeat, level, lists) = at;
    match field.get_basic_info().repetition() {
        Repetition::REQUIRED => inner(field, value, at, leaves, leaf),
        Repetition::OPTIONAL if value.is_null() => nothing(field, at, leaves, leaf),
        Repetition::OPTIONAL => inner(field, value, (repeat, level + 1, lists), leaves, leaf),
        Repetition::REPEATED => items(field, value, at, leaves, leaf, inner),
    }
}

fn inner(field: &Type, value: &Value, at: Levels, leaves: &mut [Leaf], leaf: &mut usize) {
    let converted = field.get_basic_info().converted_type().to_string();
    match field {
        Type::PrimitiveType { .. } => {
            push(&mut leaves[*leaf], Some(value), at);
            *leaf += 1;
        }
        Type::GroupType { fields, .. } if converted == "LIST" || converted == "MAP" => {
            let repeated = &fields[0];
            let is_element = converted == "LIST"
                && (repeated.is_primitive()
                    || repeated.get_fields().len() > 1
                    || repeated.name() == "array"
                    || repeated.name() == format!("{}_tuple", field.name()));
            match value {
                Value::Object(pairs) => {
                    let pairs = pairs.iter().map(|(k, v)| json!({"key": k, "value": v}));
                    items(repeated, &pairs.collect(), at, leaves, leaf, inner);
                }
                _ if is_element => items(repeated, value, at, leaves, leaf, inner),
                _ => {
                    let within = |field: &Type, v: &Value, at, leaves: &mut _, leaf: &mut _| {
                        shred(&field.get_fields()[0], v, at, leaves, leaf);
                    };
                    items(repeated, value, at, leaves, leaf, within);
                }
            }
        }
        Type::GroupType { fields, .. } => {
            for field in fields {
                shred(field, &value[field.name()], at, leaves, leaf);
            }
        }
    }
}

fn items(
    field: &Type,
    value: &Value,
    at: Levels,
    leaves: &mut [Leaf],
    leaf: &mut usize,
    each: impl Fn(&Type, &Value, Levels, &mut [Leaf], &mut usize),
) {
    let (repeat, level, lists) = at;
    let items = value.as_array().unwrap();
    if items.is_empty() {
        return nothing(field, at, leaves, leaf);
    }
    let first = *leaf;
    for (index, item) in items.iter().enumerate() {
        *leaf = first;
        let repeat = if index == 0 { repeat } else { lists + 1 };
        each(field, item, (repeat, level + 1, lists + 1), leaves, leaf);
    }
}

fn nothing(field: &Type, at: Levels, leaves: &mut [Leaf], leaf: &mut usize) {
    for _ in 0..leaf_count(field) {
        push(&mut leaves[*leaf], None, at);
        *leaf += 1;
    }
}

fn push(leaf: &mut Leaf, value: Option<&Value>, (repeat, level, _): Levels) {
    leaf.values.extend(value.cloned());
    leaf.levels.push(level);
    leaf.repeats.push(repeat);
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::String(text) => text.clone().into_bytes(),
        other => numbers(other).map(|n| n as u8).collect(),
    }
}

fn numbers(value: &Value) -> impl Iterator<Item = u32> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n.as_u64().unwrap() as u32)
}

fn write(column: &mut ColumnWriter<'_>, leaf: &Leaf) {
    let (levels, repeats) = (Some(&leaf.levels[..]), Some(&leaf.repeats[..]));
    macro_rules! write {
        ($writer:expr, $value:expr) => {{
            let values: Vec<_> = leaf.values.iter().map($value).collect();
            $writer.write_batch(&values, levels, repeats).unwrap();
        }};
    }
    match column {
        ColumnWriter::BoolColumnWriter(w) => write!(w, |v| v.as_bool().unwrap()),
        ColumnWriter::Int32ColumnWriter(w) => write!(w, |v| v.as_i64().unwrap() as i32),
        ColumnWriter::Int64ColumnWriter(w) => write!(w, |v| v.as_i64().unwrap()),
        ColumnWriter::FloatColumnWriter(w) => write!(w, |v| v.as_f64().unwrap_or(f64::NAN) as f32),
        ColumnWriter::DoubleColumnWriter(w) => write!(w, |v| v.as_f64().unwrap_or(f64::NAN)),
        ColumnWriter::ByteArrayColumnWriter(w) => write!(w, |v| ByteArray::from(bytes(v))),
        ColumnWriter::FixedLenByteArrayColumnWriter(w) => {
            write!(w, |v| FixedLenByteArray::from(bytes(v)));
        }
        ColumnWriter::Int96ColumnWriter(w) => write!(w, |v| {
            let words: Vec<_> = numbers(v).collect();
            let mut value = Int96::new();
            value.set_data(words[0], words[1], words[2]);
            value
        }),
    }
}
