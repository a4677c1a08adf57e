//! Full parameters beside adapters.

use crate::folder::Folder;
use crate::network::{B, BONE_INPUT, Network, configs, difference, rows};
use bone::peft::{CONFIG_FILE, TENSOR_FILE, load, read_contents, save};
use bone::saved::Contents;
use bone::weights::{cast_to, dtypes, named_weights, overlay, weights_where};
use bone::{AdapterConfig, AttachError, Targets, Variant, attach, freeze_base, merge, train_also};
use burn::module::Module;
use burn::optim::{GradientsParams, Optimizer, SgdConfig};
use burn::tensor::{DType, TensorData};
use safetensors::Dtype;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// The head is a module in PEFT's sense; the norm's parameters have their own names.
const FULL: [&str; 4] = ["lm_head.bias", "lm_head.weight", "norm.beta", "norm.gamma"];

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn contents(config: &AdapterConfig, full: &[&str]) -> Contents {
    Contents {
        adapter: Some(config.clone()),
        full: names(full),
    }
}

/// Returns a network with adapters and the full parameters `full` after a few steps, everything
/// else frozen.
fn tuned(base: Network<B>, config: &AdapterConfig, full: &[&str]) -> Network<B> {
    let network = freeze_base(attach(base, config).expect("fits"));
    let mut network: Network<B> =
        train_also(network, |name| full.contains(&name)).expect("no adapter on the head");
    let mut optimizer = SgdConfig::new().init();
    for _ in 0..3 {
        let gradients = network.forward(rows()).powi_scalar(2).mean().backward();
        let gradients = GradientsParams::from_grads(gradients, &network);
        network = optimizer.step(0.1, network, gradients);
    }
    network
}

fn values<M: Module<B>>(module: &M) -> BTreeMap<String, TensorData> {
    named_weights::<B, M>(module).collect()
}

#[test]
fn full_parameters_load_beside_adapters() {
    let base = Network::<B>::new(7);
    for config in configs() {
        let network = tuned(base.clone(), &config, &FULL);
        let folder = Folder::of::<B, _>(&network, contents(&config, &FULL));
        let dir = folder.directory.path();
        let contents = contents(&config.saved(), &FULL);
        assert_eq!(read_contents(dir).expect("read"), contents);
        let (loaded, read) = load(base.clone(), dir).expect("loaded");
        assert_eq!(read, contents);
        // A loaded weight has the other memory layout, so its sums have another order.
        assert!(difference(&loaded.output(), &network.output()) < 1e-6);

        let (before, after) = (values(&base), values(&loaded));
        assert_eq!(after, values(&network));
        for (name, value) in &before {
            let trained = FULL.contains(&name.as_str());
            assert_eq!(after[name] != *value, trained, "{name}");
        }
    }
}

#[test]
fn peft_type_marks_parameters_outside_full_modules() {
    for config in configs() {
        let folder = |full: &[&str]| {
            let network = tuned(Network::new(7), &config, full);
            Folder::of::<B, _>(&network, contents(&config, full))
        };
        let kind = |more| match config.variant {
            BONE_INPUT => json!("BONE_INPUT"),
            Variant::Lora(_) if more => json!("LORA_WITH_PARAMETERS"),
            Variant::Lora(_) => json!("LORA"),
            _ if more => json!("MISS_WITH_PARAMETERS"),
            _ => json!("MISS"),
        };
        let whole = folder(&FULL[..2]);
        let map = whole.config();
        assert_eq!(map["modules_to_save"], json!(["lm_head"]));
        assert_eq!(map["peft_type"], kind(false));
        assert!(!map.contains_key("parameters_to_save"));
        let tensors = whole.tensors();
        let of_head = |name: &str| {
            let (dtype, shape, _) = &tensors[&format!("base_model.model.lm_head.{name}")];
            (*dtype, shape.clone())
        };
        // The layout of checkpoints: outputs first.
        assert_eq!(of_head("weight"), (Dtype::F32, vec![4, 8]));
        assert_eq!(of_head("bias"), (Dtype::F32, vec![4]));

        let map = folder(&FULL).config();
        assert_eq!(map["modules_to_save"], json!(["lm_head"]));
        assert_eq!(
            map["parameters_to_save"],
            json!(["norm.beta", "norm.gamma"])
        );
        assert_eq!(map["peft_type"], kind(true));

        // Half of a module's parameters do not make a module.
        let map = folder(&FULL[1..2]).config();
        assert_eq!(map["modules_to_save"], json!(null));
        assert_eq!(map["parameters_to_save"], json!(["lm_head.weight"]));
    }
}

