//! `\boxed{…}` and `\fbox{…}`.

/// Returns the content of the last box. If the text has `\boxed …` with a space, returns the text after its
/// last one, up to the next dollar sign. Otherwise returns the content of the last `\boxed{…}` or,
/// without any `\boxed`, of the last `\fbox{…}`. `None` if that box is not closed or is empty.
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

/// Returns the position of the brace that closes a brace just before the text.
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
