//! What the settings name on the disk.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::Check;
use crate::checkpoint;
use crate::commands::adapter::{self, RESULTS};
use crate::commands::train::CONFIG_FILE;
use crate::data::{Kind, Sources, Template};
use crate::disk;
use crate::lock::{LOCK, Lock};
use crate::models::GIVE_A_MODEL;
use crate::report::{self, METRICS_FILE};
use bone_lm::tokenizer::TokenizerChoice;

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
        match &raw.out {
            None => self.problem("out", "missing; give a folder for the result"),
            Some(path) => {
                if let Some(message) = self.out_problem(path) {
                    self.on_disk("out", message);
                }
            }
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

    fn out_problem(&self, out: &Path) -> Option<String> {
        let shown = out.display();
        match fs::read_dir(out) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => return Some(format!("{shown}: {error}; give a folder")),
        }
        let model = self.raw.model.as_deref().map(fs::canonicalize);
        if let (Some(Ok(model)), Ok(out)) = (model, fs::canonicalize(out))
            && model == out
        {
            return Some(format!("{shown} is the model's own folder; give another"));
        }
        let data = self.raw.data.iter().flat_map(|sources| &sources.0);
        let data = data.flat_map(|source| source.selection.files().unwrap_or_default());
        let tokenizer = match &self.raw.tokenizer {
            Some(TokenizerChoice::File(path)) => Some(path.clone()),
            _ => None,
        };
        // A template that is no file is the name of one of ours.
        let template = self.raw.template.as_ref().map(PathBuf::from);
        let adapter = self.raw.adapter.as_deref().map(adapter::place);
        let own = [self.raw.model.clone(), adapter, tokenizer];
        let inputs = own.into_iter().flatten().chain(template).chain(data);
        for input in inputs.filter_map(|path| fs::canonicalize(path).ok()) {
            let inside = |name: &&str| {
                fs::canonicalize(out.join(name)).is_ok_and(|old| input.starts_with(old))
            };
            if RESULTS
                .iter()
                .chain(&[CONFIG_FILE, METRICS_FILE])
                .any(inside)
            {
                return Some(format!(
                    "{} is in {shown}, where the result would replace it; give another folder",
                    input.display()
                ));
            }
        }
        if self.raw.overwrite != Some(true) && !is_empty(out).unwrap_or(false) {
            if let Some(taken) = Lock::owner(out) {
                return Some(taken.to_string());
            }
            return Some(format!(
                "{shown} exists and is not empty; give another folder, or --overwrite to write \
                 into this one"
            ));
        }
        None
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

/// Whether a run's output folder is as good as new: what is left of one that never began is nothing.
pub(crate) fn is_empty(out: &Path) -> std::io::Result<bool> {
    for entry in fs::read_dir(out)? {
        let entry = entry?;
        let is_nothing = match entry.file_name() {
            name if name == LOCK => true,
            name if name == checkpoint::FOLDER => checkpoint::is_trial(&entry.path())?,
            name if name == report::LOG_FOLDER => report::Log::is_alone(&entry.path())?,
            name => [CONFIG_FILE, METRICS_FILE]
                .iter()
                .any(|of| name == *disk::partial(Path::new(of))),
        };
        if !is_nothing {
            return Ok(false);
        }
    }
    Ok(true)
}
