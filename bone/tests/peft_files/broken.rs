//! Adapter folders that are broken or belong to another model. Each gives an error that names the
//! file and all its problems, and none panics.

use crate::folder::{Folder, Tensors};
use crate::network::{B, BONE, BONE_INPUT, Network, configs, difference, tuned};
use bone::peft::{CONFIG_FILE, TENSOR_FILE, load, save};
use bone::{AdapterConfig, FileError, Variant};
use safetensors::Dtype;
use std::fs;

/// Returns the names of a layer's tensors in the file.
fn all_tensors(config: &AdapterConfig, layer: &str) -> Vec<String> {
    let kinds: &[&str] = match config.variant {
        BONE_INPUT => &["bone_input_block"],
        Variant::Lora(_) => &["lora_A.weight", "lora_B.weight"],
        _ => &["miss_block"],
    };
    let names = kinds
        .iter()
        .map(|kind| format!("base_model.model.{layer}.{kind}"));
    names.collect()
}

/// Returns the name of the first of them.
fn tensor(config: &AdapterConfig, layer: &str) -> String {
    all_tensors(config, layer).remove(0)
}

fn config_of(variant: bone::Variant) -> AdapterConfig {
    let found = configs()
        .into_iter()
        .find(|config| config.variant == variant);
    found.expect("one of the four")
}

#[test]
fn missing_adapter_file_is_an_io_error() {
    for config in configs() {
        for file in [CONFIG_FILE, TENSOR_FILE] {
            let folder = Folder::new(&config);
            fs::remove_file(folder.file(file)).expect("removed");
            let error = folder.refused(file, &[]);
            assert!(matches!(error, FileError::Io { .. }), "{error}");
        }
    }
}

#[test]
fn truncated_and_foreign_files_are_format_errors() {
    for config in configs() {
        for file in [CONFIG_FILE, TENSOR_FILE] {
            let folder = Folder::new(&config);
            let whole = fs::read(folder.file(file)).expect("read");
            // Cut within the header's length, the header, and the last value.
            for keep in [0, 5, 40, whole.len() - 3] {
                fs::write(folder.file(file), &whole[..keep]).expect("written");
                let error = folder.refused(file, &[]);
                assert!(matches!(error, FileError::Format { .. }), "{keep}: {error}");
            }
            fs::write(folder.file(file), [0xff; 64]).expect("written");
            folder.refused(file, &[]);
        }
    }
}

#[test]
fn error_lists_extra_missing_and_misshapen_tensors() {
    for config in configs() {
        let folder = Folder::new(&config);
        let input = tensor(&config, "input");
        let [up0, up1] = ["blocks.0.up", "blocks.1.up"].map(|layer| tensor(&config, layer));
        let [down0, down1] = ["blocks.0.down", "blocks.1.down"].map(|l| tensor(&config, l));
        let stranger = tensor(&config, "blocks.9.up");
        let untargeted = tensor(&config, "lm_head");
        folder.edit_tensors(|tensors| {
            let first = tensors[&up0].clone();
            for layer in ["blocks.9.up", "lm_head"] {
                let from = all_tensors(&config, "blocks.0.up");
                for (from, to) in from.iter().zip(all_tensors(&config, layer)) {
                    tensors.insert(to, tensors[from].clone());
                }
            }
            tensors.insert("lm_head.weight".into(), first);
            tensors.remove(&input);
            tensors.remove(&up1);
            // The same number of values in another shape.
            let size = tensors[&up0].1.iter().product();
            tensors.get_mut(&up0).expect("there").1 = vec![size];
            tensors.get_mut(&down0).expect("there").1.reverse();
            let whole_numbers = vec![0; 8 * tensors[&down1].1.iter().product::<usize>()];
            let (dtype, _, bytes) = tensors.get_mut(&down1).expect("there");
            (*dtype, *bytes) = (Dtype::I64, whole_numbers);
        });
        let error = folder.refused(
            TENSOR_FILE,
            &[
                &format!("{stranger}: "),
                " no layer blocks.9.up",
                &format!("{untargeted}: lm_head is not a target"),
                "lm_head.weight: unknown tensor",
                &format!("{input}: missing"),
                &format!("{up1}: missing"),
                &format!("{up0}: expected shape ["),
                &format!("{down0}: expected shape ["),
                &format!("{down1}: type I64"),
            ],
        );
        assert!(
            matches!(&error, FileError::Mismatch { problems, .. } if problems.len() == 8),
            "{error}"
        );
    }
}

#[test]
fn half_precision_tensors_are_read() {
    for config in configs() {
        let folder = Folder::new(&config);
        let output = folder.load().expect("whole").output();
        folder.edit_tensors(|tensors| {
            for (dtype, _, bytes) in tensors.values_mut() {
                // bf16 is the upper half of f32.
                let halves = bytes.chunks_exact(4).flat_map(|f32| [f32[2], f32[3]]);
                *bytes = halves.collect();
                *dtype = Dtype::BF16;
            }
        });
        let rounded = folder.load().expect("whole").output();
        assert!(difference(&rounded, &output) < 0.02);
    }
}

