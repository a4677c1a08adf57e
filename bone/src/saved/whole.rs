//! Selects the full parameters that PEFT can store as `modules_to_save`.

use crate::target::HEADS;
use crate::weights::infos;
use crate::{Backend, visit_linears};
use burn::module::Module;
use std::collections::BTreeSet;

/// Returns the paths of the modules that contain a parameter, outermost first.
fn modules_of(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices('.').map(|(end, _)| &name[..end])
}

/// Returns whether a parameter lies in a module that the `modules_to_save` entry `entry` names.
/// PEFT compares the ends of paths, even in the middle of a name.
pub(crate) fn lies_in(name: &str, entry: &str) -> bool {
    modules_of(name).any(|module| module.ends_with(entry))
}

/// Returns whether the matrix `name` may be an embedding tied to the head: it belongs to no linear
/// layer, and no linear layer is a head.
pub(crate) fn may_be_the_head(name: &str, linears: &BTreeSet<&str>) -> bool {
    let module = name.rsplit_once('.').map_or("", |(module, _)| module);
    !linears.contains(module) && !HEADS.iter().any(|head| linears.contains(head))
}

/// Splits the parameters `full` into modules, by path, and single parameters.
///
/// PEFT takes whole modules, and every module whose path ends in an entry. It does not tie full
/// parameters. So it cannot load an embedding correctly that may also be the head, in a model
/// without a head layer.
pub(crate) fn split<B: Backend, M: Module<B>>(
    module: &M,
    full: &BTreeSet<String>,
) -> (Vec<String>, Vec<String>) {
    let all: BTreeSet<_> = infos::<B, M>(module)
        .into_iter()
        .map(|(name, info)| (name, info.shape.len()))
        .collect();
    let mut linears = BTreeSet::new();
    visit_linears::<B, M>(module, |path, _| {
        linears.insert(path.to_string());
    });
    let linears: BTreeSet<_> = linears.iter().map(String::as_str).collect();
    let can_be_the_head = |path: &str| {
        let inside = |name: &str| name.rsplit_once('.').is_some_and(|(of, _)| of == path);
        let mut matrices = all.iter().filter(|(name, rank)| *rank == 2 && inside(name));
        matrices.any(|(name, _)| may_be_the_head(name, &linears))
    };
    let is_module = |path: &str| {
        !can_be_the_head(path)
            && all.iter().all(|(name, _)| {
                let inside = modules_of(name).any(|of| of == path);
                // The entry may only match modules that it was written for.
                (inside && full.contains(name)) || !lies_in(name, path)
            })
    };
    let (mut modules, mut parameters) = (BTreeSet::new(), Vec::new());
    for name in full {
        match name.rsplit_once('.') {
            Some((path, "weight" | "bias")) if modules.contains(path) || is_module(path) => {
                modules.insert(path.to_string());
            }
            _ => parameters.push(name.clone()),
        }
    }
    (modules.into_iter().collect(), parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_entry_matches_ends_of_parent_paths() {
        let name = "model.layers.0.input_norm.weight";
        for entry in ["norm", "input_norm", "0.input_norm", "model", "layers"] {
            assert!(lies_in(name, entry), "{entry}");
        }
        for entry in ["weight", "input", "post_norm", "layers.1"] {
            assert!(!lies_in(name, entry), "{entry}");
        }
    }
}
