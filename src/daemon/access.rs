//! Who may come in, by the settings and the files they name: read before anything begins.

use super::DaemonError;
use super::http::{Callers, Operator, group_number};
use crate::config::{Config, OperatorConfig};
use crate::notify::Notifier;
use crate::sources::{Guard, Tls};

/// A setting that a start would be refused for.
#[derive(Debug)]
pub struct Refused {
    /// The setting, or the list whose entry it is.
    pub setting: &'static str,
    /// Which entry.
    pub index: Option<usize>,
    /// What is wrong.
    pub error: DaemonError,
}

/// What a start would be refused for, as far as the settings and the files they name tell: nothing is opened or begun.
pub fn refusals(config: &Config) -> Vec<Refused> {
    let of = |setting, error| Refused {
        setting,
        index: None,
        error,
    };
    let mut all = Vec::new();
    all.extend(group(config).err().map(|error| of("socket_group", error)));
    let operators = config.operators.iter().enumerate();
    all.extend(operators.filter_map(|(i, operator)| {
        Some(Refused {
            setting: "operators",
            index: Some(i),
            error: read_operator(operator).err()?,
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
        all.extend(Notifier::check(receiver).err().map(|why| Refused {
            setting: "notify",
            index: Some(i),
            error: DaemonError::Notify(why),
        }));
    }
    all
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
