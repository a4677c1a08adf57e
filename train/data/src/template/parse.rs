//! The placeholder syntax of a template file.

/// A piece of a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Text(String),
    Instruction,
    Input,
}

/// Splits a template into the parts of its prompt and its suffix.
pub(super) fn parse(text: &str) -> Result<(Vec<Part>, String), Vec<String>> {
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
            let brace = &rest[..1];
            problems.push(format!(
                "line {line}: a single '{brace}' (write {brace}{brace} for a literal brace)"
            ));
            rest = &rest[1..];
            continue;
        };
        rest = &rest[name.len() + 2..];
        let field = match name {
            "instruction" => Part::Instruction,
            "input" => Part::Input,
            "response" => {
                if response_seen {
                    problems.push(format!("line {line}: '{{response}}' must occur only once"));
                }
                response_seen = true;
                prompt.push(Part::Text(std::mem::take(&mut literal)));
                continue;
            }
            _ => {
                problems.push(format!(
                    "line {line}: unknown placeholder '{{{name}}}'; use {{instruction}}, {{input}} and \
                     {{response}} (write {{{{ and }}}} for literal braces)"
                ));
                continue;
            }
        };
        instruction_seen |= field == Part::Instruction;
        if response_seen {
            problems.push(format!(
                "line {line}: '{{{name}}}' must come before '{{response}}'"
            ));
        }
        prompt.push(Part::Text(std::mem::take(&mut literal)));
        prompt.push(field);
    }
    literal.push_str(rest);
    for (name, seen) in [
        ("instruction", instruction_seen),
        ("response", response_seen),
    ] {
        if !seen {
            problems.push(format!("missing placeholder '{{{name}}}'"));
        }
    }
    if problems.is_empty() {
        Ok((prompt, literal))
    } else {
        Err(problems)
    }
}

/// Returns the name in a leading `{name}` of `text`, if the brace closes on the same line.
fn placeholder(text: &str) -> Option<&str> {
    let inside = text.strip_prefix('{')?;
    let end = inside.find(['{', '}', '\n'])?;
    inside[end..].starts_with('}').then_some(&inside[..end])
}
