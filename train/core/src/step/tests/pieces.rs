//! Sequences in pieces: the loss of whole sequences, and the gradient up to a piece's boundary.

use super::recurrent::recurrent;
use super::*;
use bone_lm::{Span, generate::token_tensor};
use burn::optim::GradientsParams;
use burn::tensor::{TensorData, activation::log_softmax};
use proptest::prelude::*;

/// Every combination of memory savings.
const SAVINGS: [Savings; 4] = [
    PLAIN,
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
];

/// The longest of [`samples`] has 10 tokens, 9 of them inputs.
const SIZES: [usize; 5] = [1, 2, 4, 8, 9];

fn whole_batch() -> Batch {
    Batch::new(&samples(), 0)
}

fn cases_without_dropout() -> impl Iterator<Item = Case> {
    cases().into_iter().filter(|case| case.dropout == 0.0)
}

/// Checks that training and evaluation in pieces of every size give the loss of whole sequences.
pub(super) fn loss_is_the_whole<M: TrainModel<B>>(model: &M, tolerance: f64, context: &str) {
    let (expected, _) = run(model, 8, PLAIN);
    assert!(expected > 0.0);
    for chunk_ctx in 1..=10 {
        // Another test checks that all four combinations agree.
        for savings in [SAVINGS[0], SAVINGS[3]] {
            let (loss, _) = run_in_pieces(model, 8, savings, Some(chunk_ctx));
            let off = (loss - expected).abs() / expected;
            assert!(off < tolerance, "{context} {chunk_ctx} {savings:?}: {off}");
        }
        for head_chunk in [None, Some(3)] {
            let device = Default::default();
            let batch = whole_batch();
            let sum = loss_sum(&model.valid(), &batch, head_chunk, Some(chunk_ctx), &device);
            let loss: f64 = sum.into_data().iter::<f64>().sum();
            let off = (loss - expected).abs() / expected;
            assert!(
                off < tolerance,
                "{context} {chunk_ctx} {head_chunk:?}: {off}"
            );
        }
    }
}

#[test]
fn loss_in_pieces_equals_whole_loss() {
    for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-5)] {
        for case in cases_without_dropout() {
            let context = format!("{case:?} {dtype:?}");
            loss_is_the_whole(&model(case, dtype), tolerance, &context);
        }
        let context = format!("recurrent {dtype:?}");
        loss_is_the_whole(&recurrent(false, dtype), tolerance, &context);
    }
}

/// Checks that savings and micro-batch splits change nothing. The same masks are drawn again, and padding
/// beside longer rows has no effect.
fn assert_savings_agree_in_pieces<M: TrainModel<B>>(model: &M, context: &str) {
    for chunk_ctx in [2, 4] {
        let (loss, grads) = run_in_pieces(model, 8, PLAIN, Some(chunk_ctx));
        assert!(!grads.is_empty());
        for (size, ways) in [(8, &SAVINGS[1..]), (1, &SAVINGS[3..])] {
            for &savings in ways {
                let context = format!("{context} {chunk_ctx} {size} {savings:?}");
                let (other_loss, other) = run_in_pieces(model, size, savings, Some(chunk_ctx));
                assert!((loss - other_loss).abs() < 1e-10 * loss, "{context}");
                assert_same(&grads, &other, 1e-10, &context);
            }
        }
    }
}

#[test]
fn savings_and_splits_change_nothing_in_pieces() {
    for case in cases() {
        assert_savings_agree_in_pieces(&model(case, DType::F64), &format!("{case:?}"));
    }
    for only_initial in [false, true] {
        let model = recurrent(only_initial, DType::F64);
        assert_savings_agree_in_pieces(&model, &format!("recurrent {only_initial}"));
    }
}

/// The first piece has the same dropout masks as whole sequences, so this holds with dropout.
#[test]
fn single_piece_equals_whole_batch_exactly() {
    for case in cases() {
        let model = model(case, DType::F32);
        for savings in SAVINGS {
            let expected = run(&model, 8, savings);
            for chunk_ctx in [9, 10, 1000, usize::MAX] {
                let other = run_in_pieces(&model, 8, savings, Some(chunk_ctx));
                assert_eq!(expected, other, "{case:?} {savings:?} {chunk_ctx}");
            }
        }
    }
}

