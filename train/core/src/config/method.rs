//! Between the settings and an adapter's configuration.

use bone::{AdapterConfig, LoraConfig, LoraStart, SvdMethod, Targets, Variant};
use bone::{BlockAxis, bare::Kind};

use super::table::Origin;
use super::value::Layers;
use super::words::{AxisWord, MethodName};
use super::{RawConfig, SETTINGS, TrainConfig};

impl TrainConfig {
    /// Returns the adapters that train; `None` for a method without.
    pub fn adapter_config(&self) -> Option<AdapterConfig> {
        let lora = |start| {
            Variant::Lora(LoraConfig {
                alpha: self.alpha,
                rslora: self.rslora,
                start,
            })
        };
        let variant = match self.method {
            MethodName::Bone => Variant::Bone(match self.block_axis.kind() {
                Kind::Bone(axis) => axis,
                Kind::Miss => BlockAxis::Output,
            }),
            MethodName::Miss => Variant::Miss,
            MethodName::MissMini => Variant::MissMini {
                width: self.mini_width.unwrap_or(1),
            },
            MethodName::Lora => lora(LoraStart::Random),
            MethodName::Pissa => lora(LoraStart::Pissa(match self.pissa_iterations {
                Some(iterations) => SvdMethod::Fast { iterations },
                None => SvdMethod::Exact,
            })),
            MethodName::Olora => lora(LoraStart::Olora),
            MethodName::State | MethodName::Full => return None,
        };
        let targets = Targets {
            modules: self.targets.clone(),
            exclude: self.exclude.clone(),
            layers: self.layers.clone().map(|layers| layers.0),
        };
        let config = AdapterConfig::new(variant, self.rank, targets);
        Some(config.with_dropout(self.dropout).with_seed(self.seed))
    }
}

impl RawConfig {
    /// Returns the settings that an adapter brings along; without a configuration it is a state.
    pub(super) fn of_adapter(config: Option<AdapterConfig>) -> Self {
        let mut raw = config.map_or(
            Self {
                method: Some(MethodName::State),
                ..Self::default()
            },
            of_config,
        );
        let given = SETTINGS.iter().filter(|row| row.is_given(&raw));
        let place = |name: &'static str| (name, (Origin::Adapter, name.to_owned()));
        raw.record.places = given.map(|row| place(row.name)).collect();
        raw
    }
}

fn of_config(config: AdapterConfig) -> RawConfig {
    let targets = config.targets;
    let raw = RawConfig {
        rank: Some(config.rank),
        dropout: Some(config.dropout),
        targets: Some(targets.modules),
        exclude: targets.exclude,
        layers: targets.layers.map(Layers),
        ..RawConfig::default()
    };
    let (method, raw) = match config.variant {
        Variant::Bone(axis) => {
            let block_axis = Some(axis.into());
            (MethodName::Bone, RawConfig { block_axis, ..raw })
        }
        Variant::Miss => {
            let block_axis = Some(AxisWord::None);
            (MethodName::Miss, RawConfig { block_axis, ..raw })
        }
        Variant::MissMini { width } => {
            let mini_width = Some(width);
            (MethodName::MissMini, RawConfig { mini_width, ..raw })
        }
        Variant::Lora(lora) => {
            let method = match lora.start {
                LoraStart::Random => MethodName::Lora,
                LoraStart::Pissa(_) => MethodName::Pissa,
                LoraStart::Olora => MethodName::Olora,
            };
            let raw = RawConfig {
                alpha: Some(lora.alpha),
                rslora: Some(lora.rslora),
                ..raw
            };
            (method, raw)
        }
    };
    RawConfig {
        method: Some(method),
        ..raw
    }
}
