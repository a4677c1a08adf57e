//! `\boxed{..}` and `\fbox{..}`.

use super::{LONGEST_ANSWER, output};

/// So many boxes without braces are looked into, from the end.
const MOST_UNBRACED: usize = 100;

/// What the last box holds that is closed, not empty and not too long, in one pass.
pub(super) fn last(text: &str) -> Option<&str> {
    let bytes = text.as_bytes();
    // Where each open brace's content begins, and whether it is a box.
    let mut open: Vec<(usize, bool)> = Vec::new();
    let mut found: Option<(usize, &str)> = None;
    let mut unbraced = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => {
                let Some(after) = name_end(text, at) else {
                    // An escaped brace opens nothing; two backslashes are a line break, unless
                    // they are the one of a box, escaped.
                    let skipped = match bytes.get(at + 1) {
                        Some(b'{' | b'}') => 2,
                        Some(b'\\') if name_end(text, at + 1).is_none() => 2,
                        _ => 1,
                    };
                    at += skipped;
                    continue;
                };
                let blanks = text[after..].len() - text[after..].trim_start_matches(' ').len();
                at = after + blanks;
                if bytes.get(at) == Some(&b'{') {
                    open.push((at + 1, true));
                    at += 1;
                } else {
                    unbraced.push(at);
                }
                continue;
            }
            b'{' => open.push((at + 1, false)),
            b'}' => {
                if let Some((start, true)) = open.pop() {
                    found = later(found, start, &text[start..at]);
                }
            }
            _ => {}
        }
        at += 1;
    }
    for start in unbraced.into_iter().rev().take(MOST_UNBRACED) {
        found = later(found, start, without_braces(&text[start..]));
    }
    found.map(|(_, content)| content)
}

/// Of two boxes the one that begins later, where it can be an answer.
fn later<'a>(
    found: Option<(usize, &'a str)>,
    start: usize,
    content: &'a str,
) -> Option<(usize, &'a str)> {
    let content = content.trim();
    let fits = !content.is_empty() && content.len() <= LONGEST_ANSWER;
    if fits && found.is_none_or(|(before, _)| start > before) {
        return Some((start, content));
    }
    found
}

/// Position after the name of a box that begins at `at`.
fn name_end(text: &str, at: usize) -> Option<usize> {
    let rest = text.get(at + 1..)?;
    let name = ["boxed", "fbox"]
        .into_iter()
        .find(|name| rest.starts_with(name))?;
    let after = at + 1 + name.len();
    let goes_on = text[after..].starts_with(|c: char| c.is_ascii_alphabetic());
    (!goes_on).then_some(after)
}

/// The content of a box without braces: up to the end of the formula, or else one word.
fn without_braces(rest: &str) -> &str {
    let line = output::beginning(rest)
        .split('\n')
        .next()
        .unwrap_or_default();
    let content = match line.split_once('$') {
        Some((formula, _)) => formula,
        None => (line.split(|c: char| c.is_whitespace() || c == '}').next()).unwrap_or_default(),
    };
    content.trim_end().trim_end_matches('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_box_counts() {
        for (text, content) in [
            (r"\boxed{5}", Some("5")),
            (r"so $\boxed{ \frac{1}{2} }$.", Some(r"\frac{1}{2}")),
            (r"\boxed{1} or \boxed{2}", Some("2")),
            (r"\fbox{3}", Some("3")),
            (r"$\boxed 5$", Some("5")),
            (r"\boxed5 apples", Some("5")),
            (r"$\boxed x + 1$ m", Some("x + 1")),
            (r"\boxed {7}", Some("7")),
            (r"\boxed{\boxed{7}}", Some("7")),
            (r"\\boxed{7}", Some("7")),
            (r"\boxed{\{1,2\}}", Some(r"\{1,2\}")),
            (r"\boxed{\left\{1,2\right.}", Some(r"\left\{1,2\right.")),
            (r"\boxed{a \\{b} c}", Some(r"a \\{b} c")),
            (r"\boxed{1} and \boxed{}", Some("1")),
            (r"\boxed{1} and \boxed{2", Some("1")),
            (r"\boxed{2", None),
            (r"\boxed{}", None),
            (r"\boxed", None),
            (r"\boxedx{2}", None),
            (r"}}\boxed{5}}}", Some("5")),
            ("boxed{5}", None),
            ("", None),
        ] {
            assert_eq!(last(text), content, "{text}");
        }
    }

    #[test]
    fn what_is_too_long_is_passed_over() {
        let text = format!(r"\boxed{{1}} \boxed{{{}}}", "1".repeat(LONGEST_ANSWER + 1));
        assert_eq!(last(&text), Some("1"));
    }
}
