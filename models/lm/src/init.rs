//! Random initial weights, drawn on the host so that every backend gets the same.

use burn::module::{Param, ParamId};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, Normal, StandardNormal};

/// A source of initial weights.
#[derive(Debug)]
pub struct Initialiser<B: Backend> {
    rng: ChaCha8Rng,
    device: B::Device,
}

impl<B: Backend> Initialiser<B> {
    /// Makes a source with `seed`, for `device`.
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

    /// Draws from a normal distribution with mean 0.
    pub fn normal<const D: usize>(&mut self, std: f64, shape: [usize; D]) -> Param<Tensor<B, D>> {
        let count = shape.iter().product();
        // The configuration already refuses a standard deviation that is not finite.
        let values = match Normal::new(0.0, std) {
            Ok(normal) => (0..count)
                .map(|_| normal.sample(&mut self.rng) as f32)
                .collect(),
            Err(_) => vec![0.0; count],
        };
        self.param(values, shape)
    }

    /// Returns ones.
    pub fn ones<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<B, D>> {
        self.param(vec![1.0; shape.iter().product()], shape)
    }

    /// Returns zeros.
    pub fn zeros<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<B, D>> {
        self.param(vec![0.0; shape.iter().product()], shape)
    }

    /// Returns these values.
    pub fn values<const D: usize>(
        &self,
        values: Vec<f32>,
        shape: [usize; D],
    ) -> Param<Tensor<B, D>> {
        self.param(values, shape)
    }

    /// Draws uniformly between `−bound` and `bound`, which is above 0.
    pub fn uniform<const D: usize>(
        &mut self,
        bound: f32,
        shape: [usize; D],
    ) -> Param<Tensor<B, D>> {
        let count = shape.iter().product();
        let values = (0..count)
            .map(|_| self.rng.random_range(-bound..bound))
            .collect();
        self.param(values, shape)
    }

    /// Draws a matrix `[rows, columns]` whose shorter side consists of orthogonal vectors of length
    /// `gain`. It follows torch's `nn.init.orthogonal_`: Q of the QR decomposition of a normal
    /// matrix, with the signs that make R's diagonal positive.
    pub fn orthogonal(&mut self, gain: f64, [rows, columns]: [usize; 2]) -> Param<Tensor<B, 2>> {
        let (count, len) = (rows.min(columns), rows.max(columns));
        let mut vectors: Vec<Vec<f64>> = (0..count)
            .map(|_| {
                (0..len)
                    .map(|_| StandardNormal.sample(&mut self.rng))
                    .collect()
            })
            .collect();
        orthonormalise(&mut vectors);
        let at = |row: usize, column: usize| match rows <= columns {
            true => vectors[row][column],
            false => vectors[column][row],
        };
        let values = (0..rows * columns)
            .map(|i| (gain * at(i / columns, i % columns)) as f32)
            .collect();
        self.param(values, [rows, columns])
    }
}

/// Computes the scalar product, in lanes that the compiler can put into vector registers.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (a, b) = (a.chunks(8), b.chunks(8));
    for (a, b) in a.zip(b) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += a * b;
        }
    }
    lanes.iter().sum()
}

/// Makes each vector orthogonal to those before it and of length one, by Gram–Schmidt. R gets a
/// positive diagonal. The second pass restores the digits that the first loses.
fn orthonormalise(vectors: &mut [Vec<f64>]) {
    for next in 0..vectors.len() {
        let (before, rest) = vectors.split_at_mut(next);
        let vector = &mut rest[0];
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(vector, other);
                for (value, other) in vector.iter_mut().zip(other) {
                    *value -= along * other;
                }
            }
        }
        let length = dot(vector, vector).sqrt();
        for value in vector.iter_mut() {
            *value /= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::backend::Flex;

    #[test]
    fn orthogonal_matrix_has_orthogonal_shorter_side() {
        for [rows, columns] in [[5, 5], [7, 3], [3, 7], [1, 4]] {
            let mut init = Initialiser::<Flex>::new(3, &Default::default());
            let q = init.orthogonal(0.5, [rows, columns]).val();
            let product = match rows <= columns {
                true => q.clone().matmul(q.transpose()),
                false => q.clone().transpose().matmul(q),
            };
            let size = rows.min(columns);
            let product: Vec<f32> = product.into_data().iter::<f32>().collect();
            for (i, value) in product.iter().enumerate() {
                let expected = if i / size == i % size { 0.25 } else { 0.0 };
                assert!(
                    (value - expected).abs() < 1e-6,
                    "{rows} × {columns}: {value}"
                );
            }
        }
    }

    #[test]
    fn uniform_values_fill_their_interval() {
        let mut init = Initialiser::<Flex>::new(3, &Default::default());
        let values = init.uniform(0.5, [1000]).val().into_data();
        let (mut low, mut high) = (0f32, 0f32);
        for value in values.iter::<f32>() {
            (low, high) = (low.min(value), high.max(value));
        }
        assert!((-0.5..-0.49).contains(&low) && (0.49..=0.5).contains(&high));
    }
}
