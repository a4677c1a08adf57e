#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bone::{BlockAxis, Selection, Targets, Variant};
use bone_data::{Holdout, Sources};
use bone_tokenizer::TokenizerChoice;
use burn::tensor::TensorData;
use tempfile::TempDir;

use super::*;
use crate::schedule::ScheduleKind;

mod errors;
mod round_trip;

/// A model folder and a data file in a temporary folder. The output folder does not exist.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("model")).unwrap();
        fs::write(dir.path().join("rows.jsonl"), "{}").unwrap();
        Self(dir)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }

    fn file(&self, text: &str) -> String {
        let path = self.path("run.toml");
        fs::write(&path, text).unwrap();
        path
    }

    /// Returns the three settings that every run needs.
    fn needed(&self) -> Vec<String> {
        let model = format!("--model={}", self.path("model"));
        let data = format!("--data={}", self.path("rows.jsonl"));
        vec![model, data, format!("--out={}", self.path("out"))]
    }

    /// Writes weights with one tensor of this name into the model's folder.
    fn with_weights(self, tensor: &str) -> Self {
        let tensors = [(tensor.to_owned(), TensorData::from([1.0_f32]))].into_iter();
        let folder = self.0.path().join("model");
        bone_lm::checkpoint::save(&folder, tensors, u64::MAX, BTreeMap::new()).unwrap();
        self
    }

    fn rwkv6() -> Self {
        Self::new().with_weights("blocks.0.att.time_maa_x")
    }

    fn llama2() -> Self {
        let place = Self::new();
        let config = place.0.path().join("model/config.json");
        fs::write(config, "{\"model_type\": \"llama\"}").unwrap();
        place
    }

    fn raw(&self) -> RawConfig {
        RawConfig {
            model: Some(self.path("model").into()),
            data: Some(PathBuf::from(self.path("rows.jsonl")).into()),
            out: Some(self.path("out").into()),
            ..RawConfig::default()
        }
    }

    fn resolve(&self, args: &[&str]) -> Result<TrainConfig, ConfigError> {
        let needed = self.needed();
        resolve_args(
            needed
                .iter()
                .map(String::as_str)
                .chain(args.iter().copied()),
        )
    }
}

fn resolve_args<'a>(args: impl IntoIterator<Item = &'a str>) -> Result<TrainConfig, ConfigError> {
    resolve(&given(args))
}

/// Returns the settings from these command line arguments, like the parser of `bone train`.
fn given<'a>(args: impl IntoIterator<Item = &'a str>) -> Given {
    let mut given = Given::default();
    for arg in args {
        match arg.strip_prefix("--").map(|flag| flag.split_once('=')) {
            None => given.file = Some(arg.into()),
            Some(None) => given.flags.push((arg[2..].to_owned(), "true".to_owned())),
            Some(Some(("set", pair))) => given.set.push(pair.to_owned()),
            Some(Some((flag, value))) => {
                let key = flag.replace('-', "_");
                given.flags.push((key, value.to_owned()));
            }
        }
    }
    given
}

fn problems(result: Result<TrainConfig, ConfigError>) -> Vec<String> {
    match result {
        Err(ConfigError(problems)) => problems.iter().map(ToString::to_string).collect(),
        other => panic!("expected problems, got {other:?}"),
    }
}

#[test]
fn default_settings_have_documented_values() {
    let place = Place::new();
    let config = place.resolve(&[]).unwrap();
    let adapter = config.adapter_config().unwrap();
    assert_eq!(adapter.variant, Variant::Bone(BlockAxis::Output));
    assert_eq!(adapter.rank, 64);
    assert_eq!(adapter.targets, Targets::new(Selection::AllLinear));
    assert_eq!(config.epochs, Some(1.0));
    assert_eq!(config.max_steps, None);
    assert_eq!(config.learning_rate, 2e-5);
    assert_eq!(config.schedule, ScheduleKind::Cosine);
    assert_eq!((config.beta1, config.beta2, config.eps), (0.9, 0.999, 1e-8));
    assert_eq!((config.weight_decay, config.max_grad_norm), (0.0, 1.0));
    assert_eq!(config.template, "alpaca");
    assert!(config.recompute && config.chunked_head && !config.overwrite);
    assert_eq!(config.origin("rank"), "default");
    assert_eq!(config.origin("model"), "flag");
    assert_eq!((config.max_seq_len, config.chunk_ctx), (512, None));
    assert_eq!(config.tokenizer, TokenizerChoice::Auto);
    assert!(config.parts().is_empty());
    for (method, rate) in [("full", 1e-5), ("state", 1e-2), ("miss", 2e-5)] {
        let config = place.resolve(&[&format!("--method={method}")]).unwrap();
        assert_eq!(
            (&*config.method.to_string(), config.learning_rate),
            (method, rate)
        );
        assert_eq!(config.adapter_config().is_some(), method == "miss");
    }
}

