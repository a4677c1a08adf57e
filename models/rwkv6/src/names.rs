//! The two naming schemes of RWKV6 checkpoints.

use bone_lm::checkpoint::Checkpoint;

/// Naming scheme of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// RWKV's own, `blocks.0.att.key.weight`; the same as the model's module paths.
    Rwkv,
    /// The Hugging Face remote code's: `rwkv.blocks.0.attention.key.weight`.
    HuggingFace,
}

impl Names {
    /// Returns the naming scheme of `checkpoint`.
    pub fn used_in(checkpoint: &Checkpoint) -> Self {
        match checkpoint.tensors().any(|(name, _)| is_hugging_face(name)) {
            true => Self::HuggingFace,
            false => Self::Rwkv,
        }
    }

    /// Returns the name in this scheme of the tensor that RWKV calls `name`.
    pub fn of(self, name: &str) -> String {
        match self {
            Self::Rwkv => name.to_string(),
            Self::HuggingFace => hugging_face(name),
        }
    }
}

/// Returns whether a tensor or module has a name of the Hugging Face remote code.
pub fn is_hugging_face(name: &str) -> bool {
    name.starts_with("rwkv.")
}

/// Returns RWKV's name of the module, or the end of a module's path, that the Hugging Face remote
/// code calls `path`.
pub fn own_path(path: &str) -> String {
    match is_hugging_face(path) {
        true => own_name(path),
        false => own_name(&format!("rwkv.{path}")),
    }
}

/// Returns RWKV's name of a tensor, given its name in either scheme.
pub fn own_name(name: &str) -> String {
    let Some(rest) = name.strip_prefix("rwkv.") else {
        return name.to_string();
    };
    if let Some(rest) = rest.strip_prefix("embeddings.") {
        return format!("emb.{rest}");
    }
    let parts: Vec<_> = rest
        .split('.')
        .map(|part| match part {
            "attention" => "att",
            "feed_forward" => "ffn",
            "pre_ln" => "ln0",
            other => other,
        })
        .collect();
    parts.join(".")
}

fn hugging_face(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("emb.") {
        return format!("rwkv.embeddings.{rest}");
    }
    let Some(rest) = name.strip_prefix("blocks.") else {
        // The head is the only part outside the trunk.
        return match name.strip_prefix("head.") {
            Some(_) => name.to_string(),
            None => format!("rwkv.{name}"),
        };
    };
    let parts: Vec<_> = rest
        .split('.')
        .map(|part| match part {
            "att" => "attention",
            "ffn" => "feed_forward",
            "ln0" => "pre_ln",
            other => other,
        })
        .collect();
    format!("rwkv.blocks.{}", parts.join("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hugging_face_names_map_to_rwkv_names() {
        for (own, theirs) in [
            ("emb.weight", "rwkv.embeddings.weight"),
            ("head.weight", "head.weight"),
            ("ln_out.bias", "rwkv.ln_out.bias"),
            ("blocks.0.ln0.weight", "rwkv.blocks.0.pre_ln.weight"),
            ("blocks.3.ln2.bias", "rwkv.blocks.3.ln2.bias"),
            (
                "blocks.11.att.time_maa_w1",
                "rwkv.blocks.11.attention.time_maa_w1",
            ),
            (
                "blocks.2.ffn.key.weight",
                "rwkv.blocks.2.feed_forward.key.weight",
            ),
        ] {
            assert_eq!(Names::HuggingFace.of(own), theirs);
            assert_eq!(Names::Rwkv.of(own), own);
            assert_eq!(own_name(theirs), own);
            assert_eq!(own_name(own), own);
        }
    }
}
