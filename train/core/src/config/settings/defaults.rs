//! Defaults that depend on other settings or on the model, each with its reason.

use super::RawConfig;
use crate::config::words::{AxisWord, MethodName};
use crate::models::{Architecture, recognise};
use bone::BlockAxis;

/// Block size of the experiments in the original Bone paper.
pub(super) const RANK: usize = 64;

pub(super) fn learning_rate(raw: &RawConfig) -> (f64, &'static str) {
    match raw.method.unwrap_or_default() {
        MethodName::State => (1e-2, "as in RWKV's state tuning; a state starts at zero"),
        MethodName::Full => (
            1e-5,
            "half the rate of adapters, because every weight is trained",
        ),
        _ => (2e-5, "from the Bone paper"),
    }
}

/// Returns the block axis of the architecture's published Bone implementation. If the model cannot be read,
/// returns the output axis; loading the model reports the error.
pub(super) fn block_axis(raw: &RawConfig) -> (AxisWord, &'static str) {
    let is_bone = raw.method.unwrap_or_default() == MethodName::Bone;
    let model = raw.model.as_deref().filter(|_| is_bone);
    let known = model.and_then(|path| recognise(path).ok());
    match known.map(|known| Architecture::block_axis(known.architecture)) {
        Some(BlockAxis::Input) => (AxisWord::Input, "as in the RWKV6 code of the Bone paper"),
        _ => (AxisWord::Output, "as in the LLaMA2 code of the Bone paper"),
    }
}

pub(super) fn alpha(raw: &RawConfig) -> (f64, &'static str) {
    (raw.rank.unwrap_or(RANK).max(1) as f64, "the rank")
}
