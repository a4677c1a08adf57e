use super::super::shape::ActivationShape;
use super::*;

/// 768 × 12, vocabulary 32,000: the model of the measured comparisons.
const MODEL: ModelShape = ModelShape {
    parameters: 134_105_856,
    block_parameters: 7_079_424,
    hidden_size: 768,
    intermediate_size: 2048,
    num_layers: 12,
    vocab_size: 32_000,
    activations: ActivationShape::llama(768, 2048, 12),
};

/// Rank 64 on all seven projections, 4 × 256 tokens.
const RUN: RunShape = RunShape {
    trainable_parameters: 12 * 64 * (5 * 768 + 2 * 2048),
    trains_base: false,
    base_bytes_per_parameter: 4,
    half_precision: Some("bf16"),
    batch_size: 4,
    max_seq_len: 256,
    chunk_ctx: None,
    recompute: true,
    chunked_head: true,
    head_chunk: 512,
    tiles: false,
    casts: true,
};

fn mib(run: &RunShape) -> u64 {
    Estimate::new(&MODEL, run).total() >> 20
}

fn term(run: &RunShape, index: usize) -> Term {
    Estimate::new(&MODEL, run).terms()[index].clone()
}

#[test]
fn memory_terms_equal_hand_computation() {
    let bytes: Vec<_> = Estimate::new(&MODEL, &RUN)
        .terms()
        .iter()
        .map(|term| term.bytes)
        .collect();
    let trainable = 12 * 64 * 7936;
    let scores = 12 * 256;
    let kept = 10 * 768 + 6 * 2048 + 3 * scores;
    let passing = 4 * 768 + 3 * 2048 + 2 * scores;
    assert_eq!(
        bytes,
        [
            134_105_856 * 4,
            trainable * 4 * 5,
            1024 * 768 * 13 * 4,
            4 * (1024 * (kept + passing) + 2 * 768 * 2048),
            4 * (3 * 512 * 32_000 + 2 * 1024 * 768),
            64 << 20,
        ]
    );
}

#[test]
fn tiled_attention_stores_no_scores() {
    let tiled = RunShape {
        tiles: true,
        casts: false,
        ..RUN
    };
    let work = |run: &RunShape| term(run, 3).bytes;
    let scores = 4 * 1024 * 5 * 12 * 256;
    assert_eq!(work(&RUN) - work(&tiled), scores);
    // Twice the length takes exactly twice the bytes, without the parts that do not grow.
    let longer = |len| RunShape {
        max_seq_len: len,
        ..tiled
    };
    let [one, two, four] = [256, 512, 1024].map(|len| work(&longer(len)));
    assert_eq!(four - two, 2 * (two - one));
    let half = RunShape {
        base_bytes_per_parameter: 2,
        ..RUN
    };
    let half_tiled = RunShape {
        tiles: true,
        casts: false,
        ..half
    };
    assert_eq!(work(&half) - work(&half_tiled), scores + 4 * 7_079_424);
    assert!(term(&half, 4).bytes - term(&half_tiled, 4).bytes == 4 * 32_000 * 768);
}

#[test]
fn estimate_is_close_to_measured_trainers() {
    // Other trainers take 3.1 GB with all activations kept and 2.2 GB with checkpointing. A chunked head
    // saves the 0.5 GB of logits.
    let both_on = mib(&RUN);
    let both_off = mib(&RunShape {
        recompute: false,
        chunked_head: false,
        ..RUN
    });
    assert!((900..1400).contains(&both_on), "{both_on}");
    assert!((2400..3600).contains(&both_off), "{both_off}");
}

#[test]
fn every_memory_setting_reduces_estimate() {
    let base = mib(&RUN);
    for larger in [
        RunShape {
            recompute: false,
            ..RUN
        },
        RunShape {
            chunked_head: false,
            ..RUN
        },
        RunShape {
            head_chunk: 1024,
            ..RUN
        },
        RunShape {
            batch_size: 8,
            ..RUN
        },
        RunShape {
            max_seq_len: 512,
            ..RUN
        },
        RunShape {
            trainable_parameters: RUN.trainable_parameters * 2,
            ..RUN
        },
        RunShape {
            trainable_parameters: MODEL.parameters,
            trains_base: true,
            ..RUN
        },
    ] {
        assert!(mib(&larger) > base, "{larger:?}");
    }
    let half = RunShape {
        base_bytes_per_parameter: 2,
        ..RUN
    };
    assert!(mib(&half) < base);
}

