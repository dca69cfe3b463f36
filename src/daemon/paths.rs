//! Where things are when nobody says otherwise.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use directories::BaseDirs;
use sha2::{Digest, Sha256};

/// Name of the directory below the user's state directory.
const STATE_DIR: &str = "stormglass";
/// Name of the socket.
const SOCKET_FILE: &str = "stormglass.sock";
/// Of a digest that tells daemons apart, in bytes: the few that somebody attaches to.
const HOME_BYTES: usize = 8;

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

/// What the runs of this daemon are known by after a restart: where it keeps what it keeps.
pub(super) fn realm(data_dir: Option<&Path>) -> String {
    let folder = data_dir.map(|folder| folder.canonicalize().unwrap_or_else(|_| folder.to_owned()));
    folder.map_or_else(String::new, |folder| folder.display().to_string())
}

/// What consoles know this daemon by: where it keeps what it keeps, on which machine, told to nobody in words.
pub(super) fn home(data_dir: Option<&Path>) -> String {
    let realm = realm(data_dir);
    if realm.is_empty() {
        return realm;
    }
    let machine = rustix::system::uname();
    let digest = Sha256::new()
        .chain_update(machine.nodename().to_bytes())
        .chain_update([0])
        .chain_update(realm)
        .finalize();
    let mut hex = String::with_capacity(2 * HOME_BYTES);
    for byte in digest.iter().take(HOME_BYTES) {
        write!(hex, "{byte:02x}").expect("a String takes any text");
    }
    hex
}

#[cfg(test)]
mod tests {
    use super::home;

    #[test]
    fn a_home_is_that_of_one_folder_by_whatever_way_it_is_reached() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
        for folder in [&one, &other] {
            std::fs::create_dir(folder).unwrap();
        }
        let around = one.join("../one");
        assert_eq!(home(Some(&one)), home(Some(&around)));
        assert_ne!(home(Some(&one)), home(Some(&other)));
        assert_eq!(home(None), "");
        let name = home(Some(&one));
        assert!(name.len() == 16 && !name.contains('/'), "{name}");
    }
}
