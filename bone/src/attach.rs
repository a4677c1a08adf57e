use crate::{AdapterConfig, AttachError, Backend, BoneLinear};
use crate::{map_linears, try_map_linears, visit_linears};
use burn::module::Module;
use std::collections::HashSet;

/// Puts new adapters on the layers that `config.targets` selects.
///
/// The module's output does not change until the adapters are trained. This function freezes
/// nothing: call [`freeze_base`](crate::freeze_base). If the module is made on a backend without
/// autodiff, call it after burn's `train()`.
///
/// ```
/// # #[cfg(feature = "flex")] {
/// use bone::{AdapterConfig, BoneLinearConfig, Selection, Targets, Variant};
/// use burn::backend::Flex;
///
/// let base = vec![BoneLinearConfig::new(6, 4).init::<Flex>(&Default::default())];
/// let config = AdapterConfig::new(Variant::Miss, 2, Targets::new(Selection::AllLinear));
/// let module = bone::attach(base, &config)?;
/// assert!(module[0].adapter().is_some());
/// let module = bone::detach(module);
/// assert!(module[0].adapter().is_none());
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`AttachError`] lists every pattern that selects nothing, or every layer that the adapter does
/// not fit.
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
    try_map_linears(module, |path, layer: BoneLinear<B>| {
        if chosen.contains(path) {
            layer.attach(config, path)
        } else {
            Ok(layer)
        }
    })
    .map_err(AttachError::Layers)
}

/// Removes every adapter. Merged changes stay in the weights.
///
/// Example: [`attach`].
pub fn detach<B: Backend, M: Module<B>>(module: M) -> M {
    map_linears(module, |_, layer: BoneLinear<B>| layer.detach())
}

fn check_settings(config: &AdapterConfig) -> Result<(), AttachError> {
    if !(0.0..1.0).contains(&config.dropout) {
        return Err(AttachError::Setting(format!(
            "dropout must be at least 0 and less than 1, not {}",
            config.dropout
        )));
    }
    if config.dropout > 0.0 && !config.variant.has_dropout() {
        return Err(AttachError::Setting(format!(
            "{} does not support dropout; set it to 0 or use miss",
            config.variant.name()
        )));
    }
    let settings = config.variant.method().check_settings();
    settings.map_err(AttachError::Setting)
}
