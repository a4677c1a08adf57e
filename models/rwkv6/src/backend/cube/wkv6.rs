//! Launches wkv6's kernels.

use super::kernels::{wkv6_gradients, wkv6_outputs, wkv6_scan, wkv6_states, wkv6_sum_bonus};
use crate::backend::{Wkv6Inputs, Wkv6Outputs};
use burn::tensor::{DType, Shape, TensorMetadata};
use burn_cubecl::CubeRuntime;
use burn_cubecl::cubecl::calculate_cube_count_elemwise;
use burn_cubecl::cubecl::client::ComputeClient;
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::{empty_device_contiguous_dtype, zeros_client};
use burn_cubecl::tensor::CubeTensor;

/// The largest head: one unit's registers hold a column of its state.
const LARGEST: usize = 64;

/// Tokens per chunk. Twice as many would halve the number of stored states, but exceed the shared
/// memory of some devices.
const CHUNK: usize = 16;

/// Largest shared memory of a kernel, in bytes.
const SHARED: usize = 4 * (3 * CHUNK + 1) * LARGEST;

/// Most tensors of a kernel, plus those that CubeCL adds.
const BINDINGS: u32 = 12 + 2;

/// Returns what the kernels need for heads of this size and the device lacks.
pub(super) fn obstacle<R: CubeRuntime>(client: &ComputeClient<R>, size: usize) -> Option<String> {
    let hardware = &client.properties().hardware;
    let needs = [
        ("entries per head", size, LARGEST),
        (
            "threads per block",
            size,
            hardware.max_units_per_cube as usize,
        ),
        (
            "bytes of shared memory",
            SHARED,
            hardware.max_shared_memory_size,
        ),
        (
            "bindings",
            BINDINGS as usize,
            hardware.max_bindings as usize,
        ),
    ];
    let missing = needs.iter().filter(|(_, needed, most)| needed > most);
    let said: Vec<_> = missing
        .map(|(what, needed, most)| format!("{needed} {what}, but the maximum is {most}"))
        .collect();
    (!said.is_empty()).then(|| format!("it would need {}", said.join(", ")))
}

/// Sizes, and the client and device for new tensors.
struct Plan<R: CubeRuntime> {
    batch: usize,
    len: usize,
    heads: usize,
    size: usize,
    chunks: usize,
    /// Of r, k, v, w and the output; sums, states and u are f32.
    dtype: DType,
    client: ComputeClient<R>,
    device: R::Device,
}

impl<R: CubeRuntime> Plan<R> {
    fn new(inputs: &Wkv6Inputs<CubeTensor<R>>) -> Self {
        let (rows, bonus) = (inputs.receptance.shape(), inputs.bonus.shape());
        Self {
            batch: rows[0],
            len: rows[1],
            heads: bonus[0],
            size: bonus[1],
            chunks: rows[1].div_ceil(CHUNK),
            dtype: inputs.receptance.dtype,
            client: inputs.receptance.client.clone(),
            device: inputs.receptance.device.clone(),
        }
    }

    fn empty<const D: usize>(&self, shape: [usize; D]) -> CubeTensor<R> {
        let (client, device) = (self.client.clone(), self.device.clone());
        empty_device_contiguous_dtype(client, device, Shape::new(shape), DType::F32)
    }

    fn rows(&self) -> Shape {
        Shape::new([self.batch, self.len, self.heads * self.size])
    }

    fn empty_rows(&self) -> CubeTensor<R> {
        let (client, device) = (self.client.clone(), self.device.clone());
        empty_device_contiguous_dtype(client, device, self.rows(), self.dtype)
    }

    fn state(&self) -> [usize; 4] {
        [self.batch, self.heads, self.size, self.size]
    }

    /// Launches one cube per chunk of each head.
    fn by_chunk(&self) -> (CubeCount, CubeDim) {
        let heads = self.batch * self.heads;
        let count = CubeCount::Static(self.chunks as u32, heads as u32, 1);
        (count, CubeDim::new_1d(self.size as u32))
    }

    /// Launches one unit per entry.
    fn by_entry(&self, entries: usize) -> (CubeCount, CubeDim) {
        let dim = CubeDim::new(&self.client, entries);
        (
            calculate_cube_count_elemwise(&self.client, entries, dim),
            dim,
        )
    }

