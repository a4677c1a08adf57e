//! A run on a GPU that is told to end while it tunes its kernels, and gone on with.

use super::command::{bone, text};
use super::going::Going;
use super::gpus;
use super::runs::{Place, Run};
use bone_train::device::Kind;

const ARGS: &str = "--method miss --rank 4 --max-steps 12 --validation 0 --batch-size 2 --template plain \
                    --learning-rate 0.001 --dtype f32";

#[test]
fn it_ends_after_the_step_and_goes_on_there() {
    let place = Place::new();
    // What is of the driver and not of its language is tried once.
    for device in gpus().into_iter().filter(|name| name.kind != Kind::Wgpu) {
        let device = device.to_string();
        let begin = |out: &str, device: &str| {
            let args = ARGS.split_whitespace().chain(["--device", device]);
            Going::begin(&place, out, "", &args.collect::<Vec<_>>())
        };
        let mut run = begin("stopped", &device);
        run.until("tuning kernels");
        run.send("-TERM");
        let out = run.out.clone();
        let (code, said) = run.end();
        assert_eq!(code, Some(143), "{said}");
        assert!(said.contains("stopped after step 1"), "{said}");
        bone(["train", "--resume", text(&out)]).succeeded();

        let (code, said) = begin("whole", "cpu").end();
        assert_eq!(code, Some(0), "{said}");
        let [stopped, whole] = ["stopped", "whole"].map(|out| Run::read(place.path(out)).losses());
        assert_eq!(stopped.len(), 12);
        for (found, wanted) in stopped.iter().zip(&whole) {
            assert!(
                (found - wanted).abs() < 1e-3,
                "{device}: {stopped:?} {whole:?}"
            );
        }
    }
}
