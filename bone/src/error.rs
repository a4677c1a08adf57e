use bone_files::wording::joined;
use grouped::Grouped;
use std::path::PathBuf;

mod grouped;

const LINE: &str = "\n  ";

pub(crate) fn io(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> FileError + '_ {
    move |source| FileError::Io {
        path: path.to_path_buf(),
        source,
    }
}

/// Why an adapter cannot be put on a layer, or used on it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// The block size does not divide the layer's widths.
    #[error(
        "rank {rank} does not divide {odd}; use a rank that divides the inputs and the outputs, or miss, \
         which supports any rank"
    )]
    Rank {
        /// The block size.
        rank: usize,
        /// The widths it does not divide, in words.
        odd: String,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<&str> for Misfit {
    fn from(text: &str) -> Self {
        Self::Other(text.to_string())
    }
}

impl From<String> for Misfit {
    fn from(text: String) -> Self {
        Self::Other(text)
    }
}

/// One layer that an adapter cannot be put on, or used on.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{module} ({d_input} inputs, {d_output} outputs): {reason}")]
pub struct LayerError {
    /// Module path; empty for a layer outside any module.
    pub module: String,
    /// Input features of the layer.
    pub d_input: usize,
    /// Output features of the layer.
    pub d_output: usize,
    /// What is wrong and what would fit.
    pub reason: Misfit,
}

/// Why adapters could not be attached. The module is unchanged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum AttachError {
    /// A target, exclusion or layer number selects nothing.
    #[error("these targets match no layer: {}; the layers are: {}", joined(.patterns, ", "), joined(.available, ", "))]
    NoMatch {
        /// The patterns that matched nothing.
        patterns: Vec<String>,
        /// The model's layers, numbers replaced by `N`.
        available: Vec<String>,
    },
    /// A regular expression does not compile.
    #[error("'{pattern}' is not a regular expression: {reason}")]
    Pattern {
        /// The expression.
        pattern: String,
        /// The regex engine's message.
        reason: String,
    },
    /// A setting is out of range.
    #[error("{0}")]
    Setting(String),
    /// Layers the adapter does not fit.
    #[error("the adapter does not fit {} layer(s):{}", .0.len(), Grouped(.0))]
    Layers(Vec<LayerError>),
    /// Weights that would train in full although their layer carries an adapter.
    #[error(
        "these layers would be trained in full and through an adapter: {}; exclude them from the \
         targets, or do not train them in full",
        joined(.0, ", ")
    )]
    Whole(Vec<String>),
}

/// Values that a module's parameters cannot take; one line per problem. The module is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} value(s) do not fit their parameters:{LINE}{}", .problems.len(), joined(.problems, LINE))]
pub struct ValueError {
    /// One line per problem, by parameter name.
    pub problems: Vec<String>,
}

/// Why adapters could not be merged or unmerged. The module is unchanged.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum MergeError {
    /// No layer carries an adapter.
    #[error("no layer has an adapter")]
    NoAdapter,
    /// Layers in the wrong state, not finite or not invertible.
    #[error("cannot merge or unmerge {} layer(s):{}", .0.len(), Grouped(.0))]
    Layers(Vec<LayerError>),
}

/// Why an adapter folder could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's error.
        source: std::io::Error,
    },
    /// The file is malformed.
    #[error("{path}: {reason}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file's tensors and the model do not match; every problem is listed.
    #[error("{path} does not fit this model:{LINE}{}", joined(.problems, LINE))]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// One line per problem.
        problems: Vec<String>,
    },
    /// The module has nothing to save, or several kinds of adapter, which one folder cannot hold.
    #[error("this adapter cannot be saved in this format: {0}")]
    NotOneAdapter(String),
    /// The adapter in the file cannot be attached.
    #[error("{path}: {source}")]
    Attach {
        /// The file.
        path: PathBuf,
        /// Why.
        source: AttachError,
    },
}
