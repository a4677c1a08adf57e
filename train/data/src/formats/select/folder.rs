//! Splits of a folder, by the names of its files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::SourceError;

/// The folder within a folder where hubs keep the files.
const DATA: &str = "data";
/// The split that a folder stands for.
const TRAIN: &str = "train";
/// What else has such names in folders of data sets.
const NOT_DATA: [&str; 4] = ["dataset_info", "dataset_infos", "dataset_dict", "state"];

/// The files that `path` stands for.
pub(super) fn files(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    match fs::metadata(path) {
        Ok(found) if !found.is_dir() => Ok(vec![path.to_owned()]),
        Ok(_) => of_folder(path),
        Err(error) => of_split(path, error),
    }
}

fn of_folder(path: &Path) -> Result<Vec<PathBuf>, SourceError> {
    let mut splits = splits(path)?;
    if let Some(train) = splits.remove(TRAIN) {
        return whole_set(&path.join(TRAIN), train);
    }
    match splits.pop_first() {
        None => Err(SourceError::NoData {
            path: path.to_owned(),
            splits: folders_with_data(path),
        }),
        Some((split, found)) if splits.is_empty() => whole_set(&path.join(split), found),
        Some((first, _)) => Err(SourceError::ManySplits {
            path: path.to_owned(),
            splits: [first]
                .iter()
                .chain(splits.keys())
                .map(|split| path.join(split))
                .collect(),
        }),
    }
}

/// The files of `FOLDER/SPLIT`, which is not there itself.
fn of_split(path: &Path, error: io::Error) -> Result<Vec<PathBuf>, SourceError> {
    if error.kind() != io::ErrorKind::NotFound {
        return Err(SourceError::io(path, error));
    }
    let mut splits = match folder_of(path) {
        Some(folder) if folder.is_dir() => splits(folder)?,
        _ => BTreeMap::new(),
    };
    let split = path.file_name().and_then(|name| name.to_str());
    match split.and_then(|split| splits.remove(split)) {
        Some(found) => whole_set(path, found),
        None => {
            let mut near = beside(path);
            near.extend(splits.keys().map(|split| path.with_file_name(split)));
            Err(SourceError::NotFound {
                path: path.to_owned(),
                splits: near,
            })
        }
    }
}

/// What is near a path that is not there: a binidx of that name, which RWKV's trainers take
/// without its ending, and the split in folders next to it, where hubs put a set's parts.
fn beside(path: &Path) -> Vec<PathBuf> {
    let mut name = path.as_os_str().to_owned();
    name.push(".idx");
    let index = Some(PathBuf::from(name)).filter(|index| index.is_file());
    let split = path.file_name().and_then(|name| name.to_str());
    let folders = folder_of(path).map(folders_with_data).unwrap_or_default();
    let has_split = |folder: &PathBuf| {
        let splits = splits(folder).unwrap_or_default();
        split.is_some_and(|split| splits.contains_key(split))
    };
    let there = folders.into_iter().filter(has_split);
    let splits = there.map(|folder| folder.join(split.unwrap_or_default()));
    index.into_iter().chain(splits).collect()
}

fn folder_of(path: &Path) -> Option<&Path> {
    path.parent().map(|parent| match parent.as_os_str() {
        name if name.is_empty() => Path::new("."),
        _ => parent,
    })
}

/// A data file, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    /// Number of the file in its set, and how many there are.
    shard: Option<(u64, u64)>,
    path: PathBuf,
    /// What its name ends with, from the first point of that on.
    ending: String,
}

impl Found {
    /// A file's split, and the file, where it is a data file.
    fn of(path: PathBuf) -> Option<(String, Self)> {
        let name = path.file_name()?.to_str()?;
        let bare = [".gz", ".zst"]
            .iter()
            .find_map(|ending| name.strip_suffix(ending))
            .unwrap_or(name);
        let stem = [".jsonl", ".json", ".parquet"]
            .iter()
            .find_map(|ending| bare.strip_suffix(ending))
            .filter(|stem| !stem.is_empty() && !stem.starts_with('.'))?;
        let (split, shard) = match numbered(stem) {
            Some((split, index, count)) => (split, Some((index, count))),
            None => (stem, None),
        };
        if NOT_DATA.contains(&split) {
            return None;
        }
        let (split, ending) = (split.to_owned(), name[stem.len()..].to_owned());
        let found = Self {
            shard,
            path,
            ending,
        };
        Some((split, found))
    }
}

