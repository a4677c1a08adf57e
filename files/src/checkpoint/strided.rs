//! Tensors that are not contiguous.

use std::ops::Range;

/// A tensor's place in its storage, checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) shape: Vec<usize>,
    /// Bytes of the tensor in contiguous form.
    pub(super) bytes: usize,
    /// Byte of its first element.
    pub(super) start: usize,
    /// Elements between neighbours along each dimension; `None` if contiguous.
    pub(super) strides: Option<Vec<usize>>,
}

/// Why a tensor cannot be placed in its storage.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Misplaced {
    Overflow,
    OutOfStorage,
}

/// Places a tensor of elements of `size` bytes, `offset` elements into `storage`, a range of bytes.
pub(super) fn place(
    shape: &[u64],
    strides: &[u64],
    offset: u64,
    size: usize,
    storage: Range<usize>,
) -> Result<Place, Misplaced> {
    let dims: Option<Vec<usize>> = shape.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    // Also checks the product without the zeros: a zero would hide an overflow from code that
    // multiplies in another order.
    let mut nonzero = shape.iter().filter(|&&dim| dim != 0);
    let bytes = nonzero
        .try_fold(size as u64, |product, &dim| product.checked_mul(dim))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .filter(|&bytes| isize::try_from(bytes).is_ok());
    let (Some(dims), Some(bytes)) = (dims, bytes) else {
        return Err(Misplaced::Overflow);
    };
    if dims.contains(&0) {
        return Ok(Place {
            shape: dims,
            bytes: 0,
            start: storage.start,
            strides: None,
        });
    }
    let last = shape
        .iter()
        .zip(strides)
        .try_fold(offset, |last, (&dim, &stride)| {
            last.checked_add((dim - 1).checked_mul(stride)?)
        });
    let end = last
        .and_then(|last| last.checked_add(1)?.checked_mul(size as u64))
        .ok_or(Misplaced::OutOfStorage)?;
    if end > storage.len() as u64 {
        return Err(Misplaced::OutOfStorage);
    }
    let mut expected = 1;
    let mut contiguous = true;
    for (&dim, &stride) in shape.iter().zip(strides).rev() {
        contiguous &= dim == 1 || stride == expected;
        expected *= dim;
    }
    // All strides are below `end`, except along dimensions of one element, where they have no
    // effect.
    let strides = shape.iter().zip(strides).map(|(&dim, &stride)| match dim {
        1 => 0,
        _ => stride as usize,
    });
    Ok(Place {
        shape: dims,
        bytes,
        start: storage.start + offset as usize * size,
        strides: (!contiguous).then(|| strides.collect()),
    })
}

/// Copies the elements of `size` bytes into contiguous form. The tensor's first element is at the
/// start of `source`.
pub(super) fn gather(source: &[u8], shape: &[usize], strides: &[usize], size: usize) -> Vec<u8> {
    match size {
        1 => gather_sized::<1>(source, shape, strides),
        2 => gather_sized::<2>(source, shape, strides),
        4 => gather_sized::<4>(source, shape, strides),
        _ => gather_sized::<8>(source, shape, strides),
    }
}

fn gather_sized<const SIZE: usize>(source: &[u8], shape: &[usize], strides: &[usize]) -> Vec<u8> {
    let (elements, _) = source.as_chunks::<SIZE>();
    let (Some((&row_len, outer)), Some((&row_stride, outer_strides))) =
        (shape.split_last(), strides.split_last())
    else {
        return source[..SIZE].to_vec();
    };
    let rows: usize = outer.iter().product();
    let mut out = Vec::with_capacity(rows * row_len * SIZE);
    let mut index = vec![0; outer.len()];
    for _ in 0..rows {
        let first: usize = index.iter().zip(outer_strides).map(|(i, by)| i * by).sum();
        for column in 0..row_len {
            out.extend_from_slice(&elements[first + column * row_stride]);
        }
        for (i, &dim) in index.iter_mut().zip(outer).rev() {
            *i += 1;
            if *i < dim {
                break;
            }
            *i = 0;
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strided_tensor_must_lie_within_storage() {
        let place =
            |shape: &[u64], strides: &[u64], offset| place(shape, strides, offset, 4, 8..56);
        assert_eq!(
            place(&[3, 4], &[4, 1], 0).unwrap(),
            Place {
                shape: vec![3, 4],
                bytes: 48,
                start: 8,
                strides: None
            }
        );
        assert_eq!(
            place(&[2, 3], &[1, 4], 1).unwrap(),
            Place {
                shape: vec![2, 3],
                bytes: 24,
                start: 12,
                strides: Some(vec![1, 4])
            }
        );
        // A dimension of one element may have any stride.
        assert_eq!(place(&[1, 12], &[u64::MAX, 1], 0).unwrap().strides, None);
        assert_eq!(place(&[5, 0], &[0, 1], 99).unwrap().bytes, 0);
        assert_eq!(place(&[], &[], 11).unwrap().start, 52);
        for (shape, strides, offset) in [
            (&[3, 4][..], &[4, 1][..], 1),
            (&[13], &[1], 0),
            (&[2], &[12], 0),
            (&[2], &[u64::MAX], 0),
            (&[2, 2], &[u64::MAX, 1], 1),
            (&[1], &[1], u64::MAX),
            (&[], &[], 12),
        ] {
            let placed = place(shape, strides, offset);
            assert_eq!(placed, Err(Misplaced::OutOfStorage), "{shape:?}");
        }
        let overflow = place(&[1 << 40, 1 << 40, 0], &[0, 0, 0], 0);
        assert_eq!(overflow, Err(Misplaced::Overflow));
    }

    proptest! {
        #[test]
        fn gather_matches_definition_of_strides(
            shape in prop::collection::vec(1u64..4, 1..4),
            strides in prop::collection::vec(0u64..6, 3),
            offset in 0u64..4,
        ) {
            let strides = &strides[..shape.len()];
            let values: Vec<u8> = (0..100u16).flat_map(u16::to_le_bytes).collect();
            let placed = place(&shape, strides, offset, 2, 0..values.len()).unwrap();
            let contiguous: Vec<usize> = (0..shape.len())
                .map(|dim| placed.shape[dim + 1..].iter().product())
                .collect();
            let by = placed.strides.unwrap_or_else(|| contiguous.clone());
            let found = gather(&values[placed.start..], &placed.shape, &by, 2);
            let mut expected = Vec::new();
            for i in 0..shape.iter().product::<u64>() {
                let mut at = offset;
                for ((&dim, &stride), &below) in shape.iter().zip(strides).zip(&contiguous) {
                    at += i / below as u64 % dim * stride;
                }
                expected.extend((at as u16).to_le_bytes());
            }
            prop_assert_eq!(found, expected);
        }
    }
}
