//! ChatML: `<|im_start|>role`, the message, `<|im_end|>`.
//!
//! A sequence starts with a beginning-of-sequence token if the tokenizer puts one before every text: such
//! models have never read a text without it. Chat templates of models made for ChatML write no such token,
//! and their tokenizers add none, so the text equals theirs. Only `<|im_end|>` ends an answer.

use bone_tokenizer::Piece;

use crate::conversation::{Learnt, Message, Role};

/// The end of an answer.
pub(super) const STOP: &str = "<|im_end|>";

pub(super) fn prompt(messages: &[Message], learnt: Learnt<'_>) -> Vec<Piece> {
    let mut pieces = vec![Piece::Bos];
    let mut text = String::new();
    for (index, Message { role, content }) in messages.iter().enumerate() {
        text.push_str(&format!("<|im_start|>{role}\n"));
        if *role == Role::Assistant {
            pieces.push(Piece::read(std::mem::take(&mut text)));
            let text = format!("{content}{STOP}");
            let trained = learnt.has(index);
            pieces.push(Piece::Text { text, trained });
        } else {
            text.push_str(&format!("{content}{STOP}"));
        }
        text.push('\n');
    }
    text.push_str("<|im_start|>assistant\n");
    pieces.push(Piece::read(text));
    pieces
}

pub(super) fn answer(content: &str) -> Vec<Piece> {
    vec![
        Piece::trained(format!("{content}{STOP}")),
        Piece::read("\n"),
    ]
}
