//! Tests element-wise operations: gates, rotary positions, the token shift.

use super::super::operations::{Named, values};
use super::{Case, Kernel, Numbers, hold};
use bone_lm::{Gate, gated, rotate};
use bone_rwkv6::TokenMix;
use bone_train::models::ModelBackend;
use burn::tensor::ops::FloatTensor;
use burn::tensor::{Tensor, TensorPrimitive, activation};
use proptest::prelude::*;

/// A gate with one size.
#[derive(Debug, Clone, Copy)]
struct Gated {
    function: Gate,
    rows: usize,
    width: usize,
    seed: u64,
}

impl Case for Gated {
    const KERNEL: Option<Kernel> = Some(Kernel::Gate);

    fn seed(self) -> u64 {
        self.seed
    }

    fn run<B: ModelBackend>(
        self,
        reference: bool,
        numbers: &mut Numbers,
        device: &B::Device,
    ) -> Named {
        let shape = [self.rows, self.width];
        let [gate, value] = [6.0, 1.0].map(|most| {
            let tensor = numbers.tensor::<B, 2>(shape, most, device);
            tensor.require_grad()
        });
        let toward = numbers.tensor::<B, 2>(shape, 1.0, device);
        let y = match (reference, self.function) {
            (false, function) => gated(gate.clone(), value.clone(), function),
            (true, Gate::Silu) => gate.clone() / ((-gate.clone()).exp() + 1.0) * value.clone(),
            (true, Gate::Sigmoid) => value.clone() / ((-gate.clone()).exp() + 1.0),
            (true, Gate::Relu) => activation::relu(gate.clone()) * value.clone(),
        };
        let mut found = vec![("output", values(y.clone()))];
        let grads = (y * toward).sum().backward();
        found.push(("to the gate", values(gate.grad(&grads).expect("tracked"))));
        found.push(("to the value", values(value.grad(&grads).expect("tracked"))));
        found
    }
}

fn gates() -> impl Strategy<Value = Gated> {
    (
        prop_oneof![Just(Gate::Silu), Just(Gate::Sigmoid), Just(Gate::Relu)],
        prop_oneof![Just(1usize), 2..40usize],
        prop_oneof![Just(1usize), Just(64), 2..700usize],
        any::<u64>(),
    )
        .prop_map(|(function, rows, width, seed)| Gated {
            function,
            rows,
            width,
            seed,
        })
}

/// Rotary positions of heads with one shape.
#[derive(Debug, Clone, Copy)]
struct Turned {
    batch: usize,
    heads: usize,
    len: usize,
    half: usize,
    /// Whether they have a projection's layout, positions before heads.
    swapped: bool,
    /// Whether every sequence has its own angles.
    own: bool,
    seed: u64,
}

impl Case for Turned {
    const KERNEL: Option<Kernel> = Some(Kernel::Rotary);

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
            heads,
            len,
            half,
            ..
        } = self;
        let x = match self.swapped {
            true => [batch, len, heads, 2 * half],
            false => [batch, heads, len, 2 * half],
        };
        let x = numbers.tensor::<B, 4>(x, 1.0, device).require_grad();
        let turned = match self.swapped {
            true => x.clone().swap_dims(1, 2),
            false => x.clone(),
        };
        let tables = [if self.own { batch } else { 1 }, 1, len, half];
        let [cos, sin] = [(); 2].map(|()| numbers.tensor::<B, 4>(tables, 1.0, device));
        let toward = numbers.tensor::<B, 4>([batch, heads, len, 2 * half], 1.0, device);
        let y = match reference {
            false => rotate(turned, &cos, &sin),
            true => {
                let [a, b] = [0, half].map(|start| turned.clone().narrow(3, start, half));
                let first = a.clone() * cos.clone() - b.clone() * sin.clone();
                Tensor::cat(vec![first, b * cos + a * sin], 3)
            }
        };
        let mut found = vec![("output", values(y.clone()))];
        let grads = (y * toward).sum().backward();
        found.push(("to x", values(x.grad(&grads).expect("tracked"))));
        found
    }
}

fn rotary_position_cases() -> impl Strategy<Value = Turned> {
    (
        1..4usize,
        1..5usize,
        prop_oneof![Just(1usize), 2..40usize],
        prop_oneof![Just(4usize), Just(32), 1..20usize],
        any::<(bool, bool, u64)>(),
    )
        .prop_map(|(batch, heads, len, half, (swapped, own, seed))| Turned {
            batch,
            heads,
            len,
            half,
            swapped,
            own,
            seed,
        })
}

