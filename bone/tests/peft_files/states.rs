//! Folders of tuned states, on a module whose states are independent of our models.

use crate::folder::Folder;
use crate::network::{B, configs};
use bone::peft::{CONFIG_FILE, TENSOR_FILE, load, read_contents, save};
use bone::saved::{Contents, is_state};
use bone::weights::named_weights;
use bone::{BoneLinear, BoneLinearConfig, attach, count_params, freeze_base, train_also};
use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData};
use safetensors::Dtype;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

const HEADS: usize = 2;
const SIZE: usize = 3;

#[derive(Module, Debug)]
struct Att<B: bone::Backend> {
    receptance: BoneLinear<B>,
    time_state: Option<Param<Tensor<B, 3>>>,
}

#[derive(Module, Debug)]
struct Block<B: bone::Backend> {
    att: Att<B>,
}

#[derive(Module, Debug)]
struct Recurrent<B: bone::Backend> {
    blocks: Vec<Block<B>>,
}

fn bare() -> Recurrent<B> {
    let device = Default::default();
    let blocks = (0..2).map(|_| {
        let weight = Tensor::<B, 2>::ones([6, 6], &device);
        let mut receptance: BoneLinear<B> =
            BoneLinearConfig::new(6, 6).with_bias(false).init(&device);
        receptance.weight = Param::from_tensor(weight);
        let att = Att {
            receptance,
            time_state: None,
        };
        Block { att }
    });
    Recurrent {
        blocks: blocks.collect(),
    }
}

/// Returns the model with states that count from `first`.
fn with_states(mut model: Recurrent<B>, first: f32) -> Recurrent<B> {
    for (index, block) in model.blocks.iter_mut().enumerate() {
        let count = HEADS * SIZE * SIZE;
        let values: Vec<_> = (0..count)
            .map(|i| first + (index * count + i) as f32)
            .collect();
        let data = TensorData::new(values, [HEADS, SIZE, SIZE]);
        let tensor = Tensor::from_data(data, &Default::default());
        block.att.time_state = Some(Param::from_tensor(tensor));
    }
    model
}

fn contents() -> Contents {
    let name = |block| format!("blocks.{block}.att.time_state");
    Contents {
        adapter: None,
        full: (0..2).map(name).collect(),
    }
}

fn states(model: &Recurrent<B>) -> BTreeMap<String, TensorData> {
    let all = named_weights::<B, _>(model);
    all.filter(|(name, _)| is_state(name)).collect()
}

#[test]
fn saved_states_use_rwkv_peft_names_and_load() {
    let tuned = with_states(bare(), 1.5);
    let folder = Folder::of::<B, _>(&tuned, contents());
    assert_eq!(folder.config()["peft_type"], json!("RWKV_STATE"));
    let tensors = folder.tensors();
    assert_eq!(tensors.len(), 2);
    for block in 0..2 {
        let (dtype, shape, bytes) = &tensors[&format!("blocks.{block}.att.time_state")];
        assert_eq!((*dtype, &shape[..]), (Dtype::F32, &[HEADS, SIZE, SIZE][..]));
        let first = 1.5 + (block * HEADS * SIZE * SIZE) as f32;
        assert_eq!(bytes[..4], first.to_le_bytes());
    }

    let dir = folder.directory.path();
    assert_eq!(read_contents(dir).expect("read"), contents());
    let (loaded, read) = load(with_states(bare(), 0.0), dir).expect("loaded");
    assert_eq!(read, contents());
    assert_eq!(states(&loaded), states(&tuned));
    let weights = |model: &Recurrent<B>| named_weights::<B, _>(model).collect::<BTreeMap<_, _>>();
    assert_eq!(weights(&loaded), weights(&tuned));
}

#[test]
fn states_train_without_adapter() {
    let model: Recurrent<B> = freeze_base(with_states(bare(), 0.0));
    let model: Recurrent<B> = train_also(model, is_state).expect("no adapters");
    let count = count_params(&model);
    assert_eq!(count.trainable, 2 * HEADS * SIZE * SIZE);
    assert!(
        model.blocks[0]
            .att
            .time_state
            .as_ref()
            .is_some_and(|state| state.is_require_grad())
    );
    assert!(!model.blocks[0].att.receptance.weight.is_require_grad());
}

#[test]
fn states_that_do_not_fit_are_refused() {
    let folder = Folder::of::<B, _>(&with_states(bare(), 1.0), contents());
    let dir = folder.directory.path();
    folder.refused_by(
        load::<B, _>(bare(), dir),
        TENSOR_FILE,
        &[
            "no initial states",
            "blocks.0.att.time_state: unknown parameter",
        ],
    );
    folder.edit_tensors(|tensors| {
        let state = tensors.remove("blocks.0.att.time_state").expect("there");
        tensors.insert("blocks.7.att.time_state".into(), state.clone());
        tensors.insert("blocks.0.att.time_decay".into(), state.clone());
        let last = tensors.get_mut("blocks.1.att.time_state").expect("there");
        last.1 = vec![SIZE, HEADS, SIZE];
    });
    folder.refused_by(
        load(with_states(bare(), 0.0), dir),
        TENSOR_FILE,
        &[
            "blocks.0.att.time_state: missing",
            "blocks.7.att.time_state: unknown parameter",
            "blocks.0.att.time_decay: unknown tensor",
            "blocks.1.att.time_state: expected shape [2, 3, 3], found [3, 2, 3]",
        ],
    );
    std::fs::write(folder.file(TENSOR_FILE), [0xff; 20]).expect("written");
    folder.refused_by(read_contents(dir), TENSOR_FILE, &["header"]);
    std::fs::write(folder.file(CONFIG_FILE), "{}").expect("written");
    folder.refused_by(read_contents(dir), CONFIG_FILE, &["peft_type"]);
}

#[test]
fn save_without_adapter_accepts_only_states() {
    let directory = tempfile::tempdir().expect("a folder");
    let refused = |model: &Recurrent<B>, full: &[&str], parts: &[&str]| {
        let full: BTreeSet<_> = full.iter().map(|name| name.to_string()).collect();
        let contents = Contents {
            adapter: None,
            full,
        };
        let error = save::<B, _>(model, contents, None, directory.path()).expect_err("refused");
        let text = error.to_string();
        for part in parts {
            assert!(text.contains(part), "{part:?} is not in: {text}");
        }
    };
    let model = with_states(bare(), 0.0);
    refused(&model, &[], &["nothing to save"]);
    refused(
        &model,
        &["blocks.0.att.time_state", "blocks.0.att.receptance.weight"],
        &[
            "blocks.1.att.time_state is missing",
            "blocks.0.att.receptance.weight cannot be saved without an adapter",
        ],
    );
    let states = ["blocks.0.att.time_state", "blocks.1.att.time_state"];
    let adapted = attach(model, &configs()[0]).expect("fits");
    refused(
        &adapted,
        &states,
        &["blocks.0.att.receptance has an adapter"],
    );
    refused(
        &bare(),
        &states,
        &["unknown parameter blocks.0.att.time_state"],
    );
    assert!(!directory.path().join(TENSOR_FILE).exists());
}
