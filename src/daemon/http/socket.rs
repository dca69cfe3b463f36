//! Opening the socket: a stale one is replaced, a live one refused.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};

use crate::daemon::DaemonError;

/// Only the owner may connect.
const SOCKET_MODE: u32 = 0o600;

/// Refuses a path where somebody listens, or where something else is.
pub async fn check_socket(path: &Path) -> Result<(), DaemonError> {
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        return Err(DaemonError::Socket {
            path: path.to_owned(),
            why: "there is something that is not a socket; remove it, or set `socket`".to_owned(),
        });
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(DaemonError::SocketTaken {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(DaemonError::Socket {
            path: path.to_owned(),
            why: error.to_string(),
        }),
    }
}

/// Binds the socket at `path`, replacing a stale one; [`check_socket`] comes first. Nobody but the
/// owner may open it, from its first moment on.
pub fn bind_socket(path: &Path) -> Result<UnixListener, DaemonError> {
    let failed = |error: std::io::Error| DaemonError::Socket {
        path: path.to_owned(),
        why: error.to_string(),
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    // Bound under another name, closed to others and then moved, so that nobody can connect between.
    let unready = unready_path(path);
    let _ = std::fs::remove_file(&unready);
    let listener = UnixListener::bind(&unready).map_err(failed)?;
    std::fs::set_permissions(&unready, Permissions::from_mode(SOCKET_MODE))
        .and_then(|()| std::fs::rename(&unready, path))
        .map_err(failed)?;
    Ok(listener)
}

/// The file by which a listening socket is reached. Connections go on without it, but nobody new comes in.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode of our socket, once it is known.
    ours: Option<(u64, u64)>,
    /// That something is wrong was told; once is enough.
    is_told: bool,
}

impl SocketFile {
    /// Of a socket that was just bound at `path`.
    pub fn of(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            ours: identity(path).ok(),
            is_told: false,
        }
    }

    /// Looks whether the file is there and ours. One that was deleted is made again, with a new socket to
    /// listen on; what somebody else put in its place is left alone and told.
    pub fn look(&mut self) -> Option<UnixListener> {
        let path = self.path.display();
        match identity(&self.path) {
            Ok(found) if Some(found) == self.ours => {
                self.is_told = false;
                None
            }
            Err(error) if error.kind() == ErrorKind::NotFound => match bind_socket(&self.path) {
                Ok(listener) => {
                    tracing::warn!("the socket {path} was deleted; it is there again");
                    *self = Self::of(&self.path);
                    Some(listener)
                }
                Err(error) => {
                    self.tell(&format!(
                        "it was deleted, and cannot be made again: {error}"
                    ));
                    None
                }
            },
            Ok(_) => {
                self.tell("something else is in its place: remove that, and it is made again");
                None
            }
            Err(error) => {
                self.tell(&error.to_string());
                None
            }
        }
    }

    fn tell(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_told, true) {
            let path = self.path.display();
            tracing::error!("no client reaches the socket {path} any more: {why}");
        }
    }
}

fn identity(path: &Path) -> std::io::Result<(u64, u64)> {
    let found = std::fs::symlink_metadata(path)?;
    Ok((found.dev(), found.ino()))
}

fn unready_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/s.sock");
        check_socket(&path).await.unwrap();
        let first = bind_socket(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        let second = check_socket(&path).await;
        assert!(matches!(second, Err(DaemonError::SocketTaken { .. })));
        drop(first);
        check_socket(&path).await.unwrap();
        bind_socket(&path).unwrap();
        let entries = std::fs::read_dir(dir.path().join("deep")).unwrap().count();
        assert_eq!(entries, 1, "nothing is left but the socket");
    }

    #[tokio::test]
    async fn a_deleted_socket_is_made_again_and_another_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let _first = bind_socket(&path).unwrap();
        let mut file = SocketFile::of(&path);
        assert!(file.look().is_none(), "it is there");
        std::fs::remove_file(&path).unwrap();
        let _second = file.look().expect("a new one");
        UnixStream::connect(&path).await.unwrap();
        assert!(file.look().is_none(), "it is there again");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(file.look().is_none() && file.is_told);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
        assert!(file.look().is_some());
    }

    #[tokio::test]
    async fn what_is_not_a_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        std::fs::write(&path, "precious").unwrap();
        let refused = check_socket(&path).await;
        assert!(matches!(refused, Err(DaemonError::Socket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
