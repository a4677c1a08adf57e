//! The format of Llama 2's chat models.
//!
//! Every question and its answer is a separate sequence between a beginning and an end token:
//! `[INST] question [/INST] answer `. The system message is part of the first question. White space around
//! messages is removed, as in the reference implementation.

use bone_tokenizer::Piece;

use super::error::RenderError;
use super::strip;
use crate::conversation::{Learnt, Message, Role};

pub(super) const NAME: &str = "llama2-chat";

pub(super) fn prompt(messages: &[Message], learnt: Learnt<'_>) -> Result<Vec<Piece>, RenderError> {
    let mut pieces = Vec::new();
    let (system, turns) = match messages {
        [first, turns @ ..] if first.role == Role::System => (Some(&first.content), turns),
        turns => (None, turns),
    };
    let first = messages.len() - turns.len();
    const USER: &str = "user (user and assistant in turn, system at most first)";
    for (index, message) in turns.iter().enumerate() {
        let at = first + index;
        let (wanted, whom) = if index.is_multiple_of(2) {
            (Role::User, USER)
        } else {
            (Role::Assistant, "assistant (user and assistant in turn)")
        };
        if message.role != wanted {
            return Err(RenderError::role(NAME, at + 1, message.role, whom));
        }
        if message.role == Role::Assistant {
            let text = format!(" {} ", strip(&message.content));
            let trained = learnt.has(at);
            pieces.push(Piece::Text { text, trained });
            pieces.push(Piece::Eos { trained });
        } else {
            let question = match system.filter(|_| index == 0) {
                Some(system) => format!("<<SYS>>\n{system}\n<</SYS>>\n\n{}", message.content),
                None => message.content.clone(),
            };
            pieces.push(Piece::Bos);
            pieces.push(Piece::read(format!("[INST] {} [/INST]", strip(&question))));
        }
    }
    if turns.len().is_multiple_of(2) {
        let at = messages.len() + 1;
        return Err(RenderError::role(NAME, at, Role::Assistant, USER));
    }
    Ok(pieces)
}

pub(super) fn answer(content: &str) -> Vec<Piece> {
    vec![
        Piece::trained(format!(" {} ", strip(content))),
        Piece::Eos { trained: true },
    ]
}
