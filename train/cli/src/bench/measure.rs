//! Steps of a model, one after the other, and their times.

use super::{Apart, Parts};
use bone::backend::DeviceMemory;
use bone_data::Batch;
use bone_train::gradients::Gradients;
use bone_train::memory::peak_resident_bytes;
use bone_train::optimizer::{AdamWSettings, NonFinite, Optimizer};
use bone_train::step::{Savings, TrainBackend, TrainModel, backward};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{DType, Distribution, Tensor};
use std::time::Instant;

/// What is run.
#[derive(Debug, Clone)]
pub struct StepBench {
    /// Sequences of a batch.
    pub rows: usize,
    /// Trained tokens of each.
    pub len: usize,
    /// Where memory is saved.
    pub savings: Savings,
    /// Steps before any is timed.
    pub warmup: usize,
    /// Steps that are timed, at least 1.
    pub steps: usize,
    /// Inputs and outputs of the product whose rate is measured.
    pub product: [usize; 2],
    /// What the base weights are held in, and that product's.
    pub dtype: DType,
}

/// Times of the steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// The median, seconds.
    pub median: f64,
    /// The fastest.
    pub fastest: f64,
    /// The slowest.
    pub slowest: f64,
}

/// The median of at least one.
pub(super) fn median(values: Vec<f64>) -> f64 {
    Timing::of(values).median
}

impl Timing {
    fn of(mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let count = seconds.len();
        Self {
            median: (seconds[(count - 1) / 2] + seconds[count / 2]) / 2.0,
            fastest: seconds[0],
            slowest: seconds[count - 1],
        }
    }
}

/// What was measured.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Of the steps.
    pub timing: Timing,
    /// Largest resident memory of the process up to the end of the steps, bytes.
    pub peak_resident_bytes: u64,
    /// Loss of the last step.
    pub loss: f64,
    /// One more step, taken apart.
    pub apart: Apart,
    /// Memory of the device, where it has one of its own.
    pub device_memory: Option<DeviceMemory>,
    /// Floating-point operations a second of a product, `[rows · len, in] × [in, out]`, the median of
    /// some before and after every step.
    pub product_rate: f64,
    /// What that product's weight was held in.
    pub product_dtype: DType,
    /// Bytes a second that are read and written where a tensor is copied, the median of some.
    pub copy_rate: f64,
}

impl StepBench {
    fn batch(&self, vocab_size: usize) -> Batch {
        // A token more than is trained, which has nothing after it.
        let (rows, len) = (self.rows, self.len + 1);
        Batch {
            rows,
            len,
            tokens: (0..rows * len)
                .map(|i| (i * 7919 % vocab_size) as u32)
                .collect(),
            loss_mask: (0..rows * len).map(|i| i % len > 0).collect(),
            row_ids: (0..rows as u64).collect(),
            samples: (0..rows as u64).collect(),
            starts: Vec::new(),
        }
    }

    /// Runs the steps.
    ///
    /// # Errors
    ///
    /// [`NonFinite`] loss or gradients.
    pub fn run<B: TrainBackend, M: TrainModel<B>>(
        &self,
        mut model: M,
        device: &B::Device,
    ) -> Result<Measured, NonFinite> {
        let batch = self.batch(model.vocab_size());
        let settings = AdamWSettings {
            max_grad_norm: Some(1.0),
            ..AdamWSettings::default()
        };
        let mut optimizer = Optimizer::new(settings);
        let mut seconds = Vec::new();
        let mut loss = f64::NAN;
        let mut rates = Rates::<B>::new(self, device);
        let mut apart = None;
        for step in 0..self.warmup + self.steps + 1 {
            rates.sample();
            let one = |model: M, optimizer: &mut Optimizer<B>| {
                let started = Instant::now();
                let count = batch.trained_tokens() as f64;
                let mut grads = Gradients::default();
                let sum = backward(
                    &model,
                    &batch,
                    1.0 / count,
                    (self.savings, None),
                    (0, step as u64),
                    device,
                    &mut grads,
                );
                let (model, outcome) = optimizer.step(model, grads, (sum, count, 1.0), 1e-4);
                // The loss was read before the update was begun. What fails shows in what is read later.
                let _ = B::sync(device);
                (model, outcome, started.elapsed())
            };
            let outcome;
            let time;
            (model, outcome, time) = match step == self.warmup + self.steps {
                true => {
                    let parts = Parts::on::<Inner<B>>(device);
                    let (done, found) = parts.of(|| one(model, &mut optimizer));
                    apart = Some(found);
                    done
                }
                false => one(model, &mut optimizer),
            };
            loss = outcome?.loss;
            if (self.warmup..self.warmup + self.steps).contains(&step) {
                seconds.push(time.as_secs_f64());
            }
        }
        let Some(apart) = apart else {
            unreachable!("the last step is taken apart");
        };
        let peak_resident_bytes = peak_resident_bytes();
        let device_memory = <Inner<B> as bone::Backend>::device_memory(device);
        rates.sample();
        let copy_rate = rates.copy_rate();
        Ok(Measured {
            timing: Timing::of(seconds),
            peak_resident_bytes,
            loss,
            apart,
            device_memory,
            product_rate: median(rates.products),
            product_dtype: self.dtype,
            copy_rate,
        })
    }
}

