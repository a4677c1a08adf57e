//! Compares the chunked form and the kernel with the reference, forward and backward.

use super::*;
use proptest::prelude::*;

const LENGTHS: [usize; 7] = [1, 2, 15, 16, 17, 64, 257];

/// Relative to the largest entry, in f32.
const KERNEL: f64 = 1e-5;
/// Relative to the largest entry, in f32.
const CHUNKED: f64 = 1e-4;

fn compare(case: Case) {
    let expected = case.run::<B>(Form::Recurrence, DType::F32);
    for (form, tolerance) in [(Form::Kernel, KERNEL), (Form::Chunked, CHUNKED)] {
        let actual = case.run::<B>(form, DType::F32);
        assert_close(&actual, &expected, tolerance, &format!("{form:?} {case:?}"));
    }
}

fn compare_lengths(size: usize, state: bool) {
    for len in LENGTHS {
        compare(Case {
            state,
            ..Case::new(len, size)
        });
    }
}

#[test]
fn small_heads_with_a_state() {
    compare_lengths(8, true);
}

#[test]
fn small_heads_without_a_state() {
    compare_lengths(8, false);
}

#[test]
fn large_heads_with_a_state() {
    compare_lengths(64, true);
}

#[test]
fn large_heads_without_a_state() {
    compare_lengths(64, false);
}

#[test]
fn slow_decays_keep_their_gradients() {
    for len in [2, 17, 257] {
        compare(Case {
            decay: Decay::Slow,
            ..Case::new(len, 8)
        });
    }
}

#[test]
fn extreme_decays_stay_finite() {
    for (len, state) in [(1, true), (17, false), (64, true)] {
        compare(Case {
            decay: Decay::Extreme,
            state,
            ..Case::new(len, 10)
        });
    }
}

#[test]
fn all_forms_agree_in_f64() {
    for (len, size) in [(1, 8), (17, 64), (257, 8), (40, 5)] {
        let case = Case::new(len, size);
        let expected = case.run::<B>(Form::Recurrence, DType::F64);
        for form in [Form::Kernel, Form::Chunked] {
            let actual = case.run::<B>(form, DType::F64);
            assert_close(&actual, &expected, 1e-10, &format!("{form:?} {case:?}"));
        }
    }
}

/// Returns the output and the last state of pieces that pass the state on.
fn in_pieces(case: Case, form: Form, lengths: &[usize]) -> [Vec<f64>; 2] {
    let inputs = case.inputs::<Flex>(&case.values(), DType::F32);
    let (mut state, mut outputs, mut first) = (inputs.state, Vec::new(), 0);
    for &len in lengths {
        let piece = |rows: &Tensor<Flex, 3>| rows.clone().narrow(1, first, len);
        let (output, last) = wkv6(
            Wkv6 {
                receptance: piece(&inputs.receptance),
                key: piece(&inputs.key),
                value: piece(&inputs.value),
                decay: piece(&inputs.decay),
                bonus: inputs.bonus.clone(),
                state,
            },
            Some(form),
        );
        outputs.push(output);
        state = Some(last);
        first += len;
    }
    [
        values(Tensor::cat(outputs, 1)),
        values(state.expect("at least one piece")),
    ]
}

#[test]
fn pieces_equal_whole_sequence() {
    for state in [true, false] {
        let case = Case {
            state,
            ..Case::new(50, 8)
        };
        for (form, tolerance) in [
            (Form::Recurrence, KERNEL),
            (Form::Chunked, CHUNKED),
            (Form::Kernel, KERNEL),
        ] {
            let whole = in_pieces(case, form, &[50]);
            let pieces = in_pieces(case, form, &[1, 16, 3, 30]);
            for (pieces, whole) in pieces.iter().zip(&whole) {
                assert!(difference(pieces, whole, 0.0) <= tolerance, "{form:?}");
            }
        }
    }
}

#[test]
fn half_precision_inputs_compute_in_f32() {
    for dtype in [DType::F16, DType::BF16] {
        let case = Case::new(20, 8);
        let inputs = case.inputs::<Flex>(&case.values(), dtype);
        for form in [Form::Recurrence, Form::Chunked, Form::Kernel] {
            let (output, state) = wkv6(inputs.clone(), Some(form));
            assert_eq!((output.dtype(), state.dtype()), (dtype, DType::F32));
            let wide = inputs.clone().cast(DType::F32, DType::F32);
            let (wide_output, wide_state) = wkv6(wide, Some(form));
            assert_eq!(values(output), values(wide_output.cast(dtype)));
            assert_eq!(values(state), values(wide_state));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn all_forms_match_recurrence_for_any_shape(
        batch in 1..3usize,
        len in 1..40usize,
        heads in 1..4usize,
        size in prop_oneof![1..20usize, Just(32), Just(33), Just(65)],
        state: bool,
        seed in 0..1000u64,
    ) {
        let case = Case { batch, len, heads, size, state, decay: Decay::Wide, seed };
        let expected = case.run::<B>(Form::Recurrence, DType::F32);
        for (form, tolerance) in [(Form::Kernel, KERNEL), (Form::Chunked, CHUNKED)] {
            let actual = case.run::<B>(form, DType::F32);
            // If there are few entries, each may be the small difference of two larger terms.
            assert_close_with_floor(&actual, &expected, tolerance, 1.0, &format!("{form:?} {case:?}"));
        }
    }
}
