use super::{Tokenizer, TokenizerError};

/// The ids of a prompt followed by a response, and how many of them are the prompt's, the
/// beginning-of-sequence token included.
///
/// The prompt's ids are exactly those that generation from the prompt alone starts with. Where
/// the two tokenised as one text keep them, the response's ids come from there, as the model saw
/// text in pretraining; where a token would span the seam, the response is tokenised by itself.
/// No end token is appended.
///
/// # Errors
/// When a text can't be tokenised.
pub fn encode_prompt_and_response(
    tokenizer: &dyn Tokenizer,
    prompt: &str,
    response: &str,
) -> Result<(Vec<u32>, usize), TokenizerError> {
    let prompt_ids = tokenizer.encode(prompt)?;
    let joint_ids = tokenizer.encode(&format!("{prompt}{response}"))?;
    let mut ids: Vec<u32> = tokenizer.bos().into_iter().collect();
    let prompt_len = ids.len() + prompt_ids.len();
    if joint_ids.starts_with(&prompt_ids) {
        ids.extend(joint_ids);
    } else {
        ids.extend(prompt_ids);
        ids.extend(tokenizer.encode(response)?);
    }
    Ok((ids, prompt_len))
}
