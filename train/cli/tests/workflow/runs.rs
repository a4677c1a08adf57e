//! A training run in its own folder.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{Ran, bone, bone_with, fixture, text, write_rows};

/// A run of 12 steps, saved every four steps; all checkpoints are kept.
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

    /// Trains llama-tiny for 12 steps on the rows. `args` come last.
    pub(crate) fn train(&self, out: &str, args: &[&str]) -> Run {
        let model = fixture("llama-tiny");
        self.train_on(&model, &self.rows, out, args)
    }

    pub(crate) fn train_on(&self, model: &Path, data: &Path, out: &str, args: &[&str]) -> Run {
        let ran = self.try_on(model, data, out, args).succeeded();
        assert_eq!(ran.stdout, "", "a run reports on stderr");
        Run::read(self.path(out))
    }

    /// Trains like [`train_on`](Self::train_on), and allows a failure.
    pub(crate) fn try_on(&self, model: &Path, data: &Path, out: &str, args: &[&str]) -> Ran {
        self.try_with(&[], model, data, out, args)
    }

    /// Trains like [`try_on`](Self::try_on), with environment variables.
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

/// The contents of a run's output folder.
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

    /// Returns every number that must not depend on when and where the run happened.
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

    /// Asserts that a run on a merged model starts within `bound` of `last`, the loss of the adapted model.
    #[track_caller]
    pub(crate) fn assert_starts_at(&self, last: f64, bound: f64) {
        let (first, _) = self.first_and_last_validation();
        assert!(
            (first - last).abs() < bound,
            "{last} as adapted, {first} merged"
        );
    }

    pub(crate) fn first_and_last_validation(&self) -> (f64, f64) {
        let loss = |line: Option<&Value>| number(line.unwrap(), "loss");
        (
            loss(self.evaluations.first()),
            loss(self.evaluations.last()),
        )
    }
}

/// Returns a finite number from a metrics line.
pub(crate) fn number(line: &Value, key: &str) -> f64 {
    let number = line[key].as_f64();
    number.unwrap_or_else(|| panic!("no finite {key} in {line}"))
}

/// Returns greedy text of `model`. `args` come last.
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

/// Merges into the base `model` and returns the new folder.
pub(crate) fn merge(model: &Path, adapter: &Path, out: PathBuf) -> PathBuf {
    let (model, adapter) = (text(model), text(adapter));
    let args = ["--model", model, "--adapter", adapter, "--device", "cpu"];
    let ran = bone(["merge", "--out", text(&out)].iter().chain(&args)).succeeded();
    assert!(ran.stdout.contains("merged vs. adapted"), "{ran:?}");
    out
}

/// Returns dtype and bytes of every tensor of a safetensors file.
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

/// Resumes a run, or forks it if `more` contains `--out`.
#[allow(dead_code, reason = "shared with other tests, which use all of it")]
pub(crate) fn resume(path: &Path, more: &[&str]) -> Ran {
    bone([&["train", "--resume", text(path)], more].concat())
}

/// Turns a finished run into one that was stopped after `step` steps. It needs a checkpoint there.
#[allow(dead_code, reason = "shared with other tests, which use all of it")]
pub(crate) fn rewind(out: &Path, step: usize) {
    let _ = std::fs::remove_file(out.join("finished.json"));
    for later in checkpoints(out).into_iter().filter(|later| *later > step) {
        std::fs::remove_dir_all(out.join(format!("checkpoints/step-{later}"))).unwrap();
    }
}

/// Returns the steps of a run's checkpoints.
#[allow(dead_code, reason = "shared with other tests, which use all of it")]
pub(crate) fn checkpoints(out: &Path) -> Vec<usize> {
    let entries = std::fs::read_dir(out.join("checkpoints")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let steps = |name: String| {
        name.strip_prefix("step-")
            .and_then(|steps| steps.parse().ok())
    };
    let mut all: Vec<usize> = names.filter_map(steps).collect();
    all.sort_unstable();
    all
}

/// Returns the adapter that a run made.
#[allow(dead_code, reason = "shared with other tests, which use all of it")]
pub(crate) fn adapter(out: &Path) -> Vec<u8> {
    std::fs::read(out.join("adapter/adapter_model.safetensors")).unwrap()
}

/// Returns every step of its metrics, in order.
#[allow(dead_code, reason = "shared with other tests, which use all of it")]
pub(crate) fn steps(out: &Path) -> Vec<usize> {
    let steps = Run::read(out.to_path_buf()).steps;
    steps
        .iter()
        .map(|step| number(step, "step") as usize)
        .collect()
}
