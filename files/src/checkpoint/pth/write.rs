//! Writes files that `torch.load` reads, also with `weights_only=True`: an uncompressed zip archive
//! whose entries include a pickle of a dict of tensors.
//!
//! The zip layout follows PKWARE's APPNOTE.TXT 6.3, sections 4.3 and 4.5.3. The pickle follows
//! Python's `pickletools.py`, protocol 2, and torch's `_rebuild_tensor_v2`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use burn::tensor::{DType, TensorData};

use crate::SaveError;

/// Name of the folder in the archive.
const ROOT: &str = "archive";
/// Alignment of a tensor's data, so that readers can map it.
const ALIGNMENT: u64 = 64;
/// Version of the archive's layout that torch writes.
const VERSION: &[u8] = b"3\n";

/// Writes `tensors` to the file `path`, which is replaced only after the new one is complete.
///
/// # Errors
/// If the file can't be written, or torch has no storage for a tensor's type.
pub fn save_pth(path: &Path, tensors: &BTreeMap<String, TensorData>) -> Result<(), SaveError> {
    let io_error = |source| SaveError::Io {
        path: path.to_owned(),
        source,
    };
    let mut refused = tensors.iter().filter_map(|(name, data)| {
        let reason = format!("torch has no storage type for {:?}", data.dtype);
        let name = name.clone();
        storage(data.dtype)
            .is_none()
            .then_some(SaveError::Tensor { name, reason })
    });
    if let Some(error) = refused.next() {
        return Err(error);
    }
    let mut partial = path.as_os_str().to_owned();
    partial.push(format!(".partial-{}", std::process::id()));
    let partial = Path::new(&partial);
    let written = File::create(partial).and_then(|file| {
        let mut archive = Archive::new(BufWriter::new(file));
        archive.add("data.pkl", &[&pickle(tensors)], false)?;
        archive.add("byteorder", &[b"little"], false)?;
        for (index, data) in tensors.values().enumerate() {
            archive.add(&format!("data/{index}"), &[&data.bytes], true)?;
        }
        archive.add("version", &[VERSION], false)?;
        archive.finish()?.get_ref().sync_all()
    });
    let renamed = written.and_then(|()| std::fs::rename(partial, path));
    renamed.map_err(|error| {
        // The error to report is the first one.
        let _ = std::fs::remove_file(partial);
        io_error(error)
    })
}

/// Returns torch's name for the storage of a type.
fn storage(dtype: DType) -> Option<&'static str> {
    Some(match dtype {
        DType::F64 => "DoubleStorage",
        DType::F32 => "FloatStorage",
        DType::F16 => "HalfStorage",
        DType::BF16 => "BFloat16Storage",
        DType::I64 => "LongStorage",
        DType::I32 => "IntStorage",
        DType::I16 => "ShortStorage",
        DType::I8 => "CharStorage",
        DType::U8 => "ByteStorage",
        _ => return None,
    })
}

/// Returns a pickle of a dict. Each entry is a name and the call that rebuilds the tensor from
/// entry `data/INDEX`.
fn pickle(tensors: &BTreeMap<String, TensorData>) -> Vec<u8> {
    let mut out = b"\x80\x02}(".to_vec();
    for (index, (name, data)) in tensors.iter().enumerate() {
        text(&mut out, name);
        out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n((");
        text(&mut out, "storage");
        let kind = storage(data.dtype).unwrap_or_default();
        out.extend(format!("ctorch\n{kind}\n").bytes());
        text(&mut out, &index.to_string());
        text(&mut out, "cpu");
        let elements: usize = data.shape.iter().product();
        integer(&mut out, elements as u64);
        // The tuple, the storage that it identifies, and the offset into the storage.
        out.extend(b"tQ");
        integer(&mut out, 0);
        tuple(&mut out, &data.shape);
        let strides: Vec<usize> = (0..data.shape.len())
            .map(|dim| data.shape[dim + 1..].iter().product())
            .collect();
        tuple(&mut out, &strides);
        // No gradient, no hooks.
        out.extend(b"\x89ccollections\nOrderedDict\n)RtR");
    }
    out.extend(b"u.");
    out
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'X');
    // Names are far shorter than 4 GB.
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.bytes());
}

fn integer(out: &mut Vec<u8>, value: u64) {
    match (u8::try_from(value), i32::try_from(value)) {
        (Ok(byte), _) => out.extend([b'K', byte]),
        (_, Ok(word)) => {
            out.push(b'J');
            out.extend(word.to_le_bytes());
        }
        _ => {
            // Two's complement: a ninth byte keeps the largest ones positive.
            out.extend([0x8a, 9]);
            out.extend(value.to_le_bytes());
            out.push(0);
        }
    }
}

fn tuple(out: &mut Vec<u8>, sizes: &[usize]) {
    out.push(b'(');
    sizes.iter().for_each(|&size| integer(out, size as u64));
    out.push(b't');
}

/// An entry of the directory.
struct Entry {
    name: String,
    crc: u32,
    size: u64,
    offset: u64,
}

/// A zip archive that is being written.
struct Archive<W: Write> {
    out: W,
    at: u64,
    entries: Vec<Entry>,
}

