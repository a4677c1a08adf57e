//! Every memory saving and every split of a step gives the same loss and gradients.

use super::*;
use bone::visit::{FloatParam, visit_floats};
use bone::{
    AdapterConfig, BlockAxis, LoraConfig, LoraStart, Selection, Targets as AdapterTargets, Variant,
};
use bone_data::Sample;
use bone_llama2::{Llama, LlamaConfig};
use burn::backend::{Autodiff, Flex};
use burn::module::{Module, ModuleMapper, Param, ParamId};
use burn::tensor::{DType, Int};
use std::collections::BTreeMap;

mod packing;
mod pieces;
mod recurrent;
mod rwkv6;

type B = Autodiff<Flex>;

#[derive(Debug, Clone, Copy)]
struct Case {
    name: &'static str,
    variant: Option<Variant>,
    dropout: f64,
    tied: bool,
    head: Head,
}

/// How the output layer is trained.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Head {
    /// As the method does it: frozen under adapters, trained in full training.
    Usual,
    /// Trained in full beside the adapters.
    Trained,
    /// Has an adapter too.
    Adapted,
}

const METHODS: [(&str, Option<Variant>, f64); 9] = [
    ("bone", Some(Variant::Bone(BlockAxis::Output)), 0.0),
    ("bone-input", Some(Variant::Bone(BlockAxis::Input)), 0.0),
    ("miss", Some(Variant::Miss), 0.0),
    ("miss with dropout", Some(Variant::Miss), 0.3),
    ("miss-mini", Some(Variant::MissMini { width: 4 }), 0.0),
    (
        "miss-mini with dropout",
        Some(Variant::MissMini { width: 4 }),
        0.2,
    ),
    ("lora with dropout", Some(lora(LoraStart::Random)), 0.3),
    ("olora with dropout", Some(lora(LoraStart::Olora)), 0.2),
    ("full", None, 0.0),
];

const fn lora(start: LoraStart) -> Variant {
    Variant::Lora(LoraConfig {
        alpha: 6.0,
        rslora: false,
        start,
    })
}

/// Returns every method with a separate head and with a tied head, and adapters beside or on the head.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, variant, dropout) in METHODS {
        for tied in [false, true] {
            cases.push(Case {
                name,
                variant,
                dropout,
                tied,
                head: Head::Usual,
            });
        }
    }
    for head in [Head::Trained, Head::Adapted] {
        cases.push(Case {
            name: "miss with dropout",
            variant: Some(Variant::Miss),
            dropout: 0.3,
            tied: false,
            head,
        });
    }
    cases
}

struct Cast(DType);

impl ModuleMapper<B> for Cast {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        param.map(|tensor| tensor.cast(self.0).detach())
    }
}

/// Makes adapters non-zero, so that their gradients reach everything.
struct Shift;

impl ModuleMapper<B> for Shift {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        param.map(|tensor| {
            let count = tensor.shape().num_elements() as i64;
            let ramp = Tensor::<B, 1, Int>::arange(0..count, &tensor.device())
                .float()
                .cast(tensor.dtype());
            let wave = ramp.mul_scalar(0.7).sin().mul_scalar(0.05);
            let shape = tensor.dims();
            tensor + wave.reshape(shape)
        })
    }
}

fn model(case: Case, dtype: DType) -> Llama<B> {
    let config = LlamaConfig {
        hidden_size: 16,
        intermediate_size: 24,
        num_hidden_layers: 3,
        num_attention_heads: 4,
        num_key_value_heads: 2,
        head_dim: 4,
        vocab_size: 20,
        max_position_embeddings: 64,
        rms_norm_eps: 1e-5,
        rope_theta: 10_000.0,
        tie_word_embeddings: case.tied,
        attention_bias: false,
        mlp_bias: false,
        initializer_range: 0.3,
    };
    let model = Llama::random(config, 5, &Default::default()).map(&mut Cast(dtype));
    let Some(variant) = case.variant else {
        return bone::unfreeze_all(model);
    };
    let selection = if case.head == Head::Adapted {
        Selection::Regex(".*".into())
    } else {
        Selection::AllLinear
    };
    let targets = AdapterTargets::new(selection);
    let config = AdapterConfig::new(variant, 4, targets).with_dropout(case.dropout);
    let model = bone::attach(model, &config).expect("fits").map(&mut Shift);
    let mut model = bone::freeze_base(model.map(&mut Cast(dtype)));
    if case.head == Head::Trained {
        model.lm_head = model.lm_head.map(|mut head| {
            head.weight = head.weight.set_require_grad(true);
            head
        });
    }
    model
}

/// Returns eight rows of different lengths; some have a prompt that is not trained.
fn samples() -> Vec<Sample> {
    (0..8)
        .map(|row| {
            let len = 4 + (row * 5) % 7;
            let tokens = (0..len).map(|t| ((row * 7 + t * 3) % 20) as u32).collect();
            Sample::after_prompt(tokens, row % 4, 100 + row as u64)
        })
        .collect()
}

type Grads = BTreeMap<ParamId, Vec<f64>>;

/// Returns loss sum and gradients of a step split into micro-batches of `size` rows.
fn run<M: TrainModel<B>>(model: &M, size: usize, savings: Savings) -> (f64, Grads) {
    run_in_pieces(model, size, savings, None)
}

