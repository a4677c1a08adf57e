use super::*;
use bone_data::Kind;

#[test]
fn unknown_keys_and_wrong_types_are_listed() {
    let place = Place::new();
    let file = place.file(
        "rnak = 8\nbatch_size = \"four\"\nmethod = \"bon\"\nlearning_rate = true\n\
         layers = [0, -1]\n[training]\nseed = 1\n[field_map]\nquery = \"q\"\nresponse = 3\n",
    );
    let found = problems(place.resolve(&[&file, "--set=lr=1", "--set=eps", "--seed=-1"]));
    let want = [
        (format!("{file}: rnak"), "did you mean 'rank'?"),
        (
            format!("{file}: batch_size"),
            "an integer of at least 0, not 'four'",
        ),
        (format!("{file}: method"), "did you mean 'bone'?"),
        (
            format!("{file}: learning_rate"),
            "must be a number, not 'true'",
        ),
        (format!("{file}: layers"), "'-1' is not a block number"),
        (format!("{file}: training"), "unknown setting"),
        (format!("{file}: field_map"), "unknown field `query`"),
        ("--set lr".to_owned(), "did you mean 'learning_rate'?"),
        ("--set eps".to_owned(), "KEY=VALUE"),
        ("--seed".to_owned(), "at least 0, not '-1'"),
    ];
    for (place, message) in &want {
        let hit = found
            .iter()
            .any(|problem| problem.starts_with(place.as_str()) && problem.contains(message));
        assert!(hit, "no '{place}: {message}' in {found:#?}");
    }
    assert_eq!(found.len(), 10, "{found:#?}");
}

#[test]
fn escape_sequences_in_keys_are_escaped() {
    let place = Place::new();
    let file = place.file("\"a\\u001b[2J\" = 1\n");
    let error = place.resolve(&[&file]).unwrap_err().to_string();
    assert!(error.contains("a\\u{1b}[2J: unknown"), "{error}");
}

