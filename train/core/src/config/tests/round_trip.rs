use bone_tokenizer::TokenizerChoice;
use proptest::prelude::*;

use super::value::Setting;
use super::*;
use bone_data::{FieldMap, Schema, Source};

fn selection() -> impl Strategy<Value = Selection> {
    prop_oneof![
        prop::collection::vec("[ -~]{1,12}|[a-z_.]{1,12}|\\PC{1,4}", 1..4)
            .prop_map(Selection::Names),
        "[a-z_.]{1,12}|\\.\\*[a-z]{1,4}\\|\"\\\\\\\\d,\\[ab\\]{1,2}| x".prop_map(Selection::Regex),
    ]
}

fn field_map() -> impl Strategy<Value = FieldMap> {
    let name = "[a-z=,\"\\\\\n\t]{1,6}|\\PC{1,4}";
    (name, prop::option::of(name), name).prop_map(|(instruction, input, response)| FieldMap {
        instruction,
        input,
        response,
    })
}

/// Returns the same file several times, each with a slice and a weight.
fn sources(path: &str, slices: Vec<(u64, Option<u64>, f64)>) -> Sources {
    let source = |(from, to, weight): (u64, Option<u64>, f64)| Source {
        selection: bone_data::Selection {
            path: path.into(),
            from,
            to,
        },
        // Every other source has no explicit weight.
        weight: if from % 2 == 0 { 1.0 } else { weight },
    };
    Sources(slices.into_iter().map(source).collect())
}

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let all = [Part::Time, Part::Norm, Part::Embedding, Part::Head];
    prop::collection::vec(prop::sample::select(all.to_vec()), 1..6)
}

const METHODS: [MethodName; 6] = [
    MethodName::Bone,
    MethodName::Miss,
    MethodName::MissMini,
    MethodName::Lora,
    MethodName::Pissa,
    MethodName::Olora,
];

/// Returns settings of an adapter method, of `state` or of `full`.
fn method() -> impl Strategy<Value = RawConfig> {
    let adapter = (
        0..6_usize,
        prop::option::of(1..300_usize),
        prop::option::of(0.0..0.99),
        prop::option::of(prop_oneof![Just(Selection::AllLinear), selection()]),
        prop::option::of(selection()),
        prop::option::of(prop::collection::vec(0..100_usize, 1..4)),
        prop::option::of(prop_oneof![Just(AxisWord::Input), Just(AxisWord::Output)]),
        prop::option::of(parts()),
        (
            prop::option::of(1e-3..99.0),
            prop::option::of(any::<bool>()),
            prop::option::of(0..9_usize),
        ),
    )
        .prop_map(
            |(name, rank, dropout, targets, exclude, layers, axis, parts, lora)| {
                let name = METHODS[name];
                let drops = name != MethodName::Bone;
                let is_lora = METHODS[3..].contains(&name);
                let (alpha, rslora, iterations) = lora;
                RawConfig {
                    method: Some(name),
                    rank,
                    mini_width: (name == MethodName::MissMini).then_some(8),
                    dropout: dropout.filter(|_| drops),
                    targets,
                    exclude,
                    layers,
                    block_axis: axis.filter(|_| name == MethodName::Bone),
                    train_parts: parts,
                    alpha: alpha.filter(|_| is_lora),
                    lora_plus_ratio: alpha.filter(|_| is_lora),
                    rslora: rslora.filter(|_| is_lora),
                    pissa_iterations: iterations.filter(|_| name == MethodName::Pissa),
                    ..RawConfig::default()
                }
            },
        );
    let alone =
        prop_oneof![Just(MethodName::State), Just(MethodName::Full)].prop_map(|name| RawConfig {
            method: Some(name),
            ..RawConfig::default()
        });
    prop_oneof![4 => adapter, 1 => alone]
}

