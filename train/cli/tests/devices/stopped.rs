//! A long run on a GPU that is stopped while it tunes its kernels, then resumed.

use super::background::BackgroundRun;
use super::command::{bone, text};
use super::gpus;
use super::runs::{Place, Run, number};
use bone_train::device::Kind;

const STEPS: usize = 150;
const ARGS: &str = "--method bone --rank 4 --max-steps 150 --batch-size 1 --validation 0 --template plain \
                    --learning-rate 0.001 --dtype f32";

/// Long enough to show a memory leak, which is reported for this version of burn and wgpu.
#[test]
fn gpu_run_resumes_and_memory_stays_constant() {
    let place = Place::new();
    // WGSL uses the same driver, and test time is limited.
    for device in gpus().into_iter().filter(|name| name.kind != Kind::Wgpu) {
        let device = device.to_string();
        let begin = |out: &str, device: &str| {
            let args = ARGS.split_whitespace().chain(["--device", device]);
            BackgroundRun::begin(&place, out, "", &args.collect::<Vec<_>>())
        };
        let name = device.replace(':', "-");
        let mut run = begin(&name, &device);
        run.until("tuning kernels");
        let (out, said) = run.stopped_by("-TERM", 143);
        assert!(said.contains("stopped after step 1"), "{said}");
        bone(["train", "--resume", text(&out)]).succeeded();
        let run = Run::read(out);
        assert_eq!(run.steps.len(), STEPS);

        let (code, said) = begin("cpu", "cpu").end();
        assert_eq!(code, Some(0), "{said}");
        let whole = Run::read(place.path("cpu")).losses();
        for (found, wanted) in run.losses().iter().zip(&whole).take(20) {
            assert!((found - wanted).abs() < 1e-3, "{device}: {found}, {wanted}");
        }

        let resident = run.steps.iter().skip(1);
        let resident = resident.map(|step| number(step, "resident_bytes"));
        let resident: Vec<_> = resident.collect();
        let most = resident[30..].iter().fold(0f64, |a, &b| a.max(b));
        println!(
            "{device}: {:.1} MB after 30 steps, at most {:.1} in the 119 after",
            resident[29] / 1e6,
            most / 1e6,
        );
        assert!(most < 1.01 * resident[29], "{device}");
    }
}
