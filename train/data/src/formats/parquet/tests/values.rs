//! Types, and values that JSON cannot express.

use super::super::super::{MAX_ROW_BYTES, why_unreadable};
use super::*;

/// Returns the values of one column of this type after reading.
fn column(declared: &str, values: &[Value]) -> Vec<Result<Value, String>> {
    let schema = format!("message m {{ {declared} }}");
    let written: Vec<_> = values.iter().map(|value| json!({"a": value})).collect();
    read(&table(&schema, plain().build(), &[written]))
        .unwrap()
        .into_iter()
        .map(|row| row.map(|row| row["a"].clone()))
        .collect()
}

fn read_valid_values(declared: &str, values: &[Value]) -> Vec<Value> {
    let read = column(declared, values);
    read.into_iter().map(Result::unwrap).collect()
}

#[test]
fn parquet_numbers_become_json_numbers() {
    let same =
        |declared: &str, values: &[Value]| assert_eq!(read_valid_values(declared, values), values);
    same("required boolean a;", &[json!(true), json!(false)]);
    same(
        "optional int32 a;",
        &[json!(1), Value::Null, json!(i32::MIN)],
    );
    same("required int32 a (INTEGER(8, true));", &[json!(-128)]);
    same(
        "required int64 a (INTEGER(64, true));",
        &[json!(i64::MIN), json!(i64::MAX)],
    );
    same("required float a;", &[json!(0.5), json!(-1e10), json!(0.1)]);
    same("required double a;", &[json!(0.1), json!(1e300)]);
    assert_eq!(
        read_valid_values("required int32 a (INTEGER(32, false));", &[json!(-1)]),
        [json!(u32::MAX)]
    );
    assert_eq!(
        read_valid_values("required int64 a (UINT_64);", &[json!(-1)]),
        [json!(u64::MAX)]
    );
    // The writer of the tests stores NaN for a null here.
    for declared in ["required float a;", "required double a;"] {
        assert_eq!(
            read_valid_values(declared, &[Value::Null, json!(1.0)]),
            [Value::Null, json!(1.0)]
        );
    }
    assert_eq!(
        read_valid_values(
            "required fixed_len_byte_array(2) a (FLOAT16);",
            &[json!([0x00, 0xC0])]
        ),
        [json!(-2.0)]
    );
}

#[test]
fn text_and_binary_are_strings() {
    for declared in [
        "optional binary a (STRING);",
        "optional binary a (UTF8);",
        "optional binary a (ENUM);",
        "optional binary a (JSON);",
        "optional binary a;",
    ] {
        let values = [json!("é {}"), Value::Null, json!("")];
        assert_eq!(read_valid_values(declared, &values), values);
    }
    assert_eq!(
        read_valid_values("required fixed_len_byte_array(3) a;", &[json!("abc")]),
        [json!("abc")]
    );
    let sixteen: Value = (0..16).collect();
    assert_eq!(
        read_valid_values("required fixed_len_byte_array(16) a (UUID);", &[sixteen]),
        [json!("00010203-0405-0607-0809-0a0b0c0d0e0f")]
    );
}

#[test]
fn parquet_dates_and_decimals_become_strings() {
    let second = 1_709_208_001_i64;
    for (declared, value, expected) in [
        ("int32 a (DATE);", json!(19_782), "2024-02-29"),
        (
            "int32 a (TIME(MILLIS, true));",
            json!(43_201_500),
            "12:00:01.500",
        ),
        (
            "int64 a (TIME(NANOS, false));",
            json!(1),
            "00:00:00.000000001",
        ),
        (
            "int64 a (TIMESTAMP(MILLIS, true));",
            json!(second * 1000),
            "2024-02-29T12:00:01Z",
        ),
        (
            "int64 a (TIMESTAMP(MICROS, false));",
            json!(second * 1_000_000 + 5),
            "2024-02-29T12:00:01.000005",
        ),
        (
            "int64 a (TIMESTAMP_MILLIS);",
            json!(-1),
            "1969-12-31T23:59:59.999Z",
        ),
        ("int96 a;", json!([0, 0, 2_440_588]), "1970-01-01T00:00:00"),
        ("int32 a (DECIMAL(9, 2));", json!(-12345), "-123.45"),
        ("int64 a (DECIMAL(18, 0));", json!(7), "7"),
        ("binary a (DECIMAL(20, 3));", json!([0xFF, 0x85]), "-0.123"),
        (
            "fixed_len_byte_array(3) a (DECIMAL(6, 1));",
            json!([0, 1, 1]),
            "25.7",
        ),
    ] {
        let declared = format!("required {declared}");
        assert_eq!(
            read_valid_values(&declared, &[value]),
            [json!(expected)],
            "{declared}"
        );
    }
}

