//! Finds the files of a checkpoint: one file, or the shards that its index names.

use crate::wording::joined;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::error::{CheckpointError, FileProblem, Problem};
use super::header::Entries;
use super::{INDEX_FILE, SINGLE_FILE};
use crate::folder::{MAX_JSON_BYTES, read_small};

/// File name of an adapter's weights, which are not a model.
const ADAPTER_FILE: &str = "adapter_model.safetensors";

/// The shards of a checkpoint by file name, each with the tensors that the index places there.
pub(super) type Shards = BTreeMap<String, BTreeSet<String>>;

#[derive(serde::Deserialize)]
struct RawIndex {
    weight_map: Entries<String>,
}

/// Reads `model.safetensors.index.json`; `None` if the file does not exist.
pub(super) fn read(folder: &Path) -> Result<Option<Shards>, CheckpointError> {
    let path = folder.join(INDEX_FILE);
    let bytes =
        read_small(&path, MAX_JSON_BYTES).map_err(|source| CheckpointError::Io { path, source })?;
    let Some(bytes) = bytes else { return Ok(None) };
    parse(&bytes)
        .map(Some)
        .map_err(|problems| CheckpointError::Broken {
            folder: folder.to_owned(),
            problems: problems
                .into_iter()
                .map(|problem| FileProblem {
                    file: INDEX_FILE.to_owned(),
                    problem,
                })
                .collect(),
        })
}

pub(super) fn parse(json: &[u8]) -> Result<Shards, Vec<Problem>> {
    let json_problem = |reason: String| vec![Problem::Json { reason }];
    let index: RawIndex =
        serde_json::from_slice(json).map_err(|error| json_problem(error.to_string()))?;
    if index.weight_map.0.is_empty() {
        return Err(json_problem("its weight_map is empty".to_owned()));
    }
    let mut problems = index.weight_map.duplicates();
    let mut shards = Shards::new();
    let mut refused = BTreeSet::new();
    for (tensor, shard) in index.weight_map.0 {
        if is_shard_name(&shard) {
            shards.entry(shard).or_default().insert(tensor);
        } else if refused.insert(shard.clone()) {
            problems.push(Problem::ShardName { shard });
        }
    }
    if problems.is_empty() {
        Ok(shards)
    } else {
        Err(problems)
    }
}

/// Returns whether `name` is a plain file name on every system. A path on one system may be a name
/// on another, and `C:x` or `x:stream` have a meaning on Windows.
fn is_shard_name(name: &str) -> bool {
    let mut components = Path::new(name).components();
    name.ends_with(".safetensors")
        && !name.contains(['/', '\\', ':'])
        && !name.contains(char::is_control)
        && matches!(
            (components.next(), components.next()),
            (Some(Component::Normal(_)), None)
        )
}

/// Returns the real path of a file of the folder, if it exists, is a file, and does not leave the
/// folder.
///
/// A folder in the Hugging Face cache holds links to `../../blobs`. Only these links may leave the
/// folder.
///
/// # Errors
/// The outer error comes from the file system. The inner one says that the file is missing, is not
/// a regular file, or is a link out of the folder.
pub fn resolve(folder: &Path, name: &str) -> Result<Result<PathBuf, Problem>, std::io::Error> {
    let path = folder.join(name);
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok(Err(Problem::Missing));
        }
        Err(error) => return Err(error),
    };
    let folder = folder.canonicalize()?;
    if !real.is_file() {
        return Ok(Err(Problem::NotAFile));
    }
    let blobs = folder
        .parent()
        .filter(|parent| parent.file_name().is_some_and(|name| name == "snapshots"))
        .and_then(Path::parent)
        .map(|repo| repo.join("blobs"));
    let parent = real.parent();
    if parent == Some(&folder) || (parent.is_some() && parent == blobs.as_deref()) {
        Ok(Ok(real))
    } else {
        Ok(Err(Problem::LeavesFolder))
    }
}

/// Returns the names of all entries of `folder`, sorted.
fn list(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .map(|entries| {
            entries
                .flatten()
                .map(|entry| entry.file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default();
    names.sort_unstable();
    names
}

/// Returns the files that may each be a whole model, in a folder with neither [`SINGLE_FILE`] nor
/// [`INDEX_FILE`]: `.safetensors` files that are not shards, otherwise `.pth` files. Beside a
/// `config.json` only `.pth` files count: Hugging Face uses fixed names for its weights, so another
/// `.safetensors` file there is something else.
pub(super) fn candidates(folder: &Path) -> Vec<String> {
    let names = list(folder);
    let of = |suffix: &str| -> Vec<String> {
        let named = names.iter().filter(|name| name.ends_with(suffix));
        named.cloned().collect()
    };
    let safetensors = of(".safetensors");
    if safetensors.iter().any(|name| name == ADAPTER_FILE) {
        return Vec::new();
    }
    let hugging_face = names.iter().any(|name| name == "config.json");
    match safetensors.is_empty() || hugging_face {
        true => of(".pth"),
        false => safetensors
            .into_iter()
            .filter(|name| !name.contains("-of-"))
            .collect(),
    }
}

/// Returns what to do about a folder without weights, based on its other files.
pub(super) fn hint(folder: &Path) -> String {
    let names = list(folder);
    let of = |suffixes: &[&str]| {
        let found: Vec<_> = names
            .iter()
            .filter(|name| suffixes.iter().any(|suffix| name.ends_with(suffix)))
            .map(String::as_str)
            .collect();
        joined(found, ", ")
    };
    if names.is_empty() {
        return "the folder is empty; download the model into it".to_owned();
    }
    let safetensors = of(&[".safetensors"]);
    if names.iter().any(|name| name == ADAPTER_FILE) {
        return "it is an adapter folder; give the folder of the base model".to_owned();
    }
    if safetensors.contains("-of-") {
        return format!(
            "it has the shards {safetensors}; download {INDEX_FILE} and any missing shards into it"
        );
    }
    if !safetensors.is_empty() {
        return format!(
            "it has {safetensors} and a config.json; rename the weights to {SINGLE_FILE}"
        );
    }
    let pickles = of(&[".bin", ".pt", ".ckpt"]);
    if !pickles.is_empty() {
        return format!(
            "it has {pickles}; give a single torch.save file instead of the folder, or save the \
             model as safetensors (in Python: \
             AutoModelForCausalLM.from_pretrained(FOLDER).save_pretrained(OUT))"
        );
    }
    let gguf = of(&[".gguf"]);
    if !gguf.is_empty() {
        return format!("it has {gguf}; download the model's safetensors files instead");
    }
    "download the model's .safetensors files into it".to_owned()
}
