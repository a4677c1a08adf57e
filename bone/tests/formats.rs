//! Every variant through every format: an adapter that the format can hold comes back unchanged;
//! any other is refused by name.

mod network;

use bone::rwkv_peft::Kind;
use bone::saved::{Keep, SavedAdapter, Scan};
use bone::{AdapterConfig, BlockAxis, Variant, peft, rwkv_peft, visit_linears};
use burn::backend::Flex;
use burn::tensor::TensorData;
use network::{B, Network, configs, difference, tuned};
use std::collections::BTreeMap;
use std::path::Path;

fn base() -> Network<B> {
    Network::new(7)
}

fn saved(network: &Network<B>, config: &AdapterConfig) -> SavedAdapter {
    SavedAdapter::of::<B, _>(network, config).expect("finite")
}

/// Returns path, inputs, outputs.
fn layers(network: &Network<B>) -> Vec<(String, usize, usize)> {
    let mut layers = Vec::new();
    visit_linears::<B, _>(network, |path, layer| {
        let [d_input, d_output] = layer.dims();
        layers.push((path.to_string(), d_input, d_output));
    });
    layers
}

/// Returns every layer's weight, `[out, in]`.
fn weights(network: &Network<B>) -> BTreeMap<String, TensorData> {
    let mut weights = BTreeMap::new();
    visit_linears::<B, _>(network, |path, layer| {
        let weight = layer.weight.val().transpose().into_data();
        weights.insert(path.to_string(), weight);
    });
    weights
}

fn through_folder(adapter: &SavedAdapter) -> Network<B> {
    let folder = tempfile::tempdir().expect("a folder");
    peft::write(adapter, None, folder.path()).expect("written");
    peft::load(base(), folder.path()).expect("fits").0
}

/// Reads a file back; the caller supplies the settings that the format does not store.
fn through_file(path: &Path, config: &AdapterConfig) -> Network<B> {
    // The layers here have names that no tool uses.
    let scan = rwkv_peft::scan(path, Kind::of(config.variant)).expect("whole");
    scan.put_on::<B, _>(base()).expect("fits").0
}

#[test]
fn rwkv_peft_files_hold_bone_and_miss() {
    for config in configs() {
        let network = tuned(base(), &config);
        let adapter = saved(&network, &config);
        let folder = tempfile::tempdir().expect("a folder");
        let pth = folder.path().join("adapter.pth");
        let named = folder.path().join("adapter.safetensors");
        let written = [
            rwkv_peft::write_pth(&adapter, &pth),
            rwkv_peft::write_safetensors(&adapter, &named),
        ];
        if Kind::of(config.variant).is_none() {
            for refused in written {
                let error = refused.expect_err("not supported").to_string();
                let name = config.saved().variant.name();
                assert!(error.contains(name), "{error}");
            }
            assert_eq!(std::fs::read_dir(folder.path()).expect("there").count(), 0);
            continue;
        }
        for outcome in written {
            outcome.expect("held");
        }
        for path in [&pth, &named] {
            let read = through_file(path, &config);
            assert_eq!(read.output(), network.output(), "{:?}", config.variant);
        }
        // Our safetensors files name the variant.
        let read = rwkv_peft::scan(&named, None)
            .and_then(Scan::finish)
            .expect("read");
        let variant = read.config.expect("an adapter").variant;
        assert_eq!(variant, config.variant);
    }
}

#[test]
fn miss_converts_to_lora_exactly() {
    for config in configs() {
        let network = tuned(base(), &config);
        let adapter = saved(&network, &config);
        match adapter.to_lora(&layers(&network)) {
            Ok(lora) => {
                let contents = lora.contents().adapter.expect("an adapter");
                assert!(matches!(contents.variant, Variant::Lora(_)));
                let error = difference(&through_folder(&lora).output(), &network.output());
                assert!(error < 1e-6, "{:?}: {error}", config.variant);
            }
            Err(error) => {
                assert!(!config.variant.is_lora_exactly(), "{error}");
                assert!(error.to_string().contains(config.variant.name()), "{error}");
            }
        }
    }
    let miss = &configs()[2];
    let error = saved(&tuned(base(), miss), miss)
        .to_lora(&[])
        .expect_err("no layers");
    for layer in ["input", "blocks.0.up", "blocks.1.down"] {
        assert!(error.to_string().contains(layer), "{error}");
    }
}

