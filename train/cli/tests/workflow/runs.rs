//! A training run in a folder of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{Ran, bone, bone_with, fixture, text, write_rows};

/// A run of 12 steps that is saved every four, and keeps them all.
#[allow(dead_code, reason = "shared with other tests, which use all of it")]
pub(crate) const SAVES: [&str; 8] = [
    "--method",
    "miss",
    "--rank",
    "4",
    "--save-every",
    "4",
    "--keep-last",
    "9",
];

/// A temporary folder with rows.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    pub(crate) rows: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rows = write_rows(folder.path());
        Self { folder, rows }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Trains llama-tiny for 12 steps on the rows; `args` come last.
    pub(crate) fn train(&self, out: &str, args: &[&str]) -> Run {
        let model = fixture("llama-tiny");
        self.train_on(&model, &self.rows, out, args)
    }

    pub(crate) fn train_on(&self, model: &Path, data: &Path, out: &str, args: &[&str]) -> Run {
        let ran = self.try_on(model, data, out, args).succeeded();
        assert_eq!(ran.stdout, "", "a run reports on stderr");
        Run::read(self.path(out))
    }

    /// As [`train_on`](Self::train_on), whatever it comes to.
    pub(crate) fn try_on(&self, model: &Path, data: &Path, out: &str, args: &[&str]) -> Ran {
        self.try_with(&[], model, data, out, args)
    }

    /// As [`try_on`](Self::try_on), with variables in the environment.
    pub(crate) fn try_with(
        &self,
        environment: &[(&str, &str)],
        model: &Path,
        data: &Path,
        out: &str,
        args: &[&str],
    ) -> Ran {
        let out = self.path(out);
        let mut all = vec!["train", "--model", text(model), "--data", text(data)];
        all.extend(["--out", text(&out)]);
        // A text and a binidx have no template.
        let has_rows = data
            .extension()
            .is_none_or(|extension| extension != "txt" && extension != "idx");
        if has_rows && !args.contains(&"--template") {
            all.extend(["--template", "plain"]);
        }
        if !args.contains(&"--validation") {
            all.extend(["--validation", "8"]);
        }
        if !args.contains(&"--device") {
            all.extend(["--device", "cpu"]);
        }
        if !args.contains(&"--max-steps") {
            all.extend(["--max-steps", "12"]);
        }
        if !args.contains(&"--learning-rate") {
            all.extend(["--learning-rate", "0.01"]);
        }
        all.extend(args);
        bone_with(all, environment)
    }
}

/// What a run left in its output folder.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) out: PathBuf,
    pub(crate) steps: Vec<Value>,
    pub(crate) evaluations: Vec<Value>,
    #[allow(dead_code, reason = "a run on the processor skips none")]
    pub(crate) skipped: Vec<Value>,
}

impl Run {
    pub(crate) fn read(out: PathBuf) -> Self {
        let metrics = std::fs::read_to_string(out.join("metrics.jsonl")).unwrap();
        let lines = metrics.lines().map(|line| {
            serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{line}: {error}"))
        });
        let (mut steps, mut evaluations, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
        for line in lines {
            match line["type"].as_str() {
                Some("step") => steps.push(line),
                Some("evaluation") => evaluations.push(line),
                Some("skipped") => skipped.push(line),
                _ => panic!("{line}"),
            }
        }
        Self {
            out,
            steps,
            evaluations,
            skipped,
        }
    }

    /// Every number that must not depend on when and where the run was made.
    pub(crate) fn numbers(&self) -> Vec<f64> {
        let of_step = |line: &Value| {
            ["step", "loss", "grad_norm", "learning_rate", "tokens"].map(|key| number(line, key))
        };
        let of_evaluation = |line: &Value| ["step", "loss", "tokens"].map(|key| number(line, key));
        let steps = self.steps.iter().flat_map(of_step);
        steps
            .chain(self.evaluations.iter().flat_map(of_evaluation))
            .collect()
    }

    pub(crate) fn losses(&self) -> Vec<f64> {
        let lines = self.steps.iter().chain(&self.evaluations);
        lines.map(|line| number(line, "loss")).collect()
    }

    pub(crate) fn first_and_last_validation(&self) -> (f64, f64) {
        let loss = |line: Option<&Value>| number(line.unwrap(), "loss");
        (
            loss(self.evaluations.first()),
            loss(self.evaluations.last()),
        )
    }
}

/// A finite number of a metrics line.
pub(crate) fn number(line: &Value, key: &str) -> f64 {
    let number = line[key].as_f64();
    number.unwrap_or_else(|| panic!("no finite {key} in {line}"))
}

/// Greedy text of `model`; `args` come last.
pub(crate) fn generate(model: &Path, args: &[&str]) -> String {
    let mut all = vec!["generate", "--model", text(model), "--device", "cpu"];
    if !args.contains(&"--max-new-tokens") {
        all.extend(["--max-new-tokens", "24"]);
    }
    all.extend(args);
    let Ran { stdout, stderr, .. } = bone(all).succeeded();
    assert_eq!(stderr, "", "only the text is printed");
    stdout
}

/// Merges with the base `model` and gives the new folder.
pub(crate) fn merge(model: &Path, adapter: &Path, out: PathBuf) -> PathBuf {
    let (model, adapter) = (text(model), text(adapter));
    let args = ["--model", model, "--adapter", adapter, "--device", "cpu"];
    let ran = bone(["merge", "--out", text(&out)].iter().chain(&args)).succeeded();
    assert!(ran.stdout.contains("merged against adapted"), "{ran:?}");
    out
}

/// Dtype and bytes of every tensor of a safetensors file.
pub(crate) fn tensors(file: &Path) -> BTreeMap<String, (String, Vec<u8>)> {
    let bytes = std::fs::read(file).unwrap();
    let (length, rest) = bytes.split_first_chunk::<8>().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: serde_json::Map<String, Value> = serde_json::from_slice(header).unwrap();
    let tensors = header.iter().filter(|(name, _)| *name != "__metadata__");
    tensors
        .map(|(name, tensor)| {
            let at = |end: usize| tensor["data_offsets"][end].as_u64().unwrap() as usize;
            let dtype = tensor["dtype"].as_str().unwrap().to_owned();
            (name.clone(), (dtype, data[at(0)..at(1)].to_vec()))
        })
        .collect()
}

/// Goes on with a run, or from a checkpoint.
#[allow(dead_code, reason = "shared with other tests, which use all of it")]
pub(crate) fn resume(path: &Path, more: &[&str]) -> Ran {
    bone([&["train", "--resume", text(path)], more].concat())
}

/// The adapter that a run has made.
#[allow(dead_code, reason = "shared with other tests, which use all of it")]
pub(crate) fn adapter(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("adapter/adapter_model.safetensors")).unwrap()
}
