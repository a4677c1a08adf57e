//! The index: length and position of each sequence.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::{Dtype, MAGIC, VERSION};
use crate::DataError;
use bone_files::wording::{Problems, and_more};

/// First bytes of an older kind of index, which has no sizes in tokens.
const OLDER_MAGIC: &[u8] = b"TNTIDX\0\0";
/// Bytes before the sizes.
const HEADER: u64 = 34;

/// A checked index. It takes 12 bytes per sequence.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) dtype: Dtype,
    /// Number of tokens of each sequence; never negative.
    pub(super) sizes: Vec<i32>,
    /// Start of each sequence in bytes; never negative.
    pub(super) starts: Vec<i64>,
}

impl Index {
    /// Reads the index `path` for a token file of `bin_bytes` bytes.
    pub(super) fn read(path: &Path, bin_bytes: u64) -> Result<Self, DataError> {
        let io_error = DataError::io(path);
        let file = File::open(path).map_err(io_error)?;
        let bytes = file.metadata().map_err(io_error)?.len();
        let mut input = BufReader::new(file);
        let (dtype, sequences, documents) = header(path, &mut input, bytes)?;
        let needed = u128::from(HEADER) + 12 * u128::from(sequences) + 8 * u128::from(documents);
        let with_kinds = needed + u128::from(sequences);
        if u128::from(bytes) != needed && u128::from(bytes) != with_kinds {
            let what = format!(
                "damaged: an index of {sequences} sequences and {documents} document entries has \
                 {needed} bytes, found {bytes}; create it again"
            );
            return Err(DataError::unusable(path, what));
        }
        // The file has at least this size, so the memory is available.
        let sizes = (0..sequences).map(|_| take(&mut input).map(i32::from_le_bytes));
        let sizes = sizes.collect::<io::Result<Vec<_>>>().map_err(io_error)?;
        let starts = (0..sequences).map(|_| take(&mut input).map(i64::from_le_bytes));
        let starts = starts.collect::<io::Result<Vec<_>>>().map_err(io_error)?;
        let mut problems = Problems::default();
        for (sequence, (&size, &start)) in sizes.iter().zip(&starts).enumerate() {
            let end = i128::from(start) + i128::from(size) * dtype.bytes() as i128;
            let problem = if size < 0 {
                format!("has {size} tokens")
            } else if start < 0 {
                format!("starts at byte {start}")
            } else if end > i128::from(bin_bytes) {
                format!("ends at byte {end} of {bin_bytes}")
            } else {
                continue;
            };
            problems.add(format!("sequence {sequence} {problem}"));
        }
        let total = problems.total;
        if total > 0 {
            let shown = and_more(problems.shown, total).join(", ");
            let what = format!(
                "{total} of its sequences are invalid: {shown}; create it again, together with the .bin file"
            );
            return Err(DataError::unusable(path, what));
        }
        Ok(Self {
            dtype,
            sizes,
            starts,
        })
    }
}

/// Returns the token type, the number of sequences and the number of document entries.
fn header(path: &Path, input: &mut impl Read, bytes: u64) -> Result<(Dtype, u64, u64), DataError> {
    let io_error = DataError::io(path);
    let error = |what: String| DataError::unusable(path, format!("not a token index: {what}"));
    if bytes < HEADER {
        return Err(error(format!("it has only {bytes} bytes")));
    }
    let magic: [u8; MAGIC.len()] = take(input).map_err(io_error)?;
    if magic.starts_with(OLDER_MAGIC) {
        return Err(error(
            "its format is \"lazy\" or \"cached\", which is not supported: create it again as \"mmap\"".to_owned(),
        ));
    }
    if magic != *MAGIC {
        return Err(error("it does not start with MMIDIDX".to_owned()));
    }
    let version = number(input).map_err(io_error)?;
    if version != VERSION {
        return Err(error(format!(
            "version {version} is not supported; version 1 is"
        )));
    }
    let [code] = take(input).map_err(io_error)?;
    let Some(dtype) = Dtype::of_code(code) else {
        let is_float = matches!(code, 6 | 7);
        let kind = if is_float {
            "a floating-point type"
        } else {
            "unknown"
        };
        let what = format!("its token type has code {code}, which is {kind}");
        return Err(error(what));
    };
    let sequences = number(input).map_err(io_error)?;
    Ok((dtype, sequences, number(input).map_err(io_error)?))
}

fn number(input: &mut impl Read) -> io::Result<u64> {
    take(input).map(u64::from_le_bytes)
}

fn take<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}
