//! What telemetry is about: services, hosts, databases, queues, …

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Labels;

/// Identity of an entity, written `kind/name`, for example `service/checkout` or `host/node-3`.
///
/// Two sources that speak of the same thing must arrive at the same id; `engine::intake` sees to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntityId(Arc<str>);

/// What sort of thing an entity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntityKind {
    /// A service, application or job.
    Service,
    /// A machine or virtual machine.
    Host,
    /// A Kubernetes pod or a container.
    Pod,
    /// A database.
    Database,
    /// A queue or topic.
    Queue,
    /// Something outside, known only from those who call it.
    External,
}

/// An entity as the console shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entity {
    /// Identity.
    pub id: EntityId,
    /// Sort of thing.
    pub kind: EntityKind,
    /// Labels common to its telemetry: environment, cluster, host, version, …
    pub labels: Labels,
    /// Team or person who owns it, if the catalogue says.
    pub owner: Option<String>,
    /// Business tier, 1 the most important, if the catalogue says.
    pub tier: Option<u8>,
    /// Pages about it by what they are, if the catalogue has any.
    pub links: BTreeMap<String, String>,
}

impl EntityId {
    /// Builds `kind/name`.
    pub fn new(kind: EntityKind, name: &str) -> Self {
        Self(Arc::from(format!("{}/{name}", kind.as_str())))
    }

    /// The whole id, `kind/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the kind.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(_, name)| name)
    }

    /// The kind named by the id; `Service` if it names none that is known.
    pub fn kind(&self) -> EntityKind {
        let kind = self.0.split_once('/').map_or("", |(kind, _)| kind);
        EntityKind::ALL
            .into_iter()
            .find(|k| k.as_str() == kind)
            .unwrap_or(EntityKind::Service)
    }

    /// Parses `kind/name`; a bare name is a service.
    pub fn parse(text: &str) -> Self {
        match text.split_once('/') {
            Some((kind, _)) if EntityKind::ALL.iter().any(|k| k.as_str() == kind) => {
                Self(Arc::from(text))
            }
            _ => Self::new(EntityKind::Service, text),
        }
    }
}

impl EntityKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Service,
        Self::Host,
        Self::Pod,
        Self::Database,
        Self::Queue,
        Self::External,
    ];

    /// The word used in ids.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Host => "host",
            Self::Pod => "pod",
            Self::Database => "database",
            Self::Queue => "queue",
            Self::External => "external",
        }
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_and_prints() {
        let cases = [
            (
                "checkout",
                "service/checkout",
                EntityKind::Service,
                "checkout",
            ),
            ("host/node-3", "host/node-3", EntityKind::Host, "node-3"),
            (
                "team/checkout",
                "service/team/checkout",
                EntityKind::Service,
                "team/checkout",
            ),
        ];
        for (text, id, kind, name) in cases {
            let parsed = EntityId::parse(text);
            assert_eq!(
                (parsed.as_str(), parsed.kind(), parsed.name()),
                (id, kind, name)
            );
        }
    }
}
