//! What is compared, with as many trainable parameters as bone where a method lets one choose.

/// A method, as `key=value` settings of `bone train`.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) settings: Vec<String>,
}

impl Method {
    /// Its settings with a learning rate.
    pub(crate) fn with_rate(&self, rate: f64) -> Vec<String> {
        let mut settings = self.settings.clone();
        settings.push(format!("learning_rate={rate}"));
        settings
    }
}

/// Bone's rank, and LoRA's with about as many parameters: `r · Σ out = r' · Σ (in + out)`.
fn ranks(architecture: &str) -> (usize, usize) {
    match architecture {
        // 172 inputs leave 4 as the largest power of two: 2,400 and 2,312 parameters a block.
        "LLaMA2" => (4, 2),
        // 5,376 parameters a block, both.
        _ => (8, 4),
    }
}

/// All of them.
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
