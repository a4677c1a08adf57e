//! Hugging Face's chat templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use bone_tokenizer::Piece;
use serde_json::{Map, Value, json};

use super::error::{RenderError, TemplateError};
use super::jinja::{Fault, FaultKind, Program};
use crate::conversation::{Learnt, Message, Role};

/// Maximum length of a template's output in bytes, and the extra bytes allowed per byte of the messages.
const MAX_TEXT: usize = 1 << 20;
const MAX_GROWTH: usize = 8;

/// Texts of special tokens by their names, such as `bos_token`.
pub(super) type SpecialTokens = BTreeMap<String, String>;

/// A chat template, with the texts of its special tokens.
///
/// As in transformers, its variables are `messages` (each with `role` and `content`),
/// `add_generation_prompt`, the special tokens, and `tools` and `documents` as none. Its functions are
/// `raise_exception` and `strftime_now`. The date is always 26 July 2024, so that a model later reads the
/// text it was trained on. It cannot use files or other templates, and its time and memory are limited.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    pub(super) origin: String,
    pub(super) source: String,
    pub(super) special_tokens: SpecialTokens,
    program: Arc<Program>,
}

// The parsed form depends only on the source.
impl PartialEq for ChatTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin
            && self.source == other.source
            && self.special_tokens == other.special_tokens
    }
}

impl Eq for ChatTemplate {}

impl ChatTemplate {
    /// Parses a chat template. `origin` is its name in errors.
    pub(super) fn parse(
        source: &str,
        origin: &str,
        special_tokens: SpecialTokens,
    ) -> Result<Self, TemplateError> {
        let program =
            Program::parse(source).map_err(|fault| TemplateError(fault.of_template(origin)))?;
        Ok(Self {
            origin: origin.to_owned(),
            source: source.to_owned(),
            special_tokens,
            program: Arc::new(program),
        })
    }

    /// Returns the text of messages, like `apply_chat_template` of transformers.
    ///
    /// # Errors
    /// [`RenderError::Refused`], [`RenderError::Limit`] and [`RenderError::NotTried`].
    pub fn render(
        &self,
        messages: &[Message],
        add_generation_prompt: bool,
    ) -> Result<String, RenderError> {
        let mut names = Map::new();
        for (name, text) in &self.special_tokens {
            names.insert(name.clone(), Value::from(text.as_str()));
        }
        let messages_json = messages
            .iter()
            .map(|Message { role, content }| json!({"role": role.name(), "content": content}))
            .collect();
        names.insert("messages".to_owned(), Value::Array(messages_json));
        names.insert(
            "add_generation_prompt".to_owned(),
            add_generation_prompt.into(),
        );
        names.insert("tools".to_owned(), Value::Null);
        names.insert("documents".to_owned(), Value::Null);
        let input: usize = messages.iter().map(|message| message.content.len()).sum();
        self.program
            .render(&names, MAX_TEXT + MAX_GROWTH * input)
            .map_err(|fault| self.render_error(fault))
    }

    fn render_error(&self, fault: Fault) -> RenderError {
        let text = fault.of_template(&self.origin);
        match fault.kind {
            FaultKind::Limit => RenderError::Limit(text),
            FaultKind::NotTried => RenderError::NotTried(text),
            FaultKind::Broken => RenderError::Refused(text),
            FaultKind::Refused => RenderError::Refused(format!(
                "the chat template '{}' refuses the conversation: {}",
                self.origin, fault.message
            )),
        }
    }

    /// Returns the text up to the last message, which is the assistant's. Every assistant turn is trained,
    /// except those at the positions `only_read`. A turn is the text that a message adds after the text
    /// that asks for it.
    pub(super) fn pieces(
        &self,
        messages: &[Message],
        only_read: &[usize],
    ) -> Result<Vec<Piece>, RenderError> {
        let whole = self.render(messages, false)?;
        // The last message's turn ends where the whole text ends.
        self.turns(messages, &whole, Learnt::AllBut(only_read))
            .map(|(pieces, _)| pieces)
    }

    /// Returns the text that asks for an answer, in the same pieces as in training.
    pub(super) fn prompt(&self, messages: &[Message]) -> Result<Vec<Piece>, RenderError> {
        let whole = self.render(messages, true)?;
        match self.turns(messages, &whole, Learnt::None) {
            Ok((mut pieces, at)) => {
                pieces.push(Piece::read(&whole[at..]));
                Ok(pieces)
            }
            // No training used this text, so it need not be split in the same way.
            Err(RenderError::NotInTurns(_)) => Ok(vec![Piece::read(whole)]),
            Err(other) => Err(other),
        }
    }

    /// Returns the pieces up to the end of the last assistant turn, and its position in `whole`.
    fn turns(
        &self,
        messages: &[Message],
        whole: &str,
        learnt: Learnt<'_>,
    ) -> Result<(Vec<Piece>, usize), RenderError> {
        let mut pieces = Vec::new();
        let mut at = 0;
        for (index, message) in messages.iter().enumerate() {
            if message.role != Role::Assistant {
                continue;
            }
            let not_in_turns = |what| {
                RenderError::NotInTurns(format!(
                    "the chat template '{}' cannot be used for training: {what} (up to message {}). The \
                     assistant's text is then unknown. Use chatml, or change the template so that no \
                     message depends on later ones",
                    self.origin,
                    index + 1
                ))
            };
            let asked = self.render(&messages[..index], true)?;
            let answered = match index + 1 == messages.len() {
                // The whole text was rendered like this, or ends with a prompt and is longer.
                true if learnt != Learnt::None => whole.to_owned(),
                _ => self.render(&messages[..=index], false)?,
            };
            if !answered.starts_with(&asked) {
                return Err(not_in_turns(
                    "the generation prompt differs from the start of the assistant's message",
                ));
            }
            if !whole.starts_with(&answered) || asked.len() < at {
                return Err(not_in_turns(
                    "the text of a message changes when more messages follow",
                ));
            }
            pieces.push(Piece::read(&whole[at..asked.len()]));
            pieces.push(Piece::Text {
                text: whole[asked.len()..answered.len()].to_owned(),
                trained: learnt.has(index),
            });
            at = answered.len();
        }
        Ok((pieces, at))
    }

    /// Returns the text that the template writes between an answer and the end token, without surrounding
    /// white space. Empty if it cannot be determined. The end token ends generation by itself.
    pub(super) fn stops(&self) -> Vec<String> {
        const ANSWER: &str = "An answer 0123456789.";
        let messages = [
            Message::new(Role::User, "A question?"),
            Message::new(Role::Assistant, ANSWER),
        ];
        let text = self.render(&messages, false).unwrap_or_default();
        let Some((_, end)) = text.rsplit_once(ANSWER) else {
            return Vec::new();
        };
        let end = match self.special_tokens.get("eos_token") {
            Some(eos) if !eos.is_empty() => end.split(eos.as_str()).next().unwrap_or(end),
            _ => end,
        };
        match end.trim() {
            "" => Vec::new(),
            end => vec![end.to_owned()],
        }
    }
}
