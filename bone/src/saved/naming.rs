//! How a format names the tensors of an adapter.

use crate::adapter::{BLOCK, LORA_A, LORA_B};

/// Names of one format: a prefix, the layer's path, and an ending for the tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Naming {
    prefix: &'static str,
    /// The endings in files, with our names for these tensors.
    endings: &'static [(&'static str, &'static str)],
}

const PEFT: &str = "base_model.model.";

impl Naming {
    /// PEFT's MISS.
    pub(crate) const MISS: Self = Self::blocks(PEFT, &[(BLOCK, "miss_block")]);
    /// PEFT's older BONE.
    pub(crate) const BONE: Self = Self::blocks(PEFT, &[(BLOCK, "bone_block")]);
    /// Bone on the input axis, which PEFT does not have.
    pub(crate) const BONE_INPUT: Self = Self::blocks(PEFT, &[(BLOCK, "bone_input_block")]);
    /// PEFT's LoRA.
    pub(crate) const LORA: Self = Self::blocks(
        PEFT,
        &[(LORA_A, "lora_A.weight"), (LORA_B, "lora_B.weight")],
    );
    /// RWKV-PEFT's bone, and JL-er's.
    pub(crate) const RWKV_BONE: Self = Self::blocks("", &[(BLOCK, "bone")]);
    /// RWKV-PEFT's miss.
    pub(crate) const RWKV_DISHA: Self = Self::blocks("", &[(BLOCK, "disha")]);
    /// RWKV-PEFT's miss since 2026.
    pub(crate) const RWKV_MISS: Self = Self::blocks("", &[(BLOCK, "miss_block")]);

    const fn blocks(
        prefix: &'static str,
        endings: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self { prefix, endings }
    }

    /// Returns whether a tensor has a name of PEFT's folders.
    pub(crate) fn is_pefts(key: &str) -> bool {
        key.starts_with(PEFT)
    }

    /// Returns the name of a tensor of a layer's adapter.
    pub(crate) fn key(&self, layer: &str, tensor: &str) -> String {
        let known = self.endings.iter().find(|(ours, _)| *ours == tensor);
        let ending = known.map_or(tensor, |(_, ending)| ending);
        format!("{}{layer}.{ending}", self.prefix)
    }

    /// Returns the name of a full parameter.
    pub(crate) fn full_key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Splits a name into the layer and the adapter's tensor.
    pub(crate) fn split<'a>(&self, key: &'a str) -> Option<(&'a str, &'static str)> {
        let name = key.strip_prefix(self.prefix)?;
        self.endings.iter().find_map(|(ours, ending)| {
            let layer = name.strip_suffix(ending)?.strip_suffix('.')?;
            (!layer.is_empty()).then_some((layer, *ours))
        })
    }

    /// Returns the parameter that a tensor holds in full, judged by its name.
    pub(crate) fn split_full<'a>(&self, key: &'a str) -> Option<&'a str> {
        key.strip_prefix(self.prefix)
    }

    /// Returns the pattern of keys, for messages.
    pub(crate) fn pattern(&self) -> String {
        let key = |(ours, _): &(&str, &str)| self.key("<module>", ours);
        self.endings
            .iter()
            .map(key)
            .collect::<Vec<_>>()
            .join(" and ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tensor_keys_split_back_into_layer_and_tensor() {
        for naming in [
            Naming::MISS,
            Naming::BONE,
            Naming::BONE_INPUT,
            Naming::LORA,
            Naming::RWKV_BONE,
            Naming::RWKV_DISHA,
            Naming::RWKV_MISS,
        ] {
            for (tensor, _) in naming.endings {
                let key = naming.key("blocks.0.att.key", tensor);
                assert_eq!(naming.split(&key), Some(("blocks.0.att.key", *tensor)));
            }
            assert_eq!(naming.split(&naming.full_key("ln_out.weight")), None);
            let key = naming.full_key("ln_out.weight");
            assert_eq!(naming.split_full(&key), Some("ln_out.weight"));
        }
        let input = Naming::BONE_INPUT.key("q_proj", BLOCK);
        assert_eq!(Naming::MISS.split(&input), None);
        assert_eq!(Naming::MISS.split("base_model.model..miss_block"), None);
    }
}
