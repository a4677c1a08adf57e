//! What an answer is made of: values and words, lists and sets, tuples and intervals, matrices and
//! equations.

mod equal;
mod label;
mod units;

use super::algebra::{Effort, Sum};
use super::expression;
use super::tokens::{
    Reading, Token, canonical_text, closing, folded_text, outside, tokens as tokens_of,
};

/// Answers inside answers that are followed.
const DEEPEST: usize = 12;

/// An answer, as far as it is understood.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// A formula, a word or anything else.
    Leaf(Leaf),
    /// Several answers without brackets; their order doesn't matter.
    List(Vec<Answer>),
    /// Several answers in braces; order and repetitions don't matter.
    Set(Vec<Answer>),
    /// A tuple, a point or an interval.
    Brackets {
        open: Token,
        items: Vec<Answer>,
        close: Token,
    },
    /// Parts joined by `\cup`; their order doesn't matter.
    Union(Vec<Answer>),
    /// Entries row by row.
    Matrix {
        /// Whether it is a determinant or a norm.
        bars: Option<String>,
        rows: Vec<Vec<Answer>>,
    },
    /// An equation or inequalities, no side of which is more than a formula.
    Relation(Relation),
}

/// A formula or words.
#[derive(Debug, Clone)]
pub(super) struct Leaf {
    /// The tokens in one form.
    text: String,
    /// The same without case and spaces, for words of a language.
    folded: String,
    /// Whether it is such words.
    words: bool,
    /// Its value if it has one.
    value: Option<Sum>,
    /// With the name it had, as a [`Relation`]'s difference.
    equation: Option<Sum>,
}

/// `2 < x \le 5` as sides and what stands between them; never by `>` and `\ge`, which are turned.
#[derive(Debug, Clone)]
pub(super) struct Relation {
    sides: Vec<Leaf>,
    signs: Vec<&'static str>,
    /// Of one equation the left side less the right side, without a factor both have.
    difference: Option<Sum>,
}

/// A text read as an answer.
#[derive(Debug, Clone)]
pub(super) struct Read {
    /// All its tokens in one form; empty where there are none that say anything.
    text: String,
    /// By each way to read its commas: one or two.
    answers: Vec<Answer>,
}

impl Read {
    pub(super) fn of(text: &str) -> Self {
        let (tokens, ambiguous) = tokens_of(text, Reading::Thousands);
        let mut answers = vec![answer(&tokens)];
        if ambiguous {
            answers.push(answer(&tokens_of(text, Reading::List).0));
        }
        let mut text = canonical_text(&tokens);
        if !text.contains(char::is_alphanumeric) {
            text.clear();
        }
        Self { text, answers }
    }

    /// Whether both are the same answer, by one way to read each.
    pub(super) fn same(&self, other: &Self) -> bool {
        let written_alike = !self.text.is_empty() && self.text == other.text;
        let mut answers = self.answers.iter();
        written_alike || answers.any(|one| other.answers.iter().any(|two| one.same(two)))
    }
}

fn answer(tokens: &[Token]) -> Answer {
    let mut reader = Reader {
        effort: Effort::new(),
        depth: 0,
    };
    reader.items(tokens)
}

struct Reader {
    effort: Effort,
    depth: usize,
}

impl Reader {
    /// One answer, or a list of several.
    fn items(&mut self, tokens: &[Token]) -> Answer {
        let tokens = units::without_end(without_braces(tokens));
        let parts = separated(tokens);
        let mut items = self.list(&parts);
        match items.pop() {
            Some(only) if items.is_empty() => only,
            Some(last) => {
                items.push(last);
                Answer::List(items)
            }
            None => Answer::Leaf(self.leaf(tokens)),
        }
    }

    fn list(&mut self, parts: &[&[Token]]) -> Vec<Answer> {
        let keep_labels = label::differ(parts);
        let mut items = Vec::new();
        for part in parts {
            match self.item(part, keep_labels) {
                Answer::List(several) => items.extend(several),
                one => items.push(one),
            }
        }
        items
    }

    /// An answer that is no list, but for one with `\pm`, which is two.
    fn item(&mut self, tokens: &[Token], keep_label: bool) -> Answer {
        self.depth += 1;
        let item = if self.depth > DEEPEST {
            Answer::Leaf(self.leaf_without_value(tokens))
        } else {
            self.item_of_any_depth(tokens, keep_label)
        };
        self.depth -= 1;
        item
    }

