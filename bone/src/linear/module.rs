//! Implements burn's `Module` for `BoneLinear` by hand, for two reasons. A layer hands itself whole
//! to a mapper of layers. Its record equals `Linear`'s if it carries no adapter.

use super::{BoneLinear, State};
use crate::Backend;
use crate::adapter::{Adapter, AdapterRecord};
use crate::visit::{LINEAR, WEIGHT, lend, take_back};
use burn::module::{
    AutodiffModule, Content, Devices, DisplaySettings, HasAutodiffModule, Module, ModuleDisplay,
    ModuleDisplayDefault, ModuleMapper, ModuleVisitor, Param,
};
use burn::record::Record;
use burn::tensor::{Tensor, backend::AutodiffBackend};

/// The saved form of a [`BoneLinear`]: `Linear`'s record and the adapter, if any. A merged adapter
/// is in the weight and is not saved separately.
///
/// Named formats (MessagePack, JSON) read `Linear`'s record as this one, and the reverse. Binary
/// formats are positional and cannot: the missing adapter takes a byte.
#[derive(Record)]
pub struct BoneLinearRecord<B: Backend> {
    /// `[d_input, d_output]`.
    pub weight: Param<Tensor<B, 2>>,
    /// `[d_output]`.
    pub bias: Option<Param<Tensor<B, 1>>>,
    /// The adapter.
    pub adapter: Option<AdapterRecord<B>>,
}

impl<B: Backend> Module<B> for BoneLinear<B> {
    type Record = BoneLinearRecord<B>;

    fn collect_devices(&self, devices: Devices<B>) -> Devices<B> {
        let devices = self.weight.collect_devices(devices);
        let devices = self.bias.collect_devices(devices);
        self.adapter.collect_devices(devices)
    }

    fn fork(self, device: &B::Device) -> Self {
        Self {
            weight: self.weight.fork(device),
            bias: self.bias.fork(device),
            adapter: self.adapter.fork(device),
            state: self.state,
        }
    }

    fn to_device(self, device: &B::Device) -> Self {
        Self {
            weight: Module::to_device(self.weight, device),
            bias: Module::to_device(self.bias, device),
            adapter: Module::to_device(self.adapter, device),
            state: self.state,
        }
    }

    fn visit<V: ModuleVisitor<B>>(&self, visitor: &mut V) {
        visitor.enter_module(WEIGHT, LINEAR);
        Module::visit(&self.weight, visitor);
        visitor.exit_module(WEIGHT, LINEAR);
        visitor.enter_module("bias", LINEAR);
        Module::visit(&self.bias, visitor);
        visitor.exit_module("bias", LINEAR);
        visitor.enter_module("adapter", LINEAR);
        Module::visit(&self.adapter, visitor);
        visitor.exit_module("adapter", LINEAR);
    }

    fn map<M: ModuleMapper<B>>(self, mapper: &mut M) -> Self {
        mapper.enter_module(WEIGHT, LINEAR);
        let Some(layer) = lend(self) else {
            mapper.exit_module(WEIGHT, LINEAR);
            return take_back();
        };
        let weight = Module::map(layer.weight, mapper);
        mapper.exit_module(WEIGHT, LINEAR);
        mapper.enter_module("bias", LINEAR);
        let bias = Module::map(layer.bias, mapper);
        mapper.exit_module("bias", LINEAR);
        mapper.enter_module("adapter", LINEAR);
        let adapter = Module::map(layer.adapter, mapper);
        mapper.exit_module("adapter", LINEAR);
        Self {
            weight,
            bias,
            adapter,
            state: layer.state,
        }
    }

    /// Loads a record. Without an adapter in the record, the layer keeps its own; otherwise the
    /// record's adapter replaces it.
    fn load_record(self, record: Self::Record) -> Self {
        let adapter = match (self.adapter, record.adapter) {
            (adapter, None) => adapter,
            (adapter, Some(record)) => Some(Adapter::load_or_new(adapter, record)),
        };
        Self {
            weight: self.weight.load_record(record.weight),
            bias: self.bias.load_record(record.bias),
            adapter,
            state: match self.state {
                State::Disabled => State::Disabled,
                // The loaded weight contains no merged adapter.
                State::Enabled | State::Merged => State::Enabled,
            },
        }
    }

    fn into_record(self) -> Self::Record {
        let adapter = match self.state {
            State::Merged => None,
            State::Enabled | State::Disabled => self.adapter,
        };
        BoneLinearRecord {
            weight: self.weight.into_record(),
            bias: self.bias.into_record(),
            adapter: adapter.map(Module::into_record),
        }
    }
}

impl<B> AutodiffModule<B> for BoneLinear<B>
where
    B: AutodiffBackend + Backend,
    B::InnerBackend: Backend,
{
    type InnerModule = BoneLinear<B::InnerBackend>;

    fn valid(&self) -> Self::InnerModule {
        BoneLinear {
            weight: self.weight.valid(),
            bias: self.bias.valid(),
            adapter: self.adapter.valid(),
            state: self.state,
        }
    }

    fn from_inner(module: Self::InnerModule) -> Self {
        Self {
            weight: AutodiffModule::from_inner(module.weight),
            bias: AutodiffModule::from_inner(module.bias),
            adapter: AutodiffModule::from_inner(module.adapter),
            state: module.state,
        }
    }
}

impl<B, I> HasAutodiffModule<B> for BoneLinear<I>
where
    B: AutodiffBackend<InnerBackend = I> + Backend,
    I: Backend,
{
    type TrainModule = BoneLinear<B>;
}

impl<B: Backend> ModuleDisplayDefault for BoneLinear<B> {
    fn content(&self, content: Content) -> Option<Content> {
        let [d_input, d_output] = self.dims();
        let content = content
            .add("d_input", &d_input)
            .add("d_output", &d_output)
            .add("bias", &self.bias.is_some());
        match &self.adapter {
            None => content.optional(),
            Some(adapter) => content
                .add("adapter", &adapter.variant().name().to_string())
                .add("rank", &adapter.rank())
                .optional(),
        }
    }
}

impl<B: Backend> ModuleDisplay for BoneLinear<B> {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new()
            .with_new_line_after_attribute(false)
            .optional()
    }
}
