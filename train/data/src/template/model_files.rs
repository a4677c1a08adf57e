//! The chat template and the special tokens in a model's folder.

use std::io;
use std::path::Path;

use bone_files::{read_small, wording::joined};
use serde_json::Value;

use super::chat_template::{ChatTemplate, SpecialTokens};
use super::error::TemplateError;
use super::jinja::MAX_SOURCE;

const TEMPLATE_FILE: &str = "chat_template.jinja";
const TOKENIZER_CONFIG_FILE: &str = "tokenizer_config.json";
const PROCESSOR_TEMPLATE_FILE: &str = "chat_template.json";
const SPECIAL_TOKENS_FILE: &str = "special_tokens_map.json";
/// Maximum size of a JSON file, in bytes.
const MAX_JSON: usize = 64 << 20;
/// The special tokens that transformers passes to templates under these names.
const SPECIAL_TOKENS: [&str; 7] = [
    "bos_token",
    "eos_token",
    "unk_token",
    "sep_token",
    "pad_token",
    "cls_token",
    "mask_token",
];

/// Returns the chat template in a model's folder.
///
/// It is `chat_template.jinja`, else `chat_template` of `tokenizer_config.json` (a text, or of several the
/// one named `default`), else that of `chat_template.json`.
pub(super) fn chat_template(folder: &Path) -> Result<ChatTemplate, TemplateError> {
    let tokens = special_tokens(folder)?;
    let path = folder.join(TEMPLATE_FILE);
    if let Some(source) = read(&path, MAX_SOURCE).map_err(|error| broken(&path, error))? {
        return ChatTemplate::parse(&source, &path.display().to_string(), tokens);
    }
    for file in [TOKENIZER_CONFIG_FILE, PROCESSOR_TEMPLATE_FILE] {
        let path = folder.join(file);
        let config = read_json(&path)?;
        if let Some(source) = template_of(&config["chat_template"], &path)? {
            return ChatTemplate::parse(source, &path.display().to_string(), tokens);
        }
    }
    Err(TemplateError(format!(
        "{} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json or \
         chat_template.json); use another template (for a model that was not tuned for chats: rwkv, \
         llama2-chat or chatml), or give a .jinja file",
        folder.display()
    )))
}

/// Returns the text of the field `chat_template`.
fn template_of<'a>(field: &'a Value, path: &Path) -> Result<Option<&'a str>, TemplateError> {
    match field {
        Value::Null => Ok(None),
        Value::String(source) => Ok(Some(source)),
        Value::Array(named) => {
            let name = |entry: &Value| entry["name"].as_str().map(str::to_owned);
            let default = named
                .iter()
                .find(|entry| name(entry).as_deref() == Some("default"));
            if let Some(source) = default.and_then(|entry| entry["template"].as_str()) {
                return Ok(Some(source));
            }
            let names: Vec<_> = named.iter().filter_map(name).collect();
            Err(broken(
                path,
                format!(
                    "chat_template is a list of {} without a template named default ({}); save the one to \
                     use as a .jinja file and give that",
                    named.len(),
                    joined(names, ", ")
                ),
            ))
        }
        _ => Err(broken(
            path,
            "chat_template must be a string or a list of named strings",
        )),
    }
}

/// Returns the texts of special tokens from `tokenizer_config.json`, else from `special_tokens_map.json`.
/// Without these files the result is empty.
pub(super) fn special_tokens(folder: &Path) -> Result<SpecialTokens, TemplateError> {
    let mut tokens = SpecialTokens::new();
    for file in [TOKENIZER_CONFIG_FILE, SPECIAL_TOKENS_FILE] {
        let path = folder.join(file);
        let config = read_json(&path)?;
        for name in SPECIAL_TOKENS {
            let text = match &config[name] {
                Value::Null => continue,
                Value::Object(token) => token.get("content").and_then(Value::as_str),
                token => token.as_str(),
            };
            let text = text.ok_or_else(|| {
                broken(
                    &path,
                    format!("{name} must be a string or {{\"content\": text}}"),
                )
            })?;
            tokens
                .entry(name.to_owned())
                .or_insert_with(|| text.to_owned());
        }
    }
    Ok(tokens)
}

fn broken(path: &Path, reason: impl ToString) -> TemplateError {
    TemplateError(format!("{}: {}", path.display(), reason.to_string()))
}

fn read_json(path: &Path) -> Result<Value, TemplateError> {
    match read(path, MAX_JSON).map_err(|error| broken(path, error))? {
        None => Ok(Value::Null),
        Some(text) => serde_json::from_str(&text)
            .map_err(|error| broken(path, format!("invalid JSON: {error}"))),
    }
}

/// Reads a file of at most `max` bytes; `None` if it does not exist.
pub(super) fn read(path: &Path, max: usize) -> io::Result<Option<String>> {
    let text = read_small(path, max as u64)?.map(String::from_utf8);
    text.transpose()
        .map_err(|_| io::Error::other("it is not UTF-8 text"))
}
