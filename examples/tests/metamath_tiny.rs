//! Runs the protocol for tiny models as a user does, on the fixture models.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../tests/fixtures")
        .join(name)
}

fn copy(name: &str, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(fixture(name)).expect("the fixture") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("copied");
    }
}

/// Questions in GSM8K's format.
fn questions(folder: &Path, name: &str, from: usize, count: usize) -> PathBuf {
    let line = |n: usize| {
        format!(
            "{{\"question\": \"add {n} and 1\", \"answer\": \"sum\\n#### {}\"}}\n",
            n + 1
        )
    };
    let path = folder.join(name);
    let lines: String = (from..from + count).map(line).collect();
    fs::write(&path, lines).expect("written");
    path
}

fn run(folder: &Path, args: &[&str]) -> Output {
    let rows = questions(folder, "train.jsonl", 0, 72);
    let test = questions(folder, "test.jsonl", 100, 3);
    Command::new(env!("CARGO_BIN_EXE_metamath_tiny"))
        .args(["--train".as_ref(), rows.as_os_str()])
        .args(["--test".as_ref(), test.as_os_str()])
        .arg("--out")
        .arg(folder.join("out"))
        .args(args)
        .output()
        .expect("starts")
}

#[test]
fn the_table_has_every_method_on_both_models() {
    let folder = tempfile::tempdir().expect("a folder");
    let (llama, rwkv) = (folder.path().join("llama"), folder.path().join("rwkv6"));
    copy("llama-tiny", &llama);
    copy("rwkv6-tiny", &rwkv);
    // The prompt has more characters than the model has positions, and each character is a token.
    let config = llama.join("config.json");
    let text = fs::read_to_string(&config).expect("a configuration");
    let longer = text.replace(
        "\"max_position_embeddings\": 128",
        "\"max_position_embeddings\": 512",
    );
    assert_ne!(text, longer);
    fs::write(config, longer).expect("written");
    fs::write(
        rwkv.join("generation_config.json"),
        r#"{"eos_token_id": 2}"#,
    )
    .expect("written");
    let mut args = vec!["--llama2", llama.to_str().expect("UTF-8")];
    args.extend(["--rwkv6", rwkv.to_str().expect("UTF-8")]);
    args.extend("--steps 2 --seeds 2 --rates 1e-3,1e-2 --batch-size 2".split(' '));
    args.extend("--max-seq-len 256 --max-new-tokens 2".split(' '));
    let ran = run(folder.path(), &args);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{said}");
    let table = fs::read_to_string(folder.path().join("out/table.md")).expect("the table");
    assert_eq!(String::from_utf8_lossy(&ran.stdout).trim(), table.trim());
    for model in ["LLaMA2: ", "RWKV6: "] {
        let part = table.split("### ").find(|part| part.starts_with(model));
        let part = part.expect("a table of the model");
        let row = |name: &str| {
            let start = format!("| {name} |");
            let row = part.lines().find(|line| line.starts_with(&start));
            let cells = row.expect(name).split('|').map(str::trim);
            cells.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(row("before")[6], "0 of 3");
        for name in ["LoRA", "LoRA+", "PiSSA", "OLoRA", "bone", "miss", "full"] {
            let row = row(name);
            assert!(["0.001", "0.01"].contains(&row[2].as_str()), "{row:?}");
            assert!(
                row[3].parse::<usize>().is_ok_and(|count| count > 0),
                "{row:?}"
            );
            for loss in [&row[4], &row[5]] {
                let (mean, spread) = loss.split_once(" ± ").expect("a mean and a spread");
                let (mean, spread): (f64, f64) = (
                    mean.parse().expect("number"),
                    spread.parse().expect("number"),
                );
                assert!(mean > 0.0 && mean < 10.0 && spread > 0.0, "{row:?}");
            }
            assert_eq!(row[6], "0 of 6");
        }
    }
    for name in ["llama2", "rwkv6"] {
        let drawing = fs::read_to_string(folder.path().join(format!("out/{name}.svg")));
        assert_eq!(drawing.expect("a drawing").matches("<polyline").count(), 7);
    }
}

#[test]
fn missing_model_arguments_are_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = run(folder.path(), &[]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(
        !ran.status.success() && said.contains("give --llama2 or --rwkv6"),
        "{said}"
    );
    let ran = run(folder.path(), &["--llama2", "absent"]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success() && said.contains("absent"), "{said}");
}
