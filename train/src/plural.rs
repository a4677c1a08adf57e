//! Numbers of things in words.

/// The ending of so many things.
pub(crate) fn s(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

/// So many things of a name: `1 row`, `2 rows`.
pub(crate) fn counted(count: usize, one: &str) -> String {
    format!("{count} {one}{}", s(count))
}