#[test]
fn flag_overrides_set_and_set_overrides_file() {
    let place = Place::new();
    let file = place.file("rank = 8\nseed = 1\nbatch_size = 2\nlearning_rate = 1\n");
    let config = place
        .resolve(&[
            &file,
            "--set=rank=16",
            "--set=seed = 2",
            "--set=seed=3",
            "--rank=32",
        ])
        .unwrap();
    assert_eq!(config.adapter_config().unwrap().rank, 32);
    assert_eq!(config.seed, 3);
    assert_eq!(config.batch_size, 2);
    assert_eq!(config.learning_rate, 1.0);
    let origins = ["rank", "seed", "batch_size", "eps"].map(|key| config.origin(key));
    assert_eq!(origins, ["flag", "--set", "file", "default"]);
    let lines = config.lines().join("\n");
    for line in [
        "rank                   32  (flag)",
        "seed                   3  (--set)",
        "batch_size             2  (file)",
        "eps                    1e-8  (default)",
        "save_every             none  (default)",
    ] {
        assert!(lines.lines().any(|l| l == line), "no '{line}' in\n{lines}");
    }
    assert!(!lines.contains("mini_width"), "{lines}");
}

#[test]
fn default_learning_rate_shows_its_reason() {
    let lines = Place::new().resolve(&[]).unwrap().lines().join("\n");
    assert!(
        lines.contains("2e-5  (default: from the Bone paper)"),
        "{lines}"
    );
}

#[test]
fn default_block_axis_depends_on_architecture() {
    let axis = |place: &Place, args: &[&str]| {
        let config = place.resolve(args).unwrap();
        assert_eq!(config.method, MethodName::Bone);
        (
            config.adapter_config().unwrap().variant,
            config.lines().join("\n"),
        )
    };
    for (place, wanted, why) in [
        (Place::llama2(), BlockAxis::Output, "LLaMA2"),
        (Place::rwkv6(), BlockAxis::Input, "RWKV6"),
        // Loading the model reports what is wrong with it.
        (Place::new(), BlockAxis::Output, "LLaMA2"),
    ] {
        let (variant, lines) = axis(&place, &[]);
        assert_eq!(variant, Variant::Bone(wanted));
        let reason = format!("(default: as in the {why} code of the Bone paper)");
        assert!(lines.contains(&reason), "no '{reason}' in\n{lines}");
        for (word, given) in [("input", BlockAxis::Input), ("output", BlockAxis::Output)] {
            let (variant, lines) = axis(&place, &[&format!("--block-axis={word}")]);
            assert_eq!(variant, Variant::Bone(given));
            assert!(lines.contains(&format!("\"{word}\"  (flag)")), "{lines}");
        }
    }
    // A file with only weights is enough.
    let place = Place::rwkv6();
    let file = place.path("model/model.safetensors");
    let set = format!("--set=model={file}");
    let needed = place.needed();
    let args = needed.iter().skip(1).map(String::as_str);
    let config = resolve_args(args.chain([set.as_str()])).unwrap();
    assert_eq!(
        config.adapter_config().unwrap().variant,
        Variant::Bone(BlockAxis::Input)
    );
}

