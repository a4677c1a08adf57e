//! The second stage: from [`RawConfig`] to [`TrainConfig`].

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use bone::{AdapterConfig, AttachError, BlockAxis, Selection, Targets, Variant};

use super::error::{ConfigError, Problem};
use super::settings::RawConfig;
use super::words::{MethodName, Word};
use super::{Method, TrainConfig, Warmup, is_text, warmup_fix};
use crate::commands::adapter::RESULTS;
use crate::commands::train::CONFIG_FILE;
use crate::data::{Holdout, Template};
use crate::report::METRICS_FILE;

/// Block size of the seed paper's experiments.
const RANK: usize = 64;

/// The default learning rate of a method, and the reason for it.
pub(super) fn default_learning_rate(method: &Method) -> (f64, &'static str) {
    match method {
        Method::Adapter(_) => (2e-5, "the seed paper's protocol"),
        Method::Full => (1e-5, "half of the adapters' rate, as every weight moves"),
    }
}

impl RawConfig {
    /// Checks every value, alone and against the others, and fills in the defaults.
    ///
    /// The file system is looked at: the model's folder, the data file and a template file must
    /// be there, the output folder must be new or empty unless `overwrite` is set.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every problem.
    pub fn validate(&self) -> Result<TrainConfig, ConfigError> {
        self.validate_after(Vec::new())
    }

    /// [`validate`](Self::validate), with `problems` that reading has found before.
    pub(super) fn validate_after(
        &self,
        problems: Vec<Problem>,
    ) -> Result<TrainConfig, ConfigError> {
        let mut check = Check {
            raw: self,
            problems,
        };
        for (key, message) in self.check_values() {
            check.problem(key, message);
        }
        check.paths();
        check.intervals();
        let template = check.template();
        let method = check.method();
        let warmup = check.warmup();
        let config = TrainConfig {
            model: self.model.clone().unwrap_or_default(),
            data: self.data.clone().unwrap_or_default(),
            out: self.out.clone().unwrap_or_default(),
            overwrite: self.overwrite.unwrap_or(false),
            init: self.init.unwrap_or_default(),
            template,
            field_map: self.field_map.clone(),
            max_seq_len: check.at_least("max_seq_len", self.max_seq_len, 2, 512),
            validation: self.validation.unwrap_or(Holdout::Share(0.02)),
            epochs: check.epochs(),
            max_steps: self
                .max_steps
                .map(|steps| check.at_least("max_steps", Some(steps), 1, 1)),
            batch_size: check.at_least("batch_size", self.batch_size, 1, 4),
            gradient_accumulation: check.at_least(
                "gradient_accumulation",
                self.gradient_accumulation,
                1,
                1,
            ),
            learning_rate: check.number(
                "learning_rate",
                self.learning_rate,
                default_learning_rate(&method).0,
                Range::Above,
            ),
            schedule: self.schedule.unwrap_or_default(),
            warmup,
            beta1: check.number("beta1", self.beta1, 0.9, Range::Share),
            beta2: check.number("beta2", self.beta2, 0.999, Range::Share),
            eps: check.number("eps", self.eps, 1e-8, Range::Above),
            weight_decay: check.number("weight_decay", self.weight_decay, 0.0, Range::From),
            max_grad_norm: check.number("max_grad_norm", self.max_grad_norm, 1.0, Range::From),
            seed: self.seed.unwrap_or(42),
            eval_every: self.eval_every,
            save_every: self.save_every,
            device: self.device.clone().unwrap_or_else(|| "auto".to_owned()),
            dtype: self.dtype.unwrap_or_default(),
            recompute: self.recompute.unwrap_or(true),
            chunked_head: self.chunked_head.unwrap_or(true),
            head_chunk: self.head_chunk,
            origins: self.origins_of_given(),
            method,
        };
        if check.problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError::Invalid(check.problems))
        }
    }
}

/// Where a number may lie.
#[derive(Clone, Copy)]
enum Range {
    /// Above 0.
    Above,
    /// 0 or more.
    From,
    /// From 0 to below 1.
    Share,
}

struct Check<'a> {
    raw: &'a RawConfig,
    problems: Vec<Problem>,
}

