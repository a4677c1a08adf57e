//! Table rows as JSON, written by `arrow-json`. This module adds the types that it cannot write.

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

/// Returns the rows of `batch`, one object per line.
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
            DataType::FixedSizeBinary(size) => {
                let array = array.as_fixed_size_binary();
                let is_uuid = *size == 16 && field.extension_type_name() == Some("arrow.uuid");
                let text = if is_uuid { uuid } else { utf8 };
                Box::new(Text(move |at| text(array.value(at))))
            }
            // `parquet` loses the months of an interval.
            DataType::Interval(_) => without_form("intervals"),
            DataType::Map(entries, _) if !has_text_keys(entries) => {
                without_form("maps with keys other than text")
            }
            kind if kind.is_temporal() || kind.is_decimal() => {
                let kind = with_known_zone(kind);
                let array = array.to_data().into_builder().data_type(kind.clone());
                let array = make_array(array.build()?);
                Box::new(Text(move |at| {
                    ArrayFormatter::try_new(&array, &FormatOptions::new())
                        .and_then(|shown| shown.value(at).try_to_string())
                        .map(|text| with_fraction(text, &kind))
                        .map_err(|error| format!("has a value that is not a {kind}: {error}"))
                }))
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.nulls().cloned())))
    }
}

/// Writes a value's text, or a message about its field.
struct Text<F>(F);

impl<F: Fn(usize) -> Result<String, String>> Encoder for Text<F> {
    fn encode(&mut self, at: usize, out: &mut Vec<u8>) {
        let value = (self.0)(at).map_or_else(unreadable, Value::String);
        // Writing to a vector never fails.
        let _ = serde_json::to_writer(out, &value);
    }
}

fn without_form(what: &'static str) -> Box<dyn Encoder> {
    Box::new(Text(move |_| {
        Err(format!("has {what}, which JSON cannot represent"))
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
            format!("has bytes that are not UTF-8, from byte {from}")
        })
}

/// Formats sixteen bytes as a UUID (RFC 9562).
fn uuid(bytes: &[u8]) -> Result<String, String> {
    let mut hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    for at in [20, 16, 12, 8] {
        hex.insert(at, '-');
    }
    Ok(hex)
}

/// Replaces the time zone: `arrow-cast` knows only offsets, and Parquet's only zone is UTC.
fn with_known_zone(kind: &DataType) -> DataType {
    match kind {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, Some("+00:00".into())),
        other => other.clone(),
    }
}

/// Pads the fraction of a time to all digits, if it has one, as Python does.
fn with_fraction(text: String, kind: &DataType) -> String {
    use DataType::{Time64, Timestamp};
    let digits = match kind {
        Time64(TimeUnit::Microsecond) | Timestamp(TimeUnit::Microsecond, _) => 6,
        Time64(_) | Timestamp(TimeUnit::Nanosecond, _) => 9,
        _ => return text,
    };
    let Some((seconds, fraction)) = text.split_once('.') else {
        return text;
    };
    let zone = if fraction.ends_with('Z') { "Z" } else { "" };
    let fraction = fraction.trim_end_matches('Z');
    format!("{seconds}.{fraction:0<digits$}{zone}")
}
