//! Choosing which checkpoints of a run to keep.

use super::find::all;
use super::read_state;
use super::unit::remove;
use crate::disk::PathError;
use crate::trainer::Best;
use bone_data::joined;
use std::path::Path;

/// Which checkpoints to keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Keep {
    /// How many of the newest to keep, at least 1.
    pub(crate) last: usize,
    /// Whether to keep the checkpoint with the best evaluation too.
    pub(crate) best: bool,
}

/// Returns the best evaluation that the checkpoints in `out` record. Damaged checkpoints are ignored.
pub(super) fn best_of(out: &Path) -> Result<Option<Best>, PathError> {
    let all = all(out)?;
    let states = all.iter().filter_map(|(_, folder)| read_state(folder).ok());
    let known = states.map(|state| state.progress);
    let known = known.flat_map(|progress| [progress.evaluation(), progress.best]);
    let mut known: Vec<_> = known.flatten().collect();
    let is_there = |best: &Best| all.iter().any(|(steps, _)| *steps == best.step);
    known.retain(|best| is_there(best) && best.loss.is_finite());
    let lowest = |one: &Best, other: &Best| one.loss.total_cmp(&other.loss);
    Ok(known.into_iter().min_by(lowest))
}

/// Removes all checkpoints except those to keep. `best` is the one with the best evaluation, if it is
/// wanted.
///
/// # Errors
///
/// A message that lists every checkpoint that cannot be removed, with the reason.
pub(super) fn prune(out: &Path, keep: Keep, best: Option<usize>) -> Result<(), String> {
    let best = best.filter(|_| keep.best);
    let mut older = all(out).map_err(|error| error.to_string())?;
    let kept = older.len().saturating_sub(keep.last.max(1));
    older.truncate(kept);
    older.retain(|(steps, _)| Some(*steps) != best);
    let failed = older.iter().filter_map(|(_, folder)| remove(folder).err());
    let failed: Vec<_> = failed.map(|error| error.to_string()).collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(joined(failed, "; "))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::find::name;
    use super::super::list::LIST;
    use super::super::{STATE, State};
    use super::*;
    use crate::layout::CHECKPOINTS;
    use crate::trainer::Progress;
    use std::fs;

    #[test]
    fn prune_continues_after_failed_removal() {
        let out = tempfile::tempdir().unwrap();
        let folder = |steps| out.path().join(CHECKPOINTS).join(name(steps));
        for steps in 1..=4 {
            fs::create_dir_all(folder(steps)).unwrap();
        }
        // A folder in place of the list makes the checkpoint damaged.
        fs::create_dir(folder(1).join(LIST)).unwrap();
        let keep = Keep {
            last: 1,
            best: true,
        };
        let error = prune(out.path(), keep, Some(2)).unwrap_err();
        assert!(error.contains("step-1"), "{error}");
        let left = [1, 2, 3, 4].map(|steps| folder(steps).exists());
        assert_eq!(left, [true, true, false, true]);
    }

    #[test]
    fn best_checkpoint_must_exist() {
        let out = tempfile::tempdir().unwrap();
        let write = |steps: usize, evaluated, loss, best| {
            let progress = Progress {
                steps,
                evaluated: Some(evaluated),
                last_validation: Some(loss),
                best: Some(best),
                ..Progress::default()
            };
            let state = State::default().at(progress, &Default::default());
            let folder = out.path().join(CHECKPOINTS).join(name(steps));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join(STATE), serde_json::to_vec(&state).unwrap()).unwrap();
        };
        assert_eq!(best_of(out.path()).unwrap().map(|best| best.step), None);
        let best = |step, loss| Best { step, loss };
        // This one was saved before its evaluation; the next one records it. The best of all did not fit on
        // the disk.
        write(4, 2, 9.0, best(2, 9.0));
        assert_eq!(best_of(out.path()).unwrap().map(|best| best.step), None);
        write(6, 6, 3.0, best(4, 2.0));
        assert_eq!(best_of(out.path()).unwrap().map(|best| best.step), Some(4));
        write(9, 9, 2.5, best(8, 1.0));
        assert_eq!(best_of(out.path()).unwrap().map(|best| best.step), Some(4));
        write(12, 12, 1.5, best(8, 1.0));
        assert_eq!(best_of(out.path()).unwrap().map(|best| best.step), Some(12));
    }
}
