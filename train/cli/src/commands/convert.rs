//! `bone convert`: converts an adapter or an RWKV6 model to another tool's format.

use crate::error::CommandError;
use crate::output::line;
use bone::peft;
use bone::rwkv_peft::{write_pth, write_safetensors};
use bone::saved::{Keep, Lost, SavedAdapter, Scan};
use bone_lm::checkpoint::{save, save_pth};
use bone_train::config::AxisWord;
use bone_train::device::{self, Kind, OnDevice};
use bone_train::models::adapter::{fit, open};
use bone_train::models::{
    self, Architecture, MAX_SHARD_BYTES, ModelBackend, NewFolder, OpenModel, Recognised,
    check_free, copy_companions, own_name, recognise,
};
use burn::tensor::{DType, TensorData};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What to convert, and to what.
#[derive(Debug, clap::Args)]
pub struct ConvertArgs {
    /// Adapter (a folder, or a file of RWKV-PEFT or JL-er/Bone) or RWKV6 model
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Output format
    #[arg(long, value_name = "FORMAT")]
    pub to: Format,
    /// Output: a new folder for peft, lora and a model's safetensors, otherwise a new file
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// Base model, if the conversion needs its sizes or weights
    #[arg(long, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// bone to lora: rank of the LoRA
    #[arg(long, value_name = "R", conflicts_with = "energy", value_parser = clap::value_parser!(u32).range(1..))]
    pub rank: Option<u32>,
    /// bone to lora: fraction of the energy of each change to keep, like 0.99
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub energy: Option<f64>,
    /// Block axis of an adapter file that does not record it: output, input, none (for miss)
    #[arg(long, value_name = "AXIS")]
    pub block_axis: Option<AxisWord>,
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().ok();
    let share = share.filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "must be greater than 0 and at most 1".to_owned())
}

/// What something can be converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// PEFT folder; PEFT cannot load methods that it does not support
    Peft,
    /// LoRA folder, for servers that support LoRA
    Lora,
    /// .pth file with RWKV's tensor names
    RwkvPth,
    /// Safetensors with RWKV's tensor names
    RwkvSafetensors,
}

/// Converts and prints the result.
///
/// # Errors
///
/// [`CommandError`]; then no files are left.
pub fn run(args: &ConvertArgs) -> Result<(), CommandError> {
    if matches!(args.to, Format::Peft | Format::Lora) {
        check_free(&args.out)?;
    } else if args.out.exists() {
        let reason = "already exists; give a new file";
        return Err(CommandError::path(&args.out, reason));
    }
    let adapter = open(&args.path, args.block_axis.map(AxisWord::kind));
    // A path that is not an adapter may be a model.
    if adapter.is_err()
        && let Ok(model) = recognise(&args.path)
    {
        return convert_model(args, model);
    }
    let scan = adapter?;
    // Computes on the CPU if this build includes it.
    let is_there = Kind::Cpu.built_in();
    let (device, _) = device::choose(if is_there { "cpu" } else { "auto" })?;
    let what = device::on_device(device.name, true, ConvertOn { args, scan })??;
    line!("{what}");
    line!("saved {}", args.out.display());
    Ok(())
}

/// Returns the weight of a layer in f32, `[out, in]`.
fn weight(base: &OpenModel, layer: &str) -> Result<TensorData, CommandError> {
    let own = format!("{layer}.weight");
    let mut names = base.checkpoint.tensors().map(|(name, _)| name);
    let name = names.find(|name| own_name(base.info.architecture, name) == own);
    let data = base.checkpoint.data(name.unwrap_or(&own))?;
    Ok(data.convert_dtype(DType::F32))
}

struct ConvertOn<'a> {
    args: &'a ConvertArgs,
    scan: Scan,
}

impl OnDevice for ConvertOn<'_> {
    type Output = Result<String, CommandError>;

    /// Converts an adapter and prints the result.
    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        let Self { args, scan } = self;
        let base = args.model.as_deref().map(models::open).transpose()?;
        let mut saved = match &base {
            Some(base) => fit(scan, &args.path, base)?,
            None => scan.finish()?,
        };
        if saved.stands_on_residual() {
            let why = "its method (pissa or olora) also changes the base weights";
            let base = need(base.as_ref(), why)?;
            saved = saved.on_untouched::<B::InnerBackend, CommandError>(&device, |layer| {
                weight(base, layer)
            })?;
        }
        let config = saved.config.as_ref();
        let kind = config.map_or("initial states", |config| config.variant.name());
        let is_bone = config.is_some_and(|config| !config.variant.is_lora_exactly());
        if (args.rank.is_some() || args.energy.is_some()) && !(is_bone && args.to == Format::Lora) {
            return Err(CommandError::usage(
                "--rank and --energy are only for converting a bone adapter with --to lora; remove them",
            ));
        }
        let mut lost = None;
        match args.to {
            Format::Peft => write_folder(&saved, args)?,
            Format::Lora => {
                saved = if is_bone {
                    let (lora, lacks) =
                        nearest_lora::<B::InnerBackend>(args, &saved, base.as_ref(), &device)?;
                    lost = Some(lacks);
                    lora
                } else {
                    exact_lora(&saved, base.as_ref())?
                };
                write_folder(&saved, args)?;
            }
            Format::RwkvPth => write_pth(&saved, &args.out)?,
            Format::RwkvSafetensors => write_safetensors(&saved, &args.out)?,
        }
        if args.to != Format::Lora {
            let values = bone_data::grouped(saved.num_params());
            return Ok(format!("{kind}: {values} values"));
        }
        let rank = saved.config.map_or(0, |config| config.rank);
        let Some(Lost { overall, worst }) = lost else {
            return Ok(format!(
                "converted {kind} to a LoRA of rank {rank}, without loss"
            ));
        };
        // Rounding may give a negative zero.
        let percent = |share: f64| 100.0 * share.max(0.0);
        let worst = worst.map_or(String::new(), |(layer, lost)| {
            format!(", at worst {:.2} % ({layer})", percent(lost))
        });
        let overall = percent(overall);
        Ok(format!(
            "converted {kind} to a LoRA of rank {rank}: {overall:.2} % of the norm of the weight update \
             is lost{worst}"
        ))
    }
}

