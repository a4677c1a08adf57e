//! Values that JSON cannot express, kept in their rows as messages.
//!
//! A row is valid if no one needs its unreadable column, for example pictures beside questions. So such a
//! value becomes an object with one special key, which is never mistaken for a text or a list. Code that
//! needs the field finds the message here.

use serde_json::{Map, Value};

/// No data set has a field of this name.
const KEY: &str = "\u{0}unreadable";

/// Returns the placeholder for a value. `what` is the message about its field: it holds bytes.
pub(super) fn unreadable(what: String) -> Value {
    Value::Object(Map::from_iter([(KEY.to_owned(), Value::String(what))]))
}

/// Returns the message in a placeholder, if `value` is one.
pub(crate) fn why_unreadable(value: &Value) -> Option<&str> {
    value.as_object()?.get(KEY)?.as_str()
}

/// Replaces the non-JSON numbers that Python writes, each as [`unreadable`]. `None` if the text has none.
pub(super) fn without_nan(text: &str) -> Option<String> {
    let mut changed = String::new();
    let (mut in_string, mut escaped, mut copied) = (false, false, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'N' | b'I' | b'-' if !in_string && at >= copied => {
                let names = ["NaN", "Infinity", "-Infinity"];
                if let Some(name) = names.iter().find(|name| text[at..].starts_with(**name)) {
                    changed.push_str(&text[copied..at]);
                    changed.push_str(&unreadable(format!("has the value {name}")).to_string());
                    copied = at + name.len();
                }
            }
            _ => {}
        }
    }
    (copied > 0).then(|| changed + &text[copied..])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn nan_and_infinity_are_found_outside_strings() {
        let text = r#"{"a":NaN,"b":[-Infinity,1,-1],"NaN":"\"NaN","c":Infinity}"#;
        let value: Value = serde_json::from_str(&without_nan(text).unwrap()).unwrap();
        let why = |value: &Value| why_unreadable(value).map(str::to_owned);
        assert_eq!(why(&value["a"]).as_deref(), Some("has the value NaN"));
        assert_eq!(
            why(&value["b"][0]).as_deref(),
            Some("has the value -Infinity")
        );
        assert_eq!(why(&value["c"]).as_deref(), Some("has the value Infinity"));
        assert_eq!(
            (&value["b"][2], &value["NaN"]),
            (&(-1).into(), &"\"NaN".into())
        );
        assert_eq!(without_nan(r#"{"a":"NaN","b":-1}"#), None);
        assert_eq!(why(&Value::Null), None);
    }
}