/// The parts of `SPLIT-00000-of-00002`, which older hubs put a hash behind.
fn numbered(stem: &str) -> Option<(&str, u64, u64)> {
    let (front, back) = stem.rsplit_once("-of-")?;
    let (split, index) = front.rsplit_once('-')?;
    let (count, hash) = back.split_once('-').unwrap_or((back, "0"));
    let is_hash = !hash.is_empty() && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = |text: &str| {
        let is_number = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| is_number)
    };
    let (index, count) = (number(index)?, number(count)?);
    (!split.is_empty() && is_hash && index < count).then_some((split, index, count))
}

/// All data files of `folder` and of its `data`, by split.
fn splits(folder: &Path) -> Result<BTreeMap<String, Vec<Found>>, SourceError> {
    let mut splits = BTreeMap::<_, Vec<_>>::new();
    let data = folder.join(DATA);
    let within = data.is_dir().then_some(data.as_path());
    for folder in [Some(folder), within].into_iter().flatten() {
        let io_error = |error| SourceError::io(folder, error);
        for entry in fs::read_dir(folder).map_err(io_error)? {
            let path = entry.map_err(io_error)?.path();
            if let Some((split, found)) = Found::of(path)
                && found.path.is_file()
            {
                splits.entry(split).or_default().push(found);
            }
        }
    }
    Ok(splits)
}

/// Folders in `folder` that have data files.
fn folders_with_data(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .map(|entry| entry.path())
        .filter(|path| path.is_dir() && splits(path).is_ok_and(|splits| !splits.is_empty()))
        .collect();
    folders.sort_unstable();
    folders
}

/// The paths of a split's files, if they are one file or one numbered set that is whole.
fn whole_set(split: &Path, mut found: Vec<Found>) -> Result<Vec<PathBuf>, SourceError> {
    found.sort_unstable();
    let mut sets = BTreeMap::<_, Vec<Found>>::new();
    for file in found {
        let folder = file.path.parent().map(Path::to_owned);
        let count = file.shard.map(|(_, count)| count);
        let key = (folder, file.ending.clone(), count);
        sets.entry(key).or_default().push(file);
    }
    let mut sets: Vec<_> = sets.into_values().collect();
    let twice = |set: &[Found]| set.windows(2).any(|pair| pair[0].shard == pair[1].shard);
    match sets.pop() {
        Some(set) if sets.is_empty() && !twice(&set) => {
            check_complete(split, &set)?;
            Ok(set.into_iter().map(|file| file.path).collect())
        }
        last => Err(SourceError::Ambiguous {
            path: split.to_owned(),
            sets: sets.into_iter().chain(last).flat_map(describe).collect(),
        }),
    }
}

/// A set's first file and how many there are, or those that are the same part of it.
fn describe(set: Vec<Found>) -> Vec<String> {
    let shown = |file: &Found| file.path.display().to_string();
    let twice: Vec<_> = set
        .windows(2)
        .filter(|pair| pair[0].shard == pair[1].shard)
        .flat_map(|pair| pair.iter().map(shown))
        .collect();
    match set.as_slice() {
        _ if !twice.is_empty() => twice,
        [] => Vec::new(),
        [one] => vec![shown(one)],
        [first, rest @ ..] => vec![format!("{} and {} more", shown(first), rest.len())],
    }
}

/// Checks that every file of a numbered set is there.
fn check_complete(split: &Path, set: &[Found]) -> Result<(), SourceError> {
    let Some((file, (_, total))) = set.first().and_then(|file| Some((file, file.shard?))) else {
        return Ok(());
    };
    let there: BTreeSet<_> = set
        .iter()
        .filter_map(|file| file.shard.map(|(index, _)| index))
        .collect();
    let name = split.file_name().unwrap_or_default().to_string_lossy();
    let missing: Vec<_> = (0..total)
        .filter(|index| !there.contains(index))
        .map(|index| format!("{name}-{index:05}-of-{total:05}{}", file.ending))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(SourceError::MissingShards {
        path: split.to_owned(),
        missing,
        total,
    })
}
