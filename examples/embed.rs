//! Uses Bone in your own model.
//!
//! The program trains a small network from scratch on one curved surface, then fine-tunes it on
//! another with a Bone adapter. In your own model, replace burn's `Linear` with `BoneLinear`, and
//! burn's `Backend` with `bone::Backend`.
//!
//! ```text
//! cargo run -p bone-examples --bin embed
//! ```

use bone::{AdapterConfig, BlockAxis, BoneLinear, BoneLinearConfig, Selection, Targets, Variant};
use burn::backend::Autodiff;
use burn::module::Module;
use burn::nn::loss::{MseLoss, Reduction};
use burn::optim::{AdamWConfig, GradientsParams, Optimizer};
use burn::tensor::{Device, ElementConversion, Tensor, activation::gelu};
use std::error::Error;

/// The backend. To use any other backend of burn, change only this line.
#[cfg(feature = "cuda")]
type B = Autodiff<burn::backend::Cuda>;
#[cfg(all(feature = "rocm", not(feature = "cuda")))]
type B = Autodiff<burn::backend::Rocm>;
#[cfg(all(feature = "vulkan", not(any(feature = "cuda", feature = "rocm"))))]
type B = Autodiff<burn::backend::Vulkan>;
#[cfg(all(
    feature = "metal",
    not(any(feature = "cuda", feature = "rocm", feature = "vulkan"))
))]
type B = Autodiff<burn::backend::Metal>;
#[cfg(all(
    feature = "wgpu",
    not(any(
        feature = "cuda",
        feature = "rocm",
        feature = "vulkan",
        feature = "metal"
    ))
))]
type B = Autodiff<burn::backend::WebGpu>;
#[cfg(all(
    feature = "ndarray",
    not(any(
        feature = "cuda",
        feature = "rocm",
        feature = "vulkan",
        feature = "metal",
        feature = "wgpu"
    ))
))]
type B = Autodiff<burn::backend::NdArray>;
#[cfg(not(any(
    feature = "cuda",
    feature = "rocm",
    feature = "vulkan",
    feature = "metal",
    feature = "wgpu",
    feature = "ndarray"
)))]
type B = Autodiff<burn::backend::Flex>;

/// Your model: an ordinary burn module. Field names give the paths of its layers, here `input`,
/// `hidden.0`, `hidden.1` and `output`.
#[derive(Module, Debug)]
struct Network<B: bone::Backend> {
    input: BoneLinear<B>,
    hidden: Vec<BoneLinear<B>>,
    output: BoneLinear<B>,
}

const WIDTH: usize = 32;

impl<B: bone::Backend> Network<B> {
    fn new(device: &B::Device) -> Self {
        // `BoneLinear::from(linear)` converts an existing `Linear`.
        Self {
            input: BoneLinearConfig::new(2, WIDTH).init(device),
            hidden: (0..2)
                .map(|_| BoneLinearConfig::new(WIDTH, WIDTH).init(device))
                .collect(),
            output: BoneLinearConfig::new(WIDTH, 1).init(device),
        }
    }

    /// Computes heights `[n, 1]` of points `[n, 2]`.
    fn forward(&self, points: Tensor<B, 2>) -> Tensor<B, 2> {
        let mut x = gelu(self.input.forward(points));
        for layer in &self.hidden {
            x = gelu(layer.forward(x));
        }
        self.output.forward(x)
    }
}

/// Points on a grid over the unit square, and the height of a wave at each.
struct Surface {
    points: Tensor<B, 2>,
    heights: Tensor<B, 2>,
}

impl Surface {
    fn wave(phase: f32, device: &Device<B>) -> Self {
        const SIDE: usize = 16;
        let at = |i: usize| i as f32 / (SIDE - 1) as f32;
        let points: [[f32; 2]; SIDE * SIDE] = std::array::from_fn(|i| [at(i % SIDE), at(i / SIDE)]);
        let heights = points.map(|[x, y]| [(4.0 * x + phase).sin() * (1.0 - y)]);
        Self {
            points: Tensor::from_data(points, device),
            heights: Tensor::from_data(heights, device),
        }
    }

