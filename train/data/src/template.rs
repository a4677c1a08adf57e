//! Prompt templates: how a row becomes what is read and what is learnt.

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

/// The longest template file that is read, in bytes.
const MAX_FILE: usize = 1 << 20;

/// The templates that need no file.
const BUILT_IN: [Template; 5] = [
    Template::Alpaca,
    Template::Plain,
    Template::Rwkv,
    Template::Llama2Chat,
    Template::ChatMl,
];

/// How a row becomes a sequence of text, and which of it is learnt.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Template {
    /// The Alpaca prompt, as the seed of Bone uses it, with Alpaca's own wording for rows that
    /// have an input. For one question and its answer.
    #[default]
    Alpaca,
    /// The instruction and the input as they are, with nothing between. For one question and its
    /// answer.
    Plain,
    /// RWKV's `User: ..`, `Assistant: ..`, for RWKV World. Blank lines within messages go, as
    /// they separate messages.
    Rwkv,
    /// The format of Llama 2's chat models, `[INST] .. [/INST]`.
    Llama2Chat,
    /// ChatML, `<|im_start|>..<|im_end|>`.
    ChatMl,
    /// A template of one's own, for one question and its answer.
    Custom(CustomTemplate),
    /// A chat template of Hugging Face.
    Jinja(ChatTemplate),
}

