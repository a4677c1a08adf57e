//! Templates for one question and its answer.

use bone_tokenizer::Piece;

use super::Template;
use super::error::RenderError;
use crate::conversation::{Message, Role};
use bone_files::wording::joined;

impl Template {
    /// Returns the text before the answer, for a template of one question.
    pub(super) fn single_prompt(&self, instruction: &str, input: &str) -> String {
        match self {
            Self::Alpaca if input.is_empty() => format!(
                "Below is an instruction that describes a task. Write a response that \
                 appropriately completes the request.\n\n\
                 ### Instruction:\n{instruction}\n\n### Response:"
            ),
            Self::Alpaca => format!(
                "Below is an instruction that describes a task, paired with an input that \
                 provides further context. Write a response that appropriately completes the \
                 request.\n\n\
                 ### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
            ),
            Self::Custom(custom) => custom.prompt(instruction, input),
            _ => format!("{instruction}{input}"),
        }
    }

    /// Returns the trained text after a prompt of one question.
    pub(super) fn single_answer(&self, response: &str) -> Vec<Piece> {
        vec![
            Piece::trained(format!("{response}{}", self.suffix())),
            Piece::Eos { trained: true },
        ]
    }

    /// Returns the only question of a chat, after the system message and a blank line.
    pub(super) fn only_question(&self, messages: &[Message]) -> Result<String, RenderError> {
        match messages {
            [user] if user.role == Role::User => Ok(user.content.clone()),
            [system, user] if (system.role, user.role) == (Role::System, Role::User) => {
                Ok(format!("{}\n\n{}", system.content, user.content))
            }
            messages => {
                let roles = messages.iter().map(|message| message.role.to_string());
                Err(RenderError::SingleTurn(format!(
                    "the template '{self}' supports one question and its answer, not the messages {}; for \
                     conversations use rwkv, llama2-chat, chatml, model or a .jinja file",
                    joined(roles, ", ")
                )))
            }
        }
    }
}
