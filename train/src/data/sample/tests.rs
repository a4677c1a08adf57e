#![allow(clippy::unwrap_used)]

use super::*;
use crate::data::test_tokenizer::{BOS, Bytes, EOS};
use proptest::prelude::*;

fn row(instruction: &str, response: &str, index: u64) -> Row {
    Row {
        instruction: instruction.into(),
        input: String::new(),
        response: response.into(),
        index,
    }
}

fn limits(max_seq_len: usize) -> Limits {
    Limits {
        max_seq_len,
        vocab_size: 258,
    }
}

fn plain(rows: &[Row], max_seq_len: usize) -> Result<(Vec<Sample>, Dropped), SampleError> {
    tokenize(
        rows,
        &Template::Plain,
        &Bytes::default(),
        limits(max_seq_len),
    )
}

#[test]
fn a_sample_is_bos_prompt_completion_eos() {
    let (samples, dropped) = plain(&[row("ab", "cd", 7)], 100).unwrap();
    let tokens = vec![BOS, 97, 98, 99, 100, EOS];
    assert_eq!(
        samples,
        [Sample {
            tokens,
            prompt_len: 3,
            row: 7
        }]
    );
    assert_eq!(samples[0].trained(), 3..6);
    assert_eq!(dropped, Dropped::default());
}

#[test]
fn a_suffix_is_trained_with_the_response() {
    let template = Template::parse("{instruction}>{response};", "mine").unwrap();
    let (samples, _) =
        tokenize(&[row("a", "b", 0)], &template, &Bytes::default(), limits(9)).unwrap();
    let trained = &samples[0].tokens[samples[0].trained()];
    assert_eq!(trained, [u32::from(b'b'), u32::from(b';'), EOS]);
}

#[test]
fn the_mask_is_by_position_not_by_token() {
    // EOS and BOS ids inside prompt and response change nothing.
    let odd = Bytes {
        bos: Some(97),
        eos: vec![98],
        ..Bytes::default()
    };
    let rows = [row("abb", "ba", 0)];
    let (samples, _) = tokenize(&rows, &Template::Plain, &odd, limits(20)).unwrap();
    assert_eq!(samples[0].tokens, [97, 97, 98, 98, 98, 97, 98]);
    assert_eq!(samples[0].trained(), 4..7);
}

#[test]
fn long_rows_are_cut_and_counted_and_rows_without_a_target_dropped() {
    let rows = [
        row("abc", "defg", 0),
        row("abcdef", "g", 1),
        row("abcde", "fg", 2),
        row("a", "", 3),
        row("abcd", "e", 4),
    ];
    let (samples, dropped) = plain(&rows, 6).unwrap();
    let kept: Vec<_> = samples.iter().map(|s| (s.row, s.trained())).collect();
    assert_eq!(kept, [(0, 4..6), (3, 2..3), (4, 5..6)]);
    assert_eq!(
        dropped,
        Dropped {
            prompt_too_long: 2,
            empty: 0,
            truncated: 2
        }
    );
    assert_eq!(dropped.rows(), 2);
    assert!(dropped.to_string().contains("2 truncated"));
}

#[test]
fn without_eos_an_empty_response_is_dropped_and_position_0_never_trained() {
    let bare = Bytes {
        bos: None,
        eos: vec![],
        ..Bytes::default()
    };
    let rows = [row("ab", "", 0), row("", "c", 1), row("", "cd", 2)];
    let (samples, dropped) = tokenize(&rows, &Template::Plain, &bare, limits(9)).unwrap();
    assert_eq!(samples.len(), 1);
    assert_eq!(samples[0].trained(), 1..2);
    assert_eq!(dropped.empty, 2);
}

#[test]
fn an_empty_prompt_counts_as_none() {
    let (samples, _) = plain(&[row("", "ab", 0)], 9).unwrap();
    assert_eq!(samples[0].tokens, [BOS, 97, 98, EOS]);
    assert_eq!((samples[0].prompt_len, samples[0].trained()), (0, 1..4));
}

#[test]
fn nothing_left_says_why() {
    let error = plain(&[row("abcdef", "g", 0)], 4).unwrap_err().to_string();
    assert!(error.contains("shortest prompt has 7 tokens"), "{error}");
    assert!(error.contains("max_seq_len is 4"), "{error}");
    assert!(matches!(
        plain(&[], 4),
        Err(SampleError::NothingLeft { .. })
    ));
    assert!(matches!(
        plain(&[row("a", "b", 0)], 1),
        Err(SampleError::MaxSeqLen(1))
    ));
}

#[test]
fn ids_beyond_the_vocabulary_are_all_named() {
    let small = Limits {
        max_seq_len: 9,
        vocab_size: 100,
    };
    let rows = [row("a", "de", 0), row("dd", "f", 1)];
    let bytes = Bytes {
        bos: None,
        eos: vec![1],
        ..Bytes::default()
    };
    let error = tokenize(&rows, &Template::Plain, &bytes, small).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("row 1: 2 token id(s)"), "{message}");
    assert!(message.contains("[100, 101]"), "{message}");
    assert!(message.contains("row 2: 2 token id(s)"), "{message}");
}

#[test]
fn rows_that_the_tokenizer_refuses_are_counted() {
    let strict = Bytes {
        refused: Some('!'),
        ..Bytes::default()
    };
    let rows: Vec<_> = (0..25)
        .map(|i| row(if i % 2 == 0 { "a!" } else { "a" }, "b", i))
        .collect();
    match tokenize(&rows, &Template::Plain, &strict, limits(9)) {
        Err(SampleError::Rows { shown, total }) => {
            assert_eq!((shown.len(), total), (10, 13));
            assert_eq!(shown[1].0, 3);
        }
        other => panic!("expected refused rows, got {other:?}"),
    }
}

#[test]
fn a_template_that_leaves_inputs_out_is_refused() {
    let mut with_input = row("a", "b", 1);
    with_input.input = "c".into();
    let rows = [row("a", "b", 0), with_input];
    let template = Template::parse("{instruction}{response}", "mine").unwrap();
    let error = tokenize(&rows, &template, &Bytes::default(), limits(9)).unwrap_err();
    assert!(error.to_string().contains("first of them row 2"), "{error}");
    assert!(tokenize(&rows[..1], &template, &Bytes::default(), limits(9)).is_ok());
}

proptest! {
    #[test]
    fn trained_tokens_are_the_completion_and_eos(
        instruction in ".{0,12}",
        response in ".{0,12}",
        max_seq_len in 2..40_usize,
    ) {
        let row = row(&instruction, &response, 0);
        let prompt = if instruction.is_empty() { 0 } else { 1 + instruction.len() };
        let whole: Vec<u32> = [BOS]
            .into_iter()
            .chain(instruction.bytes().chain(response.bytes()).map(u32::from))
            .chain([EOS])
            .collect();
        match plain(&[row], max_seq_len) {
            Ok((samples, dropped)) => {
                let end = whole.len().min(max_seq_len);
                prop_assert_eq!(&samples[0].tokens, &whole[..end]);
                prop_assert_eq!(samples[0].trained(), prompt.max(1)..end);
                prop_assert!(!samples[0].trained().is_empty());
                prop_assert_eq!(dropped.truncated, usize::from(whole.len() > max_seq_len));
            }
            Err(SampleError::NothingLeft { .. }) => prop_assert!(prompt >= max_seq_len),
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}
