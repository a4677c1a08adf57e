//! `bone merge`: merges adapters into their base, or removes them again.

use crate::error::CommandError;
use crate::output::line;
use bone::saved::Scan;
use bone_data::PROMPT_FILE;
use bone_lm::checkpoint::{Dtype, Planned};
use bone_train::config::{AxisWord, DtypeChoice};
use bone_train::device::{self, Kind};
use bone_train::memory::{check_weights, human, peak_resident_bytes};
use bone_train::models::adapter::{self, open};
use bone_train::models::{self, NewFolder};
use burn::tensor::DType;
use std::path::PathBuf;

mod check;
mod write;

pub use check::Agreement;
pub use write::Reversal;
use write::Write;

/// What to merge.
#[derive(Debug, Default, clap::Args)]
pub struct MergeArgs {
    /// Base model: a Hugging Face folder, or a .pth or .safetensors file of RWKV
    #[arg(long, value_name = "DIR|FILE")]
    pub model: PathBuf,
    /// Adapter: a folder, a training run or a file; repeat it to merge several in this order
    ///
    /// A folder of PEFT or bone, the --out of a training run, or a file of RWKV-PEFT or JL-er/Bone.
    #[arg(long, value_name = "DIR|FILE", required = true)]
    pub adapter: Vec<PathBuf>,
    /// Output folder; it must be new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Precision of the merged weights: auto (as the base model), f32, bf16, f16
    #[arg(long, value_name = "NAME", default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
    /// Remove adapters from a merged model, the last one first
    #[arg(long)]
    pub unmerge: bool,
    /// Block axis of an adapter file that does not record it: output, input, none (for miss)
    #[arg(long, value_name = "AXIS")]
    pub block_axis: Option<AxisWord>,
    /// Maximum size of one output file, like 500MB [default: 5GB]
    #[arg(long, value_name = "SIZE", value_parser = shard_size)]
    pub max_shard_size: Option<u64>,
    /// Device: auto, or a name that `bone devices` lists
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
}

/// Result of a merge.
#[derive(Debug, Clone, Copy)]
pub struct Merged {
    /// Difference between the logits of the two models.
    pub agreement: Agreement,
    /// Number of weight files.
    pub files: usize,
    /// Bytes of the tensors in the largest file.
    pub largest_file: u64,
    /// Peak resident memory after writing.
    pub peak_of_write: u64,
    /// The error from taking the adapters out.
    pub reversal: Option<Reversal>,
}

/// Merges, checks that the merged model gives the same output as the adapted one, and writes it.
///
/// # Errors
///
/// [`CommandError`]; if the two models disagree, no files are left.
pub fn run(args: &MergeArgs) -> Result<(), CommandError> {
    let merged = merge(args)?;
    line!(
        "wrote {} file(s), the largest {}; peak memory of the write {}",
        merged.files,
        human(merged.largest_file),
        human(merged.peak_of_write)
    );
    if let Some(reversal) = merged.reversal {
        line!("unmerged: {reversal}");
    }
    line!(
        "merged vs. adapted: {}; peak memory of the check {}",
        merged.agreement,
        human(peak_resident_bytes())
    );
    line!("saved {}", args.out.display());
    Ok(())
}

/// Merges like [`run`], without printing.
///
/// # Errors
///
/// Like [`run`].
pub fn merge(args: &MergeArgs) -> Result<Merged, CommandError> {
    let (device, _) = device::choose(&args.device)?;
    let scans = || -> Result<Vec<Scan>, models::ModelError> {
        let kind = args.block_axis.map(AxisWord::kind);
        let scans = args.adapter.iter().map(|path| match &args.adapter[..] {
            [_] => open(path, kind),
            // Among several adapters, the flag applies to those that need it.
            _ => open(path, None).or_else(|_| open(path, kind)),
        });
        scans.collect()
    };
    let adapters = scans()?;
    if args.unmerge {
        let mut scanned = args.adapter.iter().zip(&adapters);
        if let Some((path, _)) = scanned.find(|(_, scan)| scan.stands_on_residual()) {
            return Err(CommandError::usage(format!(
                "--unmerge: {} also changes the base weights, so it cannot be unmerged from the merged \
                 model. Convert the adapter before the merge: bone convert --to lora --model BASE",
                path.display()
            )));
        }
    }
    models::companions(&args.model)?;
    let model = models::open(&args.model)?;
    let base = match model.info.stored {
        Some(Dtype::F16) => DType::F16,
        Some(Dtype::BF16) => DType::BF16,
        _ => DType::F32,
    };
    let stored = args.dtype.dtype().unwrap_or(base);

    let base_bytes = model.info.stored_bytes as u64;
    let folder = NewFolder::create(&args.out)?;
    let write = Write::plan(args, folder.path(), model, adapters)?;
    let files = write.shards.len();
    let sizes = write
        .shards
        .iter()
        .map(|file| file.iter().map(Planned::bytes).sum());
    let largest_file = sizes.max().unwrap_or(0);
    let reversal = device::on_device(device.name, true, write)??;
    models::copy_companions(&args.model, folder.path(), Some(stored))?;
    // The merged model uses the prompt format of the last adapter. After an adapter is taken out, the
    // format is unknown.
    let file = folder.path().join(PROMPT_FILE);
    if args.unmerge {
        if file.exists() {
            std::fs::remove_file(&file).map_err(CommandError::io(&file))?;
        }
    } else if let Some(last) = args.adapter.last()
        && let Some(prompt) = adapter::prompt(last)?
    {
        prompt.save(folder.path())?;
    }
    let peak_of_write = peak_resident_bytes();

    // The base stays memory-mapped; only the merged weights need memory.
    if device.name.kind == Kind::Cpu {
        check_weights(base_bytes)?;
    }
    let (with, without) = if args.unmerge {
        (folder.path(), args.model.as_path())
    } else {
        (args.model.as_path(), folder.path())
    };
    let paths = args.adapter.iter().map(PathBuf::as_path);
    let adapted = (with, paths.zip(scans()?).collect());
    let (agreement, good) = check::check(adapted, without, base, stored, device.name)?;
    if !good {
        let fix = if stored == DType::F32 {
            ""
        } else {
            ". Half precision loses the adapter's small changes: merge with --dtype f32, or train longer"
        };
        return Err(CommandError::wrong(format!(
            "the merged model answers differently from the adapted one: {agreement}; nothing was \
             written{fix}"
        )));
    }
    folder.finish()?;
    Ok(Merged {
        agreement,
        files,
        largest_file,
        peak_of_write,
        reversal,
    })
}

/// Units of a size. A unit that ends with another unit's name comes before it.
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

/// Parses a size in bytes, with or without a unit: `5GB`, `500 MiB`, `1000000`.
fn shard_size(text: &str) -> Result<u64, String> {
    let lower = text.to_ascii_lowercase();
    let mut sizes = UNITS.iter().filter_map(|(unit, factor)| {
        let number: f64 = lower.strip_suffix(unit)?.trim_end().parse().ok()?;
        Some(number * factor)
    });
    let bytes = sizes.next().filter(|bytes| (1.0..1e18).contains(bytes));
    let bytes = bytes.map(|bytes| bytes as u64);
    bytes.ok_or_else(|| "must be a size like 5GB or 500MB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shard_sizes_parse_with_units() {
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
