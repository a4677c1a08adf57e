use crate::{AdapterConfig, AttachError, Backend, BlockAxis, BoneLinear, Variant};
use crate::{map_linears, visit_linears};
use burn::module::Module;
use std::collections::HashSet;

/// Puts zero adapters on the layers that `config.targets` selects. The module's output does not
/// change until they are trained. Nothing is frozen: see [`freeze_base`](crate::freeze_base), which
/// belongs after burn's `train()` where a module is made on a backend without autodiff.
///
/// # Errors
///
/// [`AttachError`] lists every pattern that selects nothing, or every layer the adapter does not
/// fit.
pub fn attach<B: Backend, M: Module<B>>(
    module: M,
    config: &AdapterConfig,
) -> Result<M, AttachError> {
    check_settings(config)?;
    let mut paths = Vec::new();
    visit_linears::<B, M>(&module, |path, _| paths.push(path.to_string()));
    let chosen: HashSet<_> = config.targets.resolve(&paths)?.into_iter().collect();

    let mut problems = Vec::new();
    visit_linears::<B, M>(&module, |path, layer| {
        if chosen.contains(path)
            && let Err(error) = layer.check(config, path)
        {
            problems.push(error);
        }
    });
    if !problems.is_empty() {
        return Err(AttachError::Layers(problems));
    }
    let config = config.clone();
    Ok(map_linears(module, move |path, layer: BoneLinear<B>| {
        if !chosen.contains(path) {
            return layer;
        }
        // Checked above; a layer that refused all the same would stay as it was.
        layer.clone().attach(&config, path).unwrap_or(layer)
    }))
}

/// Takes every adapter off. What is merged stays in the weights.
pub fn detach<B: Backend, M: Module<B>>(module: M) -> M {
    map_linears(module, |_, layer: BoneLinear<B>| layer.detach())
}

fn check_settings(config: &AdapterConfig) -> Result<(), AttachError> {
    if !(0.0..1.0).contains(&config.dropout) {
        return Err(AttachError::Setting(format!(
            "dropout is {}, it must be at least 0 and below 1",
            config.dropout
        )));
    }
    if config.dropout > 0.0
        && let Variant::Bone(BlockAxis::Output | BlockAxis::Input) = config.variant
    {
        return Err(AttachError::Setting(format!(
            "{} has no dropout; set it to 0 or use miss",
            config.variant.name()
        )));
    }
    Ok(())
}
