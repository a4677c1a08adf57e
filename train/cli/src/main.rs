//! The command line.

use bone_cli::{commands, demo};
use bone_train::report::tell;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// mimalloc keeps the memory of freed tensors for the next tensors of the same size. The system's allocator
/// returns it, and gets it zeroed page by page, at every operation of a step.
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
    /// Fine-tune a model with the settings of a TOML file or of flags
    Train(Box<commands::train::TrainArgs>),
    /// Merge adapters into the base model, or unmerge them
    Merge(commands::merge::MergeArgs),
    /// Convert an adapter or an RWKV6 model to another format
    Convert(commands::convert::ConvertArgs),
    /// Inspect an adapter or a model: kind, tensors, values that are not finite
    Inspect(commands::inspect::InspectArgs),
    /// Continue prompts
    Generate(commands::generate::GenerateArgs),
    /// Chat with a model
    Chat(commands::chat::ChatArgs),
    /// Evaluate a model: gsm8k, math, or ppl (perplexity)
    #[command(subcommand)]
    Eval(commands::eval::EvalCommand),
    /// Check training data, or write it as RWKV's binidx
    #[command(subcommand)]
    Data(commands::data::DataCommand),
    /// Benchmark a training step or generation
    #[command(subcommand)]
    Bench(commands::bench::BenchCommand),
    /// List devices, and check a training step on each
    Devices(commands::devices::DevicesArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    // This has an effect only in tests.
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
    // A run has already reported these.
    for note in bone::kernels::take_fallbacks() {
        tell(&format!("note: {note}"));
    }
    let Err(error) = outcome else {
        return ExitCode::SUCCESS;
    };
    let prefix = if error.is_stop() { "" } else { "error: " };
    tell(&format!("{prefix}{error}"));
    ExitCode::from(error.exit_code())
}

/// Disables Mesa's layer that sorts GPUs by the desktop's choice. Without a desktop it has nothing to sort
/// by, and it prints an error on stderr in every session.
fn quiet_vulkan_loader() {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: no other thread has started yet, so no other code reads the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
}

/// Adds this thread to rayon's threads, so that its tasks run here too.
///
/// Otherwise this thread sleeps while the others work, and every operation begins and ends with waking a
/// thread. That takes 2 % of a step of 768 × 12 on two threads (docs/decisions.md).
fn join_workers() {
    // An error means that other code started the threads: slower, but still correct.
    let _ = rayon::ThreadPoolBuilder::new()
        .use_current_thread()
        .build_global();
}
