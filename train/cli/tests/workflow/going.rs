//! A run that something happens to while it goes on.

use crate::command::{fixture, text};
use crate::runs::Place;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

/// A run that goes on while the test looks at it.
pub(crate) struct Going {
    pub(crate) child: Child,
    lines: std::io::Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
    pub(crate) out: PathBuf,
}

impl Going {
    /// Begins a run of llama-tiny that is slow at some point.
    pub(crate) fn begin(place: &Place, out: &str, slow: &str, more: &[&str]) -> Self {
        let path = place.path(out);
        let mut command = Command::new(env!("CARGO_BIN_EXE_bone"));
        let model = fixture("llama-tiny");
        command.args([
            "train",
            "--model",
            text(&model),
            "--data",
            text(&place.rows),
        ]);
        command.args(["--out", text(&path)]).args(more);
        Self::of(command, path, slow)
    }

    /// Goes on with one.
    #[cfg(unix)]
    #[allow(dead_code, reason = "shared with other tests, which use all of it")]
    pub(crate) fn on(out: &std::path::Path, slow: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bone"));
        command.args(["train", "--resume", text(out)]);
        Self::of(command, out.to_path_buf(), slow)
    }

    fn of(mut command: Command, path: PathBuf, slow: &str) -> Self {
        command.env("FAILPOINTS", slow);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        Self {
            child,
            lines,
            said: Vec::new(),
            out: path,
        }
    }

    /// Waits for a line.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: &str) {
        for line in self.lines.by_ref() {
            self.said.push(line.unwrap());
            if self.said.last().is_some_and(|line| line.contains(wanted)) {
                return;
            }
        }
        panic!("{wanted} was not said: {:#?}", self.said);
    }

    pub(crate) fn send(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// What it exited with, and all that it said.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        self.said.extend(self.lines.map(Result::unwrap));
        (self.child.wait().unwrap().code(), self.said.join("\n"))
    }

    /// Sends a signal: its folder, and all that it said until it exited with `code`.
    #[track_caller]
    pub(crate) fn stopped_by(self, signal: &str, code: i32) -> (PathBuf, String) {
        self.send(signal);
        let out = self.out.clone();
        let (exit, said) = self.end();
        assert_eq!(exit, Some(code), "{said}");
        (out, said)
    }

    /// What it exits with when nobody reads what it says.
    #[allow(dead_code, reason = "shared with other tests, which use all of it")]
    pub(crate) fn unheard(mut self) -> (Option<i32>, PathBuf) {
        drop(self.lines);
        (self.child.wait().unwrap().code(), self.out)
    }
}
