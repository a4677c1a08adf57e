//! The settings of a run that is gone on with: its own, and what is given besides.

use std::path::Path;

use super::TrainConfig;
use super::error::{ConfigError, Problem};
use super::read::table;
use super::settings::{Origin, RawConfig, TrainArgs};
use crate::commands::train::CONFIG_FILE;
use crate::data::Holdout;

/// Settings that name files, which may move.
const FILES: [&str; 3] = ["model", "adapter", "data"];

/// Settings that say how long a run is.
const LENGTHS: [&str; 2] = ["epochs", "max_steps"];

/// The settings that a run was made with, and what came after them.
#[derive(Debug)]
pub struct Gone {
    /// Those of the run.
    pub before: TrainConfig,
    /// With what was given now laid over them.
    pub now: TrainConfig,
    /// Settings of the run that one which was given takes the place of: a length in steps that of a length in
    /// epochs, where the run has but that.
    pub superseded: Vec<&'static str>,
    /// Whether a file is looked for elsewhere now.
    pub moved: bool,
}

/// As [`resolve`](super::resolve), over the settings `toml` of the run in `out`, which came from `path`.
///
/// # Errors
/// [`ConfigError`].
pub fn resolve_over(
    args: &TrainArgs,
    toml: &str,
    path: &Path,
    out: &Path,
) -> Result<Gone, ConfigError> {
    let mut table = table(toml, path)?;
    let overwrites = table.remove("overwrite").and_then(|value| value.as_bool());
    table.insert("out".to_owned(), out.to_string_lossy().into_owned().into());
    let mut superseded = superseded(args, &table, path)?;
    let over = |args: &TrainArgs, but: &[&str], table: &toml::Table| {
        let mut table = table.clone();
        table.retain(|key, _| !but.contains(&key));
        let (mut raw, mut problems) = RawConfig::read(args, Some((&table, path)))?;
        raw.goes_on_in(out, &mut problems);
        let mut config = raw.validate_after(problems)?;
        // It was only for the folder not to be in the way.
        config.overwrite = overwrites.unwrap_or(false);
        Ok::<_, ConfigError>(config)
    };
    let now = over(args, &superseded, &table)?;
    // Its files may have moved: they are looked for where they are now.
    let written = self::table(&now.to_toml(), path)?;
    let mut moved = false;
    for key in FILES {
        if let (Some(before), Some(value)) = (table.get_mut(key), written.get(key)) {
            moved |= before != value;
            *before = value.clone();
        }
    }
    let before = over(&TrainArgs::default(), &[], &table)?;
    // A run that has both lengths ends with what comes first: to drop one is a change of its own.
    let has_both = LENGTHS.iter().all(|key| table.contains_key(*key));
    superseded.retain(|key| !(has_both && LENGTHS.contains(key)));
    Ok(Gone {
        before,
        now,
        superseded,
        moved,
    })
}

/// Settings of a run that mean nothing beside what is given anew.
fn superseded(
    args: &TrainArgs,
    table: &toml::Table,
    path: &Path,
) -> Result<Vec<&'static str>, ConfigError> {
    // What is wrong in them is told when both are read together.
    let (given, _) = RawConfig::read(args, None)?;
    let (own, _) = RawConfig::read(&TrainArgs::default(), Some((table, path)))?;
    let mut keys = Vec::new();
    let mut replaced = |is_new: bool, key| {
        if is_new && !given.is_given(key) {
            keys.push(key);
        }
    };
    replaced(is_new(&given.max_steps, &own.max_steps), "epochs");
    replaced(is_new(&given.epochs, &own.epochs), "max_steps");
    replaced(given.warmup_ratio.is_some(), "warmup_steps");
    replaced(given.warmup_steps.is_some(), "warmup_ratio");
    replaced(given.schema.is_some(), "field_map");
    replaced(given.field_map.is_some(), "schema");
    let none_held_out = given.validation == Some(Holdout::Count(0));
    replaced(none_held_out, "eval_every");
    replaced(given.chunked_head == Some(false), "head_chunk");
    Ok(keys)
}

fn is_new<T: PartialEq>(given: &Option<T>, own: &Option<T>) -> bool {
    given.is_some() && given != own
}

impl RawConfig {
    /// Has a run go on in its own folder, which is there and not empty.
    fn goes_on_in(&mut self, out: &Path, problems: &mut Vec<Problem>) {
        let is_own = |given: &Path| {
            let real = |path: &Path| std::fs::canonicalize(path).ok();
            given == out || (real(given).is_some() && real(given) == real(out))
        };
        let mut refuse = |key: &str, message: String| {
            problems.push(Problem {
                place: self.place(key),
                message,
                on_disk: false,
            });
        };
        // Its own settings may say where it was before it was moved.
        let file = self
            .file
            .as_deref()
            .and_then(|file| file.canonicalize().ok());
        let from_file = self.origins.get("out") == Some(&Origin::File);
        let was = from_file && file.is_some() && file == out.join(CONFIG_FILE).canonicalize().ok();
        let given = self.out.as_deref().filter(|given| !was && !is_own(given));
        if let Some(given) = given {
            refuse(
                "out",
                format!(
                    "is {}, and --resume goes on in {}; leave it out, or begin a new run there from what this \
                     one has learned with --adapter or --model",
                    given.display(),
                    out.display()
                ),
            );
        }
        let by_hand = |origin: &Origin| matches!(origin, Origin::Flag | Origin::Set);
        let overwrites = self.overwrite == Some(true);
        if overwrites && self.origins.get("overwrite").is_some_and(by_hand) {
            let message = "begins anew, and --resume goes on; leave out one of the two";
            refuse("overwrite", message.to_owned());
        }
        self.out = Some(out.to_path_buf());
        self.overwrite = Some(true);
    }
}
