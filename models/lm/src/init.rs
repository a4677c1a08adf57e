//! Random starting weights, drawn on the host so that every backend gets the same.

use burn::module::{Param, ParamId};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal};

/// A source of starting weights.
#[derive(Debug)]
pub struct Initialiser<B: Backend> {
    rng: ChaCha8Rng,
    device: B::Device,
}

impl<B: Backend> Initialiser<B> {
    /// Draws from `seed`, for `device`.
    pub fn new(seed: u64, device: &B::Device) -> Self {
        Self {
            rng: ChaCha8Rng::seed_from_u64(seed),
            device: device.clone(),
        }
    }

    fn param<const D: usize>(&self, values: Vec<f32>, shape: [usize; D]) -> Param<Tensor<B, D>> {
        let tensor = Tensor::from_data(TensorData::new(values, shape), &self.device);
        Param::initialized(ParamId::new(), tensor)
    }

    /// Normal with mean 0.
    pub fn normal<const D: usize>(&mut self, std: f64, shape: [usize; D]) -> Param<Tensor<B, D>> {
        let count = shape.iter().product();
        // A standard deviation that is not finite would be refused with the configuration.
        let values = match Normal::new(0.0, std) {
            Ok(normal) => (0..count)
                .map(|_| normal.sample(&mut self.rng) as f32)
                .collect(),
            Err(_) => vec![0.0; count],
        };
        self.param(values, shape)
    }

    /// Ones.
    pub fn ones<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<B, D>> {
        self.param(vec![1.0; shape.iter().product()], shape)
    }

    /// Zeros.
    pub fn zeros<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<B, D>> {
        self.param(vec![0.0; shape.iter().product()], shape)
    }
}
