//! A column's values as JSON.

use ::parquet::basic::{ConvertedType, LogicalType, TimeUnit};
use ::parquet::data_type::{ByteArray, FixedLenByteArray, Int96};
use ::parquet::schema::types::ColumnDescriptor;
use serde_json::{Number, Value};

use super::time::{Unit, date, time_of_day, timestamp};

/// Digits that a decimal may have behind its point; the format's largest have 76 in all.
const MAX_SCALE: i32 = 76;
/// Julian day of 1970-01-01.
const EPOCH_JULIAN_DAY: i64 = 2_440_588;
const SECONDS_A_DAY: i64 = 86_400;

/// What a column's values mean, beyond their physical type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// What they are: numbers, text.
    Plain,
    /// Integers without a sign.
    Unsigned,
    /// Days since 1970-01-01.
    Date,
    /// Since midnight.
    Time(Unit),
    /// Since 1970-01-01, in UTC if so.
    Timestamp(Unit, bool),
    /// So many digits behind the point.
    Decimal(i32),
    /// RFC 9562.
    Uuid,
    /// IEEE 754 binary16.
    Half,
    /// Months, days and milliseconds.
    Interval,
}

impl Kind {
    /// What the values of `column` mean.
    pub(super) fn of(column: &ColumnDescriptor) -> Self {
        use LogicalType as L;
        match column.logical_type_ref() {
            Some(L::Integer(integer)) if !integer.is_signed => Self::Unsigned,
            Some(L::Date) => Self::Date,
            Some(L::Time(time)) => Self::Time(unit(time.unit)),
            Some(L::Timestamp(time)) => Self::Timestamp(unit(time.unit), time.is_adjusted_to_u_t_c),
            Some(L::Decimal(decimal)) => Self::Decimal(decimal.scale),
            Some(L::Uuid) => Self::Uuid,
            Some(L::Float16) => Self::Half,
            Some(_) => Self::Plain,
            None => Self::by_older_type(column),
        }
    }

    fn by_older_type(column: &ColumnDescriptor) -> Self {
        use ConvertedType as C;
        match column.converted_type() {
            C::UINT_8 | C::UINT_16 | C::UINT_32 | C::UINT_64 => Self::Unsigned,
            C::DATE => Self::Date,
            C::TIME_MILLIS => Self::Time(Unit::Milli),
            C::TIME_MICROS => Self::Time(Unit::Micro),
            C::TIMESTAMP_MILLIS => Self::Timestamp(Unit::Milli, true),
            C::TIMESTAMP_MICROS => Self::Timestamp(Unit::Micro, true),
            C::DECIMAL => Self::Decimal(column.type_scale()),
            C::INTERVAL => Self::Interval,
            _ => Self::Plain,
        }
    }
}

fn unit(unit: TimeUnit) -> Unit {
    match unit {
        TimeUnit::MILLIS => Unit::Milli,
        TimeUnit::MICROS => Unit::Micro,
        TimeUnit::NANOS => Unit::Nano,
    }
}

/// A value of a physical type.
pub(super) trait Scalar {
    /// As JSON, or what is wrong with it, said of its column.
    fn json(&self, kind: &Kind) -> Result<Value, String>;

    /// What it takes.
    fn bytes(&self) -> usize {
        size_of_val(self)
    }
}

impl Scalar for bool {
    fn json(&self, _: &Kind) -> Result<Value, String> {
        Ok(Value::Bool(*self))
    }
}

impl Scalar for i32 {
    fn json(&self, kind: &Kind) -> Result<Value, String> {
        match kind {
            Kind::Unsigned => Ok(self.cast_unsigned().into()),
            Kind::Date => Ok(date(i64::from(*self)).into()),
            _ => i64::from(*self).json(kind),
        }
    }
}

impl Scalar for i64 {
    fn json(&self, kind: &Kind) -> Result<Value, String> {
        match *kind {
            Kind::Unsigned => Ok(self.cast_unsigned().into()),
            Kind::Time(unit) => time_of_day(*self, unit)
                .map(Value::String)
                .ok_or_else(|| format!("holds {self}, which is no time of a day")),
            Kind::Timestamp(unit, utc) => {
                let (seconds, nanos) = unit.split(*self);
                Ok(timestamp(seconds, nanos, unit, utc).into())
            }
            Kind::Decimal(scale) => decimal(i128::from(*self), scale),
            _ => Ok((*self).into()),
        }
    }
}

impl Scalar for Int96 {
    /// A timestamp in nanoseconds of a Julian day, as older writers have them.
    fn json(&self, _: &Kind) -> Result<Value, String> {
        let [low, high, day] = *self.data() else {
            return Err("holds a timestamp of another size".to_owned());
        };
        let (seconds, nanos) = Unit::Nano.split(i64::from(high) << 32 | i64::from(low));
        let days = i64::from(day) - EPOCH_JULIAN_DAY;
        Ok(timestamp(days * SECONDS_A_DAY + seconds, nanos, Unit::Nano, false).into())
    }
}

impl Scalar for f32 {
    fn json(&self, kind: &Kind) -> Result<Value, String> {
        f64::from(*self).json(kind)
    }
}

impl Scalar for f64 {
    fn json(&self, _: &Kind) -> Result<Value, String> {
        Ok(Number::from_f64(*self).map_or(Value::Null, Value::Number))
    }
}

impl Scalar for ByteArray {
    fn json(&self, kind: &Kind) -> Result<Value, String> {
        bytes_json(self.data(), kind)
    }

    fn bytes(&self) -> usize {
        self.len()
    }
}

impl Scalar for FixedLenByteArray {
    fn json(&self, kind: &Kind) -> Result<Value, String> {
        bytes_json(self.data(), kind)
    }

