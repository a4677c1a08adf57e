//! Tests the records that burn's recorders and burn-store save of a `BoneLinear`.
//!
//! burn's binary recorders write fields one after the other without names. So a binary record fits
//! only the type it came from. `Linear`'s record loads as `BoneLinear`'s only in the formats with
//! names.

mod network;

use bone::{BoneLinear, BoneLinearConfig, attach, count_params, merge};
use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::record::{
    BinBytesRecorder, BinFileRecorder, BinGzFileRecorder, FileRecorder, FullPrecisionSettings,
    JsonGzFileRecorder, NamedMpkBytesRecorder, NamedMpkFileRecorder, NamedMpkGzFileRecorder,
    PrettyJsonFileRecorder, Record, Recorder,
};
use burn::tensor::Tensor;
use burn_store::{ModuleSnapshot, SafetensorsStore};
use network::{B, Network, configs, difference, tuned};

type Full = FullPrecisionSettings;

/// Writes a record of one module and reads it as a record of another, through bytes.
fn bytes<R, From, To>(recorder: &R, record: From) -> To
where
    R: Recorder<B, RecordArgs = (), RecordOutput = Vec<u8>, LoadArgs = Vec<u8>>,
    From: Record<B>,
    To: Record<B>,
{
    let bytes = recorder.record(record, ()).expect("recorded");
    recorder.load(bytes, &Default::default()).expect("read")
}

/// Does the same through a file.
fn file<R: FileRecorder<B>, From: Record<B>, To: Record<B>>(recorder: &R, record: From) -> To {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("record");
    recorder.record(record, path.clone()).expect("recorded");
    recorder.load(path, &Default::default()).expect("read")
}

/// Runs `$check` with a function for every recorder that writes field names.
macro_rules! with_named {
    ($check:ident) => {
        $check!(bytes, NamedMpkBytesRecorder::<Full>::new());
        $check!(file, NamedMpkFileRecorder::<Full>::new());
        $check!(file, NamedMpkGzFileRecorder::<Full>::new());
        $check!(file, PrettyJsonFileRecorder::<Full>::new());
        $check!(file, JsonGzFileRecorder::<Full>::new());
    };
}

/// Does the same for every recorder that writes fields one after the other.
macro_rules! with_binary {
    ($check:ident) => {
        $check!(bytes, BinBytesRecorder::<Full>::new());
        $check!(file, BinFileRecorder::<Full>::new());
        $check!(file, BinGzFileRecorder::<Full>::new());
    };
}

fn ones() -> Tensor<B, 2> {
    Tensor::ones([1, 6], &Default::default())
}

fn numbers(output: Tensor<B, 2>) -> Vec<f32> {
    output.into_data().iter::<f32>().collect()
}

fn linear() -> Linear<B> {
    LinearConfig::new(6, 4).init(&Default::default())
}

fn bone_linear() -> BoneLinear<B> {
    BoneLinearConfig::new(6, 4).init(&Default::default())
}

#[test]
fn linear_and_bone_linear_records_are_interchangeable() {
    macro_rules! check {
        ($through:ident, $recorder:expr) => {{
            let saved = linear();
            let output = numbers(saved.forward(ones()));
            let loaded = bone_linear().load_record($through(&$recorder, saved.into_record()));
            assert_eq!(numbers(loaded.forward(ones())), output);
            let back = linear().load_record($through(&$recorder, loaded.into_record()));
            assert_eq!(numbers(back.forward(ones())), output);
        }};
    }
    with_named!(check);
}

#[test]
fn model_record_restores_its_adapter() {
    for config in configs() {
        let network = tuned(Network::new(7), &config);
        let output = network.output();
        let merged: Network<B> = merge(network.clone()).expect("finite");
        macro_rules! check {
            ($through:ident, $recorder:expr) => {{
                let bare = || Network::<B>::new(8);
                let other = tuned(bare(), &config);
                let fresh = attach(bare(), &config).expect("fits");
                for into in [bare(), other.clone(), fresh] {
                    let record = $through(&$recorder, network.clone().into_record());
                    let loaded = into.load_record(record);
                    assert_eq!(loaded.output(), output, "{:?}", config.variant);
                    assert_eq!(count_params(&loaded).total, count_params(&network).total,);
                }

                // A merged adapter is saved inside the weights and not a second time.
                let record = $through(&$recorder, merged.clone().into_record());
                let loaded = bare().load_record(record);
                assert!(loaded.input.adapter().is_none());
                assert!(difference(&loaded.output(), &output) < 1e-5);

                // A base model's record changes the base and keeps the adapter.
                let record = $through(&$recorder, Network::<B>::new(7).into_record());
                let loaded = network.clone().load_record(record);
                assert_eq!(loaded.output(), output);
            }};
        }
        with_named!(check);
        with_binary!(check);
    }
}

fn names(module: &impl ModuleSnapshot<B>) -> Vec<String> {
    let snapshots = module.collect(None, None, true);
    snapshots
        .iter()
        .map(|snapshot| snapshot.full_path())
        .collect()
}

#[test]
fn burn_store_finds_the_names_of_linear() {
    assert_eq!(names(&linear()), ["weight", "bias"]);
    assert_eq!(names(&bone_linear()), ["weight", "bias"]);
    for config in configs() {
        let layer = bone_linear().attach(&config, "").expect("fits");
        let names = names(&layer);
        assert_eq!(names[..2], ["weight", "bias"]);
        let inside = names[2..].iter().all(|name| name.starts_with("adapter."));
        assert!(names.len() > 2 && inside, "{names:?}");
    }
    let of_network = names(&Network::<B>::new(7));
    for name in ["input.weight", "blocks.1.down.bias", "lm_head.weight"] {
        assert!(of_network.contains(&name.to_string()), "{of_network:?}");
    }
}

#[test]
fn burn_store_loads_linear_and_adapters() {
    let saved = linear();
    let mut store = SafetensorsStore::from_bytes(None);
    saved.save_into(&mut store).expect("saved");
    let mut store = SafetensorsStore::from_bytes(Some(store.get_bytes().expect("bytes")));
    let mut loaded = bone_linear();
    let result = loaded.load_from(&mut store).expect("loaded");
    assert!(
        result.unused.is_empty() && result.missing.is_empty(),
        "{result}"
    );
    assert_eq!(
        numbers(loaded.forward(ones())),
        numbers(saved.forward(ones()))
    );

    for config in configs() {
        let network = tuned(Network::new(7), &config);
        let mut store = SafetensorsStore::from_bytes(None);
        network.save_into(&mut store).expect("saved");
        let mut store = SafetensorsStore::from_bytes(Some(store.get_bytes().expect("bytes")));
        let mut loaded = attach(Network::<B>::new(8), &config).expect("fits");
        let result = loaded.load_from(&mut store).expect("loaded");
        assert!(result.unused.is_empty(), "{result}");
        assert_eq!(loaded.output(), network.output());
    }
}
