#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;

use super::*;
use crate::tests::{encode_prompt_and_response, llama_json};
use crate::{ByteTokenizer, HfTokenizer};

const BOS: u32 = 1;
const EOS: u32 = 2;

/// How [`Stub`] tokenises a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Habit {
    /// The longest token that matches, from left to right.
    Greedy,
    /// The same, with a space before a text, like SentencePiece.
    Prefixed,
    /// Ids that depend on the whole text, so that no two texts can be tokenised together.
    Global,
}

/// Tokens of several letters, so that some span seams; `<s>` is the beginning token.
struct Stub {
    habit: Habit,
    bos: Option<u32>,
    eos: Vec<u32>,
    encoded: AtomicUsize,
}

impl Stub {
    fn new(habit: Habit) -> Self {
        Self {
            habit,
            bos: Some(BOS),
            eos: vec![EOS, 9],
            encoded: AtomicUsize::new(0),
        }
    }
}

const TOKENS: [&str; 9] = ["<s>", "ab", "abc", "bcd", "a|", "|b", " a", "cc", "d "];

impl Tokenizer for Stub {
    fn encode(&self, text: &str) -> Result<Vec<u32>, TokenizerError> {
        self.encoded.fetch_add(text.len(), Ordering::Relaxed);
        if text.contains('!') {
            let reason = "no '!'".to_owned();
            return Err(TokenizerError::Encode { reason });
        }
        let mut ids = Vec::new();
        if self.habit == Habit::Prefixed && !text.is_empty() && !text.starts_with(' ') {
            ids.push(u32::from(' '));
        }
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let tokens = TOKENS.iter().enumerate();
            let longest = tokens
                .filter(|(_, token)| rest.starts_with(**token))
                .max_by_key(|(_, token)| token.len());
            let (id, len) = match longest {
                Some((0, token)) => (BOS, token.len()),
                Some((at, token)) => (1_000_000 + at as u32, token.len()),
                None => (u32::from(first), first.len_utf8()),
            };
            ids.push(id);
            rest = &rest[len..];
        }
        if self.habit == Habit::Global {
            ids.iter_mut()
                .for_each(|id| *id += 10_000_000 * text.len() as u32 % 7);
        }
        Ok(ids)
    }

    fn decode(&self, _: &[u32]) -> Result<String, TokenizerError> {
        Ok(String::new())
    }

    fn bos(&self) -> Option<u32> {
        self.bos
    }

    fn eos(&self) -> &[u32] {
        &self.eos
    }

    fn vocab_size(&self) -> usize {
        usize::MAX
    }
}

fn tokenizers() -> Vec<Box<dyn Tokenizer>> {
    let llama = serde_json::to_vec(&llama_json(true)).unwrap();
    let llama = HfTokenizer::from_json(&llama, Some(BOS), vec![EOS]).unwrap();
    let mut all: Vec<Box<dyn Tokenizer>> = vec![Box::new(ByteTokenizer), Box::new(llama)];
    for habit in [Habit::Greedy, Habit::Prefixed, Habit::Global] {
        all.push(Box::new(Stub::new(habit)));
    }
    all
}

fn ids(tokenizer: &dyn Tokenizer, pieces: &[Piece]) -> Vec<u32> {
    encode_pieces(tokenizer, pieces).unwrap().ids
}

#[test]
fn conversation_pieces_give_ids_and_trained_ranges() {
    let stub = Stub::new(Habit::Greedy);
    let encoded = encode_pieces(
        &stub,
        &[
            Piece::Bos,
            Piece::read("x"),
            Piece::trained("yz"),
            Piece::Eos { trained: true },
            Piece::Bos,
            Piece::read(""),
            Piece::trained(""),
            Piece::trained("w"),
            Piece::read("v"),
            Piece::trained("u"),
            Piece::Eos { trained: false },
        ],
    )
    .unwrap();
    let id = u32::from;
    let expected = [
        BOS,
        id('x'),
        id('y'),
        id('z'),
        EOS,
        BOS,
        id('w'),
        id('v'),
        id('u'),
        EOS,
    ];
    assert_eq!(encoded.ids, expected);
    assert_eq!(encoded.trained, [2..5, 6..7, 8..9]);
    assert_eq!(encode_pieces(&stub, &[]).unwrap(), Encoded::default());
}

