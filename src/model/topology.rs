//! Who depends on whom, and how we know.

use serde::{Deserialize, Serialize};

use super::{EntityId, Time};

/// How an edge came to be known, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Provenance {
    /// Guessed from logs, names or metrics that move together.
    Inferred,
    /// Seen in traces.
    Traced,
    /// Written in the config or the catalogue.
    Declared,
}

impl Provenance {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inferred => "inferred",
            Self::Traced => "traced",
            Self::Declared => "declared",
        }
    }
}

/// `from` depends on `to`: it calls it, reads from it or runs on it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The dependent: the caller.
    pub from: EntityId,
    /// The dependency: the callee.
    pub to: EntityId,
    /// How we know; the strongest of several.
    pub provenance: Provenance,
    /// When it was last confirmed; declared edges carry the time of their config.
    pub last_seen: Time,
}
