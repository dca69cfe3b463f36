//! A folder of one run: for a socket and data nobody needs afterwards.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use super::output::Failure;

/// A folder only this user can enter, removed with its content when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    /// Makes one in the system's temporary folder; `what` is in its name.
    pub fn new(what: &str) -> Result<Self, Failure> {
        let name = format!("stormglass-{what}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::new(format!("cannot create {}: {error}", path.display())))?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed is in the system's temporary folder, which is emptied anyway.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
