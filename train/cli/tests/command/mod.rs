//! Runs the binary as a user does.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

/// Result of running the binary.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// Runs `bone` with `args`.
pub(crate) fn bone<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Ran {
    bone_with(args, &[])
}

/// Runs `bone` with `args` and with variables in its environment.
pub(crate) fn bone_with<A: AsRef<OsStr>>(
    args: impl IntoIterator<Item = A>,
    variables: &[(&str, &str)],
) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_bone"))
        .args(args)
        // CPUs differ in whether they multiply in bf16. Other tests cover that.
        .env("BONE_BF16", "off")
        .envs(variables.iter().copied())
        .env("RUST_BACKTRACE", "0")
        .output()
        .expect("the binary starts");
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

impl Ran {
    /// Returns the result, which must be a success.
    #[track_caller]
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }
}

/// Returns a model folder of the repository.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/fixtures")
        .join(name)
}

/// Returns a path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("the path is UTF-8")
}

/// Returns 40 rows of four patterns, one JSON object per line.
pub(crate) fn row_lines() -> Vec<String> {
    (0..40)
        .map(|row| {
            let word = ["ab", "cd", "ef", "gh"][row % 4];
            let instruction = format!("say {word} {row}");
            json!({"instruction": instruction, "output": word.repeat(4)}).to_string()
        })
        .collect()
}

/// Writes [`row_lines`] to `rows.jsonl` in `folder`.
pub(crate) fn write_rows(folder: &Path) -> PathBuf {
    let path = folder.join("rows.jsonl");
    std::fs::write(&path, row_lines().join("\n") + "\n").expect("the rows are written");
    path
}

/// Copies the files of the model folder `name` to `to`.
pub(crate) fn copy_fixture(name: &str, to: &Path) -> PathBuf {
    std::fs::create_dir_all(to).expect("the folder is made");
    for entry in std::fs::read_dir(fixture(name)).expect("the fixture is there") {
        let entry = entry.expect("the fixture can be listed");
        std::fs::copy(entry.path(), to.join(entry.file_name())).expect("the file is copied");
    }
    to.to_path_buf()
}
