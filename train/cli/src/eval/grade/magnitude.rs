//! Words after a number that it is multiplied by.

/// A thousand for `k`, which only stands for it right after a number.
pub(super) fn of(word: &str, adjacent: bool) -> Option<i64> {
    if adjacent && matches!(word, "k" | "K") {
        return Some(1_000);
    }
    Some(match word.to_lowercase().as_str() {
        "hundred" => 100,
        "thousand" => 1_000,
        "million" => 1_000_000,
        "billion" => 1_000_000_000,
        "trillion" => 1_000_000_000_000,
        "quadrillion" => 1_000_000_000_000_000,
        "quintillion" => 1_000_000_000_000_000_000,
        _ => return None,
    })
}
