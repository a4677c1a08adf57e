//! Invalid rows and rows that are too long.

use super::super::super::lines::Lines;
use super::super::super::why_unreadable;
use super::*;

#[test]
fn bad_lines_are_reported_and_skipped() {
    let mut bytes = Vec::from(&b"\n{\"a\":1}\n[1]\n\n{\"a\":\n"[..]);
    bytes.extend(
        b"{\"a\":\"\xFF\"}\nnull\n{\"a\":Nan}\n{'a':1}\n\"\\ud800\"\n{\"a\":2} x\n{\"a\":3}",
    );
    assert_eq!(
        listed(&bytes),
        [
            "line 2: {\"a\":1}",
            "line 3: expected an object, found an array",
            "line 5: invalid JSON: EOF while parsing a value (column 5)",
            "line 6: invalid UTF-8 at byte 7 of the row",
            "line 7: expected an object, found null",
            "line 8: invalid JSON: expected value (column 6)",
            "line 9: invalid JSON: key must be a string (column 2)",
            "line 10: invalid JSON: unexpected end of hex escape (column 8)",
            "line 11: invalid JSON: trailing characters (column 9)",
            "line 12: {\"a\":3}",
        ]
    );
}

/// Python writes such values, here in a field that may not be needed.
#[test]
fn nan_in_a_field_keeps_row_readable() {
    let rows = values("{\"a\":\"b\",\"score\":NaN}\n{\"a\":\"NaN\",\"score\":-Infinity}");
    assert_eq!((&rows[0]["a"], &rows[1]["a"]), (&json!("b"), &json!("NaN")));
    assert_eq!(why_unreadable(&rows[0]["score"]), Some("has the value NaN"));
    assert_eq!(
        why_unreadable(&rows[1]["score"]),
        Some("has the value -Infinity")
    );
}

#[test]
fn csv_file_is_recognised_in_error() {
    for text in ["question,answer\n1+1,2\n", "\u{feff}a\tb\n1\t2", "a;b\n"] {
        let message = open(text).unwrap_err().to_string();
        assert!(message.contains("looks like CSV"), "{message}");
        assert!(message.contains("JSON Lines"), "{message}");
    }
    // Now it is an ordinary broken row.
    assert!(open("{\"a\":1,}\n").is_ok());
    assert!(open("words\n").is_ok());
}

#[test]
fn bad_array_elements_are_reported_and_skipped() {
    let comma = "an element is missing: there is an extra comma";
    let (fourth, ninth) = (format!("row 4: {comma}"), format!("row 9: {comma}"));
    let mut bytes = Vec::from(&b"\n[{\"a\":1},\n 7,\n {\"a\":},,\n"[..]);
    bytes.extend(
        b"  {\"a\":\n   \"\xFF\"}, {\"a\":\"],\n\"b\":2}, {\"a\":\n  nul},{\"a\":3}\n , ]\n",
    );
    let expected = [
        "row 1: {\"a\":1}",
        "row 2: expected an object, found a number",
        "row 3: invalid JSON: expected value (line 4, column 7)",
        fourth.as_str(),
        "row 5: invalid UTF-8 at byte 11 of the row",
        "row 6: invalid JSON: control character (\\u0000-\\u001F) found while parsing a string \
         (line 7, column 1)",
        "row 7: invalid JSON: expected ident (line 8, column 6)",
        "row 8: {\"a\":3}",
        ninth.as_str(),
    ];
    let found = listed(&bytes);
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "no {expected} in: {found}");
    }
}

#[test]
fn missing_brace_ends_array_with_its_line() {
    let text = "[{\"a\":1},\n{\"a\":2,\n{\"a\":3},\n{\"a\":4}]";
    let found = listed(text);
    assert_eq!(
        found[..2],
        [
            "row 1: {\"a\":1}",
            "row 2: invalid JSON: key must be a string (line 3, column 1)",
        ]
    );
    assert_eq!(found.len(), 3, "{found:?}");
    assert!(
        found[2].starts_with("row 3: the file ends inside its array"),
        "{found:?}"
    );
}

