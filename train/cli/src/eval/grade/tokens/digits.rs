//! Numbers with separators between their groups of three digits.

use super::Reading;

/// Groups of three digits after which a row of them is a list.
const MOST_GROUPS: usize = 30;

/// A number's digits and where it ends.
pub(super) struct Digits {
    pub(super) text: String,
    pub(super) end: usize,
    /// Whether another reading of its commas would have given something else.
    pub(super) ambiguous: bool,
}

/// The whole number that begins at `start`, where a digit stands.
///
/// Groups are joined over `{,}`, `,\!`, `\,` and a space. Over a plain comma they are if one of
/// them begins with 0, as no number of a list would; otherwise it depends on the reading, and
/// between brackets (`listed`) a comma is one of the list.
pub(super) fn whole(chars: &[char], start: usize, listed: bool, reading: Reading) -> Digits {
    let first = run(chars, start);
    let mut one = Digits {
        text: chars[start..first].iter().collect(),
        end: first,
        ambiguous: false,
    };
    if first - start > 3 || chars[start] == '0' {
        return one;
    }
    let mut joined = one.text.clone();
    let mut end = first;
    // How far the groups go without a plain comma between them.
    let mut certain = None;
    let (mut plain, mut zero, mut groups) = (false, false, 0);
    while let Some((is_plain, group)) = separator(chars, end) {
        if run(chars, group) != group + 3 {
            break;
        }
        plain |= is_plain;
        zero |= chars[group] == '0';
        joined.extend(&chars[group..group + 3]);
        end = group + 3;
        groups += 1;
        if groups > MOST_GROUPS {
            return one;
        }
        if !plain {
            certain = Some((joined.clone(), end));
        }
    }
    let goes_on = chars.get(end) == Some(&',') && is_digit(chars, end + 1);
    if plain
        && !goes_on
        && (zero || certain.is_some() || (!listed && reading == Reading::Thousands))
    {
        return Digits {
            text: joined,
            end,
            ambiguous: !zero && certain.is_none(),
        };
    }
    if let Some((text, end)) = certain {
        (one.text, one.end) = (text, end);
    }
    one.ambiguous = plain && !goes_on && !listed;
    one
}

/// Position after the digits at `start`.
pub(super) fn run(chars: &[char], start: usize) -> usize {
    let mut end = start;
    while is_digit(chars, end) {
        end += 1;
    }
    end
}

pub(super) fn is_digit(chars: &[char], at: usize) -> bool {
    chars.get(at).is_some_and(char::is_ascii_digit)
}

/// Whether it is a plain comma, and where the next group begins.
fn separator(chars: &[char], at: usize) -> Option<(bool, usize)> {
    let rest = &chars[at.min(chars.len())..];
    if rest.starts_with(&['{', ',', '}']) {
        return Some((false, at + 3));
    }
    if rest.starts_with(&['\\', ',']) || rest.starts_with(&['\\', ' ']) {
        return Some((false, at + 2));
    }
    match rest.first()? {
        ' ' => Some((false, at + 1)),
        ',' => {
            let blanks = |from: usize| from + blanks(&chars[from..]);
            let after = blanks(at + 1);
            if chars[after..].starts_with(&['\\', '!']) {
                return Some((false, blanks(after + 2)));
            }
            Some((true, at + 1))
        }
        _ => None,
    }
}

fn blanks(chars: &[char]) -> usize {
    chars.iter().take_while(|c| c.is_whitespace()).count()
}
