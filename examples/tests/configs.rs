//! The run configurations give the intended settings.

use bone_train::config::{Given, TrainConfig, resolve};
use bone_train::schedule::ScheduleKind;
use std::path::Path;

fn read(file: &str) -> TrainConfig {
    let configs = Path::new(env!("CARGO_MANIFEST_DIR"));
    let out = tempfile::tempdir().expect("a folder");
    let set = |key: &str, path: &Path| format!("{key}={}", path.display());
    let given = Given {
        file: Some(configs.join(file)),
        // The paths may name any existing file.
        set: vec![
            set("model", configs),
            set("data", &configs.join(file)),
            set("out", out.path()),
        ],
        ..Given::default()
    };
    resolve(&given).unwrap_or_else(|error| panic!("{file}: {error}"))
}

#[test]
fn every_configuration_is_valid() {
    let mut read_files = 0;
    for folder in ["configs", "metamath"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        for entry in std::fs::read_dir(path).expect("the folder") {
            let name = entry.expect("an entry").file_name();
            let name = name.to_str().expect("UTF-8");
            if name.ends_with(".toml") {
                read(&format!("{folder}/{name}"));
                read_files += 1;
            }
        }
    }
    assert!(read_files >= 6);
}

/// Returns a template's text of a question and its answer: the prompt, and the trained text.
fn pieces(file: &str) -> (String, String) {
    use bone_data::{Content, Template};
    use bone_tokenizer::Piece;
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    let template = Template::load(path.to_str().expect("UTF-8"), None).expect("valid");
    let content = Content::Single {
        instruction: "How many?".into(),
        input: String::new(),
        response: "Two.".into(),
    };
    let (mut read, mut learnt) = (String::new(), String::new());
    for piece in template.pieces(&content).expect("a single turn") {
        match piece {
            Piece::Text {
                text,
                trained: false,
            } => read.push_str(&text),
            Piece::Text {
                text,
                trained: true,
            } => learnt.push_str(&text),
            Piece::Bos | Piece::Eos { .. } => {}
        }
    }
    (read, learnt)
}

#[test]
fn llama2_metamath_config_matches_paper() {
    let config = read("metamath/llama2-7b-bone.toml");
    let adapter = config.adapter_config().expect("an adapter method");
    assert_eq!((adapter.variant.name(), adapter.rank), ("bone", 64));
    assert_eq!(config.batch_size * config.gradient_accumulation, 64);
    assert_eq!((config.epochs, config.max_steps), (Some(1.0), None));
    assert_eq!((config.beta1, config.beta2), (0.9, 0.999));
    assert_eq!((config.learning_rate, config.weight_decay), (2e-5, 0.0));
    assert_eq!(config.max_seq_len, 512);
    let schedule = config.schedule(100);
    assert_eq!(schedule.warmup_steps, 0);
    assert_eq!(config.schedule, ScheduleKind::Cosine);
}

#[test]
fn llama2_metamath_template_ends_with_eot_token() {
    let (read, learnt) = pieces("metamath/llama2.template");
    assert!(read.starts_with("Below is an instruction") && read.ends_with("### Response:"));
    assert_eq!(learnt, "Two.\n<|EOT|>");
}

#[test]
fn rwkv6_metamath_config_matches_reference_run() {
    let config = read("metamath/rwkv6-7b-bone.toml");
    let adapter = config.adapter_config().expect("an adapter method");
    assert_eq!(adapter.rank, 64);
    assert_eq!((config.beta1, config.beta2, config.eps), (0.9, 0.99, 1e-8));
    assert_eq!(
        (config.learning_rate, config.schedule),
        (2e-5, ScheduleKind::Constant)
    );
    assert_eq!(config.max_seq_len, 512);
    let (read, learnt) = pieces("metamath/rwkv6.template");
    assert!(read.starts_with("Below is an instruction") && read.ends_with("### Response:"));
    assert_eq!(learnt, "Two.\n\x17");
}
