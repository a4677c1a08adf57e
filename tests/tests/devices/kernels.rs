//! Compares kernels over many shapes, also ragged and tiny ones, with the same computation in burn's
//! operations in f64 on the processor.

use super::operations::{Named, largest_difference};
use super::{CPU, on_trial};
use bone::Backend as _;
use bone::kernels::Kernel;
use bone_train::device::{Capabilities, OnDevice, on_device};
use bone_train::models::ModelBackend;
use burn::tensor::{DType, Tensor, TensorData};
use proptest::test_runner::{Config as ProptestConfig, RngSeed};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::fmt::Debug;

mod attention;
mod entries;
mod output_axis;
mod rows;
mod window;
mod wkv6;

/// Number of shapes: as many as an emulated device compiles in a minute. They are the same in every run.
fn cases() -> ProptestConfig {
    ProptestConfig {
        cases: 24,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(8),
        ..ProptestConfig::default()
    }
}

/// An operation with one shape.
trait Case: Copy + Debug {
    /// The kernel that computes it on a GPU; `None` if it consists only of products.
    const KERNEL: Option<Kernel>;

    /// Returns outputs and gradients: by our operation, or with `reference` by burn's operations.
    fn run<B: ModelBackend>(
        self,
        reference: bool,
        numbers: &mut Numbers,
        device: &B::Device,
    ) -> Named;

    /// Seed of the random numbers.
    fn seed(self) -> u64;
}

/// Tensors of random numbers, the same on every device.
struct Numbers {
    random: StdRng,
    /// Precision to which the numbers are rounded.
    rounded: DType,
    /// Precision in which the tensors are stored.
    dtype: DType,
}

impl Numbers {
    /// Returns numbers between `−most` and `most`.
    fn tensor<B: ModelBackend, const D: usize>(
        &mut self,
        shape: [usize; D],
        most: f32,
        device: &B::Device,
    ) -> Tensor<B, D> {
        let count = shape.iter().product();
        let values = (0..count).map(|_| self.random.random_range(-most..most));
        let data = TensorData::new(values.collect::<Vec<_>>(), shape);
        let data = data.convert_dtype(self.rounded).convert_dtype(DType::F32);
        Tensor::<B, D>::from_data(data, device).cast(self.dtype)
    }
}

/// A case to run on a device in a precision.
struct There<C> {
    case: C,
    reference: bool,
    rounded: DType,
    dtype: DType,
}

impl<C: Case> OnDevice for There<C> {
    type Output = Named;

    fn run<B: ModelBackend>(self, device: B::Device) -> Named {
        let mut numbers = Numbers {
            random: StdRng::seed_from_u64(self.case.seed()),
            rounded: self.rounded,
            dtype: self.dtype,
        };
        // Otherwise the test would compare burn's operations with themselves.
        if let (Some(kernel), false) = (C::KERNEL, B::device_memory(&device).is_none()) {
            let has = B::InnerBackend::has_kernel(kernel, self.dtype, &device);
            assert_eq!(has, kernel.is_on(), "{}", kernel.name());
        }
        self.case.run::<B>(self.reference, &mut numbers, &device)
    }
}

/// The precisions, and the largest allowed difference as a fraction of the largest entry.
const BOUNDS: [(DType, f64); 3] = [(DType::F32, 1e-4), (DType::F16, 1e-2), (DType::BF16, 6e-2)];

/// Compares a case with its reference on every GPU, fused and unfused, and on the processor, in f32
/// and in the half precisions that a device computes in.
fn hold<C: Case>(case: C) {
    hold_in(case, &BOUNDS, &[true, false]);
}

/// Like [`hold`], for cases made of burn's products, only in f32 with fusion: there each shape takes
/// an emulated device a minute.
fn hold_once<C: Case>(case: C) {
    hold_in(case, &BOUNDS[..1], &[true]);
}

fn hold_in<C: Case>(case: C, bounds: &[(DType, f64)], fusions: &[bool]) {
    // The processor's second backend has no kernels.
    let gpus = on_trial()
        .into_iter()
        .filter(|name| !name.kind.on_processor());
    let with_kernels = gpus.flat_map(|name| fusions.iter().map(move |&fusion| (name, fusion)));
    let places: Vec<_> = [(CPU, false)].into_iter().chain(with_kernels).collect();
    for &(dtype, bound) in bounds {
        let there = |reference, computed| There {
            case,
            reference,
            rounded: dtype,
            dtype: computed,
        };
        let mut expected = None;
        for &(name, fusion) in &places {
            let computed = Capabilities::of(name).expect("works").computed;
            if dtype != DType::F32 && (name == CPU || !computed.contains(&dtype)) {
                continue;
            }
            let expected = expected.get_or_insert_with(|| {
                on_device(CPU, false, there(true, DType::F64)).expect("works")
            });
            let found = on_device(name, fusion, there(false, dtype)).expect("works");
            let (what, off) = largest_difference(&found, expected);
            assert!(
                off < bound,
                "{what} on {name}, fusion {fusion}, {dtype:?}, is {off:.1e} off: {case:?}"
            );
        }
    }
}
