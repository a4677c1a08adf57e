//! Runs chat templates with minijinja, as transformers runs them with Jinja, but with limits.
//!
//! A chat template comes with a model from an unknown source, so it is not trusted. It sees only the given
//! values and cannot use files or other templates. It has limited fuel: every instruction and every 64
//! bytes cost some. So a template that runs too long or writes too much fails.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{Environment, Error, ErrorKind, UndefinedBehavior};
use regex::Regex;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

mod date;
mod python;
#[cfg(test)]
mod tests;

/// Maximum size of a template, in bytes.
pub(super) const MAX_SOURCE: usize = 1 << 20;
/// Maximum cost of a rendering. It is more than any real chat template takes; a hostile one takes at most a
/// second or 128 MB.
const FUEL: u64 = 2_000_000;
/// Maximum time of a rendering. Fuel usually runs out much earlier. But a list that is repeatedly joined to
/// itself is charged too late (minijinja 3.1).
const TIME: Duration = Duration::from_secs(10);
/// Maximum depth of nested calls.
const DEPTH: usize = 100;
/// The template's name in minijinja.
const NAME: &str = "chat_template";

/// Why a template stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaultKind {
    /// It is not a valid template, or an operation in it is not possible.
    Broken,
    /// It called `raise_exception`.
    Refused,
    /// It ran too long or wrote too much.
    Limit,
    /// It was not run, because it met a limit before.
    NotTried,
}

/// A template's error and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    /// Line of the template, from 1.
    pub(crate) line: Option<u32>,
    pub(crate) message: String,
}

impl Fault {
    fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            line: None,
            message: message.into(),
        }
    }

    fn of(error: &Error) -> Self {
        let detail = error.detail().map(str::to_owned);
        let (kind, message) = match error.kind() {
            ErrorKind::OutOfFuel => (FaultKind::Limit, TOO_LONG.to_owned()),
            ErrorKind::WriteFailure => (FaultKind::Limit, "it writes too much text".to_owned()),
            kind => match detail.as_deref().and_then(|text| text.strip_prefix(RAISED)) {
                Some(message) => (FaultKind::Refused, message.to_owned()),
                None => {
                    let detail = detail.map_or(String::new(), |detail| format!(": {detail}"));
                    (FaultKind::Broken, format!("{kind}{detail}"))
                }
            },
        };
        Self {
            line: error.line().and_then(|line| line.try_into().ok()),
            ..Self::new(kind, message)
        }
    }

    /// Returns the message about the error.
    pub(super) fn of_template(&self, origin: &str) -> String {
        let line = self.line.map(|line| format!(", line {line}"));
        let line = line.unwrap_or_default();
        format!("chat template '{origin}'{line}: {}", self.message)
    }

    /// Adds the failing expression: minijinja does not name an undefined variable.
    fn at(mut self, error: &Error, source: &str) -> Self {
        let expression = error.range().and_then(|range| source.get(range));
        if let Some(expression) = expression.filter(|_| self.kind == FaultKind::Broken) {
            let shown: String = expression.chars().take(SHOWN).collect();
            let more = if shown.len() < expression.len() {
                "…"
            } else {
                ""
            };
            self.message.push_str(&format!(" (in '{shown}{more}')"));
        }
        self
    }
}

/// Maximum length of an expression in a message.
const SHOWN: usize = 60;

/// Prefix that marks the error of `raise_exception`.
const RAISED: &str = "\u{0}raised: ";

/// A parsed template.
#[derive(Debug)]
pub(super) struct Program {
    environment: Environment<'static>,
    /// The source as parsed.
    source: Arc<str>,
    /// Whether a rendering met a limit. Then no rendering is tried again: a dataset with seconds per row
    /// would never finish.
    given_up: AtomicBool,
}