#[test]
fn unconvertible_values_carry_a_reason() {
    let read = read_valid_values(
        "optional binary a;",
        &[json!("b"), json!([0x62, 0xFF]), json!("c")],
    );
    assert_eq!((&read[0], &read[2]), (&json!("b"), &json!("c")));
    let what = why_unreadable(&read[1]).unwrap();
    assert!(what.contains("UTF-8, from byte 2"), "{what}");
    for (declared, value, what) in [
        (
            "required fixed_len_byte_array(12) a (INTERVAL);",
            (0..12).collect(),
            "intervals",
        ),
        ("required int32 a (TIME_MILLIS);", json!(-1), "not a Time32"),
    ] {
        let read = read_valid_values(declared, &[value]);
        assert!(why_unreadable(&read[0]).unwrap().contains(what));
    }
}

/// The keys of a map become field names.
#[test]
fn maps_with_non_text_keys_carry_a_reason() {
    let map = "required group a (MAP) { repeated group key_value { required int64 key; optional int64 value; } }";
    let bytes = table(
        &format!("message m {{ required int64 n; {map} }}"),
        plain().build(),
        &[vec![json!({"n": 1, "a": {}})]],
    );
    let found = rows(&bytes);
    assert_eq!(found[0]["n"], 1);
    let what = why_unreadable(&found[0]["a"]).unwrap();
    assert!(what.contains("keys other than text"), "{what}");
}

#[test]
fn invalid_utf8_text_is_damaged() {
    let error = |declared: &str| {
        let schema = format!("message m {{ required binary a {declared}; }}");
        let written = [json!({"a": "b"}), json!({"a": [0xFF]})];
        read(&table(&schema, plain().build(), &[&written])).unwrap_err()
    };
    for declared in ["(STRING)", "(UTF8)"] {
        let error = error(declared);
        assert!(matches!(error, DataError::Damaged { .. }), "{error}");
        assert!(error.to_string().contains("UTF-8"), "{error}");
    }
}

/// Hubs store pictures beside questions like this.
#[test]
fn image_bytes_do_not_affect_other_fields() {
    let schema = "message m { required binary q (UTF8); optional group image {
        optional binary bytes; optional binary path (UTF8); } }";
    let picture = vec![0xFF; MAX_ROW_BYTES + 1];
    let written = [json!({"q": "x", "image": {"bytes": picture, "path": "p"}})];
    let found = rows(&table(schema, plain().build(), &[&written]));
    assert_eq!(found[0]["q"], "x");
    assert_eq!(found[0]["image"]["path"], "p");
    assert!(why_unreadable(&found[0]["image"]["bytes"]).is_some());
}

#[test]
fn unreadable_list_value_keeps_other_elements() {
    let schema = "message m { required int64 n;
        optional group a (LIST) { repeated group list { optional group element { optional binary b; } } } }";
    let written = vec![
        json!({"n": 1, "a": [{"b": "x"}, {"b": [0xFF]}, {"b": [0xFE]}]}),
        json!({"n": 2, "a": [{"b": "y"}]}),
    ];
    let found = rows(&table(schema, plain().build(), &[&written]));
    assert_eq!(found[0]["a"][0]["b"], "x");
    assert!(why_unreadable(&found[0]["a"][2]["b"]).is_some());
    assert_eq!(found[1], written[1]);
}
