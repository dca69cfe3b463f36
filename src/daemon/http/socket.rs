//! Opening the socket: a stale one is replaced, a live one refused.

use std::fs::Permissions;
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;

use crate::daemon::DaemonError;

/// Only the owner may connect, …
const SOCKET_MODE: u32 = 0o600;
/// … or also the members of `socket_group`.
const SOCKET_MODE_GROUP: u32 = 0o660;
/// Longest path of a socket, in bytes; the system's own bound.
const PATH_BYTES_MAX: usize = 107;
/// Where groups of this machine stand.
const GROUPS: &str = "/etc/group";
/// The number by which the operating system is told to leave a file's group as it is.
const NO_GROUP: u32 = u32::MAX;
/// A socket that was deleted and made again is told of for so many looks: half an hour.
const TOLD_LOOKS: u32 = 600;

/// Refuses a path where somebody listens, where something else is, or where nothing can be.
pub async fn check_socket(path: &Path) -> Result<(), DaemonError> {
    let refused = |why: String| DaemonError::Socket {
        path: path.to_owned(),
        why,
    };
    // It is bound under a longer name at first.
    let bytes = unready_path(path).as_os_str().len();
    if bytes > PATH_BYTES_MAX {
        let most = PATH_BYTES_MAX - (bytes - path.as_os_str().len());
        let why =
            format!("a socket's path has at most {most} bytes; set `socket` to a shorter one");
        return Err(refused(why));
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(|error| {
            refused(format!("its folder cannot be made: {error}; set `socket`"))
        })?;
    }
    let Ok(found) = std::fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        let why = "there is something that is not a socket; remove it, or set `socket`";
        return Err(refused(why.to_owned()));
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(DaemonError::SocketTaken {
            path: path.to_owned(),
        }),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(refused(error.to_string())),
    }
}

/// Binds the socket at `path`, replacing a stale one; [`check_socket`] comes first. Nobody but the
/// owner, and the group if one is given, may open it, from its first moment on.
pub fn bind_socket(path: &Path, group: Option<u32>) -> Result<UnixListener, DaemonError> {
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
    let opened = open_to(&unready, group).and_then(|()| std::fs::rename(&unready, path));
    opened.map_err(|error| {
        let _ = std::fs::remove_file(&unready);
        failed(error)
    })?;
    Ok(listener)
}

/// Says who may open a socket.
fn open_to(path: &Path, group: Option<u32>) -> std::io::Result<()> {
    let set = |mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
    set(SOCKET_MODE)?;
    let Some(group) = group else { return Ok(()) };
    chown(path, None, Some(group)).map_err(|error| {
        let why = format!(
            "it cannot be given to group {group} (`socket_group`), which the daemon's user must be in: {error}"
        );
        std::io::Error::new(error.kind(), why)
    })?;
    set(SOCKET_MODE_GROUP)
}

/// The number of a group of this machine, given by its number or its name; never -1, which no group has.
pub fn group_number(group: &str) -> Option<u32> {
    let groups = std::fs::read_to_string(GROUPS).unwrap_or_default();
    let number = group.parse().ok().or_else(|| listed(&groups, group));
    number.filter(|number| *number != NO_GROUP)
}

/// `name:password:gid:…` a line.
fn listed(groups: &str, name: &str) -> Option<u32> {
    let mut lines = groups.lines().map(|line| line.split(':'));
    let mut found = lines.find(|fields| fields.clone().next() == Some(name))?;
    found.nth(2)?.parse().ok()
}

/// The file by which a listening socket is reached. Connections go on without it, but nobody new comes in.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    group: Option<u32>,
    /// Device and inode of our socket, once it is known.
    ours: Option<(u64, u64)>,
    /// What consoles are told of it; empty when all is well.
    told: watch::Sender<String>,
    /// Looks until it is no longer told that it was made again.
    looks_left: u32,
}

impl SocketFile {
    /// Of a socket that was just bound at `path`; what is wrong with it later goes to `told`.
    pub fn of(path: &Path, group: Option<u32>, told: watch::Sender<String>) -> Self {
        Self {
            path: path.to_owned(),
            group,
            ours: identity(path).ok(),
            told,
            looks_left: 0,
        }
    }

