//! Tests every variant between `attach` and `detach`, on a model of another crate's kind. A new
//! adapter is one more row in `network::configs`.

mod network;

use bone::adapter::Adapter;
use bone::saved::Contents;
use bone::{
    AdapterConfig, AttachError, BoneLinear, MergeError, ParamCount, Selection, State, Targets,
    attach, count_params, detach, disable, enable, freeze_base, merge, peft, unfreeze_all, unmerge,
    visit_linears,
};
use burn::backend::Flex;
use burn::module::{AutodiffModule, Module};
use network::{B, BONE, Network, configs, difference, rows, tuned};

const ADAPTED: [&str; 5] = [
    "input",
    "blocks.0.up",
    "blocks.0.down",
    "blocks.1.up",
    "blocks.1.down",
];

fn network() -> Network<B> {
    Network::new(7)
}

fn attach_and_freeze(config: &AdapterConfig) -> Network<B> {
    freeze_base(attach(network(), config).expect("fits"))
}

/// Returns the paths of the layers that carry an adapter.
fn adapted<B: bone::Backend>(network: &Network<B>) -> Vec<String> {
    let mut paths = Vec::new();
    visit_linears::<B, _>(network, |path, layer: &BoneLinear<B>| {
        if layer.adapter().is_some() {
            paths.push(path.to_string());
        }
    });
    paths
}

/// Returns the gradients of all tensors of the adapter as numbers.
fn gradient(
    adapter: &Adapter<B>,
    gradients: &<B as burn::tensor::backend::AutodiffBackend>::Gradients,
) -> Option<Vec<f32>> {
    let mut numbers = Vec::new();
    for data in adapter.gradients(gradients) {
        numbers.extend(data?.iter::<f32>());
    }
    Some(numbers)
}

#[test]
fn attached_model_starts_equal_to_base() {
    let base = network();
    for config in configs() {
        let network = attach(base.clone(), &config).expect("fits");
        assert_eq!(adapted(&network), ADAPTED);
        let error = difference(&network.output(), &base.output());
        assert!(error < 1e-6, "{:?}: {error}", config.variant);
    }
}

#[test]
fn only_adapters_get_gradients() {
    for config in configs() {
        let network: Network<B> = attach_and_freeze(&config);
        let gradients = network.forward(rows()).powi_scalar(2).mean().backward();
        visit_linears::<B, _>(&network, |path, layer| {
            assert!(layer.weight.grad(&gradients).is_none(), "{path}");
            let bias = layer.bias.as_ref().and_then(|bias| bias.grad(&gradients));
            assert!(bias.is_none(), "{path}");
            if let Some(adapter) = layer.adapter() {
                let gradient = gradient(adapter, &gradients).expect("the adapter trains");
                assert!(gradient.iter().any(|g| *g != 0.0), "{path}");
            }
        });
        assert!(network.norm.gamma.grad(&gradients).is_none());

        let thawed: Network<B> = unfreeze_all(network);
        let gradients = thawed.forward(rows()).powi_scalar(2).mean().backward();
        assert!(thawed.lm_head.weight.grad(&gradients).is_some());
        assert!(thawed.norm.gamma.grad(&gradients).is_some());
        assert!(thawed.input.weight.grad(&gradients).is_some());
    }
}

#[test]
fn parameters_are_counted() {
    let base = count_params(&network());
    // Input, two blocks without a bias on the first layer, norm, head.
    assert_eq!(base.total, 56 + 2 * (128 + 136) + 16 + 36);
    assert_eq!(base.trainable, base.total);
    const LORA: usize = 3 * (14 + 4 * 24);
    // Sums over the layers [6, 8], 2 × [8, 16] and 2 × [16, 8].
    let expected = [
        4 * (4 + 2 * 8 + 2 * 4),
        4 * (3 + 2 * 4 + 2 * 8),
        3 * (8 + 2 * 16 + 2 * 8),
        5 * 3 * 4,
        LORA,
        LORA,
        LORA,
        LORA,
    ];
    for (config, adapters) in configs().iter().zip(expected) {
        let network: Network<B> = attach_and_freeze(config);
        // The initial factors of a residual are stored beside it and do not train.
        let held = match config.saved().rank / config.rank {
            2 => 2 * adapters,
            _ => adapters,
        };
        let count = ParamCount {
            trainable: adapters,
            total: base.total + held,
        };
        assert_eq!(count_params(&network), count, "{:?}", config.variant);
        assert_eq!(count_params(&network.valid()).trainable, 0);
        let thawed: Network<B> = unfreeze_all(network);
        assert_eq!(count_params(&thawed).trainable, base.total + adapters);
    }
}

