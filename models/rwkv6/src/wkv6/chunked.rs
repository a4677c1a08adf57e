//! Computes blocks of a few tokens at once; only the state passes from block to block in sequence.
//!
//! With `D[t,s] = Σ_{s<j<t} log d_j`, a block's output is `Σ_{s<t} A[t,s]·v_s` with
//! `A[t,s] = Σ_i r_t·k_s·exp(D[t,s])` and the bonus on the diagonal, plus the contribution of the
//! block's first state. Every exponent is a sum of logarithms of decays, so it is at most zero and
//! nothing overflows. Each sum is a product with a matrix of zeros and ones. A difference of two
//! running sums would lose the small terms.

use super::{Wkv6, unbind};
use crate::Backend;
use bone::graph::cat;
use burn::tensor::{DType, Device, Tensor, TensorData};

/// Tokens per block: its pairs are computed for every channel.
const BLOCK: usize = 16;

/// `ln 60`: logarithms of decays are kept above −60 here. A decay below `exp(−60)` is negligible,
/// and larger sums would cost the products' precision.
const LARGEST_DECAY: f64 = 4.094_344_562_222_1;

/// Sizes after padding.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    blocks: usize,
    block: usize,
    heads: usize,
    size: usize,
}

impl Sizes {
    /// Reshapes `[batch, len, heads · size]` to `[block, batch · heads · blocks, size]`, the last
    /// tokens padded with zeros.
    fn by_token<B: Backend>(self, rows: Tensor<B, 3>) -> Tensor<B, 3> {
        let Self {
            batch,
            blocks,
            block,
            heads,
            size,
        } = self;
        let [_, len, width] = rows.dims();
        let missing = blocks * block - len;
        let rows = if missing == 0 {
            rows
        } else {
            let options = (&rows.device(), rows.dtype());
            let zeros = Tensor::zeros([batch, missing, width], options);
            cat(vec![rows, zeros], 1)
        };
        rows.reshape([batch, blocks, block, heads, size])
            .permute([2, 0, 3, 1, 4])
            .reshape([block, batch * heads * blocks, size])
    }
}

/// Returns a matrix of zeros and ones.
fn mask<B: Backend>(
    [rows, columns]: [usize; 2],
    one: impl Fn(usize, usize) -> bool,
    (device, dtype): (&Device<B>, DType),
) -> Tensor<B, 2> {
    let values = (0..rows * columns).map(|n| f32::from(u8::from(one(n / columns, n % columns))));
    let data = TensorData::new(values.collect(), [rows, columns]);
    Tensor::from_data(data.convert_dtype(dtype), (device, dtype))
}

pub(super) fn wkv6<B: Backend>(inputs: Wkv6<B>) -> (Tensor<B, 3>, Tensor<B, 4>) {
    let [batch, len, width] = inputs.receptance.dims();
    let [heads, size] = inputs.bonus.dims();
    let block = BLOCK.min(len);
    let blocks = len.div_ceil(block);
    let sizes = Sizes {
        batch,
        blocks,
        block,
        heads,
        size,
    };
    let all = batch * heads * blocks;
    let device = inputs.receptance.device();
    let options = (&device, inputs.receptance.dtype());
    let first_state = inputs.first_state();

    // Padded tokens keep the state: their key is zero and their decay is one.
    let log_decay = inputs.decay.clamp_max(LARGEST_DECAY).exp().neg();
    let log_decay = sizes.by_token(log_decay);
    let (r, k, v) = (
        sizes.by_token(inputs.receptance),
        sizes.by_token(inputs.key),
        sizes.by_token(inputs.value),
    );
    let flat = log_decay.clone().reshape([block, all * size]);
    // exp of the sums of log decays that a mask selects.
    let decays = |mask: Tensor<B, 2>| mask.matmul(flat.clone()).exp();
    let square = [block, block];

    // A, [t, s, all].
    let between = mask::<B>(
        [block * block, block],
        |pair, j| pair % block < j && j < pair / block,
        options,
    );
    let pairs = decays(between).reshape([block, block, all, size]);
    let products = r.clone().unsqueeze_dim::<4>(1) * pairs * k.clone().unsqueeze_dim::<4>(0);
    let earlier = mask::<B>(square, |t, s| s < t, options);
    let strict =
        products.sum_dim(3).reshape([block, block, all]) * earlier.clone().unsqueeze_dim::<3>(2);
    let bonus = inputs
        .bonus
        .reshape([1, heads, 1, size])
        .expand([batch, heads, blocks, size])
        .reshape([1, all, size]);
    let diagonal = (r.clone() * k.clone() * bonus).sum_dim(2);
    let same = mask::<B>(square, |t, s| s == t, options);
    let attention = strict + diagonal.reshape([block, 1, all]) * same.unsqueeze_dim::<3>(2);

    // The contribution of each block to the state, and the factor that it applies to the state.
    let by_block = |rows: Tensor<B, 3>| rows.permute([1, 0, 2]);
    let values = by_block(v);
    let later = mask::<B>(square, |s, j| s < j, options);
    let keys = by_block(k * decays(later).reshape([block, all, size]));
    let added =
        keys.transpose()
            .matmul(values.clone())
            .reshape([batch * heads, blocks, size, size]);
    let left = log_decay
        .sum_dim(0)
        .exp()
        .reshape([batch * heads, blocks, size, 1]);

    let mut state = first_state.reshape([batch * heads, 1, size, size]);
    let mut states = Vec::with_capacity(blocks);
    for (left, added) in unbind(left, 1).into_iter().zip(unbind(added, 1)) {
        states.push(state.clone());
        state = left * state + added;
    }
    let states = cat(states, 1).reshape([all, size, size]);

    let queries = by_block(r * decays(earlier).reshape([block, all, size]));
    let output = attention.permute([2, 0, 1]).matmul(values) + queries.matmul(states);
    let output = output
        .reshape([batch, heads, blocks, block, size])
        .permute([0, 2, 3, 1, 4])
        .reshape([batch, blocks * block, width])
        .narrow(1, 0, len);
    (output, state.reshape([batch, heads, size, size]))
}
