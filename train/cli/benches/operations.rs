//! Times each operation that has its own kernel or backward, forward and backward, on every device of the
//! build. Compares it with the same operation written in burn's operations.
//!
//! `cargo bench -p bone-cli --features vulkan --bench operations -- vulkan/wkv6`: words after `--` filter
//! by `device/operation/ours` and `device/operation/burn`. The environment variables `BATCH_SIZE`,
//! `MAX_SEQ_LEN`, `HIDDEN_SIZE`, `HEADS`, `INTERMEDIATE_SIZE`, `VOCAB_SIZE` and `RANK` set sizes.
//! `FUSION=false` runs a GPU's operations one by one.

use bone_lm::{Gate, RmsNorm, Sight, attention, cross_entropy, gated, layer_norm, rotate};
use bone_rwkv6::{Form, TokenMix, Wkv6, wkv6};
use bone_train::device::{OnDevice, all_devices, on_device};
use bone_train::models::ModelBackend;
use burn::module::{Param, ParamId};
use burn::tensor::ops::AttentionModuleOptions;
use burn::tensor::{Bool, DType, Distribution, Int, Tensor, TensorPrimitive, activation, module};
use criterion::Criterion;
use std::str::FromStr;

// The same allocator as in the binary: the system's allocator uses fresh pages for every large tensor.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const EPSILON: f64 = 1e-5;

fn main() {
    let mut criterion = Criterion::default().sample_size(10).configure_from_args();
    for device in all_devices() {
        let operations = Operations(&mut criterion, device.name.to_string());
        on_device(device.name, setting("FUSION", true), operations).expect("the device works");
    }
    criterion.final_summary();
}

fn setting<T: FromStr<Err: std::fmt::Debug>>(name: &str, default: T) -> T {
    let given = std::env::var(name).ok();
    given.map_or(default, |text| text.parse().expect(name))
}

struct Operations<'a>(&'a mut Criterion, String);

impl OnDevice for Operations<'_> {
    type Output = ();

    fn run<B: ModelBackend>(self, device: B::Device) {
        let mut bench = Bench::<B> {
            criterion: self.0,
            name: self.1,
            device,
            batch: setting("BATCH_SIZE", 4),
            len: setting("MAX_SEQ_LEN", 512),
            hidden: setting("HIDDEN_SIZE", 768),
            heads: setting("HEADS", 12),
        };
        // In sequence, so that the tensors of one are freed before those of the next exist.
        bench.norms();
        bench.swiglu();
        bench.rotary();
        bench.attention();
        bench.cross_entropy();
        bench.token_shift();
        bench.wkv6();
        bench.bone_output();
    }
}

struct Bench<'a, B: ModelBackend> {
    criterion: &'a mut Criterion,
    name: String,
    device: B::Device,
    batch: usize,
    len: usize,
    hidden: usize,
    heads: usize,
}

fn float<B: ModelBackend, const D: usize>(y: B::FloatTensorPrimitive) -> Tensor<B, D> {
    Tensor::from_primitive(TensorPrimitive::Float(y))
}

fn primitive<B: ModelBackend, const D: usize>(x: &Tensor<B, D>) -> B::FloatTensorPrimitive {
    x.clone().into_primitive().tensor()
}

