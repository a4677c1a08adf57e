//! Tests RWKV6's recurrence.

use super::super::on_trial;
use super::super::operations::{Named, values};
use super::{Case, Kernel, Numbers, hold};
use bone_rwkv6::{Form, Wkv6, wkv6};
use bone_train::device::{OnDevice, on_device};
use bone_train::models::ModelBackend;
use burn::tensor::Tensor;
use proptest::prelude::*;

/// A recurrence with one shape.
#[derive(Debug, Clone, Copy)]
struct Recurrence {
    batch: usize,
    len: usize,
    heads: usize,
    size: usize,
    state: bool,
    /// Largest absolute value of w. At 12, decays reach zero and almost one.
    decays: f32,
    /// Whether the loss uses only the last state.
    only_state: bool,
    seed: u64,
}

impl Case for Recurrence {
    const KERNEL: Option<Kernel> = Some(Kernel::Wkv6);

    fn seed(self) -> u64 {
        self.seed
    }

    fn run<B: ModelBackend>(
        self,
        reference: bool,
        numbers: &mut Numbers,
        device: &B::Device,
    ) -> Named {
        let Self {
            batch,
            len,
            heads,
            size,
            ..
        } = self;
        let rows = [batch, len, heads * size];
        let mut row = |most| numbers.tensor::<B, 3>(rows, most, device).require_grad();
        let inputs = Wkv6 {
            receptance: row(1.0),
            key: row(1.0),
            value: row(1.0),
            decay: row(self.decays),
            bonus: numbers.tensor([heads, size], 1.0, device).require_grad(),
            state: self.state.then(|| {
                let shape = [batch, heads, size, size];
                numbers.tensor(shape, 1.0, device).require_grad()
            }),
        };
        let toward = numbers.tensor::<B, 3>(rows, 1.0, device);
        let form = match reference {
            true => Form::Recurrence,
            false => Form::Kernel,
        };
        let (output, state) = wkv6(inputs.clone(), Some(form));
        let mut found = vec![
            ("output", values(output.clone())),
            ("state", values(state.clone())),
        ];
        let of_state = state.powi_scalar(2).sum();
        let loss = match self.only_state {
            true => of_state,
            false => (output * toward).sum().cast(of_state.dtype()) + of_state,
        };
        let grads = loss.backward();
        // An input that the loss does not use has no gradient.
        let of_rows = |tensor: &Tensor<B, 3>| {
            let grad = tensor.grad(&grads);
            grad.map_or_else(|| vec![0.0; batch * len * heads * size], values)
        };
        found.extend([
            ("to r", of_rows(&inputs.receptance)),
            ("to k", of_rows(&inputs.key)),
            ("to v", of_rows(&inputs.value)),
            ("to w", of_rows(&inputs.decay)),
        ]);
        let to_u = inputs.bonus.grad(&grads);
        let to_u = to_u.map_or_else(|| vec![0.0; heads * size], values);
        found.push(("to u", to_u));
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
                seed,
            },
        )
}

/// Tests heads wider than the kernel supports.
struct Wide;

impl OnDevice for Wide {
    type Output = bool;

    fn run<B: ModelBackend>(self, device: B::Device) -> bool {
        let row = || Tensor::<B, 3>::zeros([1, 2, 128], &device);
        let inputs = Wkv6 {
            receptance: row(),
            key: row(),
            value: row(),
            decay: row(),
            bonus: Tensor::zeros([1, 128], &device),
            state: None,
        };
        let has = Form::Kernel.available(&inputs);
        // Another form still works without the kernel.
        assert_eq!(wkv6(inputs, None).0.dims(), [1, 2, 128]);
        has
    }
}

#[test]
fn too_wide_heads_are_reported_once() {
    let gpus = on_trial()
        .into_iter()
        .filter(|name| !name.kind.on_processor());
    let mut said = Vec::new();
    for name in gpus.clone() {
        assert!(!on_device(name, true, Wide).expect("works"));
        said.extend(bone::kernels::take_fallbacks());
    }
    let wanted = usize::from(gpus.count() > 0 && Kernel::Wkv6.is_on());
    assert_eq!(said.len(), wanted, "{said:?}");
    let names_it = |text: &String| text.contains("wkv6") && text.contains("128 entries per head");
    assert!(said.iter().all(names_it), "{said:?}");
}

proptest! {
    #![proptest_config(super::cases())]

    #[test]
    fn wkv6_matches_recurrence(case in recurrences()) {
        hold(case);
    }
}
