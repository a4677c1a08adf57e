//! Reads, runs, merges and trains adapters that other tools wrote
//! (`tests/reference/adapter_fixtures.py`).

use bone::saved::Scan;
use bone::{
    AdapterConfig, BlockAxis, LoraConfig, LoraStart, Selection, SvdMethod, Targets, Variant, peft,
    rwkv_peft,
};
use bone_cli::commands::merge::{MergeArgs, merge};
use bone_llama2::Llama;
use bone_lm::CausalLm;
use bone_lm::generate::token_tensor;
use bone_rwkv6::Rwkv6;
use bone_tests::replay::{B, PLAIN, Tolerance, retrain};
use bone_tests::{Record, Run, fixtures, max_difference};
use burn::backend::Flex;
use burn::tensor::DType;
use std::path::{Path, PathBuf};

/// An adapter from another tool.
struct Case {
    name: String,
    folder: PathBuf,
    settings: serde_json::Value,
}

impl Case {
    /// Returns all cases.
    fn all() -> Vec<Self> {
        let entries = std::fs::read_dir(fixtures().join("foreign")).expect("made by a script");
        let mut cases: Vec<_> = entries
            .map(|entry| entry.expect("listed").path())
            .filter_map(|folder| {
                let text = std::fs::read_to_string(folder.join("case.json")).ok()?;
                Some(Self {
                    name: folder.file_name()?.to_string_lossy().into_owned(),
                    settings: serde_json::from_str(&text).expect("JSON"),
                    folder,
                })
            })
            .collect();
        cases.sort_by(|a, b| a.name.cmp(&b.name));
        assert_eq!(cases.len(), 18, "a case is missing");
        cases
    }

    fn text(&self, key: &str) -> &str {
        self.settings[key].as_str().unwrap_or_default()
    }

    fn adapter(&self) -> PathBuf {
        self.folder.join(self.text("adapter"))
    }

    fn model(&self) -> PathBuf {
        fixtures().join(self.text("model"))
    }

