//! Tests row-wise operations: norms and cross-entropy.

use super::super::operations::{Named, values};
use super::{Case, Kernel, Numbers, hold};
use bone_lm::{RmsNorm, cross_entropy, layer_norm};
use bone_train::models::ModelBackend;
use burn::module::{Param, ParamId};
use burn::tensor::{Int, Tensor};
use proptest::prelude::*;

/// A norm with one shape; RMSNorm if it has no groups.
#[derive(Debug, Clone, Copy)]
struct Norm {
    rows: usize,
    groups: Option<usize>,
    /// Entries of a group.
    width: usize,
    /// Whether scale and shift train, too.
    trains: bool,
    seed: u64,
}

const EPSILON: f64 = 1e-5;

fn param<B: ModelBackend>(tensor: Tensor<B, 1>, trains: bool) -> Param<Tensor<B, 1>> {
    Param::initialized(ParamId::new(), tensor.set_require_grad(trains))
}

/// Computes `(x − mean) / √(variance + ε) · w + b` for every group. Without groups it leaves out the
/// mean and the shift.
fn norm_of_operations<B: ModelBackend>(
    x: Tensor<B, 2>,
    [weight, bias]: [Tensor<B, 1>; 2],
    groups: Option<usize>,
) -> Tensor<B, 2> {
    let [rows, size] = x.dims();
    let parts = groups.unwrap_or(1);
    let mut x = x.reshape([rows, parts, size / parts]);
    if groups.is_some() {
        x = x.clone() - x.mean_dim(2);
    }
    let square = x.clone().powi_scalar(2).mean_dim(2);
    let y = (x / (square + EPSILON).sqrt()).reshape([rows, size]) * weight.unsqueeze();
    match groups {
        Some(_) => y + bias.unsqueeze(),
        None => y,
    }
}

impl Case for Norm {
    const KERNEL: Option<Kernel> = Some(Kernel::Norm);

    fn seed(self) -> u64 {
        self.seed
    }

    fn run<B: ModelBackend>(
        self,
        reference: bool,
        numbers: &mut Numbers,
        device: &B::Device,
    ) -> Named {
        let size = self.groups.unwrap_or(1) * self.width;
        let shape = [self.rows, size];
        let x = numbers.tensor::<B, 2>(shape, 2.0, device).require_grad();
        let toward = numbers.tensor::<B, 2>(shape, 1.0, device);
        let weight = param(numbers.tensor([size], 1.0, device), self.trains);
        let bias = param(numbers.tensor([size], 1.0, device), self.trains);
        let y = match (reference, self.groups) {
            (true, groups) => norm_of_operations(x.clone(), [weight.val(), bias.val()], groups),
            (false, Some(groups)) => layer_norm(x.clone(), &weight, &bias, groups, EPSILON),
            (false, None) => {
                let norm = RmsNorm {
                    weight: weight.clone(),
                    epsilon: EPSILON,
                };
                norm.forward(x.clone())
            }
        };
        let mut found = vec![("output", values(y.clone()))];
        let grads = (y * toward).sum().backward();
        found.push(("to x", values(x.grad(&grads).expect("tracked"))));
        if self.trains {
            let to_weight = weight.val().grad(&grads).expect("tracked");
            found.push(("to the scale", values(to_weight)));
        }
        if self.trains && self.groups.is_some() {
            let to_bias = bias.val().grad(&grads).expect("tracked");
            found.push(("to the shift", values(to_bias)));
        }
        found
    }
}

fn norms() -> impl Strategy<Value = Norm> {
    (
        prop_oneof![Just(1usize), 2..40usize],
        prop_oneof![Just(None), Just(Some(1usize)), (2..9usize).prop_map(Some)],
        // With few entries the gradient is mostly rounding error.
        prop_oneof![Just(8usize), Just(64), 8..700usize],
        any::<(bool, u64)>(),
    )
        .prop_map(|(rows, groups, width, (trains, seed))| Norm {
            rows,
            groups,
            width,
            trains: trains && seed % 2 == 0,
            seed,
        })
}

/// A cross-entropy with one shape.
#[derive(Debug, Clone, Copy)]
struct Loss {
    rows: usize,
    vocab: usize,
    /// Largest absolute value of the logits.
    most: f32,
    seed: u64,
}

impl Case for Loss {
    const KERNEL: Option<Kernel> = Some(Kernel::CrossEntropy);

    fn seed(self) -> u64 {
        self.seed
    }

    fn run<B: ModelBackend>(
        self,
        reference: bool,
        numbers: &mut Numbers,
        device: &B::Device,
    ) -> Named {
        let Self { rows, vocab, .. } = self;
        let logits = numbers.tensor::<B, 2>([rows, vocab], self.most, device);
        let logits = logits.require_grad();
        let toward = numbers.tensor::<B, 1>([rows], 1.0, device);
        let targets = (0..rows).map(|row| (row * 7919 + self.seed as usize % 1000) % vocab);
        let targets: Vec<i32> = targets.map(|target| target as i32).collect();
        let targets = Tensor::<B, 1, Int>::from_ints(targets.as_slice(), device);
        let losses = match reference {
            false => cross_entropy(logits.clone(), targets),
            true => {
                let less = logits.clone() - logits.clone().max_dim(1).detach();
                let log_p = less.clone() - less.exp().sum_dim(1).log();
                -log_p
                    .gather(1, targets.unsqueeze_dim(1))
                    .squeeze_dim::<1>(1)
            }
        };
        let mut found = vec![("losses", values(losses.clone()))];
        let grads = (losses * toward).sum().backward();
        found.push((
            "to the logits",
            values(logits.grad(&grads).expect("tracked")),
        ));
        found
    }
}

fn losses() -> impl Strategy<Value = Loss> {
    (
        prop_oneof![Just(1usize), 2..40usize],
        prop_oneof![Just(1usize), Just(256), 2..3000usize],
        prop_oneof![Just(1f32), Just(30.0)],
        any::<u64>(),
    )
        .prop_map(|(rows, vocab, most, seed)| Loss {
            rows,
            vocab,
            most,
            seed,
        })
}

proptest! {
    #![proptest_config(super::cases())]

    #[test]
    fn norms_match_formulas(case in norms()) {
        hold(case);
    }

    #[test]
    fn cross_entropy_matches_formula(case in losses()) {
        hold(case);
    }
}
