//! Opening the socket: a stale one is replaced, a live one refused.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
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
    async fn what_is_not_a_socket_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        std::fs::write(&path, "precious").unwrap();
        let refused = check_socket(&path).await;
        assert!(matches!(refused, Err(DaemonError::Socket { .. })));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}
