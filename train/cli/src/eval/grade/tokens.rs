//! An answer in LaTeX, or in the plain text that stands for it, as tokens.
//!
//! What only changes how an answer looks is gone: spaces, `\left`, `\!`, `\displaystyle`, dollar and
//! per cent signs, degrees, the separators of thousands. So are the many names of one thing:
//! `\dfrac` is `\frac`, `\leq` is `\le`, `\cdot` is `*`.

mod digits;
mod lexer;
mod words;

pub(super) use lexer::tokens;
pub(super) use words::{FUNCTIONS, GREEK};

/// How a comma between groups of three digits is read where it could be either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// `70,110` is seventy thousand.
    Thousands,
    /// `70,110` is two numbers.
    List,
}

/// The smallest part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// Digits, with a decimal point or without.
    Number(String),
    /// A decimal and the digits that repeat after it, `0.1\overline{6}`.
    Repeating(String, String),
    /// A letter of a formula.
    Letter(char),
    /// Letters that are no product: from `\text{..}`, or too many.
    Word {
        /// As written.
        letters: String,
        /// Whether it is language, so that case doesn't matter. Capitals in a formula, as in `AB`,
        /// are not.
        language: bool,
    },
    /// A command without its backslash; `\{` and `\}` too.
    Command(&'static str),
    /// A command with no meaning here.
    Unknown(String),
    /// `\begin{..}`.
    Begin(String),
    /// `\end{..}`.
    End(String),
    /// Any other character.
    Symbol(char),
}

impl Token {
    pub(super) fn is_symbol(&self, symbol: char) -> bool {
        *self == Self::Symbol(symbol)
    }

    pub(super) fn is_command(&self, name: &str) -> bool {
        matches!(self, Self::Command(n) if *n == name)
    }

    /// Whether it opens a group, a bracket, a set or an environment.
    pub(super) fn opens(&self) -> bool {
        match self {
            Self::Symbol(c) => matches!(c, '{' | '(' | '['),
            Self::Command(name) => matches!(*name, "{" | "langle"),
            Self::Begin(_) => true,
            _ => false,
        }
    }

    /// Whether it closes one. Any closing token closes any opening one, as in `[0,1)`.
    pub(super) fn closes(&self) -> bool {
        match self {
            Self::Symbol(c) => matches!(c, '}' | ')' | ']'),
            Self::Command(name) => matches!(*name, "}" | "rangle"),
            Self::End(_) => true,
            _ => false,
        }
    }

    fn push_to(&self, text: &mut String) {
        match self {
            Self::Number(digits) => text.push_str(digits),
            Self::Repeating(fixed, repeated) => {
                text.push_str(&format!("{fixed}[{repeated}]"));
            }
            Self::Letter(c) | Self::Symbol(c) => text.push(*c),
            Self::Word { letters, .. } => text.push_str(letters),
            Self::Command(name) => text.push_str(&format!("\\{name}")),
            Self::Unknown(name) => text.push_str(&format!("\\{name}")),
            Self::Begin(name) => text.push_str(&format!("\\begin{{{name}}}")),
            Self::End(name) => text.push_str(&format!("\\end{{{name}}}")),
        }
    }
}

/// Position of the token that closes what the token at `open` opens.
pub(super) fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let mut depth = 0usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            depth = depth.checked_sub(1)?;
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// Positions outside all brackets where `wanted` is true.
pub(super) fn outside(tokens: &[Token], wanted: impl Fn(&Token) -> bool) -> Vec<usize> {
    let mut depth = 0usize;
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if token.opens() {
            depth += 1;
        } else if token.closes() {
            depth = depth.saturating_sub(1);
        } else if depth == 0 && wanted(token) {
            found.push(at);
        }
    }
    found
}

/// One text for all ways to write the same tokens: a space between any two, no braces around one.
pub(super) fn canonical_text(tokens: &[Token]) -> String {
    let mut text = String::new();
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        let one = token.is_symbol('{') && tokens.get(at + 2).is_some_and(|t| t.is_symbol('}'));
        match tokens.get(at + 1) {
            Some(inner) if one && !inner.opens() && !inner.closes() => {
                inner.push_to(&mut text);
                at += 3;
            }
            _ => {
                token.push_to(&mut text);
                at += 1;
            }
        }
        text.push(' ');
    }
    text
}

/// Letters in lower case, digits and signs, with nothing between them: the text of words.
pub(super) fn folded_text(tokens: &[Token]) -> String {
    let mut text = String::new();
    for token in tokens {
        if !token.is_symbol('{') && !token.is_symbol('}') {
            token.push_to(&mut text);
        }
    }
    text.to_lowercase()
}