fn run_in_pieces<M: TrainModel<B>>(
    model: &M,
    size: usize,
    savings: Savings,
    chunk_ctx: Option<usize>,
) -> (f64, Grads) {
    let samples = samples();
    let batches: Vec<_> = samples
        .chunks(size)
        .map(|rows| Batch::new(rows, 0))
        .collect();
    run_batches(model, &batches, savings, chunk_ctx)
}

fn run_batches<M: TrainModel<B>>(
    model: &M,
    batches: &[Batch],
    savings: Savings,
    chunk_ctx: Option<usize>,
) -> (f64, Grads) {
    let count: usize = batches.iter().map(Batch::trained_tokens).sum();
    let mut grads = Gradients::default();
    let mut loss = 0.0;
    for batch in batches {
        let scale = 1.0 / count as f64;
        let device = Default::default();
        let how = (savings, chunk_ctx);
        let sum = backward(model, batch, scale, how, (3, 9), &device, &mut grads);
        loss += sum.into_data().iter::<f64>().sum::<f64>();
    }
    let mut found = BTreeMap::new();
    visit_floats(model, |param: FloatParam<'_, B>| {
        let grad = grads.as_params().get::<Flex, 1>(param.id);
        let shape = &param.shape;
        assert_eq!(grad.is_some(), param.is_require_grad(), "{shape:?}");
        if let Some(grad) = grad {
            found.insert(param.id, grad.into_data().iter::<f64>().collect());
        }
    });
    (loss, found)
}

/// Compares all entries, relative to the largest entry of each parameter.
fn assert_same(expected: &Grads, other: &Grads, tolerance: f64, context: &str) {
    assert_eq!(expected.len(), other.len(), "{context}");
    for (id, expected) in expected {
        let other = &other[id];
        assert_eq!(expected.len(), other.len(), "{context}");
        let scale = expected.iter().fold(1e-30f64, |m, v| m.max(v.abs()));
        for (a, b) in expected.iter().zip(other) {
            let off = (a - b).abs() / scale;
            assert!(off <= tolerance, "{context}: {off}");
        }
    }
}

const PLAIN: Savings = Savings {
    recompute: false,
    head_chunk: None,
};

fn assert_savings_agree(dtype: DType, tolerance: f64) {
    for case in cases() {
        let model = model(case, dtype);
        let (loss, grads) = run(&model, 8, PLAIN);
        assert!(!grads.is_empty() && loss > 0.0);
        for size in [8, 4, 1] {
            for recompute in [false, true] {
                for head_chunk in [None, Some(3), Some(1000)] {
                    let savings = Savings {
                        recompute,
                        head_chunk,
                    };
                    let (other_loss, other) = run(&model, size, savings);
                    let context = format!("{case:?} {dtype:?} size {size} {savings:?}");
                    assert!((loss - other_loss).abs() < tolerance * loss, "{context}");
                    assert_same(&grads, &other, tolerance, &context);
                }
            }
        }
    }
}

#[test]
fn savings_and_splits_change_nothing_in_f64() {
    assert_savings_agree(DType::F64, 1e-10);
}

#[test]
fn savings_and_splits_change_nothing_in_f32() {
    // Sums in another order round differently. OLoRA's two terms lose one digit when they cancel.
    assert_savings_agree(DType::F32, 3e-5);
}

/// Adds `delta` to one entry of one parameter.
struct Nudge {
    id: ParamId,
    entry: usize,
    delta: f64,
}

impl ModuleMapper<B> for Nudge {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if param.id != self.id {
            return param;
        }
        param.map(|tensor| {
            let mut values: Vec<f64> = tensor.to_data().iter::<f64>().collect();
            values[self.entry] += self.delta;
            let data = burn::tensor::TensorData::new(values, tensor.dims());
            Tensor::from_data(data, (&tensor.device(), DType::F64)).require_grad()
        })
    }
}

#[test]
fn llama_gradients_match_finite_differences() {
    let savings = Savings {
        recompute: true,
        head_chunk: Some(5),
    };
    let count: usize = samples().iter().map(Sample::trained_tokens).sum();
    for case in cases() {
        // Full training covers every parameter of the base, tied or not. The other cases cover the
        // adapters.
        let model = model(case, DType::F64);
        let (_, grads) = run(&model, 8, savings);
        // Small enough for the curvature, large enough for the rounding error.
        let h = 1e-6;
        for (&id, grad) in &grads {
            for entry in [0, grad.len() / 2] {
                let at = |delta| {
                    let moved = model.clone().map(&mut Nudge { id, entry, delta });
                    run(&moved, 8, savings).0 / count as f64
                };
                let numeric = (at(h) - at(-h)) / (2.0 * h);
                let off = (grad[entry] - numeric).abs();
                assert!(
                    off < 1e-7 * grad[entry].abs().max(0.1),
                    "{case:?} {id}: {} and {numeric}",
                    grad[entry]
                );
            }
        }
    }
}

#[test]
fn evaluation_loss_equals_training_loss() {
    let case = cases()[4];
    assert_eq!((case.name, case.dropout), ("miss", 0.0));
    let model = model(case, DType::F64);
    let batch = Batch::new(&samples(), 0);
    let (expected, _) = run(&model, 8, PLAIN);
    for chunk in [None, Some(4)] {
        let sum = loss_sum(&model.valid(), &batch, chunk, None, &Default::default());
        let sum: f64 = sum.into_data().iter::<f64>().sum();
        assert!((sum - expected).abs() < 1e-10);
    }
}
