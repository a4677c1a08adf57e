//! As much of Thrift's compact protocol as it takes to look at a footer's schema.
//!
//! The crate `parquet` follows a schema by recursion and makes room for as many children as it
//! claims; a damaged one would end the process. So its shape is checked before.

/// Groups within groups that a schema may have. Writers stop at 20 or so.
const MAX_DEPTH: usize = 64;

const STOP: u8 = 0;
const I32: u8 = 5;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// Field of `FileMetaData` that is the list of schema elements.
const SCHEMA: i16 = 2;
/// Field of `SchemaElement`.
const NUM_CHILDREN: i16 = 5;

/// Checks that the schema of a footer is a tree of as many elements as there are.
pub(super) fn check_schema(footer: &[u8]) -> Result<(), &'static str> {
    let elements = children(footer).ok_or("its schema cannot be read")?;
    let mut open: Vec<i64> = Vec::new();
    for (index, &count) in elements.iter().enumerate() {
        if count < 0 || count > (elements.len() - index - 1) as i64 {
            return Err("its schema has fewer elements than it says");
        }
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        open.push(count);
        if open.len() > MAX_DEPTH {
            return Err("its schema has groups within groups within groups, over 64 deep");
        }
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    Ok(())
}

/// How many children each element of the schema says it has.
fn children(footer: &[u8]) -> Option<Vec<i64>> {
    let mut input = Input { bytes: footer };
    let mut id = 0;
    loop {
        match input.field(&mut id)? {
            STOP => return None,
            LIST if id == SCHEMA => break,
            other => input.skip(other, 0)?,
        }
    }
    let (kind, count) = input.list()?;
    // Each takes a byte at least.
    if kind != STRUCT || count > input.bytes.len() {
        return None;
    }
    let mut elements = Vec::with_capacity(count);
    for _ in 0..count {
        let (mut id, mut children) = (0, 0);
        loop {
            match input.field(&mut id)? {
                STOP => break,
                I32 if id == NUM_CHILDREN => children = input.zigzag()?,
                other => input.skip(other, 0)?,
            }
        }
        elements.push(children);
    }
    Some(elements)
}

struct Input<'a> {
    bytes: &'a [u8],
}

impl Input<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(first)
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn zigzag(&mut self) -> Option<i64> {
        let value = self.varint()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// The type of the next field, whose number `id` then is.
    fn field(&mut self, id: &mut i16) -> Option<u8> {
        let head = self.byte()?;
        if head == STOP {
            return Some(STOP);
        }
        *id = match head >> 4 {
            0 => i16::try_from(self.zigzag()?).ok()?,
            more => id.checked_add(i16::from(more))?,
        };
        Some(head & 0x0F)
    }

    /// The type and number of a list's elements.
    fn list(&mut self) -> Option<(u8, usize)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => usize::try_from(self.varint()?).ok()?,
            few => usize::from(few),
        };
        Some((head & 0x0F, count))
    }

    fn pass(&mut self, count: usize) -> Option<()> {
        self.bytes = self.bytes.get(count..)?;
        Some(())
    }

    /// Passes over a value.
    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        if depth > MAX_DEPTH {
            return None;
        }
        match kind {
            // A boolean in a struct is in its field's type.
            1 | 2 => Some(()),
            3 => self.pass(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.pass(8),
            BINARY => {
                let length = usize::try_from(self.varint()?).ok()?;
                self.pass(length)
            }
            LIST | SET => {
                let (kind, count) = self.list()?;
                for _ in 0..count {
                    self.skip_element(kind, depth)?;
                }
                Some(())
            }
            MAP => {
                let count = self.varint()?;
                if count == 0 {
                    return Some(());
                }
                let kinds = self.byte()?;
                for _ in 0..count {
                    self.skip_element(kinds >> 4, depth)?;
                    self.skip_element(kinds & 0x0F, depth)?;
                }
                Some(())
            }
            STRUCT => {
                let mut id = 0;
                loop {
                    match self.field(&mut id)? {
                        STOP => return Some(()),
                        other => self.skip(other, depth + 1)?,
                    }
                }
            }
            _ => None,
        }
    }

    /// In a list or map a boolean is a byte, so that every element takes one at least.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Option<()> {
        match kind {
            1 | 2 => self.pass(1),
            other => self.skip(other, depth + 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A footer with a version and a schema whose elements have so many children.
    fn footer(children: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x15, 2, 0x19, 0xFC, children.len() as u8];
        for &count in children {
            // A name, "a", and the number, zigzag: 2 · count.
            bytes.extend([0x48, 1, b'a', 0x15, 2 * count, 0]);
        }
        bytes.push(0);
        bytes
    }

    #[test]
    fn trees_pass_and_others_do_not() {
        assert_eq!(check_schema(&footer(&[2, 0, 1, 0])), Ok(()));
        assert_eq!(check_schema(&footer(&[0])), Ok(()));
        assert!(check_schema(&footer(&[4, 0, 1, 0])).is_err());
        assert!(check_schema(&footer(&[0, 5])).is_err());
        let deep = |groups| [vec![1; groups], vec![0]].concat();
        assert_eq!(check_schema(&footer(&deep(MAX_DEPTH - 1))), Ok(()));
        assert!(check_schema(&footer(&deep(MAX_DEPTH))).is_err());
        assert!(check_schema(&[]).is_err());
        assert!(check_schema(&[0x15, 2, 0]).is_err());
        // More elements than bytes.
        assert!(check_schema(&[0x29, 0xFC, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_judged(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = check_schema(&bytes);
        }
    }
}
