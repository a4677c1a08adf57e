//! Trains an adapter from Rust, without the command line.
//!
//!     cargo run --release -p bone-examples --bin train -- MODEL ROWS.jsonl OUT

use bone_train::config::{MethodName, RawConfig};
use bone_train::report::{Event, ReportError, Reporter};
use bone_train::run::{Host, train};
use std::{env, error::Error, path::PathBuf};

/// Records the loss of every step.
#[derive(Default)]
struct Losses(Vec<f64>);

impl Reporter for Losses {
    fn report(&mut self, event: Event<'_>) -> Result<(), ReportError> {
        if let Event::Step(step) = event {
            self.0.push(step.loss);
        }
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [model, rows, out] = &paths[..] else {
        return Err("usage: train MODEL ROWS.jsonl OUT".into());
    };
    let settings = RawConfig {
        model: Some(model.clone()),
        data: Some(rows.clone().into()),
        out: Some(out.clone()),
        method: Some(MethodName::Miss),
        rank: Some(8),
        learning_rate: Some(0.01),
        max_steps: Some(20),
        ..RawConfig::default()
    };
    let mut losses = Losses::default();
    let outcome = train(&settings.validate()?, Host::new(&mut losses))?;
    println!("losses: {:.3?}", losses.0);
    println!("adapter: {}", outcome.result.display());
    Ok(())
}
