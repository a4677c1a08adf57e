//! Packed samples give the same loss and gradients as samples in separate rows.

use super::*;
use bone_rwkv6::Form;

/// Returns the samples packed into three rows: four, three, and one.
fn packed() -> Batch {
    let mut samples = samples().into_iter();
    let mut take = |count| samples.by_ref().take(count).collect::<Vec<_>>();
    let rows = [take(4), take(3), take(1)];
    let batch = Batch::packed(&rows, 0, 0);
    let sequences: Vec<_> = batch.starts.iter().map(Vec::len).collect();
    assert_eq!(sequences, [4, 3, 1]);
    batch
}

/// Tests every memory saving, with whole rows and with rows cut into pieces of four. The piece boundaries
/// lie within sequences, at gaps and at starts.
fn assert_packing_changes_nothing<M: TrainModel<B>>(model: &M, tolerance: f64, name: &str) {
    let (loss, grads) = run(model, 8, PLAIN);
    assert!(!grads.is_empty() && loss > 0.0);
    for (recompute, head_chunk) in [(false, None), (true, None), (true, Some(3))] {
        let savings = Savings {
            recompute,
            head_chunk,
        };
        let (packed_loss, packed_grads) = run_batches(model, &[packed()], savings, None);
        let context = format!("{name} {savings:?}");
        let off = (loss - packed_loss).abs();
        assert!(
            off < tolerance * loss,
            "{context}: {loss} and {packed_loss}"
        );
        for (id, grad) in &grads {
            for (a, b) in grad.iter().zip(&packed_grads[id]) {
                assert!((a - b).abs() < tolerance, "{context}: {a} and {b}");
            }
        }
        // The comparison is relative to the largest entry of each parameter. Sums of miss-mini cancel, so
        // f32 leaves an error slightly above 1e-5.
        assert_same(&grads, &packed_grads, 2.0 * tolerance, &context);
        // With pieces only the loss is the same: gradients end at a piece's boundary.
        let (cut_loss, _) = run_batches(model, &[packed()], savings, Some(4));
        let off = (loss - cut_loss).abs();
        assert!(
            off < tolerance * loss,
            "{context}: {loss} and {cut_loss} in pieces"
        );
    }
}

#[test]
fn packed_llama_rows_equal_separate_rows() {
    // Dropout is drawn by row, so packed rows get other masks.
    for case in cases().into_iter().filter(|case| case.dropout == 0.0) {
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-5)] {
            let name = format!("{case:?} {dtype:?}");
            assert_packing_changes_nothing(&model(case, dtype), tolerance, &name);
        }
    }
}

#[test]
fn packed_rwkv6_rows_equal_separate_rows() {
    for form in [None, Some(Form::Recurrence), Some(Form::Chunked)] {
        for (dtype, tolerance) in [(DType::F64, 1e-10), (DType::F32, 1e-5)] {
            for (name, model) in rwkv6::models(dtype) {
                let model = model.with_wkv6_form(form);
                let name = format!("{name} {form:?} {dtype:?}");
                assert_packing_changes_nothing(&model, tolerance, &name);
            }
        }
    }
}

/// A sequence that could see another one in its row would change with it.
#[test]
fn packed_samples_do_not_affect_each_other() {
    let model = model(cases()[4], DType::F64);
    let loss = |first: u32| {
        let long = |start: u32, row| {
            let tokens = (0..6).map(|t| (start + 3 * t) % 20).collect();
            Sample::after_prompt(tokens, 6, row)
        };
        let trained = Sample::after_prompt(vec![4, 8, 15, 16], 1, 1);
        let batch = Batch::packed(&[vec![long(first, 0), trained]], 0, 0);
        run_batches(&model, &[batch], PLAIN, None).0
    };
    assert_eq!(loss(1), loss(2));
}
