//! Who is at the other end: the peer's credentials on the socket, a token on the listener.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::http::{HeaderMap, StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::net::UnixStream;

use super::answer::ApiError;
use crate::model::{Actor, Role};

/// Where names of users stand.
const PASSWD: &str = "/etc/passwd";

/// A person who may use the API over the listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Name in the journal.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// SHA-256 of their token, in hex.
    pub token_sha256: String,
}

/// How callers are recognised.
#[derive(Clone, Debug)]
pub struct Callers {
    users: Arc<BTreeMap<u32, String>>,
    operators: Arc<Vec<Operator>>,
}

/// What is known of a connection before its first request.
#[derive(Clone, Debug)]
pub enum Peer {
    /// Over the socket: the operating system vouches for them.
    Local(Actor),
    /// Over the listener: each request has to bring a token.
    Remote,
}

impl Callers {
    /// Reads the names of this machine's users.
    pub fn new(operators: Vec<Operator>) -> Self {
        let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
        Self {
            users: Arc::new(users(&passwd)),
            operators: Arc::new(operators),
        }
    }

    /// The person behind a connection of the socket. Its mode admits its owner and root only, so
    /// whoever gets here may do everything.
    pub fn local(&self, stream: &UnixStream) -> std::io::Result<Peer> {
        let uid = stream.peer_cred()?.uid();
        let known = self.users.get(&uid).cloned();
        let name = known.unwrap_or_else(|| format!("uid-{uid}"));
        let role = Role::Admin;
        Ok(Peer::Local(Actor { name, role }))
    }

    /// The person behind a request.
    pub fn actor(&self, peer: &Peer, headers: &HeaderMap) -> Result<Actor, ApiError> {
        match peer {
            Peer::Local(actor) => Ok(actor.clone()),
            Peer::Remote => self.operator(headers).ok_or_else(|| {
                ApiError::new(
                    StatusCode::UNAUTHORIZED,
                    "the API needs an operator's token here: send `Authorization: Bearer TOKEN`, or use the Unix socket on the daemon's machine",
                )
            }),
        }
    }

    fn operator(&self, headers: &HeaderMap) -> Option<Actor> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let token = value.strip_prefix("Bearer ")?;
        let digest = hex(&Sha256::digest(token.as_bytes()));
        // Digests are compared, so that the time taken says nothing of the token.
        let operator = self
            .operators
            .iter()
            .find(|o| o.token_sha256.eq_ignore_ascii_case(&digest))?;
        Some(Actor {
            name: operator.name.clone(),
            role: operator.role,
        })
    }
}

/// `name:password:uid:…` a line.
fn users(passwd: &str) -> BTreeMap<u32, String> {
    passwd
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let uid = fields.nth(1)?.parse().ok()?;
            Some((uid, name.to_owned()))
        })
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes any text");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nmia:x:1000:1000::/home/mia:/bin/sh\nbad:x:uid:0\n";
        let expected = BTreeMap::from([(0, "root".to_owned()), (1000, "mia".to_owned())]);
        assert_eq!(users(passwd), expected);
    }

    #[test]
    fn only_the_right_token_is_an_operator() {
        let callers = Callers::new(vec![Operator {
            name: "mia".to_owned(),
            role: Role::Responder,
            token_sha256: hex(&Sha256::digest(b"secret")).to_uppercase(),
        }]);
        let actor = |authorization: Option<&str>| {
            let mut headers = HeaderMap::new();
            if let Some(value) = authorization {
                headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            }
            callers.actor(&Peer::Remote, &headers).ok()
        };
        let mia = Actor {
            name: "mia".to_owned(),
            role: Role::Responder,
        };
        assert_eq!(actor(Some("Bearer secret")), Some(mia));
        for wrong in [None, Some("Bearer wrong"), Some("secret"), Some("Bearer ")] {
            assert_eq!(actor(wrong), None, "{wrong:?}");
        }
    }
}
