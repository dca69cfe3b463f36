//! Who may come in, by the settings and the files they name: read before anything begins.

use std::path::PathBuf;

use super::DaemonError;
use super::http::{Callers, Operator, group_number};
use crate::config::{Config, OperatorConfig};
use crate::notify::{Notifier, NotifyError};
use crate::sources::{self, Guard, Tls, TlsError};

/// A setting that cannot be followed.
#[derive(Debug)]
pub struct Fault {
    /// The setting, or the list whose entry it is.
    pub setting: &'static str,
    /// Which entry.
    pub index: Option<usize>,
    /// The file that is at fault, if one is, and the setting that names it.
    pub file: Option<(&'static str, PathBuf)>,
    /// What is wrong.
    pub why: String,
    /// What becomes of a start.
    pub weight: Weight,
}

/// What becomes of a start with a setting that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// There is none: it would open a door, or close the only one, or the setting never can be followed.
    Refuses,
    /// It does without what the setting is for, and tries again by itself: one secret that is missing at night must
    /// not keep everything else from being seen.
    Lacks,
    /// The same until it is started again: the environment of a process stays as it is.
    LacksVariable,
}

/// What of the settings cannot be followed, as far as they and the files they name tell: nothing is opened or begun.
pub fn faults(config: &Config) -> Vec<Fault> {
    let of = |setting, error: DaemonError| Fault {
        setting,
        index: None,
        file: error.file(),
        why: error.to_string(),
        weight: Weight::Refuses,
    };
    let mut all = Vec::new();
    all.extend(group(config).err().map(|error| of("socket_group", error)));
    let operators = config.operators.iter().enumerate();
    all.extend(operators.filter_map(|(i, operator)| {
        let error = read_operator(operator).err()?;
        let file = operator.token_file.clone();
        let file = file.filter(|_| operator.token_env.is_none());
        Some(Fault {
            index: Some(i),
            file: file.map(|file| ("operators.token_file", file)),
            ..of("operators", error)
        })
    }));
    let guard = Guard::read(config.sources.token_file.as_deref());
    all.extend(
        guard
            .err()
            .map(|error| of("sources.token_file", error.into())),
    );
    let tls = Tls::from_config(&config.tls).map(drop);
    let tls = tls.and_then(|()| Tls::check_clients(config));
    all.extend(tls.err().map(|error| of("tls", error.into())));
    for (i, receiver) in config.notify.iter().enumerate() {
        all.extend(Notifier::check(receiver).err().map(|error| Fault {
            setting: "notify",
            index: Some(i),
            file: match (&error, &receiver.token_file) {
                (NotifyError::Secret(_), Some(file)) => Some(("notify.token_file", file.clone())),
                _ => None,
            },
            weight: match error {
                NotifyError::Setting(_) => Weight::Refuses,
                NotifyError::Secret(_) => Weight::Lacks,
                NotifyError::Variable(_) => Weight::LacksVariable,
            },
            why: error.to_string(),
        }));
    }
    let forges = sources::secretless_forges(config).into_iter();
    all.extend(forges.map(|(setting, file, why)| Fault {
        setting,
        index: None,
        file: Some((setting, file)),
        why,
        weight: Weight::Lacks,
    }));
    all
}

impl DaemonError {
    /// The file that is at fault, if one is, and the setting that names it.
    fn file(&self) -> Option<(&'static str, PathBuf)> {
        match self {
            Self::Guard(error) => Some(("sources.token_file", error.path().to_owned())),
            Self::Tls(TlsError::File { path, setting, .. }) => Some((*setting, path.clone())),
            _ => None,
        }
    }
}

/// Number of the group that may open the socket, if one is named.
pub(super) fn group(config: &Config) -> Result<Option<u32>, DaemonError> {
    let Some(group) = &config.socket_group else {
        return Ok(None);
    };
    let number = group_number(group).ok_or_else(|| {
        let group = group.clone();
        DaemonError::SocketGroup { group }
    })?;
    Ok(Some(number))
}

fn read_operator(operator: &OperatorConfig) -> Result<Operator, DaemonError> {
    let name = operator.name.clone();
    Operator::read(operator).map_err(|why| DaemonError::Operator { name, why })
}

/// Who may come in, and how the listeners are protected.
pub(super) fn access(
    config: &Config,
) -> Result<(Callers, Option<Tls>, Option<Guard>), DaemonError> {
    if !config.sources.insecure {
        if let Some((setting, address)) = config.exposed_listeners().next() {
            return Err(DaemonError::Exposed { setting, address });
        }
        if let Some((setting, address)) = config.tokenless_listeners().next() {
            return Err(DaemonError::Tokenless { setting, address });
        }
    }
    let operators = config.operators.iter().map(read_operator);
    let callers = Callers::new(operators.collect::<Result<_, _>>()?);
    let guard = Guard::read(config.sources.token_file.as_deref())?;
    // Read again where they are used: what cannot be is refused now, before anything begins.
    Tls::check_clients(config)?;
    Ok((callers, Tls::from_config(&config.tls)?, guard))
}
