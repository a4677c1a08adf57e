//! One column of a row group, value by value.

use std::fs::File;
use std::sync::Arc;

use ::parquet::basic::Type;
use ::parquet::column::reader::ColumnReaderImpl;
use ::parquet::data_type::{
    BoolType, ByteArrayType, DataType, DoubleType, FixedLenByteArrayType, FloatType, Int32Type,
    Int64Type, Int96Type,
};
use ::parquet::file::metadata::ColumnChunkMetaData;
use ::parquet::file::serialized_reader::SerializedPageReader;
use serde_json::Value;

use super::pages::Checked;
use super::value::{Kind, Scalar};
use super::{Fault, guarded};

/// Rows that are read ahead, at most.
const MAX_AHEAD: usize = 256;
/// What rows that are read ahead may hold, unless it is one row.
const BYTES_AHEAD: usize = 1 << 20;
/// Values that lists of one column may have in one row group. Any of its rows could have them all,
/// and a row is held whole: as strings, in up to 3 GiB.
const MAX_LISTED: u64 = 1 << 26;

/// A column's values, nulls and list ends, as levels.
///
/// Within a row that was begun. Once the row has ended its level is below all others.
pub(super) trait Column: Send {
    /// Begins the next row.
    fn begin_row(&mut self, name: &str) -> Result<(), Fault>;
    /// Definition level of what comes next.
    fn level(&self) -> i16;
    /// Repetition level of what comes next; 0 where the row ends.
    fn repeat(&self) -> i16;
    /// Passes over a null or an empty list.
    fn pass(&mut self) -> Result<(), Fault>;
    /// The value that comes next, or what is wrong with it, and its size in bytes.
    fn value(&mut self) -> Result<(Result<Value, String>, usize), Fault>;
    /// Checks that no row is left.
    fn finish(&mut self, name: &str) -> Result<(), Fault>;
    /// What rows that were read ahead hold.
    #[cfg(test)]
    fn ahead_bytes(&self) -> usize;
}

/// Opens the column `chunk` of a row group of `rows` rows.
pub(super) fn open(
    file: &Arc<File>,
    chunk: &ColumnChunkMetaData,
    rows: i64,
    name: &str,
) -> Result<Box<dyn Column>, Fault> {
    let described = chunk.column_descr_ptr();
    let listed = described.max_rep_level() > 0;
    let (values, rows) = match (u64::try_from(chunk.num_values()), u64::try_from(rows)) {
        (Ok(values), Ok(rows)) if values == rows || (listed && values > rows) => (values, rows),
        _ => {
            return Err(Fault::damaged(format!(
                "a row group of {rows} rows has {} values in column '{name}'",
                chunk.num_values()
            )));
        }
    };
    if listed && values > MAX_LISTED {
        return Err(Fault::Unsupported(format!(
            "a Parquet file with {values} values in the lists of column '{name}' in one row group, \
             where {MAX_LISTED} are read: write it with smaller row groups"
        )));
    }
    let first = chunk
        .dictionary_page_offset()
        .unwrap_or(chunk.data_page_offset());
    if first < 0 || chunk.compressed_size() < 0 {
        return Err(Fault::damaged(format!(
            "column '{name}' is nowhere in the file"
        )));
    }
    let pages = guarded(
        || format!("column '{name}'"),
        || SerializedPageReader::new(Arc::clone(file), chunk, rows as usize, None),
    )?;
    let pages = Box::new(Checked::new(Box::new(pages), described.clone(), values));
    let kind = Kind::of(&described);
    // All but `T` is the same.
    macro_rules! typed {
        ($type:ty) => {
            Box::new(Typed::<$type> {
                reader: ColumnReaderImpl::new(described.clone(), pages),
                kind,
                most_level: described.max_def_level(),
                ahead: Ahead::default(),
                begun: false,
                batch: 1,
            })
        };
    }
    Ok(match described.physical_type() {
        Type::BOOLEAN => typed!(BoolType),
        Type::INT32 => typed!(Int32Type),
        Type::INT64 => typed!(Int64Type),
        Type::INT96 => typed!(Int96Type),
        Type::FLOAT => typed!(FloatType),
        Type::DOUBLE => typed!(DoubleType),
        Type::BYTE_ARRAY => typed!(ByteArrayType),
        Type::FIXED_LEN_BYTE_ARRAY => typed!(FixedLenByteArrayType),
    })
}

