//! Rows of a table as JSON: as `arrow-json` writes them, but for what it has no text for.

use std::sync::Arc;

use ::parquet::errors::ParquetError;
use arrow_array::cast::AsArray;
use arrow_array::{Array, RecordBatch, make_array};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use arrow_json::writer::{LineDelimited, NullableEncoder, WriterBuilder};
use arrow_json::{Encoder, EncoderFactory, EncoderOptions};
use arrow_schema::{ArrowError, DataType, FieldRef, TimeUnit};
use serde_json::Value;

use super::super::unreadable::unreadable;

/// Returns the rows of `batch`, an object a line.
pub(super) fn lines(batch: &RecordBatch) -> Result<Vec<u8>, ParquetError> {
    let mut writer = WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_encoder_factory(Arc::new(Texts))
        .build::<_, LineDelimited>(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// Writes bytes, decimals, dates and times as text.
#[derive(Debug)]
struct Texts;

impl EncoderFactory for Texts {
    fn make_default_encoder<'a>(
        &self,
        field: &'a FieldRef,
        array: &'a dyn Array,
        _: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder + 'a> = match array.data_type() {
            DataType::Binary => {
                let array = array.as_binary::<i32>();
                Box::new(Text(move |at| utf8(array.value(at))))
            }
            DataType::FixedSizeBinary(_) => {
                let array = array.as_fixed_size_binary();
                let is_uuid = field.extension_type_name() == Some("arrow.uuid");
                let text = if is_uuid { uuid } else { utf8 };
                Box::new(Text(move |at| text(array.value(at))))
            }
            // `parquet` loses its months.
            DataType::Interval(_) => without_form("intervals"),
            DataType::Map(entries, _) if !has_text_keys(entries) => {
                without_form("maps whose keys are not text")
            }
            kind if kind.is_temporal() || kind.is_decimal() => {
                let kind = with_known_zone(kind);
                let array = array.to_data().into_builder().data_type(kind.clone());
                let array = make_array(array.build()?);
                let digits = fraction_digits(&kind);
                Box::new(Text(move |at| {
                    ArrayFormatter::try_new(&array, &FormatOptions::new())
                        .and_then(|shown| shown.value(at).try_to_string())
                        .map(|text| with_fraction(text, digits))
                        .map_err(|error| format!("holds what is no {kind}: {error}"))
                }))
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

/// Writes the text of a value, or what is wrong with it, said of its field.
struct Text<F>(F);

impl<F: Fn(usize) -> Result<String, String>> Encoder for Text<F> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        let value = (self.0)(at).map_or_else(unreadable, Value::String);
        // A vector takes whatever there is.
        let _ = serde_json::to_writer(out, &value);
    }
}

fn without_form(what: &'static str) -> Box<dyn Encoder> {
    Box::new(Text(move |_| {
        Err(format!("holds {what}, for which JSON has no form"))
    }))
}

fn has_text_keys(entries: &FieldRef) -> bool {
    matches!(entries.data_type(), DataType::Struct(pair) if *pair[0].data_type() == DataType::Utf8)
}

fn utf8(bytes: &[u8]) -> Result<String, String> {
    std::str::from_utf8(bytes)
        .map(str::to_owned)
        .map_err(|error| {
            let from = error.valid_up_to() + 1;
            format!("holds bytes that are not UTF-8, from byte {from} on")
        })
}

/// As RFC 9562 has it.
fn uuid(bytes: &[u8]) -> Result<String, String> {
    let number = <[u8; 16]>::try_from(bytes).map(u128::from_be_bytes);
    let hex = number.map_err(|_| "holds a UUID of another size".to_owned())?;
    let hex = format!("{hex:032x}");
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    Ok(parts.join("-"))
}

/// `arrow-cast` knows zones by their offsets alone, and Parquet's only zone is UTC.
fn with_known_zone(kind: &DataType) -> DataType {
    match kind {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
        other => other.clone(),
    }
}

/// Digits of a fraction of a second.
fn fraction_digits(kind: &DataType) -> usize {
    match kind {
        DataType::Time64(TimeUnit::Microsecond) | DataType::Timestamp(TimeUnit::Microsecond, _) => {
            6
        }
        DataType::Time64(_) | DataType::Timestamp(TimeUnit::Nanosecond, _) => 9,
        _ => 0,
    }
}

/// A time with all digits of its fraction, if it has one, as Python writes it.
fn with_fraction(mut text: String, digits: usize) -> String {
    if let Some(point) = text.find('.') {
        let fraction = &text[point + 1..];
        let there = fraction.bytes().take_while(u8::is_ascii_digit).count();
        let zeros = "0".repeat(digits.saturating_sub(there));
        text.insert_str(point + 1 + there, &zeros);
    }
    text
}
