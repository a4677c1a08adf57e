//! Numbers and lists in messages.

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

/// Returns what is shown of `total` things, and how many more there are.
pub(crate) fn and_more(shown: impl IntoIterator<Item = String>, total: usize) -> Vec<String> {
    let mut list: Vec<_> = shown.into_iter().collect();
    if total > list.len() {
        list.push(format!("and {} more", total - list.len()));
    }
    list
}

/// How many of a list's things are shown.
pub(crate) const SHOWN: usize = 10;

/// Problems: all are counted, the first are kept to be shown.
#[derive(Debug)]
pub(crate) struct Problems<T> {
    pub(crate) shown: Vec<T>,
    pub(crate) total: usize,
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
    pub(crate) fn add(&mut self, problem: T) {
        self.total += 1;
        if self.shown.len() < SHOWN {
            self.shown.push(problem);
        }
    }
}