#[test]
fn flag_values_are_parsed() {
    let place = Place::new();
    let config = place
        .resolve(&[
            "--method=miss-mini",
            "--mini-width=8",
            "--dropout=0.1",
            "--targets=q_proj,v_proj",
            "--exclude=.*layers\\.[01]\\..*",
            "--layers=0-2,5",
            "--train-parts=head, time,ln,head",
            "--chunk-ctx=511",
            "--tokenizer=bytes",
            "--field-map=instruction=q,response=a",
            "--validation=200",
            "--warmup-ratio=0.03",
            "--recompute=false",
            "--overwrite",
        ])
        .unwrap();
    let adapter = config.adapter_config().unwrap();
    assert_eq!(adapter.variant, Variant::MissMini { width: 8 });
    assert_eq!(adapter.dropout, 0.1);
    assert_eq!(
        adapter.targets,
        Targets {
            modules: Selection::names(["q_proj", "v_proj"]),
            exclude: Some(Selection::Regex(".*layers\\.[01]\\..*".into())),
            layers: Some(vec![0, 1, 2, 5]),
        }
    );
    assert_eq!(config.parts(), [Part::Time, Part::Norm, Part::Head]);
    assert_eq!(config.chunk_ctx, Some(511));
    assert_eq!(config.tokenizer, TokenizerChoice::Bytes);
    assert_eq!(
        config.schema().unwrap().to_string(),
        "instruction=q,response=a"
    );
    assert_eq!(config.validation, Holdout::Count(200));
    assert_eq!(config.warmup_ratio, Some(0.03));
    assert!(!config.recompute && config.overwrite);
    let list = place
        .resolve(&[
            "--set=targets=[\"q_proj\"]",
            "--set=layers=[3]",
            "--set=train_parts=[\"emb\"]",
        ])
        .unwrap();
    assert_eq!(list.parts(), [Part::Embedding]);
    let targets = list.adapter_config().unwrap().targets;
    assert_eq!(targets.modules, Selection::names(["q_proj"]));
    assert_eq!(targets.layers, Some(vec![3]));
}

#[test]
fn raw_config_validates_without_flags() {
    let place = Place::new();
    let config = place.raw().validate().unwrap();
    assert_eq!(config, place.resolve(&[]).unwrap());
    assert_eq!(config.origin("model"), "program");
}

#[test]
fn every_default_value_is_accepted() {
    for row in SETTINGS {
        if let settings::table::Fallback::Value(literal) = row.fallback {
            let text = format!("{} = {}", row.name, literal());
            let raw = RawConfig::of_toml(&text, Path::new("run.toml")).unwrap();
            let read = (raw.record.problems.clone(), (row.check)(&raw));
            assert_eq!(read, (vec![], Ok(())), "{text}");
        }
    }
}

#[test]
fn steps_and_intervals_are_derived() {
    let place = Place::new();
    let config = |args: &[&str]| place.resolve(args).unwrap();
    assert_eq!(config(&["--epochs=0.1"]).total_steps(30, 0), 3);
    assert_eq!(config(&["--epochs=0.5"]).total_steps(3, 0), 2);
    assert_eq!(config(&["--max-steps=7"]).total_steps(3, 0), 7);
    let both = config(&["--max-steps=7", "--epochs=2"]);
    assert_eq!(both.total_steps(3, 0), 6);
    assert_eq!(both.total_steps(30, 0), 7);
    assert_eq!(config(&["--epochs=0.001"]).total_steps(3, 0), 1);

    assert_eq!(config(&[]).eval_interval(105), 10);
    assert_eq!(config(&[]).eval_interval(4), 1);
    assert_eq!(config(&["--eval-every=3"]).eval_interval(105), 3);

    assert_eq!(config(&[]).head_chunk_for(32_000), 512);
    assert_eq!(config(&[]).head_chunk_for(usize::MAX), 512);
    assert_eq!(config(&["--head-chunk=100"]).head_chunk_for(32_000), 100);

    let schedule = config(&["--warmup-ratio=0.03"]).schedule(101);
    assert_eq!((schedule.warmup_steps, schedule.total_steps), (4, 101));
    assert_eq!(config(&["--warmup-steps=9"]).schedule(101).warmup_steps, 9);
}

#[test]
fn a_warm_up_must_leave_a_step() {
    let place = Place::new();
    let check = |arg: &str, total| place.resolve(&[arg]).unwrap().check_warmup(total);
    assert_eq!(check("--warmup-steps=0", 1), Ok(()));
    assert_eq!(check("--warmup-steps=9", 10), Ok(()));
    let error = check("--warmup-steps=9", 9).unwrap_err();
    assert!(error.contains("warm-up of 9 step(s)"), "{error}");
    assert!(error.contains("lower warmup_steps"), "{error}");
    let error = check("--warmup-ratio=0.03", 1).unwrap_err();
    assert!(error.contains("lower warmup_ratio"), "{error}");
    assert_eq!(check("--warmup-ratio=0.03", 2), Ok(()));
    assert!(check("--warmup-ratio=0.9", 5).is_err());
}

#[test]
fn model_path_is_kept_unchanged() {
    let place = Place::new();
    let config = place.resolve(&[]).unwrap();
    assert_eq!(config.model, Path::new(&place.path("model")));
}
