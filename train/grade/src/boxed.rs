//! `\boxed{…}` and `\fbox{…}`.

/// Returns what the last box holds: of `\boxed …` with a space, if there is any, up to the next
/// dollar sign; else of the last `\boxed{…}`, or where there is no `\boxed`, `\fbox{…}`. `None`
/// where that one is not closed or is empty.
pub(crate) fn last(text: &str) -> Option<&str> {
    let content = match text.rsplit_once("\\boxed ") {
        Some((_, rest)) => rest.split('$').next()?,
        None => {
            let start = text.rfind("\\boxed").or_else(|| text.rfind("\\fbox"))?;
            let (name, content) = text[start..].split_once('{')?;
            if name != "\\boxed" && name != "\\fbox" {
                return None;
            }
            &content[..closing_brace(content)?]
        }
    };
    Some(content).filter(|content| !content.trim().is_empty())
}

/// Returns the position of the brace that closes the one before the text.
fn closing_brace(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    text.bytes().position(|byte| {
        match byte {
            b'{' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        open == 0
    })
}
