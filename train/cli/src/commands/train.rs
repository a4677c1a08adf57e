//! `bone train`.

use crate::error::CommandError;
use crate::terminal;
use bone_train::config::{self, Given};
use bone_train::run::signals::Signals;
use bone_train::run::{Host, fork, resume, train};
use clap::{ArgAction, Args, Command};
use std::path::{Path, PathBuf};

pub(super) mod flags;

/// Fine-tune a model
#[derive(Debug, Clone, Default, clap::Args)]
#[command(disable_help_flag = true)]
pub struct TrainArgs {
    /// Settings as TOML: `key = value` per line, with the names below (`_` for `-`)
    ///
    /// Paths are relative to the folder the command is run in. Flags win over --set, which wins
    /// over the file. Every setting, defaults included, is written to OUT/config.toml.
    #[arg(value_name = "RUN.TOML")]
    pub run: Option<PathBuf>,
    /// Resume the stopped run in this folder; with --out, start a new run from it
    ///
    /// The run continues with its own settings. With --out NEW a new run starts at its newest
    /// checkpoint, or at OUT/checkpoints/step-N, with the settings that are given besides; the old
    /// run's folder does not change.
    #[arg(long, value_name = "OUT")]
    pub resume: Option<PathBuf>,
    /// Set one key of the file; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Print the most used options
    #[arg(short = 'h', action = ArgAction::HelpShort)]
    short_help: Option<bool>,
    /// Print every option; docs/settings.md has the details of each
    #[arg(long = "help")]
    full_help: bool,
    /// A flag for every key.
    #[command(flatten)]
    pub flags: flags::Flags,
}

/// Returns the command with every option in its help, one line each.
fn full_help() -> Command {
    let command = Command::new("bone train").max_term_width(100);
    TrainArgs::augment_args(command).mut_args(|arg| arg.hide_short_help(false))
}

impl TrainArgs {
    /// Returns the given settings.
    pub fn settings(&self) -> Given {
        Given {
            file: self.run.clone(),
            set: self.set.clone(),
            flags: self.flags.0.clone(),
        }
    }

    /// Returns the names of all options given with `--resume`.
    fn names(&self) -> Vec<String> {
        let file = self.run.iter().map(|path| path.display().to_string());
        let set = self
            .set
            .iter()
            .map(|pair| pair.split('=').next().unwrap_or(pair).trim().to_owned());
        let flags = self.flags.0.iter().map(|(key, _)| key.clone());
        file.chain(set).chain(flags).collect()
    }
}

/// Trains with the settings in `args`, resumes a run, or starts a new one from it.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &TrainArgs) -> Result<(), CommandError> {
    if args.full_help {
        // An error means that the output is closed.
        let _ = full_help().print_help();
        return Ok(());
    }
    // This comes first: from here on a signal ends the process as shells expect.
    let signals = Signals::listen().map_err(CommandError::io(Path::new("signals")))?;
    let mut console = terminal::console();
    let host = Host {
        reporter: &mut *console,
        signals: Some(signals),
    };
    let Some(path) = &args.resume else {
        train(&config::resolve(&args.settings())?, host)?;
        return Ok(());
    };
    let given = args.names();
    if given.iter().any(|key| key == "out") {
        fork(path, &args.settings(), host)?;
    } else if given.is_empty() {
        resume(path, host)?;
    } else {
        return Err(CommandError::usage(format!(
            "--resume continues a run with its own settings; remove {}. To start a new run from it with \
             these settings, add `--out NEW`",
            given.join(", ")
        )));
    }
    Ok(())
}
