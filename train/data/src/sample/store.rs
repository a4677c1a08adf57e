//! Storage for any number of samples. Many tokens are moved to a temporary file.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use super::Sample;

/// Maximum number of 32-bit numbers in memory; more go to a file.
const IN_MEMORY: usize = 16 << 20;

/// Facts about a sample that are known without reading it.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its start in 32-bit numbers: first the ends of its ranges, then its tokens.
    at: u64,
    row: u64,
    /// Equal for samples with the same prompt.
    prompt: u64,
    len: u32,
    ranges: u32,
}

/// Samples by number. Up to 64 MiB of tokens are in memory. More go to an unnamed file in the system's
/// temporary folder (`TMPDIR`), which disappears with the process. Each sample also takes 32 bytes of
/// memory.
#[derive(Debug)]
pub struct Samples {
    entries: Vec<Entry>,
    /// The numbers from position `in_file` on.
    memory: Vec<u32>,
    /// The numbers before that position.
    file: Option<Mutex<File>>,
    in_file: u64,
    /// Maximum number of 32-bit numbers in memory.
    most_in_memory: usize,
}

impl Default for Samples {
    fn default() -> Self {
        Self::with_memory(IN_MEMORY)
    }
}

impl Samples {
    fn with_memory(most_in_memory: usize) -> Self {
        Self {
            entries: Vec::new(),
            memory: Vec::new(),
            file: None,
            in_file: 0,
            most_in_memory,
        }
    }

    /// Returns the number of samples.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there are no samples.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Returns the number of tokens of a sample.
    ///
    /// # Panics
    /// If no sample has this number.
    pub fn tokens_of(&self, number: u32) -> usize {
        self.entries[number as usize].len as usize
    }

    /// Returns a number that samples with the same prompt share. The prompt is the tokens before the first
    /// trained one; if that is only the first token, it is the whole sample.
    pub(crate) fn prompt_of(&self, number: u32) -> u64 {
        self.entries[number as usize].prompt
    }

    /// Reads a sample.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    ///
    /// # Panics
    /// If no sample has this number.
    pub fn read(&self, number: u32) -> io::Result<Sample> {
        let entry = self.entries[number as usize];
        let count = 2 * entry.ranges as usize + entry.len as usize;
        let numbers = match &self.file {
            Some(file) if entry.at < self.in_file => {
                let mut bytes = vec![0; 4 * count];
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(4 * entry.at))?;
                file.read_exact(&mut bytes)?;
                bytes
                    .chunks_exact(4)
                    .map(|four| u32::from_le_bytes([four[0], four[1], four[2], four[3]]))
                    .collect()
            }
            _ => self.memory[(entry.at - self.in_file) as usize..][..count].to_vec(),
        };
        let (ranges, tokens) = numbers.split_at(2 * entry.ranges as usize);
        let range = |ends: &[u32]| ends[0] as usize..ends[1] as usize;
        Ok(Sample {
            tokens: tokens.to_vec(),
            trained: ranges.chunks_exact(2).map(range).collect(),
            row: entry.row,
        })
    }

    /// Adds a sample.
    ///
    /// # Errors
    /// The temporary file cannot be created or written.
    pub fn push(&mut self, sample: &Sample) -> io::Result<()> {
        if self.entries.len() >= u32::MAX as usize {
            return Err(io::Error::other("more than 2^32 samples are not supported"));
        }
        let mut hasher = DefaultHasher::new();
        sample.prompt().hash(&mut hasher);
        self.entries.push(Entry {
            at: self.in_file + self.memory.len() as u64,
            row: sample.row,
            prompt: hasher.finish(),
            len: sample.tokens.len() as u32,
            ranges: sample.trained.len() as u32,
        });
        let ends = |range: &Range<usize>| [range.start as u32, range.end as u32];
        self.memory.extend(sample.trained.iter().flat_map(ends));
        self.memory.extend(&sample.tokens);
        if self.memory.len() > self.most_in_memory {
            self.spill()?;
        }
        Ok(())
    }

    /// Moves the numbers in memory to the file.
    fn spill(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(Mutex::new(tempfile::tempfile()?)),
        };
        let file = file.get_mut().unwrap_or_else(PoisonError::into_inner);
        file.seek(SeekFrom::Start(4 * self.in_file))?;
        let mut out = BufWriter::new(file);
        for number in &self.memory {
            out.write_all(&number.to_le_bytes())?;
        }
        out.flush()?;
        self.in_file += self.memory.len() as u64;
        self.memory = Vec::new();
        Ok(())
    }
}

impl FromIterator<Sample> for Samples {
    /// Stores samples that are already in memory.
    fn from_iter<I: IntoIterator<Item = Sample>>(samples: I) -> Self {
        let mut stored = Self::with_memory(usize::MAX);
        for sample in samples {
            // Without a file, pushing cannot fail.
            let _ = stored.push(&sample);
        }
        stored
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::batch::tests::any_samples;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn stored_samples_are_read_back(
            samples in any_samples(40),
            in_memory in 0..200_usize,
        ) {
            let mut stored = Samples::with_memory(in_memory);
            for sample in &samples {
                stored.push(sample).unwrap();
            }
            let numbers: usize = samples.iter().map(|s| s.tokens.len() + 2 * s.trained.len()).sum();
            prop_assert_eq!(stored.file.is_some(), numbers > in_memory);
            prop_assert!(stored.memory.len() <= in_memory);
            prop_assert_eq!(stored.len(), samples.len());
            // Reads in another order than written.
            for (number, sample) in samples.iter().enumerate().rev() {
                let number = number as u32;
                prop_assert_eq!(stored.tokens_of(number), sample.tokens.len());
                prop_assert_eq!(&stored.read(number).unwrap(), sample);
            }
        }
    }

    #[test]
    fn equal_prompts_have_equal_hashes() {
        let sample = |tokens: &[u32], prompt| Sample::after_prompt(tokens.to_vec(), prompt, 0);
        let stored: Samples = [
            sample(&[1, 2, 3], 2),
            sample(&[1, 2, 4, 5], 2),
            sample(&[1, 3, 3], 2),
            sample(&[1, 2, 3], 0),
            sample(&[1, 2, 4], 1),
        ]
        .into_iter()
        .collect();
        let prompts: Vec<_> = (0..5).map(|number| stored.prompt_of(number)).collect();
        assert_eq!(prompts[0], prompts[1]);
        let different = std::collections::HashSet::<u64>::from_iter(prompts.iter().copied());
        assert_eq!(different.len(), 4);
    }
}
