//! docs/settings.md is generated from the table of settings. `UPDATE_DOCS=1` writes it.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

use bone_train::config::{Row, SETTINGS};
use std::fmt::Write;
use std::path::Path;

const HEAD: &str = "# Settings

Every setting of `bone train`. Each is a key of a TOML file and a flag. `bone train -h` lists the most used
ones, `bone train --help` all of them. Flags win over `--set KEY=VALUE`, which wins over the file. bone does not
accept the names of other tools; an error suggests its own name for them.

This page is generated from the table of settings (`train/core/src/config/settings.rs`).
";

fn entry(row: &Row) -> String {
    let (line, more) = row.help();
    let mut text = format!("\n### {}\n\n", row.name);
    let flag = format!("--{} {}", row.flag(), row.value_name);
    let _ = write!(
        text,
        "`{}`",
        flag.replace(" [", "[=").replace("BOOL]", "<BOOL>]")
    );
    if !row.aliases.is_empty() {
        let _ = write!(text, " (in other tools: `{}`)", row.aliases.join("`, `"));
    }
    let _ = write!(text, "\n\n{}\n", escaped(&line));
    if let Some(more) = more {
        let _ = write!(text, "\n{}\n", escaped(&more));
    }
    text
}

/// Writes characters that Markdown interprets so that it shows them, except within code.
fn escaped(text: &str) -> String {
    let mut code = false;
    let mut escaped = String::new();
    for letter in text.chars() {
        code ^= letter == '`';
        if !code && "<>*".contains(letter) {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

#[test]
fn the_settings_page_is_current() {
    let mut page = HEAD.to_owned();
    let mut group = "";
    for row in SETTINGS {
        if row.group != group {
            group = row.group;
            let _ = write!(page, "\n## {group}\n");
        }
        page += &entry(row);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/settings.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let found = std::fs::read_to_string(&path).unwrap();
    assert!(
        found == page,
        "docs/settings.md is not current; run this test with UPDATE_DOCS=1"
    );
}
