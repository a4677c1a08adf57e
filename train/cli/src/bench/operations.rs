//! Operations of ours against the same in burn's own, forward and backward.

use super::measure::median;
use bone_lm::{Gate, RmsNorm, Sight, attention, cross_entropy, gated, layer_norm, rotate};
use bone_rwkv6::{Form, TokenMix, Wkv6, wkv6};
use bone_train::models::ModelBackend;
use burn::module::{Param, ParamId};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Distribution, Int, Tensor, TensorPrimitive, activation, module};
use std::time::Instant;

/// The one that is timed without a backward.
const FORWARD_ALONE: &str = "attention-forward";

/// Names of the operations.
pub const OPERATIONS: [&str; 10] = [
    "rms-norm",
    "layer-norm",
    "swiglu",
    "rotary",
    "attention",
    FORWARD_ALONE,
    "cross-entropy",
    "token-shift",
    "wkv6",
    "bone-output",
];

/// The sizes.
#[derive(Debug, Clone)]
pub struct OperationBench {
    /// Sequences.
    pub batch: usize,
    /// Tokens of each.
    pub len: usize,
    /// Width of the residual stream.
    pub hidden: usize,
    /// Heads, of an even width.
    pub heads: usize,
    /// Width inside the feed-forward part.
    pub intermediate: usize,
    /// Entries of the vocabulary.
    pub vocab: usize,
    /// Rank of bone's blocks, which divides the hidden size.
    pub rank: usize,
    /// How often each is timed, at least 1.
    pub rounds: usize,
    /// Those of [`OPERATIONS`] that are timed; all where there are none.
    pub only: Vec<String>,
}

/// Median seconds of an operation, forward and, but for the one that says so, backward.
#[derive(Debug, Clone, Copy)]
pub struct OperationTime {
    /// Its name.
    pub name: &'static str,
    /// As this project computes it.
    pub ours: f64,
    /// Written in burn's operations, with burn's backward.
    pub composed: f64,
}

type Work<'a, B> = Box<dyn Fn() -> Tensor<B, 1> + 'a>;

type Make<D, P> = fn(&OperationBench, &D) -> P;

/// One operation both ways, each to a sum.
struct Pair<'a, B: ModelBackend> {
    ours: Work<'a, B>,
    composed: Work<'a, B>,
}

const EPSILON: f64 = 1e-5;

/// A tensor that a gradient is wanted of, between −1 and 1.
fn leaf<B: ModelBackend, const D: usize>(shape: [usize; D], device: &B::Device) -> Tensor<B, D> {
    let options = (device, DType::F32);
    Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), options).require_grad()
}

/// As a model's frozen weights are.
fn frozen<B: ModelBackend>(size: usize, device: &B::Device) -> Param<Tensor<B, 1>> {
    let values = leaf::<B, 1>([size], device).detach();
    Param::initialized(ParamId::new(), values)
}

fn pair<'a, B: ModelBackend, const D: usize, const E: usize>(
    ours: impl Fn() -> Tensor<B, D> + 'a,
    composed: impl Fn() -> Tensor<B, E> + 'a,
) -> Pair<'a, B> {
    Pair {
        ours: Box::new(move || ours().sum()),
        composed: Box::new(move || composed().sum()),
    }
}

