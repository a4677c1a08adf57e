//! A matrix in a slice, in any orientation, and the number types of products.

use burn::tensor::Element;
use burn_flex::FlexTensor;
use bytemuck::Pod;
use std::ops::Range;

/// A number type with a matrix product.
pub trait Real: Element + Pod + std::ops::AddAssign + std::ops::Mul<Output = Self> {
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;

    /// Returns the nearest value of this type.
    fn from_f32(value: f32) -> Self;
}

impl Real for f32 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value
    }
}

impl Real for f64 {
    const ZERO: Self = 0.0;
    const ONE: Self = 1.0;

    #[inline(always)]
    fn from_f32(value: f32) -> Self {
        value.into()
    }
}

/// A matrix that lies in a slice, in any orientation.
#[derive(Debug, Clone, Copy)]
pub struct Matrix<'a, T> {
    pub(super) values: &'a [T],
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) row_stride: usize,
    pub(super) column_stride: usize,
}

impl<'a, T: Real> Matrix<'a, T> {
    /// Makes a matrix from rows of `stride` values each, of which the first `columns` count.
    ///
    /// See the [example](crate::matrix).
    ///
    /// # Panics
    ///
    /// If the slice is too short.
    pub fn rows(values: &'a [T], [rows, columns]: [usize; 2], stride: usize) -> Self {
        Self::new(values, [rows, columns], [stride, 1])
    }

    /// Makes a matrix of `rows × columns` values, `strides` apart in each direction.
    ///
    /// ```
    /// use bone::matrix::{Matrix, product};
    ///
    /// // A column of every second value.
    /// let values: [f32; 3] = [1.0, 9.0, 2.0];
    /// let column = Matrix::new(&values, [2, 1], [2, 1]);
    /// assert_eq!(product(column.transposed(), column), [5.0]);
    /// let row = column.some_columns(&(0..1)).transposed();
    /// assert_eq!(product(column, row), [1.0, 2.0, 2.0, 4.0]);
    /// ```
    ///
    /// # Panics
    ///
    /// If the slice is too short.
    pub fn new(values: &'a [T], [rows, columns]: [usize; 2], strides: [usize; 2]) -> Self {
        let [row_stride, column_stride] = strides;
        let last = |count: usize, stride: usize| count.saturating_sub(1).checked_mul(stride);
        let end = last(rows, row_stride)
            .zip(last(columns, column_stride))
            .and_then(|(row, column)| row.checked_add(column));
        assert!(
            rows == 0 || columns == 0 || end.is_some_and(|end| end < values.len()),
            "the matrix is larger than its slice"
        );
        Self {
            values,
            rows,
            columns,
            row_stride,
            column_stride,
        }
    }

    pub(super) fn some_rows(self, rows: &Range<usize>) -> Self {
        let start = (rows.start * self.row_stride).min(self.values.len());
        let values = &self.values[start..];
        let strides = [self.row_stride, self.column_stride];
        Self::new(values, [rows.len(), self.columns], strides)
    }

    /// Returns some of its columns.
    ///
    /// Example: [`new`](Self::new).
    ///
    /// # Panics
    ///
    /// If it has rows but not these columns.
    pub fn some_columns(self, columns: &Range<usize>) -> Self {
        self.transposed().some_rows(columns).transposed()
    }

    /// Returns its values if they are contiguous, row by row.
    pub(crate) fn contiguous(self) -> Option<&'a [T]> {
        let dense = self.column_stride == 1 && self.row_stride == self.columns;
        dense.then(|| &self.values[..self.rows * self.columns])
    }

    /// Swaps rows and columns without moving values.
    ///
    /// See the [example](crate::matrix).
    pub fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Returns a tensor that can be viewed as a [`Matrix`]: the tensor itself, or a copy of a view with
/// a negative stride.
///
/// ```
/// use bone::matrix::{forwards, matrix, product};
/// use burn::backend::Flex;
/// use burn::tensor::Tensor;
///
/// let row = Tensor::<Flex, 2>::from_data([[1.0f32, 2.0]], &Default::default());
/// let row = forwards(row.into_primitive().tensor());
/// let row = matrix::<f32>(&row);
/// assert_eq!(product(row, row.transposed()), [5.0]);
/// ```
pub fn forwards(tensor: FlexTensor) -> FlexTensor {
    match tensor.layout().strides().iter().all(|&stride| stride >= 0) {
        true => tensor,
        false => tensor.to_contiguous(),
    }
}

/// Returns the matrix in a tensor from [`forwards`].
///
/// Example: [`forwards`].
pub fn matrix<T: Real>(tensor: &FlexTensor) -> Matrix<'_, T> {
    let layout = tensor.layout();
    let strides = [0, 1].map(|axis| layout.strides()[axis].unsigned_abs());
    let shape = [layout.shape()[0], layout.shape()[1]];
    let values = tensor.storage::<T>();
    let start = layout.start_offset().min(values.len());
    Matrix::new(&values[start..], shape, strides)
}
