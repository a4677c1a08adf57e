//! Files written by pyarrow, through `tests/reference/data_fixtures.py`.

use super::*;

/// `NAME.EXT` and `NAME-HOW.EXT` must be read like `NAME.jsonl`, which is parsed without this module.
#[test]
fn fixtures_of_other_tools_give_equal_rows() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/data");
    let mut formats = std::collections::BTreeMap::<_, usize>::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let stem = name.split(['-', '.']).next().unwrap();
        let text = std::fs::read_to_string(path.with_file_name(format!("{stem}.jsonl"))).unwrap();
        let expected: Vec<Value> = text
            .lines()
            .map(|row| serde_json::from_str(row).unwrap())
            .collect();
        let rows = Rows::open(&path).unwrap();
        *formats.entry(rows.format().to_string()).or_default() += 1;
        let read: Vec<_> = rows
            .map(|item| Value::Object(item.unwrap().1.unwrap()))
            .collect();
        assert_eq!(read, expected, "{name}");
    }
    let formats: Vec<_> = formats
        .iter()
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    assert_eq!(
        formats,
        [
            "3 JSON Lines",
            "1 JSON Lines, gzip",
            "1 JSON Lines, zstd",
            "2 JSON array",
            "18 Parquet"
        ]
    );
}