    fn bytes(&self) -> usize {
        self.len()
    }
}

fn bytes_json(bytes: &[u8], kind: &Kind) -> Result<Value, String> {
    match (kind, bytes) {
        (Kind::Decimal(scale), _) => decimal(big_endian(bytes)?, *scale),
        (Kind::Uuid, bytes) if bytes.len() == 16 => Ok(uuid(bytes).into()),
        (Kind::Half, &[low, high]) => half(u16::from_le_bytes([low, high])).json(kind),
        (Kind::Interval, _) => Err("holds intervals, for which JSON has no form".to_owned()),
        _ => std::str::from_utf8(bytes)
            .map(Value::from)
            .map_err(|error| {
                let from = error.valid_up_to() + 1;
                format!("holds bytes that are not UTF-8, from byte {from} on")
            }),
    }
}

/// A signed integer of any length, as far as 128 bits hold it.
fn big_endian(bytes: &[u8]) -> Result<i128, String> {
    let negative = bytes.first().is_some_and(|&first| first >= 0x80);
    let fill = if negative { 0xFF } else { 0 };
    let mut whole = [fill; 16];
    let spare = bytes.len().saturating_sub(whole.len());
    let (front, back) = bytes.split_at(spare);
    let start = whole.len() - back.len();
    whole[start..].copy_from_slice(back);
    let number = i128::from_be_bytes(whole);
    if front.iter().any(|&byte| byte != fill) || (number < 0) != negative {
        return Err("holds a decimal of more than 38 digits".to_owned());
    }
    Ok(number)
}

fn decimal(number: i128, scale: i32) -> Result<Value, String> {
    if !(0..=MAX_SCALE).contains(&scale) {
        return Err(format!(
            "holds decimals with {scale} digits behind the point"
        ));
    }
    let scale = scale.unsigned_abs() as usize;
    let digits = format!("{:0width$}", number.unsigned_abs(), width = scale + 1);
    let (whole, fraction) = digits.split_at(digits.len() - scale);
    let sign = if number < 0 { "-" } else { "" };
    let point = if scale > 0 { "." } else { "" };
    Ok(format!("{sign}{whole}{point}{fraction}").into())
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(36);
    for (at, byte) in bytes.iter().enumerate() {
        if [4, 6, 8, 10].contains(&at) {
            text.push('-');
        }
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// IEEE 754 binary16, of which every number is an f64.
fn half(bits: u16) -> f64 {
    let fraction = f64::from(bits & 0x3FF);
    let magnitude = match (bits >> 10) & 0x1F {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        exponent => (1024.0 + fraction) * 2f64.powi(i32::from(exponent) - 25),
    };
    if bits >> 15 == 1 {
        -magnitude
    } else {
        magnitude
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_their_digits() {
        let text = |number, scale| decimal(number, scale).unwrap();
        assert_eq!(text(12345, 2), "123.45");
        assert_eq!(text(-5, 3), "-0.005");
        assert_eq!(text(0, 0), "0");
        assert_eq!(text(7, 0), "7");
        assert_eq!(
            text(i128::MIN, 1),
            "-17014118346046923173168730371588410572.8"
        );
        assert!(decimal(1, 2_000_000_000).is_err());
        assert!(decimal(1, -1).is_err());
    }

    #[test]
    fn decimals_in_bytes_have_a_sign() {
        assert_eq!(big_endian(&[]), Ok(0));
        assert_eq!(big_endian(&[0xFF]), Ok(-1));
        assert_eq!(big_endian(&[0x01, 0x00]), Ok(256));
        assert_eq!(
            big_endian(&[[0xFF; 31].as_slice(), &[0x85]].concat()),
            Ok(-123)
        );
        assert_eq!(big_endian(&[[0; 30].as_slice(), &[1, 1]].concat()), Ok(257));
        assert!(big_endian(&[[1].as_slice(), &[0; 16]].concat()).is_err());
        assert!(big_endian(&[[0].as_slice(), &[0x80], &[0; 15]].concat()).is_err());
    }

    #[test]
    fn bytes_mean_what_their_column_says() {
        let ok = |bytes: &[u8], kind| bytes_json(bytes, &kind).unwrap();
        assert_eq!(ok("é".as_bytes(), Kind::Plain), "é");
        let error = bytes_json(b"ab\xFF", &Kind::Plain).unwrap_err();
        assert!(error.contains("byte 3"), "{error}");
        let bytes: Vec<u8> = (0..16).collect();
        assert_eq!(
            ok(&bytes, Kind::Uuid),
            "00010203-0405-0607-0809-0a0b0c0d0e0f"
        );
        assert!(bytes_json(&[0; 12], &Kind::Interval).is_err());
    }

    #[test]
    fn halves_are_their_values() {
        let cases = [
            (0x3C00, 1.0),
            (0xC000, -2.0),
            (0x7BFF, 65504.0),
            (0x0001, 2f64.powi(-24)),
        ];
        for (bits, value) in cases {
            assert_eq!(half(bits), value);
        }
        assert!(half(0x7E00).is_nan());
        assert_eq!(half(0xFC00), f64::NEG_INFINITY);
        assert_eq!(half(0xFC00).json(&Kind::Plain), Ok(Value::Null));
    }

    #[test]
    fn integers_have_the_sign_they_are_said_to_have() {
        assert_eq!((-1i32).json(&Kind::Unsigned), Ok(u32::MAX.into()));
        assert_eq!((-1i64).json(&Kind::Unsigned), Ok(u64::MAX.into()));
        assert_eq!((-1i64).json(&Kind::Plain), Ok((-1).into()));
    }
}