impl Check<'_> {
    fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.add(key, message.into(), false);
    }

    /// A file or folder is not what the setting needs it to be.
    fn on_disk(&mut self, key: &str, message: impl Into<String>) {
        self.add(key, message.into(), true);
    }

    fn add(&mut self, key: &str, message: String, on_disk: bool) {
        if !self.raw.unread.contains(key) {
            self.problems.push(Problem {
                place: self.raw.place(key),
                message,
                on_disk,
            });
        }
    }

    /// Each of `keys` that was given is a problem.
    fn refuse(&mut self, keys: &[&str], why: &str) {
        for key in keys {
            if self.raw.is_given(key) {
                self.problem(key, why);
            }
        }
    }

    fn at_least(&mut self, key: &str, value: Option<usize>, least: usize, or: usize) -> usize {
        let value = value.unwrap_or(or);
        if value < least {
            self.problem(key, format!("must be at least {least}, not {value}"));
        }
        value
    }

    fn number(&mut self, key: &str, value: Option<f64>, or: f64, range: Range) -> f64 {
        let value = value.unwrap_or(or);
        let (inside, wanted) = match range {
            Range::Above => (value > 0.0, "above 0"),
            Range::From => (value >= 0.0, "0 or more"),
            Range::Share => ((0.0..1.0).contains(&value), "at least 0 and below 1"),
        };
        if !inside || !value.is_finite() {
            self.problem(key, format!("must be {wanted}, not {value:?}"));
        }
        value
    }

    fn paths(&mut self) {
        let raw = self.raw;
        match &raw.model {
            None => self.problem("model", "missing; give the model's folder"),
            Some(path) => {
                let wrong = match fs::metadata(path) {
                    Ok(found) if found.is_dir() => None,
                    Ok(_) => Some("is no folder".to_owned()),
                    Err(error) => Some(error.to_string()),
                };
                if let Some(wrong) = wrong {
                    let path = path.display();
                    self.on_disk(
                        "model",
                        format!("{path}: {wrong}; give the folder of a Hugging Face model"),
                    );
                }
            }
        }
        match &raw.data {
            None => self.problem("data", "missing; give the file of training rows"),
            Some(path) => {
                let wrong = match fs::metadata(path) {
                    Ok(found) if !found.is_dir() => None,
                    Ok(_) => Some("is a folder".to_owned()),
                    Err(error) => Some(error.to_string()),
                };
                if let Some(wrong) = wrong {
                    let path = path.display();
                    self.on_disk(
                        "data",
                        format!("{path}: {wrong}; give a file of rows, or a .txt"),
                    );
                }
                if is_text(path) {
                    let why = format!(
                        "means nothing with {}, which is plain text without fields; leave it out",
                        path.display()
                    );
                    self.refuse(&["template", "field_map"], &why);
                }
            }
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

    fn out_problem(&self, out: &Path) -> Option<String> {
        let shown = out.display();
        let mut entries = match fs::read_dir(out) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return None,
            Err(error) => return Some(format!("{shown}: {error}; give a folder")),
        };
        let model = self.raw.model.as_deref().map(fs::canonicalize);
        if let (Some(Ok(model)), Ok(out)) = (model, fs::canonicalize(out))
            && model == out
        {
            return Some(format!("{shown} is the model's own folder; give another"));
        }
        let inputs = [&self.raw.model, &self.raw.data].into_iter().flatten();
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
        if self.raw.overwrite != Some(true) && entries.next().is_some() {
            return Some(format!(
                "{shown} exists and is not empty; give another folder, or --overwrite to write \
                 into this one"
            ));
        }
        None
    }

    fn template(&mut self) -> Template {
        let Some(name) = &self.raw.template else {
            return Template::default();
        };
        Template::load(name).unwrap_or_else(|error| {
            self.problem("template", error.to_string());
            Template::default()
        })
    }

    fn method(&mut self) -> Method {
        let raw = self.raw;
        let name = raw.method.unwrap_or_default();
        if raw.unread.contains("method") {
            // What the method needs cannot be known.
            return Method::Full;
        }
        if name == MethodName::Full {
            self.refuse(
                &[
                    "rank",
                    "mini_width",
                    "dropout",
                    "targets",
                    "exclude",
                    "layers",
                ],
                "means nothing with method full, which has no adapters; leave it out, or choose \
                 an adapter method",
            );
            return Method::Full;
        }
        let variant = match name {
            MethodName::BoneInput => Variant::Bone(BlockAxis::Input),
            MethodName::Miss => Variant::Miss,
            MethodName::MissMini => Variant::MissMini {
                width: self.mini_width(),
            },
            MethodName::Bone | MethodName::Full => Variant::Bone(BlockAxis::Output),
        };
        if name != MethodName::MissMini {
            let why = format!(
                "means nothing with method {}, only with miss-mini; leave it out",
                name.word()
            );
            self.refuse(&["mini_width"], &why);
        }
        let dropout = self.number("dropout", raw.dropout, 0.0, Range::Share);
        if dropout != 0.0 && matches!(variant, Variant::Bone(_)) {
            let message = format!(
                "{} has no dropout; leave it out, or choose miss or miss-mini",
                name.word()
            );
            self.problem("dropout", message);
        }
        let targets = Targets {
            modules: raw.targets.clone().unwrap_or(Selection::AllLinear),
            exclude: raw.exclude.clone(),
            layers: raw.layers.clone().map(|layers| layers.0),
        };
        self.selections(&targets);
        let rank = self.at_least("rank", raw.rank, 1, RANK);
        Method::Adapter(AdapterConfig::new(variant, rank, targets).with_dropout(dropout))
    }

    fn mini_width(&mut self) -> usize {
        match self.raw.mini_width {
            None => {
                self.problem(
                    "mini_width",
                    "missing; miss-mini needs it; it must divide the outputs of every target",
                );
                1
            }
            width => self.at_least("mini_width", width, 1, 1),
        }
    }

    fn selections(&mut self, targets: &Targets) {
        if targets.exclude == Some(Selection::AllLinear) {
            self.problem("exclude", "all-linear leaves no layer; name the layers");
        }
        let both = [
            ("targets", Some(&targets.modules)),
            ("exclude", targets.exclude.as_ref()),
        ];
        for (key, selection) in both {
            let Some(selection) = selection else { continue };
            // Without layers nothing can match: only a bad expression is of interest.
            if let Err(error @ AttachError::Pattern { .. }) =
                Targets::new(selection.clone()).resolve(&[])
            {
                self.problem(key, error.to_string().replace('\n', " "));
            }
        }
    }

    fn epochs(&mut self) -> Option<f64> {
        let raw = self.raw;
        if raw.epochs.is_none() && raw.max_steps.is_some() {
            return None;
        }
        Some(self.number("epochs", raw.epochs, 1.0, Range::Above))
    }

    fn warmup(&mut self) -> Warmup {
        let raw = self.raw;
        if let (Some(_), Some(_)) = (raw.warmup_steps, raw.warmup_ratio) {
            self.problem(
                "warmup_ratio",
                "warmup_steps is given too; leave out one of the two",
            );
        }
        if let Some(ratio) = raw.warmup_ratio {
            self.number("warmup_ratio", Some(ratio), 0.0, Range::Share);
            return Warmup::Ratio(ratio);
        }
        let steps = raw.warmup_steps.unwrap_or(0);
        // A max_steps of 0 is a problem of its own.
        let reached = |most: &usize| *most > 0 && steps >= *most;
        if let Some(most) = raw.max_steps.filter(reached) {
            let message = format!(
                "{steps} step(s) leave nothing of max_steps {most}, so that learning_rate would \
                 never be reached; {}",
                warmup_fix("warmup_steps", most)
            );
            self.problem("warmup_steps", message);
        }
        Warmup::Steps(steps)
    }

    fn intervals(&mut self) {
        let raw = self.raw;
        if raw.validation == Some(Holdout::Count(0)) {
            self.refuse(
                &["eval_every"],
                "means nothing with validation 0; leave it out, or hold something out",
            );
        }
        if raw.chunked_head == Some(false) {
            self.refuse(
                &["head_chunk"],
                "means nothing with chunked_head false; leave one of them out",
            );
        }
        for (key, steps) in [
            ("eval_every", raw.eval_every),
            ("save_every", raw.save_every),
            ("head_chunk", raw.head_chunk),
        ] {
            if steps == Some(0) {
                self.problem(key, "must be at least 1; leave it out for the default");
            }
        }
    }
}