#[test]
fn array_must_close_and_end_the_file() {
    for (text, rows) in [
        (r#"[{"a":1}"#, 1),
        (r#"[{"a":1},"#, 1),
        (r#"[{"a":1}, {"a":2"#, 1),
        (r#"[{"a":1}, {"a":2}  "#, 2),
        ("[", 0),
        ("[  ", 0),
    ] {
        let found = listed(text);
        assert_eq!(found.len(), rows + 1, "{found:?}");
        let last = found.last().unwrap();
        let expected = format!("row {}: the file ends inside its array", rows + 1);
        assert!(last.starts_with(&expected), "{text}: {last}");
    }
    for text in [
        r#"[{"a":1}] {}"#,
        r#"[{"a":1}][{"a":2}]"#,
        "[{\"a\":1}]\n\n]",
    ] {
        let found = listed(text);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(
            found[1].starts_with("row 2: there is text after the array"),
            "{found:?}"
        );
    }
    assert_eq!(listed("[{\"a\":1}]\n \t\r\n").len(), 1);
}

#[test]
fn too_deep_json_fails_only_its_row() {
    let deep = "{\"a\":".repeat(100_000) + "1" + &"}".repeat(100_000);
    for text in [
        format!("{{\"a\":1}}\n{deep}\n{{\"a\":2}}"),
        format!("[{{\"a\":1}},{deep},{{\"a\":2}}]"),
    ] {
        let found = listed(text);
        assert_eq!(found.len(), 3);
        assert!(
            found[1].contains("recursion limit exceeded"),
            "{}",
            found[1]
        );
        assert!(found[2].ends_with("{\"a\":2}"));
    }
}

#[test]
fn row_longer_than_limit_is_rejected() {
    let row = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    let limit = 1000;
    for wrap in [
        |rows: [String; 3]| rows.join("\n"),
        |rows: [String; 3]| format!("[  {}]", rows.join(", ")),
    ] {
        let bytes = wrap([row(limit), row(limit + 2), row(20)]);
        let file = file(bytes);
        let rows = Rows::open_with_limit(file.path(), limit).unwrap();
        let rows: Vec<_> = rows.map(|item| item.unwrap().1).collect();
        assert!(rows[0].is_ok());
        assert_eq!(rows[1], Err(RowProblem::too_long(limit)));
        assert!(rows[2].is_ok());
    }
    let message = RowProblem::too_long(MAX_ROW_BYTES).to_string();
    assert!(message.contains("4 MiB"), "{message}");
}

#[test]
fn a_line_of_a_hundred_megabytes_is_skipped() {
    for (start, between, end) in [("", "\n", ""), ("[", ",", "]")] {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        write!(file, "{start}{{\"a\":1}}{between}{{\"a\":\"").unwrap();
        let piece = [b'x'; 1 << 20];
        for _ in 0..100 {
            file.write_all(&piece).unwrap();
        }
        write!(file, "\"}}{between}{{\"a\":2}}{end}").unwrap();
        let rows = Rows::open(file.path()).unwrap();
        let rows: Vec<_> = rows.map(|item| item.unwrap().1).collect();
        assert_eq!(rows.len(), 3);
        let limit = MAX_ROW_BYTES;
        assert_eq!(rows[1], Err(RowProblem::too_long(limit)));
        assert_eq!(rows[2].as_ref().unwrap()["a"], 2);
    }
}

/// Repeats `row` endlessly, counts the requested bytes, and fails after `bytes`.
struct Endless {
    row: &'static [u8],
    given: std::rc::Rc<std::cell::Cell<usize>>,
    bytes: usize,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let given = self.given.get();
        if given >= self.bytes {
            return Err(io::Error::other("the test is over"));
        }
        for (at, byte) in buffer.iter_mut().enumerate() {
            *byte = self.row[(given + at) % self.row.len()];
        }
        self.given.set(given + buffer.len());
        Ok(buffer.len())
    }
}

fn endless(
    row: &'static [u8],
    bytes: usize,
) -> (BufReader<Endless>, std::rc::Rc<std::cell::Cell<usize>>) {
    let given = std::rc::Rc::default();
    let endless = Endless {
        row,
        given: std::rc::Rc::clone(&given),
        bytes,
    };
    (BufReader::with_capacity(BUFFER, endless), given)
}

#[test]
fn reader_reads_at_most_a_buffer_ahead() {
    let (input, given) = endless(b"{\"a\":1}\n", 50 << 20);
    let mut lines = Lines::new(input, 0, MAX_ROW_BYTES);
    let (input, given_to_array) = endless(b"{\"a\":1},", 50 << 20);
    let mut array = Array::new(input, 1, 1, MAX_ROW_BYTES);
    for row in 1..=100_000 {
        assert!(lines.next_row().unwrap().unwrap().1.is_ok());
        assert!(given.get() <= row * 8 + BUFFER);
        assert!(array.next_row().unwrap().unwrap().1.is_ok());
        assert!(given_to_array.get() <= row * 8 + BUFFER);
    }
}

#[test]
fn skipped_rows_use_bounded_memory() {
    let limit = 1 << 20;
    // Both fail 100 MiB into a row, which shows how much is held in memory.
    let (input, given) = endless(b"x", 100 << 20);
    let mut lines = Lines::new(input, 0, limit);
    assert!(lines.next_row().is_err());
    assert!(lines.held() <= 2 * limit, "{}", lines.held());
    assert!(given.get() >= 100 << 20);
    let (input, _) = endless(b"[", 100 << 20);
    let mut array = Array::new(input, 1, 1, limit);
    assert!(array.next_row().is_err());
    assert!(array.held() <= 2 * limit, "{}", array.held());
}
