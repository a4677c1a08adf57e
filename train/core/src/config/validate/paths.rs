//! Files and folders that the settings name.

use std::fs;

use super::Check;
use crate::config::error::unreadable;
use crate::models::GIVE_A_MODEL;
use bone_data::Template;
use bone_tokenizer::TokenizerChoice;

impl Check<'_> {
    pub(super) fn paths(&mut self) {
        let raw = self.raw;
        if let Some(path) = &raw.model {
            let wrong = match fs::metadata(path) {
                Ok(found) if found.is_dir() || found.is_file() => None,
                Ok(_) => Some("must be a folder or a file".to_owned()),
                Err(error) => Some(unreadable("file or folder", &error)),
            };
            if let Some(wrong) = wrong {
                let path = path.display();
                self.on_disk("model", format!("{path}: {wrong}; {GIVE_A_MODEL}"));
            }
        }
        if let Some(TokenizerChoice::File(path)) = &raw.tokenizer
            && let Err(error) = fs::metadata(path)
        {
            let (path, wrong) = (path.display(), unreadable("file", &error));
            let message = format!(
                "{path}: {wrong}; give a tokenizer.json, a vocabulary file of RWKV, auto or bytes"
            );
            self.on_disk("tokenizer", message);
        }
        let sources = raw.data.iter().flat_map(|sources| &sources.0);
        for problem in sources.filter_map(|source| source.selection.files().err()) {
            self.on_disk("data", problem.to_string());
        }
        if let Some(name) = &raw.template
            && let Err(error) = Template::load(name, raw.model.as_deref())
        {
            self.problem("template", error.to_string());
        }
    }
}
