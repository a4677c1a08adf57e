//! The compared methods, with as many trainable parameters as bone where a method allows the choice.

/// A method, as `key=value` settings of `bone train`.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) settings: Vec<String>,
}

impl Method {
    /// Returns the settings with a learning rate.
    pub(crate) fn with_rate(&self, rate: f64) -> Vec<String> {
        let mut settings = self.settings.clone();
        settings.push(format!("learning_rate={rate}"));
        settings
    }
}

/// Bone's rank, and LoRA's with about as many parameters: `r · Σ out = r' · Σ (in + out)`.
fn ranks(architecture: &str) -> (usize, usize) {
    match architecture {
        // 4 is the largest power of two that divides 172 inputs: 2,400 and 2,312 parameters a block.
        "LLaMA2" => (4, 2),
        // Both have 5,376 parameters a block.
        _ => (8, 4),
    }
}

/// Returns all methods.
pub(crate) fn methods(architecture: &str) -> Vec<Method> {
    let (bone, lora) = ranks(architecture);
    let method = |name, settings: &[String]| Method {
        name,
        settings: settings.to_vec(),
    };
    let adapter = |name, word: &str, rank: usize| {
        let settings = [format!("method={word}"), format!("rank={rank}")];
        method(name, &settings)
    };
    let mut lora_plus = adapter("LoRA+", "lora", lora);
    lora_plus.settings.push("lora_plus_ratio=16".into());
    vec![
        adapter("LoRA", "lora", lora),
        lora_plus,
        adapter("PiSSA", "pissa", lora),
        adapter("OLoRA", "olora", lora),
        adapter("bone", "bone", bone),
        adapter("miss", "miss", bone),
        method("full", &["method=full".into()]),
    ]
}
