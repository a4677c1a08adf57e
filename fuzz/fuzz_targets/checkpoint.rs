//! Replaces each file of a checkpoint with fuzzed bytes.
#![no_main]

use bone_train::layout::CHECKPOINTS;
use bone_train::optimizer::{Trained, TrainedMoments};
use bone_train::run::checkpoint::{self, LIST, STATE, State, TENSORS, Unit, tensors_to_bytes};
use burn::tensor::TensorData;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;
use tempfile::TempDir;

/// A run's output folder with one complete checkpoint.
struct Run {
    out: TempDir,
    checkpoint: PathBuf,
    state: State,
}

static RUN: LazyLock<Run> = LazyLock::new(|| {
    let block = || TensorData::new(vec![0.5f32; 6], [2, 3]);
    let moments = Some(TrainedMoments {
        time: 3,
        first: block(),
        second: block(),
    });
    let values = block();
    let trained = BTreeMap::from([("layer.block".into(), Trained { values, moments })]);
    let state = State {
        total_steps: 8,
        ..State::default()
    };
    let state = state.at(Default::default(), &trained);
    let out = tempfile::tempdir().expect("a folder");
    let checkpoint = out.path().join(CHECKPOINTS).join("step-3");
    let unit = Unit::begin(&checkpoint).expect("begun");
    let tensors = tensors_to_bytes(&trained).expect("tensors");
    unit.write(TENSORS, &tensors).expect("written");
    let json = serde_json::to_vec(&state).expect("state");
    unit.write(STATE, &json).expect("written");
    unit.finish().expect("finished");
    checkpoint::find(out.path()).expect("whole");
    Run {
        out,
        checkpoint,
        state,
    }
});

fuzz_target!(|bytes: &[u8]| {
    let Run {
        out,
        checkpoint,
        state,
    } = &*RUN;
    let with = |name: &str, read: &dyn Fn()| {
        let path = checkpoint.join(name);
        let whole = std::fs::read(&path).expect("there");
        std::fs::write(&path, bytes).expect("written");
        read();
        std::fs::write(&path, whole).expect("written");
    };
    with(STATE, &|| {
        if let Err(error) = checkpoint::read_state(checkpoint) {
            bone_fuzz::bounded(error);
        }
        // A changed state file must be refused, because the list holds its hash.
        match checkpoint::find(out.path()) {
            Ok(found) => assert_eq!(found.state, *state),
            Err(error) => bone_fuzz::bounded(error),
        }
    });
    with(
        TENSORS,
        &|| match checkpoint::read_tensors(checkpoint, state) {
            Ok(trained) => {
                for Trained { values, .. } in trained.values() {
                    let elements: usize = values.shape.iter().product();
                    assert_eq!(values.num_elements(), elements);
                }
            }
            Err(error) => bone_fuzz::bounded(error),
        },
    );
    with(LIST, &|| {
        // A changed list may still be valid if every entry matches a file.
        if let Err(error) = checkpoint::find(out.path()) {
            bone_fuzz::bounded(error);
        }
    });
});
