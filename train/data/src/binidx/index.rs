//! The index: how long each sequence is and where.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::error::{BinidxError, HEADER, SequenceProblem, length};
use super::{Dtype, MAGIC, VERSION};
use bone_files::wording::Problems;

/// An older kind of index, which has no sizes in tokens.
const OLDER_MAGIC: &[u8] = b"TNTIDX\0\0";
/// Where sequences follow one another, every so many of them has its start kept.
const BETWEEN_MARKS: usize = 64;

/// A checked index. It takes 4 bytes a sequence, or 12 where sequences do not follow one another.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) dtype: Dtype,
    pub(super) tokens: u64,
    sizes: Vec<u32>,
    starts: Starts,
}

#[derive(Debug)]
enum Starts {
    /// Each sequence begins where the one before it ends: the start of every 64th.
    Marks(Vec<u64>),
    /// The start of each.
    All(Vec<u64>),
}

impl Index {
    /// Reads the index `path` of a file of tokens of `bin_bytes` bytes.
    pub(super) fn read(path: &Path, bin_bytes: u64) -> Result<Self, BinidxError> {
        let io_error = BinidxError::io(path);
        let file = File::open(path).map_err(io_error)?;
        let bytes = file.metadata().map_err(io_error)?.len();
        let mut input = BufReader::new(file);
        let (dtype, sequences, documents) = header(path, &mut input, bytes)?;
        let needed = length(sequences, documents);
        let with_kinds = needed + u128::from(sequences);
        if u128::from(bytes) != needed && u128::from(bytes) != with_kinds {
            return Err(BinidxError::Length {
                path: path.to_owned(),
                bytes,
                sequences,
                documents,
            });
        }
        // That many are in the file, so there is room for them.
        let count = usize::try_from(sequences)
            .map_err(|_| io_error(io::Error::from(io::ErrorKind::OutOfMemory)))?;
        let mut problems = Problems::default();
        let mut sizes = Vec::with_capacity(count);
        for sequence in 0..count {
            let size = i32::from_le_bytes(take(&mut input).map_err(io_error)?);
            sizes.push(u32::try_from(size).unwrap_or_else(|_| {
                problems.add((sequence, SequenceProblem::Size(size)));
                0
            }));
        }
        let mut index = Self {
            dtype,
            tokens: sizes.iter().map(|&size| u64::from(size)).sum(),
            sizes,
            starts: Starts::Marks(Vec::new()),
        };
        let mut next = 0;
        for sequence in 0..count {
            let start = i64::from_le_bytes(take(&mut input).map_err(io_error)?);
            next = index.place(sequence, start, next, bin_bytes, &mut problems);
        }
        if problems.total > 0 {
            return Err(BinidxError::Sequences {
                path: path.to_owned(),
                shown: problems.shown,
                total: problems.total,
            });
        }
        Ok(index)
    }

    /// Notes where a sequence begins; the one before it ended at `next`. Returns where it ends.
    fn place(
        &mut self,
        sequence: usize,
        start: i64,
        next: u64,
        bin_bytes: u64,
        problems: &mut Problems<(usize, SequenceProblem)>,
    ) -> u64 {
        let Ok(start) = u64::try_from(start) else {
            problems.add((sequence, SequenceProblem::Start(start)));
            return next;
        };
        let end = start.checked_add(self.bytes(sequence));
        if end.is_none_or(|end| end > bin_bytes) {
            let bytes = bin_bytes;
            problems.add((sequence, SequenceProblem::End { end, bytes }));
        }
        if let (Starts::Marks(_), true) = (&self.starts, start != next) {
            self.starts = Starts::All((0..sequence).map(|s| self.start(s)).collect());
        }
        match &mut self.starts {
            Starts::All(starts) => starts.push(start),
            Starts::Marks(marks) if sequence.is_multiple_of(BETWEEN_MARKS) => marks.push(start),
            Starts::Marks(_) => {}
        }
        end.unwrap_or(next)
    }

    pub(super) fn len(&self) -> usize {
        self.sizes.len()
    }

    /// Tokens of a sequence; none where there is no such.
    pub(super) fn size(&self, sequence: usize) -> usize {
        self.sizes.get(sequence).map_or(0, |&size| size as usize)
    }

    fn bytes(&self, sequence: usize) -> u64 {
        let size = self.sizes.get(sequence).copied().unwrap_or(0);
        u64::from(size) * self.dtype.bytes() as u64
    }

    /// Where a sequence begins, in bytes.
    pub(super) fn start(&self, sequence: usize) -> u64 {
        match &self.starts {
            Starts::All(starts) => starts.get(sequence).copied().unwrap_or(0),
            Starts::Marks(marks) => {
                let mark = sequence / BETWEEN_MARKS;
                let since: u64 = (mark * BETWEEN_MARKS..sequence)
                    .map(|sequence| self.bytes(sequence))
                    .sum();
                marks.get(mark).copied().unwrap_or(0) + since
            }
        }
    }
}

/// The type of the tokens, the sequences and the entries of documents.
fn header(
    path: &Path,
    input: &mut impl Read,
    bytes: u64,
) -> Result<(Dtype, u64, u64), BinidxError> {
    let io_error = BinidxError::io(path);
    let error = |what: String| BinidxError::NotAnIndex {
        path: path.to_owned(),
        what,
    };
    if bytes < HEADER as u64 {
        return Err(error(format!("it has {bytes} bytes")));
    }
    let magic: [u8; MAGIC.len()] = take(input).map_err(io_error)?;
    if magic.starts_with(OLDER_MAGIC) {
        return Err(error(
            "it is of an older kind, \"lazy\" or \"cached\": make it again as \"mmap\"".to_owned(),
        ));
    }
    if magic != *MAGIC {
        return Err(error("it does not begin with MMIDIDX".to_owned()));
    }
    let mut number = || take(input).map(u64::from_le_bytes).map_err(io_error);
    let version = number()?;
    if version != VERSION {
        return Err(error(format!("it has version {version}, and 1 is read")));
    }
    let [code] = take(input).map_err(io_error)?;
    let dtype = Dtype::of_code(code).ok_or_else(|| {
        let kind = if matches!(code, 6 | 7) {
            "a floating-point type"
        } else {
            "no type"
        };
        error(format!(
            "its tokens' type has the code {code}, which is {kind}"
        ))
    })?;
    let mut number = || take(input).map(u64::from_le_bytes).map_err(io_error);
    Ok((dtype, number()?, number()?))
}

fn take<const N: usize>(input: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes)?;
    Ok(bytes)
}
