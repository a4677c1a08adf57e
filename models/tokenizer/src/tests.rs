#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// Returns a tokenizer like LLaMA2's: pieces with byte fallback, `▁` for a space, and one in front.
///
/// Ids: 0 `<unk>`, 1 `<s>`, 2 `</s>`, 3 to 258 the bytes, then the pieces, `ab` the only merge.
pub(super) fn llama_json(adds_bos: bool) -> Value {
    let mut vocab = serde_json::Map::new();
    let bytes = (0..256).map(|byte| format!("<0x{byte:02X}>"));
    let names = ["<unk>", "<s>", "</s>"].map(str::to_owned).into_iter();
    let pieces = ["▁", "a", "b", "c", "d", ":", "ab", "▁a"].map(str::to_owned);
    for (id, piece) in names.chain(bytes).chain(pieces).enumerate() {
        vocab.insert(piece, id.into());
    }
    let special = |id: u32, content: &str| {
        json!({"id": id, "content": content, "single_word": false, "lstrip": false,
               "rstrip": false, "normalized": false, "special": true})
    };
    let post_processor = adds_bos.then(|| {
        json!({
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}},
        })
    });
    json!({
        "version": "1.0",
        // Truncation settings of a past run must not cut texts.
        "truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 5}, "direction": "Right", "pad_to_multiple_of": null,
                    "pad_id": 0, "pad_type_id": 0, "pad_token": "<unk>"},
        "added_tokens": [special(0, "<unk>"), special(1, "<s>"), special(2, "</s>")],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": "▁"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "▁"},
        ]},
        "pre_tokenizer": null,
        "post_processor": post_processor,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"}, {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true,
                  "vocab": vocab, "merges": [["a", "b"], ["▁", "a"]]},
    })
}

fn llama() -> HfTokenizer {
    HfTokenizer::from_json(llama_json(true).to_string().as_bytes(), Some(1), vec![2]).unwrap()
}

fn folder(files: &[(&str, Value)]) -> Result<HfTokenizer, TokenizerError> {
    let dir = tempfile::tempdir().unwrap();
    for (name, value) in files {
        fs::write(dir.path().join(name), value.to_string()).unwrap();
    }
    HfTokenizer::from_file(&dir.path().join("tokenizer.json"))
}

pub(super) fn assets() -> Option<PathBuf> {
    let path = std::env::var_os("BONE_ASSETS").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/assets"),
        PathBuf::from,
    );
    if !path.is_dir() {
        println!("skipped: assets not found");
        return None;
    }
    Some(path)
}

#[test]
fn encodes_and_decodes() {
    let tokenizer = llama();
    assert_eq!(tokenizer.encode("ab a").unwrap(), [259, 265, 266]);
    assert_eq!(tokenizer.encode("").unwrap(), [0u32; 0]);
    assert_eq!(
        tokenizer.encode("é</s>").unwrap(),
        [259, 3 + 0xC3, 3 + 0xA9, 2]
    );
    assert_eq!(tokenizer.decode(&[1, 259, 265, 266, 2]).unwrap(), "ab a");
    // A model with a padded output may produce such an id.
    assert_eq!(tokenizer.decode(&[266, 100_000]).unwrap(), "a");
    assert_eq!(tokenizer.vocab_size(), 267);
    let long = "abcd".repeat(100);
    assert_eq!(
        tokenizer.decode(&tokenizer.encode(&long).unwrap()).unwrap(),
        long
    );
}

#[test]
fn special_tokens_come_from_the_first_file_that_names_them() {
    let tokenizer_json = || ("tokenizer.json", llama_json(true));
    let config = || ("config.json", json!({"eos_token_id": 2, "bos_token_id": 1}));
    let tokenizer = folder(&[tokenizer_json(), config()]).unwrap();
    assert_eq!((tokenizer.bos(), tokenizer.eos()), (Some(1), &[2][..]));

    let generation = |ids: Value| ("generation_config.json", json!({ "eos_token_id": ids }));
    let tokenizer = folder(&[tokenizer_json(), config(), generation(json!([0, 2]))]).unwrap();
    assert_eq!(tokenizer.eos(), [0, 2]);
    for empty in [json!(null), json!([])] {
        let tokenizer = folder(&[tokenizer_json(), config(), generation(empty)]).unwrap();
        assert_eq!(tokenizer.eos(), [2]);
    }
    for named in [json!("</s>"), json!({"content": "</s>"})] {
        let named = ("tokenizer_config.json", json!({ "eos_token": named }));
        assert_eq!(folder(&[tokenizer_json(), named]).unwrap().eos(), [2]);
    }
}

