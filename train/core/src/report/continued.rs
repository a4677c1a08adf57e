//! The record of a run that is gone on with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::ReportError;
use super::metrics::Metrics;
use crate::disk::Beside;
use crate::layout::METRICS;
use bone_data::counted;

/// `metrics.jsonl` as it was at a checkpoint, or a new one, beside the file until it takes its place.
#[derive(Debug)]
pub struct Continued {
    path: PathBuf,
    file: Beside,
    /// Steps that it has no line of.
    missing: usize,
}

/// The part of a run that its record keeps.
#[derive(Debug, Clone, Copy)]
pub struct Upto {
    /// Steps that were done when the run began.
    pub begun_at: usize,
    /// Steps done.
    pub steps: usize,
    /// The step of the last evaluation.
    pub evaluated: Option<usize>,
}

impl Continued {
    /// An empty one.
    ///
    /// # Errors
    /// [`ReportError`]: it cannot be written; the file is as it was.
    pub fn anew(out: &Path) -> Result<Self, ReportError> {
        Self::write(out.join(METRICS), &[], 0)
    }

    fn write(path: PathBuf, kept: &[u8], missing: usize) -> Result<Self, ReportError> {
        match Beside::write(path.clone(), kept) {
            Ok(file) => Ok(Self {
                path,
                file,
                missing,
            }),
            Err(source) => Err(ReportError { path, source }),
        }
    }

    /// Writes what the file in `out` has of a run up to `steps` steps, after the last of which it was evaluated
    /// or not, and the lines `unwritten` that had no room then: what came later is left out, and will be
    /// written again.
    ///
    /// # Errors
    /// [`ReportError`]: it cannot be read or written; the file is as it was.
    pub fn prepare(out: &Path, upto: Upto, unwritten: &str) -> Result<Self, ReportError> {
        let Upto {
            begun_at,
            steps,
            evaluated,
        } = upto;
        let path = out.join(METRICS);
        let mut text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(ReportError { path, source }),
        };
        // The last line of a run that was killed may be half of one.
        text.push(b'\n');
        text.extend(unwritten.bytes());
        let mut met = BTreeSet::new();
        let mut is_kept = |line: &&[u8]| {
            let value: Result<serde_json::Value, _> = serde_json::from_slice(line);
            value.is_ok_and(|value| {
                let is_evaluation = value["type"] == "evaluation";
                let last = match is_evaluation {
                    true => evaluated,
                    false => Some(steps),
                };
                let step = value["step"].as_u64().map(|step| step as usize);
                step.filter(|step| last.is_some_and(|last| *step <= last))
                    .is_some_and(|step| met.insert((is_evaluation, step)))
            })
        };
        let mut kept = Vec::new();
        for line in text.split(|byte| *byte == b'\n').filter(&mut is_kept) {
            kept.extend(line);
            kept.push(b'\n');
        }
        let missing = (begun_at + 1..=steps).filter(|step| !met.contains(&(false, *step)));
        Self::write(path, &kept, missing.count())
    }

    /// Takes the file's place, to go on with.
    ///
    /// # Errors
    /// [`ReportError`]: it cannot.
    pub fn take_place(self) -> Result<Metrics, ReportError> {
        let Self {
            path,
            file,
            missing,
        } = self;
        let file = match file.take_place() {
            Ok(file) => file,
            Err(source) => return Err(ReportError { path, source }),
        };
        let trouble = (missing > 0).then(|| {
            format!(
                "{}: {} of the run have no line in it any more; was it changed?",
                path.display(),
                counted(missing, "step")
            )
        });
        let mut metrics = Metrics::of(path, file);
        metrics.trouble = trouble;
        Ok(metrics)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn line(kind: &str, step: usize) -> String {
        format!("{{\"type\":\"{kind}\",\"step\":{step}}}\n")
    }

    fn upto(begun_at: usize, steps: usize, evaluated: Option<usize>) -> Upto {
        Upto {
            begun_at,
            steps,
            evaluated,
        }
    }

    #[test]
    fn a_forked_run_lacks_no_step_of_the_other() {
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join(METRICS), line("step", 8)).unwrap();
        let now = Continued::prepare(out.path(), upto(7, 8, None), "").unwrap();
        assert_eq!(now.take_place().unwrap().trouble(), None);
    }

    #[test]
    fn no_step_is_missing_and_none_is_twice() {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join(METRICS);
        let steps: Vec<_> = (1..=5).map(|step| line("step", step)).collect();
        let [first, last] = [0, 4].map(|step| line("evaluation", step));
        // Half of the third is in the file: the disk was full.
        let (half, _) = steps[2].split_at(7);
        let text = [&first, &steps[0], &steps[1], half].concat();
        std::fs::write(&path, &text).unwrap();
        let unwritten = [&steps[2][..], &steps[3], &last, &steps[4]].concat();
        let wanted = [&first[..], &steps.concat()[..4 * steps[0].len()], &last].concat();
        // Before and after there was room for it.
        for before in [text, [&first, &steps[..3].concat()[..]].concat()] {
            std::fs::write(&path, &before).unwrap();
            let now = Continued::prepare(out.path(), upto(0, 4, Some(4)), &unwritten).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
            let mut metrics = now.take_place().unwrap();
            assert_eq!(metrics.trouble(), None);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), wanted);
        }
        // One that was lost is told.
        std::fs::write(&path, line("skipped", 2)).unwrap();
        let now = Continued::prepare(out.path(), upto(0, 3, None), "").unwrap();
        let trouble = now.take_place().unwrap().trouble().unwrap();
        assert!(trouble.contains("2 steps of the run"), "{trouble}");
    }
}