#[test]
fn a_tokenizer_without_special_tokens_adds_none() {
    let pieces = [
        Piece::Bos,
        Piece::read("a"),
        Piece::trained("b"),
        Piece::Eos { trained: true },
    ];
    let encoded = encode_pieces(&ByteTokenizer, &pieces).unwrap();
    assert_eq!(encoded.ids, [97, 98]);
    assert_eq!(encoded.trained, [1..2]);
}

#[test]
fn token_never_crosses_a_seam() {
    let greedy = Stub::new(Habit::Greedy);
    let apart = [Piece::read("xa"), Piece::trained("bx")];
    assert_eq!(
        ids(&greedy, &apart),
        "xabx".chars().map(u32::from).collect::<Vec<_>>()
    );
    // After such a seam, texts are tokenised together again.
    let after = [Piece::read("xa"), Piece::trained("b"), Piece::read("c")];
    assert_eq!(
        ids(&greedy, &after),
        "xabc".chars().map(u32::from).collect::<Vec<_>>()
    );
    let prefixed = Stub::new(Habit::Prefixed);
    let together = [Piece::read("x"), Piece::trained("y"), Piece::read("z")];
    assert_eq!(
        ids(&prefixed, &together),
        " xyz".chars().map(u32::from).collect::<Vec<_>>()
    );
}

#[test]
fn doubled_bos_is_an_error() {
    let stub = Stub::new(Habit::Greedy);
    let doubled = |pieces: &[Piece]| match encode_pieces(&stub, pieces) {
        Err(TokenizerError::DoubledBos { id: BOS, at }) => at,
        other => panic!("{other:?}"),
    };
    assert_eq!(doubled(&[Piece::Bos, Piece::read("<s>x")]), 1);
    assert_eq!(
        doubled(&[Piece::Bos, Piece::read(""), Piece::trained("<s>")]),
        1
    );
    assert_eq!(doubled(&[Piece::Bos, Piece::Bos]), 1);
    assert_eq!(doubled(&[Piece::read("x<s><s>")]), 2);
    assert_eq!(
        doubled(&[
            Piece::read("x"),
            Piece::Eos { trained: true },
            Piece::Bos,
            Piece::Bos
        ]),
        3
    );
    // One such token in the text itself is allowed, and one in every part.
    ids(
        &stub,
        &[
            Piece::read("<s>x"),
            Piece::Eos { trained: true },
            Piece::Bos,
        ],
    );
    let message = encode_pieces(&stub, &[Piece::Bos, Piece::Bos])
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("twice in a row at position 1"),
        "{message}"
    );
}

#[test]
fn bos_and_eos_may_be_equal() {
    let mut stub = Stub::new(Habit::Greedy);
    stub.eos = vec![BOS];
    let pieces = [
        Piece::Bos,
        Piece::read("x"),
        Piece::Eos { trained: true },
        Piece::Bos,
        Piece::read("y"),
    ];
    assert_eq!(
        ids(&stub, &pieces),
        [BOS, u32::from('x'), BOS, BOS, u32::from('y')]
    );
    let more = [&pieces[..4], &[Piece::Bos]].concat();
    assert!(matches!(
        encode_pieces(&stub, &more),
        Err(TokenizerError::DoubledBos { at: 4, .. })
    ));
}

#[test]
fn a_text_that_cannot_be_tokenised_is_an_error() {
    let stub = Stub::new(Habit::Greedy);
    for pieces in [
        [Piece::read("!"), Piece::read("a")],
        [Piece::read("a"), Piece::read("!")],
    ] {
        assert!(matches!(
            encode_pieces(&stub, &pieces),
            Err(TokenizerError::Encode { .. })
        ));
    }
}

#[test]
fn long_chat_is_encoded_in_linear_time() {
    for (habit, turn) in [
        (Habit::Greedy, "some words|"),
        (Habit::Prefixed, " some words|"),
        (Habit::Global, "x"),
    ] {
        let stub = Stub::new(habit);
        let pieces: Vec<_> = (0..2000)
            .map(|at| Piece::Text {
                text: turn.into(),
                trained: at % 2 == 1,
            })
            .collect();
        let encoded = encode_pieces(&stub, &pieces).unwrap();
        assert_eq!(encoded.trained.len(), 1000);
        let encoded_bytes = stub.encoded.load(Ordering::Relaxed);
        assert!(encoded_bytes <= 5 * 2000 * turn.len(), "{encoded_bytes}");
    }
}

