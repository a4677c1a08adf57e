#![allow(clippy::unwrap_used, clippy::single_range_in_vec_init)]

use super::*;
use crate::conversation::{Message, Role};
use crate::test_tokenizer::{BOS, Bytes, EOS};
use proptest::prelude::*;

fn row(instruction: &str, response: &str) -> Row {
    Row {
        content: Content::Single {
            instruction: instruction.into(),
            input: String::new(),
            response: response.into(),
        },
        index: 0,
    }
}

fn limits(max_seq_len: usize) -> Limits {
    Limits {
        max_seq_len,
        vocab_size: 258,
    }
}

fn plain(row: &Row, max_seq_len: usize) -> Tokenized {
    let template = Template::Plain;
    tokenize(row, 7, &template, &Bytes::default(), limits(max_seq_len)).unwrap()
}

#[track_caller]
fn whole(tokenized: Tokenized) -> Sample {
    assert_eq!(tokenized.dropped, Dropped::default(), "{tokenized:?}");
    assert_eq!(tokenized.samples.len(), 1, "{tokenized:?}");
    tokenized.samples[0].clone()
}

#[test]
fn a_sample_is_bos_prompt_completion_eos() {
    let sample = whole(plain(&row("ab", "cd"), 100));
    assert_eq!(sample.tokens, [BOS, 97, 98, 99, 100, EOS]);
    assert_eq!(sample.trained, [3..6]);
    assert_eq!(
        (sample.row, sample.prompt_len(), sample.trained_tokens()),
        (7, 3, 3)
    );
}

#[test]
fn a_suffix_is_trained_with_the_response() {
    let template = Template::parse("{instruction}>{response};", "mine").unwrap();
    let row = row("a", "b");
    let sample = whole(tokenize(&row, 0, &template, &Bytes::default(), limits(9)).unwrap());
    let trained = &sample.tokens[sample.trained[0].clone()];
    assert_eq!(trained, [u32::from(b'b'), u32::from(b';'), EOS]);
}

#[test]
fn the_mask_is_by_position_not_by_token() {
    // EOS and BOS ids inside prompt and response change nothing.
    let odd = Bytes {
        bos: Some(99),
        eos: vec![98],
        ..Bytes::default()
    };
    let row = row("abb", "ba");
    let sample = whole(tokenize(&row, 0, &Template::Plain, &odd, limits(20)).unwrap());
    assert_eq!(sample.tokens, [99, 97, 98, 98, 98, 97, 98]);
    assert_eq!(sample.trained, [4..7]);
}

#[test]
fn every_answer_of_a_conversation_is_trained() {
    let message = |role, content: &str| Message {
        role,
        content: content.into(),
    };
    let row = Row {
        content: Content::chat(vec![
            message(Role::User, "a"),
            message(Role::Assistant, "b"),
            message(Role::User, "c"),
            message(Role::Assistant, "d"),
        ]),
        index: 0,
    };
    let template = Template::ChatMl;
    let sample = whole(tokenize(&row, 0, &template, &Bytes::default(), limits(200)).unwrap());
    let text = |range: &Range<usize>| {
        let ids = &sample.tokens[range.clone()];
        let bytes: Vec<u8> = ids.iter().filter_map(|id| (*id).try_into().ok()).collect();
        String::from_utf8(bytes).unwrap()
    };
    let trained: Vec<_> = sample.trained.iter().map(text).collect();
    assert_eq!(trained, ["b<|im_end|>", "d<|im_end|>"]);
    // Cuts within the second answer, and before it.
    let second = sample.trained[1].clone();
    let cut = |max_seq_len| tokenize(&row, 0, &template, &Bytes::default(), limits(max_seq_len));
    let within = cut(second.start + 2).unwrap();
    let trained = [sample.trained[0].clone(), second.start..second.start + 2];
    assert_eq!(within.samples[0].trained, trained);
    assert_eq!(within.len, sample.tokens.len());
    let before = cut(second.start).unwrap();
    assert_eq!(before.samples[0].trained, sample.trained[..1]);
    assert_eq!((within.dropped.truncated, before.dropped.truncated), (1, 1));
}

