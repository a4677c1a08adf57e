//! What is compared, with as many trainable parameters as bone where a method lets one choose.

/// A method, as `key=value` settings of `bone train`.
#[derive(Debug, Clone)]
pub(crate) struct Method {
    pub(crate) name: &'static str,
    pub(crate) settings: Vec<String>,
}

/// Learning rate of all adapters: one for all, as in the paper.
const RATE: &str = "learning_rate=2e-3";
/// Of full training, where every weight moves.
const FULL_RATE: &str = "learning_rate=5e-4";

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
        let settings = [
            format!("method={word}"),
            format!("rank={rank}"),
            RATE.into(),
        ];
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
        method("full", &["method=full".into(), FULL_RATE.into()]),
    ]
}
