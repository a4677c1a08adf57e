//! The demo's arguments.

use crate::command::text;
use crate::refusal::{FAILURE, Scene, USAGE};

#[test]
fn invalid_demo_flags_are_rejected() {
    let scene = Scene::new();
    let out = scene.path("out");
    let cases: [(&[&str], &[&str]); 4] = [
        (
            &["--arch", "rwkv7"],
            &["'rwkv7'", "--arch", "llama2, rwkv6, both"],
        ),
        (&["--arch"], &["--arch", "llama2, rwkv6, both"]),
        // The warm-up takes one step, and at least one more must follow.
        (&["--steps", "1"], &["--steps", "1"]),
        (&["--device", "gpu"], &["gpu", "auto, cpu, ndarray"]),
    ];
    for (args, wanted) in cases {
        let all = [&["demo", "--out", text(&out)], args].concat();
        scene.fails(&all, USAGE, wanted);
    }
}

#[test]
fn demo_never_overwrites_files() {
    let scene = Scene::new();
    for arch in ["llama2", "rwkv6", "both"] {
        let args = ["demo", "--arch", arch, "--out", text(&scene.model)];
        let wanted = ["model: is not empty", "--out"];
        scene.fails(&args, FAILURE, &wanted);
    }
}