impl Template {
    /// A template by a name or a path: a built-in's name (`alpaca`, `plain`, `rwkv`,
    /// `llama2-chat`, `chatml`), `model` for the chat template in the model's folder, or a file:
    /// a chat template if it ends in `.jinja`, `.jinja2` or `.j2`, else see [`Template::parse`].
    ///
    /// The chat template of a folder is its `chat_template.jinja`, else `chat_template` of its
    /// `tokenizer_config.json` (of several the one named `default`), else that of its
    /// `chat_template.json`. The texts of special tokens that chat templates write are those of
    /// the folder, wherever the template is from.
    ///
    /// # Errors
    /// [`TemplateError`]: no such file, or what is wrong with it.
    pub fn load(name_or_path: &str, model_folder: Option<&Path>) -> Result<Self, TemplateError> {
        let mut built_in = BUILT_IN.into_iter();
        if let Some(built_in) = built_in.find(|known| known.to_string() == name_or_path) {
            return Ok(built_in);
        }
        if name_or_path == "model" {
            let Some(folder) = model_folder else {
                return Err(TemplateError(
                    "the template 'model' is the chat template in a model's folder, and the model \
                     here is a single file: name another template, or the path of a .jinja file"
                        .to_owned(),
                ));
            };
            return model_files::chat_template(folder).map(Self::Jinja);
        }
        let path = Path::new(name_or_path);
        let text = match model_files::read(path, MAX_FILE) {
            Ok(text) => text.ok_or_else(|| "there is no such file".to_owned()),
            Err(error) => Err(error.to_string()),
        };
        let text = text.map_err(|why| {
            TemplateError(format!(
                "template '{name_or_path}': {why}; give alpaca, plain, rwkv, llama2-chat, chatml, \
                 model (the model's own chat template), or a file: a chat template (.jinja), or \
                 any other with {{instruction}}, {{input}} and {{response}}"
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

    /// Reads a template of one's own; `origin` is what errors and [`Display`](fmt::Display) call it.
    ///
    /// The text before `{response}` is the prompt and must hold `{instruction}`; it may hold
    /// `{input}`. The text after `{response}` is trained with the response. `{{` and `}}` stand
    /// for braces. One line break at the very end is taken as the editor's and left out.
    ///
    /// # Errors
    /// [`TemplateError`] with every problem.
    pub fn parse(text: &str, origin: &str) -> Result<Self, TemplateError> {
        CustomTemplate::parse(text, origin).map(Self::Custom)
    }

    /// The whole sequence of a row. What the assistant says is trained, every time, with what
    /// ends it; all of a [`Content::Text`] is. Messages after the last of the assistant's teach
    /// nothing and are left out; of those before it some may be only read.
    ///
    /// A chat for a template of one question may have what the system says, one question and one
    /// answer; the first comes before the question, a blank line between. For a chat template, a
    /// question and its answer are a chat of two messages, an input after the instruction with a
    /// blank line between.
    ///
    /// # Errors
    /// [`RenderError`] when the template cannot be used for such a row.
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

    /// What the model reads before it answers the last message, none of it trained. Tokenised,
    /// it is exactly the beginning of what [`Template::pieces`] gives with the answer.
    ///
    /// # Errors
    /// [`RenderError`] when the template cannot be used for such messages, or the last of them
    /// is not one to answer.
    pub fn prompt(&self, messages: &[Message]) -> Result<Vec<Piece>, RenderError> {
        match messages.last().map(|message| message.role) {
            None => Err(empty()),
            Some(role @ (Role::System | Role::Assistant)) => Err(RenderError::Refused(format!(
                "the last message is by {role}: it must be by user or tool, for the model to \
                 answer it"
            ))),
            Some(Role::User | Role::Tool) => match self {
                Self::Jinja(chat) => chat.prompt(messages),
                _ => self.turns(messages, Learnt::None),
            },
        }
    }

    /// What the model reads before it writes the last answer of a row: the row's pieces before
    /// that answer, none of them trained. Of a [`Content::Text`] it is only the beginning.
    ///
    /// # Errors
    /// As [`Template::pieces`].
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

    /// Texts that end an answer, beside the tokenizer's end tokens. They are no part of it.
    ///
    /// `rwkv` has a blank line: no message of its has one within.
    pub fn stops(&self) -> Vec<String> {
        match self {
            Self::Rwkv => vec![rwkv::STOP.to_owned()],
            Self::ChatMl => vec![chatml::STOP.to_owned()],
            Self::Jinja(chat) => chat.stops(),
            Self::Alpaca | Self::Plain | Self::Llama2Chat | Self::Custom(_) => Vec::new(),
        }
    }

    /// Whether a row's input appears in its prompt.
    pub fn uses_input(&self) -> bool {
        match self {
            Self::Custom(custom) => custom.uses_input(),
            _ => true,
        }
    }

    /// What the template writes behind an answer, by itself.
    pub(super) fn suffix(&self) -> &str {
        match self {
            Self::Custom(custom) => custom.suffix(),
            _ => "",
        }
    }

    /// Whether one question is a chat like any other.
    fn is_for_chats(&self) -> bool {
        matches!(self, Self::Llama2Chat | Self::ChatMl | Self::Jinja(_))
    }

    /// The pieces before the answer to one question, of a template that is for one or has a form
    /// of its own for it.
    fn single(&self, instruction: &str, input: &str) -> Vec<Piece> {
        match self {
            Self::Rwkv => rwkv::single_prompt(instruction, input),
            _ => vec![
                Piece::Bos,
                Piece::read(self.single_prompt(instruction, input)),
            ],
        }
    }

    /// The pieces before the next answer, of any template but [`Template::Jinja`]; answers among
    /// the messages are trained if they are learnt.
    fn turns(&self, messages: &[Message], learnt: Learnt<'_>) -> Result<Vec<Piece>, RenderError> {
        match self {
            Self::Rwkv => rwkv::prompt(messages, learnt),
            Self::Llama2Chat => llama2_chat::prompt(messages, learnt),
            Self::ChatMl => Ok(chatml::prompt(messages, learnt)),
            _ => Ok(self.single(&self.only_question(messages)?, "")),
        }
    }

    /// The last answer, of any template but [`Template::Jinja`].
    fn answer(&self, answer: &str) -> Vec<Piece> {
        match self {
            Self::Rwkv => rwkv::answer(answer),
            Self::Llama2Chat => llama2_chat::answer(answer),
            Self::ChatMl => chatml::answer(answer),
            _ => self.single_answer(answer),
        }
    }
}

/// The messages before the last of the assistant's that is learnt, and that one's text.
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

/// A question as a message.
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

/// Python's `str.strip()`, as the formats were made with.
fn strip(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || ('\x1c'..='\x1f').contains(&c))
}

/// The built-in's name, or where the template is from.
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
