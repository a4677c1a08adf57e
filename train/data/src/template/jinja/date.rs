//! The date that templates see.

/// What `strftime_now` writes, one letter a part: always Friday, 26 July 2024, 00:00:00.
///
/// The real date would make a model train on another text than it reads later, and no two runs
/// alike. This one is what well-known templates write where there is no `strftime_now`.
const PARTS: [(char, &str); 18] = [
    ('Y', "2024"),
    ('y', "24"),
    ('m', "07"),
    ('d', "26"),
    ('e', "26"),
    ('B', "July"),
    ('b', "Jul"),
    ('h', "Jul"),
    ('A', "Friday"),
    ('a', "Fri"),
    ('j', "208"),
    ('H', "00"),
    ('I', "12"),
    ('M', "00"),
    ('S', "00"),
    ('p', "AM"),
    ('F', "2024-07-26"),
    ('T', "00:00:00"),
];

/// The date in a format of `strftime`; `%-d` and the like leave out leading zeros.
pub(super) fn format(format: &str) -> Result<String, String> {
    let mut text = String::with_capacity(format.len());
    let mut chars = format.chars().peekable();
    while let Some(c) = chars.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        let bare = chars.next_if_eq(&'-').is_some();
        let letter = chars.next();
        let part = PARTS.iter().find(|(known, _)| Some(*known) == letter);
        match (letter, part) {
            (Some('%'), _) => text.push('%'),
            (_, Some((_, part))) if bare => text.push_str(match part.trim_start_matches('0') {
                "" => "0",
                part => part,
            }),
            (_, Some((_, part))) => text.push_str(part),
            (letter, None) => {
                let known: String = PARTS.iter().map(|(known, _)| *known).collect();
                return Err(format!(
                    "strftime_now knows no '%{}', only % before one of {known}",
                    letter.map_or(String::new(), String::from)
                ));
            }
        }
    }
    Ok(text)
}
