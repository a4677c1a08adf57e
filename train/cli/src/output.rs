//! Output of commands.

use std::io::Write;

/// Prints a line like [`say`], and escapes untrusted text: names, paths, texts.
macro_rules! line {
    ($($part:tt)*) => {
        $crate::output::say(&::bone_train::report::printable(&format!("{}\n", format_args!($($part)*))))
    };
}
pub(crate) use line;

/// Prints to stdout, unchanged. Ignores a closed pipe.
pub(crate) fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}

/// Prints a line of JSON, which does its own escaping.
pub(crate) fn say_json(value: &impl serde::Serialize) {
    say(&format!("{}\n", serde_json::json!(value)));
}
