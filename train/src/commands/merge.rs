//! `bone merge`: adapter and base become a model of their own.

use super::CommandError;
use super::adapter::{find, load};
use crate::agreement::{self, Agreement};
use crate::config::DtypeChoice;
use crate::device::{self, Kind, OnDevice};
use crate::memory::check_weights;
use crate::models::{
    ModelBackend, ModelSource, WithModel, check_free, inspect, save_folder, with_model,
};
use crate::step::{TrainBackend, TrainModel};
use bone::weights;
use bone_lm::checkpoint::Dtype;
use burn::tensor::{DType, FloatDType};
use std::path::{Path, PathBuf};

/// What to merge.
#[derive(Debug, clap::Args)]
pub struct MergeArgs {
    /// The base model: a Hugging Face folder, or RWKV's .pth or .safetensors
    #[arg(long, value_name = "DIR|FILE")]
    pub model: PathBuf,
    /// The adapter's folder, or the --out of a training run
    #[arg(long, value_name = "DIR")]
    pub adapter: PathBuf,
    /// Folder for the merged model; it must be new or empty
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Precision of the merged weights: auto for the base's, f32, bf16, f16
    #[arg(long, value_name = "NAME", default_value_t = DtypeChoice::Auto)]
    pub dtype: DtypeChoice,
    /// What to run on; `bone devices` lists it
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
}

/// Merges, checks that the merged model says what the adapted one says, and writes it.
///
/// # Errors
///
/// [`CommandError`]; nothing is written if the two disagree.
pub fn run(args: &MergeArgs) -> Result<(), CommandError> {
    let agreement = merge(
        &args.model,
        &args.adapter,
        &args.out,
        args.dtype,
        &args.device,
    )?;
    println!("merged against adapted: {agreement}");
    println!("saved {}", args.out.display());
    Ok(())
}

/// As [`run`], without printing.
///
/// # Errors
///
/// As there.
pub fn merge(
    model: &Path,
    adapter: &Path,
    out: &Path,
    dtype: DtypeChoice,
    device: &str,
) -> Result<Agreement, CommandError> {
    let (device, _) = device::choose(device)?;
    let adapter = find(adapter)?;
    check_free(out)?;
    let info = inspect(model, true)?;
    // The base stays in its file's pages; the merged weights are new.
    if device.name.kind == Kind::Cpu {
        check_weights(info.stored_bytes as u64)?;
    }
    let base = match info.stored {
        Some(Dtype::F16) => DType::F16,
        Some(Dtype::BF16) => DType::BF16,
        _ => DType::F32,
    };
    let chosen = dtype.dtype();
    let stored = chosen.unwrap_or(base);
    let source = ModelSource {
        folder: model.to_path_buf(),
        // The sum is rounded once, to what is written.
        dtype: (stored != base).then_some(FloatDType::F32),
        random: None,
    };
    device::on_device(
        device.name,
        true,
        MergeOn {
            source: &source,
            adapter: &adapter,
            out,
            stored,
            chosen,
        },
    )?
}

#[derive(Clone, Copy)]
struct MergeOn<'a> {
    source: &'a ModelSource,
    adapter: &'a Path,
    out: &'a Path,
    /// What most weights are written in.
    stored: DType,
    /// What all of them are, where it was asked for.
    chosen: Option<DType>,
}

impl OnDevice for MergeOn<'_> {
    type Output = Result<Agreement, CommandError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        let work = MergeModel::<B> {
            task: self,
            device: device.clone(),
        };
        with_model::<B, _>(self.source, &device, work)?
    }
}

struct MergeModel<'a, B: TrainBackend> {
    task: MergeOn<'a>,
    device: B::Device,
}

impl<B: TrainBackend> WithModel<B> for MergeModel<'_, B> {
    type Output = Result<Agreement, CommandError>;

    fn run<M: TrainModel<B>>(self, model: M) -> Self::Output {
        let mut dtypes = weights::dtypes::<B, M>(&model);
        if let Some(chosen) = self.task.chosen {
            dtypes.values_mut().for_each(|dtype| *dtype = chosen);
        }
        let (adapted, contents) = load::<B, M>(model, self.task.adapter)?;
        let merged = match contents.adapter {
            Some(_) => bone::merge::<B, M>(adapted.clone())?,
            None => adapted.clone(),
        };
        // Values trained in f32 take the base's precision; a state, which the base has none of,
        // keeps its own.
        let merged = weights::cast_to::<B, M>(merged, &dtypes)?;
        let (adapted, merged) = (adapted.valid(), merged.valid());
        let agreement = agreement::compare(&adapted, &merged, &self.device);
        let stored = self.task.stored;
        let noise = || agreement::rounding_noise(&adapted, &contents.full, stored, &self.device);
        if !agreement.is_good(stored, noise) {
            let fix = match stored {
                DType::F32 => "",
                _ => {
                    ". Half precision keeps too few digits of what the adapter changes: merge with \
                     --dtype f32, or train further"
                }
            };
            return Err(CommandError::Disagreement(format!(
                "the merged model does not say what the adapted one says: {agreement}; nothing was \
                 written{fix}"
            )));
        }
        save_folder(&merged, &self.task.source.folder, self.task.out)?;
        Ok(agreement)
    }
}
