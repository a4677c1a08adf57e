//! Vectors of numbers, as wide as the processor at run time supports.

use burn::tensor::Element;
use pulp::Simd;
use pulp::bytemuck::Pod;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// Bytes of a cache line, and of the widest vector.
const LINE: usize = 64;

/// A number type of the kernel.
pub(super) trait Real:
    Element
    + Pod
    + Add<Output = Self>
    + AddAssign
    + Mul<Output = Self>
    + Sub<Output = Self>
    + Neg<Output = Self>
    + PartialOrd
{
    const ZERO: Self;
    /// [`Form`](crate::Form)'s bound on w, exact in this type.
    const LARGEST_DECAY: Self;
    type Vector<S: Simd>: Copy + Pod;

    fn exp(self) -> Self;
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Vector<S>;
    fn product<S: Simd>(simd: S, a: Self::Vector<S>, b: Self::Vector<S>) -> Self::Vector<S>;
    /// Computes `a·b + c`, fused if that is one instruction.
    fn mul_add<S: Simd>(
        simd: S,
        a: Self::Vector<S>,
        b: Self::Vector<S>,
        c: Self::Vector<S>,
    ) -> Self::Vector<S>;
    /// Returns the sum of the lanes.
    fn sum<S: Simd>(simd: S, a: Self::Vector<S>) -> Self;
    /// Returns the whole vectors in a slice.
    fn vectors<S: Simd>(slice: &[Self]) -> &[Self::Vector<S>];
    /// Returns the whole vectors in a slice.
    fn vectors_mut<S: Simd>(slice: &mut [Self]) -> &mut [Self::Vector<S>];

    /// Returns `size` rounded up to whole vectors.
    #[inline(always)]
    fn width<S: Simd>(size: usize) -> usize {
        size.next_multiple_of(size_of::<Self::Vector<S>>() / size_of::<Self>())
    }
}

macro_rules! real {
    ($type:ident, $exp:path, $vector:ident, $splat:ident, $mul:ident, $mul_add:ident, $sum:ident, $vectors:ident, $vectors_mut:ident) => {
        impl Real for $type {
            const ZERO: Self = 0.0;
            const LARGEST_DECAY: Self = crate::wkv6::LARGEST_DECAY as $type;
            type Vector<S: Simd> = S::$vector;

            #[inline(always)]
            fn exp(self) -> Self {
                $exp(self)
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$vector {
                simd.$splat(x)
            }
            #[inline(always)]
            fn product<S: Simd>(simd: S, a: S::$vector, b: S::$vector) -> S::$vector {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn mul_add<S: Simd>(
                simd: S,
                a: S::$vector,
                b: S::$vector,
                c: S::$vector,
            ) -> S::$vector {
                simd.$mul_add(a, b, c)
            }
            #[inline(always)]
            fn sum<S: Simd>(simd: S, a: S::$vector) -> Self {
                simd.$sum(a)
            }
            #[inline(always)]
            fn vectors<S: Simd>(slice: &[Self]) -> &[S::$vector] {
                S::$vectors(slice).0
            }
            #[inline(always)]
            fn vectors_mut<S: Simd>(slice: &mut [Self]) -> &mut [S::$vector] {
                S::$vectors_mut(slice).0
            }
        }
    };
}

real!(
    f32,
    bone_lm::math::exp,
    f32s,
    splat_f32s,
    mul_f32s,
    mul_add_e_f32s,
    reduce_sum_f32s,
    as_simd_f32s,
    as_mut_simd_f32s
);
real!(
    f64,
    f64::exp,
    f64s,
    splat_f64s,
    mul_f64s,
    mul_add_e_f64s,
    reduce_sum_f64s,
    as_simd_f64s,
    as_mut_simd_f64s
);

/// Zeros that start on a cache line: a vector across two lines takes twice as long.
pub(super) struct Buffer<T> {
    values: Vec<T>,
    first: usize,
    len: usize,
}

impl<T: Real> Buffer<T> {
    pub(super) fn zeros(len: usize) -> Self {
        let spare = LINE / size_of::<T>();
        let values = vec![T::ZERO; len + spare];
        // `align_offset` may fail by its contract; misaligned data is only slower, so this is not
        // an error.
        let first = values.as_ptr().align_offset(LINE).min(spare);
        Self { values, first, len }
    }
}

impl<T> std::ops::Deref for Buffer<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        &self.values[self.first..self.first + self.len]
    }
}

impl<T> std::ops::DerefMut for Buffer<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.values[self.first..self.first + self.len]
    }
}
