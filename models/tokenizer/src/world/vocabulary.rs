use std::collections::HashMap;
use std::path::Path;

use super::literal;
use crate::TokenizerError;
use bone_files::wording::{Problems, joined};

/// Largest id: an invalid line must not cause a table of arbitrary size. No known vocabulary has a
/// larger id.
const MAX_ID: u32 = (1 << 20) - 1;

/// Number of characters shown of an invalid line, which may be as long as the file.
const SHOWN_CHARS: usize = 120;

/// Returns the bytes of every token by its id; empty for ids without a token, such as 0.
pub(super) fn parse(content: &[u8], path: &Path) -> Result<Vec<Vec<u8>>, TokenizerError> {
    let mut tokens: Vec<Vec<u8>> = vec![Vec::new()];
    let mut lines_of_ids = HashMap::new();
    let mut lines_of_tokens = HashMap::new();
    let mut problems = Problems::default();
    for (number, line) in lines(content) {
        let entry = parse_line(line).and_then(|(id, token)| {
            if let Some(before) = lines_of_ids.insert(id, number) {
                return Err(format!("line {before} has id {id} too"));
            }
            if let Some(before) = lines_of_tokens.insert(token.clone(), number) {
                return Err(format!("line {before} has the same token"));
            }
            Ok((id as usize, token))
        });
        match entry {
            Ok((id, token)) => {
                if id >= tokens.len() {
                    tokens.resize_with(id + 1, Vec::new);
                }
                tokens[id] = token;
            }
            Err(what) => problems.add((number, what.chars().take(SHOWN_CHARS).collect())),
        }
    }
    if problems.total > 0 {
        return Err(TokenizerError::Vocabulary {
            path: path.to_owned(),
            shown: problems.shown,
            total: problems.total,
        });
    }
    let absent: Vec<String> = (0..=u8::MAX)
        .filter(|byte| !lines_of_tokens.contains_key(&[*byte][..]))
        .map(|byte| format!("{byte:#04X}"))
        .collect();
    if absent.is_empty() {
        return Ok(tokens);
    }
    Err(TokenizerError::Invalid {
        path: path.to_owned(),
        reason: format!(
            "an RWKV vocabulary must have a token for every byte, but {} are missing: {}",
            absent.len(),
            joined(&absent, ", "),
        ),
    })
}

/// Returns lines and their numbers, from 1, without line ends. Text after the last line end is a
/// line too.
fn lines(content: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    let lines = content.split(|byte| *byte == b'\n');
    (1..).zip(lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line)))
}

fn parse_line(line: &[u8]) -> Result<(u32, Vec<u8>), String> {
    let line = std::str::from_utf8(line).map_err(|_| "not UTF-8".to_owned())?;
    // The literal itself may contain spaces.
    let fields = line
        .split_once(' ')
        .and_then(|(id, rest)| Some((id, rest.rsplit_once(' ')?)));
    let Some((id, (literal, length))) = fields else {
        return Err("expected an id, a literal and a length".to_owned());
    };
    let id = match digits(id) {
        Some(0) => return Err("id 0 is reserved for the end of text".to_owned()),
        Some(id) if id <= MAX_ID => id,
        _ => return Err(format!("the id must be from 1 to {MAX_ID}, not {id}")),
    };
    let token = literal::parse(literal)?;
    if token.is_empty() {
        return Err("the token is empty".to_owned());
    }
    if digits(length) != u32::try_from(token.len()).ok() {
        return Err(format!(
            "the token has {} bytes, but the line says {length}",
            token.len()
        ));
    }
    Ok((id, token))
}

/// Reads a number without a sign.
fn digits(text: &str) -> Option<u32> {
    let only_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    only_digits.then(|| text.parse().ok()).flatten()
}
