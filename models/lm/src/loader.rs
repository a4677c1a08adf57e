use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use burn::module::{Param, ParamId};
use burn::nn::Linear;
use burn::tensor::backend::{Backend, DTypeUsage};
use burn::tensor::{DType, FloatDType, Shape, Tensor};
use thiserror::Error;

use bone_files::{Checkpoint, Dtype, TensorInfo, burn_dtype, wording::joined};

/// A tensor whose shape differs from the one that the model's configuration implies.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name:?}: expected shape {expected:?}, found {found:?}")]
pub struct Misshapen {
    /// The tensor.
    pub name: String,
    /// The requested shape, in the file's layout.
    pub expected: Vec<usize>,
    /// The shape in the file.
    pub found: Vec<usize>,
}

/// A tensor whose element type can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{name:?} ({dtype}): {reason}")]
pub struct Unsupported {
    /// The tensor.
    pub name: String,
    /// Its type in the file.
    pub dtype: Dtype,
    /// Why it can't be used, and what to do.
    pub reason: String,
}

/// All differences between a checkpoint and the model it was loaded for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Error)]
pub struct LoadError {
    /// The checkpoint's only file, or its folder.
    pub path: PathBuf,
    /// Requested but not in the files.
    pub missing: Vec<String>,
    /// In the files but neither requested nor skipped.
    pub extra: Vec<String>,
    /// Of another shape than requested.
    pub misshapen: Vec<Misshapen>,
    /// Of an element type that can't be used.
    pub unsupported: Vec<Unsupported>,
}

impl LoadError {
    fn is_empty(&self) -> bool {
        self.missing.is_empty()
            && self.extra.is_empty()
            && self.misshapen.is_empty()
            && self.unsupported.is_empty()
    }
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn section<T: fmt::Display>(
            f: &mut fmt::Formatter<'_>,
            what: &str,
            items: &[T],
        ) -> fmt::Result {
            if items.is_empty() {
                return Ok(());
            }
            write!(
                f,
                "\n{} {what}:\n  - {}",
                items.len(),
                joined(items, "\n  - ")
            )
        }
        let quoted = |names: &[String]| -> Vec<String> {
            names.iter().map(|name| format!("{name:?}")).collect()
        };
        write!(
            f,
            "the weights in {} do not match the model; check that its files belong together",
            self.path.display()
        )?;
        section(f, "tensor(s) missing", &quoted(&self.missing))?;
        section(f, "wrong shape(s)", &self.misshapen)?;
        section(f, "unsupported type(s)", &self.unsupported)?;
        section(f, "unknown tensor(s)", &quoted(&self.extra))
    }
}

/// Turns the tensors of a [`Checkpoint`] into a model's parameters.
///
/// After a problem it continues with a placeholder, and [`Loader::finish`] reports all problems
/// together. Do not use the model before `finish` has succeeded.
///
/// Parameters do not require gradients. On a CPU backend they are views of the mapped files, unless
/// their type is converted.
#[derive(Debug)]
pub struct Loader<'a, B: Backend> {
    checkpoint: &'a Checkpoint,
    device: B::Device,
    dtype: Option<FloatDType>,
    used: BTreeSet<String>,
    // Sets, because a tied tensor is requested twice.
    missing: BTreeSet<String>,
    problems: LoadError,
}

impl<'a, B: Backend> Loader<'a, B> {
    /// Makes a loader to `device` that converts to `dtype`, or keeps the file's type if `None`.
    pub fn new(checkpoint: &'a Checkpoint, device: B::Device, dtype: Option<FloatDType>) -> Self {
        Self {
            checkpoint,
            device,
            dtype,
            used: BTreeSet::new(),
            missing: BTreeSet::new(),
            problems: LoadError {
                path: match checkpoint.files() {
                    [file] => file.clone(),
                    _ => checkpoint.folder().to_owned(),
                },
                ..LoadError::default()
            },
        }
    }

    /// Loads the tensor `name`, which must have the shape `shape`.
    pub fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Param<Tensor<B, D>> {
        match self.read(name, shape) {
            Some(tensor) => Param::initialized(ParamId::new(), tensor),
            None => self.placeholder(shape),
        }
    }