#[test]
fn disabled_adapter_restores_base_output() {
    let base = network();
    for config in configs() {
        let network = tuned(base.clone(), &config);
        let output = network.output();
        assert!(difference(&output, &base.output()) > 1e-3, "it learnt");
        let off: Network<B> = disable(network);
        assert_eq!(off.output(), base.output());
        assert_eq!(adapted(&off), ADAPTED);
        assert_eq!(enable::<B, _>(off).output(), output);
    }
}

#[test]
fn saved_adapter_loads_unchanged() {
    let base = network();
    for config in configs() {
        let network = tuned(base.clone(), &config);
        let folder = tempfile::tempdir().expect("a folder");
        peft::save(&network, &config, Some("base"), folder.path()).expect("saved");
        let contents = Contents::from(&config.saved());
        assert_eq!(peft::read_contents(folder.path()).expect("read"), contents);
        let (loaded, read) = peft::load(base.clone(), folder.path()).expect("loaded");
        assert_eq!(read, contents);
        let error = difference(&loaded.output(), &network.output());
        // A LoRA of twice the rank sums in another order.
        let bound = if config.saved() == config { 0.0 } else { 1e-6 };
        assert!(error <= bound, "{:?}: {error}", config.variant);
    }
}

#[test]
fn merged_model_equals_adapted_model_and_unmerges() {
    let base = network();
    for config in configs() {
        let network = tuned(base.clone(), &config);
        let output = network.output();
        let merged: Network<B> = merge(network).expect("finite");
        assert!(difference(&merged.output(), &output) < 1e-5);
        assert_eq!(merged.blocks[1].up.state(), State::Merged);
        // Merged adapters can be neither disabled nor merged again.
        let still: Network<B> = disable(merged.clone());
        assert_eq!(still.output(), merged.output());
        let twice = merge::<B, _>(merged.clone()).expect_err("merged already");
        assert!(matches!(&twice, MergeError::Layers(layers) if layers.len() == ADAPTED.len()));

        let kept: Network<B> = detach(merged.clone());
        assert!(adapted(&kept).is_empty());
        assert_eq!(kept.output(), merged.output());

        let back: Network<B> = unmerge(merged).expect("invertible");
        assert!(difference(&back.output(), &output) < 1e-5);
        let bare: Network<B> = detach(back);
        assert!(difference(&bare.output(), &base.output()) < 1e-5);
        assert_eq!(count_params(&bare).total, count_params(&base).total);
    }
    assert_eq!(
        merge::<B, _>(base.clone()).err(),
        Some(MergeError::NoAdapter)
    );
    assert_eq!(unmerge::<B, _>(base).err(), Some(MergeError::NoAdapter));
}

#[test]
fn detach_restores_base_model() {
    let base = network();
    for config in configs() {
        let bare: Network<B> = detach(tuned(base.clone(), &config));
        assert!(adapted(&bare).is_empty());
        assert_eq!(bare.output(), base.output());
        attach(bare, &config).expect("there is room again");
    }
}

#[test]
fn adapters_attach_to_targeted_layers() {
    let names = |names: &[&str]| Selection::names(names.iter().copied());
    let of = |modules, exclude, layers| Targets {
        modules,
        exclude,
        layers,
    };
    let regex = |pattern: &str| Selection::Regex(pattern.into());
    let all = Selection::AllLinear;
    let cases = [
        (
            of(names(&["up", "lm_head"]), None, None),
            vec!["blocks.0.up", "blocks.1.up", "lm_head"],
        ),
        (
            of(regex(r"blocks\.1\..*|input"), None, None),
            vec!["input", "blocks.1.up", "blocks.1.down"],
        ),
        (of(all.clone(), None, None), ADAPTED.to_vec()),
        (
            of(all.clone(), Some(names(&["input", "0.down"])), None),
            vec!["blocks.0.up", "blocks.1.up", "blocks.1.down"],
        ),
        (
            of(all, Some(regex(".*up")), Some(vec![1])),
            vec!["blocks.1.down"],
        ),
    ];
    for (targets, expected) in cases {
        for mut config in configs() {
            config.targets = targets.clone();
            let network = attach(network(), &config).expect("fits");
            assert_eq!(adapted(&network), expected, "{targets:?}");
        }
    }
}