#[test]
fn long_rows_are_truncated_or_dropped() {
    let rows = [
        ("abc", "defg"),
        ("abcdef", "g"),
        ("abcde", "fg"),
        ("a", ""),
        ("abcd", "e"),
    ];
    let mut dropped = Dropped::default();
    let mut kept = Vec::new();
    for (instruction, response) in rows {
        let tokenized = plain(&row(instruction, response), 6);
        dropped += tokenized.dropped;
        kept.push(
            tokenized
                .samples
                .iter()
                .flat_map(|s| s.trained.clone())
                .next(),
        );
        assert_eq!(tokenized.len, instruction.len() + response.len() + 2);
    }
    assert_eq!(kept, [Some(4..6), None, None, Some(2..3), Some(5..6)]);
    let expected = Dropped {
        prompt_too_long: 2,
        empty: 0,
        truncated: 2,
    };
    assert_eq!(dropped, expected);
    assert_eq!(dropped.rows(), 2);
    assert!(dropped.to_string().contains("2 rows truncated"));
}

#[test]
fn empty_response_without_eos_is_dropped() {
    let bare = Bytes {
        bos: None,
        eos: vec![],
        ..Bytes::default()
    };
    let tokenized = |instruction, response| {
        let row = row(instruction, response);
        tokenize(&row, 0, &Template::Plain, &bare, limits(9)).unwrap()
    };
    for (instruction, response, len) in [("ab", "", 2), ("", "c", 1)] {
        let empty = tokenized(instruction, response);
        assert_eq!(
            (empty.samples.len(), empty.dropped.empty, empty.len),
            (0, 1, len)
        );
    }
    assert_eq!(whole(tokenized("", "cd")).trained, [1..2]);
}

#[test]
fn text_row_is_trained_in_chunks() {
    let text = Row {
        content: Content::Text("abcdefg".into()),
        index: 0,
    };
    let short = whole(plain(&text, 9));
    assert_eq!((short.tokens.len(), short.trained), (9, vec![1..9]));
    let tokenized = plain(&text, 4);
    let chunks: Vec<_> = tokenized.samples.iter().map(|s| s.tokens.clone()).collect();
    let expected = [
        vec![BOS, 97, 98, 99],
        vec![99, 100, 101, 102],
        vec![102, 103, EOS],
    ];
    assert_eq!(chunks, expected);
    assert_eq!(tokenized.len, 9);
}

#[test]
fn promptless_sample_uses_all_tokens_as_prompt() {
    let sample = whole(plain(&row("", "ab"), 9));
    assert_eq!(sample.tokens, [BOS, 97, 98, EOS]);
    assert_eq!(sample.prompt(), sample.tokens);
    assert_eq!(whole(plain(&row("a", "b"), 9)).prompt(), [BOS, 97]);
}

#[test]
fn ids_beyond_the_vocabulary_are_named() {
    let small = Limits {
        max_seq_len: 9,
        vocab_size: 100,
    };
    let bytes = Bytes {
        bos: None,
        eos: vec![1],
        ..Bytes::default()
    };
    let error = tokenize(&row("a", "de"), 0, &Template::Plain, &bytes, small);
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("2 token id(s)") || error.contains("[100, 101]"),
        "{error}"
    );
}

#[test]
fn tokenizer_error_rejects_row() {
    let strict = Bytes {
        refused: Some('!'),
        ..Bytes::default()
    };
    let tokenized = |text| tokenize(&row(text, "b"), 0, &Template::Plain, &strict, limits(9));
    assert!(tokenized("a!").is_err());
    assert!(tokenized("a").is_ok());
}

#[test]
fn template_that_writes_end_token_is_rejected() {
    // `;` ends a sequence.
    let ends = Bytes {
        eos: vec![59],
        ..Bytes::default()
    };
    let tokenized = |template: &str, response: &str| {
        let template = Template::parse(template, "mine").unwrap();
        tokenize(&row("a", response), 0, &template, &ends, limits(9))
    };
    let error = tokenized("{instruction}{response};", "b").unwrap_err();
    let error = error.to_string();
    for part in ["'mine'", "token 59", "{response}", "remove it"] {
        assert!(error.contains(part), "{error}");
    }
    // Tokens from the rows' own text are allowed.
    assert!(tokenized("{instruction}{response}", "b;").is_ok());
    assert!(tokenized("{instruction};{response}.", "b").is_ok());
}

