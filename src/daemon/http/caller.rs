//! Who is at the other end: the peer's credentials on the socket, a token on the listener.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;

use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest, Sha256};

use super::answer::ApiError;
use crate::api::ROLE_HEADER;
use crate::config::OperatorConfig;
use crate::model::{Actor, Role};

/// Where names of users stand.
const PASSWD: &str = "/etc/passwd";
/// Shorter tokens are guessed, in bytes.
const TOKEN_BYTES_MIN: usize = 16;

/// A person who may use the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operator {
    /// Name in the journal; of the user on the socket, unless their number is given.
    name: String,
    /// Number of the user on the socket.
    uid: Option<u32>,
    /// What they may do.
    role: Role,
    /// SHA-256 of their token for the listener, if they have one.
    token_sha256: Option<[u8; 32]>,
}

/// How callers are recognised.
#[derive(Clone, Debug)]
pub struct Callers {
    users: Arc<BTreeMap<u32, String>>,
    /// The user the daemon runs as.
    owner: u32,
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

impl Operator {
    /// Reads the token that the config names; on an error, what is wrong with it.
    pub fn read(config: &OperatorConfig) -> Result<Self, String> {
        let token = match (&config.token_file, &config.token_env) {
            (None, None) => None,
            (Some(file), None) => {
                let text = std::fs::read_to_string(file);
                let name = file.display();
                let text = text.map_err(|error| format!("`token_file` {name}: {error}"))?;
                Some((format!("`token_file` {name}"), text))
            }
            (None, Some(variable)) => {
                let text = std::env::var(variable);
                let text = text.map_err(|error| format!("`token_env` {variable}: {error}"))?;
                Some((format!("`token_env` {variable}"), text))
            }
            (Some(_), Some(_)) => return Err("give `token_file` or `token_env`".to_owned()),
        };
        if let Some((place, token)) = &token
            && token.trim().len() < TOKEN_BYTES_MIN
        {
            return Err(format!(
                "{place} is shorter than {TOKEN_BYTES_MIN} bytes: `openssl rand -hex 32` makes a good one"
            ));
        }
        Ok(Self {
            name: config.name.clone(),
            uid: config.uid,
            role: config.role,
            token_sha256: token.map(|(_, token)| Sha256::digest(token.trim()).into()),
        })
    }
}

impl Operator {
    fn actor(&self) -> Actor {
        Actor {
            name: self.name.clone(),
            role: self.role,
        }
    }
}

impl Callers {
    /// Reads the names of this machine's users.
    pub fn new(operators: Vec<Operator>) -> Self {
        let passwd = std::fs::read_to_string(PASSWD).unwrap_or_default();
        Self {
            users: Arc::new(users(&passwd)),
            owner: rustix::process::geteuid().as_raw(),
            operators: Arc::new(operators),
        }
    }

    /// Whether anybody is called so: an operator, or a user of this machine.
    pub fn knows(&self, name: &str) -> bool {
        let mut operators = self.operators.iter();
        operators.any(|operator| operator.name == name) || self.users.values().any(|n| n == name)
    }

    /// Those who may decide, by name.
    pub fn operators(&self) -> impl Iterator<Item = &str> {
        self.operators.iter().map(|operator| &*operator.name)
    }

    /// The person behind a connection of the socket.
    pub fn local(&self, uid: u32) -> Peer {
        Peer::Local(self.user(uid))
    }

    /// A user of this machine, whose number the operating system vouches for: an operator of that
    /// number, or without one of that name, has their role. Of the others, the owner of the socket and
    /// root may do everything, since they could anyway; whoever else was let in looks.
    fn user(&self, uid: u32) -> Actor {
        let mut operators = self.operators.iter();
        if let Some(operator) = operators.find(|o| o.uid == Some(uid)) {
            return operator.actor();
        }
        let known = self.users.get(&uid).cloned();
        let name = known.unwrap_or_else(|| format!("uid-{uid}"));
        let mut by_name = self.operators.iter().filter(|o| o.uid.is_none());
        let listed = by_name.find(|o| o.name == name);
        let role = match listed {
            Some(operator) => operator.role,
            None if uid == 0 || uid == self.owner => Role::Admin,
            None => Role::Viewer,
        };
        Actor { name, role }
    }

    /// The person behind a request.
    pub fn actor(&self, peer: &Peer, headers: &HeaderMap) -> Result<Actor, ApiError> {
        let actor = self.known(peer, headers)?;
        match headers.get(ROLE_HEADER).map(HeaderValue::as_bytes) {
            None => Ok(actor),
            Some(b"viewer") => Ok(Actor {
                role: Role::Viewer,
                ..actor
            }),
            Some(_) => {
                let message = format!("`{ROLE_HEADER}` can only be `viewer`");
                Err(ApiError::bad_request(message))
            }
        }
    }

    fn known(&self, peer: &Peer, headers: &HeaderMap) -> Result<Actor, ApiError> {
        match peer {
            Peer::Local(actor) => Ok(actor.clone()),
            Peer::Remote => self.operator(headers).ok_or_else(|| self.stranger(headers)),
        }
    }