#[test]
fn bos_follows_tokenizer_settings() {
    let bos = |adds: bool, config: Value, tokenizer_config: Value| {
        folder(&[
            ("tokenizer.json", llama_json(adds)),
            ("generation_config.json", json!({"eos_token_id": 2})),
            ("config.json", config),
            ("tokenizer_config.json", tokenizer_config),
        ])
        .map(|tokenizer| tokenizer.bos())
    };
    let config = || json!({"bos_token_id": 1});
    assert_eq!(bos(true, config(), json!({})).unwrap(), Some(1));
    assert_eq!(bos(true, json!({}), json!({})).unwrap(), Some(1));
    assert_eq!(bos(false, config(), json!({})).unwrap(), None);
    assert_eq!(
        bos(true, config(), json!({"add_bos_token": false})).unwrap(),
        None
    );
    assert_eq!(
        bos(false, config(), json!({"add_bos_token": true})).unwrap(),
        Some(1)
    );
    let named = json!({"add_bos_token": true, "bos_token": "<s>"});
    assert_eq!(bos(false, json!({}), named).unwrap(), Some(1));
    let error = bos(false, json!({}), json!({"add_bos_token": true})).unwrap_err();
    assert!(error.to_string().contains("bos_token_id"), "{error}");
    assert!(bos(true, json!({}), json!({"add_bos_token": 1})).is_err());
}

#[test]
fn unusable_folder_error_gives_fix() {
    let message = |files: &[(&str, Value)]| folder(files).unwrap_err().to_string();
    let tokenizer_json = || ("tokenizer.json", llama_json(true));
    assert!(message(&[("tokenizer.json", json!({}))]).contains("tokenizer.json is invalid"));
    let without_eos = message(&[tokenizer_json()]);
    for part in ["eos_token_id", "generation_config.json"] {
        assert!(without_eos.contains(part), "no {part} in: {without_eos}");
    }
    let all = message(&[
        tokenizer_json(),
        ("config.json", json!({"eos_token_id": [2, 999, -1, "x"]})),
        ("tokenizer_config.json", json!({"add_bos_token": 0})),
    ]);
    for part in ["999", "-1", "\"x\"", "add_bos_token"] {
        assert!(all.contains(part), "no {part} in: {all}");
    }
    let named = ("tokenizer_config.json", json!({"eos_token": "<end>"}));
    assert!(message(&[tokenizer_json(), named]).contains("<end>"));

    let json = llama_json(true).to_string();
    assert!(HfTokenizer::from_json(json.as_bytes(), None, vec![]).is_err());
    assert!(HfTokenizer::from_json(json.as_bytes(), Some(267), vec![2]).is_err());
}

#[test]
fn invalid_tokenizer_files_are_errors_not_panics() {
    let with = |path: &str, value: Value| {
        let mut json = llama_json(true);
        *json.pointer_mut(path).unwrap() = value;
        json
    };
    // A token that the post-processor uses but does not define.
    let undefined = with("/post_processor/single/0/SpecialToken/id", json!("x"));
    let config = || ("config.json", json!({"eos_token_id": 2}));
    let error = folder(&[("tokenizer.json", undefined), config()]).unwrap_err();
    assert!(
        matches!(error, TokenizerError::SpecialTokens { .. }),
        "{error:?}"
    );
    let charsmap = json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"});
    let error = folder(&[("tokenizer.json", with("/normalizer", charsmap)), config()]).unwrap_err();
    assert!(matches!(error, TokenizerError::Invalid { .. }), "{error:?}");
}

/// Returns the ids of a prompt and its response by the plain rule, and the number of the prompt's
/// ids. The ids are those of both as one text if they begin with the prompt's, otherwise of each
/// alone.
pub(super) fn encode_prompt_and_response(
    tokenizer: &dyn Tokenizer,
    prompt: &str,
    response: &str,
) -> Result<(Vec<u32>, usize), TokenizerError> {
    let prompt_ids = tokenizer.encode(prompt)?;
    let joint_ids = tokenizer.encode(&format!("{prompt}{response}"))?;
    let mut ids: Vec<u32> = tokenizer.bos().into_iter().collect();
    let prompt_len = ids.len() + prompt_ids.len();
    if joint_ids.starts_with(&prompt_ids) {
        ids.extend(joint_ids);
    } else {
        ids.extend(prompt_ids);
        ids.extend(tokenizer.encode(response)?);
    }
    Ok((ids, prompt_len))
}

/// Computes the same by pieces.
fn by_pieces(tokenizer: &HfTokenizer, prompt: &str, response: &str) -> (Vec<u32>, usize) {
    let pieces = [Piece::Bos, Piece::read(prompt), Piece::trained(response)];
    let Encoded { ids, trained } = encode_pieces(tokenizer, &pieces).unwrap();
    let prompt_len = trained.first().map_or(ids.len(), |range| range.start);
    (ids, prompt_len)
}

#[test]
fn prompt_ids_equal_prompt_encoded_alone() {
    let tokenizer = llama();
    let (ids, prompt_len) = by_pieces(&tokenizer, "a:", "b c");
    assert_eq!(tokenizer.decode(&ids).unwrap(), "a:b c");
    assert_eq!(&ids[..prompt_len], [1, 266, 264]);
    assert_eq!(&ids[prompt_len..], [261, 259, 262]);
    // "ca" and "b" would form one token across the seam.
    let (ids, prompt_len) = by_pieces(&tokenizer, "ca", "b");
    assert_eq!(&ids[..prompt_len], [1, 259, 262, 260]);
    assert_eq!(&ids[prompt_len..], [259, 261]);
    let (ids, prompt_len) = by_pieces(&tokenizer, "", "");
    assert_eq!((ids, prompt_len), (vec![1], 1));
}