    /// Computes the state before each chunk and the one after the last. Backwards it computes the
    /// gradients to the state after each chunk and before the first.
    fn states(
        &self,
        [left, right, decay]: [&CubeTensor<R>; 3],
        first: Option<CubeTensor<R>>,
        backwards: bool,
    ) -> [CubeTensor<R>; 2] {
        let (heads, size) = (self.batch * self.heads, self.size);
        let all = self.empty([heads, self.chunks, size, size]);
        let kept = self.empty([heads, self.chunks, size]);
        let (count, dim) = self.by_chunk();
        wkv6_states::launch::<R>(
            &self.client,
            count,
            dim,
            left.clone().into_tensor_arg(),
            right.clone().into_tensor_arg(),
            decay.clone().into_tensor_arg(),
            all.clone().into_tensor_arg(),
            kept.clone().into_tensor_arg(),
            self.len,
            self.heads,
            size,
            CHUNK,
            backwards,
            self.dtype.into(),
        );
        let last = self.empty(self.state());
        let starts = first.is_some();
        // Unused without a first state.
        let first = first.unwrap_or_else(|| kept.clone());
        let (count, dim) = self.by_entry(heads * size * size);
        wkv6_scan::launch::<R>(
            &self.client,
            count,
            dim,
            all.clone().into_tensor_arg(),
            kept.into_tensor_arg(),
            first.into_tensor_arg(),
            last.clone().into_tensor_arg(),
            self.chunks,
            size,
            starts,
            backwards,
        );
        [all, last]
    }

    /// Computes the gradient to the bonus from its parts.
    fn bonus(&self, parts: CubeTensor<R>) -> CubeTensor<R> {
        let sum = self.empty([self.heads, self.size]);
        let (count, dim) = self.by_entry(self.heads * self.size);
        wkv6_sum_bonus::launch::<R>(
            &self.client,
            count,
            dim,
            parts.into_tensor_arg(),
            sum.clone().into_tensor_arg(),
            self.batch,
            self.heads,
            self.chunks,
            self.size,
        );
        sum
    }

    fn outputs(
        &self,
        [query, left, right, decay]: [&CubeTensor<R>; 4],
        bonus: &CubeTensor<R>,
        states: &CubeTensor<R>,
        backwards: bool,
    ) -> CubeTensor<R> {
        let output = self.empty_rows();
        let (count, dim) = self.by_chunk();
        wkv6_outputs::launch::<R>(
            &self.client,
            count,
            dim,
            query.clone().into_tensor_arg(),
            left.clone().into_tensor_arg(),
            right.clone().into_tensor_arg(),
            decay.clone().into_tensor_arg(),
            bonus.clone().into_tensor_arg(),
            states.clone().into_tensor_arg(),
            output.clone().into_tensor_arg(),
            self.len,
            self.heads,
            self.size,
            CHUNK,
            backwards,
            self.dtype.into(),
        );
        output
    }
}

pub(super) fn forward<R: CubeRuntime>(
    inputs: Wkv6Inputs<CubeTensor<R>>,
) -> Wkv6Outputs<CubeTensor<R>> {
    let plan = Plan::new(&inputs);
    let Wkv6Inputs {
        receptance: r,
        key: k,
        value: v,
        decay: w,
        bonus: u,
        state,
    } = inputs.map(into_contiguous);
    let [states, last] = plan.states([&k, &v, &w], state, false);
    Wkv6Outputs {
        output: plan.outputs([&r, &k, &v, &w], &u, &states, false),
        state: last,
    }
}

pub(super) fn backward<R: CubeRuntime>(
    inputs: Wkv6Inputs<CubeTensor<R>>,
    grads: Wkv6Outputs<Option<CubeTensor<R>>>,
) -> Wkv6Inputs<CubeTensor<R>> {
    let plan = Plan::new(&inputs);
    let Wkv6Inputs {
        receptance: r,
        key: k,
        value: v,
        decay: w,
        bonus: u,
        state,
    } = inputs.map(into_contiguous);
    let wants_state = state.is_some();
    let zeros = || {
        let (client, device) = (plan.client.clone(), plan.device.clone());
        zeros_client(client, device, plan.rows(), plan.dtype)
    };
    let grad = grads.output.map_or_else(zeros, into_contiguous);
    let [starts, _] = plan.states([&k, &v, &w], state, false);
    let after_last = grads.state.map(into_contiguous);
    let [ends, to_state] = plan.states([&r, &grad, &w], after_last, true);
    let to_value = plan.outputs([&k, &r, &grad, &w], &u, &ends, true);

    let [to_receptance, to_key, to_decay] = [(); 3].map(|()| plan.empty_rows());
    let to_bonus = plan.empty([plan.batch * plan.heads, plan.chunks, plan.size]);
    let (count, dim) = plan.by_chunk();
    wkv6_gradients::launch::<R>(
        &plan.client,
        count,
        dim,
        r.into_tensor_arg(),
        k.into_tensor_arg(),
        v.into_tensor_arg(),
        w.into_tensor_arg(),
        u.into_tensor_arg(),
        grad.into_tensor_arg(),
        starts.into_tensor_arg(),
        ends.into_tensor_arg(),
        to_receptance.clone().into_tensor_arg(),
        to_key.clone().into_tensor_arg(),
        to_decay.clone().into_tensor_arg(),
        to_bonus.clone().into_tensor_arg(),
        plan.len,
        plan.heads,
        plan.size,
        CHUNK,
        plan.dtype.into(),
    );
    Wkv6Inputs {
        receptance: to_receptance,
        key: to_key,
        value: to_value,
        decay: to_decay,
        bonus: plan.bonus(to_bonus),
        state: wants_state.then_some(to_state),
    }
}
