//! `bone convert`: an adapter, or an RWKV6 model, in another tool's form.

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
use std::path::{Path, PathBuf};

/// What to convert, and to what.
#[derive(Debug, clap::Args)]
pub struct ConvertArgs {
    /// An adapter (a folder of PEFT's or ours, a file of RWKV-PEFT's or JL-er's), or an RWKV6 model
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// What to make of it
    #[arg(long, value_name = "FORMAT")]
    pub to: Format,
    /// What to make: a new folder for peft and lora, and for a model's safetensors; else a new file
    #[arg(long, value_name = "PATH")]
    pub out: PathBuf,
    /// The base model, where the conversion needs its sizes or weights
    #[arg(long, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// bone to lora: how many directions of each change to keep
    #[arg(long, value_name = "R", conflicts_with = "energy")]
    pub rank: Option<usize>,
    /// bone to lora: the share of each change's energy to keep, like 0.99
    #[arg(long, value_name = "SHARE")]
    pub energy: Option<f64>,
    /// Axis of bone's blocks in a file that does not say it: output, input, or none for miss
    #[arg(long, value_name = "AXIS")]
    pub block_axis: Option<AxisWord>,
}

/// What something can be converted to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A folder that PEFT reads; of what PEFT does not have, a folder that it refuses by name
    Peft,
    /// A folder that everything reads that serves LoRA, if nothing was trained whole beside it
    Lora,
    /// A file by torch.save, with RWKV's names
    RwkvPth,
    /// Safetensors with RWKV's names
    RwkvSafetensors,
}

/// Converts and says what it came to.
///
/// # Errors
///
/// [`CommandError`]; nothing is left behind.
pub fn run(args: &ConvertArgs) -> Result<(), CommandError> {
    check_new(&args.out, args.to)?;
    let adapter = open(&args.path, args.block_axis.map(AxisWord::kind));
    let scan = match adapter {
        Ok(scan) => scan,
        Err(error) => {
            // What is no adapter may be a model.
            return match recognise(&args.path) {
                Ok(model) => convert_model(args, model),
                Err(_) => Err(error.into()),
            };
        }
    };
    // What there is to compute is the processor's where it can be.
    let device = if Kind::Cpu.built_in() {
        Kind::Cpu.name()
    } else {
        "auto"
    };
    let (device, _) = device::choose(device)?;
    let what = device::on_device(device.name, true, ConvertOn { args, scan })??;
    line!("{what}");
    line!("saved {}", args.out.display());
    Ok(())
}

fn check_new(out: &Path, to: Format) -> Result<(), CommandError> {
    match to {
        Format::Peft | Format::Lora => Ok(check_free(out)?),
        Format::RwkvPth | Format::RwkvSafetensors if out.exists() => {
            Err(CommandError::path(out, "is there already; name a new file"))
        }
        Format::RwkvPth | Format::RwkvSafetensors => Ok(()),
    }
}

/// The model that an adapter belongs to.
struct Base {
    model: OpenModel,
    /// What the checkpoint calls the weight of each layer.
    weights: BTreeMap<String, String>,
}

impl Base {
    fn open(path: &Path, adapter: &Path, scan: Scan) -> Result<(Self, SavedAdapter), CommandError> {
        let model = models::open(path)?;
        let saved = fit(scan, adapter, &model)?;
        let names = model.checkpoint.tensors().map(|(name, _)| name.to_owned());
        let weights = names.filter_map(|name| {
            let own = own_name(model.info.architecture, &name);
            Some((own.strip_suffix(".weight")?.to_owned(), name))
        });
        let weights = weights.collect();
        Ok((Self { model, weights }, saved))
    }

    /// A layer's weight in f32, `[out, in]`.
    fn weight(&self, layer: &str) -> Result<TensorData, CommandError> {
        let name = self.weights.get(layer).map_or(layer, String::as_str);
        let data = self.model.checkpoint.data(name)?;
        Ok(data.convert_dtype(DType::F32))
    }
}

struct ConvertOn<'a> {
    args: &'a ConvertArgs,
    scan: Scan,
}

impl OnDevice for ConvertOn<'_> {
    type Output = Result<String, CommandError>;

    fn run<B: ModelBackend>(self, device: B::Device) -> Self::Output {
        convert_adapter::<B::InnerBackend>(self.args, self.scan, &device)
    }
}

fn convert_adapter<B: bone::Backend>(
    args: &ConvertArgs,
    scan: Scan,
    device: &B::Device,
) -> Result<String, CommandError> {
    let (base, mut saved) = match &args.model {
        Some(path) => {
            let (base, saved) = Base::open(path, &args.path, scan)?;
            (Some(base), saved)
        }
        None => (None, scan.finish()?),
    };
    if saved.stands_on_residual() {
        let base = need(
            base.as_ref(),
            "its factors belong to a residual of the model's weights",
        )?;
        saved = saved.on_untouched::<B, CommandError>(device, |layer| base.weight(layer))?;
    }
    let kind = saved
        .contents()
        .adapter
        .map_or("tuned states", |config| config.variant.name());
    if args.to != Format::Lora && (args.rank.is_some() || args.energy.is_some()) {
        return Err(CommandError::usage(
            "--rank and --energy say how much of bone a LoRA keeps; they go with --to lora",
        ));
    }
    let name = args.model.as_ref().map(|path| path.to_string_lossy());
    match args.to {
        Format::Peft => write_folder(&saved, name.as_deref(), &args.out)?,
        Format::Lora => {
            let (lora, lost) = to_lora::<B>(args, &saved, base.as_ref(), device)?;
            write_folder(&lora, name.as_deref(), &args.out)?;
            let rank = lora.contents().adapter.map_or(0, |config| config.rank);
            return Ok(match lost {
                None => format!("{kind} as a LoRA of rank {rank}, exactly"),
                Some(Lost { overall, worst }) => {
                    let worst = worst.map_or(String::new(), |(layer, lost)| {
                        format!(", {:.2} % at worst ({layer})", percent(lost))
                    });
                    format!(
                        "{kind} as a LoRA of rank {rank}: {:.2} % of the change's norm is \
                         lost{worst}",
                        percent(overall)
                    )
                }
            });
        }
        Format::RwkvPth => write_pth(&saved, &args.out)?,
        Format::RwkvSafetensors => write_safetensors(&saved, &args.out)?,
    }
    Ok(format!(
        "{kind}: {} values",
        bone_data::grouped(saved.num_params())
    ))
}

