//! The counts in DELTA_BINARY_PACKED integers, which lengths of strings are packed as.
//!
//! By the format's `Encodings.md`: a header of block size, mini-blocks a block, number of values
//! (varints) and first value (zigzag varint); then blocks of a least delta, a bit width for each
//! mini-block and the mini-blocks themselves.

/// What is behind the integers that `bytes` begin with; nothing where they are not well-formed or
/// more than `most`.
pub(super) fn behind(bytes: &[u8], most: usize) -> Option<&[u8]> {
    let mut rest = bytes;
    let block = usize::try_from(varint(&mut rest)?).ok()?;
    let per_block = usize::try_from(varint(&mut rest)?).ok()?;
    let count = usize::try_from(varint(&mut rest)?).ok()?;
    varint(&mut rest)?;
    if count > most || per_block == 0 || block % per_block != 0 || block == 0 {
        return None;
    }
    let per_mini_block = block / per_block;
    // The first value is in the header.
    let mut left = count.saturating_sub(1);
    while left > 0 {
        varint(&mut rest)?;
        let widths = rest.get(..per_block)?;
        rest = rest.get(per_block..)?;
        for &width in widths {
            if left == 0 {
                break;
            }
            let bits = per_mini_block.checked_mul(usize::from(width))?;
            rest = rest.get(bits.div_ceil(8)..)?;
            left = left.saturating_sub(per_mini_block);
        }
    }
    Some(rest)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_packed_is_passed_over() {
        // 128 a block, 4 mini-blocks of 32, 3 values from 7 on: one mini-block of width 1.
        let packed = [128, 1, 4, 3, 14, 0, 1, 0, 0, 0, 0b01, 0, 0, 0];
        let bytes = [&packed[..], b"rest"].concat();
        assert_eq!(behind(&bytes, 3), Some(&b"rest"[..]));
        assert_eq!(behind(&bytes, 2), None);
        assert_eq!(behind(&packed[..10], 3), None);
        // One value needs no block, and none neither.
        assert_eq!(behind(&[128, 1, 4, 1, 14, 9], 1), Some(&[9][..]));
        assert_eq!(behind(&[128, 1, 4, 0, 0, 9], 1), Some(&[9][..]));
        // No mini-blocks, or more than values.
        assert_eq!(behind(&[128, 1, 0, 3, 14], 3), None);
        assert_eq!(behind(&[0, 4, 3, 14], 3), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..60), most in 0..99usize) {
            let _ = behind(&bytes, most);
        }
    }
}
