//! Compares RWKV6's forward with published logits: at once, in pieces, byte by byte.

use bone_lm::generate::token_tensor;
use bone_lm::generate::{GenerateConfig, generate};
use bone_lm::sampling::SamplingConfig;
use bone_lm::{Block, CausalLm, Span};
use bone_rwkv6::{Form, Rwkv6, Rwkv6State};
use bone_tests::{Record, assets, fixtures, max_difference};
use burn::backend::Flex;
use burn::tensor::{DType, FloatDType, Tensor};
use std::path::Path;

fn load(path: &Path) -> Rwkv6<Flex> {
    Rwkv6::from_path(path, &Default::default(), Some(FloatDType::F32)).expect("loads")
}

type State = Rwkv6State<Flex>;

/// Returns the logits of every position of one piece, and updates the states.
fn piece(model: &Rwkv6<Flex>, tokens: &[u32], span: Span, states: &mut [State]) -> Vec<f32> {
    let context = model.context(&span);
    let tokens = token_tensor(tokens, span.batch, span.len, &Default::default());
    let mut hidden = model.embed(tokens);
    for (block, state) in model.blocks().iter().zip(states) {
        hidden = block.forward(hidden, &context, Some(state));
    }
    let data = model.head(hidden).into_data().convert_dtype(DType::F32);
    data.iter::<f32>().collect()
}

fn start(model: &Rwkv6<Flex>) -> Vec<State> {
    vec![State::default(); model.blocks().len()]
}

/// Returns the logits of every position of rows `[batch, len]`, fed in pieces of these lengths with
/// carried state, in the order of a single forward, and the final states.
fn in_pieces(
    model: &Rwkv6<Flex>,
    tokens: &[u32],
    batch: usize,
    pieces: &[usize],
) -> (Vec<f32>, Vec<State>) {
    let len = tokens.len() / batch;
    assert_eq!(pieces.iter().sum::<usize>(), len);
    let mut states = start(model);
    let mut rows = vec![Vec::new(); batch];
    let mut past = 0;
    for &size in pieces {
        let part: Vec<u32> = tokens
            .chunks_exact(len)
            .flat_map(|row| &row[past..past + size])
            .copied()
            .collect();
        let span = Span {
            batch,
            past,
            len: size,
            left_pad: Vec::new(),
            starts: Vec::new(),
        };
        let logits = piece(model, &part, span, &mut states);
        for (row, logits) in rows
            .iter_mut()
            .zip(logits.chunks_exact(logits.len() / batch))
        {
            row.extend_from_slice(logits);
        }
        past += size;
    }
    (rows.concat(), states)
}

fn values<const D: usize>(tensor: &Option<Tensor<Flex, D>>) -> Vec<f32> {
    let tensor = tensor.clone().expect("carried");
    tensor.into_data().iter::<f32>().collect()
}

/// The fixtures and the folders of their records: RWKV's names, Hugging Face's names in two bf16 shards
/// with heads of 12, and a `.pth`.
fn models() -> [(Rwkv6<Flex>, Record); 3] {
    [
        ("rwkv6-tiny", "rwkv6-tiny"),
        ("rwkv6-tiny-head12", "rwkv6-tiny-head12"),
        ("rwkv6-tiny-pth/model.pth", "rwkv6-tiny"),
    ]
    .map(|(model, record)| {
        let record = fixtures().join(record).join("golden.safetensors");
        (load(&fixtures().join(model)), Record::open(&record))
    })
}

#[test]
fn whole_and_split_text_give_recorded_logits() {
    for (model, record) in models() {
        let (tokens, logits) = (record.tokens("tokens"), record.floats("logits"));
        let (next, next_logits) = (record.tokens("next_tokens"), record.floats("next_logits"));
        let all: Vec<u32> = tokens
            .chunks_exact(20)
            .zip(next.chunks_exact(7))
            .flat_map(|(first, next)| [first, next].concat())
            .collect();
        for form in [None, Some(Form::Recurrence), Some(Form::Chunked)] {
            let model = model.clone().with_wkv6_form(form);
            for pieces in [&[20][..], &[1, 16, 3], &[1; 20]] {
                let (got, states) = in_pieces(&model, &tokens, 2, pieces);
                let off = max_difference(&got, &logits);
                assert!(off < 1e-4, "{pieces:?} {form:?}: {off}");
                for (layer, state) in states.iter().enumerate() {
                    for (name, got) in [
                        ("att_shift", values(&state.att_shift)),
                        ("wkv", values(&state.wkv)),
                        ("ffn_shift", values(&state.ffn_shift)),
                    ] {
                        let expected = record.floats(&format!("state.{layer}.{name}"));
                        let off = max_difference(&got, &expected);
                        assert!(off < 1e-4, "{layer} {name} {pieces:?} {form:?}: {off}");
                    }
                }
            }
            let (got, _) = in_pieces(&model, &all, 2, &[20, 7]);
            let vocab = model.vocab_size();
            let after: Vec<f32> = got
                .chunks_exact(27 * vocab)
                .flat_map(|row| &row[20 * vocab..])
                .copied()
                .collect();
            let off = max_difference(&after, &next_logits);
            assert!(off < 1e-4, "continued with {form:?}: {off}");
        }
    }
}

