//! A run that the test disturbs while it trains.

use crate::command::{fixture, text};
use crate::runs::Place;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};

/// A run in a background process, which the test observes.
pub(crate) struct BackgroundRun {
    pub(crate) child: Child,
    lines: std::io::Lines<BufReader<ChildStderr>>,
    said: Vec<String>,
    pub(crate) out: PathBuf,
}

impl BackgroundRun {
    /// Starts a run of llama-tiny that is slowed down at some point.
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

    /// Resumes a run in the background.
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

    /// Waits for a line of output.
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

    /// Waits for the end. Returns the exit code and all output.
    pub(crate) fn end(mut self) -> (Option<i32>, String) {
        self.said.extend(self.lines.map(Result::unwrap));
        (self.child.wait().unwrap().code(), self.said.join("\n"))
    }

    /// Sends a signal and checks the exit `code`. Returns the run's folder and all output.
    #[track_caller]
    pub(crate) fn stopped_by(self, signal: &str, code: i32) -> (PathBuf, String) {
        self.send(signal);
        let out = self.out.clone();
        let (exit, said) = self.end();
        assert_eq!(exit, Some(code), "{said}");
        (out, said)
    }

    /// Returns the exit code if its output is closed.
    #[allow(dead_code, reason = "shared with other tests, which use all of it")]
    pub(crate) fn unheard(mut self) -> (Option<i32>, PathBuf) {
        drop(self.lines);
        (self.child.wait().unwrap().code(), self.out)
    }
}
