//! Where things are when nobody says otherwise.

use std::path::{Path, PathBuf};

use directories::BaseDirs;

/// Name of the directory below the user's state directory.
const STATE_DIR: &str = "stormglass";
/// Name of the socket.
const SOCKET_FILE: &str = "stormglass.sock";

/// Where journal, database and recorder live by default; `None` for a user without a home.
pub fn default_data_dir() -> Option<PathBuf> {
    let dirs = BaseDirs::new()?;
    let state = dirs.state_dir().unwrap_or_else(|| dirs.data_local_dir());
    Some(state.join(STATE_DIR))
}

/// Where the API listens by default: in the runtime directory, or beside the data where there is none.
pub fn default_socket(data_dir: &Path) -> PathBuf {
    BaseDirs::new()
        .and_then(|dirs| dirs.runtime_dir().map(Path::to_owned))
        .unwrap_or_else(|| data_dir.to_owned())
        .join(SOCKET_FILE)
}
