//! The recurrence by chunks of tokens, for every vendor.
//!
//! The kernels first compute the state before each chunk: the contribution of each chunk
//! ([`wkv6_states`]), then one pass over chunks ([`wkv6_scan`]). After that all chunks are
//! independent. Registers hold a head's state by columns, so that no unit waits for another. Data
//! that all units read is in shared memory. The backward runs the same kernels from the last token
//! to the first. The gradient to the state obeys the same recurrence with r for k and dy for v; dv
//! follows from it as y follows from the state.
//!
//! The gradients to r, k and w are sums over a chunk's pairs of tokens `s < t` with
//! `D[s,t] = Π_{s<n<t} d_n` ([`gradients`]). The gradient to `log d_t` is the sum over all pairs
//! around t, each with its whole decay. The usual way, a difference of running sums, would lose the
//! small terms.

use burn_cubecl::cubecl;
use cubecl::prelude::*;

/// From this w on, the decay is zero.
const LARGEST_DECAY: f32 = 10.0;

/// Computes `exp(−exp(w))`.
#[cube]
fn decay_of(w: f32) -> f32 {
    let bounded = select(w > LARGEST_DECAY, LARGEST_DECAY, w);
    (-(bounded.exp())).exp()
}

/// The place of a head's chunk in `[batch, len, heads · size]`.
#[derive(CubeType, Clone, Copy)]
struct Chunk {
    /// Index of the first token's first channel.
    start: usize,
    /// Stride between tokens.
    width: usize,
    /// Number of tokens.
    count: usize,
}

/// Returns the chunk of this cube: X is the chunk, Y the sequence and head.
#[cube]
fn chunk_of_cube(
    len: usize,
    heads: usize,
    #[comptime] size: usize,
    #[comptime] chunk: usize,
) -> Chunk {
    let head = CUBE_POS_Y as usize;
    let first = CUBE_POS_X as usize * chunk;
    let width = heads * size;
    Chunk {
        start: ((head / heads) * len + first) * width + (head % heads) * size,
        width,
        count: select(chunk < len - first, chunk, len - first),
    }
}

/// Computes the state of each chunk from a zero state, and the factor that it applies to the state
/// before.
///
/// - `left` (k), `right` (v), `decay` (w): `[batch, len, heads · size]`
/// - `added`: `[batch · heads, chunks, size, size]`
/// - `kept`: `[batch · heads, chunks, size]`
#[cube(launch)]
pub(super) fn wkv6_states<F: Float>(
    left: &Tensor<F>,
    right: &Tensor<F>,
    decay: &Tensor<F>,
    added: &mut Tensor<f32>,
    kept: &mut Tensor<f32>,
    len: usize,
    heads: usize,
    #[comptime] size: usize,
    #[comptime] chunk: usize,
    #[comptime] backwards: bool,
    #[define(F)] _dtype: StorageType,
) {
    let column = UNIT_POS_X as usize;
    let at = chunk_of_cube(len, heads, size, chunk);
    let mut lefts = SharedMemory::<f32>::new(chunk * size);
    let mut decays = SharedMemory::<f32>::new(chunk * size);
    let mut all = f32::new(1.0);
    for t in 0..at.count {
        let from = at.start + t * at.width + column;
        let d = decay_of(f32::cast_from(decay[from]));
        lefts[t * size + column] = f32::cast_from(left[from]);
        decays[t * size + column] = d;
        all *= d;
    }
    sync_cube();

    let mut state = Array::<f32>::new(size);
    #[unroll]
    for row in 0..size {
        state[row] = f32::new(0.0);
    }
    for n in 0..at.count {
        let t = if comptime!(backwards) {
            at.count - 1 - n
        } else {
            n
        };
        let value = f32::cast_from(right[at.start + t * at.width + column]);
        #[unroll]
        for row in 0..size {
            state[row] = decays[t * size + row] * state[row] + lefts[t * size + row] * value;
        }
    }

    let place = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    kept[place * size + column] = all;
    #[unroll]
    for row in 0..size {
        added[(place * size + row) * size + column] = state[row];
    }
}

/// Replaces each chunk's contribution by the state at its start, in place; backwards, by the
/// gradient at its end.
///
/// - `states`: `[batch · heads, chunks, size, size]`
/// - `kept`: `[batch · heads, chunks, size]`
/// - `first`, `last`: `[batch · heads, size, size]`; `first` is read if present
#[cube(launch)]
pub(super) fn wkv6_scan(
    states: &mut Tensor<f32>,
    kept: &Tensor<f32>,
    first: &Tensor<f32>,
    last: &mut Tensor<f32>,
    chunks: usize,
    #[comptime] size: usize,
    #[comptime] starts: bool,
    #[comptime] backwards: bool,
) {
    let entry = ABSOLUTE_POS;
    let cell = comptime!(size * size);
    if entry >= last.len() {
        terminate!();
    }
    let head = entry / cell;
    let inside = entry % cell;
    let mut state = f32::new(0.0);
    if comptime!(starts) {
        state = first[entry];
    }
    for n in 0..chunks {
        let index = head * chunks
            + if comptime!(backwards) {
                chunks - 1 - n
            } else {
                n
            };
        let place = index * cell + inside;
        let added = states[place];
        states[place] = state;
        state = kept[index * size + inside / size] * state + added;
    }
    last[entry] = state;
}