#[test]
fn error_lists_every_misfitting_full_value() {
    for config in configs() {
        let network = tuned(Network::new(7), &config, &FULL);
        let folder = Folder::of::<B, _>(&network, contents(&config, &FULL));
        folder.edit_config(|map| {
            map.insert(
                "modules_to_save".into(),
                json!(["lm_head", "score", "input"]),
            );
            let listed = json!(["norm.beta", "norm.gamma", "blocks.9.time"]);
            map.insert("parameters_to_save".into(), listed);
            if map["peft_type"] == "MISS" {
                map.insert("peft_type".into(), json!("MISS_WITH_PARAMETERS"));
            }
        });
        folder.edit_tensors(|tensors| {
            let (dtype, shape, bytes) = tensors["base_model.model.lm_head.bias"].clone();
            for stranger in ["score.weight", "blocks.9.time", "elsewhere.bias"] {
                let tensor = (dtype, shape.clone(), bytes.clone());
                tensors.insert(format!("base_model.model.{stranger}"), tensor);
            }
            // A full weight of a layer with an adapter.
            let weight = (dtype, vec![8, 6], [0; 4].repeat(48));
            tensors.insert("base_model.model.input.weight".into(), weight);
            tensors.remove("base_model.model.lm_head.bias");
            let head = tensors.get_mut("base_model.model.lm_head.weight");
            head.expect("there").1 = vec![8, 4];
            let beta = tensors
                .get_mut("base_model.model.norm.beta")
                .expect("there");
            beta.2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
            let gamma = tensors
                .get_mut("base_model.model.norm.gamma")
                .expect("there");
            gamma.0 = Dtype::I32;
        });
        folder.refused(
            TENSOR_FILE,
            &[
                "base_model.model.lm_head.bias: missing",
                "base_model.model.lm_head.weight: expected shape [4, 8], found [8, 4]",
                "base_model.model.norm.beta: ",
                "base_model.model.norm.gamma: type I32",
                "base_model.model.score.weight: unknown parameter",
                "base_model.model.blocks.9.time: unknown parameter",
                "base_model.model.elsewhere.bias: unknown tensor",
                "base_model.model.input.bias: missing",
                "base_model.model.input.weight: saved in full",
                " no module score",
            ],
        );
        let error = folder.load().expect_err("broken");
        assert!(
            matches!(&error, bone::FileError::Mismatch { problems, .. } if problems.len() == 10),
            "{error}"
        );
    }
}

#[test]
fn unlisted_full_values_are_refused() {
    for config in configs() {
        let network = tuned(Network::new(7), &config, &FULL[..2]);
        let folder = Folder::of::<B, _>(&network, contents(&config, &FULL[..2]));
        folder.edit_config(|map| {
            map.insert("modules_to_save".into(), json!(null));
        });
        folder.refused(
            TENSOR_FILE,
            &[
                "lm_head.bias: unknown",
                "lm_head.weight: ",
                "save_embedding_layers=False",
            ],
        );

        // PEFT's own folders name modules by the ends of their paths.
        folder.edit_config(|map| {
            map.insert("modules_to_save".into(), json!(["head"]));
        });
        let loaded = folder.load().expect("fits");
        assert_eq!(values(&loaded), values(&network));

        folder.edit_config(|map| {
            map.insert("parameters_to_save".into(), json!("norm.beta"));
        });
        folder.refused(CONFIG_FILE, &["parameters_to_save"]);
    }
}