/// `K` token-shift mixes with one shape.
#[derive(Debug, Clone, Copy)]
struct Shifted<const K: usize> {
    batch: usize,
    len: usize,
    size: usize,
    /// Whether tokens precede the first one.
    before: bool,
    /// Whether each token has its own part of the mix.
    by_data: bool,
    /// Whether the shared parts train, too.
    trains: bool,
    /// How many mixes the loss uses, counted from the first.
    used: usize,
    seed: u64,
}

fn float<B: ModelBackend, const D: usize>(tensor: &Tensor<B, D>) -> FloatTensor<B> {
    tensor.clone().into_primitive().tensor()
}

impl<const K: usize> Case for Shifted<K> {
    const KERNEL: Option<Kernel> = Some(Kernel::TokenShift);

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
            batch, len, size, ..
        } = self;
        let shape = [batch, len, size];
        let x = numbers.tensor::<B, 3>(shape, 1.0, device).require_grad();
        let before = numbers.tensor::<B, 2>([batch, size], 1.0, device);
        let before = before.require_grad();
        let maa = [(); K].map(|()| {
            let maa = numbers.tensor::<B, 3>([1, 1, size], 1.0, device);
            maa.set_require_grad(self.trains)
        });
        let by_data = numbers.tensor::<B, 3>([K, batch * len, size], 1.0, device);
        let by_data = by_data.require_grad();
        let toward = [(); K].map(|()| numbers.tensor::<B, 3>(shape, 1.0, device));
        let mixed: [Tensor<B, 3>; K] = match reference {
            false => {
                let mixed = B::token_mix(TokenMix {
                    x: float(&x),
                    before: self.before.then(|| float(&before)),
                    maa: maa.each_ref().map(float),
                    by_data: self.by_data.then(|| float(&by_data)),
                });
                mixed.map(|y| Tensor::from_primitive(TensorPrimitive::Float(y)))
            }
            true => {
                let first = match self.before {
                    true => before.clone().reshape([batch, 1, size]),
                    false => x.clone().narrow(1, 0, 1).zeros_like(),
                };
                let all = Tensor::cat(vec![first, x.clone()], 1);
                let less = all.narrow(1, 0, len) - x.clone();
                std::array::from_fn(|k| {
                    let mut mu = maa[k].clone().expand(shape);
                    if self.by_data {
                        mu = mu + by_data.clone().narrow(0, k, 1).reshape(shape);
                    }
                    x.clone() + less.clone() * mu
                })
            }
        };
        let mut found = Vec::new();
        let mut sum = Tensor::<B, 1>::zeros([1], (device, x.dtype()));
        for (k, (mixed, toward)) in mixed.into_iter().zip(toward).enumerate() {
            found.push(("output", values(mixed.clone())));
            if k < self.used {
                sum = sum + (mixed * toward).sum();
            }
        }
        let grads = sum.backward();
        found.push(("to x", values(x.grad(&grads).expect("tracked"))));
        if self.before {
            let to_before = before.grad(&grads).expect("tracked");
            found.push(("to the tokens before", values(to_before)));
        }
        if self.by_data {
            let to_own = by_data.grad(&grads).expect("tracked");
            found.push(("to the tokens' own parts", values(to_own)));
        }
        for maa in maa.iter().take(self.used).filter(|_| self.trains) {
            found.push(("to a part", values(maa.grad(&grads).expect("tracked"))));
        }
        found
    }
}

fn token_shift_cases<const K: usize>() -> impl Strategy<Value = Shifted<K>> {
    (
        1..4usize,
        prop_oneof![Just(1usize), 2..20usize],
        prop_oneof![Just(8usize), Just(64), 1..100usize],
        any::<(bool, bool, bool, u64)>(),
        1..=K,
    )
        .prop_map(
            |(batch, len, size, (before, by_data, trains, seed), used)| Shifted {
                batch,
                len,
                size,
                before,
                by_data,
                trains: trains && seed % 2 == 0,
                used,
                seed,
            },
        )
}

proptest! {
    #![proptest_config(super::cases())]

    #[test]
    fn gates_match_formulas(case in gates()) {
        hold(case);
    }

    #[test]
    fn rotary_positions_match_formula(case in rotary_position_cases()) {
        hold(case);
    }

    #[test]
    fn token_shift_matches_formula(
        (one, two, five) in (token_shift_cases::<1>(), token_shift_cases::<2>(), token_shift_cases::<5>())
    ) {
        hold(one);
        hold(two);
        hold(five);
    }
}