#[test]
fn attach_errors_list_every_layer_and_target() {
    let text = |config: &AdapterConfig| {
        let error = attach(network(), config).expect_err("impossible");
        error.to_string()
    };
    for config in configs() {
        let mut config = config;
        let mut targets = Targets::new(Selection::names(["up", "q_proj", "v_proj"]));
        targets.exclude = Some(Selection::names(["gate"]));
        targets.layers = Some(vec![0, 5, 9]);
        config.targets = targets;
        let text = text(&config);
        for part in [
            "q_proj",
            "v_proj",
            "gate",
            "layer 5",
            "layer 9",
            "blocks.N.up",
        ] {
            assert!(text.contains(part), "{part} not in {text}");
        }
    }

    let all = Targets::new(Selection::AllLinear);
    let too_wide = AdapterConfig::new(BONE, 16, all.clone());
    // The message groups the layers; the error lists them all.
    let message = text(&too_wide);
    for part in ["rank 16", "ranks that fit: 2", "blocks.N.up (x2)", "input"] {
        assert!(message.contains(part), "{part} not in {message}");
    }
    match attach(network(), &too_wide) {
        Err(AttachError::Layers(layers)) => {
            let modules: Vec<_> = layers.iter().map(|layer| &layer.module).collect();
            assert_eq!(modules, ADAPTED);
        }
        other => panic!("{other:?}"),
    }
    let with_dropout = AdapterConfig::new(BONE, 2, all).with_dropout(0.1);
    assert!(text(&with_dropout).contains("dropout"));

    for config in configs() {
        let once = attach(network(), &config).expect("fits");
        match attach(once, &config) {
            Err(AttachError::Layers(layers)) => {
                let modules: Vec<_> = layers.iter().map(|layer| &layer.module).collect();
                assert_eq!(modules, ADAPTED);
                assert!(
                    layers[0].reason.to_string().contains("already"),
                    "{}",
                    layers[0]
                );
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn valid_module_keeps_outputs_and_adapter_state() {
    let same = |network: &Network<B>| {
        let error = difference(&network.valid().output(), &network.output());
        assert!(error < 1e-6, "{error}");
    };
    for config in configs() {
        let network = tuned(network(), &config);
        same(&network);
        same(&disable(network.clone()));
        let merged: Network<B> = merge(network).expect("finite");
        same(&merged);
        assert_eq!(merged.valid().input.state(), State::Merged);
        let back: Network<Flex> = unmerge(merged.valid()).expect("invertible");
        assert_eq!(adapted(&back), ADAPTED);
        assert!(difference(&back.output(), &merged.output()) < 1e-5);
    }
}

#[test]
fn adapters_attached_without_autodiff_can_train() {
    for config in configs() {
        let plain = attach(Network::<Flex>::new(7), &config).expect("fits");
        let network = plain.train::<B>();
        assert_eq!(adapted(&network), ADAPTED);
        // burn loses the trainable flag when a parameter is cloned on a plain backend: freeze
        // afterwards.
        let network: Network<B> = freeze_base(network);
        let adapters = count_params(&attach_and_freeze(&config)).trainable;
        assert_eq!(count_params(&network).trainable, adapters);
        let gradients = network.forward(rows()).powi_scalar(2).mean().backward();
        visit_linears::<B, _>(&network, |path, layer| {
            assert!(layer.weight.grad(&gradients).is_none(), "{path}");
            if let Some(adapter) = layer.adapter() {
                assert!(gradient(adapter, &gradients).is_some(), "{path}");
            }
        });
    }
}

#[test]
fn frozen_weights_stay_frozen_through_valid_and_train() {
    for config in configs() {
        let network = tuned(network(), &config);
        let count = count_params(&network);
        assert_eq!(count_params(&network.valid().train::<B>()), count);
    }
}