    /// Why somebody is not let in who came over the listener, and how to get in. Who listens on loopback is
    /// reached by all users of the machine, also by those whom the socket would not let in.
    fn stranger(&self, headers: &HeaderMap) -> ApiError {
        let have_tokens = self.operators.iter().any(|o| o.token_sha256.is_some());
        let what = if !have_tokens {
            "the API over the listener needs an operator's token, also on loopback, and no operator has one: put one in a file (`openssl rand -hex 32 > FILE`), add `[[operators]]` with `name = \"NAME\"` and `token_file = \"FILE\"` to the config, restart, and send `Authorization: Bearer TOKEN`"
        } else if headers.contains_key(header::AUTHORIZATION) {
            "this is not the token of any operator: send `Authorization: Bearer TOKEN` with what is in the `token_file` or `token_env` of one of `[[operators]]`"
        } else {
            "the API over the listener needs an operator's token, also on loopback: send `Authorization: Bearer TOKEN` with what is in the `token_file` or `token_env` of one of `[[operators]]`"
        };
        let message = format!("{what}; the Unix socket on the daemon's machine needs none");
        ApiError::new(StatusCode::UNAUTHORIZED, message)
    }

    fn operator(&self, headers: &HeaderMap) -> Option<Actor> {
        let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let token = value.strip_prefix("Bearer ")?;
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        // All are compared to the end, so that the time taken says nothing of whose token is near.
        let matching = self.operators.iter().fold(None, |found, operator| {
            let held = operator.token_sha256.as_ref();
            if held.is_some_and(|held| is_same(held, &digest)) {
                Some(operator)
            } else {
                found
            }
        });
        matching.map(Operator::actor)
    }
}

/// Compares in a time that does not depend on where they differ.
fn is_same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let differing = a.iter().zip(b).fold(0, |bits, (a, b)| bits | (a ^ b));
    black_box(differing) == 0
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\nbroken\nmia:x:1000:1000::/home/mia:/bin/sh\nbad:x:uid:0\n";
        let expected = BTreeMap::from([(0, "root".to_owned()), (1000, "mia".to_owned())]);
        assert_eq!(users(passwd), expected);
    }

    fn operator(name: &str, role: Role, token: Option<&str>) -> Operator {
        Operator {
            name: name.to_owned(),
            uid: None,
            role,
            token_sha256: token.map(|token| Sha256::digest(token).into()),
        }
    }

    #[test]
    fn only_the_right_token_is_an_operator() {
        let callers = Callers::new(vec![
            operator("mia", Role::Responder, Some("secret")),
            operator("max", Role::Admin, None),
        ]);
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

    #[test]
    fn strangers_are_told_how_to_get_in() {
        let mia = |token| vec![operator("mia", Role::Viewer, token)];
        for (operators, given, says) in [
            (vec![], None, "no operator has one"),
            (mia(None), Some("Bearer wrong"), "no operator has one"),
            (
                mia(Some("secret")),
                None,
                "also on loopback: send `Authorization: Bearer TOKEN`",
            ),
            (
                mia(Some("secret")),
                Some("Bearer wrong"),
                "not the token of any operator",
            ),
        ] {
            let given = given.map(|value: &str| (header::AUTHORIZATION, value.parse().unwrap()));
            let headers = given.into_iter().collect();
            let refused = Callers::new(operators).actor(&Peer::Remote, &headers);
            let refused = refused.unwrap_err();
            assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
            let why = &refused.message;
            assert!(
                why.contains(says) && why.contains("`[[operators]]`"),
                "{why}"
            );
        }
    }

    #[test]
    fn users_of_the_socket_have_the_role_they_were_given() {
        let callers = Callers {
            users: Arc::new(users("root:x:0:\nmia:x:1000:\nmax:x:1001:\nstorm:x:999:\n")),
            owner: 999,
            operators: Arc::new(vec![operator("mia", Role::Responder, None)]),
        };
        let role = |uid| callers.user(uid).role;
        assert_eq!(
            [0, 999, 1000, 1001, 7].map(role),
            [
                Role::Admin,
                Role::Admin,
                Role::Responder,
                Role::Viewer,
                Role::Viewer
            ]
        );
        assert_eq!(callers.user(7).name, "uid-7");
        // A number goes before any name, and the name of another operator is not borrowed.
        let noor = Operator {
            uid: Some(7),
            ..operator("noor", Role::Commander, None)
        };
        let max = Operator {
            uid: Some(2_000),
            ..operator("max", Role::Admin, None)
        };
        let operators = Arc::new(vec![operator("mia", Role::Responder, None), noor, max]);
        let callers = Callers {
            operators,
            ..callers
        };
        let actor = |uid| {
            let actor = callers.user(uid);
            (actor.name, actor.role)
        };
        assert_eq!(actor(7), ("noor".to_owned(), Role::Commander));
        assert_eq!(actor(1001), ("max".to_owned(), Role::Viewer));
    }

    #[test]
    fn tokens_are_read_and_bad_ones_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("token");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            Operator::read(&OperatorConfig {
                name: "mia".to_owned(),
                uid: None,
                role: Role::Responder,
                token_file: Some(path.clone()),
                token_env: None,
            })
        };
        let token = "0123456789abcdef";
        let expected = operator("mia", Role::Responder, Some(token));
        assert_eq!(read(&format!("{token}\n")), Ok(expected));
        let refused = read("hunter2\n").unwrap_err();
        assert!(refused.contains("shorter than 16 bytes"), "{refused}");
        std::fs::remove_file(&path).unwrap();
        let missing = Operator::read(&OperatorConfig {
            name: "mia".to_owned(),
            uid: None,
            role: Role::Viewer,
            token_file: Some(path.clone()),
            token_env: Some("TOKEN".to_owned()),
        });
        assert_eq!(missing, Err("give `token_file` or `token_env`".to_owned()));
    }
}