    fn item_of_any_depth(&mut self, tokens: &[Token], keep_label: bool) -> Answer {
        let mut tokens = units::without_end(without_braces(tokens));
        if has_two_signs(tokens) {
            let signs = [('+', '-'), ('-', '+')];
            let both = signs.map(|signs| self.item(&with_signs(tokens, signs), keep_label));
            return Answer::List(both.into());
        }
        let mut equation = None;
        if !keep_label {
            let named = tokens;
            tokens = units::without_unit(label::without(tokens, &mut self.effort));
            equation = self.equation(named, tokens);
        }
        if let Some(answer) = self.brackets(tokens) {
            return answer;
        }
        if let [token] = tokens
            && token.is_command("emptyset")
        {
            return Answer::Set(Vec::new());
        }
        let cups = outside(tokens, |t| t.is_command("cup"));
        if !cups.is_empty() {
            let parts = split_at(tokens, &cups);
            return Answer::Union(parts.iter().map(|p| self.item(p, true)).collect());
        }
        if let Some(matrix) = self.matrix(tokens) {
            return matrix;
        }
        match self.relation(tokens) {
            Some(relation) => Answer::Relation(relation),
            None => Answer::Leaf(Leaf {
                equation,
                ..self.leaf(tokens)
            }),
        }
    }

    /// The equation that a formula's name and one sign make with it.
    fn equation(&mut self, named: &[Token], formula: &[Token]) -> Option<Sum> {
        let [sign] = outside(named, |t| relation_sign(t).is_some())[..] else {
            return None;
        };
        if !named[sign].is_symbol('=') {
            return None;
        }
        let (name, value) = (self.leaf(&named[..sign]), self.leaf(formula));
        self.difference(&name, &value)
    }

    /// What one pair of brackets holds: a set, a tuple, an interval, or what they only surround.
    fn brackets(&mut self, tokens: &[Token]) -> Option<Answer> {
        let (open, close) = (tokens.first()?, tokens.last()?);
        let bracket = matches!(
            open,
            Token::Symbol('(' | '[') | Token::Command("{" | "langle")
        );
        if !bracket || closing(tokens, 0)? + 1 != tokens.len() {
            return None;
        }
        let inner = &tokens[1..tokens.len() - 1];
        let parts = separated(inner);
        if open.is_command("{") && close.is_command("}") {
            // A set by a condition is only text.
            let condition = |t: &Token| {
                matches!(t, Token::Symbol('|' | ':')) || *t == Token::Unknown("mid".to_owned())
            };
            return match outside(inner, condition).is_empty() {
                true => Some(Answer::Set(self.list(&parts))),
                false => None,
            };
        }
        let round = open.is_symbol('(') && close.is_symbol(')');
        let matrix = matches!(inner.first(), Some(Token::Begin(_)));
        if parts.len() <= 1 && (round || matrix) && !inner.is_empty() {
            return Some(self.item(inner, false));
        }
        let keep_labels = label::differ(&parts);
        Some(Answer::Brackets {
            open: open.clone(),
            items: parts.iter().map(|p| self.item(p, keep_labels)).collect(),
            close: close.clone(),
        })
    }

    /// A whole environment of rows.
    fn matrix(&mut self, tokens: &[Token]) -> Option<Answer> {
        let Token::Begin(name) = tokens.first()? else {
            return None;
        };
        if closing(tokens, 0)? + 1 != tokens.len() {
            return None;
        }
        let bars = match name.as_str() {
            "pmatrix" | "bmatrix" | "Bmatrix" | "matrix" | "smallmatrix" | "array" => None,
            "vmatrix" | "Vmatrix" => Some(name.clone()),
            _ => return None,
        };
        let inner = &tokens[1..tokens.len() - 1];
        let breaks = outside(inner, |t| *t == Token::Unknown("\\".to_owned()));
        let mut rows = Vec::new();
        for row in split_at(inner, &breaks) {
            let entries = split_at(row, &outside(row, |t| t.is_symbol('&')));
            rows.push(entries.iter().map(|e| self.item(e, true)).collect());
        }
        if inner.last() == Some(&Token::Unknown("\\".to_owned())) {
            rows.pop();
        }
        Some(Answer::Matrix { bars, rows })
    }