struct Typed<T: DataType> {
    reader: ColumnReaderImpl<T>,
    kind: Kind,
    /// Definition level of a value.
    most_level: i16,
    ahead: Ahead<T::T>,
    /// Whether something of the row has been taken.
    begun: bool,
    /// Rows to read ahead next.
    batch: usize,
}

/// Whole rows that were read ahead.
struct Ahead<V> {
    /// Empty where nothing can be null.
    levels: Vec<i16>,
    /// Empty where there are no lists.
    repeats: Vec<i16>,
    /// Without the nulls.
    values: Vec<V>,
    /// How many levels there are, and how many have been taken.
    count: usize,
    at: usize,
    next_value: usize,
}

impl<V> Default for Ahead<V> {
    fn default() -> Self {
        Self {
            levels: Vec::new(),
            repeats: Vec::new(),
            values: Vec::new(),
            count: 0,
            at: 0,
            next_value: 0,
        }
    }
}

/// Level behind a row's end.
const ENDED: i16 = -1;

pub(super) fn disagree() -> Fault {
    Fault::damaged("its columns disagree about its rows")
}

impl<T: DataType> Typed<T>
where
    T::T: Scalar,
{
    /// Reads some rows ahead, and says whether there were any.
    fn fill(&mut self, name: &str) -> Result<bool, Fault> {
        let Ahead {
            levels,
            repeats,
            values,
            ..
        } = &mut self.ahead;
        levels.clear();
        repeats.clear();
        values.clear();
        let reader = &mut self.reader;
        let (rows, _, count) = guarded(
            || format!("column '{name}'"),
            || reader.read_records(self.batch, Some(levels), Some(repeats), values),
        )?;
        let bytes: usize = values.iter().map(Scalar::bytes).sum();
        let bytes = bytes + 2 * size_of::<i16>() * count;
        self.batch = match bytes {
            BYTES_AHEAD.. => (self.batch / 2).max(1),
            _ => (self.batch * 2).min(MAX_AHEAD),
        };
        let ahead = &mut self.ahead;
        (ahead.count, ahead.at, ahead.next_value) = (count, 0, 0);
        Ok(rows > 0)
    }

    fn advance(&mut self) -> Result<(), Fault> {
        if self.level() == ENDED {
            return Err(disagree());
        }
        self.begun = true;
        self.ahead.at += 1;
        Ok(())
    }
}

impl<T: DataType> Column for Typed<T>
where
    T::T: Scalar,
{
    fn begin_row(&mut self, name: &str) -> Result<(), Fault> {
        if self.repeat() != 0 {
            return Err(disagree());
        }
        self.begun = false;
        if self.ahead.at >= self.ahead.count && !self.fill(name)? {
            return Err(Fault::damaged(format!(
                "column '{name}' has fewer rows than its row group"
            )));
        }
        Ok(())
    }

    fn level(&self) -> i16 {
        let ahead = &self.ahead;
        if ahead.at >= ahead.count || (self.begun && self.repeat() == 0) {
            return ENDED;
        }
        ahead.levels.get(ahead.at).copied().unwrap_or(0)
    }

    fn repeat(&self) -> i16 {
        let ahead = &self.ahead;
        ahead.repeats.get(ahead.at).copied().unwrap_or(0)
    }

    fn pass(&mut self) -> Result<(), Fault> {
        if self.level() == self.most_level {
            return Err(disagree());
        }
        self.advance()
    }

    fn value(&mut self) -> Result<(Result<Value, String>, usize), Fault> {
        if self.level() != self.most_level {
            return Err(disagree());
        }
        self.advance()?;
        let next = self.ahead.values.get(self.ahead.next_value);
        let value = next.ok_or_else(disagree)?;
        self.ahead.next_value += 1;
        Ok((value.json(&self.kind), value.bytes()))
    }

    fn finish(&mut self, name: &str) -> Result<(), Fault> {
        if self.ahead.at < self.ahead.count || self.fill(name)? {
            return Err(Fault::damaged(format!(
                "column '{name}' has more rows than its row group"
            )));
        }
        Ok(())
    }

    #[cfg(test)]
    fn ahead_bytes(&self) -> usize {
        self.ahead.values.iter().map(Scalar::bytes).sum()
    }
}
