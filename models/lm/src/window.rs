use crate::Backend;
use burn::tensor::{Bool, Int, Tensor, TensorData};
use std::ops::Range;
use std::sync::Arc;

/// The keys that the queries of a piece see: each sees the range from its first key up to its own
/// position.
///
/// This covers causality, padding on the left and packed sequences.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Number of keys before the first query's own.
    past: usize,
    /// The first key that each query sees, `[rows or 1, len]`; `None` means key 0.
    first: Option<Arc<[u32]>>,
}

impl Window {
    /// Makes a window where every query sees all keys up to its own; `past` keys precede the first
    /// query's.
    pub fn causal(past: usize) -> Self {
        Self { past, first: None }
    }

    /// Makes a window like [`Window::causal`], without the keys before `first`, `[rows or 1, len]`.
    /// `first` must not be past a query's own key.
    pub fn from_first(past: usize, first: Vec<u32>) -> Self {
        match first.iter().all(|&first| first == 0) {
            true => Self::causal(past),
            false => Self {
                past,
                first: Some(first.into()),
            },
        }
    }

    /// Returns the keys that query `query` of `len` sees in row `row`. The end never decreases for
    /// later queries of a row.
    pub fn of(&self, row: usize, query: usize, len: usize) -> Range<usize> {
        let first = match &self.first {
            // One row of positions may serve all rows.
            Some(first) => first[(row * len + query) % first.len()] as usize,
            None => 0,
        };
        first..self.end(query)
    }

    /// Returns the first key that each of some of `len` queries sees, `[rows or 1, queries]`;
    /// `None` if it is key 0 for all.
    pub(crate) fn first_keys(&self, queries: &Range<usize>, len: usize) -> Option<Vec<i32>> {
        self.first.as_ref()?;
        let first = (0..self.rows(len)).flat_map(|row| {
            let of_query = move |query| self.of(row, query, len).start as i32;
            queries.clone().map(of_query)
        });
        Some(first.collect())
    }

    /// Returns the number of keys up to query `query`'s own.
    pub(crate) fn end(&self, query: usize) -> usize {
        self.past + query + 1
    }

    /// Returns where each of the first `keys` keys is hidden from some of `len` queries:
    /// `[rows or 1, 1, queries, keys]`. It is computed on the tensors' device, from one number per
    /// query and per key.
    pub(crate) fn hidden_from<B: Backend>(
        &self,
        queries: &Range<usize>,
        keys: usize,
        len: usize,
        device: &B::Device,
    ) -> Tensor<B, 4, Bool> {
        let count = queries.len();
        let numbers = |values: Vec<i32>, shape: [usize; 4]| {
            let data = TensorData::new(values, shape);
            Tensor::<B, 4, Int>::from_data(data, device)
        };
        let key = numbers((0..keys as i32).collect(), [1, 1, 1, keys]);
        let end = queries.clone().map(|query| self.end(query) as i32);
        let end = numbers(end.collect(), [1, 1, count, 1]);
        let rows = self.rows(len);
        let later = key
            .clone()
            .expand([1, 1, count, keys])
            .greater_equal(end.expand([1, 1, count, keys]));
        let Some(first) = self.first_keys(queries, len) else {
            return later;
        };
        let shape = [rows, 1, count, keys];
        let first = numbers(first, [rows, 1, count, 1]).expand(shape);
        key.expand(shape).lower(first).bool_or(later.expand(shape))
    }

    /// Returns where a key is hidden from a query: `[rows or 1, 1, len, keys]`.
    pub(crate) fn hidden<B: Backend>(
        &self,
        [len, keys]: [usize; 2],
        device: &B::Device,
    ) -> Tensor<B, 4, Bool> {
        self.hidden_from(&(0..len), keys, len, device)
    }

    /// Returns whether the window is only the causality of whole sequences.
    fn is_plain(&self) -> bool {
        self.past == 0 && self.first.is_none()
    }

    fn rows(&self, len: usize) -> usize {
        self.first
            .as_ref()
            .map_or(1, |first| first.len() / len.max(1))
    }
}

/// A [`Window`], and the equivalent mask for backends that need one.
#[derive(Debug, Clone)]
pub struct Sight<B: Backend> {
    pub(crate) window: Window,
    /// `[rows or 1, 1, len, keys]`, true where a key is hidden; `None` if causality suffices or all
    /// keys are visible.
    pub(crate) mask: Option<Tensor<B, 4, Bool>>,
}

impl<B: Backend> Sight<B> {
    /// Makes the window of `len` queries over `keys`; the last keys may be unused room.
    pub fn new(window: Window, [len, keys]: [usize; 2], device: &B::Device) -> Self {
        // For pieces with earlier tokens, flex aligns causality with the last key, cubek's flash
        // kernels with the first; a mask is unambiguous. A single query is not causal.
        let all = len == 1 && window.of(0, 0, 1) == (0..keys) && window.rows(len) == 1;
        let plain = (window.is_plain() && keys == len) || all;
        let by_mask = !plain && !B::attends_by_window();
        let mask = by_mask.then(|| window.hidden([len, keys], device));
        Self { window, mask }
    }

    /// Makes the window of whole sequences of `len` tokens.
    pub fn causal(len: usize, device: &B::Device) -> Self {
        Self::new(Window::causal(0), [len, len], device)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;

    #[test]
    fn single_window_row_applies_to_all_rows() {
        let window = Window::from_first(2, vec![0, 1, 3]);
        assert_eq!(window.of(0, 1, 3), 1..4);
        assert_eq!(window.of(5, 2, 3), 3..5);
        let window = Window::from_first(0, vec![0, 1, 2, 0, 0, 0]);
        assert_eq!((window.of(0, 2, 3), window.of(1, 2, 3)), (2..3, 0..3));
        assert!(Window::from_first(0, vec![0; 4]).is_plain());
    }
}