#[test]
fn save_refuses_adapted_or_unknown_full_parameters() {
    let directory = tempfile::tempdir().expect("a folder");
    for config in configs() {
        let network = tuned(Network::new(7), &config, &FULL);
        let full = [
            "input.weight",
            "blocks.0.up.weight",
            "no.such",
            "norm.gamma",
        ];
        let error = save::<B, _>(&network, contents(&config, &full), None, directory.path())
            .expect_err("impossible");
        let text = error.to_string();
        for part in [
            "input.weight would be saved in full",
            "blocks.0.up.weight would be saved in full",
            "unknown parameter no.such",
        ] {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
        assert!(!text.contains("gamma"), "{text}");

        let nan = TensorData::new(vec![f32::NAN; 8], [8]);
        let broken = BTreeMap::from([("norm.gamma".to_string(), nan.clone())]);
        let error = overlay::<B, _>(network.clone(), broken).expect_err("no number");
        assert!(error.to_string().contains("norm.gamma"), "{error}");
    }
    assert!(!directory.path().join(TENSOR_FILE).exists());
}

#[test]
fn adapted_layer_cannot_train_in_full() {
    for mut config in configs() {
        let head = bone::Selection::names(["lm_head", "up"]);
        config.targets = Targets::new(head);
        let network = attach(Network::<B>::new(7), &config).expect("fits");
        let heads = |name: &str| name.starts_with("lm_head.") || name == "blocks.1.up.weight";
        let error = train_also::<B, _>(network, heads).expect_err("twice");
        let twice = vec!["blocks.1.up.weight".to_string(), "lm_head.weight".into()];
        assert_eq!(error, AttachError::Whole(twice));
    }
}

#[test]
fn full_values_keep_f32_over_bf16_base() {
    let base = Network::<B>::new(7);
    let half: BTreeMap<_, _> = dtypes::<B, _>(&base)
        .into_keys()
        .map(|name| (name, DType::BF16))
        .collect();
    let base = cast_to::<B, _>(base, &half).expect("small");
    for config in configs() {
        let network: Network<B> = freeze_base(attach(base.clone(), &config).expect("fits"));
        let network: Network<B> =
            train_also(network, |name| FULL.contains(&name)).expect("no adapter there");
        assert!(dtypes::<B, _>(&network).iter().all(|(name, dtype)| {
            let f32 = FULL.contains(&name.as_str());
            *dtype == if f32 { DType::F32 } else { DType::BF16 }
        }));
        // Values that bf16 cannot represent.
        let trained: BTreeMap<_, _> = weights_where::<B, _>(&network, |n| FULL.contains(&n))
            .map(|(name, data)| {
                let values = data.iter::<f32>().map(|value| value + 1.000_123);
                (name, TensorData::new(values.collect(), data.shape.clone()))
            })
            .collect();
        let network = overlay::<B, _>(network, trained.clone()).expect("fits");
        let folder = Folder::of::<B, _>(&network, contents(&config, &FULL));
        let (loaded, _) = load::<B, _>(base.clone(), folder.directory.path()).expect("loaded");
        let full: BTreeMap<_, _> =
            weights_where::<B, _>(&loaded, |name| FULL.contains(&name)).collect();
        assert_eq!(full, trained);

        let merged: Network<B> = merge(loaded).expect("finite");
        let merged = cast_to::<B, _>(merged, &half).expect("finite");
        assert_eq!(dtypes::<B, _>(&merged), half);
        for (name, data) in weights_where::<B, _>(&merged, |name| FULL.contains(&name)) {
            assert_eq!(
                data,
                trained[&name].clone().convert_dtype(DType::BF16),
                "{name}"
            );
        }
    }
}

#[test]
fn cast_of_too_large_value_is_refused() {
    let network = Network::<B>::new(7);
    let large = TensorData::new(vec![1e30_f32; 8], [8]);
    let values = BTreeMap::from([("norm.gamma".to_string(), large)]);
    let network = overlay::<B, _>(network, values).expect("finite");
    let half = BTreeMap::from([("norm.gamma".to_string(), DType::F16)]);
    let error = cast_to::<B, _>(network, &half).expect_err("too large");
    assert!(error.to_string().contains("norm.gamma"), "{error}");
}

#[test]
fn merged_model_equals_adapted_model() {
    let base = Network::<B>::new(7);
    for config in configs() {
        let network = tuned(base.clone(), &config, &FULL);
        let output = network.output();
        let types = dtypes::<B, _>(&base);
        let merged: Network<B> = merge(network).expect("finite");
        let merged = cast_to::<B, _>(merged, &types).expect("finite");
        assert!(difference(&merged.output(), &output) < 1e-5);
        assert!(difference(&merged.output(), &base.output()) > 1e-3);
    }
}
