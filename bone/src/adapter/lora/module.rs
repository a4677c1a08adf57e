//! Implements burn's `Module` for `Lora` by hand, because the record holds the scale. Without the
//! scale, loading onto a bare layer would give a different adapter.

use super::{Build, Factors, FactorsRecord, Lora, OnLayer};
use crate::{Backend, LoraConfig, LoraStart};
use burn::module::{
    AutodiffModule, Content, Devices, DisplaySettings, HasAutodiffModule, Module, ModuleDisplay,
    ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::record::Record;
use burn::tensor::backend::AutodiffBackend;

/// Container name that visitors see.
pub(crate) const CONTAINER: &str = "Struct:Lora";

/// The saved form of a [`Lora`].
#[derive(Record)]
pub struct LoraRecord<B: Backend> {
    /// `A` and `B`.
    pub factors: FactorsRecord<B>,
    /// `A₀` and `B₀`.
    pub initial: Option<FactorsRecord<B>>,
    /// [`LoraConfig::alpha`].
    pub alpha: f64,
    /// [`LoraConfig::rslora`].
    pub rslora: bool,
    /// [`LoraConfig::start`] as text.
    pub start: String,
}

impl<B: Backend> LoraRecord<B> {
    pub(super) fn settings(&self) -> LoraConfig {
        LoraConfig {
            alpha: self.alpha,
            rslora: self.rslora,
            start: self.start.parse().unwrap_or(LoraStart::Random),
        }
    }
}

impl<B: Backend> Lora<B> {
    fn map_parts(self, mut map: impl FnMut(Factors<B>) -> Factors<B>) -> Self {
        Self {
            factors: map(self.factors),
            initial: self.initial.map(map),
            ..self
        }
    }
}

impl<B: Backend> Module<B> for Lora<B> {
    type Record = LoraRecord<B>;

    fn collect_devices(&self, devices: Devices<B>) -> Devices<B> {
        let devices = self.factors.collect_devices(devices);
        self.initial.collect_devices(devices)
    }

    fn fork(self, device: &B::Device) -> Self {
        self.map_parts(|part| part.fork(device))
    }

    fn to_device(self, device: &B::Device) -> Self {
        self.map_parts(|part| Module::to_device(part, device))
    }

    fn visit<V: ModuleVisitor<B>>(&self, visitor: &mut V) {
        for (name, part) in [
            ("factors", Some(&self.factors)),
            (INITIAL, self.initial.as_ref()),
        ] {
            let Some(part) = part else { continue };
            visitor.enter_module(name, CONTAINER);
            Module::visit(part, visitor);
            visitor.exit_module(name, CONTAINER);
        }
    }

    fn map<M: ModuleMapper<B>>(self, mapper: &mut M) -> Self {
        let mut names = ["factors", INITIAL].into_iter();
        self.map_parts(|part| {
            let name = names.next().unwrap_or_default();
            mapper.enter_module(name, CONTAINER);
            let part = Module::map(part, mapper);
            mapper.exit_module(name, CONTAINER);
            part
        })
    }

    fn load_record(self, record: Self::Record) -> Self {
        let (dropout, salt) = (self.dropout, self.salt);
        Self {
            dropout,
            salt,
            ..Self::of_record(record)
        }
    }

    fn into_record(self) -> Self::Record {
        LoraRecord {
            alpha: self.settings.alpha,
            rslora: self.settings.rslora,
            start: self.settings.start.to_string(),
            factors: self.factors.into_record(),
            initial: self.initial.map(Module::into_record),
        }
    }
}

/// Name of the frozen initial factors.
pub(crate) const INITIAL: &str = "initial";

impl<B> AutodiffModule<B> for Lora<B>
where
    B: AutodiffBackend + Backend,
    B::InnerBackend: Backend,
{
    type InnerModule = Lora<B::InnerBackend>;

    fn valid(&self) -> Self::InnerModule {
        Lora {
            factors: self.factors.valid(),
            initial: self.initial.as_ref().map(AutodiffModule::valid),
            settings: self.settings,
            dropout: self.dropout,
            salt: self.salt,
        }
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        Self {
            factors: AutodiffModule::from_inner(module.factors),
            initial: module.initial.map(AutodiffModule::from_inner),
            settings: module.settings,
            dropout: module.dropout,
            salt: module.salt,
        }
    }
}

impl<B, I> HasAutodiffModule<B> for Lora<I>
where
    B: AutodiffBackend<InnerBackend = I> + Backend,
    I: Backend,
{
    type TrainModule = Lora<B>;
}

impl<B: Backend> ModuleDisplayDefault for Lora<B> {
    fn content(&self, content: Content) -> Option<Content> {
        content
            .add("rank", &self.rank())
            .add("alpha", &self.settings.alpha)
            .add("start", &self.settings.start.to_string())
            .optional()
    }
}

impl<B: Backend> ModuleDisplay for Lora<B> {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new()
            .with_new_line_after_attribute(false)
            .optional()
    }
}
