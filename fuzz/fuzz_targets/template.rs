//! A model's own chat template, and one for a question and its answer.
#![no_main]

use bone_data::{Content, Message, Role, Template};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use tempfile::TempDir;

static FOLDER: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().expect("a folder"));

fuzz_target!(|bytes: &[u8]| {
    let path = FOLDER.path().join("chat_template.jinja");
    std::fs::write(&path, bytes).expect("written");
    let own = Template::parse(&String::from_utf8_lossy(bytes), "own");
    for template in [Template::load(&path.to_string_lossy(), None), own] {
        let template = match template {
            Ok(template) => template,
            Err(error) => {
                bone_fuzz::bounded(error);
                continue;
            }
        };
        let messages = [
            (Role::System, "Be brief."),
            (Role::User, "Two and two?"),
            (Role::Assistant, "Four."),
        ];
        let content = Content::chat(messages.map(|(role, text)| Message::new(role, text)).into());
        if let Err(error) = template.pieces(&content) {
            bone_fuzz::bounded(error);
        }
    }
});
