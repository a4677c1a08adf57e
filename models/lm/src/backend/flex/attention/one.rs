//! Attention of a single query per row, the case of generation. Queries share nothing, so keys and
//! values are read once.

use super::{Heads, Loop, Real, Sizes, sum_of, wide};
use crate::Window;
use rayon::prelude::*;
use std::ops::Range;

/// The query heads of one key and value head.
struct Group<'a, T> {
    /// `[group, width]`.
    queries: Vec<&'a [T]>,
    /// The values from that head's first key on.
    keys: &'a [T],
    values: &'a [T],
    /// Strides between keys, and between values.
    strides: [usize; 2],
    seen: Range<usize>,
    scale: T,
    scores: &'a mut Vec<T>,
    /// `[group, width]`, zeros.
    output: &'a mut [T],
}

impl<T: Real> Loop for Group<'_, T> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [of_keys, of_values] = self.strides;
        for (query, output) in self
            .queries
            .iter()
            .zip(self.output.chunks_exact_mut(self.queries[0].len()))
        {
            let width = query.len();
            self.scores.clear();
            for position in self.seen.clone() {
                let key = &self.keys[position * of_keys..][..width];
                self.scores.push(sum_of(query, key, |a, b| a * b));
            }
            let largest = super::super::cross_entropy::largest(self.scores);
            for score in self.scores.iter_mut() {
                *score = ((*score - largest) * self.scale).exp();
            }
            let sum = sum_of(self.scores, self.scores, |score, _| score);
            for (position, &score) in self.seen.clone().zip(self.scores.iter()) {
                let weight = score / sum;
                let value = &self.values[position * of_values..][..width];
                for (output, &value) in output.iter_mut().zip(value) {
                    *output += weight * value;
                }
            }
        }
    }
}

/// Returns `[batch, heads, width]`; `None` for several queries, or if heads are not contiguous
/// rows.
pub(super) fn forward<T: Real>(
    [q, k, v]: [Heads<'_, T>; 3],
    window: &Window,
    sizes: Sizes,
) -> Option<Vec<T>> {
    let Sizes {
        batch,
        heads,
        group,
        len,
        keys,
        width,
    } = sizes;
    let dense = [q, k, v].iter().all(|tensor| tensor.strides[3] == 1);
    if len != 1 || !dense || group * width == 0 {
        return None;
    }
    let kv_heads = heads / group;
    let mut output = vec![T::ZERO; batch * heads * width];
    output
        .par_chunks_exact_mut(group * width)
        .enumerate()
        .for_each_init(Vec::new, |scores, (i, output)| {
            let (row, kv_head) = (i / kv_heads, i % kv_heads);
            let own = window.of(row, 0, 1);
            let head = |tensor: Heads<'_, T>, head: usize| {
                row * tensor.strides[0] + head * tensor.strides[1]
            };
            let query = |of_group| &q.values[head(q, kv_head * group + of_group)..][..width];
            wide(Group {
                queries: (0..group).map(query).collect(),
                keys: &k.values[head(k, kv_head)..],
                values: &v.values[head(v, kv_head)..],
                strides: [k.strides[2], v.strides[2]],
                seen: own.start..own.end.min(keys),
                scale: sizes.scale(),
                scores,
                output,
            });
        });
    Some(output)
}