/// Computes `y_t[j] = Σ_i r_t[i]·(u[i]·k_t[i]·v_t[j] + S_t[i,j])`. Backwards it computes dv, with k
/// for r, r for k, dy for v and the gradient to the state for the state.
///
/// - `query` (r), `left` (k), `right` (v), `decay` (w), `output`: `[batch, len, heads · size]`
/// - `bonus`: `[heads, size]`
/// - `states`: `[batch · heads, chunks, size, size]`
#[cube(launch)]
pub(super) fn wkv6_outputs<F: Float>(
    query: &Tensor<F>,
    left: &Tensor<F>,
    right: &Tensor<F>,
    decay: &Tensor<F>,
    bonus: &Tensor<f32>,
    states: &Tensor<f32>,
    output: &mut Tensor<F>,
    len: usize,
    heads: usize,
    #[comptime] size: usize,
    #[comptime] chunk: usize,
    #[comptime] backwards: bool,
    #[define(F)] _dtype: StorageType,
) {
    let column = UNIT_POS_X as usize;
    let at = chunk_of_cube(len, heads, size, chunk);
    let head = CUBE_POS_Y as usize % heads;
    let mut queries = SharedMemory::<f32>::new(chunk * size);
    let mut lefts = SharedMemory::<f32>::new(chunk * size);
    let mut decays = SharedMemory::<f32>::new(chunk * size);
    let mut bonuses = SharedMemory::<f32>::new(size);
    for t in 0..at.count {
        let from = at.start + t * at.width + column;
        queries[t * size + column] = f32::cast_from(query[from]);
        lefts[t * size + column] = f32::cast_from(left[from]);
        decays[t * size + column] = decay_of(f32::cast_from(decay[from]));
    }
    bonuses[column] = bonus[head * size + column];

    let place = CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize;
    let mut state = Array::<f32>::new(size);
    #[unroll]
    for row in 0..size {
        state[row] = states[(place * size + row) * size + column];
    }
    sync_cube();

    for n in 0..at.count {
        let t = if comptime!(backwards) {
            at.count - 1 - n
        } else {
            n
        };
        let here = at.start + t * at.width + column;
        let value = f32::cast_from(right[here]);
        let mut sum = f32::new(0.0);
        #[unroll]
        for row in 0..size {
            let new = lefts[t * size + row] * value;
            sum += queries[t * size + row] * (bonuses[row] * new + state[row]);
            state[row] = decays[t * size + row] * state[row] + new;
        }
        output[here] = F::cast_from(sum);
    }
}

