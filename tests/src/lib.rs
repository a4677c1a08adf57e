//! Shared code of tests that cross crates: folders of fixtures and assets, and golden records.

use bone_data::Batch;
use bone_lm::checkpoint::Checkpoint;
use burn::tensor::{DType, TensorData};
use std::path::{Path, PathBuf};

pub mod replay;
pub mod training;

/// Returns the folder of the repository's fixtures. The scripts in `tests/reference` make them.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// Returns the folder of larger real models and records, if the machine has it: `BONE_ASSETS`, or
/// `../shared/assets` beside the repository. Otherwise prints a note and returns `None`.
pub fn assets() -> Option<PathBuf> {
    let folder = match std::env::var_os("BONE_ASSETS") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/assets"),
    };
    if folder.is_dir() {
        Some(folder)
    } else {
        println!("skipped: assets not found");
        None
    }
}

/// A file of named tensors.
#[derive(Debug)]
pub struct Record(Checkpoint);

impl Record {
    /// Opens a safetensors file.
    pub fn open(path: &Path) -> Self {
        Self(Checkpoint::open_file(path).expect("a whole record"))
    }

    /// Returns whether the file has the tensor.
    pub fn has(&self, name: &str) -> bool {
        self.0.get(name).is_some()
    }

    /// Returns the shape of a tensor.
    pub fn shape(&self, name: &str) -> Vec<usize> {
        self.0.get(name).expect("in the record").shape.clone()
    }

    /// Returns the names of all tensors.
    pub fn names(&self) -> Vec<String> {
        self.0.tensors().map(|(name, _)| name.to_string()).collect()
    }

    /// Returns float values, row-major.
    pub fn floats(&self, name: &str) -> Vec<f32> {
        let data = self.0.data(name).expect("in the record");
        data.convert_dtype(DType::F32).iter::<f32>().collect()
    }

    /// Returns token ids, row-major.
    pub fn tokens(&self, name: &str) -> Vec<u32> {
        let data: TensorData = self.0.data(name).expect("in the record");
        data.iter::<i64>().map(|id| id as u32).collect()
    }
}

/// Returns the largest absolute difference.
pub fn max_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, nan_max)
}

/// Returns the largest difference, divided by the largest expected entry.
pub fn relative_difference(got: &[f32], expected: &[f32]) -> f32 {
    let scale = expected.iter().fold(1e-30f32, |m, v| m.max(v.abs()));
    max_difference(got, expected) / scale
}

/// Returns the larger value, or NaN if either is NaN: a comparison must not lose it.
pub fn nan_max(a: f32, b: f32) -> f32 {
    if a.is_nan() || b.is_nan() {
        f32::NAN
    } else {
        a.max(b)
    }
}

/// Another trainer's record of a run: `golden.json` and `golden.safetensors`.
#[derive(Debug)]
pub struct Run {
    /// The folder, which also holds the trained adapter.
    pub folder: PathBuf,
    /// Settings and curves.
    pub settings: serde_json::Value,
    /// Batches, logits and first gradients.
    pub tensors: Record,
}

impl Run {
    /// Opens the record of a run.
    pub fn open(folder: PathBuf) -> Self {
        let text = std::fs::read_to_string(folder.join("golden.json")).expect("golden.json");
        Self {
            settings: serde_json::from_str(&text).expect("JSON"),
            tensors: Record::open(&folder.join("golden.safetensors")),
            folder,
        }
    }

    /// Returns a number from the settings.
    pub fn number(&self, name: &str) -> f64 {
        self.settings[name].as_f64().expect("a number")
    }

    /// Returns a list of numbers: `losses`, `grad_norms`, `betas`.
    pub fn list(&self, name: &str) -> Vec<f64> {
        let list = self.settings[name].as_array().expect("a list");
        list.iter().map(|v| v.as_f64().expect("a number")).collect()
    }

    /// Returns the batches, one for each step.
    pub fn batches(&self) -> Vec<Batch> {
        let shape = self.tensors.shape("batches");
        let (rows, len) = (shape[1], shape[2]);
        let tokens = self.tensors.tokens("batches");
        let weights = self.tensors.floats("loss_weights");
        tokens
            .chunks_exact(rows * len)
            .zip(weights.chunks_exact(rows * len))
            .map(|(tokens, weights)| Batch {
                rows,
                len,
                tokens: tokens.to_vec(),
                loss_mask: weights.iter().map(|w| *w != 0.0).collect(),
                row_ids: (0..rows as u64).collect(),
                samples: Vec::new(),
                starts: Vec::new(),
            })
            .collect()
    }
}
