//! Selects layers by module path, like PEFT.

use crate::AttachError;
use regex::Regex;
use std::collections::BTreeSet;

/// Names of output heads, which `all-linear` excludes, like PEFT.
pub(crate) const HEADS: [&str; 2] = ["lm_head", "head"];

/// A set of layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selection {
    /// Every linear layer except the output head.
    AllLinear,
    /// Layers whose path is one of these or ends in `.` and one of these.
    Names(Vec<String>),
    /// Layers whose whole path matches this regular expression.
    Regex(String),
}

impl Selection {
    /// Selects layers by name.
    ///
    /// Example: [`Targets`].
    pub fn names<S: Into<String>>(names: impl IntoIterator<Item = S>) -> Self {
        Self::Names(names.into_iter().map(Into::into).collect())
    }
}

/// Which layers carry an adapter.
///
/// ```
/// use bone::{Selection, Targets};
///
/// let paths = ["layers.0.q_proj", "layers.0.k_proj", "layers.1.q_proj", "lm_head"];
/// let paths = paths.map(String::from);
///
/// let mut targets = Targets::new(Selection::AllLinear);
/// assert_eq!(targets.resolve(&paths)?.len(), 3);
/// targets.modules = Selection::names(["q_proj"]);
/// targets.layers = Some(vec![1]);
/// assert_eq!(targets.resolve(&paths)?, ["layers.1.q_proj"]);
/// // A regular expression must match the whole path.
/// let targets = Targets::new(Selection::Regex(r"layers\.\d\.k_proj".into()));
/// assert_eq!(targets.resolve(&paths)?, ["layers.0.k_proj"]);
/// # Ok::<(), bone::AttachError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Targets {
    /// The layers.
    pub modules: Selection,
    /// Layers to exclude from these.
    pub exclude: Option<Selection>,
    /// Only layers with one of these numbers, the first number in the path.
    pub layers: Option<Vec<usize>>,
}

impl Targets {
    /// Targets everything that `modules` selects.
    ///
    /// Example: [`Targets`].
    pub fn new(modules: Selection) -> Self {
        Self {
            modules,
            exclude: None,
            layers: None,
        }
    }

    /// Returns the targeted paths, in the order given.
    ///
    /// Example: [`Targets`].
    ///
    /// # Errors
    ///
    /// [`AttachError::NoMatch`] names every name, expression or layer number that selects nothing;
    /// [`AttachError::Pattern`] reports an invalid expression.
    pub fn resolve(&self, paths: &[String]) -> Result<Vec<String>, AttachError> {
        let modules = Matcher::new(&self.modules)?;
        let exclude = self.exclude.as_ref().map(Matcher::new).transpose()?;
        let wanted = |path: &String| modules.matches(path);
        let excluded = |path: &String| exclude.as_ref().is_some_and(|e| e.matches(path));
        let in_layers = |path: &String| match (&self.layers, layer_number(path)) {
            (None, _) => true,
            (Some(layers), Some(number)) => layers.contains(&number),
            (Some(_), None) => false,
        };

        let mut nothing = modules.unmatched(paths);
        if let Some(exclude) = &exclude {
            nothing.extend(exclude.unmatched(paths));
        }
        let numbers = |of: &dyn Fn(&String) -> bool| -> BTreeSet<usize> {
            let paths = paths.iter().filter(|p| of(p));
            paths.filter_map(|p| layer_number(p)).collect()
        };
        let (before, left) = (numbers(&wanted), numbers(&|p| wanted(p) && !excluded(p)));
        for layer in self.layers.iter().flatten() {
            if !before.contains(layer) {
                nothing.push(format!("layer {layer}"));
            } else if !left.contains(layer) {
                nothing.push(format!("layer {layer} (all targets are excluded)"));
            }
        }
        let chosen: Vec<_> = paths
            .iter()
            .filter(|p| wanted(p) && !excluded(p) && in_layers(p))
            .cloned()
            .collect();
        if chosen.is_empty() && nothing.is_empty() {
            nothing.push("all targets are excluded".into());
        }
        if nothing.is_empty() {
            Ok(chosen)
        } else {
            Err(AttachError::NoMatch {
                patterns: nothing,
                available: summary(paths),
            })
        }
    }
}

/// Returns the first component of a path that is a number.
fn layer_number(path: &str) -> Option<usize> {
    at_number(path).map(|(_, number, _)| number)
}

/// Splits a path at its first number: the part before it, the number, the part after it.
pub(crate) fn at_number(path: &str) -> Option<(&str, usize, &str)> {
    let mut start = 0;
    for part in path.split('.') {
        let end = start + part.len();
        if let Ok(number) = part.parse() {
            return Some((&path[..start], number, path.get(end + 1..).unwrap_or("")));
        }
        start = end + 1;
    }
    None
}

/// Returns a path with its numbers replaced by `N`.
///
/// ```
/// assert_eq!(bone::without_numbers("layers.3.q_proj"), "layers.N.q_proj");
/// ```
pub fn without_numbers(path: &str) -> String {
    let part = |part| match str::parse::<usize>(part) {
        Ok(_) => "N",
        Err(_) => part,
    };
    path.split('.').map(part).collect::<Vec<_>>().join(".")
}

