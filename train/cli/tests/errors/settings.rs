//! Settings, flags and output folders.

use crate::command::{copy_fixture, row_lines, text};
use crate::refusal::{FAILURE, Scene, USAGE};

#[test]
fn unknown_and_missing_flags_are_named() {
    let scene = Scene::new();
    scene.train_fails(&["--modle", "x"], USAGE, &["--modle", "--model"]);
    scene.fails(&["trian"], USAGE, &["trian", "train"]);
    let missing = ["model: missing", "data: missing", "out: missing"];
    scene.fails(&["train"], USAGE, &missing);
    scene.fails(&["merge"], USAGE, &["--model", "--adapter", "--out"]);
    scene.fails(&["generate"], USAGE, &["--model", "--prompt"]);
    let no_prompt = ["generate", "--model", text(&scene.model)];
    scene.fails(&no_prompt, USAGE, &["--prompt"]);
}

#[test]
fn settings_file_problems_are_listed() {
    let scene = Scene::new();
    let file = scene.write("run.toml", "rnak = 4\nbatch_size = \"x\"\nepochs = 0\n");
    let wanted = [
        "run.toml: rnak: unknown setting; did you mean 'rank'?",
        "run.toml: batch_size: must be an integer",
        "run.toml: epochs: must be greater than 0",
    ];
    scene.train_fails(&[text(&file)], USAGE, &wanted);
    let file = scene.write("sections.toml", "[train]\nrank = 4\n");
    scene.train_fails(
        &[text(&file)],
        USAGE,
        &["sections.toml: train", "unknown setting"],
    );
    let file = scene.write("broken.toml", "seed = 1\nrank = \n");
    scene.train_fails(&[text(&file)], USAGE, &["broken.toml:2: invalid TOML"]);
    let absent = scene.path("absent.toml");
    scene.train_fails(&[text(&absent)], FAILURE, &["absent.toml: file not found"]);
    scene.train_fails(
        &["--set", "rnk=3"],
        USAGE,
        &["--set rnk", "did you mean 'rank'?"],
    );
    scene.train_fails(&["--set", "rank"], USAGE, &["--set rank", "KEY=VALUE"]);
}

#[test]
fn out_of_range_flags_are_rejected() {
    let scene = Scene::new();
    let cases: [(&[&str], &str); 21] = [
        (&["--rank", "0"], "--rank: must be at least 1, not 0"),
        (&["--rank", "many"], "--rank: must be an integer"),
        (&["--epochs", "0"], "--epochs: must be greater than 0"),
        (&["--epochs", "-1"], "--epochs: must be greater than 0"),
        (
            &["--learning-rate", "-0.5"],
            "--learning-rate: must be greater than 0, not -0.5",
        ),
        (
            &["--learning-rate", "nan"],
            "--learning-rate: must be greater than 0, not NaN",
        ),
        (&["--max-steps", "0"], "--max-steps: must be at least 1"),
        (&["--max-seq-len", "1"], "--max-seq-len: must be at least 2"),
        (
            &["--validation", "1.5"],
            "--validation: must be an integer, or a fraction",
        ),
        (
            &["--field-map", "nonsense"],
            "--field-map: field map 'nonsense'",
        ),
        (
            &["--targets", "("],
            "--targets: '(' is not a regular expression",
        ),
        (&["--layers", "3-1"], "--layers: '3-1'"),
        (&["--method", "bon"], "did you mean 'bone'?"),
        (&["--method", "state", "--rank="], "--method: state"),
        (
            &["--block-axis", "inputs"],
            "--block-axis: unknown 'inputs'; choose from output, input",
        ),
        (
            &["--train-parts", "norms"],
            "--train-parts: unknown 'norms'; choose from time, ln, emb, head",
        ),
        (
            &["--chunk-ctx", "512"],
            "--chunk-ctx: must be less than max_seq_len 512",
        ),
        (&["--method", "miss-mini"], "mini_width: missing"),
        (
            &["--dropout", "0.1"],
            "--dropout: has no effect with method bone, only with miss",
        ),
        (&["--template", "nofile"], "--template: template 'nofile'"),
        (
            &["--method", "full"],
            "--rank: has no effect with method full",
        ),
    ];
    for (args, wanted) in cases {
        scene.train_fails(args, USAGE, &[wanted]);
    }
}

#[test]
fn invalid_sampling_flags_are_rejected() {
    let scene = Scene::new();
    let base = ["generate", "--model", text(&scene.model), "--prompt", "a"];
    let cases: [(&[&str], &str); 11] = [
        (&["--top-k", "3"], "top_k has no effect with temperature 0"),
        (
            &["--top-p", "0.5"],
            "top_p has no effect with temperature 0",
        ),
        (&["--temperature", "-1"], "temperature"),
        (&["--temperature=-1"], "at least 0, not -1"),
        (&["--temperature", "nan"], "at least 0, not NaN"),
        (&["--temperature", "warm"], "--temperature"),
        (
            &["--temperature", "1", "--top-p", "1.5"],
            "at most 1, not 1.5",
        ),
        (
            &["--temperature", "1", "--top-k", "0"],
            "top_k must be at least 1, not 0",
        ),
        (&["--repetition-penalty", "0"], "greater than 0, not 0"),
        (&["--max-new-tokens", "-5"], "--max-new-tokens"),
        (&["--template", "nofile"], "template 'nofile'"),
    ];
    for (args, wanted) in cases {
        scene.fails(&[&base[..], args].concat(), USAGE, &[wanted]);
    }
}

