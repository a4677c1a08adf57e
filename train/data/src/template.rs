//! Prompt templates: turning a row into context and trained text.

use std::fmt;
use std::path::Path;

use bone_tokenizer::Piece;

use super::conversation::{Content, Learnt, Message, Role};

mod chat_template;
mod chatml;
mod custom;
mod error;
mod jinja;
mod llama2_chat;
mod model_files;
mod parse;
mod rwkv;
mod saved;
mod single;

#[cfg(test)]
mod tests;

pub use chat_template::ChatTemplate;
pub use custom::CustomTemplate;
pub use error::{RenderError, TemplateError};

/// Maximum size of a template file, in bytes.
const MAX_FILE: usize = 1 << 20;

/// Templates without a file.
const BUILT_IN: [Template; 5] = [
    Template::Alpaca,
    Template::Plain,
    Template::Rwkv,
    Template::Llama2Chat,
    Template::ChatMl,
];

/// How to turn a row into text, and which part is trained.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Template {
    /// The Alpaca prompt as in the original Bone code. Rows with an input use Alpaca's own wording. For one
    /// question and its answer.
    #[default]
    Alpaca,
    /// The instruction and the input unchanged, with nothing between them. For one question and its answer.
    Plain,
    /// RWKV's `User: ..`, `Assistant: ..`, for RWKV World. Blank lines within messages are removed, because
    /// they separate messages.
    Rwkv,
    /// The format of Llama 2's chat models, `[INST] .. [/INST]`.
    Llama2Chat,
    /// ChatML, `<|im_start|>..<|im_end|>`.
    ChatMl,
    /// A custom template for one question and its answer.
    Custom(CustomTemplate),
    /// A Hugging Face chat template.
    Jinja(ChatTemplate),
}