prop_compose! {
    fn data()(
        validation in prop::option::of(prop_oneof![
            (0..9_usize).prop_map(Holdout::Count),
            (1e-9..0.99).prop_map(Holdout::Share),
        ]),
        template in prop::option::of(prop_oneof![Just("alpaca"), Just("plain")]),
        field_map in prop::option::of(field_map()),
        schema in prop::option::of(0..Schema::names().len()),
        packing in prop::option::of(any::<bool>()),
        device in prop::option::of("\\PC{1,6}"),
        random in any::<bool>(),
        dtype in 0..4_usize,
        max_seq_len in prop::option::of(2..9999_usize),
        chunk_ctx in prop::option::of(2..9999_usize),
        bytes in prop::option::of(any::<bool>()),
        base in method(),
    ) -> RawConfig {
        let dtypes = [DtypeChoice::Auto, DtypeChoice::F32, DtypeChoice::Bf16, DtypeChoice::F16];
        RawConfig {
            validation,
            template: template.map(str::to_owned),
            schema: schema
                .filter(|_| field_map.is_none())
                .and_then(|name| Schema::named(Schema::names()[name])),
            field_map,
            packing: packing.filter(|_| base.method != Some(MethodName::State)),
            device,
            init: random.then_some(Init::Random),
            dtype: Some(dtypes[dtype]),
            max_seq_len,
            chunk_ctx: chunk_ctx.filter(|chunk| *chunk < max_seq_len.unwrap_or(512)),
            tokenizer: bytes.map(|bytes| match bytes {
                true => TokenizerChoice::Bytes,
                false => TokenizerChoice::Auto,
            }),
            ..base
        }
    }
}

prop_compose! {
    fn raw()(
        base in data(),
        epochs in prop::option::of(1e-6..1e6),
        max_steps in prop::option::of(1000..5000_usize),
        warmup_steps in prop::option::of(0..1000_usize),
        warmup_ratio in prop::option::of(0.0..1.0),
        rates in prop::array::uniform3(prop::option::of(1e-12..10.0_f64)),
        betas in prop::array::uniform2(prop::option::of(0.0..0.9999)),
        seed in prop::option::of(0..=i64::MAX as u64),
        kind in prop::option::of(0..3_usize),
        [fusion, recompute, chunked_head] in prop::array::uniform3(any::<bool>()),
        every in prop::array::uniform3(prop::option::of(1..500_usize)),
        rows in prop::array::uniform2(prop::option::of(1..64_usize)),
    ) -> RawConfig {
        RawConfig {
            epochs,
            max_steps,
            warmup_steps: warmup_steps.filter(|_| warmup_ratio.is_none()),
            warmup_ratio,
            learning_rate: rates[0],
            eps: rates[1],
            weight_decay: rates[2],
            max_grad_norm: rates[0],
            beta1: betas[0],
            beta2: betas[1],
            seed,
            schedule: kind.map(|kind| <ScheduleKind as words::Word>::WORDS[kind].0),
            fusion: Some(fusion),
            recompute: Some(recompute),
            chunked_head: Some(chunked_head),
            eval_every: every[0].filter(|_| base.validation != Some(Holdout::Count(0))),
            save_every: every[1],
            head_chunk: every[2].filter(|_| chunked_head),
            batch_size: rows[0],
            gradient_accumulation: rows[1],
            ..base
        }
    }
}

proptest! {
    #[test]
    fn written_config_reads_back_equal(
        raw in raw(),
        rwkv6 in any::<bool>(),
        slices in prop::collection::vec((0..9_u64, prop::option::of(9..99_u64), 0.1..3.0), 1..4),
    ) {
        let place = if rwkv6 { Place::rwkv6() } else { Place::new() };
        let config = RawConfig {
            model: Some(place.path("model").into()),
            data: Some(sources(&place.path("rows.jsonl"), slices)),
            out: Some(place.path("a \"quoted\\ name").into()),
            ..raw
        }
        .validate()
        .unwrap();
        let file = place.file(&config.to_toml());
        let again = resolve_args([file.as_str()]).unwrap();
        prop_assert_eq!(&again.to_toml(), &config.to_toml());
        prop_assert_eq!(&again, &config);
        // Equality compares the TOML text. This also compares the values behind it.
        prop_assert_eq!(again.method, config.method);
        let variant = |config: &TrainConfig| config.adapter_config().map(|adapter| adapter.variant);
        prop_assert_eq!(variant(&again), variant(&config));
        prop_assert_eq!(again.schema(), config.schema());
        prop_assert_eq!(again.template, config.template);
        prop_assert_eq!(again.data, config.data);
        prop_assert_eq!(again.packing, config.packing);
        prop_assert_eq!(again.validation, config.validation);
        prop_assert_eq!(again.warmup_steps, config.warmup_steps);
        prop_assert_eq!(again.warmup_ratio, config.warmup_ratio);
        prop_assert_eq!(again.train_parts, config.train_parts);
        prop_assert_eq!(again.chunk_ctx, config.chunk_ctx);
        prop_assert_eq!(again.tokenizer, config.tokenizer);
        prop_assert_eq!(again.learning_rate, config.learning_rate);
        prop_assert_eq!(again.seed, config.seed);
        prop_assert_eq!(again.out, config.out);
        prop_assert_eq!(again.epochs, config.epochs);
        prop_assert_eq!(again.max_steps, config.max_steps);
    }
}