#[test]
fn missing_devices_are_rejected() {
    let scene = Scene::new();
    let model = text(&scene.model);
    let generate = ["generate", "--model", model, "--prompt", "a", "--device"];
    for name in ["gpu", "cpu:1", "cuda:x"] {
        let wanted = [name, "auto, cpu, ndarray"];
        scene.train_fails(&["--device", name], USAGE, &wanted);
        scene.fails(&[&generate[..], &[name]].concat(), USAGE, &wanted);
    }
    if !cfg!(feature = "cuda") {
        let wanted = ["no cuda backend", "--features cuda"];
        scene.train_fails(&["--device", "cuda"], FAILURE, &wanted);
        scene.fails(&[&generate[..], &["cuda"]].concat(), FAILURE, &wanted);
    }
}

#[test]
fn used_output_folder_is_rejected() {
    let scene = Scene::new();
    let used = scene.path("used");
    std::fs::create_dir(&used).unwrap();
    std::fs::write(used.join("mine"), "precious").unwrap();
    let wanted = ["--out: ", "used exists and is not empty", "--overwrite"];
    scene.train_fails(&["--out", text(&used)], FAILURE, &wanted);
    let rows = text(&scene.rows);
    scene.train_fails(
        &["--out", rows],
        FAILURE,
        &["--out: ", "give an output folder"],
    );
    let model = text(&scene.model);
    let own = ["--out", model, "--overwrite"];
    scene.train_fails(&own, FAILURE, &["is the folder of the model"]);
}

#[test]
fn output_never_overwrites_its_inputs() {
    let scene = Scene::new();
    let out = scene.path("work");
    for name in ["model", "adapter", "checkpoints/step-5/model"] {
        let base = copy_fixture("llama-tiny", &out.join(name));
        let args = ["--model", text(&base), "--out", text(&out), "--overwrite"];
        let wanted = ["--out: ", name, "give another"];
        scene.train_fails(&args, FAILURE, &wanted);
        scene.train_fails(
            &[&args[..], &["--method", "full", "--rank="]].concat(),
            FAILURE,
            &wanted,
        );
    }
    let data = scene.write("work/metrics.jsonl", row_lines().join("\n"));
    let args = ["--data", text(&data), "--out", text(&out), "--overwrite"];
    scene.train_fails(
        &args,
        FAILURE,
        &["--out: ", "metrics.jsonl", "give another"],
    );
}

#[test]
fn every_command_has_the_same_exit_codes() {
    let scene = Scene::new();
    let (model, rows) = (text(&scene.model), text(&scene.rows));
    let (nowhere, bare, out) = (scene.path("nowhere"), scene.path("bare"), scene.path("out"));
    std::fs::create_dir(&bare).unwrap();
    let used = scene.path("used");
    std::fs::create_dir(&used).unwrap();
    std::fs::write(used.join("mine"), "precious").unwrap();
    let (nowhere, bare, used, out) = (text(&nowhere), text(&bare), text(&used), text(&out));
    let train = |model, data, out| vec!["train", "--model", model, "--data", data, "--out", out];
    let generate = |model| vec!["generate", "--prompt", "a", "--model", model];
    let merge = |model, adapter, out| {
        vec![
            "merge",
            "--model",
            model,
            "--adapter",
            adapter,
            "--out",
            out,
        ]
    };
    for (args, code) in [
        (train(nowhere, rows, out), FAILURE),
        (train(bare, rows, out), FAILURE),
        (train(model, nowhere, out), FAILURE),
        (train(model, rows, used), FAILURE),
        (generate(nowhere), FAILURE),
        (generate(bare), FAILURE),
        (merge(nowhere, bare, out), FAILURE),
        (merge(bare, bare, out), FAILURE),
        (merge(model, nowhere, out), FAILURE),
        (merge(model, bare, used), FAILURE),
        (vec!["train"], USAGE),
        (vec!["generate"], USAGE),
        (vec!["merge"], USAGE),
        (
            [train(model, rows, out), vec!["--rank", "0"]].concat(),
            USAGE,
        ),
        (
            [train(nowhere, rows, out), vec!["--rank", "0"]].concat(),
            USAGE,
        ),
        (
            [train(model, rows, out), vec!["--set", "rnak=8"]].concat(),
            USAGE,
        ),
        (
            [train(model, rows, out), vec!["--device", "gpu"]].concat(),
            USAGE,
        ),
        ([generate(model), vec!["--device", "gpu"]].concat(), USAGE),
        ([generate(model), vec!["--top-k", "3"]].concat(), USAGE),
    ] {
        scene.fails(&args, code, &[]);
    }
}