    fn relation(&mut self, tokens: &[Token]) -> Option<Relation> {
        let at = outside(tokens, |t| relation_sign(t).is_some());
        if at.is_empty() {
            return None;
        }
        let mut signs: Vec<_> = (at.iter())
            .filter_map(|&at| relation_sign(&tokens[at]))
            .collect();
        let mut sides: Vec<_> = (split_at(tokens, &at).iter())
            .map(|side| self.leaf(side))
            .collect();
        if signs.iter().any(|sign| matches!(*sign, ">" | "≥")) {
            sides.reverse();
            signs.reverse();
            for sign in &mut signs {
                *sign = match *sign {
                    ">" => "<",
                    "≥" => "≤",
                    "<" => ">",
                    "≤" => "≥",
                    other => other,
                };
            }
        }
        let difference = match (signs.as_slice(), sides.as_slice()) {
            (["="], [left, right]) => self.difference(left, right),
            _ => None,
        };
        Some(Relation {
            sides,
            signs,
            difference,
        })
    }

    fn difference(&mut self, left: &Leaf, right: &Leaf) -> Option<Sum> {
        let right = right.value.as_ref()?.negated();
        let difference = left.value.as_ref()?.plus(&right, &mut self.effort)?;
        difference.content().map(|(_, primitive)| primitive)
    }

    fn leaf(&mut self, tokens: &[Token]) -> Leaf {
        let tokens = without_braces(tokens);
        Leaf {
            value: expression::value(tokens, &mut self.effort),
            ..self.leaf_without_value(tokens)
        }
    }

    fn leaf_without_value(&self, tokens: &[Token]) -> Leaf {
        let word = |t: &Token| matches!(t, Token::Word { language: true, letters } if letters.chars().count() > 1);
        let language = |t: &Token| match t {
            Token::Word { language, .. } => *language,
            Token::Number(_) | Token::Symbol(_) => true,
            _ => false,
        };
        Leaf {
            text: canonical_text(tokens),
            folded: folded_text(tokens),
            words: tokens.iter().any(word) && tokens.iter().all(language),
            value: None,
            equation: None,
        }
    }
}

/// The sign of a relation, one for each.
fn relation_sign(token: &Token) -> Option<&'static str> {
    match token {
        Token::Symbol('=') => Some("="),
        Token::Symbol('<') => Some("<"),
        Token::Symbol('>') => Some(">"),
        Token::Command("le") => Some("≤"),
        Token::Command("ge") => Some("≥"),
        Token::Command("ne") => Some("≠"),
        _ => None,
    }
}

/// The parts between commas, semicolons and the words `and` and `or`, none of them empty.
fn separated(tokens: &[Token]) -> Vec<&[Token]> {
    let separator = |t: &Token| match t {
        Token::Symbol(c) => matches!(c, ',' | ';'),
        Token::Word { letters, .. } => {
            letters.eq_ignore_ascii_case("and") || letters.eq_ignore_ascii_case("or")
        }
        _ => false,
    };
    let mut parts = split_at(tokens, &outside(tokens, separator));
    parts.retain(|part| !part.is_empty());
    parts
}

fn split_at<'a>(tokens: &'a [Token], positions: &[usize]) -> Vec<&'a [Token]> {
    let mut parts = Vec::new();
    let mut start = 0;
    for &end in positions {
        parts.push(&tokens[start..end]);
        start = end + 1;
    }
    parts.push(&tokens[start..]);
    parts
}

/// Without braces around the whole.
fn without_braces(mut tokens: &[Token]) -> &[Token] {
    while tokens.first().is_some_and(|t| t.is_symbol('{'))
        && closing(tokens, 0).is_some_and(|end| end + 1 == tokens.len())
    {
        tokens = &tokens[1..tokens.len() - 1];
    }
    tokens
}

/// Whether `\pm` or `\mp` stands outside all sets.
fn has_two_signs(tokens: &[Token]) -> bool {
    let mut sets = 0usize;
    tokens.iter().any(|token| match token {
        Token::Command("{") => {
            sets += 1;
            false
        }
        Token::Command("}") => {
            sets = sets.saturating_sub(1);
            false
        }
        Token::Command("pm" | "mp") => sets == 0,
        _ => false,
    })
}

/// With signs for `\pm` and `\mp`.
fn with_signs(tokens: &[Token], (plus, minus): (char, char)) -> Vec<Token> {
    let sign = |token: &Token| match token {
        Token::Command("pm") => Token::Symbol(plus),
        Token::Command("mp") => Token::Symbol(minus),
        other => other.clone(),
    };
    tokens.iter().map(sign).collect()
}