    /// Looks whether the file is there and ours. One that was deleted is made again, with a new socket to
    /// listen on; what somebody else put in its place is left alone and told.
    pub fn look(&mut self) -> Option<UnixListener> {
        match identity(&self.path) {
            Ok(found) if Some(found) == self.ours => {
                self.looks_left = self.looks_left.saturating_sub(1);
                if self.looks_left == 0 {
                    self.told
                        .send_if_modified(|told| !std::mem::take(told).is_empty());
                }
                None
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                match bind_socket(&self.path, self.group) {
                    Ok(listener) => {
                        self.ours = identity(&self.path).ok();
                        self.looks_left = TOLD_LOOKS;
                        let path = self.path.display();
                        self.tell(format!(
                            "the socket was deleted and made again: no new client came in meanwhile ({path})"
                        ));
                        Some(listener)
                    }
                    Err(error) => {
                        self.shut(&format!(
                            "it was deleted, and cannot be made again: {error}"
                        ));
                        None
                    }
                }
            }
            Ok(_) => {
                self.shut("something else is in its place: remove that, and it is made again");
                None
            }
            Err(error) => {
                self.shut(&error.to_string());
                None
            }
        }
    }

    fn shut(&mut self, why: &str) {
        let path = self.path.display();
        self.tell(format!(
            "no new client comes in by the socket any more: {why} ({path})"
        ));
    }

    /// Says it to consoles, and to the log once.
    fn tell(&self, text: String) {
        self.told.send_if_modified(|told| {
            let is_news = *told != text;
            if is_news {
                tracing::error!("{text}");
                *told = text;
            }
            is_news
        });
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
        let first = bind_socket(&path, None).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, SOCKET_MODE);
        let second = check_socket(&path).await;
        assert!(matches!(second, Err(DaemonError::SocketTaken { .. })));
        drop(first);
        check_socket(&path).await.unwrap();
        bind_socket(&path, None).unwrap();
        let entries = std::fs::read_dir(dir.path().join("deep")).unwrap().count();
        assert_eq!(entries, 1, "nothing is left but the socket");
    }

    #[tokio::test]
    async fn a_deleted_socket_is_made_again_and_another_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        let _first = bind_socket(&path, None).unwrap();
        let (told, notice) = watch::channel(String::new());
        let mut file = SocketFile::of(&path, None, told);
        assert!(file.look().is_none(), "it is there");
        std::fs::remove_file(&path).unwrap();
        let _second = file.look().expect("a new one");
        UnixStream::connect(&path).await.unwrap();
        let shown = path.display();
        let again = format!(
            "the socket was deleted and made again: no new client came in meanwhile ({shown})"
        );
        assert_eq!(*notice.borrow(), again);
        for _ in 1..TOLD_LOOKS {
            assert!(file.look().is_none(), "it is there again");
        }
        assert_eq!(*notice.borrow(), again);
        assert!(file.look().is_none());
        assert_eq!(*notice.borrow(), "", "it is not told for ever");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "precious").unwrap();
        assert!(file.look().is_none());
        let shut = format!(
            "no new client comes in by the socket any more: something else is in its place: remove that, and it is made again ({shown})"
        );
        assert_eq!(*notice.borrow(), shut);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
        std::fs::remove_file(&path).unwrap();
        assert!(file.look().is_some());
        assert_eq!(*notice.borrow(), again);
    }

    #[test]
    fn groups_are_found_by_name() {
        let groups = "root:x:0:\noncall:x:1007:mia,ole\nodd\nbad:x:many:\n";
        let found = ["oncall", "root", "odd", "bad", "mia", ""].map(|name| listed(groups, name));
        assert_eq!(found, [Some(1_007), Some(0), None, None, None, None]);
        assert_eq!(group_number("4242"), Some(4_242));
        assert_eq!(group_number("4294967295"), None);
    }

    #[tokio::test]
    async fn the_members_of_a_group_may_open_it_and_nobody_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s.sock");
        // The group that everything of ours has anyway.
        let own = std::fs::metadata(dir.path()).unwrap().gid();
        let _listener = bind_socket(&path, Some(own)).unwrap();
        let made = std::fs::metadata(&path).unwrap();
        assert_eq!(
            (made.gid(), made.permissions().mode() & 0o777),
            (own, 0o660)
        );
    }

    #[tokio::test]
    async fn paths_where_no_socket_can_be_are_refused_with_the_setting() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let cases = [
            ("x".repeat(120), "bytes; set `socket` to a shorter one"),
            ("file/s.sock".to_owned(), "its folder cannot be made: "),
        ];
        for (name, why) in cases {
            let refused = check_socket(&dir.path().join(&name)).await.unwrap_err();
            assert!(refused.to_string().contains(why), "{refused}");
        }
        // As long as may be.
        let room = PATH_BYTES_MAX - unready_path(&dir.path().join("")).as_os_str().len();
        let path = dir.path().join("x".repeat(room));
        check_socket(&path).await.unwrap();
        bind_socket(&path, None).unwrap();
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
