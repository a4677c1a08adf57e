//! Hugging Face's chat templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use bone_tokenizer::Piece;
use serde_json::{Map, Value, json};

use super::error::{RenderError, TemplateError};
use super::jinja::{Fault, FaultKind, Program};
use crate::conversation::{Learnt, Message, Role};

/// The longest text that a template makes, in bytes, and how much longer that may be for each byte
/// of the messages.
const MAX_TEXT: usize = 1 << 20;
const MAX_GROWTH: usize = 8;

/// Texts of special tokens by their names, such as `bos_token`.
pub(super) type SpecialTokens = BTreeMap<String, String>;

/// A chat template, and the texts of special tokens that it writes.
///
/// It is given `messages` (each with `role` and `content`), `add_generation_prompt`, the special
/// tokens, and `tools` and `documents` as none, as transformers does, and `raise_exception` and
/// `strftime_now`; the date is always 26 July 2024, so that a model reads later what it was
/// trained on. It has no files and no other templates, and limited time and memory.
#[derive(Debug, Clone)]
pub struct ChatTemplate {
    pub(super) origin: String,
    pub(super) source: String,
    pub(super) special_tokens: SpecialTokens,
    program: Arc<Program>,
}

// What is parsed follows from the source.
impl PartialEq for ChatTemplate {
    fn eq(&self, other: &Self) -> bool {
        self.origin == other.origin
            && self.source == other.source
            && self.special_tokens == other.special_tokens
    }
}

impl Eq for ChatTemplate {}

impl ChatTemplate {
    /// Parses a chat template; `origin` is what errors call it.
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

    /// The text of messages, as `apply_chat_template` of transformers makes it.
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

    /// The text up to and with the last message, which is the assistant's, every assistant's turn
    /// trained but for those in the places `only_read`. The turn is what a message adds to the text
    /// that asks for it.
    pub(super) fn pieces(
        &self,
        messages: &[Message],
        only_read: &[usize],
    ) -> Result<Vec<Piece>, RenderError> {
        let whole = self.render(messages, false)?;
        // The last message's turn ends where the whole does.
        self.turns(messages, &whole, Learnt::AllBut(only_read))
            .map(|(pieces, _)| pieces)
    }

    /// The text that asks for an answer, in the pieces that training has.
    pub(super) fn prompt(&self, messages: &[Message]) -> Result<Vec<Piece>, RenderError> {
        let whole = self.render(messages, true)?;
        match self.turns(messages, &whole, Learnt::None) {
            Ok((mut pieces, at)) => {
                pieces.push(Piece::read(&whole[at..]));
                Ok(pieces)
            }
            // Nothing was trained with it, so nothing has to be split as it was.
            Err(RenderError::NotInTurns(_)) => Ok(vec![Piece::read(whole)]),
            Err(other) => Err(other),
        }
    }

    /// Pieces up to the end of the last of the assistant's turns, and where in `whole` that is.
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
                    "the chat template '{}' can't be trained with: {what} (up to message {}), so \
                     it doesn't show which text the assistant writes; use chatml, or a copy of \
                     the template that writes every message alike wherever it stands",
                    self.origin,
                    index + 1
                ))
            };
            let asked = self.render(&messages[..index], true)?;
            let answered = match index + 1 == messages.len() {
                // The whole was rendered so, or ends with a prompt and is longer.
                true if learnt != Learnt::None => whole.to_owned(),
                _ => self.render(&messages[..=index], false)?,
            };
            if !answered.starts_with(&asked) {
                return Err(not_in_turns(
                    "what it writes to ask for an answer is not how it writes the answer's \
                     message later",
                ));
            }
            if !whole.starts_with(&answered) || asked.len() < at {
                return Err(not_in_turns(
                    "it writes a message in another way once others follow",
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

    /// What the template writes after an answer and before the end token, which ends generation
    /// by itself, without white space around it. Nothing where it cannot be told.
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
