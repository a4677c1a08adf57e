//! Settings of the GPU runtime. They must be set before its first use.

use super::{Device, all_devices};
use burn_cubecl::cubecl::config::autotune::AutotuneLevel;
use burn_cubecl::cubecl::config::cache::CacheConfig;
use burn_cubecl::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use std::sync::Once;

/// Returns whether the folder or a parent folder has a settings file of the runtime.
fn has_file() -> bool {
    let Ok(folder) = std::env::current_dir() else {
        return false;
    };
    let names = ["cubecl.toml", "CubeCL.toml"];
    let mut above = folder.ancestors();
    above.any(|folder| names.iter().any(|name| folder.join(name).is_file()))
}

/// Stores autotuning results in the user's cache folder for later runs. Limits autotuning where every
/// device is emulated, because each trial takes seconds there. A `cubecl.toml` in the folder and
/// `CUBECL_AUTOTUNE_LEVEL` take precedence.
pub(super) fn configure() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
        if let (CacheConfig::Target, Some(cache)) = (&config.autotune.cache, dirs::cache_dir()) {
            config.autotune.cache = CacheConfig::File(cache.join("bone"));
        }
        let emulated = |device: &Device| device.software || device.name.kind.on_processor();
        let asked = std::env::var_os("CUBECL_AUTOTUNE_LEVEL").is_some() || has_file();
        if !asked && all_devices().iter().all(emulated) {
            config.autotune.level = AutotuneLevel::Minimal;
        }
        let mut current = CubeClRuntimeConfig::storage().lock();
        // A program that uses this library may have its own settings.
        if current.is_none() {
            *current = Some(config.into());
        }
    });
}
