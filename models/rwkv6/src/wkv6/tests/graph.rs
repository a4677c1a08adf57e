//! The kernel in burn's autodiff graph, and which form is chosen.

use super::*;

type Second = Autodiff<Autodiff<Flex>>;

const CASE: fn() -> Case = || Case::new(5, 4);

/// Returns the gradients to r and the state of a loss of some of the outputs.
fn partial(form: Form, loss: fn(Tensor<B, 3>, Tensor<B, 4>) -> Tensor<B, 1>) -> [Vec<f64>; 2] {
    let case = CASE();
    let inputs = case.inputs::<B>(&case.values(), DType::F64).require_grad();
    let (output, state) = wkv6(inputs.clone(), Some(form));
    let grads = loss(output, state).backward();
    let state = inputs.state.expect("has one").grad(&grads);
    let receptance = inputs.receptance.grad(&grads);
    [
        // Without the output, r gets no gradient or zeros.
        receptance.map_or_else(|| vec![0.0; 80], values),
        values(state.expect("tracked")),
    ]
}

#[test]
fn either_output_may_go_unused() {
    type Loss = fn(Tensor<B, 3>, Tensor<B, 4>) -> Tensor<B, 1>;
    let losses: [Loss; 3] = [
        |output, _| output.square().sum(),
        |_, state| state.square().sum(),
        // Each output is used twice, and both together.
        |output, state| {
            (output.clone().square().sum() + output.sum()) * state.clone().sum()
                + state.square().sum()
        },
    ];
    for (n, loss) in losses.into_iter().enumerate() {
        let expected = partial(Form::Recurrence, loss);
        let actual = partial(Form::Kernel, loss);
        for (actual, expected) in actual.iter().zip(&expected) {
            assert!(difference(actual, expected, 0.0) < 1e-10, "loss {n}");
        }
    }
}

#[test]
fn only_tracked_inputs_get_gradients() {
    let case = CASE();
    let gradient = |form| {
        let mut inputs = case.inputs::<B>(&case.values(), DType::F64);
        inputs.key = inputs.key.require_grad();
        let grads = case.loss(wkv6(inputs.clone(), Some(form))).backward();
        assert!(inputs.receptance.grad(&grads).is_none());
        assert!(inputs.state.and_then(|state| state.grad(&grads)).is_none());
        values(inputs.key.grad(&grads).expect("tracked"))
    };
    let difference = difference(&gradient(Form::Kernel), &gradient(Form::Recurrence), 0.0);
    assert!(difference < 1e-10);
}

#[test]
fn untracked_inputs_give_untracked_outputs() {
    let case = CASE();
    let inputs = case.inputs::<B>(&case.values(), DType::F32);
    let (output, state) = wkv6(inputs, Some(Form::Kernel));
    assert!(!output.is_require_grad() && !state.is_require_grad());
}

#[test]
fn gradients_reach_through_two_layers_and_views() {
    let case = Case {
        heads: 4,
        ..Case::new(4, 1)
    };
    // Square rows, so that a transposed view has the same shape.
    let gradient = |form| {
        let inputs = case.inputs::<B>(&case.values(), DType::F64).require_grad();
        let mut first = inputs.clone();
        first.receptance = first.receptance.swap_dims(1, 2);
        first.decay = first.decay.swap_dims(1, 2);
        let (output, state) = wkv6(first, Some(form));
        let mut second = inputs.clone();
        second.key = output.clone().swap_dims(1, 2);
        second.value = output;
        second.state = Some(state);
        let grads = case.loss(wkv6(second, Some(form))).backward();
        inputs
            .rows()
            .map(|(name, tensor)| (name, values(tensor.grad(&grads).expect("tracked"))))
            .to_vec()
    };
    let actual = gradient(Form::Kernel);
    assert_close(&actual, &gradient(Form::Recurrence), 1e-10, "two layers");
}

#[test]
fn balanced_checkpointing_changes_nothing() {
    let case = CASE();
    let expected = case.run::<B>(Form::Kernel, DType::F32);
    let actual = case.run::<Autodiff<Flex, BalancedCheckpointing>>(Form::Kernel, DType::F32);
    assert_close(&actual, &expected, 0.0, "balanced");
}

#[test]
fn wkv6_chooses_kernel_if_available() {
    for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        for len in [1, 100] {
            let case = Case { len, ..CASE() };
            let values = case.values();
            let twice = case.inputs::<Second>(&values, dtype);
            assert!(Form::Kernel.available(&case.inputs::<Flex>(&values, dtype)));
            assert!(!Form::Kernel.available(&twice));
            assert_eq!(
                Form::chosen(&case.inputs::<B>(&values, dtype)),
                Form::Kernel
            );
            let instead = if len == 1 {
                Form::Recurrence
            } else {
                Form::Chunked
            };
            assert_eq!(Form::chosen(&twice), instead);
        }
    }
}

#[test]
#[should_panic(expected = "ask Form::available first")]
fn unavailable_kernel_panics_without_fallback() {
    let case = CASE();
    let inputs = case.inputs::<Second>(&case.values(), DType::F32);
    wkv6(inputs, Some(Form::Kernel));
}

#[test]
#[should_panic(expected = "state")]
fn a_state_of_another_shape_is_refused() {
    let case = CASE();
    let mut inputs = case.inputs::<Flex>(&case.values(), DType::F32);
    inputs.state = inputs.state.map(|state| state.narrow(1, 0, 1));
    wkv6(inputs, None);
}
