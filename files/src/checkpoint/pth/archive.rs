//! Reads the directory of an uncompressed zip archive.
//!
//! The `zip` crate is not used. It reserves memory for as many entries as the file claims, and
//! searches the whole file for another directory if one is broken. A caller can limit neither.
//! Layout: PKWARE's APPNOTE.TXT 6.3, sections 4.3 and 4.5.3.

use std::collections::BTreeMap;
use std::ops::Range;

use super::PthProblem;

const END: &[u8] = b"PK\x05\x06";
const END_LEN: usize = 22;
const END64_LOCATOR: &[u8] = b"PK\x06\x07";
const END64_LOCATOR_LEN: usize = 20;
const END64: &[u8] = b"PK\x06\x06";
const END64_LEN: usize = 56;
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_LEN: usize = 46;
const LOCAL: &[u8] = b"PK\x03\x04";
const LOCAL_LEN: usize = 30;
/// Extra field for values that do not fit into 32 bits.
const ZIP64: u16 = 1;
/// Marks a size or an offset that is in the zip64 field.
const ELSEWHERE: u32 = u32::MAX;
/// Most entries read; the largest released models have some thousand tensors.
const MAX_ENTRIES: u64 = 1 << 20;

type Read<T> = Result<T, PthProblem>;

fn broken<T>(reason: &'static str) -> Read<T> {
    Err(PthProblem::Zip { reason })
}

/// Little-endian fields at fixed places of a record.
#[derive(Clone, Copy)]
struct Record<'a>(&'a [u8]);

impl<'a> Record<'a> {
    /// Returns the `len` bytes at `at` of the file, which must begin with `signature`.
    fn find(file: &'a [u8], at: usize, len: usize, signature: &[u8]) -> Option<Self> {
        let record = file.get(at..at.checked_add(len)?)?;
        record.starts_with(signature).then_some(Self(record))
    }

    fn bytes<const N: usize>(self, at: usize) -> [u8; N] {
        // Every requested place lies within the length that `find` checked.
        self.0[at..].first_chunk().copied().unwrap_or([0; N])
    }

    fn u16(self, at: usize) -> u16 {
        u16::from_le_bytes(self.bytes(at))
    }

    fn u32(self, at: usize) -> u32 {
        u32::from_le_bytes(self.bytes(at))
    }

    fn u64(self, at: usize) -> u64 {
        u64::from_le_bytes(self.bytes(at))
    }
}

/// Returns the directory's place and its number of entries.
fn directory(file: &[u8]) -> Read<(Range<usize>, u64)> {
    // A comment of up to 65,535 bytes may follow the end record.
    let first = file.len().saturating_sub(END_LEN + usize::from(u16::MAX));
    let found = (first..=file.len().saturating_sub(END_LEN))
        .rev()
        .find_map(|at| {
            let end = Record::find(file, at, END_LEN, END)?;
            (at + END_LEN + usize::from(end.u16(20)) == file.len()).then_some((at, end))
        });
    let Some((end_at, end)) = found else {
        return broken("its directory is missing");
    };
    let (mut count, mut len) = (u64::from(end.u16(10)), u64::from(end.u32(12)));
    let (mut start, mut limit) = (u64::from(end.u32(16)), end_at);
    if end.u16(10) == u16::MAX || end.u32(12) == ELSEWHERE || end.u32(16) == ELSEWHERE {
        let end64 = end_at.checked_sub(END64_LOCATOR_LEN).and_then(|at| {
            let locator = Record::find(file, at, END64_LOCATOR_LEN, END64_LOCATOR)?;
            let at = usize::try_from(locator.u64(8)).ok()?;
            Some((at, Record::find(file, at, END64_LEN, END64)?))
        });
        let Some((at, end64)) = end64 else {
            return broken("the zip64 record of its directory is missing");
        };
        (count, len, start) = (end64.u64(32), end64.u64(40), end64.u64(48));
        limit = at;
    }
    let range = start.checked_add(len).and_then(|end| {
        let range = usize::try_from(start).ok()?..usize::try_from(end).ok()?;
        (range.end <= limit).then_some(range)
    });
    match range {
        Some(range) if count <= MAX_ENTRIES => Ok((range, count)),
        Some(_) => broken("its directory has too many entries"),
        None => broken("its directory is beyond its end"),
    }
}

/// Returns the entries of the archive `file`, by name, as places in the file.
pub(super) fn entries(file: &[u8]) -> Read<BTreeMap<&str, Range<usize>>> {
    let (directory, count) = directory(file)?;
    let mut entries = BTreeMap::new();
    let mut packed: Option<(&str, usize)> = None;
    let mut at = directory.start;
    for _ in 0..count {
        let Some(record) = Record::find(&file[..directory.end], at, ENTRY_LEN, ENTRY) else {
            return broken("its directory is not a list of entries");
        };
        let [name_len, extra_len, comment_len] = [28, 30, 32].map(|at| usize::from(record.u16(at)));
        let name_at = at + ENTRY_LEN;
        let extra_at = name_at + name_len;
        at = extra_at + extra_len + comment_len;
        if at > directory.end {
            return broken("an entry of its directory is cut off");
        }
        let Ok(name) = std::str::from_utf8(&file[name_at..extra_at]) else {
            return broken("the name of an entry is not UTF-8");
        };
        let (flags, method) = (record.u16(8), record.u16(10));
        let Some([size, stored, local]) = sizes(record, &file[extra_at..extra_at + extra_len])
        else {
            return broken("the zip64 field of an entry is cut off");
        };
        if flags & 1 != 0 || method != 0 || size != stored {
            packed.get_or_insert((name, 0)).1 += 1;
            continue;
        }
        let Some(range) = data(&file[..directory.start], local, stored) else {
            return broken("the data of an entry is beyond its end");
        };
        if entries.insert(name, range).is_some() {
            return broken("two entries have the same name");
        }
    }
    match packed {
        None => Ok(entries),
        Some((first, count)) => Err(PthProblem::Compressed {
            first: first.to_owned(),
            count,
        }),
    }
}

/// Returns an entry's size, stored size and offset of its local header. A value that does not fit
/// into the record is in the zip64 field of `extra`.
fn sizes(record: Record<'_>, mut extra: &[u8]) -> Option<[u64; 3]> {
    let narrow = [24, 20, 42].map(|at| record.u32(at));
    let mut zip64: &[u8] = &[];
    while let Some((head, rest)) = extra.split_first_chunk::<4>() {
        let head = Record(head);
        let (body, rest) = rest.split_at_checked(usize::from(head.u16(2)))?;
        if head.u16(0) == ZIP64 {
            zip64 = body;
        }
        extra = rest;
    }
    let mut wide = [0; 3];
    for (wide, narrow) in wide.iter_mut().zip(narrow) {
        *wide = u64::from(narrow);
        if narrow == ELSEWHERE {
            let (value, rest) = zip64.split_first_chunk()?;
            *wide = u64::from_le_bytes(*value);
            zip64 = rest;
        }
    }
    Some(wide)
}

/// Returns the place of an entry's data; its local header is at `local`.
fn data(file: &[u8], local: u64, len: u64) -> Option<Range<usize>> {
    let local = usize::try_from(local).ok()?;
    let header = Record::find(file, local, LOCAL_LEN, LOCAL)?;
    let start = local + LOCAL_LEN + usize::from(header.u16(26)) + usize::from(header.u16(28));
    let end = start.checked_add(usize::try_from(len).ok()?)?;
    (end <= file.len()).then_some(start..end)
}