/// Writes PEFT's folder, and says so where PEFT will not read it.
fn write_folder(saved: &SavedAdapter, base: Option<&str>, out: &Path) -> Result<(), CommandError> {
    peft::write(saved, base, out)?;
    if let Some(kind) = peft::own_type(saved) {
        line!("its peft_type is {kind}: PEFT has no room for this, and refuses the folder");
    }
    Ok(())
}

/// A share in percent, without a sign where rounding left one.
fn percent(share: f64) -> f64 {
    100.0 * share.max(0.0)
}

fn need<'a>(base: Option<&'a Base>, why: &str) -> Result<&'a Base, CommandError> {
    base.ok_or_else(|| CommandError::usage(format!("--model: missing; {why}")))
}

fn to_lora<B: bone::Backend>(
    args: &ConvertArgs,
    saved: &SavedAdapter,
    base: Option<&Base>,
    device: &B::Device,
) -> Result<(SavedAdapter, Option<Lost>), CommandError> {
    let contents = saved.contents();
    let variant = contents.adapter.as_ref().map(|config| config.variant);
    if variant.is_none_or(|variant| variant.is_lora_exactly()) {
        if args.rank.is_some() || args.energy.is_some() {
            return Err(CommandError::usage(
                "--rank and --energy are for bone; everything else becomes a LoRA exactly",
            ));
        }
        let layers = if variant.is_none_or(|variant| variant.lora().is_some()) {
            &[][..]
        } else {
            let base = need(base, "a LoRA needs the inputs of every layer")?;
            &base.model.info.linear_layers
        };
        return Ok((saved.to_lora(layers)?, None));
    }
    let keep = match (args.rank, args.energy) {
        (Some(0), _) => return Err(CommandError::usage("--rank: must be at least 1")),
        (Some(rank), _) => Keep::Rank(rank),
        (None, Some(share)) if share > 0.0 && share <= 1.0 => Keep::Energy(share),
        (None, Some(share)) => {
            let message = format!("--energy: {share} is no share above 0 and at most 1");
            return Err(CommandError::usage(message));
        }
        (None, None) => {
            return Err(CommandError::usage(
                "--rank or --energy: missing; bone is no LoRA, say how much of it to keep",
            ));
        }
    };
    let base = need(base, "bone changes a weight by the weight itself")?;
    let (lora, lost) = saved.to_nearest_lora(keep, |layer| -> Result<_, CommandError> {
        let weight = base.weight(layer)?;
        let merged = saved
            .merge::<B>(layer, weight.clone(), device)
            .map_err(|error| bone::MergeError::Layers(vec![error]))?;
        let change = merged
            .iter::<f32>()
            .zip(weight.iter::<f32>())
            .map(|(m, w)| m - w);
        Ok(TensorData::new(change.collect::<Vec<_>>(), weight.shape))
    })?;
    Ok((lora, Some(lost)))
}

/// The tensors of a model under RWKV's own names.
fn convert_model(args: &ConvertArgs, mut model: Recognised) -> Result<(), CommandError> {
    let architecture = model.architecture;
    if architecture != Architecture::Rwkv6 {
        return Err(CommandError::usage(format!(
            "--to: a {} model has one form, that of Hugging Face; RWKV6's have names of RWKV's own",
            architecture.name()
        )));
    }
    let checkpoint = model.checkpoint()?;
    let tensors = || {
        checkpoint
            .tensors()
            .map(|(name, _)| Ok((own_name(architecture, name), checkpoint.data(name)?)))
    };
    match args.to {
        Format::Peft | Format::Lora => {
            return Err(CommandError::usage(
                "--to: this is a model and no adapter; convert it to rwkv-pth or rwkv-safetensors",
            ));
        }
        Format::RwkvPth => {
            let tensors: BTreeMap<_, _> = tensors().collect::<Result<_, CommandError>>()?;
            save_pth(&args.out, &tensors)?;
        }
        Format::RwkvSafetensors if args.out.extension().is_some_and(|e| e == "safetensors") => {
            return Err(CommandError::usage(format!(
                "--out: {} is to be a folder, of weights and tokenizer; name it without .safetensors",
                args.out.display()
            )));
        }
        Format::RwkvSafetensors => {
            let folder = NewFolder::create(&args.out)?;
            let tensors: Vec<_> = tensors().collect::<Result<_, CommandError>>()?;
            save(folder.path(), tensors, MAX_SHARD_BYTES, BTreeMap::new())?;
            copy_companions(&args.path, folder.path(), None)?;
            folder.finish()?;
        }
    }
    line!("RWKV6 under RWKV's own names");
    line!("saved {}", args.out.display());
    Ok(())
}
