//! The model of these tests, independent of our own models: blocks in a `Vec`, a norm, and a head.

use bone::{
    AdapterConfig, BlockAxis, BoneLinear, BoneLinearConfig, LoraConfig, LoraStart, Selection,
    SvdMethod, Targets, Variant,
};
use burn::backend::{Autodiff, Flex};
use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{Tensor, activation::relu};

pub(crate) type B = Autodiff<Flex>;

#[derive(Module, Debug)]
pub(crate) struct Block<B: bone::Backend> {
    pub(crate) up: BoneLinear<B>,
    pub(crate) down: BoneLinear<B>,
}

#[derive(Module, Debug)]
pub(crate) struct Network<B: bone::Backend> {
    pub(crate) input: BoneLinear<B>,
    pub(crate) blocks: Vec<Block<B>>,
    pub(crate) norm: LayerNorm<B>,
    pub(crate) lm_head: BoneLinear<B>,
}

impl<B: bone::Backend> Network<B> {
    /// Makes two blocks, widths 6, 8, 16 and 4; the same weights for the same seed.
    pub(crate) fn new(seed: u64) -> Self {
        let device = B::Device::default();
        B::seed(&device, seed);
        let linear = |d_input, d_output| BoneLinearConfig::new(d_input, d_output);
        let network = Self {
            input: linear(6, 8).init(&device),
            blocks: (0..2)
                .map(|_| Block {
                    up: linear(8, 16).with_bias(false).init(&device),
                    down: linear(16, 8).init(&device),
                })
                .collect(),
            norm: LayerNormConfig::new(8).init(&device),
            lm_head: linear(8, 4).init(&device),
        };
        // burn draws weights at first use; a clone made earlier would draw others.
        network.output();
        network
    }

    /// Maps `[n, 6]` to `[n, 4]`.
    pub(crate) fn forward(&self, x: Tensor<B, 2>) -> Tensor<B, 2> {
        let mut x = self.input.forward(x);
        for block in &self.blocks {
            x = x.clone() + block.down.forward(relu(block.up.forward(x)));
        }
        self.lm_head.forward(self.norm.forward(x))
    }

    /// Returns the output for five fixed rows.
    pub(crate) fn output(&self) -> Vec<f32> {
        self.forward(rows()).into_data().iter::<f32>().collect()
    }
}

pub(crate) fn rows<B: bone::Backend>() -> Tensor<B, 2> {
    let rows: [[f32; 6]; 5] =
        std::array::from_fn(|n| std::array::from_fn(|i| ((n * 6 + i) as f32).sin()));
    Tensor::from_data(rows, &B::Device::default())
}

pub(crate) const BONE: Variant = Variant::Bone(BlockAxis::Output);
const FAST: SvdMethod = SvdMethod::Fast { iterations: 4 };

fn lora(start: LoraStart, rslora: bool) -> Variant {
    Variant::Lora(LoraConfig {
        alpha: 4.0,
        rslora,
        start,
    })
}

pub(crate) const BONE_INPUT: Variant = Variant::Bone(BlockAxis::Input);

/// Returns every variant, on every layer except the head. The ranks of miss do not divide the
/// widths.
pub(crate) fn configs() -> Vec<AdapterConfig> {
    [
        (BONE, 2),
        (BONE_INPUT, 2),
        (Variant::Miss, 3),
        (Variant::MissMini { width: 4 }, 3),
        (lora(LoraStart::Random, false), 3),
        (lora(LoraStart::Pissa(SvdMethod::Exact), false), 3),
        (lora(LoraStart::Pissa(FAST), true), 3),
        (lora(LoraStart::Olora, false), 3),
    ]
    .map(|(variant, rank)| AdapterConfig::new(variant, rank, Targets::new(Selection::AllLinear)))
    .into()
}

/// Returns the largest difference.
pub(crate) fn difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    differences.fold(0.0, |max, d| if d.is_nan() { f32::NAN } else { max.max(d) })
}

/// Returns the network with adapters after a few optimizer steps, everything else frozen.
pub(crate) fn tuned(network: Network<B>, config: &AdapterConfig) -> Network<B> {
    use burn::optim::{GradientsParams, Optimizer, SgdConfig};
    let network = bone::attach(network, config).expect("fits");
    let mut network: Network<B> = bone::freeze_base(network);
    let mut optimizer = SgdConfig::new().init();
    for _ in 0..3 {
        let gradients = network.forward(rows()).powi_scalar(2).mean().backward();
        let gradients = GradientsParams::from_grads(gradients, &network);
        network = optimizer.step(0.1, network, gradients);
    }
    network
}