impl OperationBench {
    /// Times all of them.
    ///
    /// # Panics
    ///
    /// On sizes that do not fit each other.
    pub fn run<B: ModelBackend>(&self, device: &B::Device) -> Vec<OperationTime> {
        let time = |work: &Work<'_, B>, backward: bool| {
            let started = Instant::now();
            let sum = work();
            let grads = backward.then(|| sum.backward());
            // What fails shows in what is read later.
            let _ = B::sync(device);
            let seconds = started.elapsed().as_secs_f64();
            drop((sum, grads));
            seconds
        };
        let of = |name, pair: Pair<'_, B>| {
            let backward = name != FORWARD_ALONE;
            time(&pair.ours, backward);
            time(&pair.composed, backward);
            let (mut ours, mut composed) = (Vec::new(), Vec::new());
            for _ in 0..self.rounds {
                ours.push(time(&pair.ours, backward));
                composed.push(time(&pair.composed, backward));
            }
            OperationTime {
                name,
                ours: median(ours),
                composed: median(composed),
            }
        };
        let all: [Make<B::Device, Pair<'static, B>>; OPERATIONS.len()] = [
            Self::rms_norm,
            Self::layer_norm,
            Self::swiglu,
            Self::rotary,
            Self::attention,
            Self::attention_forward,
            Self::cross_entropy,
            Self::token_shift,
            Self::wkv6,
            Self::bone_output,
        ];
        // One after the other: their tensors are gone before the next one's are made.
        let named = OPERATIONS.into_iter().zip(all);
        let chosen =
            named.filter(|(name, _)| self.only.is_empty() || self.only.contains(&name.to_string()));
        chosen
            .map(|(name, make)| of(name, make(self, device)))
            .collect()
    }

    fn rows(&self) -> usize {
        self.batch * self.len
    }

    fn rms_norm<'a, B: ModelBackend>(&self, device: &B::Device) -> Pair<'a, B> {
        let x = leaf::<B, 2>([self.rows(), self.hidden], device);
        let weight = frozen::<B>(self.hidden, device);
        let norm = RmsNorm {
            weight: weight.clone(),
            epsilon: EPSILON,
        };
        let y = x.clone();
        pair(
            move || norm.forward(x.clone()),
            move || {
                let square = y.clone().powi_scalar(2).mean_dim(1);
                y.clone() / (square + EPSILON).sqrt() * weight.val().unsqueeze()
            },
        )
    }

    fn layer_norm<'a, B: ModelBackend>(&self, device: &B::Device) -> Pair<'a, B> {
        let x = leaf::<B, 2>([self.rows(), self.hidden], device);
        let [weight, bias] = [(); 2].map(|()| frozen::<B>(self.hidden, device));
        let (y, w, b) = (x.clone(), weight.clone(), bias.clone());
        pair(
            move || layer_norm(x.clone(), &weight, &bias, 1, EPSILON),
            move || {
                let less = y.clone() - y.clone().mean_dim(1);
                let square = less.clone().powi_scalar(2).mean_dim(1);
                less / (square + EPSILON).sqrt() * w.val().unsqueeze() + b.val().unsqueeze()
            },
        )
    }

    fn swiglu<'a, B: ModelBackend>(&self, device: &B::Device) -> Pair<'a, B> {
        let shape = [self.rows(), self.intermediate];
        let [gate, up] = [(); 2].map(|()| leaf::<B, 2>(shape, device));
        let (g, u) = (gate.clone(), up.clone());
        pair(
            move || gated(gate.clone(), up.clone(), Gate::Silu),
            move || activation::silu(g.clone()) * u.clone(),
        )
    }

    fn by_head(&self) -> [usize; 4] {
        [self.batch, self.heads, self.len, self.hidden / self.heads]
    }

    fn rotary<'a, B: ModelBackend>(&self, device: &B::Device) -> Pair<'a, B> {
        let [batch, heads, len, width] = self.by_head();
        let x = leaf::<B, 4>([batch, heads, len, width], device);
        let [cos, sin] = [(); 2].map(|()| leaf::<B, 4>([1, 1, len, width / 2], device).detach());
        let (y, c, s) = (x.clone(), cos.clone(), sin.clone());
        pair(
            move || rotate(x.clone(), &cos, &sin),
            move || {
                let [a, b] = [0, width / 2].map(|start| y.clone().narrow(3, start, width / 2));
                let turned = [
                    a.clone() * c.clone() - b.clone() * s.clone(),
                    b * c.clone() + a * s.clone(),
                ];
                Tensor::cat(turned.to_vec(), 3)
            },
        )
    }

    fn attention<'a, B: ModelBackend>(&self, device: &B::Device) -> Pair<'a, B> {
        let [_, _, len, width] = self.by_head();
        let inputs = [(); 3].map(|()| leaf::<B, 4>(self.by_head(), device));
        let again = inputs.clone();
        let sight = Sight::causal(len, device);
        let hidden = Tensor::<B, 2, Bool>::tril_mask([len, len], 0, device).unsqueeze::<4>();
        pair(
            move || {
                let [query, key, value] = inputs.clone();
                attention(query, key, value, &sight)
            },
            move || {
                let [query, key, value] = again.clone();
                let scores = query.matmul(key.transpose()) / (width as f64).sqrt();
                let scores = scores.mask_fill(hidden.clone(), f32::NEG_INFINITY);
                activation::softmax(scores, 3).matmul(value)
            },
        )
    }

    /// Without a graph, as in evaluation and before a block is run again, beside burn's own attention, which
    /// may be a flash kernel of its library's.
    fn attention_forward<'a, B: ModelBackend>(&self, device: &B::Device) -> Pair<'a, B> {
        let [_, _, len, _] = self.by_head();
        let inputs = [(); 3].map(|()| leaf::<B, 4>(self.by_head(), device).inner());
        let again = inputs.clone();
        let sight = Sight::causal(len, device);
        pair(
            move || {
                let [query, key, value] = inputs.clone();
                Tensor::from_inner(attention(query, key, value, &sight))
            },
            move || {
                let [query, key, value] = again.clone();
                let options = AttentionModuleOptions {
                    is_causal: true,
                    ..Default::default()
                };
                Tensor::from_inner(module::attention(query, key, value, None, None, options))
            },
        )
    }

    fn cross_entropy<'a, B: ModelBackend>(&self, device: &B::Device) -> Pair<'a, B> {
        // As many rows as the head gives at once.
        let rows = self.rows().min(512);
        let logits = leaf::<B, 2>([rows, self.vocab], device);
        let targets: Vec<i32> = (0..rows).map(|i| (i * 7919 % self.vocab) as i32).collect();
        let targets = Tensor::<B, 1, Int>::from_ints(targets.as_slice(), device);
        let (again, t) = (logits.clone(), targets.clone());
        // Both from logits that nobody else holds, as a head's are.
        pair(
            move || cross_entropy(logits.clone() * 2.0, targets.clone()),
            move || {
                let logits = again.clone() * 2.0;
                activation::log_softmax(logits, 1).gather(1, t.clone().unsqueeze_dim(1))
            },
        )
    }

    fn token_shift<'a, B: ModelBackend>(&self, device: &B::Device) -> Pair<'a, B> {
        let (batch, len, size) = (self.batch, self.len, self.hidden);
        let x = leaf::<B, 3>([batch, len, size], device);
        let maa = [(); 5].map(|()| leaf::<B, 3>([1, 1, size], device).detach());
        let by_data = leaf::<B, 3>([5, batch * len, size], device);
        let (y, m, d) = (x.clone(), maa.clone(), by_data.clone());
        let sum = |all: [Tensor<B, 3>; 5]| {
            let [a, b, c, d, e] = all;
            a + b + c + d + e
        };
        pair(
            move || {
                let mixed = B::token_mix(TokenMix {
                    x: x.clone().into_primitive().tensor(),
                    before: None,
                    maa: maa.clone().map(|maa| maa.into_primitive().tensor()),
                    by_data: Some(by_data.clone().into_primitive().tensor()),
                });
                sum(mixed.map(|y| Tensor::from_primitive(TensorPrimitive::Float(y))))
            },
            move || {
                let first = y.clone().narrow(1, 0, 1).zeros_like();
                let shifted = Tensor::cat(vec![first, y.clone().narrow(1, 0, len - 1)], 1);
                let less = shifted - y.clone();
                sum(std::array::from_fn(|k| {
                    let own = d.clone().narrow(0, k, 1).reshape([batch, len, size]);
                    y.clone() + less.clone() * (m[k].clone() + own)
                }))
            },
        )
    }

    fn wkv6<'a, B: ModelBackend>(&self, device: &B::Device) -> Pair<'a, B> {
        let row = || leaf::<B, 3>([self.batch, self.len, self.hidden], device);
        let inputs = Wkv6 {
            receptance: row(),
            key: row(),
            value: row(),
            decay: row(),
            bonus: leaf::<B, 2>([self.heads, self.hidden / self.heads], device).detach(),
            state: None,
        };
        let again = inputs.clone();
        pair(
            move || wkv6(inputs.clone(), None).0,
            move || wkv6(again.clone(), Some(Form::Chunked)).0,
        )
    }

    fn bone_output<'a, B: ModelBackend>(&self, device: &B::Device) -> Pair<'a, B> {
        let (size, r) = (self.hidden, self.rank);
        let x = leaf::<B, 2>([self.rows(), size], device);
        let w = leaf::<B, 2>([size, size], device).detach();
        let block = leaf::<B, 3>([size / r, r, r], device);
        let (y, v, b) = (x.clone(), w.clone(), block.clone());
        pair(
            move || {
                let [x, w] =
                    [x.clone(), w.clone().transpose()].map(|t| t.into_primitive().tensor());
                let block = block.clone().into_primitive().tensor();
                let y = B::bone_output_product(x, w, block);
                Tensor::<B, 2>::from_primitive(TensorPrimitive::Float(y))
            },
            move || {
                let (g, rows) = (size / r, v.clone());
                let product = rows.clone().reshape([g, size, r]).matmul(b.clone());
                let sum = rows.reshape([g, r, size / r, r])
                    + product.reshape([g, r, size / r, r])
                    + b.clone().unsqueeze_dim::<4>(2);
                y.clone().matmul(sum.reshape([size, size]).transpose())
            },
        )
    }
}
