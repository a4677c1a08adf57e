use super::LINEAR;
use crate::adapter::{INITIAL, LORA};

const ADAPTER: &str = "adapter";

/// The place of a parameter in a module: its path, and the containers around it.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::{AdapterConfig, BoneLinearConfig, Selection, Targets, Variant};
/// use bone::visit::{FloatParam, visit_floats};
/// use burn::backend::Flex;
///
/// let base = vec![BoneLinearConfig::new(6, 4).init::<Flex>(&Default::default())];
/// let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
/// let (mut adapters, mut transposed) = (0, Vec::new());
/// visit_floats::<Flex, _>(&bone::attach(base, &config)?, |param: FloatParam<'_, Flex>| {
///     match param.place.checkpoint_name() {
///         Some(name) if param.place.is_transposed(param.shape.len()) => transposed.push(name),
///         _ => adapters += usize::from(param.place.is_adapter()),
///     }
/// });
/// assert_eq!((adapters, transposed), (1, vec!["0.weight".to_string()]));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
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
    ///
    /// Example: [`Place`].
    pub fn path(&self) -> String {
        self.path.join(".")
    }

    /// Returns whether the parameter belongs to an adapter.
    ///
    /// Example: [`Place`].
    pub fn is_adapter(&self) -> bool {
        self.inside_adapter > 0
    }

    /// Returns whether it belongs to an adapter and may train; the initial factors of a residual
    /// never do.
    ///
    /// Example: [`Place`].
    pub fn is_trainable_adapter(&self) -> bool {
        self.is_adapter() && !self.is_start()
    }

    /// Returns whether it is an initial factor of an adapter on a residual.
    pub(crate) fn is_start(&self) -> bool {
        self.inside_initial > 0
    }

    /// Returns its name in checkpoints, which contain no adapters.
    ///
    /// Example: [`Place`].
    pub fn checkpoint_name(&self) -> Option<String> {
        (!self.is_adapter()).then(|| self.path())
    }

    /// Returns whether checkpoints store it transposed, given its number of dimensions: burn holds
    /// a linear weight as `[in, out]`.
    ///
    /// Example: [`Place`].
    pub fn is_transposed(&self, dimensions: usize) -> bool {
        dimensions == 2 && self.inside_linear.last() == Some(&true)
    }
}
