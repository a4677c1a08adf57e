#![allow(clippy::unwrap_used)]

use super::*;

/// Returns step `step` of `total`: 1,000 tokens in two seconds.
pub(super) fn step(step: usize, total_steps: usize) -> StepReport {
    StepReport {
        step,
        total_steps,
        epoch: step as f64 / 100.0,
        loss: 2.5,
        grad_norm: 0.75,
        learning_rate: 2e-5,
        tokens: 600,
        tokens_processed: 1000,
        seconds: 2.0,
        tuning: false,
        spike: None,
    }
}

/// Creates the metrics of a new run.
pub(super) fn created(out: &Path) -> Metrics {
    let mut metrics = Metrics::new(out, &[]).unwrap();
    metrics.take_place().unwrap();
    metrics
}

const EVALUATION: EvalReport = EvalReport {
    step: 2,
    loss: 2.0,
    tokens: 300,
};

fn printed(events: &[Event<'_>]) -> Vec<String> {
    let mut out = Vec::new();
    let mut lines = Lines::new(&mut out);
    for event in events {
        lines.report(*event).unwrap();
    }
    let text = String::from_utf8(out).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn run_prints_expected_lines() {
    let start = StartReport {
        settings: vec!["rank  64  (default)".into()],
        model: vec!["LLaMA, 12 blocks".into()],
        total_steps: 100,
        recent_losses: Vec::new(),
    };
    let summary = Summary {
        steps: 100,
        tokens: 60_000,
        tokens_processed: 100_000,
        seconds: 200.0,
        first_validation_loss: Some(2.0),
        last_validation_loss: Some(1.5),
        skipped_steps: 0,
        peak_resident_bytes: 3 << 29,
        trained_parameters: 1000,
        set_up_seconds: 0.5,
        out: "out".into(),
    };
    let lines = printed(&[
        Event::Phase("loading the model"),
        Event::Start(&start),
        Event::Evaluation(EVALUATION),
        Event::Step(step(1, 100)),
        Event::Step(step(2, 100)),
        Event::Step(step(5, 100)),
        Event::Saved(Path::new("out/adapter")),
        Event::Note("2 rows were dropped"),
        Event::Finish(&summary),
    ]);
    let want = [
        "loading the model …",
        "settings",
        "  rank  64  (default)",
        "run",
        "  LLaMA, 12 blocks",
        "training for 100 steps",
        "validation after step 2: loss 2.0000, perplexity 7.39, over 300 tokens",
        "step 1/100  epoch 0.01  loss 2.5000  lr 2.00e-5  500 tok/s  mem ",
        "step 5/100  epoch 0.05  loss 2.5000  lr 2.00e-5  500 tok/s  mem ",
        "saved out/adapter",
        "note: 2 rows were dropped",
        "done: 100 steps in 3m 20s, 60000 of 100000 tokens trained, peak memory 1.5 GiB",
        "validation loss 2.0000 → 1.5000 (-25.0 %)",
        "result: out",
    ];
    assert_eq!(lines.len(), want.len(), "{lines:#?}");
    for (line, want) in lines.iter().zip(want) {
        assert!(line.starts_with(want), "'{line}' is not '{want}'");
    }
    assert!(
        lines[7].ends_with("  grad 0.750  eta 3m 18s"),
        "{}",
        lines[7]
    );
}

#[test]
fn skipped_step_is_printed_and_logged() {
    let report = SkipReport {
        step: 1,
        loss_scale: Some(32_768.0),
        skipped: 1,
        rows: vec![7, 3],
    };
    let skip = Event::Skipped(&report);
    let printed_lines = printed(&[skip]);
    assert_eq!(printed_lines.len(), 1, "{printed_lines:?}");
    for part in [
        "note: step 1 skipped: ",
        "f16",
        "loss scale: 32768",
        "1 skipped",
    ] {
        assert!(
            printed_lines[0].contains(part),
            "no '{part}' in {printed_lines:?}"
        );
    }
    let dir = tempfile::tempdir().unwrap();
    created(dir.path()).report(skip).unwrap();
    let line = std::fs::read_to_string(dir.path().join(crate::layout::METRICS)).unwrap();
    let mut line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(line.as_object_mut().unwrap().remove("at").unwrap().is_f64());
    let want = serde_json::json!({
        "type": "skipped", "step": 1, "loss_scale": 32_768.0, "skipped": 1, "rows": [7, 3]
    });
    assert_eq!(line, want);
    let report = SkipReport {
        loss_scale: None,
        ..report
    };
    let line = &printed(&[Event::Skipped(&report)])[0];
    assert!(
        line.contains("not finite") && !line.contains("f16"),
        "{line}"
    );
}

#[test]
fn summary_without_validation_has_two_lines() {
    let lines = printed(&[Event::Finish(&Summary::default())]);
    assert_eq!(lines.len(), 2, "{lines:#?}");
}

#[test]
fn terminal_escapes_in_reports_are_escaped() {
    let lines = printed(&[
        Event::Note("\u{1b}]0;title\u{7}"),
        Event::Saved(Path::new("a\u{1b}[2J")),
    ]);
    assert_eq!(lines, ["note: \\u{1b}]0;title\\u{7}", "saved a\\u{1b}[2J"]);
}

#[test]
fn closed_console_does_not_end_run() {
    struct Gone;
    impl io::Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    }
    assert!(Lines::new(Gone).report(Event::Note("x")).is_ok());
}

#[test]
fn metrics_are_written_as_json_lines() {
    let dir = tempfile::tempdir().unwrap();
    let mut metrics = created(dir.path());
    let read = || -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(dir.path().join(crate::layout::METRICS)).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'));
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    metrics.report(Event::Note("not a metric")).unwrap();
    metrics.report(Event::Step(step(1, 10))).unwrap();
    let [line] = &read()[..] else {
        panic!("one line")
    };
    assert_eq!(line["type"], "step");
    assert_eq!(line["step"], 1);
    assert_eq!(line["loss"], 2.5);
    assert_eq!(line["learning_rate"], 2e-5);
    assert_eq!(line["tokens_processed"], 1000);
    assert!(line["resident_bytes"].is_u64());
    let diverged = StepReport {
        loss: f64::NAN,
        ..step(2, 10)
    };
    metrics.report(Event::Step(diverged)).unwrap();
    metrics.report(Event::Evaluation(EVALUATION)).unwrap();
    let mut lines = read();
    assert!(lines[1]["loss"].is_null());
    for line in &mut lines {
        assert!(line.as_object_mut().unwrap().remove("at").unwrap().is_f64());
    }
    let want = serde_json::json!({"type": "evaluation", "step": 2, "loss": 2.0, "tokens": 300});
    assert_eq!(lines[2], want);
    assert_eq!(lines.len(), 3);
}

#[test]
fn missing_metrics_folder_is_named() {
    let error = Metrics::new(Path::new("/no/such"), &[])
        .unwrap_err()
        .to_string();
    assert!(error.starts_with("/no/such/metrics.jsonl: "), "{error}");
}

mod resumed {
    use super::*;
    use crate::layout::METRICS;

    fn line(kind: &str, step: usize) -> String {
        format!("{{\"type\":\"{kind}\",\"step\":{step}}}\n")
    }

    #[test]
    fn forked_run_ignores_steps_of_source_run() {
        let out = tempfile::tempdir().unwrap();
        std::fs::write(out.path().join(METRICS), line("step", 8)).unwrap();
        let mut now = Metrics::resume(out.path(), 8..=8, None, "").unwrap();
        assert_eq!(now.trouble(), None);
    }

    #[test]
    fn resumed_metrics_contain_every_step_once() {
        let out = tempfile::tempdir().unwrap();
        let path = out.path().join(METRICS);
        let steps: Vec<_> = (1..=5).map(|step| line("step", step)).collect();
        let [first, last] = [0, 4].map(|step| line("evaluation", step));
        // Half of the third line is in the file: the disk was full.
        let (half, _) = steps[2].split_at(7);
        let text = [&first, &steps[0], &steps[1], half].concat();
        std::fs::write(&path, &text).unwrap();
        let unwritten = [&steps[2][..], &steps[3], &last, &steps[4]].concat();
        let wanted = [&first[..], &steps.concat()[..4 * steps[0].len()], &last].concat();
        // Tests before and after there was space for it.
        for before in [text, [&first, &steps[..3].concat()[..]].concat()] {
            std::fs::write(&path, &before).unwrap();
            let mut metrics = Metrics::resume(out.path(), 1..=4, Some(4), &unwritten).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), before);
            metrics.take_place().unwrap();
            assert_eq!(metrics.trouble(), None);
            assert_eq!(std::fs::read_to_string(&path).unwrap(), wanted);
        }
        // A lost line is reported.
        std::fs::write(&path, line("skipped", 2)).unwrap();
        let mut now = Metrics::resume(out.path(), 1..=3, None, "").unwrap();
        let trouble = now.trouble().unwrap();
        assert!(trouble.contains("2 steps of the run"), "{trouble}");
    }
}
