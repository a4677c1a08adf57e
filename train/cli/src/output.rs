//! What commands print.

use std::io::Write;

/// Prints a line, as [`say`] does, of whatever may hold what strangers wrote: names, paths, texts.
macro_rules! line {
    ($($part:tt)*) => {
        $crate::output::say(&::bone_train::report::printable(&format!("{}\n", format_args!($($part)*))))
    };
}
pub(crate) use line;

/// Prints to stdout, as it is. That may be a pipe whose reader has gone: nobody is left to tell then.
pub(crate) fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// Prints a line of JSON, which escapes what it has to in its own way.
pub(crate) fn say_json(value: &impl serde::Serialize) {
    say(&format!("{}\n", serde_json::json!(value)));
}
