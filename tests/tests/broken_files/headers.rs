//! Safetensors headers that every reader must refuse.

/// Returns a file of a header and data.
pub(crate) fn safetensors(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

pub(crate) fn deep(levels: usize) -> String {
    "[".repeat(levels) + &"]".repeat(levels)
}

/// Returns the header of a file of one tensor.
pub(crate) fn tensor(dtype: &str, shape: &str, offsets: &str) -> String {
    format!(r#"{{"a.bone":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
}

/// Returns headers that every reader must refuse.
pub(crate) fn headers() -> Vec<(String, Vec<u8>)> {
    let entry = r#"{"dtype":"F32","shape":[1],"data_offsets":[0,4]}"#;
    let other = r#"{"dtype":"F32","shape":[1],"data_offsets":[2,6]}"#;
    let mut cases: Vec<(String, Vec<u8>)> = [
        ("no object", "[]".into(), 0),
        ("text", "\"a\"".into(), 0),
        ("nothing", String::new(), 0),
        ("cut JSON", r#"{"a.bone":{"dtype":"F32""#.into(), 4),
        ("deep JSON", deep(100_000), 0),
        (
            "a deep tensor",
            format!(r#"{{"a.bone":{}}}"#, deep(100_000)),
            4,
        ),
        ("a number for a tensor", r#"{"a.bone":1}"#.into(), 4),
        (
            "no shape",
            r#"{"a.bone":{"dtype":"F32","data_offsets":[0,4]}}"#.into(),
            4,
        ),
        ("an unknown type", tensor("F33", "[1]", "[0,4]"), 4),
        (
            "no type",
            r#"{"a.bone":{"shape":[1],"data_offsets":[0,4]}}"#.into(),
            4,
        ),
        ("a negative size", tensor("F32", "[-1]", "[0,4]"), 4),
        ("half a size", tensor("F32", "[0.5]", "[0,4]"), 4),
        (
            "a size beyond all",
            tensor("F32", "[18446744073709551616]", "[0,4]"),
            4,
        ),
        (
            "a product beyond all",
            tensor("F32", "[4294967296,4294967296,4]", "[0,4]"),
            4,
        ),
        (
            "a product beyond all behind a zero",
            tensor("F32", "[0,9223372036854775807,4]", "[0,4]"),
            4,
        ),
        ("too few bytes", tensor("F32", "[2]", "[0,4]"), 4),
        ("too many bytes", tensor("F16", "[1]", "[0,4]"), 4),
        ("offsets the wrong way", tensor("F32", "[1]", "[4,0]"), 4),
        ("offsets past the end", tensor("F32", "[1]", "[4,8]"), 4),
        (
            "offsets past all",
            tensor("F32", "[1]", "[18446744073709551612,18446744073709551615]"),
            4,
        ),
        ("one offset", tensor("F32", "[1]", "[0]"), 4),
        ("a hole before", tensor("F32", "[1]", "[4,8]"), 8),
        ("bytes after the last", tensor("F32", "[1]", "[0,4]"), 12),
        (
            "one name twice",
            format!(r#"{{"a.bone":{entry},"a.bone":{entry}}}"#),
            4,
        ),
        (
            "two tensors overlap",
            format!(r#"{{"a.bone":{entry},"b.bone":{other}}}"#),
            6,
        ),
        (
            "two tensors in one place",
            format!(r#"{{"a.bone":{entry},"b.bone":{entry}}}"#),
            4,
        ),
        (
            "metadata of numbers",
            format!(r#"{{"__metadata__":{{"a":1}},"a.bone":{entry}}}"#),
            4,
        ),
    ]
    .into_iter()
    .map(|(what, header, data): (&str, String, usize)| (what.into(), safetensors(&header, data)))
    .collect();
    for len in [0, 1, 7, 8] {
        cases.push((format!("{len} bytes of nothing"), vec![0; len]));
    }
    for claimed in [100_000_001u64, u64::MAX, 1 << 40] {
        let mut bytes = claimed.to_le_bytes().to_vec();
        bytes.extend([b'{'; 100]);
        cases.push((format!("a header of {claimed} bytes"), bytes));
    }
    cases
}
