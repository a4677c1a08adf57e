#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::*;
use proptest::prelude::*;

/// All results of reading a file.
#[derive(Debug)]
struct File {
    rows: Vec<Row>,
    schema: Schema,
    format: String,
}

fn read_file(path: &Path, schema: Option<&Schema>) -> Result<File, DataError> {
    let mut reader = RowReader::open(path, 0..u64::MAX, schema)?;
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row()? {
        rows.push(row);
    }
    let file = reader.finish()?;
    assert_eq!(file.rows, rows.len() as u64);
    Ok(File {
        rows,
        schema: file.schema,
        format: file.format,
    })
}

fn read(bytes: impl AsRef<[u8]>) -> Result<File, DataError> {
    read_as(bytes, None)
}

fn read_as(bytes: impl AsRef<[u8]>, schema: Option<Schema>) -> Result<File, DataError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes.as_ref()).unwrap();
    read_file(file.path(), schema.as_ref())
}

fn read_mapped(bytes: impl AsRef<[u8]>, fields: &str) -> Result<File, DataError> {
    read_as(bytes, Some(Schema::Fields(fields.parse().unwrap())))
}

fn problems(result: Result<File, DataError>) -> (Vec<String>, usize) {
    match result {
        Err(DataError::Rows { shown, total, .. }) => {
            let shown = shown.iter().map(|(at, p)| format!("{at}: {p}")).collect();
            (shown, total)
        }
        other => panic!("expected problems in rows, got {other:?}"),
    }
}

fn row(instruction: &str, input: &str, response: &str, index: u64) -> Row {
    Row {
        content: Content::Single {
            instruction: instruction.into(),
            input: input.into(),
            response: response.into(),
        },
        index,
    }
}

