//! The command line.

use bone_cli::{commands, demo};
use bone_train::report::tell;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Keeps freed tensors' memory for the next ones of their size: the system's allocator gives it
/// back, and gets it zeroed page by page, at every operation of a step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Fine-tune LLaMA2 and RWKV6 with Bone on any GPU vendor or none.
#[derive(Debug, Parser)]
#[command(
    name = "bone",
    version,
    arg_required_else_help = true,
    max_term_width = 100
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Fine-tune the bundled tiny models on this machine and show what changed
    Demo(demo::DemoArgs),
    /// Fine-tune a model: bone train run.toml, or flags alone
    Train(Box<commands::train::TrainArgs>),
    /// Write base and adapter as one model
    Merge(commands::merge::MergeArgs),
    /// Make an adapter, or an RWKV6 model, another tool's
    Convert(commands::convert::ConvertArgs),
    /// Show what a file or folder is: kind, tensors, what it fits, values that are not finite
    Inspect(commands::inspect::InspectArgs),
    /// Continue a text
    Generate(commands::generate::GenerateArgs),
    /// Talk with a model, its answers as they come
    Chat(commands::chat::ChatArgs),
    /// Score a model: gsm8k, math, or the perplexity of a text
    #[command(subcommand)]
    Eval(commands::eval::EvalCommand),
    /// Look at training data, or write it as RWKV's binidx
    #[command(subcommand)]
    Data(commands::data::DataCommand),
    /// Time a training step or a generation: tokens/s, memory, and where the time goes
    #[command(subcommand)]
    Bench(commands::bench::BenchCommand),
    /// Show what this build can run on, and whether a training step is right there
    Devices(commands::devices::DevicesArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Nothing, but in tests.
    let _points = fail::FailScenario::setup();
    quiet_vulkan_loader();
    join_workers();
    #[cfg(feature = "flex")]
    if let Err(reason) = bone::matrix::bf16_instructions() {
        tell(&format!("error: {reason}"));
        return ExitCode::from(2);
    }
    if let Err(reason) = bone::kernels::chosen() {
        tell(&format!("error: {reason}"));
        return ExitCode::from(2);
    }
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Train(args) => commands::train::run(&args),
        Command::Merge(args) => commands::merge::run(&args),
        Command::Convert(args) => commands::convert::run(&args),
        Command::Inspect(args) => commands::inspect::run(&args),
        Command::Generate(args) => commands::generate::run(&args),
        Command::Chat(args) => commands::chat::run(&args),
        Command::Eval(command) => commands::eval::run(&command),
        Command::Data(command) => commands::data::run(&command),
        Command::Bench(command) => commands::bench::run(&command),
        Command::Devices(args) => commands::devices::run(&args),
    };
    // A run has told them already.
    for note in bone::kernels::gave_way() {
        tell(&format!("note: {note}"));
    }
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    let prefix = if error.is_stop() { "" } else { "error: " };
    tell(&format!("{prefix}{error}"));
    ExitCode::from(error.exit_code())
}

/// Mesa's layer that orders cards by the desktop's choice complains of every session without a
/// desktop, on our standard error. Without one it has nothing to order by.
fn quiet_vulkan_loader() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: nothing has started another thread yet, so nobody reads the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Makes this thread one of rayon's, so that what it starts runs here as well.
///
/// Otherwise it sleeps while others work for it, and every operation begins and ends with waking a
/// thread: 2 % of a step of 768 × 12 on two threads (docs/decisions.md).
fn join_workers() {
    // An error says that somebody else made the threads: slower, and as right.
    let _ = rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .build_global();
}
