//! Names: commands by their LaTeX names, and what runs of letters mean.

use super::Token;

/// What a command stands for.
pub(super) enum Meaning {
    /// It only changes how things look.
    Nothing,
    /// `\left`, `\right` and so on, which may be followed by a full stop for no bracket.
    Delimiter,
    /// Its argument is text.
    Text,
    /// Its argument is a colour, a length or the like.
    Aside,
    /// A token.
    Is(Token),
}

/// The meaning of `\name`.
pub(super) fn command(name: &str) -> Meaning {
    use Meaning::{Aside, Delimiter, Is, Nothing, Text};
    match name {
        "left" | "right" | "middle" => Delimiter,
        "big" | "Big" | "bigg" | "Bigg" | "bigl" | "bigr" | "Bigl" | "Bigr" | "biggl" | "biggr"
        | "Biggl" | "Biggr" => Delimiter,
        "displaystyle" | "textstyle" | "limits" | "nolimits" | "quad" | "qquad" | "thinspace"
        | "enspace" | "boxed" | "fbox" | "rm" | "bf" | "it" | "circ" | "degree" | "degrees"
        | "percent" => Nothing,
        "mathbf" | "mathit" | "mathsf" | "mathtt" | "mathnormal" | "boldsymbol" | "bm" | "pmb"
        | "underline" | "tiny" | "scriptsize" | "footnotesize" | "small" | "normalsize"
        | "large" | "Large" | "LARGE" | "huge" | "Huge" => Nothing,
        "pounds" | "euro" | "cent" | "textcent" => Nothing,
        "color" | "textcolor" | "hspace" | "vspace" | "phantom" | "hphantom" | "vphantom" => Aside,
        "text" | "textbf" | "textit" | "textrm" | "textnormal" | "textsf" | "texttt" | "textup"
        | "mbox" | "hbox" | "mathrm" | "operatorname" => Text,
        "cdot" | "times" | "ast" => Is(Token::Symbol('*')),
        "div" => Is(Token::Symbol('/')),
        "lt" => Is(Token::Symbol('<')),
        "gt" => Is(Token::Symbol('>')),
        "colon" => Is(Token::Symbol(':')),
        "vert" | "lvert" | "rvert" => Is(Token::Symbol('|')),
        _ => match known(name) {
            Some(known) => Is(Token::Command(known)),
            None => Is(Token::Unknown(name.to_owned())),
        },
    }
}

/// The one name of a command that means something in an answer.
fn known(name: &str) -> Option<&'static str> {
    let name = match name {
        "dfrac" | "tfrac" | "cfrac" | "nicefrac" | "sfrac" => "frac",
        "dbinom" | "tbinom" => "binom",
        "leq" | "leqslant" => "le",
        "geq" | "geqslant" => "ge",
        "neq" => "ne",
        "bigcup" => "cup",
        "lbrace" => "{",
        "rbrace" => "}",
        "varnothing" => "emptyset",
        "arcsin" | "asin" => "arcsin",
        "arccos" | "acos" => "arccos",
        "arctan" | "atan" => "arctan",
        "varphi" => "phi",
        "varepsilon" => "epsilon",
        other => other,
    };
    let all = [
        &["frac", "over", "binom", "choose", "sqrt", "pi"][..],
        &["infty", "pm", "mp", "cup"],
        &["le", "ge", "ne", "in", "{", "}", "langle", "rangle"],
        &["emptyset", "overline", "angle", "triangle"],
        &FUNCTIONS,
        &GREEK,
    ];
    (all.into_iter().flatten().copied()).find(|known| *known == name)
}

/// Functions of one argument that may stand without brackets.
pub(in super::super) const FUNCTIONS: [&str; 15] = [
    "sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh",
    "log", "ln", "exp",
];

/// Letters that are variables.
pub(in super::super) const GREEK: [&str; 22] = [
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "kappa", "lambda", "mu",
    "nu", "xi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega", "Delta", "Omega",
];

/// Words short enough to be taken for products, were they not listed.
const SHORT_WORDS: [&str; 33] = [
    "am", "pm", "and", "or", "no", "yes", "odd", "all", "one", "two", "six", "ten", "cm", "mm",
    "km", "ft", "in", "yd", "mi", "kg", "mg", "gm", "lb", "lbs", "oz", "ml", "mph", "min", "hr",
    "hrs", "deg", "sq", "day",
];

/// The tokens of letters that stand together outside `\text{..}`.
pub(super) fn letters(run: &str) -> Vec<Token> {
    let count = run.chars().count();
    let command = match run {
        "pi" | "sqrt" | "sin" | "cos" | "tan" | "cot" | "csc" | "log" | "ln" => known(run),
        "π" => Some("pi"),
        "inf" | "infty" | "infinity" | "oo" => Some("infty"),
        _ => None,
    };
    if let Some(name) = command {
        return vec![Token::Command(name)];
    }
    let listed = SHORT_WORDS.iter().any(|word| {
        let capital = run.strip_prefix(|c: char| c.is_ascii_uppercase());
        *word == run
            || (capital.is_some_and(|rest| rest == &word[1..]) && word.eq_ignore_ascii_case(run))
    });
    if count >= 4 || listed {
        return vec![word(run)];
    }
    if count >= 2 && run.chars().all(char::is_uppercase) {
        // Ends of a segment or choices, say: no product, whose order would not matter.
        return vec![Token::Word {
            letters: run.to_owned(),
            language: false,
        }];
    }
    run.chars().map(Token::Letter).collect()
}

/// A word of a language.
pub(super) fn word(letters: &str) -> Token {
    Token::Word {
        letters: letters.to_owned(),
        language: true,
    }
}

/// What a sign outside ASCII stands for, in LaTeX.
pub(super) fn sign(c: char) -> Option<&'static str> {
    Some(match c {
        '−' | '–' => "-",
        '×' | '·' | '⋅' | '∗' => "*",
        '÷' | '⁄' => "/",
        '∞' => "\\infty ",
        '√' => "\\sqrt ",
        '±' => "\\pm ",
        '≤' => "\\le ",
        '≥' => "\\ge ",
        '≠' => "\\ne ",
        '∪' => "\\cup ",
        '∈' => "\\in ",
        '∅' => "\\emptyset ",
        '⟨' => "\\langle ",
        '⟩' => "\\rangle ",
        '²' => "^2",
        '³' => "^3",
        '½' => "\\frac{1}{2}",
        '¼' => "\\frac{1}{4}",
        '¾' => "\\frac{3}{4}",
        '°' | '€' | '£' | '¥' | '¢' => "",
        '’' => "'",
        _ => return None,
    })
}