type Inner<B> = <B as AutodiffBackend>::InnerBackend;

/// Entries of the tensor that is copied: beyond every cache, and little beside a model.
const COPIED: usize = 16 << 20;

/// Copies that are timed.
const COPIES: usize = 5;

/// Rates of one product, in the backend's own way, and of copying. Each of them ends before the next
/// begins.
struct Rates<'a, B: TrainBackend> {
    x: Tensor<Inner<B>, 2>,
    weight: Tensor<Inner<B>, 2>,
    flops: f64,
    device: &'a B::Device,
    products: Vec<f64>,
}

impl<'a, B: TrainBackend> Rates<'a, B> {
    fn new(bench: &StepBench, device: &'a B::Device) -> Self {
        let [d_input, d_output] = bench.product;
        let n = bench.rows * bench.len;
        let random = |shape| Tensor::random(shape, Distribution::Default, device);
        let rates = Self {
            x: random([n, d_input]),
            // As a checkpoint has it.
            weight: random([d_output, d_input]).cast(bench.dtype).transpose(),
            flops: 2.0 * (n * d_input * d_output) as f64,
            device,
            products: Vec::new(),
        };
        rates.product();
        rates
    }

    /// How long `work` takes to be done.
    fn seconds<T>(&self, work: impl FnOnce() -> T) -> Option<f64> {
        let started = Instant::now();
        let output = work();
        let failed = Inner::<B>::sync(self.device).is_err();
        drop(output);
        (!failed).then(|| started.elapsed().as_secs_f64())
    }

    fn product(&self) -> Option<f64> {
        let [x, weight] = [&self.x, &self.weight].map(|t| t.clone().into_primitive().tensor());
        let seconds = self.seconds(|| <Inner<B> as bone::Backend>::product(x, weight));
        seconds.map(|seconds| self.flops / seconds)
    }

    /// Not between the steps: the copies are memory that a step does not take.
    fn copy_rate(&self) -> f64 {
        let bytes = 2 * size_of::<f32>() * COPIED;
        let from = Tensor::<Inner<B>, 1>::ones([COPIED], (self.device, DType::F32));
        // It is shared, so that the sum is written elsewhere; the first makes it, too.
        let times = (0..=COPIES).filter_map(|_| self.seconds(|| from.clone() + 1.0));
        let seconds: Vec<_> = times.skip(1).collect();
        bytes as f64 / median(seconds)
    }

    /// Enough of them that one pause does not count.
    fn sample(&mut self) {
        let repeats = (6e10 / self.flops).clamp(3.0, 30.0) as usize;
        for _ in 0..repeats {
            let rate = self.product();
            self.products.extend(rate);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_between_the_middle_two() {
        let timing = Timing::of(vec![4.0, 1.0, 2.0, 9.0]);
        assert_eq!(
            (timing.median, timing.fastest, timing.slowest),
            (3.0, 1.0, 9.0)
        );
        assert_eq!(Timing::of(vec![5.0]).median, 5.0);
    }
}