#[test]
fn bone_converts_to_lora_within_chosen_error() {
    let weights = weights(&base());
    for config in &configs()[..2] {
        assert!(matches!(
            config.variant,
            Variant::Bone(BlockAxis::Output | BlockAxis::Input)
        ));
        let network = tuned(base(), config);
        let adapter = saved(&network, config);
        let change = |layer: &str| -> Result<TensorData, bone::FileError> {
            let weight = &weights[layer];
            let merged = adapter.merge::<Flex>(layer, weight.clone(), &Default::default());
            let merged = merged.expect("finite");
            let values = merged.iter::<f32>().zip(weight.iter::<f32>());
            let values: Vec<f32> = values.map(|(merged, weight)| merged - weight).collect();
            Ok(TensorData::new(values, weight.shape.clone()))
        };
        let as_lora = |keep| adapter.to_nearest_lora(keep, change).expect("finite");
        let off =
            |lora: &SavedAdapter| difference(&through_folder(lora).output(), &network.output());

        let (whole, lost) = as_lora(Keep::Rank(8));
        assert!(lost.overall < 1e-5 && off(&whole) < 1e-5, "{lost:?}");
        let (thin, lost) = as_lora(Keep::Rank(1));
        let (layer, most) = lost.worst.expect("a layer");
        assert!(weights.contains_key(&layer));
        assert!(0.01 < lost.overall && lost.overall <= most, "{most}");
        assert!(off(&thin) > off(&whole));

        // The reported error matches its definition.
        let (mut missing, mut all) = (0.0, 0.0);
        for layer in thin.layers.keys() {
            let kept = thin
                .merge::<Flex>(layer, weights[layer].clone(), &Default::default())
                .expect("finite");
            let change = change(layer).expect("finite");
            let pairs = kept.iter::<f32>().zip(weights[layer].iter::<f32>());
            for ((kept, weight), change) in pairs.zip(change.iter::<f32>()) {
                missing += f64::from(change - (kept - weight)).powi(2);
                all += f64::from(change).powi(2);
            }
        }
        let expected = f64::sqrt(missing / all);
        assert!((lost.overall - expected).abs() < 1e-4, "{expected}");

        let (most, lost) = as_lora(Keep::Energy(0.9));
        assert!(lost.worst.expect("a layer").1 <= f64::sqrt(0.1) + 1e-6);
        let rank = |lora: &SavedAdapter| lora.contents().adapter.expect("an adapter").rank;
        assert!(
            rank(&most) > 1 && rank(&most) < rank(&whole),
            "{}",
            rank(&most)
        );
        assert_eq!(rank(&as_lora(Keep::Energy(1.0)).0), 8);
    }
}

#[test]
fn single_weights_merge_and_unmerge() {
    let weights = weights(&base());
    let device = Default::default();
    for config in configs() {
        let network = tuned(base(), &config);
        let adapter = saved(&network, &config);
        let merged: Network<B> = bone::merge(network).expect("finite");
        let expected = self::weights(&merged);
        for (layer, weight) in &weights {
            let found = adapter.merge::<Flex>(layer, weight.clone(), &device);
            let found = found.expect("finite");
            let values = |data: &TensorData| data.iter::<f32>().collect::<Vec<_>>();
            assert!(difference(&values(&found), &values(&expected[layer])) < 1e-6);
            assert_eq!(
                adapter.adapts(layer),
                values(&found) != values(weight),
                "{layer}"
            );
            let back = adapter.unmerge::<Flex>(layer, found, &device);
            let back = back.expect("invertible");
            assert!(difference(&values(&back), &values(weight)) < 1e-5);
        }
    }
}
