use std::str::Chars;

/// Returns the bytes of a Python `str` or `bytes` literal on one line; a `str` becomes UTF-8.
///
/// Stricter than Python: it refuses prefixes other than `b`, and unknown escapes.
pub(super) fn parse(literal: &str) -> Result<Vec<u8>, String> {
    let (is_bytes, quoted) = match literal.strip_prefix('b') {
        Some(quoted) => (true, quoted),
        None => (false, literal),
    };
    let mut chars = quoted.chars();
    let quote = match chars.next() {
        Some(quote @ ('\'' | '"')) => quote,
        _ => return Err(format!("{literal} is not a Python str or bytes literal")),
    };
    let mut bytes = Vec::new();
    loop {
        let c = match chars.next() {
            None => return Err(format!("{literal} has no closing {quote}")),
            Some('\\') => escaped(&mut chars, is_bytes)?,
            Some(c) if c == quote => break,
            Some(c) if is_bytes && !c.is_ascii() => {
                return Err(format!("{c} is not a character of a bytes literal"));
            }
            Some(c) => c,
        };
        if is_bytes {
            // The code above or `escaped` checked that the character is below 256.
            bytes.push(c as u8);
        } else {
            bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    match chars.as_str() {
        "" => Ok(bytes),
        rest => Err(format!("{rest} follows the closing {quote}")),
    }
}

/// Reads the escape after a backslash. In a bytes literal, the character's number is the byte.
fn escaped(chars: &mut Chars<'_>, is_bytes: bool) -> Result<char, String> {
    let Some(escape) = chars.next() else {
        return Err("a backslash at the end of the literal".to_owned());
    };
    Ok(match escape {
        '\\' | '\'' | '"' => escape,
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0C',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0B',
        'x' => number(chars, escape, 2)?,
        'u' if !is_bytes => number(chars, escape, 4)?,
        'U' if !is_bytes => number(chars, escape, 8)?,
        '0'..='7' => {
            let mut value = escape as u32 - '0' as u32;
            for _ in 0..2 {
                let Some(digit) = chars.clone().next().and_then(|c| c.to_digit(8)) else {
                    break;
                };
                value = 8 * value + digit;
                chars.next();
            }
            match char::from_u32(value) {
                Some(c) if !is_bytes || value < 256 => c,
                _ => return Err(format!("\\{value:o} is not a byte")),
            }
        }
        _ => return Err(format!("\\{escape} is an unknown escape")),
    })
}

fn number(chars: &mut Chars<'_>, escape: char, digits: usize) -> Result<char, String> {
    let text: String = chars.take(digits).collect();
    let valid = text.chars().count() == digits && text.chars().all(|c| c.is_ascii_hexdigit());
    let value = valid.then(|| u32::from_str_radix(&text, 16).ok()).flatten();
    value
        .and_then(char::from_u32)
        .ok_or_else(|| format!("\\{escape}{text} is not a character of {digits} hex digits"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The results of Python 3.11.
    #[test]
    fn literals_parse_as_in_python() {
        for (literal, bytes) in [
            ("''", &b""[..]),
            ("'a b'", b"a b"),
            (r#""it's""#, b"it's"),
            (r#"'"'"#, b"\""),
            (r#"'\'"\\'"#, b"'\"\\"),
            (r"'\a\b\f\n\r\t\v'", b"\x07\x08\x0C\n\r\t\x0B"),
            (r"'\x00\x7f'", b"\0\x7F"),
            // A character in a str, a byte in bytes.
            (r"'\xe9'", b"\xC3\xA9"),
            (r"b'\xe9'", b"\xE9"),
            (r#"b"\xe2\x80'A\n\\""#, b"\xE2\x80'A\n\\"),
            ("'é漢'", "é漢".as_bytes()),
            (r"'\u200b\U0001F600'", "\u{200B}😀".as_bytes()),
            (r"'\0\18\1012'", b"\0\x018A2"),
            (r"'\777'", "\u{1FF}".as_bytes()),
            (r"b'\377'", b"\xFF"),
        ] {
            assert_eq!(parse(literal).unwrap(), bytes, "{literal}");
        }
    }

    #[test]
    fn invalid_literals_are_refused() {
        for literal in [
            "",
            "'",
            "b",
            "b'",
            "a",
            "'a",
            "'a\"",
            "'a'b'",
            "'a' 'b'",
            r"'\'",
            r"'a\",
            r"'\q'",
            r"'\N{DASH}'",
            r"'\x4'",
            r"'\xg0'",
            r"'\x+1'",
            r"'\u12'",
            r"'\ud800'",
            r"'\U00110000'",
            r"'\U0000é'",
            r"b'\u0041'",
            r"b'\400'",
            "b'é'",
            "r'a'",
            "B'a'",
            "éaé",
        ] {
            assert!(parse(literal).is_err(), "{literal}");
        }
    }
}
