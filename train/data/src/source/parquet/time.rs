//! Dates and times as ISO 8601 writes them.

/// What a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    /// Milliseconds.
    Milli,
    /// Microseconds.
    Micro,
    /// Nanoseconds.
    Nano,
}

impl Unit {
    fn per_second(self) -> i64 {
        10_i64.pow(self.digits())
    }

    /// Digits of its fraction of a second.
    fn digits(self) -> u32 {
        match self {
            Self::Milli => 3,
            Self::Micro => 6,
            Self::Nano => 9,
        }
    }

    /// Whole seconds, rounded down, and the nanoseconds beyond them.
    pub(super) fn split(self, count: i64) -> (i64, i64) {
        let (seconds, rest) = (
            count.div_euclid(self.per_second()),
            count.rem_euclid(self.per_second()),
        );
        (
            seconds,
            rest * (Self::Nano.per_second() / self.per_second()),
        )
    }
}

const SECONDS_A_DAY: i64 = 86_400;

/// The day so many days after 1970-01-01, by the Gregorian calendar: `2024-02-29`.
pub(super) fn date(days: i64) -> String {
    let (year, month, day) = civil(days);
    let sign = if year < 0 { "-" } else { "" };
    format!("{sign}{:04}-{month:02}-{day:02}", year.abs())
}

/// A date and a time of day: `2024-02-29T12:00:01.5`, with the fraction's digits if it has any.
pub(super) fn timestamp(seconds: i64, nanos: i64, unit: Unit, utc: bool) -> String {
    let day = date(seconds.div_euclid(SECONDS_A_DAY));
    let time = clock(seconds.rem_euclid(SECONDS_A_DAY), nanos, unit);
    let zone = if utc { "Z" } else { "" };
    format!("{day}T{time}{zone}")
}

/// A time of day: `12:00:01.500`. Nothing where it is not one.
pub(super) fn time_of_day(count: i64, unit: Unit) -> Option<String> {
    let (seconds, nanos) = unit.split(count);
    (0..SECONDS_A_DAY)
        .contains(&seconds)
        .then(|| clock(seconds, nanos, unit))
}

fn clock(seconds: i64, nanos: i64, unit: Unit) -> String {
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let mut text = format!("{hour:02}:{minute:02}:{second:02}");
    if nanos != 0 {
        let fraction = format!(".{nanos:09}");
        text.push_str(&fraction[..=unit.digits() as usize]);
    }
    text
}

/// Year, month and day of a day counted from 1970-01-01.
///
/// Years are taken to begin in March, so that the leap day is their last: then 400 years have
/// 146097 days, 100 have 36524, 4 have 1461, and a month's first day is ⌊(153 m + 2) / 5⌋.
fn civil(days: i64) -> (i64, i64, i64) {
    // From 0000-03-01 on.
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    // The last day of 4 and of 400 years has no year after it.
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_one_another_as_in_the_calendar() {
        let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        let (mut year, mut month, mut day) = (1970, 1, 1);
        for days in 0..200_000 {
            assert_eq!(civil(days), (year, month, day));
            let leap_day = i64::from(month == 2 && is_leap(year));
            day += 1;
            if day > lengths[month as usize - 1] + leap_day {
                (month, day) = (month + 1, 1);
            }
            if month > 12 {
                (year, month) = (year + 1, 1);
            }
        }
        // And before: 1900 was no leap year.
        assert_eq!(date(-1), "1969-12-31");
        assert_eq!(date(-25_508), "1900-03-01");
        assert_eq!(date(-25_509), "1900-02-28");
        assert_eq!(date(-719_529), "-0001-12-31");
        assert_eq!(date(i64::from(i32::MAX)), "5881580-07-11");
    }

    #[test]
    fn times_have_the_digits_they_need() {
        let second = 1_709_208_001;
        assert_eq!(
            timestamp(second, 0, Unit::Milli, true),
            "2024-02-29T12:00:01Z"
        );
        let (seconds, nanos) = Unit::Micro.split(-1);
        assert_eq!(
            timestamp(seconds, nanos, Unit::Micro, false),
            "1969-12-31T23:59:59.999999"
        );
        assert_eq!(
            time_of_day(43_201_500, Unit::Milli).as_deref(),
            Some("12:00:01.500")
        );
        assert_eq!(time_of_day(86_400_000, Unit::Milli), None);
        assert_eq!(time_of_day(-1, Unit::Nano), None);
        let (seconds, nanos) = Unit::Nano.split(i64::MIN);
        assert_eq!(
            timestamp(seconds, nanos, Unit::Nano, true),
            "1677-09-21T00:12:43.145224192Z"
        );
    }
}
