//! What the binary does.

pub(crate) mod adapter;
pub mod devices;
mod error;
pub mod generate;
pub mod merge;
mod precision;
pub mod train;

pub use error::CommandError;

/// Prints to stdout, which may be a pipe whose reader has gone: nobody is left to tell then.
fn say(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}
