//! Characters to tokens.

use super::digits::{is_digit, run, whole};
use super::words::{self, Meaning};
use super::{Reading, Token};

/// The tokens of an answer, and whether the other reading of its commas would give others.
pub(in super::super) fn tokens(answer: &str, reading: Reading) -> (Vec<Token>, bool) {
    let plain = in_ascii(answer);
    let mut lexer = Lexer {
        single_backslashes: !plain.contains("\\begin"),
        chars: plain.chars().collect(),
        at: 0,
        reading,
        brackets: 0,
        due: 0,
        outer: Vec::new(),
        ambiguous: false,
        tokens: Vec::new(),
    };
    while lexer.at < lexer.chars.len() {
        lexer.step();
    }
    (lexer.tokens, lexer.ambiguous)
}

/// The answer with LaTeX for signs outside ASCII.
fn in_ascii(answer: &str) -> String {
    let mut plain = String::with_capacity(answer.len());
    let mut rest = answer.chars();
    while let Some(c) = rest.next() {
        match words::sign(c) {
            Some(sign) => plain.push_str(sign),
            None => plain.push(c),
        }
        if c == '√' && rest.as_str().starts_with(|c: char| c.is_ascii_digit()) {
            // The whole number stands under it, unlike after `\sqrt`.
            let after = rest
                .as_str()
                .trim_start_matches(|c: char| c.is_ascii_digit());
            let number = &rest.as_str()[..rest.as_str().len() - after.len()];
            plain.push_str(&format!("{{{number}}}"));
            rest = after.chars();
        }
    }
    plain
}

struct Lexer {
    chars: Vec<char>,
    at: usize,
    reading: Reading,
    /// Open brackets, in which commas separate.
    brackets: usize,
    /// Arguments of a command that are still to come; without braces each is one character.
    due: usize,
    /// The groups that are open: what closes each, and `due` after it.
    outer: Vec<(char, usize)>,
    ambiguous: bool,
    /// Whether two backslashes before a letter are one, escaped.
    single_backslashes: bool,
    tokens: Vec<Token>,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    /// Every step goes on by a character at least.
    fn step(&mut self) {
        let Some(c) = self.peek(0) else { return };
        let number =
            c.is_ascii_digit() || (c == '.' && is_digit(&self.chars, self.at + 1) && self.due == 0);
        if number {
            return self.number();
        }
        if c.is_alphabetic() {
            return self.letters();
        }
        self.at += 1;
        match c {
            '\\' => self.backslash(),
            '$' | '%' | '~' => {}
            '^' if self.degrees() => {}
            c if c.is_whitespace() => {}
            c => self.symbol(c),
        }
    }

    fn symbol(&mut self, c: char) {
        match c {
            '{' => self.open('}', self.due.saturating_sub(1)),
            '}' => self.close('}'),
            // The degree of a root comes before its argument.
            '[' if self.tokens.last().is_some_and(|t| t.is_command("sqrt")) => {
                self.brackets += 1;
                self.open(']', self.due);
            }
            ']' => {
                self.brackets = self.brackets.saturating_sub(1);
                self.close(']');
            }
            '(' | '[' => {
                self.brackets += 1;
                self.due = 0;
            }
            ')' => self.brackets = self.brackets.saturating_sub(1),
            _ => {}
        }
        self.tokens.push(Token::Symbol(c));
    }

    fn open(&mut self, closed_by: char, due: usize) {
        self.outer.push((closed_by, due));
        self.due = 0;
    }

    fn close(&mut self, by: char) {
        if self
            .outer
            .last()
            .is_some_and(|(closed_by, _)| *closed_by == by)
        {
            self.due = self.outer.pop().map_or(0, |(_, due)| due);
        }
    }

    fn number(&mut self) {
        if self.due > 0 {
            self.due -= 1;
            let digit = self.chars[self.at].to_string();
            self.at += 1;
            return self.tokens.push(Token::Number(digit));
        }
        let mut text = String::new();
        if self.peek(0) != Some('.') {
            let digits = whole(&self.chars, self.at, self.brackets > 0, self.reading);
            self.ambiguous |= digits.ambiguous;
            self.at = digits.end;
            text = digits.text;
        }
        let point = self.peek(0) == Some('.');
        let repeats = |at: usize| self.chars[at.min(self.chars.len())..].starts_with(&OVERLINE);
        if point && (is_digit(&self.chars, self.at + 1) || repeats(self.at + 1)) {
            let end = run(&self.chars, self.at + 1);
            text.extend(&self.chars[self.at..end]);
            self.at = end;
            let start = end + OVERLINE.len();
            if repeats(end) {
                let last = run(&self.chars, start);
                if last > start && self.chars.get(last) == Some(&'}') {
                    let repeated = self.chars[start..last].iter().collect();
                    self.at = last + 1;
                    return self.tokens.push(Token::Repeating(text, repeated));
                }
            }
        }
        self.tokens.push(Token::Number(text));
    }

    fn letters(&mut self) {
        if self.due > 0 {
            self.due -= 1;
            let letter = self.chars[self.at];
            self.at += 1;
            return self.tokens.push(Token::Letter(letter));
        }
        if let Some(half) = self.half_of_day() {
            return self.tokens.push(half);
        }
        let run = self.run_of_letters();
        self.tokens.extend(words::letters(&run));
    }

    fn run_of_letters(&mut self) -> String {
        let rest = &self.chars[self.at..];
        let run: String = rest.iter().take_while(|c| c.is_alphabetic()).collect();
        self.at += run.chars().count();
        run
    }

