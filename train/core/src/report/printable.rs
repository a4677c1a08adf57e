use std::borrow::Cow;

/// Escapes text from a model, a data set or a file name for printing on a terminal.
///
/// Control characters other than line break and tab could move the cursor or change the window title.
/// Unicode's direction overrides could disguise text. Each is printed as an escape, like `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            safe.extend(c.escape_unicode());
        } else {
            safe.push(c);
        }
    }
    Cow::Owned(safe)
}

fn is_unsafe(c: char) -> bool {
    let line_or_direction = matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    );
    line_or_direction || (c.is_control() && c != '\n' && c != '\t')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ordinary_text_is_left_alone() {
        for text in ["", "a\tb\nc", "naïve 東京 🦴 \\u{1b}"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text));
        }
    }

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable("\u{1b}[2Jx\r"), "\\u{1b}[2Jx\\u{d}");
        assert_eq!(printable("a\u{9b}31m\u{7f}"), "a\\u{9b}31m\\u{7f}");
        assert_eq!(printable("exe\u{202e}gpj"), "exe\\u{202e}gpj");
    }

    proptest! {
        #[test]
        fn printable_text_has_no_unsafe_characters(text in any::<String>()) {
            let safe = printable(&text);
            prop_assert!(!safe.contains(is_unsafe));
            prop_assert_eq!(printable(&safe), safe.as_ref());
        }
    }
}