/// Computes the gradients to r, k, w and u.
///
/// - `receptance`, `key`, `value`, `decay`, `grad` (dy), and `to_receptance`, `to_key`, `to_decay`:
///   `[batch, len, heads · size]`
/// - `bonus`: `[heads, size]`
/// - `states` before and `ends` after each chunk: `[batch · heads, chunks, size, size]`
/// - `to_bonus`: `[batch · heads, chunks, size]`
#[cube(launch)]
pub(super) fn wkv6_gradients<F: Float>(
    receptance: &Tensor<F>,
    key: &Tensor<F>,
    value: &Tensor<F>,
    decay: &Tensor<F>,
    bonus: &Tensor<f32>,
    grad: &Tensor<F>,
    states: &Tensor<f32>,
    ends: &Tensor<f32>,
    to_receptance: &mut Tensor<F>,
    to_key: &mut Tensor<F>,
    to_decay: &mut Tensor<F>,
    to_bonus: &mut Tensor<f32>,
    len: usize,
    heads: usize,
    #[comptime] size: usize,
    #[comptime] chunk: usize,
    #[define(F)] _dtype: StorageType,
) {
    // One unit per channel of r, k and w, which is a row of the state.
    let row = UNIT_POS_X as usize;
    let at = chunk_of_cube(len, heads, size, chunk);
    let count = at.count;
    let mut values = SharedMemory::<f32>::new(chunk * size);
    let mut grads = SharedMemory::<f32>::new(chunk * size);
    let mut products = SharedMemory::<f32>::new(comptime!(chunk * chunk));
    let mut r = Array::<f32>::new(chunk);
    let mut k = Array::<f32>::new(chunk);
    let mut d = Array::<f32>::new(chunk);
    for t in 0..count {
        let from = at.start + t * at.width + row;
        values[t * size + row] = f32::cast_from(value[from]);
        grads[t * size + row] = f32::cast_from(grad[from]);
        r[t] = f32::cast_from(receptance[from]);
        k[t] = f32::cast_from(key[from]);
        d[t] = decay_of(f32::cast_from(decay[from]));
    }
    sync_cube();
    // v_s·dy_t.
    let mut pair = row;
    while pair < count * count {
        let s = pair / count;
        let t = pair % count;
        let mut sum = f32::new(0.0);
        for j in 0..size {
            sum += values[s * size + j] * grads[t * size + j];
        }
        products[s * chunk + t] = sum;
        pair += size;
    }

    let place = (CUBE_POS_Y as usize * CUBE_COUNT_X as usize + CUBE_POS_X as usize) * size;
    let mut state = Array::<f32>::new(size);
    let mut end = Array::<f32>::new(size);
    // The sum over pairs that span the whole chunk.
    let mut through = f32::new(0.0);
    #[unroll]
    for j in 0..size {
        state[j] = states[(place + row) * size + j];
        end[j] = ends[(place + row) * size + j];
        through += state[j] * end[j];
    }
    sync_cube();

    let u = bonus[(CUBE_POS_Y as usize % heads) * size + row];
    let mut du = f32::new(0.0);
    // r_t·D·(S·dy_t): contributions from before the chunk; k_s·D·(G·v_s): contributions beyond it.
    let mut from_before = Array::<f32>::new(chunk);
    let mut to_after = Array::<f32>::new(chunk);
    // Sums over the pairs around each token.
    let mut between = Array::<f32>::new(chunk);
    let mut terms = Array::<f32>::new(chunk);
    for t in 0..count {
        between[t] = f32::new(0.0);
    }
    for t in 0..count {
        let mut seen = f32::new(0.0);
        #[unroll]
        for j in 0..size {
            seen += state[j] * grads[t * size + j];
        }
        let mut left = f32::new(1.0);
        let mut sum = f32::new(0.0);
        for n in 0..t {
            let s = t - 1 - n;
            let term = left * k[s] * products[s * chunk + t];
            sum += term;
            terms[s] = r[t] * term;
            left *= d[s];
        }
        let mut before = f32::new(0.0);
        for s in 1..t {
            before += terms[s - 1];
            between[s] += before;
        }
        let same = products[t * chunk + t];
        du += r[t] * k[t] * same;
        from_before[t] = r[t] * left * seen;
        to_receptance[at.start + t * at.width + row] =
            F::cast_from(left * seen + sum + u * k[t] * same);
    }
    for n in 0..count {
        let s = count - 1 - n;
        let mut seen = f32::new(0.0);
        #[unroll]
        for j in 0..size {
            seen += end[j] * values[s * size + j];
        }
        let mut left = f32::new(1.0);
        let mut sum = f32::new(0.0);
        for t in s + 1..count {
            sum += left * r[t] * products[s * chunk + t];
            left *= d[t];
        }
        through *= d[s];
        to_after[s] = k[s] * left * seen;
        to_key[at.start + s * at.width + row] =
            F::cast_from(left * seen + sum + u * r[s] * products[s * chunk + s]);
    }
    to_bonus[place + row] = du;

    let mut later = f32::new(0.0);
    for n in 0..count {
        let t = count - 1 - n;
        between[t] += through + later;
        later += from_before[t];
    }
    let mut earlier = f32::new(0.0);
    for t in 0..count {
        let here = at.start + t * at.width + row;
        let w = f32::cast_from(decay[here]);
        let slope = -(select(w > LARGEST_DECAY, LARGEST_DECAY, w).exp());
        to_decay[here] = F::cast_from((between[t] + earlier) * slope);
        earlier += to_after[t];
    }
}

/// Computes the gradient to u from its parts.
///
/// - `parts`: `[batch · heads, chunks, size]`
/// - `sum`: `[heads, size]`
#[cube(launch)]
pub(super) fn wkv6_sum_bonus(
    parts: &Tensor<f32>,
    sum: &mut Tensor<f32>,
    batch: usize,
    heads: usize,
    chunks: usize,
    #[comptime] size: usize,
) {
    let entry = ABSOLUTE_POS;
    if entry >= heads * size {
        terminate!();
    }
    let mut total = f32::new(0.0);
    for sequence in 0..batch {
        let first = (sequence * heads + entry / size) * chunks;
        for index in first..first + chunks {
            total += parts[index * size + entry % size];
        }
    }
    sum[entry] = total;
}