    /// `a.m.` or `p.m.`, as one word.
    fn half_of_day(&mut self) -> Option<Token> {
        let half = match (self.peek(0)?, self.peek(1)?, self.peek(2)?) {
            ('a' | 'A', '.', 'm' | 'M') => "am",
            ('p' | 'P', '.', 'm' | 'M') => "pm",
            _ => return None,
        };
        self.at += if self.peek(3) == Some('.') { 4 } else { 3 };
        Some(words::word(half))
    }

    /// Skips `\circ` after `^`, in braces or not.
    fn degrees(&mut self) -> bool {
        let rest = &self.chars[self.at..];
        let mut inner = rest.iter().enumerate().filter(|(_, c)| **c != ' ');
        let braced = inner.clone().next().is_some_and(|(_, c)| *c == '{');
        if braced {
            inner.next();
        }
        let mut end = 0;
        for expected in ['\\', 'c', 'i', 'r', 'c'] {
            match inner.next() {
                Some((at, c)) if *c == expected => end = at + 1,
                _ => return false,
            }
        }
        if braced {
            match inner.next() {
                Some((at, '}')) => end = at + 1,
                _ => return false,
            }
        }
        self.at += end;
        true
    }

    fn backslash(&mut self) {
        let Some(c) = self.peek(0) else { return };
        if c.is_ascii_alphabetic() {
            let rest = &self.chars[self.at..];
            let name: String = (rest.iter().take_while(|c| c.is_ascii_alphabetic())).collect();
            self.at += name.len();
            return self.command(&name);
        }
        self.at += 1;
        match c {
            '\\' if self.single_backslashes && self.peek(0).is_some_and(char::is_alphabetic) => {
                self.backslash();
            }
            '\\' => self.tokens.push(Token::Unknown("\\".to_owned())),
            '{' => {
                self.brackets += 1;
                self.tokens.push(Token::Command("{"));
            }
            '}' => {
                self.brackets = self.brackets.saturating_sub(1);
                self.tokens.push(Token::Command("}"));
            }
            '|' => self.tokens.push(Token::Unknown("|".to_owned())),
            // Spaces, escaped signs of currency and the like, and the ends of formulas.
            _ => {}
        }
    }

    fn command(&mut self, name: &str) {
        if name == "begin" || name == "end" {
            return self.environment(name == "begin");
        }
        match words::command(name) {
            Meaning::Nothing => {}
            Meaning::Delimiter => {
                if self.peek(0) == Some('.') {
                    self.at += 1;
                }
            }
            Meaning::Text => self.text(),
            Meaning::Aside => {
                if self.peek(0) == Some('*') {
                    self.at += 1;
                }
                self.braced();
            }
            Meaning::Is(token) => {
                self.due = self.due.saturating_sub(1);
                if token.is_command("frac") || token.is_command("binom") {
                    self.due += 2;
                } else if token.is_command("sqrt") {
                    self.due += 1;
                } else if token.opens() {
                    self.brackets += 1;
                }
                self.tokens.push(token);
            }
        }
    }

    /// The name in braces, and for an array the alignment of its columns.
    fn environment(&mut self, begins: bool) {
        let name = self.braced().unwrap_or_default();
        let name = name.trim_end_matches('*').to_owned();
        if begins && name == "array" {
            self.braced();
        }
        self.due = 0;
        self.tokens.push(match begins {
            true => Token::Begin(name),
            false => Token::End(name),
        });
    }

    /// What stands between braces here, if they are closed.
    fn braced(&mut self) -> Option<String> {
        let mut start = self.at;
        while self.chars.get(start) == Some(&' ') {
            start += 1;
        }
        if self.chars.get(start) != Some(&'{') {
            return None;
        }
        let mut depth = 0usize;
        for (at, c) in self.chars.iter().enumerate().skip(start) {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                self.at = at + 1;
                return Some(self.chars[start + 1..at].iter().collect());
            }
        }
        None
    }

    /// The argument of `\text` and its like: runs of letters are words.
    fn text(&mut self) {
        let Some(content) = self.braced() else { return };
        let due = std::mem::take(&mut self.due);
        if due > 0 {
            self.tokens.push(Token::Symbol('{'));
        }
        let mut inner = Self {
            chars: content.chars().collect(),
            at: 0,
            outer: Vec::new(),
            tokens: Vec::new(),
            ..*self
        };
        while let Some(c) = inner.peek(0) {
            if let Some(half) = inner.half_of_day() {
                inner.tokens.push(half);
            } else if c.is_alphabetic() {
                let run = inner.run_of_letters();
                inner.tokens.push(words::word(&run));
            } else if inner.product() {
                inner.tokens.push(Token::Symbol('*'));
            } else if c == '\\' && inner.peek(1).is_some_and(char::is_alphabetic) {
                // No other command is read in text: its name would be taken for a word.
                inner.at += 1;
                inner.tokens.push(Token::Unknown(String::new()));
            } else {
                inner.step();
            }
        }
        self.ambiguous |= inner.ambiguous;
        self.tokens.append(&mut inner.tokens);
        if due > 0 {
            self.tokens.push(Token::Symbol('}'));
            self.due = due - 1;
        }
    }

    /// Skips a sign between units in `\mathrm{N\cdot m}`.
    fn product(&mut self) -> bool {
        let rest: String = self.chars[self.at..].iter().take(7).collect();
        let signs = ["\\cdot", "\\times"];
        let Some(sign) = signs.into_iter().find(|sign| rest.starts_with(sign)) else {
            return false;
        };
        let goes_on = rest[sign.len()..].starts_with(char::is_alphabetic);
        self.at += if goes_on { 0 } else { sign.len() };
        !goes_on
    }
}

const OVERLINE: [char; 10] = ['\\', 'o', 'v', 'e', 'r', 'l', 'i', 'n', 'e', '{'];
