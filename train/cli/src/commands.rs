//! What the binary does.

/// Prints a line, as [`say`] does, of whatever may hold what strangers wrote: names, paths, texts.
macro_rules! line {
    ($($part:tt)*) => {
        $crate::commands::say(&::bone_train::report::printable(&format!("{}\n", format_args!($($part)*))))
    };
}
pub(crate) use line;

pub mod bench;
pub mod chat;
pub mod convert;
pub mod data;
pub mod devices;
mod error;
pub mod eval;
pub mod generate;
pub mod inspect;
pub mod merge;
mod session;
mod stops;
mod talk;
pub mod train;

pub use error::CommandError;
pub use session::SessionArgs;

/// Prints to stdout, as it is. That may be a pipe whose reader has gone: nobody is left to tell then.
pub(crate) fn say(text: &str) {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// Prints a line of JSON, which escapes what it has to in its own way.
pub(crate) fn say_json(value: &impl std::fmt::Display) {
    say(&format!("{value}\n"));
}