    /// Loads a linear layer: `{path}.weight`, stored `[d_output, d_input]`, as burn's
    /// `[d_input, d_output]` by a transposed view, and `{path}.bias` `[d_output]` if `bias`.
    pub fn linear(&mut self, path: &str, d_input: usize, d_output: usize, bias: bool) -> Linear<B> {
        let weight = match self.read(&format!("{path}.weight"), [d_output, d_input]) {
            Some(tensor) => Param::initialized(ParamId::new(), tensor.transpose()),
            None => self.placeholder([d_input, d_output]),
        };
        let bias = bias.then(|| self.tensor(&format!("{path}.bias"), [d_output]));
        Linear { weight, bias }
    }

    /// Marks a tensor as known and unused. It may be absent.
    pub fn skip(&mut self, name: &str) {
        self.used.insert(name.to_owned());
    }

    /// Marks the tensors whose name satisfies `known` as known and unused.
    pub fn skip_matching(&mut self, known: impl Fn(&str) -> bool) {
        let names = self.checkpoint.tensors().map(|(name, _)| name);
        self.used
            .extend(names.filter(|name| known(name)).map(str::to_owned));
    }

    /// Returns a tensor's shape, type and size, without marking it as used.
    pub fn peek(&self, name: &str) -> Option<&'a TensorInfo> {
        self.checkpoint.get(name)
    }

    /// Checks that every requested tensor was present and that none is left over.
    ///
    /// # Errors
    /// Lists all tensors that are missing, left over, of another shape or of an unusable type.
    pub fn finish(self) -> Result<(), LoadError> {
        let mut problems = self.problems;
        problems.missing = self.missing.into_iter().collect();
        problems.extra = self
            .checkpoint
            .tensors()
            .map(|(name, _)| name)
            .filter(|name| !self.used.contains(*name))
            .map(str::to_owned)
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    fn read<const D: usize>(&mut self, name: &str, shape: [usize; D]) -> Option<Tensor<B, D>> {
        let asked_again = !self.used.insert(name.to_owned());
        let Some(info) = self.checkpoint.get(name) else {
            self.missing.insert(name.to_owned());
            return None;
        };
        if info.shape != shape {
            let misshapen = Misshapen {
                name: name.to_owned(),
                expected: shape.to_vec(),
                found: info.shape.clone(),
            };
            if !self.problems.misshapen.contains(&misshapen) {
                self.problems.misshapen.push(misshapen);
            }
            return None;
        }
        let unsupported = |reason| Unsupported {
            name: name.to_owned(),
            dtype: info.dtype,
            reason,
        };
        let result = self.usable_dtype(info.dtype).and_then(|dtype| {
            let data = self
                .checkpoint
                .data(name)
                .map_err(|error| error.to_string())?;
            Ok(Tensor::from_data(data, (&self.device, dtype)))
        });
        match result {
            Ok(tensor) => Some(tensor),
            Err(reason) => {
                if !asked_again {
                    self.problems.unsupported.push(unsupported(reason));
                }
                None
            }
        }
    }

    /// Returns the type in which to load a tensor of type `stored`.
    fn usable_dtype(&self, stored: Dtype) -> Result<DType, String> {
        let stored = match burn_dtype(stored) {
            Some(stored) if stored.is_float() => stored,
            _ => {
                return Err("not a float type; convert it to F32, F16 or BF16".to_owned());
            }
        };
        let dtype = self.dtype.map_or(stored, DType::from);
        if B::dtype_usage(&self.device, dtype).contains(DTypeUsage::Storage) {
            Ok(dtype)
        } else {
            Err(format!(
                "cannot be loaded as {}, which the device does not support; choose f32 for the weights",
                dtype.name()
            ))
        }
    }

    /// Returns a parameter that allocates nothing until it is used, which never happens.
    fn placeholder<const D: usize>(&self, shape: [usize; D]) -> Param<Tensor<B, D>> {
        Param::uninitialized(
            ParamId::new(),
            move |device, _| Tensor::zeros(shape, device),
            self.device.clone(),
            false,
            Shape::from(shape),
        )
    }
}

#[cfg(test)]
mod tests;