    fn scan(&self) -> Scan {
        let path = self.adapter();
        let kind = match self.text("block_axis") {
            "input" => Some(rwkv_peft::Kind::Bone(BlockAxis::Input)),
            _ => None,
        };
        let scan = match path.join(peft::CONFIG_FILE).is_file() {
            true => peft::scan(&path),
            false if path.is_dir() => rwkv_peft::scan(&path.join("model.safetensors"), kind),
            false => rwkv_peft::scan(&path, kind),
        };
        scan.unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Checks that the logits equal those of the other tool.
    #[track_caller]
    fn agrees<M: CausalLm<Flex>>(&self, model: &M, what: &str) {
        let record = Record::open(&self.folder.join("logits.safetensors"));
        let tokens = record.tokens("tokens");
        let shape = record.shape("tokens");
        let device = Default::default();
        let input = token_tensor(&tokens, shape[0], shape[1], &device);
        let found = model.forward(input).into_data().convert_dtype(DType::F32);
        let found: Vec<f32> = found.iter::<f32>().collect();
        let off = max_difference(&found, &record.floats("logits"));
        println!("{} {what}: {off:.1e}", self.name);
        assert!(off < 1e-4, "{} {what}: {off}", self.name);
    }

    /// Loads the model at `folder`, with the adapter if requested.
    fn check(&self, folder: &Path, adapted: bool, what: &str) {
        let device = Default::default();
        let put_on = |scan: Scan| (scan.contents(), scan);
        match self.text("model") {
            "llama-tiny" => {
                let mut model = Llama::<Flex>::from_folder(folder, &device, None).expect("loads");
                if adapted {
                    let (_, scan) = put_on(self.scan());
                    model = scan.put_on::<Flex, _>(model).expect("fits").0;
                }
                self.agrees(&model, what);
            }
            _ => {
                let mut model = Rwkv6::<Flex>::from_path(folder, &device, None).expect("loads");
                if adapted {
                    let (contents, scan) = put_on(self.scan());
                    if contents.adapter.is_none() {
                        model = model.with_initial_state().expect("recurrent");
                    }
                    model = scan.put_on::<Flex, _>(model).expect("fits").0;
                }
                self.agrees(&model, what);
            }
        }
    }
}

#[test]
fn foreign_adapter_has_recorded_method_and_rank() {
    for case in Case::all() {
        let contents = case.scan().contents();
        let found = contents
            .adapter
            .as_ref()
            .map(|config| config.variant.name());
        assert_eq!(
            found.unwrap_or("state"),
            case.text("method"),
            "{}",
            case.name
        );
        if let Some(config) = contents.adapter {
            assert_eq!(config.rank as u64, case.settings["rank"], "{}", case.name);
        }
    }
}

#[test]
fn foreign_adapter_gives_recorded_logits() {
    for case in Case::all() {
        case.check(&case.model(), true, "adapted");
    }
}

#[test]
fn merged_foreign_adapter_gives_recorded_logits() {
    for case in Case::all() {
        let place = tempfile::tempdir().expect("a folder");
        let out = place.path().join("merged");
        let mut args = MergeArgs {
            model: case.model(),
            adapter: vec![case.adapter()],
            out: out.clone(),
            device: "cpu".into(),
            ..MergeArgs::default()
        };
        args.block_axis = match case.text("block_axis") {
            "input" => Some(bone_train::config::AxisWord::Input),
            _ => None,
        };
        merge(&args).unwrap_or_else(|error| panic!("{}: {error}", case.name));
        case.check(&out, false, "merged");
    }
}

const TOLERANCE: Tolerance = Tolerance {
    // The record does not have this.
    gradient: 0.0,
    loss: 2e-5,
    norm: 2e-4,
    tuned: 1e-3,
};

/// Replays PEFT's run of a LoRA, from PEFT's start.
#[test]
fn peft_lora_runs_are_reproduced() {
    let device = Default::default();
    for (name, start) in [
        ("lora", LoraStart::Random),
        ("pissa", LoraStart::Pissa(SvdMethod::Exact)),
        ("olora", LoraStart::Olora),
    ] {
        let run = Run::open(fixtures().join(format!("foreign/peft-{name}-run")));
        let base = Llama::<B>::from_folder(&fixtures().join("llama-tiny"), &device, None);
        let base = base.expect("loads");
        let model = match start {
            // PEFT drew the initial A at random.
            LoraStart::Random => peft::load(base, &run.folder.join("start")).expect("fits").0,
            _ => {
                let settings = LoraConfig {
                    alpha: run.number("alpha"),
                    rslora: false,
                    start,
                };
                let targets = Targets::new(Selection::AllLinear);
                let rank = run.number("r") as usize;
                let config = AdapterConfig::new(Variant::Lora(settings), rank, targets);
                bone::attach(base, &config).expect("fits")
            }
        };
        let model = bone::freeze_base::<B, _>(model);
        println!("{name}");
        // Singular vectors may have either sign; losses and norms do not change.
        retrain::<B, _>(model, &run, PLAIN, TOLERANCE, &device);
    }
}

/// PEFT trains an embedding separately from the head that it is tied to. Our models cannot hold both.
#[test]
fn untied_peft_embedding_is_refused() {
    let tied = fixtures().join("llama-tiny-tied");
    let model = Llama::<Flex>::from_folder(&tied, &Default::default(), None).expect("loads");
    let targets = Targets::new(Selection::names(["q_proj"]));
    let config = AdapterConfig::new(Variant::Miss, 4, targets);
    let model = bone::attach::<Flex, _>(model, &config).expect("fits");
    let contents = bone::saved::Contents {
        adapter: Some(config),
        full: ["model.embed_tokens.weight".to_owned()].into(),
    };
    let folder = tempfile::tempdir().expect("a folder");
    peft::save::<Flex, _>(&model, contents, None, folder.path()).expect("written");
    let base = bone::detach::<Flex, _>(model);
    // In our own adapter the embedding serves both.
    peft::load::<Flex, _>(base.clone(), folder.path()).expect("fits");
    let path = folder.path().join(peft::CONFIG_FILE);
    let text = std::fs::read_to_string(&path).expect("read");
    let mut config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    config["peft_type"] = "MISS".into();
    config["modules_to_save"] = serde_json::json!(["embed_tokens"]);
    let fields = config.as_object_mut().expect("an object");
    fields.remove("parameters_to_save").expect("ours");
    std::fs::write(&path, config.to_string()).expect("written");
    let error = peft::load::<Flex, _>(base, folder.path()).expect_err("untied");
    let error = error.to_string();
    assert!(
        error.contains("embed_tokens.weight: ") && error.contains("tied"),
        "{error}"
    );
}
