//! Every method on every architecture passes the same checks. It starts as the base; only its
//! parameters train; saving and loading restores it; the merged model equals the adapted one; each
//! format holds it or refuses it by name.

use bone::saved::{Keep, SavedAdapter, Scan};
use bone::visit::{FloatParam, read, visit_floats};
use bone::{
    AdapterConfig, BlockAxis, FileError, LoraConfig, LoraStart, Selection, SvdMethod, Targets,
    Variant, peft, rwkv_peft, visit_linears,
};
use bone_llama2::Llama;
use bone_lm::CausalLm;
use bone_lm::generate::token_tensor;
use bone_rwkv6::Rwkv6;
use bone_tests::replay::B;
use bone_tests::{fixtures, max_difference};
use burn::backend::Flex;
use burn::module::{ModuleMapper, Param};
use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Tensor, TensorData};
use std::collections::BTreeMap;
use std::path::Path;

const RANK: usize = 4;

fn methods() -> Vec<Variant> {
    let lora = |start| {
        Variant::Lora(LoraConfig {
            alpha: 8.0,
            rslora: false,
            start,
        })
    };
    vec![
        Variant::Bone(BlockAxis::Output),
        Variant::Bone(BlockAxis::Input),
        Variant::Miss,
        Variant::MissMini { width: 4 },
        lora(LoraStart::Random),
        lora(LoraStart::Pissa(SvdMethod::Exact)),
        lora(LoraStart::Olora),
    ]
}

/// A model without an adapter, and the data that tests need.
struct Base<M> {
    model: M,
    /// Path, inputs, outputs of every linear layer.
    layers: Vec<(String, usize, usize)>,
    /// Every linear layer's weight, `[out, in]`.
    weights: BTreeMap<String, TensorData>,
}

impl<M: CausalLm<B>> Base<M> {
    fn new(model: M) -> Self {
        let (mut layers, mut weights) = (Vec::new(), BTreeMap::new());
        visit_linears::<B, _>(&model, |path, layer| {
            let [d_input, d_output] = layer.dims();
            layers.push((path.to_string(), d_input, d_output));
            weights.insert(path.to_string(), layer.weight.val().transpose().into_data());
        });
        Self {
            model,
            layers,
            weights,
        }
    }

    fn fresh(&self, config: &AdapterConfig) -> M {
        let model = bone::attach::<B, _>(self.model.clone(), config).expect("fits");
        bone::freeze_base::<B, _>(model)
    }

    fn read(&self, scan: Result<Scan, FileError>) -> M {
        let scan = scan.expect("whole");
        scan.put_on::<B, _>(self.model.clone()).expect("fits").0
    }
}

fn logits<M: CausalLm<B>>(model: &M) -> Vec<f32> {
    let tokens: Vec<u32> = (0..24).map(|i| (i * 37 + 5) % 97).collect();
    let tokens = token_tensor(&tokens, 2, 12, &Default::default());
    let data = model.forward(tokens).into_data();
    data.iter::<f32>().collect()
}

/// Changes every trained parameter.
struct Train(usize);

impl ModuleMapper<B> for Train {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        if !param.is_require_grad() {
            return param;
        }
        self.0 += 1;
        let first = self.0;
        param.map(|tensor| {
            let count = tensor.shape().num_elements();
            let step = (0..count).map(|i| 0.05 * ((i + 7 * first) as f32 * 0.9).sin());
            let step = TensorData::new(step.collect::<Vec<_>>(), tensor.shape());
            let step = Tensor::from_data(step, &tensor.device());
            (tensor + step).detach().require_grad()
        })
    }
}

/// Returns the name, for messages.
fn name(variant: Variant) -> String {
    format!("{variant:?}")
}