#[test]
fn left_padding_keeps_logits_and_states() {
    // Products of 20 rows and of 40 or more sum in different orders.
    const ROUNDING: f32 = 5e-5;
    for (model, record) in models() {
        let tokens = &record.tokens("tokens")[..20];
        let vocab = model.vocab_size();
        let (alone, expected) = in_pieces(&model, tokens, 1, &[20]);
        for pad in [1, 5, 17] {
            // A padded row beside a row of the batch's full length.
            let longer = [&tokens[..pad], tokens].concat();
            let padded = [vec![7; pad], tokens.to_vec()].concat();
            let span = Span {
                batch: 2,
                past: 0,
                len: 20 + pad,
                left_pad: vec![pad, 0],
                starts: Vec::new(),
            };
            let mut states = start(&model);
            let logits = piece(&model, &[padded, longer].concat(), span, &mut states);
            let row = &logits[pad * vocab..(20 + pad) * vocab];
            let off = max_difference(row, &alone);
            assert!(off < ROUNDING, "{pad}: {off}");
            for (state, expected) in states.iter().zip(&expected) {
                let first = |values: Vec<f32>| values[..values.len() / 2].to_vec();
                for (got, expected) in [
                    (values(&state.wkv), values(&expected.wkv)),
                    (values(&state.att_shift), values(&expected.att_shift)),
                    (values(&state.ffn_shift), values(&expected.ffn_shift)),
                ] {
                    let off = max_difference(&first(got), &expected);
                    assert!(off < ROUNDING, "{pad}: {off}");
                }
            }
        }
    }
}

#[test]
fn fixtures_give_their_greedy_text_alone_and_in_a_batch() {
    for (model, record) in models() {
        let (prompt, expected) = (record.tokens("prompt"), record.tokens("greedy"));
        let config = GenerateConfig {
            sampling: SamplingConfig::default(),
            max_new_tokens: expected.len(),
            stop: Vec::new(),
        };
        let longer = [&prompt[..1], &prompt[..]].concat();
        let prompts = [prompt[..3].to_vec(), prompt, longer];
        for prompts in [&prompts[1..2], &prompts] {
            let texts = generate(&model, prompts, &config, &Default::default(), |_, _| {})
                .expect("generates");
            assert_eq!(texts[prompts.len() / 2], expected);
        }
    }
}

#[test]
fn whole_and_split_text_give_published_logits() {
    let Some(assets) = assets() else { return };
    let folder = assets.join("models/rwkv6-1m");
    let expected = std::fs::read(folder.join("expected-logits.bin")).expect("readable");
    let expected: Vec<f32> = expected
        .chunks_exact(4)
        .map(|bytes| f32::from_le_bytes(bytes.try_into().expect("four")))
        .collect();
    let prompt = b"\"in".map(u32::from);
    for file in ["model.safetensors", "model.pth"] {
        for form in [None, Some(Form::Recurrence), Some(Form::Chunked)] {
            let model = load(&folder.join(file)).with_wkv6_form(form);
            for pieces in [&[3][..], &[2, 1], &[1, 2], &[1, 1, 1]] {
                let (logits, _) = in_pieces(&model, &prompt, 1, pieces);
                let last = &logits[logits.len() - 256..];
                let off = max_difference(last, &expected);
                assert!(off < 1e-4, "{file} in {pieces:?} with {form:?}: {off}");
            }
        }
    }
}

#[test]
fn blocks_have_to_be_numbered_without_a_gap() {
    use bone_lm::checkpoint::{self, Checkpoint};
    let folder = tempfile::tempdir().expect("a folder");
    let whole = Checkpoint::open_path(&fixtures().join("rwkv6-tiny")).expect("whole");
    let tensors = whole.tensors().map(|(name, _)| {
        let data = whole.data(name).expect("readable");
        (name.replace("blocks.2.", "blocks.7000000."), data)
    });
    let to = folder.path().join("model");
    checkpoint::save(&to, tensors, u64::MAX, Default::default()).expect("written");
    let error = Rwkv6::<Flex>::from_path(&to, &Default::default(), None).expect_err("a gap");
    let error = error.to_string();
    assert!(
        error.contains("blocks.2 is missing, but blocks.7000000"),
        "{error}"
    );
    assert!(error.lines().count() < 4, "{error}");
}
