//! What the settings name on the disk.

use std::fs;

use super::Check;
use crate::models::GIVE_A_MODEL;
use bone_data::{Kind, Sources, Template};
use bone_tokenizer::TokenizerChoice;

impl Check<'_> {
    pub(super) fn paths(&mut self) {
        let raw = self.raw;
        match &raw.model {
            None => self.problem("model", format!("missing; {GIVE_A_MODEL}")),
            Some(path) => {
                let wrong = match fs::metadata(path) {
                    Ok(found) if found.is_dir() || found.is_file() => None,
                    Ok(_) => Some("is neither a folder nor a file".to_owned()),
                    Err(error) => Some(error.to_string()),
                };
                if let Some(wrong) = wrong {
                    let path = path.display();
                    self.on_disk("model", format!("{path}: {wrong}; {GIVE_A_MODEL}"));
                }
            }
        }
        if let Some(TokenizerChoice::File(path)) = &raw.tokenizer
            && let Err(error) = fs::metadata(path)
        {
            let path = path.display();
            let message = format!(
                "{path}: {error}; give a tokenizer.json, RWKV's vocabulary, or auto or bytes"
            );
            self.on_disk("tokenizer", message);
        }
        match &raw.data {
            None => self.problem("data", "missing; give the file of training rows"),
            Some(sources) => self.sources(sources),
        }
        if raw.out.is_none() {
            self.problem("out", "missing; give a folder for the result");
        }
    }

    fn sources(&mut self, sources: &Sources) {
        let files = sources.0.iter().map(|source| source.selection.files());
        for problem in files.filter_map(Result::err) {
            self.on_disk("data", problem.to_string());
        }
        for (kind, keys) in [
            (Kind::Rows, &["template", "schema", "field_map"][..]),
            (Kind::Binidx, &["binidx_cut"]),
        ] {
            if !sources.any(kind)
                && let Some(source) = sources.0.first()
            {
                let path = &source.selection.path;
                let why = format!(
                    "means nothing with {}, which is {}; leave it out",
                    path.display(),
                    Kind::of(path)
                );
                self.refuse(keys, &why);
            }
        }
    }

    pub(super) fn template(&mut self) -> Template {
        let Some(name) = &self.raw.template else {
            return Template::default();
        };
        Template::load(name, self.raw.model.as_deref()).unwrap_or_else(|error| {
            self.problem("template", error.to_string());
            Template::default()
        })
    }
}
