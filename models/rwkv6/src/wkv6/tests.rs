use super::*;
use burn::backend::autodiff::checkpoint::strategy::BalancedCheckpointing;
use burn::backend::{Autodiff, Flex};
use burn::tensor::TensorData;
use burn::tensor::backend::{AutodiffBackend, Backend as BurnBackend};

mod against_recurrence;
mod definition;
mod graph;

type B = Autodiff<Flex>;

/// Returns numbers in (−1, 1) from a seed.
fn numbers(seed: u64, n: usize) -> Vec<f64> {
    let mut state = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    (0..n)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1u64 << 52) as f64 - 1.0
        })
        .collect()
}

/// Distribution of w.
#[derive(Debug, Clone, Copy)]
enum Decay {
    /// Decays from 1 − 1e-6 to 1e-6, and w of ±12, channel by channel.
    Wide,
    /// Decays of about 1 − 1e-6.
    Slow,
    /// w includes ±40 and ±100.
    Extreme,
}

impl Decay {
    fn numbers(self, seed: u64, n: usize) -> Vec<f64> {
        let (slowest, fastest) = (1e-6f64.ln_1p().ln(), (-(1e-6f64.ln())).ln());
        let one = |(n, x): (usize, f64)| match (self, n % 2) {
            (Decay::Wide, 0) => slowest + (x + 1.0) / 2.0 * (fastest - slowest),
            (Decay::Wide, _) => 12.0 * x,
            (Decay::Slow, _) => slowest + x,
            (Decay::Extreme, _) => [40.0, -40.0, 100.0, -100.0, 3.0 * x][n % 5],
        };
        numbers(seed, n).into_iter().enumerate().map(one).collect()
    }
}

#[derive(Debug, Clone, Copy)]
struct Case {
    batch: usize,
    len: usize,
    heads: usize,
    size: usize,
    state: bool,
    decay: Decay,
    seed: u64,
}

impl Case {
    fn new(len: usize, size: usize) -> Self {
        Self {
            batch: 2,
            len,
            heads: 2,
            size,
            state: true,
            decay: Decay::Wide,
            seed: 1,
        }
    }

    fn rows(self) -> [usize; 3] {
        [self.batch, self.len, self.heads * self.size]
    }

    fn states(self) -> [usize; 4] {
        [self.batch, self.heads, self.size, self.size]
    }

    /// Returns r, k, v, w, u and the state.
    fn values(self) -> Inputs {
        let (rows, seed) = (self.rows().iter().product(), 10 * self.seed);
        let state = self.states().iter().product();
        [
            numbers(seed, rows),
            numbers(seed + 1, rows),
            numbers(seed + 2, rows),
            self.decay.numbers(seed + 3, rows),
            numbers(seed + 4, self.heads * self.size),
            numbers(seed + 5, if self.state { state } else { 0 }),
        ]
    }

    fn inputs<B: Backend>(self, values: &Inputs, dtype: DType) -> Wkv6<B> {
        let rows = |n: usize| tensor(&values[n], self.rows(), dtype);
        Wkv6 {
            receptance: rows(0),
            key: rows(1),
            value: rows(2),
            decay: rows(3),
            bonus: tensor(&values[4], [self.heads, self.size], dtype),
            state: self.state.then(|| tensor(&values[5], self.states(), dtype)),
        }
    }

    /// Returns a number that depends on every entry of both outputs.
    fn loss<B: Backend>(self, (output, state): (Tensor<B, 3>, Tensor<B, 4>)) -> Tensor<B, 1> {
        let dtype = state.dtype();
        let of_output = numbers(10 * self.seed + 6, output.shape().num_elements());
        let of_state = numbers(10 * self.seed + 7, state.shape().num_elements());
        (output * tensor(&of_output, self.rows(), dtype)).sum()
            + (state * tensor(&of_state, self.states(), dtype)).sum()
    }

    fn run<B>(self, form: Form, dtype: DType) -> Results
    where
        B: AutodiffBackend + Backend,
    {
        let inputs = self.inputs::<B>(&self.values(), dtype).require_grad();
        let (output, state) = wkv6(inputs.clone(), Some(form));
        let (y, s) = (output.clone().inner(), state.clone().inner());
        let grads = self.loss((output, state)).backward();
        let mut results = vec![("output", values(y)), ("state", values(s))];
        for (name, tensor) in inputs.rows() {
            results.push((name, values(tensor.grad(&grads).expect("tracked"))));
        }
        let bonus = inputs.bonus.grad(&grads).expect("tracked");
        results.push(("bonus's gradient", values(bonus)));
        if let Some(state) = inputs.state {
            let state = state.grad(&grads).expect("tracked");
            results.push(("state's gradient", values(state)));
        }
        results
    }
}

type Inputs = [Vec<f64>; 6];

type Results = Vec<(&'static str, Vec<f64>)>;

impl<B: Backend> Wkv6<B> {
    fn rows(&self) -> [(&'static str, Tensor<B, 3>); 4] {
        [
            ("receptance's gradient", self.receptance.clone()),
            ("key's gradient", self.key.clone()),
            ("value's gradient", self.value.clone()),
            ("decay's gradient", self.decay.clone()),
        ]
    }

    fn require_grad(self) -> Self {
        Self {
            receptance: self.receptance.require_grad(),
            key: self.key.require_grad(),
            value: self.value.require_grad(),
            decay: self.decay.require_grad(),
            bonus: self.bonus.require_grad(),
            state: self.state.map(Tensor::require_grad),
        }
    }
}

fn tensor<B: Backend, const D: usize>(
    values: &[f64],
    shape: [usize; D],
    dtype: DType,
) -> Tensor<B, D> {
    let data = TensorData::new(values.to_vec(), shape).convert_dtype(dtype);
    Tensor::from_data(data, (&Default::default(), dtype))
}

fn values<B: BurnBackend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().iter::<f64>().collect()
}

/// Returns the largest difference relative to the largest entry, or to `floor` if that is larger.
fn difference(actual: &[f64], expected: &[f64], floor: f64) -> f64 {
    assert_eq!(actual.len(), expected.len());
    let largest = expected.iter().fold(floor, |max, x| max.max(x.abs()));
    let mut worst = 0.0f64;
    for (a, e) in actual.iter().zip(expected) {
        assert!(a.is_finite() && e.is_finite(), "{a} where {e} is expected");
        worst = worst.max((a - e).abs());
    }
    if worst == 0.0 { 0.0 } else { worst / largest }
}

fn assert_close(actual: &Results, expected: &Results, tolerance: f64, what: &str) {
    assert_close_with_floor(actual, expected, tolerance, 0.0, what);
}

fn assert_close_with_floor(
    actual: &Results,
    expected: &Results,
    tolerance: f64,
    floor: f64,
    what: &str,
) {
    assert_eq!(actual.len(), expected.len());
    for ((name, actual), (_, expected)) in actual.iter().zip(expected) {
        let difference = difference(actual, expected, floor);
        assert!(
            difference <= tolerance,
            "{what}: {name} is off by {difference:e} of the largest entry"
        );
    }
}