impl<W: Write> Archive<W> {
    fn new(out: W) -> Self {
        Self {
            out,
            at: 0,
            entries: Vec::new(),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.at += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Adds an entry. If `aligned`, its data begins at a multiple of [`ALIGNMENT`].
    fn add(&mut self, name: &str, parts: &[&[u8]], aligned: bool) -> io::Result<()> {
        let name = format!("{ROOT}/{name}");
        let mut crc = crc32fast::Hasher::new();
        parts.iter().for_each(|part| crc.update(part));
        let entry = Entry {
            crc: crc.finalize(),
            size: parts.iter().map(|part| part.len() as u64).sum(),
            offset: self.at,
            name,
        };
        let mut extra = zip64(&[entry.size, entry.size]);
        if aligned {
            // A padding field, "FB" like torch's.
            let begin = self.at + 30 + (entry.name.len() + extra.len() + 4) as u64;
            let padding = (ALIGNMENT - begin % ALIGNMENT) % ALIGNMENT;
            extra.extend(b"FB");
            extra.extend((padding as u16).to_le_bytes());
            extra.resize(extra.len() + padding as usize, b'Z');
        }
        let mut header = b"PK\x03\x04".to_vec();
        header.extend(common(&entry, extra.len()));
        header.extend(entry.name.bytes());
        header.extend(extra);
        self.write(&header)?;
        parts.iter().try_for_each(|part| self.write(part))?;
        self.entries.push(entry);
        Ok(())
    }

    /// Writes the directory, always with its zip64 record.
    fn finish(mut self) -> io::Result<W> {
        let start = self.at;
        for entry in std::mem::take(&mut self.entries) {
            let extra = zip64(&[entry.size, entry.size, entry.offset]);
            let mut record = b"PK\x01\x02\x2d\x00".to_vec();
            record.extend(common(&entry, extra.len()));
            // No comment, first disk, no attributes, and the offset in the zip64 field.
            record.extend([0; 10]);
            record.extend(u32::MAX.to_le_bytes());
            record.extend(entry.name.bytes());
            record.extend(extra);
            self.write(&record)?;
            self.entries.push(entry);
        }
        let (len, count) = (self.at - start, self.entries.len() as u64);
        let end64 = self.at;
        let mut end = b"PK\x06\x06".to_vec();
        end.extend(44u64.to_le_bytes());
        end.extend([0x2d, 0, 0x2d, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        for value in [count, count, len, start] {
            end.extend(value.to_le_bytes());
        }
        end.extend(b"PK\x06\x07\0\0\0\0");
        end.extend(end64.to_le_bytes());
        end.extend(1u32.to_le_bytes());
        end.extend(b"PK\x05\x06\0\0\0\0");
        end.extend([0xff; 12]);
        end.extend([0; 2]);
        self.write(&end)?;
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Returns the fields that local header and directory share: version 4.5, no flags, stored, the
/// first possible date, checksum, sizes in the zip64 field, lengths of name and extra fields.
fn common(entry: &Entry, extra: usize) -> Vec<u8> {
    let mut out = vec![0x2d, 0, 0, 0, 0, 0, 0, 0, 0x21, 0];
    out.extend(entry.crc.to_le_bytes());
    out.extend([0xff; 8]);
    out.extend((entry.name.len() as u16).to_le_bytes());
    out.extend((extra as u16).to_le_bytes());
    out
}

/// Returns the extra field of 64-bit sizes.
fn zip64(values: &[u64]) -> Vec<u8> {
    let mut out = 1u16.to_le_bytes().to_vec();
    out.extend((8 * values.len() as u16).to_le_bytes());
    values
        .iter()
        .for_each(|value| out.extend(value.to_le_bytes()));
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Checkpoint;

    #[test]
    fn written_pth_file_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("adapter.pth");
        let of = |dtype, shape: &[usize]| {
            let len: usize = shape.iter().product();
            let values: Vec<f32> = (0..len).map(|i| i as f32 - 2.0).collect();
            TensorData::new(values, shape.to_vec()).convert_dtype(dtype)
        };
        let tensors = BTreeMap::from([
            (
                "blocks.0.att.key.bone".to_owned(),
                of(DType::F32, &[3, 2, 2]),
            ),
            ("ü".to_owned(), of(DType::BF16, &[70_000])),
            ("scalar".to_owned(), of(DType::F64, &[])),
            ("empty".to_owned(), of(DType::F16, &[0, 4])),
            ("counts".to_owned(), of(DType::I64, &[2, 300])),
        ]);
        save_pth(&path, &tensors).unwrap();
        let read = Checkpoint::open_file(&path).unwrap();
        let names: Vec<_> = read.tensors().map(|(name, _)| name).collect();
        assert_eq!(names, tensors.keys().collect::<Vec<_>>());
        for (name, data) in &tensors {
            let found = read.data(name).unwrap();
            assert_eq!((&found.shape, found.dtype), (&data.shape, data.dtype));
            assert_eq!(found.as_bytes(), data.as_bytes(), "{name}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);

        let bools = TensorData::from([true, false]);
        let refused = save_pth(&path, &BTreeMap::from([("mask".to_owned(), bools)]));
        assert!(refused.unwrap_err().to_string().contains("mask"));
        assert_eq!(Checkpoint::open_file(&path).unwrap().tensors().count(), 5);
    }

    #[test]
    fn integers_of_every_length_are_pickled() {
        for (value, bytes) in [
            (255, &b"K\xff"[..]),
            (256, b"J\0\x01\0\0"),
            (1 << 31, b"\x8a\x09\0\0\0\x80\0\0\0\0\0"),
        ] {
            let mut out = Vec::new();
            integer(&mut out, value);
            assert_eq!(out, bytes);
        }
    }
}
