//! End of an answer: stop tokens and stop texts.

use bone_tokenizer::{Tokenizer, TokenizerError};

/// Returns the tokens that end an answer: the tokenizer's own, and the special tokens at the start of
/// `texts`. Decoded text does not contain special tokens.
///
/// # Errors
///
/// The tokenizer rejects a text.
pub(crate) fn stop_tokens(
    tokenizer: &dyn Tokenizer,
    texts: &[String],
) -> Result<Vec<u32>, TokenizerError> {
    let mut stop = tokenizer.eos().to_vec();
    for text in texts {
        let first = tokenizer.encode(text)?.first().copied();
        stop.extend(first.filter(|id| tokenizer.is_special(*id) && !stop.contains(id)));
    }
    Ok(stop)
}

/// Passes text on until the first stop text. Holds back text that may become one.
#[derive(Debug, Clone, Default)]
pub(crate) struct StopTexts {
    texts: Vec<String>,
    held: String,
    ended: bool,
}

impl StopTexts {
    pub(crate) fn new(texts: Vec<String>) -> Self {
        Self {
            texts: texts.into_iter().filter(|text| !text.is_empty()).collect(),
            ..Self::default()
        }
    }

    /// Adds text. Returns the text that is certainly part of the answer.
    pub(crate) fn push(&mut self, text: &str) -> String {
        if self.ended {
            return String::new();
        }
        self.held.push_str(text);
        let first = self
            .texts
            .iter()
            .filter_map(|stop| self.held.find(stop))
            .min();
        if let Some(at) = first {
            self.ended = true;
            self.held.truncate(at);
            return std::mem::take(&mut self.held);
        }
        let waits = |at: &usize| {
            let rest = &self.held[*at..];
            self.texts.iter().any(|stop| stop.starts_with(rest))
        };
        let places = self.held.char_indices().map(|(at, _)| at);
        let safe = places.into_iter().find(waits).unwrap_or(self.held.len());
        let waiting = self.held.split_off(safe);
        std::mem::replace(&mut self.held, waiting)
    }

    /// Returns whether a stop text appeared.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// Returns the text held back, after the last text.
    pub(crate) fn finish(&mut self) -> String {
        std::mem::take(&mut self.held)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use bone_tokenizer::HfTokenizer;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn special_token_stops_are_matched_by_id() {
        let added = |id: u32, content: &str, special: bool| {
            json!({"id": id, "content": content, "special": special, "single_word": false,
                   "lstrip": false, "rstrip": false, "normalized": false})
        };
        let json = json!({
            "version": "1.0",
            "added_tokens": [added(2, "</s>", true), added(3, "<|im_end|>", true),
                             added(4, "<plain>", false)],
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
        });
        let tokenizer = HfTokenizer::from_json(json.to_string().as_bytes(), None, vec![2]).unwrap();
        let of = |texts: &[&str]| {
            let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
            stop_tokens(&tokenizer, &texts).unwrap()
        };
        assert_eq!(of(&["a<|im_end|>", "<plain>", ""]), [2]);
        assert_eq!(of(&["<|im_end|>b", "<|im_end|>", "</s>"]), [2, 3]);
        assert_eq!(tokenizer.decode(&[0, 3, 4]).unwrap(), "a <plain>");
    }

    #[test]
    fn text_ends_before_first_stop_text() {
        let mut stops = StopTexts::new(vec!["\n\nUser:".into(), "<end>".into()]);
        assert_eq!(stops.push("so\n"), "so");
        assert_eq!(stops.push("\nUs"), "");
        assert_eq!(stops.push("e it"), "\n\nUse it");
        assert_eq!(stops.push("<e"), "");
        assert_eq!(stops.push("nd>\n\nUser:"), "");
        assert!(stops.ended());
        assert_eq!(stops.push("more"), "");
    }

    proptest! {
        #[test]
        fn stop_text_is_found_across_chunks(
            text in "[ab]{0,30}",
            cuts in prop::collection::vec(1..5_usize, 0..30),
        ) {
            let texts = ["aab", "bba"];
            let mut stops = StopTexts::new(texts.map(String::from).to_vec());
            let mut given = String::new();
            let mut rest = &text[..];
            for cut in cuts {
                let (piece, others) = rest.split_at(cut.min(rest.len()));
                given += &stops.push(piece);
                rest = others;
            }
            given += &stops.push(rest);
            let ended = stops.ended();
            given += &stops.finish();
            let end = texts.iter().filter_map(|stop| text.find(stop)).min();
            prop_assert_eq!(ended, end.is_some());
            prop_assert_eq!(given, &text[..end.unwrap_or(text.len())]);
        }
    }
}
