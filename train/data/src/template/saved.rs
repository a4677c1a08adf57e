//! The saved form of a template, beside the training result.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::chat_template::{ChatTemplate, SpecialTokens};
use super::custom::CustomTemplate;
use super::{BUILT_IN, Template};

const VERSION: u64 = 1;
const CUSTOM: &str = "custom";
const CHAT_TEMPLATE: &str = "chat-template";

/// The saved form. It is self-contained, so it works without the template's file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Saved {
    version: u64,
    /// A built-in's name, `custom` or `chat-template`.
    template: String,
    /// Origin of a custom or chat template.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    source: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    special_tokens: Option<SpecialTokens>,
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (template, own, special_tokens) = match self {
            Self::Custom(custom) => (CUSTOM, Some((&custom.origin, &custom.source)), None),
            Self::Jinja(chat) => {
                let own = (&chat.origin, &chat.source);
                (CHAT_TEMPLATE, Some(own), Some(&chat.special_tokens))
            }
            built_in => (&*built_in.to_string(), None, None),
        };
        Saved {
            version: VERSION,
            template: template.to_owned(),
            origin: own.map(|(origin, _)| origin.clone()),
            source: own.map(|(_, source)| source.clone()),
            special_tokens: special_tokens.cloned(),
        }
        .serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        // Checked before the fields: a later version may have other fields.
        let wrong = match value.get("version") {
            Some(version) if version.as_u64() == Some(VERSION) => None,
            Some(version) => Some(format!(
                "template version {version} is not supported: this version of bone reads version {VERSION}; \
                 use the version that wrote it, or a newer one"
            )),
            None => Some(format!("the template has no version; expected {VERSION}")),
        };
        if let Some(wrong) = wrong {
            return Err(D::Error::custom(wrong));
        }
        let saved = serde_json::from_value(value).map_err(|error| {
            D::Error::custom(format!("the template has an invalid field: {error}"))
        })?;
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
    let built_in = || {
        BUILT_IN
            .into_iter()
            .find(|known| known.to_string() == template)
    };
    match (template.as_str(), origin, source, special_tokens) {
        (CUSTOM, Some(origin), Some(source), None) => {
            let custom = CustomTemplate::parse(&source, &origin);
            custom.map(Template::Custom).map_err(|e| e.to_string())
        }
        (CHAT_TEMPLATE, Some(origin), Some(source), Some(tokens)) => {
            let chat = ChatTemplate::parse(&source, &origin, tokens);
            chat.map(Template::Jinja).map_err(|e| e.to_string())
        }
        (name, None, None, None) if ![CUSTOM, CHAT_TEMPLATE].contains(&name) => built_in()
            .ok_or_else(|| {
                let names = BUILT_IN.map(|known| known.to_string()).join(", ");
                format!(
                    "unknown template '{name}'; choose from {names}, {CUSTOM} and {CHAT_TEMPLATE}"
                )
            }),
        (name, ..) => Err(format!(
            "template '{name}' has unexpected fields: {CUSTOM} has origin and source, {CHAT_TEMPLATE} has \
             origin, source and special_tokens, the others have none"
        )),
    }
}
