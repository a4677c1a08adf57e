//! RWKV's `User: ..`, `Assistant: ..`.
//!
//! In the pretraining of RWKV World a blank line separates turns, and its author asks for no blank line
//! inside messages. So consecutive line breaks in a message become one, and spaces and line breaks around a
//! message are removed. `Assistant:` ends a prompt without a space; the answer starts with it. A question
//! with an input is `Instruction: ..`, `Input: ..`, `Response:`, as in the authors' examples.

use bone_tokenizer::Piece;

use super::error::RenderError;
use super::strip;
use crate::conversation::{Learnt, Message, Role};

pub(super) const NAME: &str = "rwkv";
/// The separator of turns, which also ends an answer. No message contains it.
pub(super) const STOP: &str = "\n\n";

pub(super) fn prompt(messages: &[Message], learnt: Learnt<'_>) -> Result<Vec<Piece>, RenderError> {
    let mut pieces = vec![Piece::Bos];
    let mut text = String::new();
    for (index, message) in messages.iter().enumerate() {
        let content = clean(&message.content);
        match message.role {
            Role::System => text.push_str(&format!("System: {content}\n\n")),
            Role::User => text.push_str(&format!("User: {content}\n\n")),
            Role::Assistant => {
                text.push_str("Assistant:");
                pieces.push(Piece::read(std::mem::take(&mut text)));
                let text = format!("{}\n\n", spaced(&content));
                let trained = learnt.has(index);
                pieces.push(Piece::Text { text, trained });
            }
            Role::Tool => {
                let wanted = "only system, user and assistant";
                return Err(RenderError::role(NAME, index + 1, message.role, wanted));
            }
        }
    }
    text.push_str("Assistant:");
    pieces.push(Piece::read(text));
    Ok(pieces)
}

pub(super) fn single_prompt(instruction: &str, input: &str) -> Vec<Piece> {
    let (instruction, input) = (clean(instruction), clean(input));
    let text = if input.is_empty() {
        format!("User: {instruction}\n\nAssistant:")
    } else {
        format!("Instruction: {instruction}\n\nInput: {input}\n\nResponse:")
    };
    vec![Piece::Bos, Piece::read(text)]
}

/// Returns the last answer. An end token ends it, as it ends a text in pretraining.
pub(super) fn answer(content: &str) -> Vec<Piece> {
    vec![
        Piece::trained(spaced(&clean(content))),
        Piece::Eos { trained: true },
    ]
}

fn spaced(content: &str) -> String {
    if content.is_empty() {
        String::new()
    } else {
        format!(" {content}")
    }
}

/// Returns a message without blank lines.
fn clean(content: &str) -> String {
    let content = content.replace("\r\n", "\n");
    let mut cleaned = String::with_capacity(content.len());
    for c in strip(&content).chars() {
        if c != '\n' || !cleaned.ends_with('\n') {
            cleaned.push(c);
        }
    }
    cleaned
}
