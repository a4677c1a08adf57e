use super::config::{Layout, from_json};
use super::{CONFIG_FILE, OLD_TENSOR_FILE, TENSOR_FILE};
use crate::FileError;
use crate::error::io;
use crate::saved::{self, Scan, lies_in};
use bone_files::{Checkpoint, Problem, read_small};
use std::path::Path;

/// Longest configuration read. PEFT's are about 1 kB, and list every module in the worst case.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// Scans the folder `dir`. [`Scan::finish`] returns its adapter, [`Scan::put_on`] puts it on a
/// module.
///
/// See the [example](crate::peft).
///
/// # Errors
///
/// [`FileError`] if the configuration is not known, with all its problems, or if the tensor file is
/// broken. The scan reports problems of single tensors later.
pub fn scan(dir: &Path) -> Result<Scan, FileError> {
    let settings = dir.join(CONFIG_FILE);
    let format = |reason| FileError::Format {
        path: settings.clone(),
        reason,
    };
    // A link could point to any file that the user can read.
    let real = match bone_files::resolve(dir, CONFIG_FILE).map_err(io(&settings))? {
        Ok(real) => real,
        Err(Problem::Missing) => return Err(io(&settings)(std::io::ErrorKind::NotFound.into())),
        Err(problem) => return Err(format(problem.to_string())),
    };
    let bytes = read_small(&real, MAX_CONFIG_BYTES).map_err(io(&settings))?;
    let bytes = bytes.ok_or_else(|| io(&settings)(std::io::ErrorKind::NotFound.into()))?;
    let text = String::from_utf8(bytes).map_err(|_| format("not UTF-8".into()))?;
    let layout = from_json(&text).map_err(format)?;
    let file = open(dir)?;
    Ok(match layout {
        Layout::States => Scan::new(saved::Layout::states(settings), &file)?,
        Layout::Adapter {
            config,
            naming,
            modules,
            parameters,
        } => {
            let unknown = format!(
                "{} tensors are named {}, but {CONFIG_FILE} lists no such module or parameter; correct \
                 it, or save the adapter again",
                config.variant.name(),
                naming.pattern()
            );
            let listed = modules.clone();
            let is_full = |name: &str| {
                parameters.iter().any(|parameter| parameter == name)
                    || listed.iter().any(|entry| lies_in(name, entry))
            };
            let layout = saved::Layout {
                settings,
                config: Some(config),
                naming,
                modules,
                is_full: &is_full,
                is_flat: false,
                unknown,
            };
            let mut scan = Scan::new(layout, &file)?;
            for name in &parameters {
                scan.require_full(name);
            }
            scan
        }
    })
}

/// Opens the tensor file of a folder.
///
/// The documentation of [`bone_files`] has an example of a checkpoint.
///
/// # Errors
///
/// The file is missing or broken.
pub fn open(dir: &Path) -> Result<Checkpoint, FileError> {
    let new = dir.join(TENSOR_FILE);
    let name = match new.symlink_metadata() {
        Err(_) if dir.join(OLD_TENSOR_FILE).is_file() => OLD_TENSOR_FILE,
        Err(error) => return Err(io(&new)(error)),
        Ok(_) => TENSOR_FILE,
    };
    Checkpoint::open_in(dir, name).map_err(|error| FileError::Format {
        path: dir.join(name),
        reason: error.reason(),
    })
}
