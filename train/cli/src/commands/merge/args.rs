//! What a merge is asked for.

use bone_train::config::{AxisWord, DtypeChoice};
use std::path::PathBuf;

/// What to merge.
#[derive(Debug, clap::Args)]
pub struct MergeArgs {
    /// The base model: a Hugging Face folder, or RWKV's .pth or .safetensors
    #[arg(long, value_name = "DIR|FILE")]
    pub model: PathBuf,
    /// An adapter: a folder, the --out of a training run, or a file of RWKV-PEFT's or JL-er's;
    /// several are merged in the order given
    #[arg(long, value_name = "DIR|FILE", required = true)]
    pub adapter: Vec<PathBuf>,
    /// Folder for the merged model; it must be new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Precision of the merged weights: auto for the base's, f32, bf16, f16
    #[arg(long, value_name = "NAME", default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
    /// Take the adapters out of a model they were merged into, the last one first
    #[arg(long)]
    pub unmerge: bool,
    /// Axis of bone's blocks in an adapter's file that does not say it: output, input, or none
    /// for miss
    #[arg(long, value_name = "AXIS")]
    pub block_axis: Option<AxisWord>,
    /// Most bytes of a file of the result, like 500MB [default: 5GB]
    #[arg(long, value_name = "SIZE", value_parser = shard_size)]
    pub max_shard_size: Option<u64>,
    /// What to run on; `bone devices` lists it
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
}

impl MergeArgs {
    /// One adapter into one model, everything else as by default.
    pub fn new(model: PathBuf, adapter: PathBuf, out: PathBuf, device: &str) -> Self {
        Self {
            model,
            adapter: vec![adapter],
            out,
            dtype: DtypeChoice::Auto,
            unmerge: false,
            block_axis: None,
            max_shard_size: None,
            device: device.to_owned(),
        }
    }
}

/// Units of a size; a unit that ends in another one comes before it.
const UNITS: [(&str, f64); 8] = [
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("b", 1.0),
    ("", 1.0),
];

/// A size in bytes with or without a unit: `5GB`, `500 MiB`, `1000000`.
fn shard_size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let mut sizes = UNITS.iter().filter_map(|(unit, factor)| {
        let number: f64 = lower.strip_suffix(unit)?.trim_end().parse().ok()?;
        Some(number * factor)
    });
    let bytes = sizes.next().filter(|bytes| (1.0..1e18).contains(bytes));
    let bytes = bytes.map(|bytes| bytes as u64);
    bytes.ok_or_else(|| format!("'{text}' is no size; write it like 5GB or 500MB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_with_their_units() {
        for (text, bytes) in [
            ("5GB", 5_000_000_000),
            ("1.5 mb", 1_500_000),
            ("2KiB", 2048),
            ("77", 77),
        ] {
            assert_eq!(shard_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "GB", "5XB", "-1", "0", "1e99", "1..2"] {
            assert!(shard_size(text).is_err(), "{text}");
        }
    }
}
