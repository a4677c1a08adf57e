//! Finding the end of an element of a JSON array.

/// The end of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// A comma: another element follows.
    Comma,
    /// The array's closing bracket.
    Close,
    /// The end of the file.
    CutOff,
}

/// Scans the bytes of one element, valid or not, up to the comma or bracket after it.
///
/// It stores only a depth, so an element may have any length and depth. A string ends at a line break at
/// the latest, because JSON allows none in it. So a missing quote mostly costs one element and not all
/// later ones, if the closing brace is on another line.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Scan {
    depth: u64,
    in_string: bool,
    escaped: bool,
}

impl Scan {
    /// Returns the end of the element, if the next byte ends it.
    pub(super) fn feed(&mut self, byte: u8) -> Option<Stop> {
        if self.in_string {
            match byte {
                b'\n' => (self.in_string, self.escaped) = (false, false),
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return None;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => self.depth += 1,
            b']' if self.depth == 0 => return Some(Stop::Close),
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b',' if self.depth == 0 => return Some(Stop::Comma),
            _ => {}
        }
        None
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn end(text: &str) -> Option<(usize, Stop)> {
        let mut scan = Scan::default();
        let mut bytes = text.bytes().enumerate();
        bytes.find_map(|(at, byte)| Some((at, scan.feed(byte)?)))
    }

    #[test]
    fn an_element_ends_outside_of_brackets_and_strings() {
        assert_eq!(end("1,2"), Some((1, Stop::Comma)));
        assert_eq!(end(" ]"), Some((1, Stop::Close)));
        assert_eq!(end(r#"{"a":[1,{"b":","}]},"#), Some((19, Stop::Comma)));
        assert_eq!(end(r#""\",]\\","#), Some((8, Stop::Comma)));
        assert_eq!(end(r#"{"a":1"#), None);
    }

    #[test]
    fn malformed_elements_have_an_end() {
        assert_eq!(end(r#"{"a":1]},"#), Some((8, Stop::Comma)));
        assert_eq!(end("}},"), Some((2, Stop::Comma)));
        assert_eq!(end("{\"a\":\"b}\n}, 1"), Some((10, Stop::Comma)));
    }

    #[test]
    fn deep_nesting_is_scanned() {
        let deep = "[".repeat(1_000_000) + &"]".repeat(1_000_000) + "]";
        assert_eq!(end(&deep), Some((2_000_000, Stop::Close)));
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<i64>().prop_map(Into::into),
            ".*".prop_map(serde_json::Value::String),
        ];
        leaf.prop_recursive(4, 32, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
                prop::collection::vec((".*", inner), 0..6)
                    .prop_map(|pairs| serde_json::Value::Object(pairs.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn scan_finds_end_of_any_json_value(value in json(), pretty: bool) {
            let text = if pretty {
                serde_json::to_string_pretty(&value).unwrap()
            } else {
                value.to_string()
            };
            let whole = format!("{text},[");
            prop_assert_eq!(end(&whole), Some((text.len(), Stop::Comma)));
        }
    }
}
