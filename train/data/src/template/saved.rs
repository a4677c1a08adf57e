//! A template as it is saved beside what was trained with it.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::chat_template::{ChatTemplate, SpecialTokens};
use super::custom::CustomTemplate;
use super::{BUILT_IN, Template};

const VERSION: u64 = 1;
const CUSTOM: &str = "custom";
const CHAT_TEMPLATE: &str = "chat-template";

/// The saved form. Whatever a template needs is in it, so it works where its file is not.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    version: u64,
    /// A built-in's name, `custom` or `chat-template`.
    template: String,
    /// Where a custom or chat template came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    special_tokens: Option<SpecialTokens>,
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut saved = Saved {
            version: VERSION,
            template: self.to_string(),
            origin: None,
            source: None,
            special_tokens: None,
        };
        match self {
            Self::Custom(custom) => {
                saved.template = CUSTOM.to_owned();
                saved.origin = Some(custom.origin.clone());
                saved.source = Some(custom.source.clone());
            }
            Self::Jinja(chat) => {
                saved.template = CHAT_TEMPLATE.to_owned();
                saved.origin = Some(chat.origin.clone());
                saved.source = Some(chat.source.clone());
                saved.special_tokens = Some(chat.special_tokens.clone());
            }
            _ => {}
        }
        saved.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        // Before the fields: a later version may have others.
        match value.get("version") {
            Some(version) if version.as_u64() == Some(VERSION) => {}
            Some(version) => {
                return Err(D::Error::custom(format!(
                    "a template of version {version}, and this bone reads version {VERSION}: use \
                     the bone that wrote it, or a newer one"
                )));
            }
            None => {
                return Err(D::Error::custom(format!(
                    "a template without a version: it should be {VERSION}"
                )));
            }
        }
        let saved = serde_json::from_value(value)
            .map_err(|error| D::Error::custom(format!("a template with a wrong field: {error}")))?;
        restore(saved).map_err(D::Error::custom)
    }
}

fn restore(saved: Saved) -> Result<Template, String> {
    let Saved {
        template,
        origin,
        source,
        special_tokens,
        ..
    } = saved;
    let own = match template.as_str() {
        CUSTOM | CHAT_TEMPLATE => Some((origin, source)),
        _ => None,
    };
    match (own, special_tokens) {
        (None, None) => BUILT_IN
            .into_iter()
            .find(|built_in| built_in.to_string() == template)
            .ok_or_else(|| {
                let names: Vec<_> = BUILT_IN.iter().map(ToString::to_string).collect();
                format!(
                    "unknown template '{template}': there are {}, {CUSTOM} and {CHAT_TEMPLATE}",
                    names.join(", ")
                )
            }),
        (Some((Some(origin), Some(source))), None) if template == CUSTOM => {
            let custom = CustomTemplate::parse(&source, &origin).map_err(|e| e.to_string())?;
            Ok(Template::Custom(custom))
        }
        (Some((Some(origin), Some(source))), Some(tokens)) if template == CHAT_TEMPLATE => {
            let chat = ChatTemplate::parse(&source, &origin, tokens).map_err(|e| e.to_string())?;
            Ok(Template::Jinja(chat))
        }
        _ => Err(format!(
            "a template '{template}' with other fields than it has: {CUSTOM} has origin and \
             source, {CHAT_TEMPLATE} has origin, source and special_tokens, others have none"
        )),
    }
}