#[test]
fn full_fine_tuning_holds_gradient_and_two_moments() {
    let full = RunShape {
        trainable_parameters: MODEL.parameters,
        trains_base: true,
        ..RUN
    };
    let embedding = 32_000 * 768;
    assert_eq!(
        term(&full, 1).bytes,
        (MODEL.parameters * 12 + embedding * 4) as u64
    );
    assert_eq!(term(&full, 1).name, "gradients and AdamW's moments");
}

#[test]
fn a_chunk_is_no_longer_than_the_batch() {
    let long = RunShape {
        head_chunk: usize::MAX,
        ..RUN
    };
    let whole = RunShape {
        head_chunk: 1024,
        ..RUN
    };
    assert_eq!(mib(&long), mib(&whole));
}

#[test]
fn memory_error_names_numbers_and_setting() {
    let limit = |bytes| MemoryLimit {
        bytes,
        source: "this machine",
    };
    let off = RunShape {
        recompute: false,
        ..RUN
    };
    let estimate = Estimate::new(&MODEL, &off);
    assert_eq!(estimate.check(limit(estimate.total())), Ok(()));
    let error = estimate.check(limit(1 << 30)).expect_err("too large");
    let text = error.to_string();
    for part in [
        "this machine has 1.0 GiB",
        "base weights 511.6 MiB",
        "adapters, gradients and AdamW's moments 116.2 MiB",
        "activations of all blocks: set recompute true",
    ] {
        assert!(text.contains(part), "no '{part}' in {text}");
    }
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn memory_advice_depends_on_run() {
    let remedy = |run: &RunShape, index| term(run, index).remedy;
    assert!(remedy(&RUN, 0).contains("bf16"));
    let half = RunShape {
        base_bytes_per_parameter: 2,
        ..RUN
    };
    assert!(!remedy(&half, 0).contains("bf16"));
    assert!(remedy(&RUN, 2).contains("batch_size"));
    assert!(
        !remedy(
            &RunShape {
                batch_size: 1,
                ..RUN
            },
            2
        )
        .contains("batch_size")
    );
    assert!(remedy(&RUN, 4).contains("head_chunk"));
    assert!(
        remedy(
            &RunShape {
                chunked_head: false,
                ..RUN
            },
            4
        )
        .contains("chunked_head")
    );
}

#[test]
fn chunk_ctx_limits_activation_memory() {
    let long = RunShape {
        max_seq_len: 4096,
        batch_size: 2,
        ..RUN
    };
    let pieces = |chunk_ctx| RunShape {
        chunk_ctx: Some(chunk_ctx),
        ..long
    };
    let rwkv6 = ModelShape {
        activations: ActivationShape::rwkv6(768, 2048, 64),
        ..MODEL
    };
    let kept = |model, run: &RunShape| Estimate::new(model, run).terms()[2].bytes;
    // RWKV6 carries two tokens and one 64 × 64 state per head; LLaMA carries all keys and values.
    let states = 12 * 2 * 768 * (2 + 64) * 2 * 4;
    assert_eq!(kept(&rwkv6, &pieces(512)), 2 * 512 * 768 * 13 * 4 + states);
    let cache = 12 * 2 * 2 * 768 * 4096 * 2 * 4;
    assert_eq!(kept(&MODEL, &pieces(512)), 2 * 512 * 768 * 13 * 4 + cache);
    for model in [&MODEL, &rwkv6] {
        let total = |run: &RunShape| Estimate::new(model, run).total();
        assert!(total(&pieces(256)) < total(&pieces(512)));
        assert!(total(&pieces(512)) < total(&long));
    }
    // A piece of an RWKV6 sequence takes the same memory for any sequence length.
    let longer = RunShape {
        max_seq_len: 1 << 20,
        ..pieces(512)
    };
    let total = |run: &RunShape| Estimate::new(&rwkv6, run).total();
    assert_eq!(total(&longer), total(&pieces(512)));
    assert!(term(&long, 3).remedy.contains("set chunk_ctx"));
    for index in [2, 3, 4] {
        let remedy = term(&pieces(512), index).remedy;
        assert!(remedy.contains("or chunk_ctx"), "{remedy}");
    }
}

#[test]
fn huge_model_sizes_saturate() {
    let model = ModelShape {
        parameters: usize::MAX,
        hidden_size: usize::MAX,
        num_layers: usize::MAX,
        ..MODEL
    };
    let estimate = Estimate::new(&model, &RUN);
    assert_eq!(estimate.total(), u64::MAX);
    let limit = MemoryLimit {
        bytes: 1 << 40,
        source: "this container",
    };
    assert!(estimate.check(limit).is_err());
}