/// Rows are rendered in parallel, so several may start before one meets the limit.
#[test]
fn endless_template_runs_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("loops.jinja");
    let source = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}";
    std::fs::write(&path, source).unwrap();
    let template = Template::load(path.to_str().unwrap(), None).unwrap();
    let tokenized = || tokenize(&row("a", "b"), 0, &template, &Bytes::default(), limits(9));
    let first = tokenized().unwrap_err();
    assert!(matches!(&first, RenderError::Limit(_)), "{first}");
    assert!(first.to_string().contains("remaining rows"), "{first}");
    assert!(matches!(tokenized(), Err(RenderError::NotTried(_))));
}

#[test]
fn answer_with_weight_0_is_not_trained() {
    let chat = |only_read: &[usize]| Row {
        content: Content::Chat {
            messages: vec![
                Message::new(Role::User, "a"),
                Message::new(Role::Assistant, "b"),
                Message::new(Role::User, "c"),
                Message::new(Role::Assistant, "d"),
            ],
            only_read: only_read.to_vec(),
        },
        index: 0,
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("turns.jinja");
    let source = "{% for m in messages %}[{{ m.role }}]{{ m.content }};{% endfor %}\
                  {% if add_generation_prompt %}[assistant]{% endif %}";
    std::fs::write(&path, source).unwrap();
    let jinja = Template::load(path.to_str().unwrap(), None).unwrap();
    for template in [
        Template::ChatMl,
        Template::Rwkv,
        Template::Llama2Chat,
        jinja,
    ] {
        let trained = |only_read: &[usize]| {
            let row = chat(only_read);
            let tokenized = tokenize(&row, 0, &template, &Bytes::default(), limits(200));
            let text = |sample: &Sample, range: &Range<usize>| {
                let ids = &sample.tokens[range.clone()];
                let bytes: Vec<u8> = ids.iter().filter_map(|id| (*id).try_into().ok()).collect();
                String::from_utf8(bytes)
                    .unwrap()
                    .chars()
                    .find(char::is_ascii_lowercase)
            };
            let samples = tokenized.unwrap().samples;
            let trained = samples
                .iter()
                .flat_map(|s| s.trained.iter().map(|r| text(s, r)));
            trained.flatten().collect::<String>()
        };
        assert_eq!(trained(&[]), "bd", "{template}");
        assert_eq!(trained(&[1]), "d", "{template}");
        // Messages after the last trained answer are dropped.
        assert_eq!(trained(&[3]), "b", "{template}");
        assert_eq!(trained(&[1, 3]), "", "{template}");
    }
}

proptest! {
    #[test]
    fn trained_tokens_are_the_completion_and_eos(
        instruction in ".{0,12}",
        response in ".{0,12}",
        max_seq_len in 2..40_usize,
    ) {
        let prompt = 1 + instruction.len();
        let all: Vec<u32> = [BOS]
            .into_iter()
            .chain(instruction.bytes().chain(response.bytes()).map(u32::from))
            .chain([EOS])
            .collect();
        let tokenized = plain(&row(&instruction, &response), max_seq_len);
        prop_assert_eq!((tokenized.len, tokenized.prompt_len), (all.len(), prompt));
        let kept = all.len().min(max_seq_len);
        let truncated = usize::from(all.len() > max_seq_len && prompt < max_seq_len);
        prop_assert_eq!(tokenized.dropped.truncated, truncated);
        if prompt < max_seq_len {
            prop_assert_eq!(tokenized.samples.len(), 1);
            prop_assert_eq!(&tokenized.samples[0].tokens, &all[..kept]);
            prop_assert_eq!(&tokenized.samples[0].trained, &[prompt..kept]);
        } else {
            prop_assert!(tokenized.samples.is_empty());
            prop_assert_eq!(tokenized.dropped.prompt_too_long, 1);
        }
    }
}
