//! Prints the rows the demo's bundled model was pre-trained on, as JSON Lines.

use bone_train::demo::task;

fn main() {
    print!("{}", task::to_jsonl(&task::pretraining()));
}
