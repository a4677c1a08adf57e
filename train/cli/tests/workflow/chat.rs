//! `bone chat`.

use std::process::{Command, Stdio};

use crate::command::{fixture, text};

/// Runs `bone chat` with lines as its input.
fn chat(args: &[&str], input: &str) -> (Option<i32>, String, String) {
    use std::io::Write;
    let model = fixture("llama-tiny");
    let mut child = Command::new(env!("CARGO_BIN_EXE_bone"))
        .args([
            "chat",
            "--model",
            text(&model),
            "--device",
            "cpu",
            "--max-new-tokens",
            "12",
        ])
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (
        output.status.code(),
        text(output.stdout),
        text(output.stderr),
    )
}

#[test]
fn chat_continues_and_restarts_conversation() {
    for template in ["chatml", "rwkv", "llama2-chat"] {
        let args = ["--template", template, "--system", "be brief"];
        let (code, said, error) = chat(
            &args,
            "say ab 1\n\nsay cd 2\n/new\nsay ab 1\n/what\n/exit\nmore\n",
        );
        assert_eq!(code, Some(0), "{template}: {error}");
        let lines: Vec<_> = said.lines().collect();
        assert!(said.contains("command /what"), "{template}: {said}");
        // After `/new` the answers are the same as at the start.
        assert!(!lines.is_empty());
        let (_, alone, _) = chat(&args, "say ab 1\n");
        assert!(
            said.starts_with(&alone),
            "{template}: {said:?} and {alone:?}"
        );
    }
    // With a template for one question, every line starts a new conversation.
    let (code, said, error) = chat(&["--template", "plain"], "say ab 1\nsay cd 2\n");
    assert_eq!(code, Some(0), "{error}");
    let alone = ["say ab 1\n", "say cd 2\n"].map(|line| chat(&["--template", "plain"], line).1);
    assert_eq!(said, alone.concat());
    let (code, _, error) = chat(&[], "hello\n");
    assert_eq!(code, Some(2));
    assert!(error.contains("has no chat template"), "{error}");
}
