//! Tests the shell scripts with `echo` in place of the program.
#![cfg(unix)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scripts")
        .join(name)
}

fn run(name: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(script(name));
    for name in ["MODEL", "DATA", "ADAPTER", "OUT"] {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .env("BONE", "echo")
        .envs(environment.iter().copied());
    command.output().expect("bash is there")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn run_bone_forwards_arguments_and_environment() {
    let flags = ["m", "d", "o", "--rank", "4"];
    for model in ["llama2", "rwkv6"] {
        let name = format!("{model}/run_bone.sh");
        let by_arguments = run(&name, &flags, &[]);
        let line = text(&by_arguments.stdout);
        let config = format!("metamath/{model}-7b-bone.toml --template ");
        assert!(line.starts_with("train ") && line.contains(&config));
        let given = "--model m --data d --out o --rank 4\n";
        assert!(line.ends_with(given), "{line}");
        let environment = [("MODEL", "m"), ("DATA", "d"), ("OUT", "o")];
        let by_environment = run(&name, &["--rank", "4"], &environment);
        assert_eq!(text(&by_environment.stdout), line);
    }
}

#[test]
fn merge_bone_forwards_all_arguments() {
    for model in ["llama2", "rwkv6"] {
        let name = format!("{model}/merge_bone.sh");
        let output = run(&name, &["m", "a b", "o", "--device", "cpu"], &[]);
        assert_eq!(
            text(&output.stdout),
            "merge --model m --adapter a b --out o --device cpu\n"
        );
    }
}

#[test]
fn missing_arguments_print_usage() {
    for name in [
        "llama2/run_bone.sh",
        "llama2/merge_bone.sh",
        "rwkv6/run_bone.sh",
        "rwkv6/merge_bone.sh",
        "shakespeare_rows.sh",
    ] {
        let output = run(name, &[], &[]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(text(&output.stderr).contains("\nUsage: "), "{name}");
        assert!(output.stdout.is_empty(), "{name}");
    }
    let output = run("llama2/run_bone.sh", &["m", "d", "--rank", "4"], &[]);
    assert_eq!(output.status.code(), Some(2), "OUT is missing");
}

#[test]
fn speeches_become_rows() {
    let folder = tempfile::tempdir().expect("a folder");
    let play = folder.path().join("play.txt");
    let text_of_play =
        "First:\nSpeak, \"speak\".\n\nAll:\nA\\B,\nwe know't.\n\nFirst:\nOne word.\n";
    std::fs::write(&play, text_of_play).expect("written");
    let output = run("shakespeare_rows.sh", &[play.to_str().expect("UTF-8")], &[]);
    let rows: Vec<serde_json::Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let expected = [
        ("First:\nSpeak, \"speak\".\n\nAll:\n", "A\\B,\nwe know't."),
        ("All:\nA\\B,\nwe know't.\n\nFirst:\n", "One word."),
    ];
    assert_eq!(rows.len(), expected.len());
    for (row, (prompt, completion)) in rows.iter().zip(expected) {
        assert_eq!(row["prompt"], prompt);
        assert_eq!(row["completion"], completion);
    }
}
