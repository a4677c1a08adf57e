//! Finding the splits of a folder by file names.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use regex::Regex;

use crate::DataError;
use bone_files::wording::joined;

/// The subfolder where hubs keep the files.
const DATA: &str = "data";
/// The default split of a folder.
const TRAIN: &str = "train";
/// Other files with such names in data set folders.
const NOT_DATA: [&str; 4] = ["dataset_info", "dataset_infos", "dataset_dict", "state"];

/// A data file's name: the stem, and the extension from the first dot on.
static DATA_FILE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^([^.].*?)(\.(?:jsonl|json|parquet)(?:\.gz|\.zst)?)$").ok());
/// The stem of a file in a numbered set. Older hubs append a hash.
static NUMBERED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^(.+)-([0-9]{5})-of-([0-9]{5})(?:-[0-9a-fA-F]+)?$").ok());

/// Returns the files that `path` stands for.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Ok(vec![path.to_owned()]),
        Ok(_) => of_folder(path),
        Err(error) if error.kind() == ErrorKind::NotFound => of_split(path),
        Err(error) => Err(DataError::io(path)(error)),
    }
}

fn of_folder(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut splits = splits(path)?;
    if let Some(train) = splits.remove(TRAIN) {
        return whole_set(&path.join(TRAIN), train);
    }
    if splits.len() > 1 {
        let there = there(splits.keys().map(|split| path.join(split)));
        return Err(DataError::unusable(
            path,
            format!("the folder has several splits{there}"),
        ));
    }
    match splits.pop_first() {
        Some((split, found)) => whole_set(&path.join(split), found),
        None => {
            let there = there(folders_with_data(path));
            let what = format!(
                "the folder has no data file (.json, .jsonl or .parquet, also with .gz or .zst){there}"
            );
            Err(DataError::unusable(path, what))
        }
    }
}

/// Returns the files of `FOLDER/SPLIT` if this path does not exist itself.
fn of_split(path: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut splits = match folder_of(path) {
        Some(folder) if folder.is_dir() => splits(folder)?,
        _ => BTreeMap::new(),
    };
    let split = path.file_name().and_then(|name| name.to_str());
    if let Some(found) = split.and_then(|split| splits.remove(split)) {
        return whole_set(path, found);
    }
    let mut near = beside(path);
    near.extend(splits.keys().map(|split| path.with_file_name(split)));
    let what = format!("file not found{}", there(near));
    Err(DataError::unusable(path, what))
}

/// Returns alternatives to a missing path: a binidx of that name, which RWKV's trainers name without its
/// extension, and the split in neighbouring folders, where hubs keep the parts of a set.
fn beside(path: &Path) -> Vec<PathBuf> {
    let mut index = path.as_os_str().to_owned();
    index.push(".idx");
    let mut near = vec![PathBuf::from(index)];
    near.retain(|index| index.is_file());
    let Some(split) = path.file_name().and_then(|name| name.to_str()) else {
        return near;
    };
    let folders = folder_of(path).map(folders_with_data).unwrap_or_default();
    let with_split = folders
        .into_iter()
        .filter(|folder| splits(folder).is_ok_and(|splits| splits.contains_key(split)));
    near.extend(with_split.map(|folder| folder.join(split)));
    near
}

/// Returns a text that lists the alternatives to a missing path.
fn there(paths: impl IntoIterator<Item = PathBuf>) -> String {
    let paths: Vec<_> = paths.into_iter().map(|p| p.display().to_string()).collect();
    match paths.as_slice() {
        [] => String::new(),
        [one] => format!("; found {one}"),
        _ => format!("; choose one of {}", joined(&paths, ", ")),
    }
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().map(|parent| match parent.as_os_str() {
        name if name.is_empty() => Path::new("."),
        _ => parent,
    })
}

/// A data file, described by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// Number of the file in its set, and size of the set.
    shard: Option<(u64, u64)>,
    path: PathBuf,
    /// The extension of its name, from the first dot on.
    ending: String,
}

