//! When a setting means something.

use super::TrainConfig;
use super::words::{AxisWord, MethodName};
use bone_data::{Holdout, Kind};

/// Whether a setting means something beside the others.
pub(super) enum Scope {
    /// It does.
    Applies,
    /// It does not, and does no harm where it is given.
    Idle,
    /// It must not be given: why.
    Wrong(String),
}

use MethodName::{Bone, Full, Lora, Miss, MissMini, Olora, Pissa, State};
use Scope::{Applies, Idle, Wrong};

/// `Wrong` unless it means something.
fn unless(applies: bool, why: impl Into<String>) -> Scope {
    if applies { Applies } else { Wrong(why.into()) }
}

fn only(config: &TrainConfig, of: &[MethodName]) -> Scope {
    let method = config.method;
    if of.contains(&method) {
        return Applies;
    }
    let names: Vec<_> = of.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    Wrong(if matches!(method, State | Full) {
        format!(
            "means nothing with method {method}, which has no adapters; leave it out, or choose \
             an adapter method"
        )
    } else if config.adapter.is_some() {
        format!(
            "means nothing with the adapter to go on from, which is {method}, only with {names}; \
             leave it out"
        )
    } else {
        format!("means nothing with method {method}, only with {names}; leave it out")
    })
}

pub(super) fn adapters(config: &TrainConfig) -> Scope {
    only(config, &[Bone, Miss, MissMini, Lora, Pissa, Olora])
}

pub(super) fn bone(config: &TrainConfig) -> Scope {
    // Of a file that does not say it, that it is miss.
    if config.adapter.is_some() && config.block_axis == AxisWord::None {
        return Idle;
    }
    only(config, &[Bone])
}

pub(super) fn miss_mini(config: &TrainConfig) -> Scope {
    only(config, &[MissMini])
}

pub(super) fn loras(config: &TrainConfig) -> Scope {
    only(config, &[Lora, Pissa, Olora])
}

pub(super) fn pissa(config: &TrainConfig) -> Scope {
    only(config, &[Pissa])
}

pub(super) fn dropout(config: &TrainConfig) -> Scope {
    match config.method {
        Bone if config.dropout == 0.0 => Idle,
        Bone => Wrong("bone has no dropout; leave it out, or choose miss or miss-mini".to_owned()),
        _ => adapters(config),
    }
}

pub(super) fn adapter(config: &TrainConfig) -> Scope {
    if config.method == Full { Idle } else { Applies }
}

pub(super) fn parts(config: &TrainConfig) -> Scope {
    let what = match config.method {
        Full => "every weight",
        State => "the initial state alone",
        _ => return Applies,
    };
    Wrong(format!(
        "means nothing with method {}, which trains {what}; leave it out, or choose an adapter \
         method",
        config.method
    ))
}

pub(super) fn packing(config: &TrainConfig) -> Scope {
    unless(
        !config.packing || config.method != State,
        "means nothing with method state: what trains is the state that a row starts from, and of \
         the samples packed into it only the first does; leave it out",
    )
}

fn data(config: &TrainConfig, kind: Kind) -> Scope {
    match config.data.0.first() {
        Some(source) if !config.data.any(kind) => {
            let path = &source.selection.path;
            let (path, is) = (path.display(), Kind::of(path));
            Wrong(format!(
                "means nothing with {path}, which is {is}; leave it out"
            ))
        }
        _ => Applies,
    }
}

pub(super) fn rows(config: &TrainConfig) -> Scope {
    data(config, Kind::Rows)
}

pub(super) fn binidx(config: &TrainConfig) -> Scope {
    data(config, Kind::Binidx)
}

pub(super) fn schema(config: &TrainConfig) -> Scope {
    match rows(config) {
        Applies if config.field_map.is_some() => Idle,
        scope => scope,
    }
}

pub(super) fn warmup_steps(config: &TrainConfig) -> Scope {
    if config.warmup_ratio.is_some() {
        Idle
    } else {
        Applies
    }
}

pub(super) fn evaluations(config: &TrainConfig) -> Scope {
    unless(
        config.validation != Holdout::Count(0),
        "means nothing with validation 0; leave it out, or hold something out",
    )
}

pub(super) fn chunked_head(config: &TrainConfig) -> Scope {
    unless(
        config.chunked_head,
        "means nothing with chunked_head false; leave one of them out",
    )
}
