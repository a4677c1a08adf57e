//! Checks an adapter for completeness without its model.

use super::{SavedAdapter, lies_in};
use crate::Selection;
use crate::target::at_number;
use std::collections::{BTreeMap, BTreeSet};

/// Returns the layers that one block lacks and another block has.
pub(crate) fn uneven<'a>(layers: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut blocks = BTreeMap::<(&str, usize), BTreeSet<&str>>::new();
    for (before, number, after) in layers.filter_map(at_number) {
        blocks.entry((before, number)).or_default().insert(after);
    }
    let mut missing = Vec::new();
    for ((before, number), has) in &blocks {
        let others = blocks.iter().filter(|((of, _), _)| of == before);
        let all: BTreeSet<_> = others.flat_map(|(_, has)| has).collect();
        let lacking = all.into_iter().filter(|after| !has.contains(*after));
        missing.extend(lacking.map(|after| format!("{before}{number}.{after}")));
    }
    missing
}

impl SavedAdapter {
    /// Lists contradictions between settings and tensors, and layers that are missing for certain.
    pub(super) fn incomplete(&self) -> Vec<String> {
        let Some(config) = &self.config else {
            return Vec::new();
        };
        let layers: Vec<String> = self.layers.keys().cloned().collect();
        let mut problems = Vec::new();
        let first = config.variant.tensor_names()[0];
        // An expression may select different layers in different blocks.
        let by_pattern = |selection: &Selection| matches!(selection, Selection::Regex(_));
        let targets = &config.targets;
        if !by_pattern(&targets.modules) && !targets.exclude.as_ref().is_some_and(by_pattern) {
            for layer in uneven(layers.iter().map(String::as_str)) {
                for tensor in config.variant.tensor_names() {
                    let key = self.naming.key(&layer, tensor);
                    problems.push(format!("{key}: missing, although other blocks have it"));
                }
            }
        }
        match targets.resolve(&layers) {
            Ok(targeted) => {
                let stray = layers.iter().filter(|layer| !targeted.contains(layer));
                problems.extend(stray.map(|layer| {
                    let key = self.naming.key(layer, first);
                    format!("{key}: {layer} is not a target")
                }));
            }
            // Otherwise the list has this problem already.
            Err(error) if problems.is_empty() => problems.push(format!("target_modules: {error}")),
            Err(_) => {}
        }
        let empty = self
            .modules
            .iter()
            .filter(|entry| !self.full.keys().any(|name| lies_in(name, entry)));
        problems.extend(empty.map(|entry| format!("modules_to_save: {entry} has no tensor")));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uneven_blocks_list_missing_layers() {
        let layers = |text: &str| uneven(text.split(' '));
        assert!(layers("head blocks.0.att.key blocks.2.att.key").is_empty());
        assert_eq!(
            layers("blocks.0.att.key blocks.0.ffn.key blocks.1.att.key model.layers.0.q"),
            ["blocks.1.ffn.key"]
        );
    }
}
