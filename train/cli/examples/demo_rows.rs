//! Prints the rows that the demo's bundled model was pre-trained on, as JSON Lines.

use bone_cli::demo::task;

fn main() {
    print!("{}", task::to_jsonl(&task::pretraining()));
}
