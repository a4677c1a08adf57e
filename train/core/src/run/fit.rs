//! Whether a run fits the memory and the model, as far as shapes say it.

use super::RunError;
use crate::config::{MethodName, Parts, TrainConfig};
use crate::device::Precision;
use crate::device::{Device, Kind};
use crate::memory::{Estimate, MemoryLimit, MemorySource, RunShape, available_memory};
use crate::models::ModelInfo;
use bone::kernels::Kernel;
use bone::{AdapterConfig, AttachError, LayerError};
use bone_lm::Part;

/// The memory a run on the device can take, where it is known.
pub(super) fn limit(device: &Device) -> Option<MemoryLimit> {
    if device.name.kind.on_processor() || device.software {
        return Some(available_memory());
    }
    device.memory.map(|bytes| MemoryLimit {
        bytes,
        source: MemorySource::Device,
    })
}

/// Estimates the memory of a run, whose head works on chunks of `chunk` tokens.
pub(super) fn estimate(
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
    } else {
        info.state_parameters.ok_or_else(no_state)?
    };
    Ok(Estimate::new(
        &info.shape,
        &RunShape {
            trainable_parameters,
            trains_base,
            base_bytes_per_parameter: precision.bytes,
            half_precision: precision.half,
            base_mapped: precision.mapped,
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
    RunError::Usage("--method: state tuning needs a recurrent model: RWKV6".into())
}

/// Parameters of the parts that train whole.
fn part_parameters(parts: &[Part], info: &ModelInfo) -> Result<usize, RunError> {
    let missing = |part: &&Part| !info.parts.contains_key(part);
    let missing: Vec<_> = parts.iter().filter(missing).copied().collect();
    if missing.is_empty() {
        return Ok(parts.iter().filter_map(|part| info.parts.get(part)).sum());
    }
    let tied = if missing.contains(&Part::Head) && info.parts.contains_key(&Part::Embedding) {
        "; this model's embedding is its head as well (tied): name emb instead of head"
    } else {
        ""
    };
    Err(RunError::Usage(format!(
        "--train-parts: {} has no {}; it has {}{tied}",
        info.architecture.name(),
        Parts(missing),
        Parts(info.parts.keys().copied().collect())
    )))
}

/// Parameters of the adapters on the layers (path, inputs, outputs) that a model says it has: what
/// does not fit is known before the weights are read.
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