impl<B: ModelBackend> Bench<'_, B> {
    /// Returns a tensor with gradient, with values between −1 and 1.
    fn leaf<const D: usize>(&self, shape: [usize; D]) -> Tensor<B, D> {
        let options = (&self.device, DType::F32);
        Tensor::random(shape, Distribution::Uniform(-1.0, 1.0), options).require_grad()
    }

    fn by_head(&self) -> [usize; 4] {
        [self.batch, self.heads, self.len, self.hidden / self.heads]
    }

    /// Times both variants, forward and backward from their sum.
    fn pair<const D: usize, const E: usize>(
        &mut self,
        name: &str,
        ours: impl Fn() -> Tensor<B, D>,
        burn: impl Fn() -> Tensor<B, E>,
    ) {
        let backward = |sum: Tensor<B, 1>| (sum.backward(), sum);
        self.time(name, || backward(ours().sum()), || backward(burn().sum()));
    }

    fn time<T, U>(&mut self, name: &str, ours: impl Fn() -> T, burn: impl Fn() -> U) {
        let device = &self.device;
        let wait = || B::sync(device).expect("the device works");
        let name = format!("{}/{name}", self.name);
        let mut group = self.criterion.benchmark_group(name);
        group.bench_function("ours", |b| b.iter_with_large_drop(|| (ours(), wait())));
        group.bench_function("burn", |b| b.iter_with_large_drop(|| (burn(), wait())));
    }

    fn norms(&mut self) {
        let x = self.leaf([self.batch * self.len, self.hidden]);
        let [weight, bias] = [(); 2].map(|()| {
            let frozen = self.leaf::<1>([self.hidden]).detach();
            Param::initialized(ParamId::new(), frozen)
        });
        let norm = RmsNorm {
            weight: weight.clone(),
            epsilon: EPSILON,
        };
        let scaled = |y: Tensor<B, 2>| {
            let square = y.clone().powi_scalar(2).mean_dim(1);
            y / (square + EPSILON).sqrt() * weight.val().unsqueeze()
        };
        self.pair("rms-norm", || norm.forward(x.clone()), || scaled(x.clone()));
        self.pair(
            "layer-norm",
            || layer_norm(x.clone(), &weight, &bias, 1, EPSILON),
            || scaled(x.clone() - x.clone().mean_dim(1)) + bias.val().unsqueeze(),
        );
    }

    fn swiglu(&mut self) {
        let shape = [self.batch * self.len, setting("INTERMEDIATE_SIZE", 2048)];
        let [gate, up] = [(); 2].map(|()| self.leaf::<2>(shape));
        self.pair(
            "swiglu",
            || gated(gate.clone(), up.clone(), Gate::Silu),
            || activation::silu(gate.clone()) * up.clone(),
        );
    }

    fn rotary(&mut self) {
        let [_, _, len, width] = self.by_head();
        let x = self.leaf(self.by_head());
        let [cos, sin] = [(); 2].map(|()| self.leaf([1, 1, len, width / 2]).detach());
        self.pair(
            "rotary",
            || rotate(x.clone(), &cos, &sin),
            || {
                let [a, b] = [0, width / 2].map(|start| x.clone().narrow(3, start, width / 2));
                let (c, s) = (cos.clone(), sin.clone());
                let first = a.clone() * c.clone() - b.clone() * s.clone();
                Tensor::cat(vec![first, b * c + a * s], 3)
            },
        );
    }

    fn attention(&mut self) {
        let [_, _, len, width] = self.by_head();
        let inputs = [(); 3].map(|()| self.leaf::<4>(self.by_head()));
        let sight = Sight::causal(len, &self.device);
        let hidden = Tensor::<B, 2, Bool>::tril_mask([len, len], 0, &self.device).unsqueeze::<4>();
        self.pair(
            "attention",
            || {
                let [query, key, value] = inputs.clone();
                attention(query, key, value, &sight)
            },
            || {
                let [query, key, value] = inputs.clone();
                let scores = query.matmul(key.transpose()) / (width as f64).sqrt();
                let scores = scores.mask_fill(hidden.clone(), f32::NEG_INFINITY);
                activation::softmax(scores, 3).matmul(value)
            },
        );
        // Without a graph, compared with burn's own, which may be a flash kernel of its library.
        let inputs = inputs.map(Tensor::inner);
        let sight = Sight::causal(len, &self.device);
        let options = AttentionModuleOptions {
            is_causal: true,
            ..Default::default()
        };
        self.time(
            "attention-forward",
            || {
                let [query, key, value] = inputs.clone();
                attention(query, key, value, &sight)
            },
            || {
                let [query, key, value] = inputs.clone();
                module::attention(query, key, value, None, None, options)
            },
        );
    }

    fn cross_entropy(&mut self) {
        // As many rows as the head processes at once.
        let (rows, vocab) = (
            (self.batch * self.len).min(512),
            setting("VOCAB_SIZE", 32_000),
        );
        let logits = self.leaf::<2>([rows, vocab]);
        let targets: Vec<i32> = (0..rows).map(|i| (i * 7919 % vocab) as i32).collect();
        let targets = Tensor::<B, 1, Int>::from_ints(targets.as_slice(), &self.device);
        // No other tensor shares the logits, as in the head.
        self.pair(
            "cross-entropy",
            || cross_entropy(logits.clone() * 2.0, targets.clone()),
            || {
                let losses = activation::log_softmax(logits.clone() * 2.0, 1);
                losses.gather(1, targets.clone().unsqueeze_dim(1))
            },
        );
    }

    fn token_shift(&mut self) {
        let (batch, len, size) = (self.batch, self.len, self.hidden);
        let x = self.leaf([batch, len, size]);
        let maa = [(); 5].map(|()| self.leaf::<3>([1, 1, size]).detach());
        let by_data = self.leaf::<3>([5, batch * len, size]);
        let sum = |all: [Tensor<B, 3>; 5]| all.into_iter().reduce(|a, b| a + b).expect("five");
        self.pair(
            "token-shift",
            || {
                let mixed = B::token_mix(TokenMix {
                    x: primitive(&x),
                    before: None,
                    maa: maa.each_ref().map(primitive),
                    by_data: Some(primitive(&by_data)),
                });
                sum(mixed.map(float))
            },
            || {
                let first = x.clone().narrow(1, 0, 1).zeros_like();
                let shifted = Tensor::cat(vec![first, x.clone().narrow(1, 0, len - 1)], 1);
                let less = shifted - x.clone();
                sum(std::array::from_fn(|k| {
                    let own = by_data.clone().narrow(0, k, 1).reshape([batch, len, size]);
                    x.clone() + less.clone() * (maa[k].clone() + own)
                }))
            },
        );
    }

    fn wkv6(&mut self) {
        let row = || self.leaf::<3>([self.batch, self.len, self.hidden]);
        let inputs = Wkv6 {
            receptance: row(),
            key: row(),
            value: row(),
            decay: row(),
            bonus: self.leaf([self.heads, self.hidden / self.heads]).detach(),
            state: None,
        };
        self.pair(
            "wkv6",
            || wkv6(inputs.clone(), None).0,
            || wkv6(inputs.clone(), Some(Form::Chunked)).0,
        );
    }

    fn bone_output(&mut self) {
        let (size, r) = (self.hidden, setting("RANK", 64));
        let x = self.leaf::<2>([self.batch * self.len, size]);
        let weight = self.leaf::<2>([size, size]).detach();
        let block = self.leaf::<3>([size / r, r, r]);
        self.pair(
            "bone-output",
            || {
                let weight = primitive(&weight.clone().transpose());
                float::<B, 2>(B::bone_output_product(
                    primitive(&x),
                    weight,
                    primitive(&block),
                ))
            },
            || {
                let (g, rows) = (size / r, weight.clone());
                let product = rows.clone().reshape([g, size, r]).matmul(block.clone());
                let sum = rows.reshape([g, r, size / r, r])
                    + product.reshape([g, r, size / r, r])
                    + block.clone().unsqueeze_dim::<4>(2);
                x.clone().matmul(sum.reshape([size, size]).transpose())
            },
        );
    }
}
