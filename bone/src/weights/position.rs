//! Where in a module a visitor or mapper is.

use crate::adapter::{INITIAL, LORA};

/// The name burn's `Linear` and ours give themselves.
const LINEAR: &str = "Struct:Linear";
const ADAPTER: &str = "adapter";

/// The path down to the tensor at hand, and what it lies in.
#[derive(Debug, Default)]
pub(crate) struct Position {
    path: Vec<String>,
    inside_adapter: usize,
    inside_initial: usize,
    inside_linear: Vec<bool>,
}

impl Position {
    pub(crate) fn enter(&mut self, name: &str, container: &str) {
        let linear = container == LINEAR;
        self.inside_adapter += usize::from(linear && name == ADAPTER);
        self.inside_initial += usize::from(container == LORA && name == INITIAL);
        self.inside_linear.push(linear);
        self.path.push(name.to_string());
    }

    pub(crate) fn exit(&mut self, name: &str, container: &str) {
        self.inside_adapter -= usize::from(container == LINEAR && name == ADAPTER);
        self.inside_initial -= usize::from(container == LORA && name == INITIAL);
        self.inside_linear.pop();
        self.path.pop();
    }

    /// Whether the tensor is an adapter's.
    pub(crate) fn is_adapter(&self) -> bool {
        self.inside_adapter > 0
    }

    /// Whether the tensor is an adapter's and trains: a residual's factors never do.
    pub(crate) fn is_trainable_adapter(&self) -> bool {
        self.is_adapter() && self.inside_initial == 0
    }

    /// The tensor's name in checkpoints, which know no adapters.
    pub(crate) fn parameter(&self) -> Option<String> {
        (!self.is_adapter()).then(|| self.path.join("."))
    }

    /// Whether checkpoints hold the tensor transposed: burn keeps a linear weight `[in, out]`.
    pub(crate) fn is_transposed(&self, dimensions: usize) -> bool {
        dimensions == 2 && self.inside_linear.last() == Some(&true)
    }
}