/// Computes loss and gradients from the logits of every position, with one graph per piece and detached
/// states between pieces.
fn reference_by_piece<M: TrainModel<B>>(
    model: &M,
    batch: &Batch,
    chunk_ctx: usize,
) -> (f64, Grads) {
    let device = Default::default();
    let count = batch.trained_tokens() as f64;
    let mut states = vec![State::<B, M>::default(); model.blocks().len()];
    let (mut loss, mut sum) = (0.0, Grads::new());
    let column = |t: usize| (0..batch.rows).map(move |row| row * batch.len + t);
    let mut start = 0;
    while start + 1 < batch.len {
        let end = (start + chunk_ctx).min(batch.len - 1);
        let context = model.context(&Span {
            past: start,
            ..Span::whole(batch.rows, end - start)
        });
        let tokens: Vec<u32> = (0..batch.rows)
            .flat_map(|row| (start..end).map(move |t| row * batch.len + t))
            .map(|at| batch.tokens[at])
            .collect();
        let mut hidden = model.embed(token_tensor(&tokens, batch.rows, end - start, &device));
        for (block, state) in model.blocks().iter().zip(&mut states) {
            hidden = block.forward(hidden, &context, Some(state));
        }
        let log_p = log_softmax(model.head(hidden), 2);
        let mut total = log_p.clone().sum().mul_scalar(0.0);
        for t in start..end {
            for (row, at) in column(t + 1).enumerate() {
                if batch.loss_mask[at] {
                    let (t, token) = (t - start, batch.tokens[at] as usize);
                    let p = log_p
                        .clone()
                        .slice([row..row + 1, t..t + 1, token..token + 1]);
                    total = total - p.reshape([1]);
                }
            }
        }
        loss += total.clone().into_data().iter::<f64>().sum::<f64>();
        let mut all = total.mul_scalar(1.0 / count).backward();
        let grads = GradientsParams::from_module::<B, M>(&mut all, model);
        visit_floats(model, |param: FloatParam<'_, B>| {
            if let Some(grad) = grads.get::<Flex, 1>(param.id) {
                let values: Vec<f64> = grad.into_data().iter().collect();
                let sum = sum.entry(param.id).or_insert(vec![0.0; values.len()]);
                sum.iter_mut().zip(values).for_each(|(sum, v)| *sum += v);
            }
        });
        states = states
            .iter()
            .map(|state| State::<B, M>::from_inner(state.valid()))
            .collect();
        start = end;
    }
    (loss, sum)
}

fn assert_matches_reference<M: TrainModel<B>>(model: &M, context: &str) {
    let batch = whole_batch();
    for chunk_ctx in SIZES {
        let (expected_loss, expected) = reference_by_piece(model, &batch, chunk_ctx);
        for savings in SAVINGS {
            let context = format!("{context} {chunk_ctx} {savings:?}");
            let (loss, grads) = run_in_pieces(model, 8, savings, Some(chunk_ctx));
            assert!((loss - expected_loss).abs() < 1e-10 * loss, "{context}");
            assert_same(&expected, &grads, 1e-10, &context);
        }
    }
}

#[test]
fn gradients_match_separate_graph_per_piece() {
    for case in cases_without_dropout() {
        assert_matches_reference(&model(case, DType::F64), &format!("{case:?}"));
    }
    for only_initial in [false, true] {
        let model = recurrent(only_initial, DType::F64);
        assert_matches_reference(&model, &format!("recurrent {only_initial}"));
    }
}

/// Returns `batch` with its mask kept only at positions that `keep` accepts.
fn masked(batch: &Batch, keep: impl Fn(usize) -> bool) -> Batch {
    let mut batch = batch.clone();
    for (at, trained) in batch.loss_mask.iter_mut().enumerate() {
        *trained &= keep(at % batch.len);
    }
    batch
}

#[test]
fn gradient_stops_at_piece_boundary() {
    let case = cases()[4];
    assert_eq!((case.name, case.dropout), ("miss", 0.0));
    let model = model(case, DType::F64);
    let (_, whole) = run(&model, 8, PLAIN);
    let (_, pieces) = run_in_pieces(&model, 8, PLAIN, Some(4));
    assert_ne!(whole, pieces);
}

