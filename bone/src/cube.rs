//! Launch sizes of elementwise kernels on a device.

use burn::tensor::TensorMetadata;
use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim};
use burn_cubecl::cubecl::{calculate_cube_count_elemwise, client::ComputeClient};
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

/// Returns the number of entries that a unit reads at once: the largest that the device supports
/// and that divides all of `lengths`.
///
/// Example: `models/lm/src/backend/cube/gate.rs` of this repository.
pub fn vector_size<R: CubeRuntime>(like: &CubeTensor<R>, lengths: &[usize]) -> usize {
    let sizes = like.client.io_optimized_vector_sizes(like.dtype.size());
    let divides = |&size: &usize| lengths.iter().all(|length| length % size == 0);
    sizes.into_iter().find(divides).unwrap_or(1)
}

/// Returns a count of cubes with at least one unit for each of `units`.
///
/// Example: `models/lm/src/backend/cube/gate.rs` of this repository.
pub fn cubes<R: CubeRuntime>(client: &ComputeClient<R>, units: usize) -> (CubeCount, CubeDim) {
    let dim = CubeDim::new(client, units);
    (calculate_cube_count_elemwise(client, units, dim), dim)
}

/// Makes an uninitialised row-major tensor of the same shape and precision.
///
/// Example: `models/lm/src/backend/cube/gate.rs` of this repository.
pub fn empty_like<R: CubeRuntime>(tensor: &CubeTensor<R>) -> CubeTensor<R> {
    let (client, device) = (tensor.client.clone(), tensor.device.clone());
    empty_device_contiguous_dtype(client, device, tensor.shape(), tensor.dtype)
}
