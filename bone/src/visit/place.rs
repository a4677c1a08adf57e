use super::LINEAR;
use crate::adapter::{INITIAL, LORA};

const ADAPTER: &str = "adapter";

/// The place of a parameter in a module: its path, and the containers around it.
#[derive(Debug, Default)]
pub struct Place {
    path: Vec<String>,
    inside_adapter: usize,
    inside_initial: usize,
    inside_linear: Vec<bool>,
}

impl Place {
    pub(super) fn enter(&mut self, name: &str, container: &str) {
        let linear = container == LINEAR;
        self.inside_adapter += usize::from(linear && name == ADAPTER);
        self.inside_initial += usize::from(container == LORA && name == INITIAL);
        self.inside_linear.push(linear);
        self.path.push(name.to_string());
    }

    pub(super) fn exit(&mut self, name: &str, container: &str) {
        self.inside_adapter -= usize::from(container == LINEAR && name == ADAPTER);
        self.inside_initial -= usize::from(container == LORA && name == INITIAL);
        self.inside_linear.pop();
        self.path.pop();
    }

    /// Returns the path: the names of the modules and of the parameter, with dots between.
    pub fn path(&self) -> String {
        self.path.join(".")
    }

    /// Returns whether the parameter belongs to an adapter.
    pub fn is_adapter(&self) -> bool {
        self.inside_adapter > 0
    }

    /// Returns whether it belongs to an adapter and may train; the initial factors of a residual
    /// never do.
    pub fn is_trainable_adapter(&self) -> bool {
        self.is_adapter() && !self.is_start()
    }

    /// Returns whether it is an initial factor of an adapter on a residual.
    pub(crate) fn is_start(&self) -> bool {
        self.inside_initial > 0
    }

    /// Returns its name in checkpoints, which contain no adapters.
    pub fn checkpoint_name(&self) -> Option<String> {
        (!self.is_adapter()).then(|| self.path())
    }

    /// Returns whether checkpoints store it transposed, given its number of dimensions: burn holds
    /// a linear weight as `[in, out]`.
    pub fn is_transposed(&self, dimensions: usize) -> bool {
        dimensions == 2 && self.inside_linear.last() == Some(&true)
    }
}