#[test]
fn initial_state_learns_only_from_first_piece() {
    let model = recurrent(true, DType::F64);
    let batch = whole_batch();
    let first = masked(&batch, |t| t <= 4);
    let share = first.trained_tokens() as f64 / batch.trained_tokens() as f64;
    let (_, mut expected) = run_batches(&model, &[first], PLAIN, None);
    for grad in expected.values_mut() {
        assert!(grad.iter().all(|v| *v != 0.0));
        grad.iter_mut().for_each(|v| *v *= share);
    }
    for savings in SAVINGS {
        let (_, grads) = run_in_pieces(&model, 8, savings, Some(4));
        assert_same(&expected, &grads, 1e-10, &format!("{savings:?}"));
    }
}

#[test]
fn pieces_after_last_target_are_not_run() {
    let model = model(cases()[4], DType::F64);
    // The last input is the eighth. With pieces of 3 it is in the third piece, up to column 8.
    let batch = masked(&whole_batch(), |t| (7..=8).contains(&t));
    let (expected_loss, expected) = reference_by_piece(&model, &batch, 3);
    let mut longer = Batch {
        len: 40,
        tokens: Vec::new(),
        loss_mask: Vec::new(),
        ..batch.clone()
    };
    for row in 0..batch.rows {
        let old = row * batch.len..(row + 1) * batch.len;
        longer.tokens.extend(&batch.tokens[old.clone()]);
        // The vocabulary has no such token: a model that reads it fails.
        longer.tokens.resize((row + 1) * 40, 1_000_000);
        longer.loss_mask.extend(&batch.loss_mask[old]);
        longer.loss_mask.resize((row + 1) * 40, false);
    }
    for savings in SAVINGS {
        let context = format!("{savings:?}");
        let (loss, grads) = run_batches(&model, &[longer.clone()], savings, Some(3));
        assert!((loss - expected_loss).abs() < 1e-10 * loss, "{context}");
        assert_same(&expected, &grads, 1e-10, &context);
    }
    let device = Default::default();
    let sum = loss_sum(&model.valid(), &longer, None, Some(3), &device);
    let loss: f64 = sum.into_data().iter::<f64>().sum();
    assert!((loss - expected_loss).abs() < 1e-10 * loss);
}

#[test]
fn batch_without_targets_has_zero_loss() {
    let model = model(cases()[4], DType::F64);
    let batch = masked(&whole_batch(), |_| false);
    let mut grads = Gradients::default();
    let device = Default::default();
    for savings in SAVINGS {
        let how = (savings, Some(2));
        let sum = backward(&model, &batch, 1.0, how, (3, 9), &device, &mut grads);
        assert_eq!(sum.into_data(), TensorData::new(vec![0f64], [1]));
    }
}

proptest! {
    #[test]
    fn target_belongs_to_piece_of_its_input(
        rows in prop::collection::vec((1..30_usize, 0..30_usize), 1..5),
        size in 0..35_usize,
    ) {
        let samples: Vec<_> = (0..)
            .zip(&rows)
            .map(|(row, (len, prompt_len))| {
                let tokens = (0..*len as u32).map(|t| row * 100 + t).collect();
                Sample::after_prompt(tokens, *prompt_len.min(len), u64::from(row))
            })
            .collect();
        let batch = Batch::new(&samples, 0);
        let pieces = Pieces::cut(&batch, Some(size));
        let mut past = 0;
        let mut trained = 0;
        let mut keys = std::collections::BTreeSet::new();
        for (number, piece) in pieces.before.iter().chain([&pieces.last]).enumerate() {
            prop_assert_eq!(piece.span.past, past);
            prop_assert!(piece.span.len <= size.max(1));
            if number == 0 {
                prop_assert_eq!(&piece.row_keys, &batch.row_ids);
            }
            for key in &piece.row_keys {
                prop_assert!(keys.insert(*key), "two masks are the same");
            }
            for (place, target) in piece.targets.trained() {
                let (row, t) = (place / piece.span.len, past + place % piece.span.len);
                let at = row * batch.len + t + 1;
                prop_assert!(batch.loss_mask[at]);
                prop_assert_eq!(batch.tokens[at], target);
                trained += 1;
            }
            past += piece.span.len;
        }
        prop_assert_eq!(trained, batch.trained_tokens());
        // Only a whole batch has a piece after its last target.
        prop_assert!(trained == 0 || !pieces.last.targets.is_empty());
    }
}