pub(super) fn stream(mut stream: TextStream<'_>, ids: &[u32]) -> Vec<String> {
    let mut pieces: Vec<_> = ids
        .iter()
        .filter_map(|&id| stream.push(id).unwrap())
        .collect();
    pieces.extend(stream.finish().unwrap());
    pieces
}

#[test]
fn stream_holds_back_incomplete_characters() {
    let tokenizer = llama();
    let ids = tokenizer.encode("a é€😀b").unwrap();
    let pieces = stream(TextStream::new(&tokenizer), &ids);
    assert_eq!(pieces, ["a", " ", "é", "€", "😀", "b"]);

    // A space is kept where the text continues another, and dropped at the start.
    let pieces = stream(
        TextStream::after(&tokenizer, &[1, 266]).unwrap(),
        &[266, 2, 266],
    );
    assert_eq!(pieces, [" a", " a"]);
    assert_eq!(stream(TextStream::new(&tokenizer), &[2, 266]), ["a"]);

    // Half a character at the end, and bytes that never form one.
    let half = stream(TextStream::new(&tokenizer), &[260, 3 + 0xE2]);
    assert_eq!(half, ["a", "\u{FFFD}"]);
    let mut broken = TextStream::new(&tokenizer);
    let given = (0..5).find_map(|_| broken.push(3 + 0xFF).unwrap());
    assert!(given.is_some(), "text is held back for ever");
    assert_eq!(broken.push(260).unwrap().unwrap(), "a");
}

#[test]
fn llama2_tokenizer_matches_vectors() {
    let Some(assets) = assets() else { return };
    let json = fs::read(assets.join("tokenizers/llama2_tokenizer.json")).unwrap();
    let tokenizer = HfTokenizer::from_json(&json, Some(1), vec![2]).unwrap();
    assert_eq!(tokenizer.vocab_size(), 32_000);
    let vectors = fs::read(assets.join("tokenizers/llama2_tokenizer_vectors.json")).unwrap();
    let vectors: Vec<Value> = serde_json::from_slice(&vectors).unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let text = vector["text"].as_str().unwrap();
        let ids: Vec<u32> = serde_json::from_value(vector["ids"].clone()).unwrap();
        let decoded = vector["decoded"].as_str().unwrap();
        assert_eq!(tokenizer.encode(text).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.decode(&ids).unwrap(), decoded, "{text:?}");
        let pieces = stream(TextStream::new(&tokenizer), &ids);
        assert_eq!(pieces.concat(), decoded, "{text:?}");
    }
}

#[test]
fn published_tokenizers_round_trip_text() {
    let Some(assets) = assets() else { return };
    for (model, vocab_size) in [("stories260k", 512), ("babyllama-tok105", 105)] {
        let tokenizer =
            HfTokenizer::from_file(&assets.join("models").join(model).join("tokenizer.json"))
                .unwrap();
        assert_eq!(tokenizer.bos(), Some(1), "{model}");
        assert_eq!(tokenizer.eos(), [2], "{model}");
        assert_eq!(tokenizer.vocab_size(), vocab_size, "{model}");
        let text = "Once upon a time, there was a little girl.";
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(tokenizer.decode(&ids).unwrap(), text, "{model}");
    }
}

proptest! {
    #[test]
    fn streamed_text_equals_decoded_text(text in "[abcd :é€😀]{0,20}") {
        let tokenizer = llama();
        let ids = tokenizer.encode(&text).unwrap();
        let decoded = tokenizer.decode(&ids).unwrap();
        prop_assert_eq!(&decoded, &text);
        prop_assert_eq!(stream(TextStream::new(&tokenizer), &ids).concat(), decoded);
    }

    #[test]
    fn any_ids_stream_without_panic(ids in prop::collection::vec(0u32..300, 0..30)) {
        let tokenizer = llama();
        let pieces = stream(TextStream::new(&tokenizer), &ids);
        prop_assert!(pieces.iter().all(|piece| !piece.is_empty()));
    }

    #[test]
    fn prompt_tokens_are_prefix_of_training_tokens(prompt in "[abc :é]{0,10}", response in "[abc :é]{0,10}") {
        let tokenizer = llama();
        let (ids, prompt_len) = by_pieces(&tokenizer, &prompt, &response);
        let mut alone = vec![1];
        alone.extend(tokenizer.encode(&prompt).unwrap());
        prop_assert_eq!(&ids[..prompt_len], alone);
        let own = tokenizer.encode(&response).unwrap();
        let joint = tokenizer.encode(&format!("{prompt}{response}")).unwrap();
        prop_assert!(ids[prompt_len..] == own || ids[1..] == joint);
    }
}
