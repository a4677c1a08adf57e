//! Conversion between the settings and an adapter's configuration.

use bone::{AdapterConfig, LoraConfig, LoraStart, SvdMethod, Targets, Variant};
use bone::{BlockAxis, rwkv_peft::Kind};

use super::words::{AxisWord, MethodName};
use super::{RawConfig, Row, TrainConfig};

impl TrainConfig {
    /// Returns the configuration of the adapters to train; `None` for a method without adapters.
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
                width: self.mini_width,
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
            layers: self.layers.clone(),
        };
        let config = AdapterConfig::new(variant, self.rank, targets);
        Some(config.with_dropout(self.dropout).with_seed(self.seed))
    }
}

impl RawConfig {
    /// Returns the settings that a saved adapter fixes. An adapter without a configuration is a state.
    pub(super) fn of_adapter(config: Option<AdapterConfig>) -> Self {
        let mut raw = Self::default();
        raw.method = Some(match config {
            Some(config) => raw.take_adapter(config),
            None => MethodName::State,
        });
        let place = |row: &Row| (row.name, ("adapter", row.name.to_owned()));
        raw.record.places = raw.given().map(place).collect();
        raw
    }

    fn take_adapter(&mut self, config: AdapterConfig) -> MethodName {
        self.rank = Some(config.rank);
        self.dropout = Some(config.dropout);
        self.targets = Some(config.targets.modules);
        self.exclude = config.targets.exclude;
        self.layers = config.targets.layers;
        match config.variant {
            Variant::Bone(axis) => {
                self.block_axis = Some(axis.into());
                MethodName::Bone
            }
            Variant::Miss => {
                self.block_axis = Some(AxisWord::None);
                MethodName::Miss
            }
            Variant::MissMini { width } => {
                self.mini_width = Some(width);
                MethodName::MissMini
            }
            Variant::Lora(lora) => {
                self.alpha = Some(lora.alpha);
                self.rslora = Some(lora.rslora);
                match lora.start {
                    LoraStart::Random => MethodName::Lora,
                    LoraStart::Pissa(_) => MethodName::Pissa,
                    LoraStart::Olora => MethodName::Olora,
                }
            }
        }
    }
}
