//! Defaults that depend on other settings or on the model, each with its reason.

use super::RawConfig;
use crate::config::words::{AxisWord, MethodName};
use crate::models::{Architecture, recognise};
use bone::BlockAxis;

/// Block size of the experiments in the original Bone paper.
pub(super) const RANK: usize = 64;

pub(super) fn learning_rate(raw: &RawConfig) -> (f64, &'static str) {
    match raw.method.unwrap_or_default() {
        MethodName::State => (
            1e-2,
            "where RWKV's state tuning ends, which starts at 1; a state is small, begins at zero \
             and moves alone",
        ),
        MethodName::Full => (1e-5, "half of the adapters' rate, as every weight moves"),
        _ => (2e-5, "the seed paper's protocol"),
    }
}

/// Returns the block axis of the architecture's published Bone implementation. If the model cannot be read,
/// returns the output axis; loading the model reports the error.
pub(super) fn block_axis(raw: &RawConfig) -> (AxisWord, &'static str) {
    let is_bone = raw.method.unwrap_or_default() == MethodName::Bone;
    let model = raw.model.as_deref().filter(|_| is_bone);
    let known = model.and_then(|path| recognise(path).ok());
    match known.map(|known| Architecture::block_axis(known.architecture)) {
        Some(BlockAxis::Input) => (AxisWord::Input, "as the seed's RWKV6 code has it"),
        _ => (AxisWord::Output, "as the seed's LLaMA2 code has it"),
    }
}

pub(super) fn alpha(raw: &RawConfig) -> (f64, &'static str) {
    (raw.rank.unwrap_or(RANK).max(1) as f64, "the rank")
}