/// Computes the documented rule without dropping text: every text tokenised with all texts before
/// it.
fn by_the_rule(tokenizer: &dyn Tokenizer, texts: &[String]) -> Option<Vec<u32>> {
    let mut ids: Vec<u32> = Vec::new();
    for at in 1..=texts.len() {
        let joint = tokenizer.encode(&texts[..at].concat()).unwrap();
        if !joint.starts_with(&ids) {
            return None;
        }
        ids = joint;
    }
    Some(ids)
}

fn any_text() -> impl Strategy<Value = String> {
    proptest::sample::select(vec![
        "", "a", "b", "c", "d", "|", " ", "ab", "bcd", "é", " a|b", "abcd ",
    ])
    .prop_map(str::to_owned)
}

fn any_piece() -> impl Strategy<Value = Piece> {
    prop_oneof![
        1 => Just(Piece::Eos { trained: true }),
        1 => Just(Piece::Eos { trained: false }),
        8 => (any_text(), any::<bool>()).prop_map(|(text, trained)| Piece::Text { text, trained }),
    ]
}

proptest! {
    #[test]
    fn two_pieces_equal_prompt_and_response(prompt in any_text(), response in any_text()) {
        for tokenizer in tokenizers() {
            let expected = encode_prompt_and_response(&*tokenizer, &prompt, &response).unwrap();
            let pieces = [Piece::Bos, Piece::read(prompt.as_str()), Piece::trained(response.as_str())];
            let encoded = encode_pieces(&*tokenizer, &pieces).unwrap();
            let trained = if expected.1 < expected.0.len() { vec![expected.1..expected.0.len()] } else { Vec::new() };
            prop_assert_eq!(encoded, Encoded { ids: expected.0, trained });
        }
    }

    #[test]
    fn later_pieces_keep_earlier_ids(
        pieces in proptest::collection::vec(any_piece(), 0..12), cut in 0usize..12,
    ) {
        let cut = cut.min(pieces.len());
        for tokenizer in tokenizers() {
            let all = encode_pieces(&*tokenizer, &pieces).unwrap();
            let first = encode_pieces(&*tokenizer, &pieces[..cut]).unwrap();
            prop_assert!(all.ids.starts_with(&first.ids));
            let within: usize = first.trained.iter().map(|range| range.len()).sum();
            let of_all: usize = all.trained.iter()
                .map(|range| range.end.min(first.ids.len()).saturating_sub(range.start)).sum();
            prop_assert_eq!(within, of_all);
        }
    }

    #[test]
    fn trained_ranges_are_disjoint_and_complete(
        pieces in proptest::collection::vec(any_piece(), 0..12),
    ) {
        for tokenizer in tokenizers() {
            let encoded = encode_pieces(&*tokenizer, &pieces).unwrap();
            let mut expected = Vec::new();
            for at in 0..pieces.len() {
                let trained = matches!(
                    pieces[at],
                    Piece::Eos { trained: true } | Piece::Text { trained: true, .. }
                );
                let until = ids(&*tokenizer, &pieces[..=at]).len();
                expected.resize(until, trained);
            }
            let mut found = vec![false; encoded.ids.len()];
            for range in &encoded.trained {
                prop_assert!(!range.is_empty());
                found[range.clone()].fill(true);
            }
            prop_assert!(encoded.trained.windows(2).all(|pair| pair[0].end < pair[1].start));
            prop_assert_eq!(found, expected);
        }
    }

    /// Dropping the text before a seam changes no id.
    #[test]
    fn joinable_texts_are_tokenised_together(
        texts in proptest::collection::vec(any_text(), 0..8),
    ) {
        for tokenizer in tokenizers() {
            if let Some(expected) = by_the_rule(&*tokenizer, &texts) {
                let pieces: Vec<_> = texts.iter().map(Piece::read).collect();
                prop_assert_eq!(ids(&*tokenizer, &pieces), expected);
            }
        }
    }
}