/// Returns every format, and whether it holds the method exactly.
fn formats<M: CausalLm<B>>(base: &Base<M>, tuned: &M, adapter: &SavedAdapter, variant: Variant) {
    let (expected, what) = (logits(tuned), name(variant));
    let folder = tempfile::tempdir().expect("a folder");
    let same = |format: &str, model: &M, bound: f32| {
        let off = max_difference(&logits(model), &expected);
        assert!(off < bound, "{what} as {format}: {off}");
    };
    let refused = |format: &str, error: FileError| {
        let error = error.to_string();
        let saved = adapter.config.as_ref().expect("an adapter").variant;
        assert!(error.contains(saved.name()), "{what} as {format}: {error}");
    };

    // PEFT's folder holds everything.
    let path = folder.path().join("peft");
    peft::write(adapter, None, &path).expect("held");
    same("PEFT", &base.read(peft::scan(&path)), 1e-4);

    // RWKV-PEFT's names, in both kinds of file.
    let kind = rwkv_peft::Kind::of(variant);
    type Write = fn(&SavedAdapter, &Path) -> Result<(), FileError>;
    let writers: [(&str, Write); 2] = [
        ("adapter.pth", rwkv_peft::write_pth),
        ("adapter.safetensors", rwkv_peft::write_safetensors),
    ];
    for (file, write) in writers {
        let path = folder.path().join(file);
        match write(adapter, &path) {
            Ok(()) => {
                assert!(kind.is_some(), "{what}: written as {file}");
                same(file, &base.read(rwkv_peft::scan(&path, kind)), 1e-6);
                // Or the reader asks; it never reads the file as another kind.
                match rwkv_peft::scan(&path, None) {
                    Ok(scan) => same(file, &base.read(Ok(scan)), 1e-6),
                    Err(error) => assert!(error.to_string().contains("--block-axis"), "{error}"),
                }
            }
            Err(error) => {
                assert!(kind.is_none(), "{what}: {error}");
                assert!(!path.exists(), "{what}");
                refused(file, error);
            }
        }
    }

    // A LoRA, which every tool can serve.
    let path = folder.path().join("lora");
    match adapter.to_lora(&base.layers) {
        Ok(lora) => {
            peft::write(&lora, None, &path).expect("held");
            same("LoRA", &base.read(peft::scan(&path)), 1e-4);
        }
        Err(error) => {
            assert!(!variant.is_lora_exactly(), "{what}: {error}");
            refused("LoRA", error);
            let change = |layer: &str| -> Result<TensorData, FileError> {
                let weight = &base.weights[layer];
                let merged = adapter.merge::<Flex>(layer, weight.clone(), &Default::default());
                let merged = merged.expect("finite");
                let values = merged.iter::<f32>().zip(weight.iter::<f32>());
                let values: Vec<f32> = values.map(|(merged, weight)| merged - weight).collect();
                Ok(TensorData::new(values, weight.shape.clone()))
            };
            let (lora, lost) = adapter
                .to_nearest_lora(Keep::Energy(1.0), change)
                .expect("finite");
            assert!(lost.overall < 1e-5, "{what}: {lost:?}");
            peft::write(&lora, None, &path).expect("held");
            same("nearest LoRA", &base.read(peft::scan(&path)), 1e-3);
        }
    }
}

fn lifecycle<M: CausalLm<B>>(base: &Base<M>, variant: Variant) {
    let what = name(variant);
    let targets = Targets::new(Selection::AllLinear);
    let config = AdapterConfig::new(variant, RANK, targets);
    let untouched = logits(&base.model);

    let model = base.fresh(&config);
    let off = max_difference(&logits(&model), &untouched);
    // PiSSA and OLoRA subtract a product and add it again; the rounding depends on the vector width.
    assert!(off < 2e-5, "{what} does not start as the base: {off}");

    // This follows a step, so that every factor of a product has a gradient.
    let tuned = model.map(&mut Train(0));
    let expected = logits(&tuned);
    let off = max_difference(&expected, &untouched);
    assert!(off > 1e-2, "{what} changes nothing: {off}");

    let tokens = token_tensor(&[1, 2, 3, 4, 5, 6], 1, 6, &Default::default());
    let gradients = tuned.forward(tokens).powi_scalar(2).mean().backward();
    let mut with_gradient = 0;
    visit_floats(&tuned, |param: FloatParam<'_, B>| {
        let path = param.path();
        let grad = B::grad(&param.primitive(), &gradients);
        assert_eq!(grad.is_some(), param.is_require_grad(), "{path}");
        let Some(grad) = grad else { return };
        assert!(param.place.is_adapter(), "{path}");
        let grad = read::<Flex>(grad);
        assert!(grad.iter::<f32>().all(|g| g.is_finite()), "{path}");
        // LoRA's A has no gradient while B is zero.
        with_gradient += usize::from(grad.iter::<f32>().any(|g| g != 0.0));
    });
    let tensors = config.variant.tensor_names().len();
    let adapted = base.layers.len() - 1;
    assert_eq!(with_gradient, adapted * tensors, "{what}");

    let adapter = SavedAdapter::of::<B, _>(&tuned, &config).expect("finite");
    formats(base, &tuned, &adapter, variant);

    let merged: M = bone::merge::<B, _>(tuned).expect("finite");
    let off = max_difference(&logits(&merged), &expected);
    assert!(off < 1e-4, "{what} merged: {off}");
    visit_linears::<B, _>(&merged, |path, layer| {
        let weight = base.weights[path].clone();
        let alone = adapter.merge::<Flex>(path, weight, &Default::default());
        let values = |data: TensorData| data.iter::<f32>().collect::<Vec<_>>();
        let alone = values(alone.expect("finite"));
        let module = values(layer.weight.val().transpose().into_data());
        let off = max_difference(&alone, &module);
        assert!(off < 1e-6, "{what} {path}: {off}");
    });
    let back: M = bone::unmerge::<B, _>(merged).expect("invertible");
    let off = max_difference(&logits(&back), &expected);
    assert!(off < 1e-3, "{what} unmerged: {off}");
    let detached: M = bone::detach::<B, _>(back);
    let off = max_difference(&logits(&detached), &untouched);
    assert!(off < 1e-3, "{what} taken off: {off}");
}

#[test]
fn every_method_completes_lifecycle_on_llama2() {
    let folder = fixtures().join("llama-tiny");
    let model = Llama::<B>::from_folder(&folder, &Default::default(), None).expect("loads");
    let base = Base::new(model);
    for variant in methods() {
        lifecycle(&base, variant);
    }
}

#[test]
fn every_method_completes_lifecycle_on_rwkv6() {
    let folder = fixtures().join("rwkv6-tiny");
    let model = Rwkv6::<B>::from_path(&folder, &Default::default(), None).expect("loads");
    let base = Base::new(model);
    for variant in methods() {
        lifecycle(&base, variant);
    }
}