/// Returns the distinct paths with their numbers replaced by `N`.
fn summary(paths: &[String]) -> Vec<String> {
    let set: BTreeSet<_> = paths.iter().map(|path| without_numbers(path)).collect();
    set.into_iter().collect()
}

enum Matcher<'a> {
    AllLinear,
    Names(&'a [String]),
    Regex(&'a str, Regex),
}

impl<'a> Matcher<'a> {
    fn new(selection: &'a Selection) -> Result<Self, AttachError> {
        Ok(match selection {
            Selection::AllLinear => Self::AllLinear,
            Selection::Names(names) => Self::Names(names),
            Selection::Regex(pattern) => {
                // The whole path must match, like Python's `re.fullmatch`.
                let regex = Regex::new(&format!("^(?:{pattern})$")).map_err(|error| {
                    AttachError::Pattern {
                        pattern: pattern.clone(),
                        reason: error.to_string(),
                    }
                })?;
                Self::Regex(pattern, regex)
            }
        })
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::AllLinear => !HEADS.contains(&path),
            Self::Names(names) => names.iter().any(|name| named(path, name)),
            Self::Regex(_, regex) => regex.is_match(path),
        }
    }

    fn unmatched(&self, paths: &[String]) -> Vec<String> {
        let none = |test: &dyn Fn(&str) -> bool| !paths.iter().any(|path| test(path));
        match self {
            Self::AllLinear if none(&|p| self.matches(p)) => vec!["all-linear".into()],
            Self::AllLinear => vec![],
            Self::Names([]) => vec!["an empty list".into()],
            Self::Names(names) => names
                .iter()
                .filter(|name| none(&|p| named(p, name)))
                .cloned()
                .collect(),
            Self::Regex(pattern, _) if none(&|p| self.matches(p)) => vec![pattern.to_string()],
            Self::Regex(..) => vec![],
        }
    }
}

fn named(path: &str, name: &str) -> bool {
    path == name
        || path
            .strip_suffix(name)
            .is_some_and(|rest| rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Vec<String> {
        let mut paths: Vec<String> = (0..3)
            .flat_map(|i| {
                ["q_proj", "k_proj"].map(|name| format!("model.layers.{i}.self_attn.{name}"))
            })
            .collect();
        paths.push("lm_head".into());
        paths
    }

    #[test]
    fn names_match_whole_components() {
        let targets = Targets::new(Selection::names(["q_proj"]));
        assert_eq!(targets.resolve(&paths()).expect("matches").len(), 3);
        let error = Targets::new(Selection::names(["_proj", "q_proj", "v_proj"]))
            .resolve(&paths())
            .expect_err("two match nothing");
        let text = error.to_string();
        assert!(text.contains("_proj, v_proj;"), "{text}");
        assert!(text.contains("model.layers.N.self_attn.k_proj"), "{text}");
    }

    #[test]
    fn all_linear_excludes_lm_head() {
        let chosen = Targets::new(Selection::AllLinear)
            .resolve(&paths())
            .expect("matches");
        assert_eq!(chosen.len(), 6);
        assert!(!chosen.contains(&"lm_head".to_string()));
    }

    #[test]
    fn a_regex_must_match_the_whole_path() {
        let whole = Targets::new(Selection::Regex(r".*\.[02]\..*\.(q|k)_proj".into()));
        assert_eq!(whole.resolve(&paths()).expect("matches").len(), 4);
        let part = Targets::new(Selection::Regex("q_proj".into()));
        assert!(matches!(
            part.resolve(&paths()),
            Err(AttachError::NoMatch { .. })
        ));
        let bad = Targets::new(Selection::Regex("(".into()));
        assert!(matches!(
            bad.resolve(&paths()),
            Err(AttachError::Pattern { .. })
        ));
    }

    #[test]
    fn layers_and_exclusions_limit_targets() {
        let mut targets = Targets::new(Selection::AllLinear);
        targets.layers = Some(vec![1, 2]);
        targets.exclude = Some(Selection::names(["2.self_attn.k_proj"]));
        assert_eq!(
            targets.resolve(&paths()).expect("matches"),
            [
                "model.layers.1.self_attn.q_proj",
                "model.layers.1.self_attn.k_proj",
                "model.layers.2.self_attn.q_proj"
            ]
        );
        targets.layers = Some(vec![1, 7]);
        let error = targets.resolve(&paths()).expect_err("no layer 7");
        assert!(error.to_string().contains("layer 7"), "{error}");
    }

    #[test]
    fn fully_excluded_layer_number_is_refused() {
        let mut targets = Targets::new(Selection::AllLinear);
        targets.layers = Some(vec![0, 1]);
        targets.exclude = Some(Selection::Regex(r".*layers\.0\..*".into()));
        let error = targets.resolve(&paths()).expect_err("nothing left of 0");
        let text = error.to_string();
        assert!(
            text.contains(": layer 0 (all targets are excluded);"),
            "{text}"
        );
        targets.exclude = Some(Selection::names(["0.self_attn.q_proj"]));
        assert_eq!(targets.resolve(&paths()).expect("three are left").len(), 3);
    }
}
