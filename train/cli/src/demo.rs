//! `bone demo`: all commands on tiny models that are bundled with the binary.

use crate::error::CommandError;
use crate::output::line;
use bone_train::device;
use models::{Bundled, LLAMA2, RWKV6};
use std::path::{Path, PathBuf};
use std::time::Instant;

mod models;
mod story;
pub mod task;

const HELD_OUT_ROWS: usize = 200;

/// What the demo is run with.
#[derive(Debug, clap::Args)]
pub struct DemoArgs {
    /// Bundled model to fine-tune
    #[arg(long, value_name = "ARCH", value_enum, default_value_t = Arch::Both)]
    pub arch: Arch,
    /// Output folder [default: the first free of bone-demo, bone-demo-2, …]
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    // The warm-up takes a step, and must leave one.
    /// Optimizer steps per model
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u32).range(2..))]
    pub steps: u32,
    /// Number of held-out questions to ask before and after training [default: all]
    #[arg(long, value_name = "N")]
    pub questions: Option<std::num::NonZeroUsize>,
    /// Device: auto, or a name that `bone devices` lists
    #[arg(long, value_name = "NAME", default_value = "auto")]
    pub device: String,
}

/// Which of the bundled models.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Arch {
    /// LLaMA2
    Llama2,
    /// RWKV6
    Rwkv6,
    /// Both models, each in a separate folder
    Both,
}

impl Arch {
    fn models(self) -> &'static [Bundled] {
        const BOTH: &[Bundled] = &[LLAMA2, RWKV6];
        match self {
            Self::Llama2 => &BOTH[..1],
            Self::Rwkv6 => &BOTH[1..],
            Self::Both => BOTH,
        }
    }
}

/// Runs the demo and prints what happens.
///
/// # Errors
///
/// [`CommandError`].
pub fn run(args: &DemoArgs) -> Result<(), CommandError> {
    let started = Instant::now();
    // This comes before anything is written.
    device::choose(&args.device)?;
    let out = folder(args.out.as_deref())?;
    let models = args.arch.models();
    let mut outcomes = Vec::new();
    for model in models {
        let out = match models {
            [_] => out.clone(),
            _ => {
                let name = model.architecture.name();
                line!("{name}\n{}\n", "=".repeat(name.len()));
                out.join(model.name)
            }
        };
        outcomes.push((model, story::tell(model, &out, args)?, out));
    }
    if outcomes.len() > 1 {
        line!("Exact match:");
        for (model, outcome, _) in &outcomes {
            let name = model.architecture.name();
            line!("  {name:<6} before: {}", outcome.before);
            line!("  {name:<6} after : {}", outcome.after);
        }
        line!("");
    }

    line!("Next commands:");
    // The name that this program was called by, which may not be on the path.
    let bone = std::env::args().next().unwrap_or_else(|| "bone".into());
    for (_, _, out) in &outcomes {
        let out = out.display();
        line!(
            "  {bone} generate --model {out}/base --adapter {out}/run --prompt '31+8 in words: '"
        );
    }
    line!("  {bone} train --model YOUR_MODEL --data YOUR_ROWS.jsonl --out YOUR_RUN");
    line!("\nTotal time: {:.0} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// Returns the output folder: the given one, new or empty, or else the first free name.
fn folder(asked: Option<&Path>) -> Result<PathBuf, CommandError> {
    let free = |path: &Path| {
        std::fs::read_dir(path).map_or(!path.exists(), |mut entries| entries.next().is_none())
    };
    if let Some(path) = asked {
        if free(path) {
            return Ok(path.to_path_buf());
        }
        let reason = "is not empty; give another folder with --out";
        return Err(CommandError::path(path, reason));
    }
    let numbered = (2..).map(|number| format!("bone-demo-{number}"));
    let mut names = std::iter::once("bone-demo".to_owned()).chain(numbered);
    let name = names.find(|name| free(name.as_ref()));
    Ok(name.unwrap_or_default().into())
}

fn write(path: &Path, bytes: impl AsRef<[u8]>) -> Result<(), CommandError> {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    folder
        .and_then(|()| std::fs::write(path, bytes))
        .map_err(CommandError::io(path))
}