#[test]
fn regex_like_a_name_stays_a_regex() {
    let place = Place::new();
    let config = RawConfig {
        targets: Some(Selection::Regex("q_proj".into())),
        ..place.raw()
    }
    .validate()
    .unwrap();
    let file = place.file(&config.to_toml());
    let again = resolve_args([file.as_str()]).unwrap();
    assert_eq!(
        again.adapter_config().unwrap().targets.modules,
        Selection::Regex("(?:q_proj)".into())
    );
}

#[test]
fn tokenizer_path_survives_round_trip() {
    let place = Place::new();
    fs::write(place.path("auto"), "").unwrap();
    for (path, wanted) in [
        (place.path("auto").into(), "/auto\""),
        (PathBuf::from("auto"), "\"./auto\""),
        (PathBuf::from("bytes"), "\"./bytes\""),
    ] {
        let literal = TokenizerChoice::File(path.clone()).literal();
        assert!(literal.ends_with(wanted), "{literal}");
        let text = literal.trim_matches('"');
        let Ok(TokenizerChoice::File(again)) = text.parse() else {
            panic!("{text} is a path");
        };
        assert_eq!(again.file_name(), path.file_name());
    }
    let file = place.path("auto");
    let config = place.resolve(&[&format!("--tokenizer={file}")]).unwrap();
    assert_eq!(config.tokenizer, TokenizerChoice::File(file.into()));
    let again = resolve_args([place.file(&config.to_toml()).as_str()]).unwrap();
    assert_eq!(again.tokenizer, config.tokenizer);
}

#[test]
fn every_effective_setting_has_a_toml_line() {
    let place = Place::new();
    let text = place
        .resolve(&["--method=miss-mini", "--mini-width=4"])
        .unwrap()
        .to_toml();
    for key in SETTINGS {
        let lines = text.lines().filter(|line| {
            line.starts_with(&format!("{} = ", key.name))
                || line.starts_with(&format!("# {}: ", key.name))
        });
        let of_others = ["block_axis", "warmup_ratio", "field_map", "binidx_cut"];
        let of_lora = ["alpha", "rslora", "lora_plus_ratio", "pissa_iterations"];
        let meaningless = of_others.contains(&key.name) || of_lora.contains(&key.name);
        let want = usize::from(!meaningless);
        assert_eq!(lines.count(), want, "{} in\n{text}", key.name);
    }
}

#[test]
fn chosen_defaults_are_written_as_values() {
    let place = Place::new();
    for (args, wanted, unwanted) in [
        (vec![], vec!["eval_every = 7", "head_chunk = 64"], vec![]),
        (
            vec!["--validation=0", "--chunked-head=false"],
            vec![],
            vec!["eval_every", "head_chunk"],
        ),
    ] {
        let mut config = place.resolve(&args).unwrap();
        config.eval_every = Some(7);
        config.head_chunk = Some(64);
        let text = config.to_toml();
        for line in &wanted {
            assert!(text.lines().any(|l| l == *line), "no '{line}' in\n{text}");
        }
        for key in unwanted {
            assert!(!text.contains(key), "{key} in\n{text}");
        }
        let again = resolve_args([place.file(&text).as_str()]).unwrap();
        assert_eq!(again, config);
        let kept = !wanted.is_empty();
        assert_eq!(again.eval_every, kept.then_some(7));
        assert_eq!(again.head_chunk, kept.then_some(64));
        let shown = config.lines().join("\n");
        assert_eq!(
            shown.contains("eval_every             7  "),
            kept,
            "{shown}"
        );
    }
}
