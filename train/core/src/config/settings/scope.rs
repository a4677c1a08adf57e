//! Which settings apply, depending on the others.

use super::TrainConfig;
use crate::config::words::{AxisWord, MethodName};
use bone_data::{Holdout, Kind};

/// Whether a setting applies, given the others.
pub(in crate::config) enum Scope {
    /// It applies.
    Applies,
    /// It has no effect but is accepted.
    Idle,
    /// It is an error; the reason.
    Wrong(String),
}

use MethodName::{Bone, Full, Lora, Miss, MissMini, Olora, Pissa, State};
use Scope::{Applies, Idle, Wrong};

fn wrong_if(is_wrong: bool, why: impl Into<String>) -> Scope {
    if is_wrong { Wrong(why.into()) } else { Applies }
}

fn only(config: &TrainConfig, of: &[MethodName]) -> Scope {
    let method = config.method;
    let names: Vec<_> = of.iter().map(ToString::to_string).collect();
    let names = names.join(", ");
    wrong_if(
        !of.contains(&method),
        format!("has no effect with method {method}, only with {names}; remove it"),
    )
}

pub(in crate::config) fn adapters(config: &TrainConfig) -> Scope {
    only(config, &[Bone, Miss, MissMini, Lora, Pissa, Olora])
}

pub(in crate::config) fn bone(config: &TrainConfig) -> Scope {
    match (config.block_axis, &config.adapter) {
        // `none` says that the adapter file, which does not record its method, is miss.
        (AxisWord::None, Some(_)) => Idle,
        (AxisWord::None, None) if config.method == Bone => Wrong(
            "must be output or input for a new bone adapter; \"none\" is only for an existing miss adapter"
                .to_owned(),
        ),
        _ => only(config, &[Bone]),
    }
}

pub(in crate::config) fn miss_mini(config: &TrainConfig) -> Scope {
    only(config, &[MissMini])
}

pub(in crate::config) fn loras(config: &TrainConfig) -> Scope {
    only(config, &[Lora, Pissa, Olora])
}

pub(in crate::config) fn pissa(config: &TrainConfig) -> Scope {
    only(config, &[Pissa])
}

pub(in crate::config) fn dropout(config: &TrainConfig) -> Scope {
    if config.method == Bone && config.dropout == 0.0 {
        return Idle;
    }
    only(config, &[Miss, MissMini, Lora, Pissa, Olora])
}

pub(in crate::config) fn adapter(config: &TrainConfig) -> Scope {
    if config.method == Full { Idle } else { Applies }
}

pub(in crate::config) fn packing(config: &TrainConfig) -> Scope {
    wrong_if(
        config.packing && config.method == State,
        "is not supported with method state: only the first sample of a packed row would use the trained \
         state; remove it",
    )
}

pub(in crate::config) fn chunk_ctx(config: &TrainConfig) -> Scope {
    let (chunk, longest) = (config.chunk_ctx.unwrap_or(0), config.max_seq_len);
    wrong_if(
        (2..=chunk).contains(&longest),
        format!(
            "must be less than max_seq_len {longest}, not {chunk}; reduce it, raise max_seq_len, or remove \
             it"
        ),
    )
}

fn data(config: &TrainConfig, kind: Kind) -> Scope {
    match config.data.0.first() {
        Some(source) if !config.data.any(kind) => {
            let path = &source.selection.path;
            let (path, is) = (path.display(), Kind::of(path));
            Wrong(format!(
                "has no effect with {path}, which is {is}; remove it"
            ))
        }
        _ => Applies,
    }
}

pub(in crate::config) fn rows(config: &TrainConfig) -> Scope {
    data(config, Kind::Rows)
}

pub(in crate::config) fn binidx(config: &TrainConfig) -> Scope {
    data(config, Kind::Binidx)
}

pub(in crate::config) fn schema(config: &TrainConfig) -> Scope {
    match rows(config) {
        Applies => wrong_if(
            config.field_map.is_some(),
            "excludes field_map; remove one of them",
        ),
        scope => scope,
    }
}

pub(in crate::config) fn warmup_steps(config: &TrainConfig) -> Scope {
    if config.warmup_ratio.is_some() {
        return Wrong("excludes warmup_ratio; remove one of them".to_owned());
    }
    // A max_steps of 0 is reported separately.
    let most = config.max_steps.filter(|most| *most > 0);
    let checked = most.map_or(Ok(()), |most| config.check_warmup(most));
    checked.map_or_else(Wrong, |()| Applies)
}

pub(in crate::config) fn evaluations(config: &TrainConfig) -> Scope {
    wrong_if(
        config.validation == Holdout::Count(0),
        "has no effect with validation 0; remove it, or hold out some samples",
    )
}

pub(in crate::config) fn chunked_head(config: &TrainConfig) -> Scope {
    wrong_if(
        !config.chunked_head,
        "has no effect with chunked_head false; remove one of them",
    )
}