#[test]
fn unparsed_value_gives_a_single_problem() {
    let place = Place::new();
    let args = ["--method=miss-mini", "--set=mini_width=x"];
    let found = problems(place.resolve(&args));
    assert_eq!(found.len(), 1, "{found:#?}");
    // An unknown method decides which settings apply, so the rank is not checked.
    let found = problems(place.resolve(&["--method=x", "--rank=8"]));
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn missing_required_settings_are_listed() {
    let found = problems(resolve_args([]));
    let keys: Vec<_> = found.iter().map(|p| p.split(':').next().unwrap()).collect();
    assert_eq!(keys, ["model", "data", "out"]);
}

#[test]
fn out_of_range_values_are_rejected() {
    let place = Place::new();
    for (args, part) in [
        (vec!["--rank=0"], "--rank: must be at least 1, not 0"),
        (vec!["--max-seq-len=1"], "at least 2"),
        (vec!["--chunk-ctx=1"], "--chunk-ctx: must be at least 2"),
        (vec!["--max-seq-len=1", "--chunk-ctx=9"], "at least 2"),
        (vec!["--block-axis=inputs"], "did you mean 'input'?"),
        (
            vec!["--train-parts=lm,ln,heads"],
            "did you mean 'ln'?; unknown 'heads'",
        ),
        (
            vec!["--set=train_parts=[1]"],
            "unknown '1'; choose from time",
        ),
        (vec!["--train-parts="], "empty; choose from time"),
        (vec!["--tokenizer="], "must not be empty"),
        (
            vec!["--tokenizer=no/such.json"],
            "no/such.json: file not found; give a tokenizer.json",
        ),
        (vec!["--batch-size=0"], "at least 1"),
        (vec!["--gradient-accumulation=0"], "at least 1"),
        (vec!["--max-steps=0"], "at least 1"),
        (vec!["--eval-every=0"], "at least 1"),
        (vec!["--save-every=0"], "at least 1"),
        (vec!["--head-chunk=0"], "at least 1"),
        (vec!["--epochs=0"], "greater than 0"),
        (vec!["--epochs=nan"], "greater than 0"),
        (vec!["--learning-rate=inf"], "greater than 0"),
        (vec!["--learning-rate=0"], "greater than 0"),
        (vec!["--eps=0"], "greater than 0"),
        (vec!["--beta1=1"], "less than 1"),
        (vec!["--beta2=-0.1"], "less than 1"),
        (vec!["--weight-decay=-1"], "at least 0"),
        (vec!["--max-grad-norm=-1"], "at least 0"),
        (vec!["--validation=1.5"], "less than 1"),
        (vec!["--seed=18446744073709551615"], "at most"),
        (vec!["--warmup-ratio=1"], "less than 1"),
        (
            vec!["--warmup-steps=8", "--max-steps=8"],
            "the run of 8 step(s)",
        ),
        (
            vec!["--warmup-steps=1", "--max-steps=1"],
            "lower warmup_steps",
        ),
        (
            vec!["--targets=all-linear,lm_head"],
            "all-linear cannot be combined",
        ),
        (
            vec!["--set=targets=[\"all-linear\"]"],
            "all-linear cannot be combined",
        ),
        (
            vec!["--warmup-steps=9", "--max-steps=8"],
            "the run of 8 step(s)",
        ),
        (
            vec!["--warmup-steps=9", "--warmup-ratio=0"],
            "excludes warmup_ratio",
        ),
        (vec!["--method=miss", "--dropout=1"], "less than 1"),
        (vec!["--method=miss-mini"], "mini_width: missing"),
        (vec!["--method=miss-mini", "--mini-width=0"], "at least 1"),
        (vec!["--targets=(q_proj"], "not a regular expression"),
        (vec!["--exclude=all-linear"], "all-linear, which excludes"),
        (vec!["--targets="], "must not be empty"),
        (vec!["--layers=3-1"], "not a block number"),
        (vec!["--layers=0-99999999999"], "not a block number"),
        (vec!["--template=no/such/file"], "template 'no/such/file'"),
        (vec!["--device="], "must not be empty"),
    ] {
        let found = problems(place.resolve(&args));
        assert!(
            found.len() == 1 && found[0].contains(part),
            "{args:?}: {found:#?}"
        );
    }
}

#[test]
fn setting_without_effect_is_rejected() {
    let place = Place::new();
    for (args, place_of_it) in [
        (vec!["--method=full", "--rank=8"], "--rank: "),
        (vec!["--method=full", "--set=targets=q"], "--set targets: "),
        (vec!["--method=full", "--layers=0"], "--layers: "),
        (vec!["--method=full", "--exclude=q"], "--exclude: "),
        (vec!["--method=full", "--dropout=0.1"], "--dropout: "),
        (vec!["--mini-width=8"], "--mini-width: "),
        (vec!["--method=miss", "--mini-width=8"], "--mini-width: "),
        (vec!["--dropout=0.1"], "--dropout: "),
        (vec!["--block-axis=input", "--dropout=0.1"], "--dropout: "),
        (
            vec!["--method=full", "--block-axis=input"],
            "--block-axis: ",
        ),
        (
            vec!["--method=miss", "--block-axis=output"],
            "--block-axis: has no effect with method miss, only with bone",
        ),
        (
            vec!["--method=full", "--train-parts=ln"],
            "--train-parts: has no effect with method full, only with bone, miss",
        ),
        (
            vec!["--method=state", "--train-parts=time"],
            "--train-parts: has no effect with method state, only with bone",
        ),
        (vec!["--method=state", "--rank=8"], "--rank: "),
        (vec!["--method=state", "--mini-width=8"], "--mini-width: "),
        (vec!["--method=state", "--dropout=0"], "--dropout: "),
        (vec!["--method=state", "--targets=att"], "--targets: "),
        (vec!["--method=state", "--exclude=att"], "--exclude: "),
        (vec!["--method=state", "--layers=0"], "--layers: "),
        (
            vec!["--method=state", "--block-axis=input"],
            "--block-axis: has no effect with method state, only with bone",
        ),
        (
            vec!["--max-seq-len=64", "--chunk-ctx=64"],
            "--chunk-ctx: must be less than max_seq_len 64",
        ),
        (vec!["--chunk-ctx=512"], "--chunk-ctx: "),
        (vec!["--validation=0", "--eval-every=5"], "--eval-every: "),
        (
            vec!["--chunked-head=false", "--head-chunk=5"],
            "--head-chunk: ",
        ),
    ] {
        let found = problems(place.resolve(&args));
        assert!(
            found.len() == 1 && found[0].starts_with(place_of_it),
            "{args:?}: {found:#?}"
        );
    }
    assert!(place.resolve(&["--dropout=0"]).is_ok());
    assert!(place.resolve(&["--chunk-ctx=511"]).is_ok());
}

#[test]
fn missing_paths_are_rejected() {
    let place = Place::new();
    let (model, rows) = (place.path("model"), place.path("rows.jsonl"));
    let out = place.path("out");
    let with = |model: &str, data: &str, out: &str| {
        let args = [("--model", model), ("--data", data), ("--out", out)];
        let args = args.map(|(flag, path)| format!("{flag}={path}"));
        problems(resolve_args(args.iter().map(String::as_str)))
    };
    // Any file may hold weights. Only reading it shows whether it does.
    assert!(
        resolve_args([
            &format!("--model={rows}") as &str,
            &place.needed()[1],
            &place.needed()[2]
        ])
        .is_ok()
    );
    #[cfg(unix)]
    assert!(with("/dev/null", &rows, &out)[0].contains("/dev/null: must be a folder"));
    assert!(with(&model, &model, &out)[0].contains("the folder has no data file"));
    let found = with("/no/such", "/no/such", &out);
    assert_eq!(found.len(), 2);
    assert!(found[0].contains("/no/such: ") && found[0].contains("Hugging Face"));
    assert!(found[1].ends_with("/no/such: file not found"));
}

#[test]
fn disk_errors_differ_from_setting_errors() {
    let place = Place::new();
    let file = place.file("rank = = 2\n");
    for (args, on_disk) in [
        (vec!["/no/such.toml"], true),
        (vec!["--set=model=/no/such"], true),
        (vec!["--tokenizer=/no/such"], true),
        (vec![file.as_str()], false),
        (vec!["--rank=0"], false),
        (vec!["--tokenizer=/no/such", "--rank=0"], false),
        (vec!["--set=rnak=1"], false),
        (vec!["--set=rank"], false),
    ] {
        // A flag overrides `--set`, so only the tested setting is given twice.
        let needed = place.needed().into_iter().filter(|needed| {
            let key = needed.split('=').next().unwrap();
            !args
                .iter()
                .any(|arg| arg.starts_with(key) || arg.starts_with(&key.replace("--", "--set=")))
        });
        let needed: Vec<_> = needed.collect();
        let all = needed
            .iter()
            .map(String::as_str)
            .chain(args.iter().copied());
        let error = resolve_args(all).unwrap_err();
        assert_eq!(error.is_on_disk(), on_disk, "{args:?}: {error}");
    }
    assert!(!resolve_args([]).unwrap_err().is_on_disk());
}

#[test]
fn text_data_excludes_template_and_field_map() {
    let place = Place::new();
    let text = place.path("play.txt");
    fs::write(&text, "a").unwrap();
    let raw = RawConfig {
        data: Some(PathBuf::from(text.clone()).into()),
        ..place.raw()
    };
    let config = raw.validate().unwrap();
    assert!(!config.data.any(Kind::Rows));
    let toml = config.to_toml();
    assert!(
        !toml.contains("template") && !toml.contains("field_map"),
        "{toml}"
    );
    let file = place.file(&toml);
    assert_eq!(resolve_args([file.as_str()]).unwrap(), config);
    for (args, key) in [
        ("--template=alpaca", "--template: has no effect"),
        (
            "--field-map=instruction=q,response=a",
            "--field-map: has no effect",
        ),
    ] {
        let found = problems(resolve_args([file.as_str(), args]));
        assert!(found.len() == 1 && found[0].starts_with(key), "{found:#?}");
        assert!(found[0].contains("plain text"), "{found:#?}");
    }
}

#[test]
fn unreadable_or_invalid_toml_is_rejected() {
    let place = Place::new();
    let error = place.resolve(&["/no/such.toml"]).unwrap_err();
    assert!(error.is_on_disk());
    assert!(error.to_string().starts_with("/no/such.toml: "), "{error}");
    let file = place.file("rank = 8\nseed = = 2\n");
    let error = place.resolve(&[&file]).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{file}:2: invalid TOML")),
        "{error}"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
}

#[test]
fn raw_config_values_must_be_writable_as_toml() {
    let place = Place::new();
    let found = problems(
        RawConfig {
            targets: Some(Selection::Names(vec![])),
            exclude: Some(Selection::names([""])),
            layers: Some(vec![]),
            train_parts: Some(vec![]),
            seed: Some(u64::MAX),
            learning_rate: Some(f64::NAN),
            ..place.raw()
        }
        .validate(),
    );
    for key in [
        "targets",
        "exclude",
        "layers",
        "train_parts",
        "seed",
        "learning_rate",
    ] {
        let hit = found.iter().any(|problem| problem.starts_with(key));
        assert!(hit, "no {key} in {found:#?}");
    }
}

#[test]
fn unknown_key_suggests_nearest_setting() {
    let message = |key| read::unknown_key(key);
    assert!(message("batchsize").contains("'batch_size'"));
    assert!(message("Learning-Rate").contains("'learning_rate'"));
    assert!(message("lr").contains("'learning_rate'"));
    assert!(message("xyzzy").contains("--help"));
    // An alias must not be a setting's name, and must lead to one setting only.
    let aliases: Vec<_> = SETTINGS.iter().flat_map(|row| row.aliases).collect();
    for alias in &aliases {
        assert!(SETTINGS.iter().all(|row| row.name != **alias), "{alias}");
        assert_eq!(aliases.iter().filter(|other| *other == alias).count(), 1);
    }
    assert!(aliases.len() >= 22);
}
