//! Settings of the GPU runtime, made before it is first used.

use super::{Device, all_devices};
use burn_cubecl::cubecl::config::autotune::AutotuneLevel;
use burn_cubecl::cubecl::config::cache::CacheConfig;
use burn_cubecl::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
use std::sync::Once;

/// Whether the folder or one above it has a file of the runtime's settings.
fn has_file() -> bool {
    let Ok(folder) = std::env::current_dir() else {
        return false;
    };
    let names = ["cubecl.toml", "CubeCL.toml"];
    let mut above = folder.ancestors();
    above.any(|folder| names.iter().any(|name| folder.join(name).is_file()))
}

/// Keeps what autotuning found in the user's cache folder, from where later runs read it, and lets
/// it try little where every device is emulated and a try takes seconds. A `cubecl.toml` in the
/// folder and `CUBECL_AUTOTUNE_LEVEL` are heeded.
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
        // A program that uses this as a library may have settings of its own.
        if current.is_none() {
            *current = Some(config.into());
        }
    });
}