impl Template {
    /// Loads a template by name or path. A name is a built-in (`alpaca`, `plain`, `rwkv`, `llama2-chat`,
    /// `chatml`), or `model` for the chat template in the model's folder. A file is a chat template if it
    /// ends in `.jinja`, `.jinja2` or `.j2`; for other files see [`Template::parse`].
    ///
    /// A folder's chat template is its `chat_template.jinja`, else `chat_template` of its
    /// `tokenizer_config.json` (of several the one named `default`), else that of its `chat_template.json`.
    /// The texts of special tokens always come from the folder, wherever the template is from.
    ///
    /// # Errors
    /// [`TemplateError`]: the file does not exist, or what is wrong with it.
    pub fn load(name_or_path: &str, model_folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut built_in = BUILT_IN.into_iter();
        if let Some(built_in) = built_in.find(|known| known.to_string() == name_or_path) {
            return Ok(built_in);
        }
        if name_or_path == "model" {
            let Some(folder) = model_folder else {
                return Err(TemplateError(
                    "the template 'model' is the chat template of a model folder, but this model is a \
                     single file: use another template, or give a .jinja file"
                        .to_owned(),
                ));
            };
            return model_files::chat_template(folder).map(Self::Jinja);
        }
        let path = Path::new(name_or_path);
        let text = match model_files::read(path, MAX_FILE) {
            Ok(text) => text.ok_or_else(|| "file not found".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let text = text.map_err(|why| {
            TemplateError(format!(
                "template '{name_or_path}': {why}; choose alpaca, plain, rwkv, llama2-chat, chatml, model \
                 (the model's own chat template), or a file: a chat template (.jinja), or any other with \
                 {{instruction}}, {{input}} and {{response}}"
            ))
        })?;
        let extension = path.extension().and_then(|extension| extension.to_str());
        match extension {
            Some("jinja" | "jinja2" | "j2") => {
                let tokens = match model_folder {
                    Some(folder) => model_files::special_tokens(folder)?,
                    None => Default::default(),
                };
                ChatTemplate::parse(&text, name_or_path, tokens).map(Self::Jinja)
            }
            _ => Self::parse(&text, name_or_path),
        }
    }

    /// Parses a custom template. `origin` is its name in errors and in [`Display`](fmt::Display).
    ///
    /// The text before `{response}` is the prompt. It must contain `{instruction}` and may contain
    /// `{input}`. The text after `{response}` is trained with the response. `{{` and `}}` stand for braces.
    /// One final line break, which editors add, is dropped.
    ///
    /// # Errors
    /// [`TemplateError`] with every problem.
    pub fn parse(text: &str, origin: &str) -> Result<Self, TemplateError> {
        CustomTemplate::parse(text, origin).map(Self::Custom)
    }

    /// Returns the whole sequence of a row. Every assistant message is trained, with the text that ends it,
    /// and so is all of a [`Content::Text`]. Messages after the last assistant message are dropped: they
    /// are never trained. Earlier assistant messages may be context only.
    ///
    /// A template for one question accepts a chat of a system message, one question and one answer. The
    /// system message comes before the question, with a blank line between. A chat template turns a
    /// question and its answer into a chat of two messages. An input follows the instruction, with a blank
    /// line between.
    ///
    /// # Errors
    /// [`RenderError`] if the template does not support such a row.
    pub fn pieces(&self, content: &Content) -> Result<Vec<Piece>, RenderError> {
        let (mut pieces, answer) = match content {
            Content::Text(text) => {
                return Ok(vec![
                    Piece::Bos,
                    Piece::trained(text.as_str()),
                    Piece::Eos { trained: true },
                ]);
            }
            Content::Single {
                instruction,
                input,
                response,
            } => {
                if self.is_for_chats() {
                    let answer = Message::new(Role::Assistant, response.as_str());
                    let messages = vec![question(instruction, input), answer];
                    return self.pieces(&Content::chat(messages));
                }
                (self.single(instruction, input), response.as_str())
            }
            Content::Chat {
                messages,
                only_read,
            } => {
                let (before, answer) = split_answer(messages, only_read)?;
                if let Self::Jinja(chat) = self {
                    return chat.pieces(&messages[..=before.len()], only_read);
                }
                (self.turns(before, Learnt::AllBut(only_read))?, answer)
            }
        };
        pieces.extend(self.answer(answer));
        Ok(pieces)
    }

    /// Returns the text that the model reads before it answers the last message; none of it is trained. Its
    /// tokens are exactly the beginning of what [`Template::pieces`] returns with the answer.
    ///
    /// # Errors
    /// [`RenderError`] if the template does not support such messages, or the last one cannot be answered.
    pub fn prompt(&self, messages: &[Message]) -> Result<Vec<Piece>, RenderError> {
        match messages.last().map(|message| message.role) {
            None => Err(empty()),
            Some(role @ (Role::System | Role::Assistant)) => Err(RenderError::Refused(format!(
                "the last message is by {role}, but must be by user or tool for the model to answer it"
            ))),
            Some(Role::User | Role::Tool) => match self {
                Self::Jinja(chat) => chat.prompt(messages),
                _ => self.turns(messages, Learnt::None),
            },
        }
    }

    /// Returns the text that the model reads before the last answer of a row: the row's pieces before that
    /// answer, not trained. For a [`Content::Text`] it is only the beginning.
    ///
    /// # Errors
    /// Like [`Template::pieces`].
    pub fn prompt_of(&self, content: &Content) -> Result<Vec<Piece>, RenderError> {
        match content {
            Content::Text(_) => Ok(vec![Piece::Bos]),
            Content::Single {
                instruction, input, ..
            } if self.is_for_chats() => self.prompt(&[question(instruction, input)]),
            Content::Single {
                instruction, input, ..
            } => Ok(self.single(instruction, input)),
            Content::Chat {
                messages,
                only_read,
            } => {
                let (before, _) = split_answer(messages, only_read)?;
                match self {
                    Self::Jinja(chat) => chat.prompt(before),
                    _ => self.turns(before, Learnt::None),
                }
            }
        }
    }

    /// Returns the texts that end an answer, besides the tokenizer's end tokens. They are not part of it.
    ///
    /// `rwkv` has a blank line: none of its messages contains one.
    pub fn stops(&self) -> Vec<String> {
        match self {
            Self::Rwkv => vec![rwkv::STOP.to_owned()],
            Self::ChatMl => vec![chatml::STOP.to_owned()],
            Self::Jinja(chat) => chat.stops(),
            Self::Alpaca | Self::Plain | Self::Llama2Chat | Self::Custom(_) => Vec::new(),
        }
    }

    /// Returns whether a row's input appears in its prompt.
    pub fn uses_input(&self) -> bool {
        match self {
            Self::Custom(custom) => custom.uses_input(),
            _ => true,
        }
    }

    /// Returns the text that the template itself writes after an answer.
    pub(super) fn suffix(&self) -> &str {
        match self {
            Self::Custom(custom) => custom.suffix(),
            _ => "",
        }
    }

    /// Returns whether the template treats one question like any other chat.
    fn is_for_chats(&self) -> bool {
        matches!(self, Self::Llama2Chat | Self::ChatMl | Self::Jinja(_))
    }

    /// Returns the pieces before the answer to one question. The template is for one question, or has a
    /// separate form for it.
    fn single(&self, instruction: &str, input: &str) -> Vec<Piece> {
        match self {
            Self::Rwkv => rwkv::single_prompt(instruction, input),
            _ => vec![
                Piece::Bos,
                Piece::read(self.single_prompt(instruction, input)),
            ],
        }
    }

    /// Returns the pieces before the next answer, for any template except [`Template::Jinja`]. Answers
    /// among the messages are trained if `learnt` includes them.
    fn turns(&self, messages: &[Message], learnt: Learnt<'_>) -> Result<Vec<Piece>, RenderError> {
        match self {
            Self::Rwkv => rwkv::prompt(messages, learnt),
            Self::Llama2Chat => llama2_chat::prompt(messages, learnt),
            Self::ChatMl => Ok(chatml::prompt(messages, learnt)),
            _ => Ok(self.single(&self.only_question(messages)?, "")),
        }
    }

    /// Returns the last answer, for any template except [`Template::Jinja`].
    fn answer(&self, answer: &str) -> Vec<Piece> {
        match self {
            Self::Rwkv => rwkv::answer(answer),
            Self::Llama2Chat => llama2_chat::answer(answer),
            Self::ChatMl => chatml::answer(answer),
            _ => self.single_answer(answer),
        }
    }
}

/// Splits a chat into the messages before the last trained answer, and that answer's text.
fn split_answer<'a>(
    messages: &'a [Message],
    only_read: &[usize],
) -> Result<(&'a [Message], &'a str), RenderError> {
    if messages.is_empty() {
        return Err(empty());
    }
    let mut from_end = messages.iter().enumerate().rev();
    from_end
        .find(|(at, message)| message.role == Role::Assistant && !only_read.contains(at))
        .map(|(at, message)| (&messages[..at], message.content.as_str()))
        .ok_or(RenderError::NoAnswer)
}

fn empty() -> RenderError {
    RenderError::Refused("the conversation has no messages".to_owned())
}

/// Returns a question as a message.
fn question(instruction: &str, input: &str) -> Message {
    Message::new(
        Role::User,
        if input.is_empty() {
            instruction.to_owned()
        } else {
            format!("{instruction}\n\n{input}")
        },
    )
}

/// Strips white space like Python's `str.strip()`, which the formats were made with.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// Writes the built-in's name, or the template's origin.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alpaca => "alpaca",
            Self::Plain => "plain",
            Self::Rwkv => rwkv::NAME,
            Self::Llama2Chat => llama2_chat::NAME,
            Self::ChatMl => "chatml",
            Self::Custom(custom) => &custom.origin,
            Self::Jinja(chat) => &chat.origin,
        })
    }
}
