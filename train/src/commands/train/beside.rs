//! A file that lies beside its name until everything else is ready.

use crate::commands::CommandError;
use bone_lm::checkpoint::sync_folder;
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;
use tempfile::TempPath;

/// A file that is written and on the disk, but has not its name yet. Dropped, it leaves nothing.
pub(super) struct Beside {
    partial: TempPath,
    path: PathBuf,
}

impl Beside {
    pub(super) fn write(path: PathBuf, bytes: &[u8]) -> Result<Self, CommandError> {
        let partial = path.with_extension("partial");
        let mut file = File::create(&partial).map_err(CommandError::io(&partial))?;
        let partial = TempPath::try_from_path(partial).map_err(CommandError::io(&path))?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        written.map_err(CommandError::io(&partial))?;
        Ok(Self { partial, path })
    }

    /// Gives it its name, in place of what has it.
    pub(super) fn take_place(self) -> Result<(), CommandError> {
        let Self { partial, path } = self;
        let persisted = partial.persist(&path).map_err(|error| error.error);
        let named = persisted.and_then(|()| path.parent().map_or(Ok(()), sync_folder));
        named.map_err(CommandError::io(&path))
    }
}
