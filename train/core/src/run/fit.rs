//! Checks that a run fits the memory and the model, from shapes alone.

use super::RunError;
use crate::config::{DtypeChoice, MethodName, TrainConfig, joined};
use crate::device::precision::{self, Precision};
use crate::device::{self, Device, Kind};
use crate::memory::{Estimate, MemoryLimit, RunShape, available_memory, keep_freed_memory};
use crate::models::ModelInfo;
use crate::step::Savings;
use bone::kernels::Kernel;
use bone::{AdapterConfig, AttachError, LayerError};
use bone_lm::Part;

/// Device, precision and memory of a run, derived from the model's shapes.
pub struct Fit {
    /// Device of the run.
    pub device: Device,
    /// Why this device was chosen.
    pub device_reason: String,
    /// Precision of the base weights.
    pub precision: Precision,
    /// Enabled memory savings.
    pub savings: Savings,
    /// Estimated memory.
    pub estimate: Estimate,
    /// Available memory, if known.
    pub limit: Option<MemoryLimit>,
}

impl Fit {
    /// Chooses the device, the precision and the head's chunk size. Checks that the run fits the memory.
    ///
    /// # Errors
    ///
    /// The device, the precision or the method is not available, or the memory is too small.
    pub fn of(config: &TrainConfig, info: &ModelInfo) -> Result<Self, RunError> {
        let (device, device_reason) = device::choose(&config.device)?;
        let kind = device.name.kind;
        let precision = precision::choose(dtype(config)?, info, device.name)?;
        let head_chunk = config.head_chunk_for(info.shape.vocab_size);
        let estimate = estimate(config, info, &precision, head_chunk, kind)?;
        let limit = limit(&device);
        if let Some(limit) = limit {
            estimate.check(limit)?;
        }
        if kind == Kind::Cpu && !config.recompute {
            keep_freed_memory();
        }
        Ok(Self {
            device,
            device_reason,
            precision,
            savings: Savings {
                recompute: config.recompute,
                head_chunk: config.chunked_head.then_some(head_chunk),
            },
            estimate,
            limit,
        })
    }
}

/// Returns the precision of the base. Trained weights are f32, whatever the file holds.
fn dtype(config: &TrainConfig) -> Result<DtypeChoice, RunError> {
    match (config.method, config.dtype) {
        (MethodName::Full, DtypeChoice::Bf16 | DtypeChoice::F16) => Err(RunError::Usage(
            "--dtype: method full trains the base weights, which requires f32; remove dtype".into(),
        )),
        (MethodName::Full, _) => Ok(DtypeChoice::F32),
        (_, choice) => Ok(choice),
    }
}

/// Returns the memory that a run on the device can use, if known.
fn limit(device: &Device) -> Option<MemoryLimit> {
    if device.name.kind.on_processor() || device.software {
        return Some(available_memory());
    }
    device.memory.map(|bytes| MemoryLimit {
        bytes,
        source: "the device",
    })
}

/// Estimates the memory of a run whose head processes `chunk` tokens at a time.
fn estimate(
    config: &TrainConfig,
    info: &ModelInfo,
    precision: &Precision,
    chunk: usize,
    kind: Kind,
) -> Result<Estimate, RunError> {
    let trains_base = config.method == MethodName::Full;
    let trainable_parameters = if trains_base {
        info.shape.parameters
    } else if let Some(adapter) = config.adapter_config() {
        let parts = part_parameters(config.parts(), info)?;
        adapter_parameters(&adapter, &info.linear_layers)? + parts
    } else if info.states.is_empty() {
        return Err(no_state());
    } else {
        let states = info.states.iter();
        states
            .map(|(_, info)| info.shape.iter().product::<usize>())
            .sum()
    };
    Ok(Estimate::new(
        &info.shape,
        &RunShape {
            trainable_parameters,
            trains_base,
            base_bytes_per_parameter: precision.bytes,
            half_precision: precision.half,
            batch_size: config.batch_size,
            max_seq_len: config.max_seq_len,
            chunk_ctx: config.chunk_ctx,
            recompute: config.recompute,
            chunked_head: config.chunked_head,
            head_chunk: chunk,
            tiles: match kind {
                Kind::Cpu => true,
                Kind::NdArray => false,
                _ => Kernel::Attention.is_on(),
            },
            casts: kind != Kind::Cpu,
        },
    ))
}

pub(super) fn no_state() -> RunError {
    RunError::Usage(
        "--method: state trains the initial state of a recurrent model (RWKV6), but this model has none; \
         choose another method"
            .into(),
    )
}

/// Returns the number of parameters in the parts that train in full.
fn part_parameters(parts: &[Part], info: &ModelInfo) -> Result<usize, RunError> {
    let missing = |part: &&Part| !info.parts.contains_key(part);
    let missing: Vec<_> = parts.iter().filter(missing).copied().collect();
    if missing.is_empty() {
        return Ok(parts.iter().filter_map(|part| info.parts.get(part)).sum());
    }
    let tied = if missing.contains(&Part::Head) && info.parts.contains_key(&Part::Embedding) {
        "; this model uses its embedding as its head (tied): use emb instead of head"
    } else {
        ""
    };
    Err(RunError::Usage(format!(
        "--train-parts: {} has no {}; it has {}{tied}",
        info.architecture.name(),
        joined(missing.into_iter()),
        joined(info.parts.keys().copied())
    )))
}

/// Returns the number of adapter parameters for the layers (path, inputs, outputs) that a model reports. An
/// adapter that does not fit is rejected before the weights are read.
fn adapter_parameters(
    adapter: &AdapterConfig,
    layers: &[(String, usize, usize)],
) -> Result<usize, AttachError> {
    let paths: Vec<_> = layers.iter().map(|(path, ..)| path.clone()).collect();
    let chosen = adapter.targets.resolve(&paths)?;
    let mut sum = 0;
    let mut problems = Vec::new();
    let chosen = layers.iter().filter(|(path, ..)| chosen.contains(path));
    for (module, d_input, d_output) in chosen.cloned() {
        match adapter.variant.check(adapter.rank, d_input, d_output) {
            Ok(()) => sum += adapter.variant.num_params(adapter.rank, d_input, d_output),
            Err(reason) => problems.push(LayerError {
                module,
                d_input,
                d_output,
                reason,
            }),
        }
    }
    if problems.is_empty() {
        Ok(sum)
    } else {
        Err(AttachError::Layers(problems))
    }
}
