//! `bone merge`: adapters and base become a model of their own, or are taken apart again.

use crate::error::CommandError;
use crate::output::line;
use bone::saved::Scan;
use bone_data::PROMPT_FILE;
use bone_lm::checkpoint::Dtype;
use bone_train::config::AxisWord;
use bone_train::device::{self, Kind};
use bone_train::memory::{check_weights, human, peak_resident_bytes};
use bone_train::models::adapter::{self, AdapterError, open};
use bone_train::models::{self, NewFolder};
use burn::tensor::DType;
use std::path::PathBuf;

mod agreement;
mod args;
mod check;
mod write;

pub use agreement::Agreement;
pub use args::MergeArgs;
pub use write::Reversal;
use write::Write;

/// What a merge came to.
#[derive(Debug, Clone, Copy)]
pub struct Merged {
    /// How far the two models' logits lie apart.
    pub agreement: Agreement,
    /// Files of weights.
    pub files: usize,
    /// Bytes of tensors of the largest of them.
    pub largest_file: u64,
    /// The most memory that was resident when all had been written.
    pub peak_of_write: u64,
    /// What taking the adapters out lost.
    pub reversal: Option<Reversal>,
}

/// Merges, checks that the merged model says what the adapted one says, and writes it.
///
/// # Errors
///
/// [`CommandError`]; nothing is left behind if the two disagree.
pub fn run(args: &MergeArgs) -> Result<(), CommandError> {
    let merged = merge(args)?;
    line!(
        "wrote {} file(s), the largest {}; peak memory of the write {}",
        merged.files,
        human(merged.largest_file),
        human(merged.peak_of_write)
    );
    if let Some(reversal) = merged.reversal {
        line!("taken out: {reversal}");
    }
    line!(
        "merged against adapted: {} (the check took up to {})",
        merged.agreement,
        human(peak_resident_bytes())
    );
    line!("saved {}", args.out.display());
    Ok(())
}

/// As [`run`], without printing.
///
/// # Errors
///
/// As there.
pub fn merge(args: &MergeArgs) -> Result<Merged, CommandError> {
    let (device, _) = device::choose(&args.device)?;
    let scans = || -> Result<Vec<Scan>, AdapterError> {
        let kind = args.block_axis.map(AxisWord::kind);
        let scans = args.adapter.iter().map(|path| match &args.adapter[..] {
            [_] => open(path, kind),
            // The flag is for those among several that need it.
            _ => open(path, None).or_else(|_| open(path, kind)),
        });
        scans.collect()
    };
    let adapters = scans()?;
    if args.unmerge {
        let mut scanned = args.adapter.iter().zip(&adapters);
        if let Some((path, _)) = scanned.find(|(_, scan)| scan.stands_on_residual()) {
            return Err(CommandError::usage(format!(
                "--unmerge: the factors of {} belong to a residual of the base, which the merged \
                 model does not tell; make a LoRA of them first: bone convert --to lora --model BASE",
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
    let (files, largest_file) = (write.files(), write.largest_file());
    let reversal = device::on_device(device.name, true, write)??;
    models::copy_companions(&args.model, folder.path(), Some(stored))?;
    // The merged model is talked to as the last adapter was; what it is taken out of again, as nobody
    // knows.
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

    // The base stays in its file's pages; the merged weights are new.
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
            ". Half precision keeps too few digits of what the adapter changes: merge with --dtype \
             f32, or train further"
        };
        return Err(CommandError::Wrong(format!(
            "the merged model does not say what the adapted one says: {agreement}; nothing was \
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
