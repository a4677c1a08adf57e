//! Cross-entropy. The kernel reads a row's logits once for the loss, and once more to overwrite
//! them with the gradient if requested.

use super::row::{UNITS, cubes, largest_and_total};
use burn::tensor::{Shape, TensorMetadata};
use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Computes `losses` `[n]` of `logits` `[n, vocab]`; with `gradient`, overwrites the logits with
/// the gradient of each loss.
#[cube(launch)]
fn cross_entropy_kernel<F: Float, I: Numeric>(
    logits: &mut Tensor<F>,
    targets: &Tensor<I>,
    losses: &mut Tensor<F>,
    vocab: usize,
    #[comptime] gradient: bool,
    #[define(F, I)] _dtypes: [StorageType; 2],
) {
    let row = CUBE_POS;
    if row >= losses.len() {
        terminate!();
    }
    let mut shared = SharedMemory::<f32>::new(UNITS);
    let units = CUBE_DIM as usize;
    let start = row * vocab;
    let (largest, total) =
        largest_and_total::<F>(logits, start, start + vocab, f32::new(1.0), &mut shared);
    let target = u32::cast_from(targets[row]) as usize;
    if UNIT_POS == 0 {
        let loss = total.ln() + largest - f32::cast_from(logits[start + target]);
        losses[row] = F::cast_from(loss);
    }
    if comptime!(gradient) {
        // The target's logit is read before it is overwritten.
        sync_cube();
        let mut column = UNIT_POS as usize;
        while column < vocab {
            let p = (f32::cast_from(logits[start + column]) - largest).exp() / total;
            let of_target = select(column == target, f32::new(1.0), f32::new(0.0));
            logits[start + column] = F::cast_from(p - of_target);
            column += units;
        }
    }
}

/// Returns the losses, and the logits or with `gradient` the gradient in their place.
pub(super) fn run<R: CubeRuntime>(
    logits: CubeTensor<R>,
    targets: CubeTensor<R>,
    gradient: bool,
) -> (CubeTensor<R>, CubeTensor<R>) {
    let (logits, targets) = (into_contiguous(logits), into_contiguous(targets));
    let logits = match gradient && !logits.can_mut() {
        true => logits.copy(),
        false => logits,
    };
    let shape = logits.shape();
    let (n, vocab) = (shape[0], shape[1]);
    let client = logits.client.clone();
    let losses = empty_device_contiguous_dtype(
        client.clone(),
        logits.device.clone(),
        Shape::new([n]),
        logits.dtype,
    );
    let dtypes = [logits.dtype.into(), targets.dtype.into()];
    let (count, dim) = cubes(&client, n, vocab);
    cross_entropy_kernel::launch::<R>(
        &client,
        count,
        dim,
        logits.clone().into_tensor_arg(),
        targets.into_tensor_arg(),
        losses.clone().into_tensor_arg(),
        vocab,
        gradient,
        dtypes,
    );
    (losses, logits)
}
