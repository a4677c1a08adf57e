//! The date that templates see.

use chrono::NaiveDate;
use std::fmt::Write;

/// Returns what `strftime_now` writes: always Friday, 26 July 2024, 00:00:00.
///
/// With the real date, a model would train on another text than it reads later, and runs would differ.
/// Well-known templates write this date without `strftime_now`.
///
/// # Errors
/// The format is not valid for `strftime`, or it names a time zone.
pub(super) fn format(format: &str) -> Result<String, String> {
    let mut text = String::new();
    NaiveDate::from_ymd_opt(2024, 7, 26)
        .and_then(|day| day.and_hms_opt(0, 0, 0))
        .and_then(|moment| write!(text, "{}", moment.format(format)).ok())
        .map(|()| text)
        .ok_or_else(|| format!("strftime_now does not support the format '{format}'"))
}
