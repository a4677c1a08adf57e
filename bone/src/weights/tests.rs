use super::*;
use crate::testing::{B, numbers, tensor};
use crate::{BlockAxis, BoneLinear, Variant, attach, count_params, freeze_base};
use burn::module::Param;
use burn::nn::{Embedding, Linear};
use burn::tensor::Tensor;
use proptest::prelude::*;

#[derive(Module, Debug)]
struct Model<B: Backend> {
    embed: Embedding<B>,
    layers: Vec<BoneLinear<B>>,
    plain: Linear<B>,
    state: Option<Param<Tensor<B, 3>>>,
}

fn param<const D: usize>(shape: [usize; D]) -> Param<Tensor<B, D>> {
    let values = numbers(D as u64, shape.iter().product());
    Param::from_tensor(tensor(values, shape))
}

/// Makes a model in f64, optionally with a state.
fn model(state: bool) -> Model<B> {
    let linear = |d_input, d_output| Linear {
        weight: param([d_input, d_output]),
        bias: Some(param([d_output])),
    };
    Model {
        embed: Embedding {
            weight: param([5, 4]),
        },
        layers: vec![linear(4, 6).into(), linear(6, 4).into()],
        plain: linear(4, 2),
        state: state.then(|| param([2, 3, 3])),
    }
}

fn values(model: &Model<B>) -> BTreeMap<String, TensorData> {
    named_weights::<B, _>(model).collect()
}

#[test]
fn weight_names_and_shapes_match_checkpoints() {
    let adapter = crate::testing::config(Variant::Bone(BlockAxis::Output), 2);
    let adapted = attach(model(true), &adapter).expect("fits");
    let infos = infos::<B, _>(&adapted);
    let found: Vec<_> = infos
        .iter()
        .map(|(name, info)| (name.as_str(), &info.shape[..]))
        .collect();
    let expected: [(&str, &[usize]); 8] = [
        ("embed.weight", &[5, 4]),
        ("layers.0.bias", &[6]),
        ("layers.0.weight", &[6, 4]),
        ("layers.1.bias", &[4]),
        ("layers.1.weight", &[4, 6]),
        ("plain.bias", &[2]),
        ("plain.weight", &[2, 4]),
        ("state", &[2, 3, 3]),
    ];
    assert_eq!(found, expected);
    for (name, data) in values(&adapted) {
        assert_eq!(data.shape[..], infos[&name].shape, "{name}");
        assert_eq!(data.dtype, infos[&name].dtype, "{name}");
    }
    assert!(!super::infos::<B, _>(&model(false)).contains_key("state"));
}

#[test]
fn only_wanted_weights_are_listed() {
    let model = model(true);
    let some: BTreeMap<_, _> =
        weights_where::<B, _>(&model, |name| name.ends_with("weight")).collect();
    let mut all = values(&model);
    all.retain(|name, _| name.ends_with("weight"));
    assert_eq!(some, all);
}

proptest! {
    #[test]
    fn overlay_replaces_only_chosen_values(seed in 0..1000u64, chosen in 0..256u32) {
        let model = model(true);
        let before = values(&model);
        let new: BTreeMap<_, _> = before
            .iter()
            .enumerate()
            .filter(|(index, _)| chosen >> index & 1 == 1)
            .map(|(index, (name, data))| {
                let count = data.num_elements();
                let numbers = numbers(seed + index as u64, count);
                let numbers: Vec<_> = numbers.into_iter().map(|n| n as f32).collect();
                (name.clone(), TensorData::new(numbers, data.shape.clone()))
            })
            .collect();
        let after = values(&overlay::<B, _>(model, new.clone()).expect("fits"));
        for (name, data) in after {
            // In the value's own precision, or unchanged.
            prop_assert_eq!(new.get(&name).unwrap_or(&before[&name]), &data);
        }
    }
}

#[test]
fn overlay_transposes_weights_of_linear_layers() {
    let rows = |d_output: usize, d_input: usize| {
        let values = (0..d_output * d_input).map(|i| i as f32);
        TensorData::new(values.collect(), [d_output, d_input])
    };
    let new = BTreeMap::from([
        ("layers.0.weight".to_string(), rows(6, 4)),
        ("plain.weight".to_string(), rows(2, 4)),
    ]);
    let model = overlay::<B, _>(model(false), new).expect("fits");
    // Row o of the checkpoint's weight produces output o.
    let weight = model.layers[0].weight.val().into_data();
    assert_eq!(weight.iter::<f32>().nth(1), Some(4.0));
    let weight = model.plain.weight.val().into_data();
    assert_eq!(weight.iter::<f32>().nth(1), Some(4.0));
}

#[test]
fn overlay_error_lists_every_misfit() {
    let data = |count: usize| TensorData::new(vec![0f32; count], [count]);
    let values = BTreeMap::from([
        ("state".to_string(), data(18)),
        ("plain.bias".to_string(), data(3)),
        ("plain.weights".to_string(), data(8)),
        (
            "embed.weight".to_string(),
            TensorData::new(vec![f32::INFINITY; 20], [5, 4]),
        ),
        (
            "layers.0.bias".to_string(),
            TensorData::new(vec![0i32; 6], [6]),
        ),
        ("layers.1.bias".to_string(), data(4)),
    ]);
    let error = overlay::<B, _>(model(false), values).expect_err("five of six");
    let expected: [&[&str]; 5] = [
        &["embed.weight: ", "not finite"],
        &["layers.0.bias: ", "I32"],
        &["plain.bias: ", "[2], found [3]"],
        &["plain.weights: ", "unknown"],
        &["state: ", "unknown"],
    ];
    assert_eq!(error.problems.len(), expected.len(), "{error}");
    for (problem, parts) in error.problems.iter().zip(expected) {
        for part in parts {
            assert!(problem.contains(part), "{part}: {problem}");
        }
    }
}

#[test]
fn chosen_parameters_stay_trainable_after_casts() {
    let wanted = |name: &str| name == "embed.weight" || name == "state";
    let model: Model<B> = train_also(freeze_base(model(true)), wanted).expect("no adapters");
    assert_eq!(count_params(&model).trainable, 20 + 18);
    // f64 weights train in f64.
    assert_eq!(model.embed.weight.dtype(), DType::F64);
    let new = BTreeMap::from([(
        "state".to_string(),
        TensorData::new(vec![1f32; 18], [2, 3, 3]),
    )]);
    let model = overlay::<B, _>(model, new).expect("fits");
    assert_eq!(count_params(&model).trainable, 20 + 18);
    let types = dtypes::<B, _>(&model);
    assert_eq!(types["state"], DType::F32);
    let half = types.into_keys().map(|name| (name, DType::BF16));
    let model = cast_to::<B, _>(model, &half.collect()).expect("small");
    assert_eq!(count_params(&model).trainable, 20 + 18);
    let model: Model<B> = train_also(freeze_base(model), wanted).expect("no adapters");
    assert_eq!(model.embed.weight.dtype(), DType::F32);
    assert_eq!(model.plain.weight.dtype(), DType::BF16);
}