#[test]
fn config_error_lists_every_invalid_field() {
    for config in configs() {
        let folder = Folder::new(&config);
        folder.edit_config(|map| {
            map.insert("peft_type".into(), "VERA".into());
            map.insert("r".into(), 0.into());
            map.insert("bias".into(), "all".into());
        });
        folder.refused(CONFIG_FILE, &["VERA", "r: must be", "bias"]);

        let folder = Folder::new(&config);
        folder.edit_config(|map| {
            for key in ["peft_type", "r", "target_modules"] {
                map.remove(key);
            }
        });
        folder.refused(CONFIG_FILE, &["peft_type", "r: missing", "target_modules"]);
    }
}

#[test]
fn unmatched_targets_are_listed() {
    for config in configs() {
        let folder = Folder::new(&config);
        folder.edit_config(|map| {
            map.insert(
                "target_modules".into(),
                vec!["up", "q_proj", "v_proj"].into(),
            );
        });
        let error = folder.refused(CONFIG_FILE, &["q_proj, v_proj", "blocks.N.up"]);
        assert!(matches!(error, FileError::Attach { .. }), "{error}");
    }
}

#[test]
fn bone_input_and_output_axis_are_distinguished() {
    let names = |tensors: &mut Tensors, from: &str, to: &str| {
        let renamed = std::mem::take(tensors).into_iter();
        *tensors = renamed
            .map(|(name, t)| (name.replace(from, to), t))
            .collect();
    };
    // Tensors with PEFT's names in a folder of type BONE_INPUT.
    let folder = Folder::new(&config_of(BONE_INPUT));
    folder.edit_tensors(|tensors| names(tensors, "bone_input_block", "miss_block"));
    let parts = [
        "input.miss_block: unknown tensor",
        "input.bone_input_block: missing",
    ];
    folder.refused(TENSOR_FILE, &parts);

    // A configuration edited to PEFT's bat, with tensors of the input axis.
    let folder = Folder::new(&config_of(BONE_INPUT));
    folder.edit_config(|map| {
        map.insert("peft_type".into(), "MISS".into());
        map.insert("init_weights".into(), "bat".into());
    });
    let parts = [
        "input.bone_input_block: unknown tensor",
        "input.miss_block: missing",
    ];
    folder.refused(TENSOR_FILE, &parts);

    // The reverse.
    let folder = Folder::new(&config_of(BONE));
    folder.edit_config(|map| {
        map.insert("peft_type".into(), "BONE_INPUT".into());
        map.insert("init_weights".into(), true.into());
    });
    folder.refused(TENSOR_FILE, &["input.bone_input_block: missing"]);
}

#[test]
fn config_variant_and_rank_must_match_tensors() {
    let folder = Folder::new(&config_of(BONE));
    folder.edit_config(|map| {
        map.insert("init_weights".into(), true.into());
    });
    folder.refused(
        TENSOR_FILE,
        &[
            "input.miss_block: expected shape",
            "found [4, 2, 2]",
            "blocks.1.down",
        ],
    );
    for config in configs() {
        let folder = Folder::new(&config);
        folder.edit_config(|map| {
            map.insert("r".into(), 1.into());
        });
        folder.refused(TENSOR_FILE, &["input.", "blocks.1.down", "rank 1"]);
    }
}

#[test]
fn a_model_that_carries_an_adapter_is_refused() {
    for config in configs() {
        let folder = Folder::new(&config);
        let adapted = folder.load().expect("whole");
        let error = load(adapted, folder.directory.path()).expect_err("carries one");
        match error {
            FileError::Mismatch { problems, .. } => {
                assert_eq!(problems.len(), 5);
                for problem in problems {
                    assert!(problem.contains("detach"), "{problem}");
                }
            }
            other => panic!("{other}"),
        }
    }
}

#[test]
fn save_refuses_wrong_adapter_or_path() {
    let directory = tempfile::tempdir().expect("a folder");
    let [bone, input, ..] = &configs()[..] else {
        panic!("four variants");
    };
    let bare = Network::<B>::new(7);
    let error = save(&bare, bone, None, directory.path()).expect_err("nothing to save");
    assert!(matches!(error, FileError::NotOneAdapter(_)), "{error}");
    assert!(error.to_string().contains("no layer"), "{error}");
    let network = tuned(bare, input);
    let error = save(&network, bone, None, directory.path()).expect_err("another variant");
    for layer in ["input", "blocks.0.up", "blocks.1.down"] {
        assert!(error.to_string().contains(layer), "{error}");
    }
    // A file has the name of the folder.
    let path = directory.path().join("taken");
    fs::write(&path, "").expect("written");
    let error = save(&network, input, None, &path).expect_err("not a folder");
    assert!(error.to_string().contains("taken"), "{error}");
    assert!(!directory.path().join(TENSOR_FILE).exists());
}
