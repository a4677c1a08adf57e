//! RWKV6 takes the same steps as LLaMA: every memory saving and every split gives the same loss and
//! gradients, whole and in pieces, with every method.

use super::*;
use bone_lm::Part;
use bone_rwkv6::{Names, Rwkv6, Rwkv6Config};

/// The trained parameters.
#[derive(Debug, Clone, Copy)]
enum Trains {
    Adapters(Variant, f64),
    /// Adapters, and every part in full: embedding, head, norms and `time_*`.
    WithParts(Variant),
    State,
    All,
}

const TRAINS: [Trains; 8] = [
    Trains::Adapters(Variant::Bone(BlockAxis::Input), 0.0),
    Trains::Adapters(Variant::Bone(BlockAxis::Output), 0.0),
    Trains::Adapters(Variant::Miss, 0.0),
    Trains::Adapters(Variant::Miss, 0.3),
    Trains::Adapters(Variant::MissMini { width: 4 }, 0.2),
    Trains::WithParts(Variant::Bone(BlockAxis::Input)),
    Trains::State,
    Trains::All,
];

fn rwkv6(trains: Trains, dtype: DType) -> Rwkv6<B> {
    let config = Rwkv6Config {
        vocab_size: 20,
        hidden_size: 16,
        num_hidden_layers: 2,
        head_size: 8,
        intermediate_size: 24,
        shift_rank: 3,
        decay_rank: 5,
        initial_state: false,
        names: Names::Rwkv,
    };
    // The published initialization has zeros in many places, which would block gradients.
    let model = Rwkv6::random(config, 5, &Default::default());
    let model = model.map(&mut Shift).map(&mut Cast(dtype));
    let adapted = |model: Rwkv6<B>, variant, dropout| {
        let config = AdapterConfig::new(variant, 4, AdapterTargets::new(Selection::AllLinear));
        let model = bone::attach(model, &config.with_dropout(dropout)).expect("fits");
        bone::freeze_base(model.map(&mut Shift).map(&mut Cast(dtype)))
    };
    match trains {
        Trains::Adapters(variant, dropout) => adapted(model, variant, dropout),
        Trains::WithParts(variant) => {
            let model = adapted(model, variant, 0.0);
            let parts = [Part::Time, Part::Norm, Part::Embedding, Part::Head];
            let names = bone::weights::infos::<B, _>(&model).into_keys();
            let whole: Vec<_> = names
                .filter(|name| {
                    model
                        .part_of(name)
                        .is_some_and(|part| parts.contains(&part))
                })
                .collect();
            bone::train_also::<B, _>(model, |name| whole.iter().any(|whole| whole == name))
                .expect("no adapter there")
        }
        Trains::State => {
            let model = model.with_initial_state().expect("it has one");
            let model = bone::freeze_base::<B, _>(model.map(&mut Shift).map(&mut Cast(dtype)));
            bone::train_also::<B, _>(model, |name| name.ends_with("time_state"))
                .expect("no adapter there")
        }
        Trains::All => bone::unfreeze_all(model),
    }
}

/// Returns a model for every training method that supports packing.
pub(super) fn models(dtype: DType) -> Vec<(String, Rwkv6<B>)> {
    let packs = |trains: &Trains| match trains {
        // Dropout is drawn by row. A tuned state belongs to the start of a row.
        Trains::Adapters(_, dropout) => *dropout == 0.0,
        Trains::State => false,
        Trains::WithParts(_) | Trains::All => true,
    };
    let model = |trains: Trains| (format!("{trains:?}"), rwkv6(trains, dtype));
    TRAINS.into_iter().filter(packs).map(model).collect()
}

const WAYS: [Savings; 4] = [
    Savings {
        recompute: true,
        head_chunk: None,
    },
    Savings {
        recompute: false,
        head_chunk: Some(3),
    },
    Savings {
        recompute: true,
        head_chunk: Some(3),
    },
    Savings {
        recompute: true,
        head_chunk: Some(1000),
    },
];

fn assert_rwkv6_savings_agree(dtype: DType, tolerance: f64) {
    for trains in TRAINS {
        let model = rwkv6(trains, dtype);
        for chunk_ctx in [None, Some(4)] {
            let (loss, grads) = run_in_pieces(&model, 8, PLAIN, chunk_ctx);
            assert!(!grads.is_empty() && loss > 0.0);
            for size in [8, 4, 1] {
                for savings in WAYS {
                    let (other_loss, other) = run_in_pieces(&model, size, savings, chunk_ctx);
                    let context = format!("{trains:?} {dtype:?} {size} {savings:?} {chunk_ctx:?}");
                    let off = (loss - other_loss).abs() / loss;
                    assert!(off < tolerance, "{context}: loss is off by {off}");
                    assert_same(&grads, &other, tolerance, &context);
                }
            }
        }
    }
}

#[test]
fn savings_and_splits_change_nothing_in_f64() {
    assert_rwkv6_savings_agree(DType::F64, 1e-10);
}

#[test]
fn savings_and_splits_change_nothing_in_f32() {
    assert_rwkv6_savings_agree(DType::F32, 1e-5);
}

#[test]
fn loss_in_pieces_equals_whole_loss() {
    for trains in TRAINS {
        if matches!(trains, Trains::Adapters(_, dropout) if dropout > 0.0) {
            continue;
        }
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-5)] {
            let context = format!("{trains:?} {dtype:?}");
            pieces::loss_is_the_whole(&rwkv6(trains, dtype), tolerance, &context);
        }
    }
}

#[test]
fn rwkv6_gradients_match_finite_differences() {
    let count: usize = samples().iter().map(Sample::trained_tokens).sum();
    for trains in [TRAINS[0], TRAINS[1], TRAINS[2], TRAINS[6], TRAINS[7]] {
        let model = rwkv6(trains, DType::F64);
        let (_, grads) = run(&model, 8, WAYS[2]);
        let h = 1e-5;
        for (&id, grad) in &grads {
            for entry in [0, grad.len() / 2] {
                let at = |delta| {
                    let moved = model.clone().map(&mut Nudge { id, entry, delta });
                    run(&moved, 8, WAYS[2]).0 / count as f64
                };
                let numeric = (at(h) - at(-h)) / (2.0 * h);
                let off = (grad[entry] - numeric).abs();
                assert!(
                    off < 1e-7 * grad[entry].abs().max(0.1),
                    "{trains:?} {id}: {} and {numeric}",
                    grad[entry]
                );
            }
        }
    }
}
