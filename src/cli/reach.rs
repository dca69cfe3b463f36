//! Which of the `[[operators]]` can reach the daemon at all: one whom nothing lets in is a mistake in the
//! settings that shows when they are needed.
//!
//! It only looks, at settings, `/etc/passwd` and folders; what the operating system decides in the end may differ.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::place::Place;
use crate::config::{Config, OperatorConfig};

/// Where names of users stand.
const PASSWD: &str = "/etc/passwd";
/// Whoever runs as root reaches everything.
const ROOT: u32 = 0;
/// What a folder must allow for others than its owner to pass.
const PASSABLE: u32 = 0o011;

/// What is odd about who may open the socket, a sentence each.
pub fn shut_out(place: &Place) -> Vec<String> {
    let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
    let Ok(socket) = place.socket() else {
        return Vec::new();
    };
    let owner = rustix::process::geteuid().as_raw();
    let strangers = unreached(&place.config, socket, owner, &passwd);
    let closed = closed_folder(&place.config, socket);
    strangers.into_iter().chain(closed).collect()
}

/// Operators without a token, who can only come by the socket, which only its owner may open.
fn unreached(config: &Config, socket: &Path, owner: u32, passwd: &str) -> Option<String> {
    if config.socket_group.is_some() {
        return None;
    }
    let has_token = |o: &&OperatorConfig| o.token_file.is_some() || o.token_env.is_some();
    let names: Vec<&str> = config
        .operators
        .iter()
        .filter(|operator| !has_token(operator) && !is_let_in(operator, owner, passwd))
        .map(|operator| operator.name.as_str())
        .collect();
    if names.is_empty() {
        return None;
    }
    Some(format!(
        "`[[operators]]` {} cannot open the socket {}, which only the daemon's own user and root may: set `socket_group` to a group they are in, or give them a `token_file` for the listener",
        names.join(", "),
        socket.display()
    ))
}

/// Whether the socket lets an operator in as it is: the daemon's user and root.
fn is_let_in(operator: &OperatorConfig, owner: u32, passwd: &str) -> bool {
    let uid = operator.uid.or_else(|| uid_of(passwd, &operator.name));
    uid.is_some_and(|uid| uid == ROOT || uid == owner)
}

/// `name:password:uid:…` a line.
fn uid_of(passwd: &str, name: &str) -> Option<u32> {
    let mut lines = passwd.lines().map(|line| line.split(':'));
    let mut found = lines.find(|fields| fields.clone().next() == Some(name))?;
    found.nth(2)?.parse().ok()
}

/// A folder above the socket that lets nobody pass but its owner, although a group is to come in.
fn closed_folder(config: &Config, socket: &Path) -> Option<String> {
    config.socket_group.as_ref()?;
    let is_closed = |folder: &&Path| {
        std::fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & PASSABLE == 0)
    };
    let closed = socket.ancestors().skip(1).find(is_closed)?;
    Some(format!(
        "`socket_group` lets nobody in: the folder {} above the socket is closed to all but its owner; set `socket` to a path in one that is not",
        closed.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD_TEXT: &str = "root:x:0:0::/root:/bin/sh\nstorm:x:990:990::/:/bin/false\nmia:x:1000:1000::/home/mia:/bin/sh\n";

    fn config(text: &str) -> Config {
        crate::config::parse(text, "c.toml").unwrap().0
    }

    #[test]
    fn operators_whom_nothing_lets_in_are_named() {
        let said = |text: &str| {
            let said = unreached(&config(text), Path::new("/run/s.sock"), 990, PASSWD_TEXT);
            said.map(|said| said.split(" cannot open").next().unwrap().to_owned())
        };
        let operator = |lines: &str| format!("[[operators]]\n{lines}\n");
        let cases = [
            (String::new(), None),
            (operator("name = \"root\""), None),
            (operator("name = \"storm\""), None),
            (operator("name = \"anna\"\nuid = 990"), None),
            (operator("name = \"mia\"\ntoken_env = \"MIA\""), None),
            (operator("name = \"mia\""), Some("`[[operators]]` mia")),
            // Not of this machine's list.
            (
                operator("name = \"mia\"") + &operator("name = \"ole\""),
                Some("`[[operators]]` mia, ole"),
            ),
            (
                operator("name = \"storm\"\nuid = 1000"),
                Some("`[[operators]]` storm"),
            ),
            (
                "socket_group = \"oncall\"\n".to_owned() + &operator("name = \"mia\""),
                None,
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(said(&text).as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_group_that_cannot_pass_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let set = |mode| {
            let mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir.path(), mode).unwrap();
        };
        let socket = dir.path().join("s.sock");
        let grouped = config("socket_group = \"no such group\"");
        set(0o755);
        assert_eq!(closed_folder(&grouped, &socket), None);
        set(0o700);
        let shown = dir.path().display();
        let said = closed_folder(&grouped, &socket).unwrap();
        assert!(
            said.starts_with(&format!(
                "`socket_group` lets nobody in: the folder {shown} "
            )),
            "{said}"
        );
        assert_eq!(closed_folder(&config(""), &socket), None);
    }
}
