//! Kernels over shapes: whole chunks and ragged ones, one token, small heads and large, against the
//! reference on the processor.

use super::operations::{Named, assert_close, values};
use super::{CPU, on_trial};
use bone_rwkv6::{Form, Wkv6, wkv6};
use bone_train::device::{OnDevice, on_device};
use bone_train::models::ModelBackend;
use burn::tensor::{Tensor, TensorData};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Tensors of random numbers, the same on every device.
struct Numbers(StdRng);

impl Numbers {
    fn new(seed: u64) -> Self {
        Self(StdRng::seed_from_u64(seed))
    }

    /// Between `−most` and `most`.
    fn tensor<B: ModelBackend, const D: usize>(
        &mut self,
        shape: [usize; D],
        most: f32,
        device: &B::Device,
    ) -> Tensor<B, D> {
        let count = shape.iter().product();
        let values = (0..count).map(|_| self.0.random_range(-most..most));
        Tensor::from_data(TensorData::new(values.collect::<Vec<_>>(), shape), device)
    }
}

/// A recurrence of one shape.
#[derive(Debug, Clone, Copy)]
struct Recurrence {
    batch: usize,
    len: usize,
    heads: usize,
    size: usize,
    state: bool,
    /// w is between plus and minus this: decays of nothing and of almost one at 12.
    decays: f32,
    /// Whether the loss is of the last state alone.
    only_state: bool,
    form: Form,
    seed: u64,
}

impl OnDevice for Recurrence {
    type Output = Named;

    fn run<B: ModelBackend>(self, device: B::Device) -> Named {
        let Self {
            batch,
            len,
            heads,
            size,
            ..
        } = self;
        let mut numbers = Numbers::new(self.seed);
        let rows = [batch, len, heads * size];
        let mut row = |most| numbers.tensor::<B, 3>(rows, most, &device);
        let inputs = Wkv6 {
            receptance: row(1.0).require_grad(),
            key: row(1.0).require_grad(),
            value: row(1.0).require_grad(),
            decay: row(self.decays).require_grad(),
            bonus: numbers
                .tensor::<B, 2>([heads, size], 1.0, &device)
                .require_grad(),
            state: self.state.then(|| {
                numbers
                    .tensor::<B, 4>([batch, heads, size, size], 1.0, &device)
                    .require_grad()
            }),
        };
        let toward = numbers.tensor::<B, 3>(rows, 1.0, &device);
        let (output, state) = wkv6(inputs.clone(), Some(self.form));
        let mut found = vec![
            ("output", values(output.clone())),
            ("state", values(state.clone())),
        ];
        let of_state = state.powi_scalar(2).sum();
        let loss = match self.only_state {
            true => of_state,
            false => (output * toward).sum() + of_state,
        };
        let grads = loss.backward();
        for (name, tensor) in [
            ("to r", &inputs.receptance),
            ("to k", &inputs.key),
            ("to v", &inputs.value),
            ("to w", &inputs.decay),
        ] {
            // Nothing is tracked to an input that the loss does not see.
            let grad = tensor
                .grad(&grads)
                .map_or_else(|| vec![0.0; batch * len * heads * size], values);
            found.push((name, grad));
        }
        let bonus = inputs.bonus.grad(&grads);
        found.push((
            "to u",
            bonus.map_or_else(|| vec![0.0; heads * size], values),
        ));
        if let Some(state) = inputs.state {
            found.push(("to the state", values(state.grad(&grads).expect("tracked"))));
        }
        found
    }
}

fn recurrences() -> impl Strategy<Value = Recurrence> {
    (
        (
            1..3usize,
            prop_oneof![Just(1), Just(16), 2..70usize],
            1..4usize,
        ),
        prop_oneof![Just(64usize), Just(8), Just(5)],
        any::<(bool, bool, u64)>(),
        prop_oneof![Just(1f32), Just(3.0), Just(12.0)],
    )
        .prop_map(
            |((batch, len, heads), size, (state, only_state, seed), decays)| Recurrence {
                batch,
                len,
                heads,
                size,
                state,
                decays,
                only_state: only_state && seed % 4 == 0,
                form: Form::Kernel,
                seed,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn wkv6_is_the_recurrence(case in recurrences()) {
        let by_token = Recurrence { form: Form::Recurrence, ..case };
        let expected = on_device(CPU, false, by_token).expect("works");
        // The processor's other backend has no kernels.
        let with_kernels = on_trial().into_iter().filter(|(name, _)| !name.kind.on_processor());
        for (name, fusion) in [(CPU, false)].into_iter().chain(with_kernels) {
            let found = on_device(name, fusion, case).expect("works");
            assert_close(&found, &expected, &format!("{name}, fusion {fusion}, {case:?}"));
        }
    }
}