    fn loss(&self, network: &Network<B>) -> Tensor<B, 1> {
        let heights = network.forward(self.points.clone());
        MseLoss::new().forward(heights, self.heights.clone(), Reduction::Mean)
    }
}

/// Trains all trainable parameters of `network`: the same loop before and after `attach`.
fn train(mut network: Network<B>, surface: &Surface, steps: usize) -> Network<B> {
    let mut optimizer = AdamWConfig::new().with_weight_decay(0.0).init();
    for _ in 0..steps {
        let gradients = surface.loss(&network).backward();
        // Frozen parameters have no gradient, so the optimizer keeps no state for them.
        let gradients = GradientsParams::from_grads(gradients, &network);
        network = optimizer.step(1e-2, network, gradients);
    }
    network
}

/// The results of [`run`].
struct Outcome {
    trainable: [usize; 2],
    loss_before: f32,
    loss_after: f32,
    loss_merged: f32,
    /// Largest difference between the outputs of the adapted and the merged network.
    difference: f32,
}

fn run() -> Result<Outcome, Box<dyn Error>> {
    let device = Default::default();

    // 1. A base model. Yours comes from a checkpoint: BoneLinear loads Linear's weights.
    let base = train(Network::new(&device), &Surface::wave(0.0, &device), 200);
    let all = bone::count_params(&base).trainable;

    // 2. Attach adapters to layers by path. They start at zero, so the outputs do not change yet.
    //    The rank must divide the inputs and the outputs of those layers.
    let targets = Targets::new(Selection::Regex(r"hidden\.\d+".into()));
    let config = AdapterConfig::new(Variant::Bone(BlockAxis::Output), 8, targets);
    let network = bone::freeze_base(bone::attach(base.clone(), &config)?);
    let trainable = bone::count_params(&network).trainable;

    // 3. Fine-tune on another surface with the same loop.
    let surface = Surface::wave(1.0, &device);
    let loss = |network: &Network<B>| surface.loss(network).into_scalar().elem::<f32>();
    let loss_before = loss(&network);
    let network = train(network, &surface, 200);
    let loss_after = loss(&network);

    // 4. Save only the adapter, and load it onto the unchanged base.
    let folder = tempfile::tempdir()?;
    bone::peft::save(&network, &config, Some("my-network"), folder.path())?;
    let (loaded, _config) = bone::peft::load(base, folder.path())?;

    // 5. Merge the adapter into the weights. The forward then costs as much as the base's.
    let merged = bone::merge(loaded)?;
    let gap = network.forward(surface.points.clone()) - merged.forward(surface.points.clone());
    Ok(Outcome {
        trainable: [trainable, all],
        loss_before,
        loss_after,
        loss_merged: loss(&merged),
        difference: gap.abs().max().into_scalar().elem(),
    })
}

fn main() -> Result<(), Box<dyn Error>> {
    let outcome = run()?;
    let [trainable, all] = outcome.trainable;
    println!("trainable      {trainable} of the base's {all} parameters");
    println!("loss before    {:.5}", outcome.loss_before);
    println!("loss after     {:.5}", outcome.loss_after);
    println!("loss merged    {:.5}", outcome.loss_merged);
    println!("merged differs by at most {:.1e}", outcome.difference);
    Ok(())
}

#[test]
fn fine_tuning_lowers_the_loss_and_merging_keeps_the_outputs() {
    let outcome = run().expect("every step works");
    // Two layers of 32 / 8 blocks of 8 × 8.
    assert_eq!(outcome.trainable[0], 2 * (32 / 8) * 8 * 8);
    assert!(outcome.loss_after < 0.1 * outcome.loss_before);
    assert!(outcome.difference < 1e-4);
}