/// Writes a folder in PEFT's format. Prints a note if PEFT cannot read it.
fn write_folder(saved: &SavedAdapter, args: &ConvertArgs) -> Result<(), CommandError> {
    let base = args.model.as_ref().map(|path| path.to_string_lossy());
    peft::write(saved, base.as_deref(), &args.out)?;
    if let Some(kind) = peft::own_type(saved) {
        line!("note: PEFT cannot load this folder, because it does not support peft_type {kind}");
    }
    Ok(())
}

fn need<'a>(base: Option<&'a OpenModel>, why: &str) -> Result<&'a OpenModel, CommandError> {
    base.ok_or_else(|| CommandError::usage(format!("--model: missing; {why}")))
}

/// Returns an adapter that is exactly a LoRA in LoRA form.
fn exact_lora(
    saved: &SavedAdapter,
    base: Option<&OpenModel>,
) -> Result<SavedAdapter, CommandError> {
    let config = saved.config.as_ref();
    if config.is_none_or(|config| config.variant.lora().is_some()) {
        return Ok(saved.to_lora(&[])?);
    }
    let base = need(
        base,
        "converting to LoRA needs the input width of every layer",
    )?;
    Ok(saved.to_lora(&base.info.linear_layers)?)
}

/// Returns the LoRA that is nearest to a bone adapter, and its error.
fn nearest_lora<B: bone::Backend>(
    args: &ConvertArgs,
    saved: &SavedAdapter,
    base: Option<&OpenModel>,
    device: &B::Device,
) -> Result<(SavedAdapter, Lost), CommandError> {
    let rank = args.rank.map(|rank| Keep::Rank(rank as usize));
    let keep = rank.or(args.energy.map(Keep::Energy)).ok_or_else(|| {
        CommandError::usage("a bone adapter has no exact LoRA: give `--rank 16` or `--energy 0.99`")
    })?;
    let base = need(base, "converting a bone adapter needs the base weights")?;
    saved.to_nearest_lora(keep, |layer| {
        let weight = weight(base, layer)?;
        let merged = saved
            .merge::<B>(layer, weight.clone(), device)
            .map_err(|error| bone::MergeError::Layers(vec![error]))?;
        let change = merged.iter::<f32>().zip(weight.iter::<f32>());
        let change: Vec<_> = change.map(|(merged, weight)| merged - weight).collect();
        Ok(TensorData::new(change, weight.shape))
    })
}

/// Writes the tensors of a model under RWKV's own names.
fn convert_model(args: &ConvertArgs, mut model: Recognised) -> Result<(), CommandError> {
    let architecture = model.architecture;
    if architecture != Architecture::Rwkv6 {
        return Err(CommandError::usage(format!(
            "--to: {} models exist only in the Hugging Face format; only RWKV6 models can be converted",
            architecture.name()
        )));
    }
    let checkpoint = model.checkpoint()?;
    let tensors = checkpoint.tensors();
    let tensors =
        tensors.map(|(name, _)| Ok((own_name(architecture, name), checkpoint.data(name)?)));
    match args.to {
        Format::Peft | Format::Lora => {
            return Err(CommandError::usage(
                "--to: this is a model, not an adapter; choose rwkv-pth or rwkv-safetensors",
            ));
        }
        Format::RwkvPth => {
            let tensors = tensors.collect::<Result<_, CommandError>>()?;
            save_pth(&args.out, &tensors)?;
        }
        Format::RwkvSafetensors if args.out.extension().is_some_and(|e| e == "safetensors") => {
            return Err(CommandError::usage(format!(
                "--out: {} must be a folder, for weights and tokenizer; remove .safetensors from its name",
                args.out.display()
            )));
        }
        Format::RwkvSafetensors => {
            let folder = NewFolder::create(&args.out)?;
            let tensors = tensors.collect::<Result<Vec<_>, CommandError>>()?;
            save(folder.path(), tensors, MAX_SHARD_BYTES, BTreeMap::new())?;
            copy_companions(&args.path, folder.path(), None)?;
            folder.finish()?;
        }
    }
    line!("RWKV6 with RWKV's own tensor names");
    line!("saved {}", args.out.display());
    Ok(())
}