impl Program {
    /// Parses a template.
    pub(super) fn parse(source: &str) -> Result<Self, Fault> {
        if source.len() > MAX_SOURCE {
            let message = format!("it has {} bytes; the limit is {MAX_SOURCE}", source.len());
            return Err(Fault::new(FaultKind::Limit, message));
        }
        let mut environment = Environment::new();
        // The same settings as in transformers.
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(|error| Fault::of(&error))?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_recursion_limit(DEPTH);
        environment.set_formatter(python::format);
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        // As in Jinja, None is not iterable. minijinja would treat it as an empty list.
        environment.add_test("iterable", |value: &Value| {
            !value.is_none() && value.try_iter().is_ok()
        });
        environment.add_filter("tojson", python::to_json);
        environment.add_filter("string", python::to_text);
        environment.add_function("raise_exception", |message: &str| -> Result<(), Error> {
            Err(Error::new(
                ErrorKind::InvalidOperation,
                format!("{RAISED}{message}"),
            ))
        });
        environment.add_function("strftime_now", |format: &str| {
            date::format(format).map_err(|message| Error::new(ErrorKind::InvalidOperation, message))
        });
        let source = without_generation(&one_newline(source));
        environment
            .add_template_owned(NAME, source.clone())
            .map_err(|error| Fault::of(&error))?;
        Ok(Self {
            environment,
            source: source.into(),
            given_up: AtomicBool::new(false),
        })
    }

    /// Renders the template with the named values into a text of at most `longest` bytes.
    pub(super) fn render(
        &self,
        names: &serde_json::Map<String, serde_json::Value>,
        longest: usize,
    ) -> Result<String, Fault> {
        if self.given_up.load(Ordering::Relaxed) {
            return Err(Fault::new(FaultKind::NotTried, NOT_AGAIN));
        }
        let mut environment = self.environment.clone();
        let source = Arc::clone(&self.source);
        // A longer input may cost more.
        environment.set_fuel(Some(FUEL + longest as u64));
        let values = Value::from(Serde(names));
        let (done, rendered) = std::sync::mpsc::channel();
        // A separate thread can be abandoned.
        std::thread::spawn(move || {
            // After the time limit no one receives the result.
            let _ = done.send(render(&environment, &source, values, longest));
        });
        let text = rendered
            .recv_timeout(TIME)
            .unwrap_or_else(|_| Err(Fault::new(FaultKind::Limit, TOO_LONG)));
        if matches!(&text, Err(fault) if fault.kind == FaultKind::Limit) {
            self.given_up.store(true, Ordering::Relaxed);
        }
        text
    }
}

const TOO_LONG: &str = "it runs too long or writes too much: check its loops and repetitions";
const NOT_AGAIN: &str = "it ran too long or wrote too much before, so it is not run again";

fn render(
    environment: &Environment<'_>,
    source: &str,
    values: Value,
    longest: usize,
) -> Result<String, Fault> {
    let mut text = Bounded {
        bytes: Vec::new(),
        longest,
    };
    environment
        .get_template(NAME)
        .and_then(|template| template.render_captured_to(values, &mut text).map(|_| ()))
        .map_err(|error| Fault::of(&error).at(&error, source))?;
    String::from_utf8(text.bytes).map_err(|error| Fault::new(FaultKind::Broken, error.to_string()))
}

/// Converts every line end to `\n`, as Jinja does before it reads a template.
fn one_newline(source: &str) -> String {
    source.replace("\r\n", "\n").replace('\r', "\n")
}

/// Removes `{% generation %}`, which marks the assistant's text for some trainers. The block's content is
/// always written.
fn without_generation(source: &str) -> String {
    static BLOCK: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"\{%([-+]?)\s*(end)?generation\s*([-+]?)%\}").ok());
    match &*BLOCK {
        None => source.to_owned(),
        Some(block) => block
            .replace_all(source, |found: &regex::Captures<'_>| {
                let word = if found.get(2).is_some() {
                    "endif"
                } else {
                    "if true"
                };
                format!("{{%{} {word} {}%}}", &found[1], &found[3])
            })
            .into_owned(),
    }
}

/// A text with a maximum length.
struct Bounded {
    bytes: Vec<u8>,
    longest: usize,
}

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.longest {
            return Err(io::Error::other("too long"));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