#[test]
fn schemas_of_fields_are_recognised() {
    let file = read(r#"{"type":"x","query":"a","response":"b"}"#).unwrap();
    assert_eq!(
        file.schema.to_string(),
        "instruction=query,response=response"
    );
    assert_eq!(file.rows, [row("a", "", "b", 0)]);

    let file = read(
        "{\"instruction\":\"a\",\"output\":\"b\"}\n\
         {\"instruction\":\"c\",\"input\":\"d\",\"output\":\"e\"}\n\
         {\"instruction\":\"f\",\"input\":null,\"output\":\"g\"}",
    )
    .unwrap();
    assert_eq!(
        file.schema.to_string(),
        "instruction=instruction,input=input,response=output"
    );
    assert_eq!(
        file.rows,
        [
            row("a", "", "b", 0),
            row("c", "d", "e", 1),
            row("f", "", "g", 2)
        ]
    );

    let file = read(r#"[{"prompt":"a","completion":"b"}]"#).unwrap();
    assert_eq!(
        file.schema.to_string(),
        "instruction=prompt,response=completion"
    );
}

#[test]
fn layout_is_detected_from_first_character() {
    let array = b"\xEF\xBB\xBF\n\t [\n{\"prompt\":\"a\",\n\"completion\":\"b\"}\n]\n";
    assert_eq!(read(array).unwrap().format, "JSON array");
    let lines = "\r\n\n{\"prompt\":\"a\",\"completion\":\"b\"}\r\n\r\n\
                 {\"prompt\":\"c\",\"completion\":\"d\"}";
    let file = read(lines).unwrap();
    assert_eq!(file.format, "JSON Lines");
    assert_eq!(file.rows, [row("a", "", "b", 0), row("c", "", "d", 1)]);
}

#[test]
fn a_field_map_overrides_the_schemas() {
    let text = r#"{"query":"x","response":"y","question":"q","context":"c","answer":"a"}"#;
    let map = "instruction=question,input=context,response=answer";
    let file = read_mapped(text, map).unwrap();
    assert_eq!(file.rows, [row("q", "c", "a", 0)]);
    assert_eq!(file.schema.to_string(), map);
}

#[test]
fn input_field_missing_from_all_rows_is_rejected() {
    let text = r#"{"q":"x","a":"y"}"#;
    let error = read_mapped(text, "instruction=q,input=contxt,response=a").unwrap_err();
    assert!(error.to_string().contains("'contxt'"), "{error}");
}

#[test]
fn every_bad_line_is_named() {
    let mut text = Vec::from(&b"\n{\"query\":\"a\",\"response\":\"b\"}\n{\"query\": 1}\n[1]\n"[..]);
    text.extend(b"{\"query\":\n{\"query\":\"\xFF\"}\n{\"query\":\"a\",\"response\":[]}\nnull\n");
    let (shown, total) = problems(read(&text));
    assert_eq!(
        shown,
        [
            "line 3: field 'query' is a number, expected a string",
            "line 3: field 'response' is missing",
            "line 4: expected an object, found an array",
            "line 5: invalid JSON: EOF while parsing a value (column 9)",
            "line 6: invalid UTF-8 at byte 11 of the row",
            "line 7: field 'response' is an array, expected a string",
            "line 8: expected an object, found null",
        ]
    );
    assert_eq!(total, 7);
}

#[test]
fn bad_rows_are_counted_and_first_ten_listed() {
    let text =
        "{\"query\":\"a\",\"response\":\"b\"}\n".to_owned() + &"{\"query\":\"a\"}\n".repeat(25);
    let result = read(text);
    let message = result.as_ref().unwrap_err().to_string();
    assert!(message.contains("25 problem(s)"), "{message}");
    // One kind of problem takes one line.
    assert!(
        message.contains("in the rows: field 'response' is missing (line 2, line 3, "),
        "{message}"
    );
    assert!(message.contains(", and 15 more); correct"), "{message}");
    assert_eq!(message.lines().count(), 1);
    let fix = "--field-map instruction=FIELD,response=FIELD[,input=FIELD]";
    assert!(message.ends_with(fix), "{message}");
    let (shown, total) = problems(result);
    assert_eq!((shown.len(), total), (10, 25));
}

#[test]
fn first_bad_row_is_checked_against_later_schema() {
    let text = "{\"query\":\"a\"}\n{\"query\":\"a\",\"response\":\"b\"}\n";
    assert_eq!(
        problems(read(text)).0,
        ["line 1: field 'response' is missing"]
    );
}

#[test]
fn array_problems_name_row_and_line() {
    let text = "\n[{\"query\":\"a\",\"response\":\"b\"},\n 7,\n {\"query\":\"a\",\"response\":}]";
    assert_eq!(
        problems(read(text)).0,
        [
            "row 2: expected an object, found a number",
            "row 3: invalid JSON: expected value (line 4, column 26)"
        ]
    );
    let trailing = "[{\"query\":\"a\",\"response\":\"b\"}] {}";
    assert!(problems(read(trailing)).0[0].contains("text after the array"));
    let cut = "[{\"query\":\"a\",\"response\":\"b\"}";
    assert!(problems(read(cut)).0[0].contains("cut off"));
}

#[test]
fn unknown_fields_are_named_with_the_fix() {
    let text = "{\"q\":\"a\",\"a\":\"b\"}\n".repeat(1000);
    let message = read(&text).unwrap_err().to_string();
    assert!(message.contains("the fields q, a"), "{message}");
    assert!(message.contains("query/response"), "{message}");
    assert!(message.contains("instruction=FIELD"), "{message}");
    let array = "[{\"q\":\"a\",\"a\":\"b\"}]";
    let message = read(array).unwrap_err().to_string();
    assert!(message.contains("match no known schema"), "{message}");
    // If the file has other problems too, both kinds are listed.
    let (shown, _) = problems(read("{\"question\":\"a\"}\n7\n"));
    assert_eq!(shown.len(), 2);
}

#[test]
fn a_row_of_two_schemas_is_refused() {
    let text = r#"{"query":"a","response":"b","prompt":"c","completion":"d"}"#;
    for text in [text.to_owned(), format!("[{text}]")] {
        let message = read(text).unwrap_err().to_string();
        assert!(
            message.contains("query/response, prompt/completion"),
            "{message}"
        );
    }
}

#[test]
fn files_without_rows_are_errors() {
    for text in ["", " \n\r\n\t", "\u{FEFF}", "[]", " [ ] "] {
        let message = read(text).unwrap_err().to_string();
        assert!(message.contains("has no rows"), "{text:?}: {message}");
    }
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("absent.jsonl"), folder.path().into()] {
        let error = read_file(&path, None).unwrap_err();
        assert!(matches!(error, DataError::Io { .. }), "{error:?}");
        assert!(error.to_string().contains(&*path.to_string_lossy()));
    }
}

#[test]
fn slice_reads_only_its_rows() {
    let lines = |range: std::ops::Range<u64>| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        for row in 0..6 {
            writeln!(file, "{{\"query\":\"{row}\",\"response\":\"b\"}}").unwrap();
        }
        // This line is broken, and only one of the slices below includes it.
        writeln!(file, "{{").unwrap();
        let mut reader = RowReader::open(file.path(), range, None)?;
        let mut rows = Vec::new();
        while let Some(row) = reader.next_row()? {
            rows.push(row.index);
        }
        reader.finish().map(|_| rows)
    };
    assert_eq!(lines(0..2).unwrap(), [0, 1]);
    assert_eq!(lines(2..6).unwrap(), [2, 3, 4, 5]);
    assert!(matches!(lines(5..7), Err(DataError::Rows { total: 1, .. })));
    let message = lines(9..12).unwrap_err().to_string();
    for part in ["slice [9:12]", "7 rows"] {
        assert!(message.contains(part), "no {part} in: {message}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_rows_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(bytes);
    }

    #[test]
    fn written_rows_are_read_back(texts in prop::collection::vec((".*", ".*", ".*"), 1..20)) {
        let values: Vec<_> = texts
            .iter()
            .map(|(a, b, c)| serde_json::json!({"instruction": a, "input": b, "output": c}))
            .collect();
        let lines = values.iter().map(|v| format!("{v}\n")).collect::<String>();
        let array = serde_json::to_string_pretty(&values).unwrap();
        let expected: Vec<_> = (0..)
            .zip(&texts)
            .map(|(index, (a, b, c))| row(a, b, c, index))
            .collect();
        prop_assert_eq!(&read(lines).unwrap().rows, &expected);
        prop_assert_eq!(&read(array).unwrap().rows, &expected);
    }
}
