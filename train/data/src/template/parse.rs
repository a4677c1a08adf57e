//! The placeholder syntax of a template file.

use thiserror::Error;

/// A piece of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Field(Field),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Instruction,
    Input,
}

/// One thing wrong with a template.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateProblem {
    /// A name other than the three.
    #[error(
        "line {line}: unknown placeholder '{{{name}}}' (there are {{instruction}}, {{input}} and \
         {{response}}; write {{{{ and }}}} for braces)"
    )]
    Unknown {
        /// What stands between the braces.
        name: String,
        /// Line of the template, from 1.
        line: usize,
    },
    /// A brace without its other half.
    #[error("line {line}: a single '{brace}' (write {brace}{brace} for a brace)")]
    LoneBrace {
        /// The brace.
        brace: char,
        /// Line of the template, from 1.
        line: usize,
    },
    /// `{instruction}` or `{response}` is not there.
    #[error("missing placeholder '{{{0}}}'")]
    Missing(&'static str),
    /// `{response}` stands there more than once.
    #[error("line {line}: '{{response}}' may stand there only once")]
    RepeatedResponse {
        /// Line of the template, from 1.
        line: usize,
    },
    /// `{instruction}` or `{input}` after `{response}`, where text is trained.
    #[error("line {line}: '{{{name}}}' must come before '{{response}}'")]
    AfterResponse {
        /// The placeholder.
        name: &'static str,
        /// Line of the template, from 1.
        line: usize,
    },
}

/// Splits a template into the parts of its prompt and its suffix.
pub(super) fn parse(text: &str) -> Result<(Vec<Part>, String), Vec<TemplateProblem>> {
    let mut problems = Vec::new();
    let mut prompt = Vec::new();
    let mut literal = String::new();
    let (mut instruction_seen, mut response_seen) = (false, false);
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        literal.push_str(&rest[..at]);
        let line = 1 + text[..text.len() - rest.len() + at].matches('\n').count();
        rest = &rest[at..];
        if let Some(brace) = ["{{", "}}"].into_iter().find(|b| rest.starts_with(b)) {
            literal.push_str(&brace[1..]);
            rest = &rest[2..];
            continue;
        }
        let Some(name) = placeholder(rest) else {
            let brace = if rest.starts_with('{') { '{' } else { '}' };
            problems.push(TemplateProblem::LoneBrace { brace, line });
            rest = &rest[1..];
            continue;
        };
        rest = &rest[name.len() + 2..];
        let field = match name {
            "instruction" => {
                instruction_seen = true;
                Field::Instruction
            }
            "input" => Field::Input,
            "response" => {
                if response_seen {
                    problems.push(TemplateProblem::RepeatedResponse { line });
                }
                response_seen = true;
                prompt.push(Part::Text(std::mem::take(&mut literal)));
                continue;
            }
            _ => {
                let name = name.to_owned();
                problems.push(TemplateProblem::Unknown { name, line });
                continue;
            }
        };
        if response_seen {
            let name = match field {
                Field::Instruction => "instruction",
                Field::Input => "input",
            };
            problems.push(TemplateProblem::AfterResponse { name, line });
        }
        prompt.push(Part::Text(std::mem::take(&mut literal)));
        prompt.push(Part::Field(field));
    }
    literal.push_str(rest);
    if !instruction_seen {
        problems.push(TemplateProblem::Missing("instruction"));
    }
    if !response_seen {
        problems.push(TemplateProblem::Missing("response"));
    }
    if problems.is_empty() {
        Ok((prompt, literal))
    } else {
        Err(problems)
    }
}

/// The name in `text`'s leading `{name}`, if its brace is closed on the same line.
fn placeholder(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('{')?;
    let end = inside.find(['{', '}', '\n'])?;
    inside[end..].starts_with('}').then_some(&inside[..end])
}
