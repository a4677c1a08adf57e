//! The format of Llama 2's chat models.
//!
//! Every question and its answer is a sequence of its own, between a beginning and an end token:
//! `[INST] question [/INST] answer `. What the system says is in the first question. White space
//! around messages goes, as in the reference implementation.

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
    let mut asked = false;
    for (index, message) in turns.iter().enumerate() {
        let wanted = if asked { Role::Assistant } else { Role::User };
        if message.role != wanted {
            return Err(RenderError::Role {
                template: NAME.to_owned(),
                at: index + 1 + usize::from(system.is_some()),
                found: message.role,
                wanted: match wanted {
                    Role::User => "user (user and assistant in turn, system at most first)",
                    _ => "assistant (user and assistant in turn)",
                },
            });
        }
        if asked {
            let text = format!(" {} ", strip(&message.content));
            let trained = learnt.has(index + usize::from(system.is_some()));
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
        asked = !asked;
    }
    if asked {
        Ok(pieces)
    } else {
        Err(RenderError::Role {
            template: NAME.to_owned(),
            at: messages.len() + 1,
            found: Role::Assistant,
            wanted: "user (user and assistant in turn, system at most first)",
        })
    }
}

pub(super) fn answer(content: &str) -> Vec<Piece> {
    vec![
        Piece::trained(format!(" {} ", strip(content))),
        Piece::Eos { trained: true },
    ]
}
