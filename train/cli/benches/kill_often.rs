//! A run that is killed at random moments must end with the same result as an undisturbed run.
//!
//! `cargo bench -p bone-cli --bench kill_often` kills the run 100 times (`-- --kills N`) with SIGKILL. The
//! moments are drawn from a seed, which it prints (`-- --seed N`). It resumes the run each time and
//! compares the final result, bit for bit, with that of an undisturbed run. A difference is an error. The
//! tests also kill a run at every disk operation of a save.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

fn argument(name: &str) -> Option<u64> {
    let words: Vec<String> = std::env::args().collect();
    let at = words.iter().position(|word| word == name)?;
    words.get(at + 1)?.parse().ok()
}

fn main() -> ExitCode {
    let kills = argument("--kills").unwrap_or(100);
    let since = std::time::UNIX_EPOCH
        .elapsed()
        .map_or(0, |since| since.as_secs());
    let seed = argument("--seed").unwrap_or(since);
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let place = folder.path();
    let rows: String = (0..60)
        .map(|row| {
            format!(
                "{{\"instruction\": \"say {row}\", \"output\": \"{}\"}}\n",
                row * row
            )
        })
        .collect();
    std::fs::write(place.join("rows.jsonl"), rows).expect("written");

    let started = Instant::now();
    let whole = place.join("whole");
    assert!(begin(place, &whole).status().expect("starts").success());
    let took = started.elapsed();
    println!("without kills: {:.1} s", took.as_secs_f64());

    let out = place.join("killed");
    let (mut killed, mut finished, mut furthest, mut runs) = (0, 0, 0, 0);
    while killed < kills {
        let mut command = match newest(&out) {
            Some(_) => resume(&out),
            None => begin(place, &out),
        };
        let mut child = command.stderr(Stdio::null()).spawn().expect("starts");
        // Short pieces hit many saves; long pieces make progress.
        let share = random.random_range(0.0f64..1.0).powi(2);
        std::thread::sleep(took.mul_f64(share).min(Duration::from_secs(60)));
        let _ = child.kill();
        let status = child.wait().expect("waited for");
        runs += 1;
        let now = newest(&out).unwrap_or(0);
        if now < furthest {
            println!("LOST: after step {furthest} was saved, only {now} is there");
            return ExitCode::FAILURE;
        }
        furthest = now;
        match status.success() {
            false => killed += 1,
            true => {
                finished += 1;
                if !is_same(&whole, &out) {
                    return ExitCode::FAILURE;
                }
                std::fs::remove_dir_all(&out).expect("removed");
                furthest = 0;
            }
        }
    }
    if newest(&out).is_some() {
        assert!(resume(&out).status().expect("starts").success());
        finished += 1;
        if !is_same(&whole, &out) {
            return ExitCode::FAILURE;
        }
    }
    println!(
        "{killed} kills in {runs} runs; it came to its end {finished} times, the same every time"
    );
    ExitCode::SUCCESS
}

fn bone() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bone"))
}

fn begin(place: &Path, out: &Path) -> Command {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/llama-tiny");
    let mut command = bone();
    command.args([
        "train",
        "--template",
        "plain",
        "--method",
        "miss",
        "--rank",
        "4",
        "--overwrite",
    ]);
    command.args([
        "--max-steps",
        "60",
        "--save-every",
        "3",
        "--batch-size",
        "2",
        "--dropout",
        "0.1",
    ]);
    command.args([
        "--gradient-accumulation",
        "2",
        "--packing",
        "--device",
        "cpu",
    ]);
    command.args([
        "--model".as_ref(),
        model.as_os_str(),
        "--out".as_ref(),
        out.as_os_str(),
    ]);
    command.args(["--data".as_ref(), place.join("rows.jsonl").as_os_str()]);
    command.stderr(Stdio::null());
    command
}

fn resume(out: &Path) -> Command {
    let mut command = bone();
    command
        .arg("train")
        .arg("--resume")
        .arg(out)
        .stderr(Stdio::null());
    command
}

/// Returns the steps of the newest checkpoint that has its list.
fn newest(out: &Path) -> Option<usize> {
    let entries = std::fs::read_dir(out.join("checkpoints")).ok()?;
    let steps = |path: PathBuf| {
        let name = path
            .file_name()?
            .to_str()?
            .strip_prefix("step-")?
            .parse()
            .ok();
        name.filter(|_| path.join("complete.json").exists())
    };
    entries
        .flatten()
        .filter_map(|entry| steps(entry.path()))
        .max()
}

fn is_same(whole: &Path, out: &Path) -> bool {
    let file = "adapter/adapter_model.safetensors";
    let [a, b] = [whole, out].map(|out| std::fs::read(out.join(file)).expect("a result"));
    if a != b {
        println!("DIFFERENT RESULT from the uninterrupted run");
    }
    a == b
}