impl Found {
    /// Returns a file's split and the file, if it is a data file.
    fn of(path: PathBuf) -> Option<(String, Self)> {
        let name = DATA_FILE.as_ref()?.captures(path.file_name()?.to_str()?)?;
        let (_, [stem, ending]) = name.extract();
        let (split, shard) = numbered(stem).unwrap_or((stem, None));
        let split = (!NOT_DATA.contains(&split)).then(|| split.to_owned())?;
        let ending = ending.to_owned();
        let found = Self {
            shard,
            path,
            ending,
        };
        Some((split, found))
    }
}

/// Splits a stem like `SPLIT-00000-of-00002` into the split, the number and the total.
fn numbered(stem: &str) -> Option<(&str, Option<(u64, u64)>)> {
    let (_, [split, index, count]) = NUMBERED.as_ref()?.captures(stem)?.extract();
    let (index, count) = (index.parse().ok()?, count.parse().ok()?);
    (index < count).then_some((split, Some((index, count))))
}

/// Returns all data files of `folder` and its `data` subfolder, by split.
fn splits(folder: &Path) -> Result<BTreeMap<String, Vec<Found>>, DataError> {
    let mut splits = BTreeMap::<_, Vec<_>>::new();
    let data = folder.join(DATA);
    let within = data.is_dir().then_some(data.as_path());
    for folder in [Some(folder), within].into_iter().flatten() {
        for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
            let path = entry.map_err(DataError::io(folder))?.path();
            if let Some((split, found)) = Found::of(path)
                && found.path.is_file()
            {
                splits.entry(split).or_default().push(found);
            }
        }
    }
    Ok(splits)
}

/// Returns the folders in `folder` that have data files.
fn folders_with_data(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && splits(path).is_ok_and(|splits| !splits.is_empty()))
        .collect();
    folders.sort_unstable();
    folders
}

/// Returns the paths of a split's files, if they are one file or one complete numbered set.
fn whole_set(split: &Path, mut found: Vec<Found>) -> Result<Vec<PathBuf>, DataError> {
    found.sort_unstable();
    let mut sets = BTreeMap::<_, Vec<Found>>::new();
    for file in found {
        let folder = file.path.parent().map(Path::to_owned);
        let count = file.shard.map(|(_, count)| count);
        let key = (folder, file.ending.clone(), count);
        sets.entry(key).or_default().push(file);
    }
    let mut sets: Vec<_> = sets.into_values().collect();
    if let [set] = sets.as_slice()
        && set.is_sorted_by(|one, next| one.shard < next.shard)
    {
        check_complete(split, set)?;
        return Ok(sets.remove(0).into_iter().map(|file| file.path).collect());
    }
    let sets: Vec<_> = sets.iter().flat_map(|set| describe(set)).collect();
    let what = format!(
        "the split has several copies, {}: choose one of the files",
        joined(sets, " and as ")
    );
    Err(DataError::unusable(split, what))
}

/// Describes a set by its first file and its size, or lists files that are the same part.
fn describe(set: &[Found]) -> Vec<String> {
    let shown = |file: &Found| file.path.display().to_string();
    let twice = set.windows(2).filter(|pair| pair[0].shard == pair[1].shard);
    let twice: Vec<_> = twice.flat_map(|pair| pair.iter().map(shown)).collect();
    match set {
        _ if !twice.is_empty() => twice,
        [] => Vec::new(),
        [one] => vec![shown(one)],
        [first, rest @ ..] => vec![format!("{} and {} more", shown(first), rest.len())],
    }
}

/// Checks that every file of a numbered set exists.
fn check_complete(split: &Path, set: &[Found]) -> Result<(), DataError> {
    let Some((file, (_, total))) = set.first().and_then(|file| Some((file, file.shard?))) else {
        return Ok(());
    };
    let name = split.file_name().unwrap_or_default().to_string_lossy();
    let missing: Vec<_> = (0..total)
        .filter(|index| {
            let shard = Some((*index, total));
            set.binary_search_by_key(&shard, |file| file.shard).is_err()
        })
        .map(|index| format!("{name}-{index:05}-of-{total:05}{}", file.ending))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    let what = format!(
        "{} of {total} files of the split are missing: {}",
        missing.len(),
        joined(&missing, ", ")
    );
    Err(DataError::unusable(split, what))
}
