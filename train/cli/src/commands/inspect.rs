//! `bone inspect`: shows what a file or folder is.

use crate::error::CommandError;
use crate::output::line;
use bone::saved::{SavedAdapter, Scan};
use bone::{Selection, without_numbers};
use bone_data::grouped;
use bone_files::wording::joined;
use bone_lm::checkpoint::{Checkpoint, burn_dtype};
use bone_train::config::AxisWord;
use bone_train::models::adapter::{fit, open, tensors};
use bone_train::models::{self, OpenModel, recognise};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What to look at.
#[derive(Debug, clap::Args)]
pub struct InspectArgs {
    /// Adapter or model: a folder or a file of weights
    #[arg(value_name = "PATH")]
    pub path: PathBuf,
    /// Check that the adapter fits this model
    #[arg(long, value_name = "DIR|FILE")]
    pub model: Option<PathBuf>,
    /// List every tensor
    #[arg(long)]
    pub tensors: bool,
    /// Block axis of an adapter file that does not record it: output, input, none (for miss)
    #[arg(long, value_name = "AXIS")]
    pub block_axis: Option<AxisWord>,
}

/// Prints the kind of the file, its tensors, and whether a value is not finite.
///
/// # Errors
///
/// [`CommandError`]. For an unusable file, all known facts are printed before the error.
pub fn run(args: &InspectArgs) -> Result<(), CommandError> {
    let kind = args.block_axis.map(AxisWord::kind);
    let adapter = open(&args.path, kind);
    // A path that is not an adapter may be a model.
    if adapter.is_err()
        && let Ok(known) = recognise(&args.path)
    {
        return print_model(args, &known.open()?);
    }
    print_adapter(args, adapter?)
}

fn print_adapter(args: &InspectArgs, scan: Scan) -> Result<(), CommandError> {
    let file = tensors(&args.path)?;
    let contents = scan.contents();
    let trained = contents.full.len();
    match &contents.adapter {
        Some(config) => {
            line!("adapter: {}, rank {}", config.variant, config.rank);
            if config.dropout > 0.0 {
                line!("dropout: {}", config.dropout);
            }
            line!("targets: {}", selected(&config.targets.modules));
            if let Some(exclude) = &config.targets.exclude {
                line!("excluded: {}", selected(exclude));
            }
            if let Some(layers) = &config.targets.layers {
                line!("layers: {layers:?}");
            }
            if trained > 0 {
                line!("also contains {trained} parameters trained in full");
            }
        }
        None => line!("initial states of an RWKV6 model: {trained}"),
    }
    let finite = print_tensors(&file, args.tensors);
    let saved = match &args.model {
        Some(path) => {
            let saved = fit(scan, &args.path, &models::open(path)?)?;
            line!("fits {}: yes", path.display());
            saved
        }
        None => scan.finish()?,
    };
    print_shape(&saved);
    finite
}

/// Prints the model's sizes, as far as the adapter shows them.
fn print_shape(saved: &SavedAdapter) {
    let names: BTreeSet<_> = saved.layers.keys().chain(saved.full.keys()).collect();
    let blocks: BTreeSet<usize> = names
        .iter()
        .filter_map(|name| name.split('.').find_map(|part| part.parse().ok()))
        .collect();
    line!(
        "size: {} adapted layers in {} blocks, {} parameters",
        saved.layers.len(),
        blocks.len(),
        grouped(saved.num_params())
    );
    let sizes = widths(saved);
    if !sizes.is_empty() {
        line!("  layers: {}", Vec::from_iter(sizes).join(", "));
    }
}

/// Returns the layer widths that an adapter shows, each kind once.
fn widths(saved: &SavedAdapter) -> BTreeSet<String> {
    let layers = saved.layers.iter();
    let widths = layers.filter_map(|(layer, tensors)| {
        let sizes: Vec<_> = tensors.iter().map(|data| data.shape.to_vec()).collect();
        let width = match saved.config.as_ref()?.variant.widths(&sizes) {
            [Some(inputs), Some(outputs)] => format!("{inputs} -> {outputs}"),
            [Some(inputs), None] => format!("{inputs} inputs"),
            [None, Some(outputs)] => format!("{outputs} outputs"),
            [None, None] => return None,
        };
        let kind = layer.rsplit('.').next().unwrap_or(layer);
        Some(format!("{kind} {width}"))
    });
    widths.collect()
}

fn selected(selection: &Selection) -> String {
    match selection {
        Selection::AllLinear => "all-linear".into(),
        Selection::Names(names) if names.len() > 16 => {
            format!("{} layers, listed by name", names.len())
        }
        Selection::Names(names) => names.join(", "),
        Selection::Regex(pattern) => format!("/{pattern}/"),
    }
}

fn print_model(args: &InspectArgs, model: &OpenModel) -> Result<(), CommandError> {
    if args.model.is_some() {
        return Err(CommandError::usage(
            "--model: only checks an adapter, but PATH is a model; remove --model",
        ));
    }
    let (info, checkpoint) = (&model.info, &model.checkpoint);
    let shape = &info.shape;
    line!(
        "model: {} with {} parameters: {} blocks, hidden size {}, intermediate size {}, vocabulary of {} \
         tokens",
        info.architecture.name(),
        grouped(shape.parameters),
        shape.num_layers,
        shape.hidden_size,
        shape.intermediate_size,
        shape.vocab_size
    );
    line!("files: {}", checkpoint.files().len());
    let finite = print_tensors(checkpoint, args.tensors);
    let parameters = model.parameters();
    let weights = info.linear_layers.iter();
    let weights = weights.map(|(path, ..)| format!("{path}.weight"));
    let missing: Vec<_> = weights
        .filter(|name| !parameters.contains_key(name))
        .collect();
    if !missing.is_empty() {
        let reason = format!("is incomplete: {} missing", joined(missing, ", "));
        return Err(CommandError::path(&args.path, reason));
    }
    finite
}

/// Prints the tensors and groups similar ones. An error names those with non-finite values.
fn print_tensors(file: &Checkpoint, each: bool) -> Result<(), CommandError> {
    let (mut groups, mut broken) = (BTreeMap::<String, usize>::new(), Vec::new());
    for (name, info) in file.tensors() {
        let shown = if each {
            name.to_owned()
        } else {
            without_numbers(name)
        };
        let line = format!("{shown}  {} {:?}", info.dtype, info.shape);
        *groups.entry(line).or_default() += 1;
        if !burn_dtype(info.dtype).is_some_and(|dtype| dtype.is_float()) {
            continue;
        }
        let data = file.data(name)?;
        let bad = data.iter::<f64>().filter(|value| !value.is_finite());
        let bad = bad.count();
        if bad > 0 {
            broken.push(format!("{name} ({bad} of {})", data.num_elements()));
        }
    }
    line!("tensors: {}", groups.values().sum::<usize>());
    for (line, count) in groups {
        let times = if count > 1 {
            format!("  x{count}")
        } else {
            String::new()
        };
        line!("  {line}{times}");
    }
    if broken.is_empty() {
        line!("all values are finite");
        return Ok(());
    }
    let reason = format!("has values that are not finite: {}", joined(broken, ", "));
    let path = file.files().first().cloned().unwrap_or_default();
    Err(CommandError::path(path, reason))
}
