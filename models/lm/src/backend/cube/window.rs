//! The operations of attention between its products: one cube per query's scores.

use super::super::QueryTile;
use super::row::{UNITS, cubes, largest_and_total, sum_of_units};
use bone::cube::{cubes as cubes_of_units, vector_size};
use burn::tensor::{DType, Shape, TensorMetadata};
use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;

/// Computes the softmax in place over the keys from a query's first one to before its `end`; 0
/// elsewhere. `end` is that of the first query, plus one for each later query. `first` is
/// `[tables, queries]`.
#[cube(launch)]
fn window_softmax_kernel<F: Float, I: Numeric>(
    scores: &mut Tensor<F>,
    first: &Tensor<I>,
    rows: usize,
    keys: usize,
    queries: usize,
    heads: usize,
    tables: usize,
    end: usize,
    scale: f32,
    #[comptime] has_first: bool,
    #[define(F, I)] _dtypes: [StorageType; 2],
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let mut shared = SharedMemory::<f32>::new(UNITS);
    let units = CUBE_DIM as usize;
    let query = row % queries;
    let end = end + query;
    let mut begin = 0usize;
    if comptime!(has_first) {
        let table = row / queries / heads % tables;
        begin = u32::cast_from(first[table * queries + query]) as usize;
    }
    let start = row * keys;
    let (largest, total) =
        largest_and_total::<F>(scores, start + begin, start + end, scale, &mut shared);
    let mut key = UNIT_POS as usize;
    while key < keys {
        let mut weight = f32::new(0.0);
        if key >= begin && key < end {
            let x = f32::cast_from(scores[start + key]) * scale;
            weight = (x - largest).exp() / total;
        }
        scores[start + key] = F::cast_from(weight);
        key += units;
    }
}

/// Overwrites the gradient with `scale · weights · (grad − Σ grad · weights)`.
#[cube(launch)]
fn window_softmax_backward_kernel<F: Float>(
    weights: &Tensor<F>,
    grad: &mut Tensor<F>,
    rows: usize,
    keys: usize,
    scale: f32,
    #[define(F)] _dtype: StorageType,
) {
    let row = CUBE_POS;
    if row >= rows {
        terminate!();
    }
    let mut shared = SharedMemory::<f32>::new(UNITS);
    let units = CUBE_DIM as usize;
    let start = row * keys;
    let mut along = f32::new(0.0);
    let mut key = UNIT_POS as usize;
    while key < keys {
        along += f32::cast_from(grad[start + key]) * f32::cast_from(weights[start + key]);
        key += units;
    }
    let along = sum_of_units(along, &mut shared);
    let mut key = UNIT_POS as usize;
    while key < keys {
        let weight = f32::cast_from(weights[start + key]);
        let of_score = scale * weight * (f32::cast_from(grad[start + key]) - along);
        grad[start + key] = F::cast_from(of_score);
        key += units;
    }
}

/// Adds a part to the first entries of each section of the whole. Sizes are in vectors.
#[cube(launch)]
fn add_to_first_kernel<F: Float, N: Size>(
    whole: &mut Tensor<Vector<F, N>>,
    part: &Tensor<Vector<F, N>>,
    units: usize,
    of_whole: usize,
    of_part: usize,
    #[define(F)] _dtype: StorageType,
) {
    if ABSOLUTE_POS < units {
        let place = ABSOLUTE_POS / of_part * of_whole + ABSOLUTE_POS % of_part;
        let sum = Vector::<f32, N>::cast_from(whole[place])
            + Vector::<f32, N>::cast_from(part[ABSOLUTE_POS]);
        whole[place] = Vector::cast_from(sum);
    }
}

/// Returns a tensor without gaps that is not shared.
fn owned<R: CubeRuntime>(tensor: CubeTensor<R>) -> CubeTensor<R> {
    let tensor = into_contiguous(tensor);
    match tensor.can_mut() {
        true => tensor,
        false => tensor.copy(),
    }
}

/// Runs [`Backend::window_softmax`](super::Backend::window_softmax).
pub(super) fn softmax<R: CubeRuntime>(scores: CubeTensor<R>, tile: &QueryTile) -> CubeTensor<R> {
    let scores = owned(scores);
    let shape = scores.shape();
    let (heads, queries, keys) = (shape[1], shape[2], shape[3]);
    let rows = shape[0] * heads * queries;
    let client = scores.client.clone();
    let first = tile.window.first_keys(&tile.queries, tile.len);
    let has_first = first.is_some();
    let (of_first, tables) = match first {
        None => (scores.clone(), 1),
        Some(first) => {
            let tables = first.len() / queries;
            let bytes: Vec<u8> = first.iter().flat_map(|key| key.to_ne_bytes()).collect();
            let handle = client.create_from_slice(&bytes);
            let (client, device) = (client.clone(), scores.device.clone());
            let shape = Shape::new([tables, queries]);
            let tensor = CubeTensor::new_contiguous(client, device, shape, handle, DType::I32);
            (tensor, tables)
        }
    };
    let (count, dim) = cubes(&client, rows, keys);
    let dtypes = [scores.dtype.into(), of_first.dtype.into()];
    window_softmax_kernel::launch::<R>(
        &client,
        count,
        dim,
        scores.clone().into_tensor_arg(),
        of_first.into_tensor_arg(),
        rows,
        keys,
        queries,
        heads,
        tables,
        tile.window.end(tile.queries.start),
        tile.scale as f32,
        has_first,
        dtypes,
    );
    scores
}

/// Runs [`Backend::window_softmax_backward`](super::Backend::window_softmax_backward).
pub(super) fn softmax_backward<R: CubeRuntime>(
    weights: CubeTensor<R>,
    grad: CubeTensor<R>,
    scale: f64,
) -> CubeTensor<R> {
    let (weights, grad) = (into_contiguous(weights), owned(grad));
    let shape = grad.shape();
    let keys = shape[3];
    let rows = shape.num_elements() / keys.max(1);
    let client = grad.client.clone();
    let (count, dim) = cubes(&client, rows, keys);
    window_softmax_backward_kernel::launch::<R>(
        &client,
        count,
        dim,
        weights.into_tensor_arg(),
        grad.clone().into_tensor_arg(),
        rows,
        keys,
        scale as f32,
        grad.dtype.into(),
    );
    grad
}

/// Runs [`Backend::add_to_first`](super::Backend::add_to_first).
pub(super) fn add_to_first<R: CubeRuntime>(
    whole: CubeTensor<R>,
    part: CubeTensor<R>,
) -> CubeTensor<R> {
    let (whole, part) = (owned(whole), into_contiguous(part));
    let (shape, fewer) = (whole.shape(), part.shape());
    let [of_whole, of_part] = [&shape, &fewer].map(|shape| shape[2] * shape[3]);
    let vector = vector_size(&whole, &[of_whole, of_part]);
    let client = whole.client.clone();
    let units = fewer.num_elements() / vector;
    let (count, dim) = cubes_of_units(&client, units);
    add_to_first_kernel::launch::<R>(
        &client,
        count,
        dim,
        vector,
        whole.clone().into_tensor_arg(),
        part.into_tensor_arg(),
        units,
        of_whole / vector,
        of_part / vector,
        whole.dtype.into(),
    );
    whole
}
