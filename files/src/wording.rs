//! Formats numbers and lists for messages.

/// Returns a count and its noun: `1 row`, `2,000 rows`.
pub fn counted(count: usize, one: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {one}{plural}", grouped(count))
}

/// Returns `1234567` as `1,234,567`.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns the shown part of `total` items, and how many more exist.
pub fn and_more(shown: impl IntoIterator<Item = String>, total: usize) -> Vec<String> {
    let mut list: Vec<_> = shown.into_iter().collect();
    if total > list.len() {
        list.push(format!("and {} more", total - list.len()));
    }
    list
}

/// Number of items of a list that are shown.
pub const SHOWN: usize = 10;

/// Joins the first [`SHOWN`] items, and says how many more exist.
pub fn joined<T: ToString>(items: impl IntoIterator<Item = T>, separator: &str) -> String {
    let items: Vec<_> = items.into_iter().collect();
    and_more(items.iter().take(SHOWN).map(T::to_string), items.len()).join(separator)
}

/// Problems: all are counted, and the first are kept to show.
#[derive(Debug)]
pub struct Problems<T> {
    /// The first problems.
    pub shown: Vec<T>,
    /// Number of problems.
    pub total: usize,
}

impl<T> Default for Problems<T> {
    fn default() -> Self {
        Self {
            shown: Vec::new(),
            total: 0,
        }
    }
}

impl<T> Problems<T> {
    /// Counts a problem, and keeps it if it is one of the first.
    pub fn add(&mut self, problem: T) {
        self.total += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(problem);
        }
    }
}

/// Returns a number of bytes as `512 B`, `1.5 KiB`, `22.9 GiB`.
pub fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = bytes as f64 / 1024.0;
    if value < 1.0 {
        return format!("{bytes} B");
    }
    let mut units = UNITS.iter();
    let mut unit = units.next();
    // 1023.95 would be printed as 1024.0 of the smaller unit.
    while value >= 1023.95 && units.len() > 0 {
        value /= 1024.0;
        unit = units.next();
    }
    format!("{value:.1} {}", unit.copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn byte_counts_have_readable_units() {
        for (bytes, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            ((1 << 20) - 1, "1.0 MiB"),
            (13 * (1 << 30), "13.0 GiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
