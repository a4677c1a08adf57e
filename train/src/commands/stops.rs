//! Texts that end an answer.

/// Passes text on up to the first of some texts that end it, and holds back what may become one.
#[derive(Debug, Clone, Default)]
pub(super) struct Stops {
    texts: Vec<String>,
    held: String,
    ended: bool,
}

impl Stops {
    pub(super) fn new(texts: Vec<String>) -> Self {
        Self {
            texts: texts.into_iter().filter(|text| !text.is_empty()).collect(),
            ..Self::default()
        }
    }

    /// Takes more text; returns what is of the answer for certain.
    pub(super) fn push(&mut self, text: &str) -> String {
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

    /// Whether one of the texts came.
    pub(super) fn ended(&self) -> bool {
        self.ended
    }

    /// What was held back, once no more text comes.
    pub(super) fn finish(self) -> String {
        self.held
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_ends_before_the_first_that_stops_it() {
        let mut stops = Stops::new(vec!["\n\nUser:".into(), "<end>".into()]);
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
        fn in_any_pieces_it_is_the_text_up_to_the_stop(
            text in "[ab]{0,30}",
            cuts in prop::collection::vec(1..5_usize, 0..30),
        ) {
            let texts = ["aab", "bba"];
            let mut stops = Stops::new(texts.map(String::from).to_vec());
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
