//! Who depends on whom, and how we know.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EntityId, EntityKind, Health, Time};

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

/// An edge is believed half as much that was not confirmed for this long, in milliseconds.
const FADE_HALF_MS: f64 = 24.0 * 3_600_000.0;
/// Belief in an edge that was inferred, while it is fresh.
const INFERRED_CONFIDENCE: f64 = 0.6;

impl Provenance {
    /// How far an edge is believed that is known so and was last confirmed `age_ms` ago, from 0 to 1: what
    /// nobody confirms fades. Without an age, as when it is read off labels, it does not.
    pub fn confidence(self, age_ms: Option<i64>) -> f64 {
        let age_ms = age_ms.unwrap_or(0).max(0) as f64;
        let fresh = 0.5_f64.powf(age_ms / FADE_HALF_MS);
        match self {
            Self::Declared => 1.0,
            Self::Traced => fresh,
            Self::Inferred => INFERRED_CONFIDENCE * fresh,
        }
    }

    /// The same, for an edge last confirmed at `last_seen`; 1970 stands for never.
    pub fn confidence_at(self, last_seen: Time, now: Time) -> f64 {
        self.confidence((last_seen != Time::ZERO).then(|| now.since(last_seen)))
    }
}

/// `from` depends on `to`: it calls it, reads from it or runs on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// The dependent: the caller.
    pub from: EntityId,
    /// The dependency: the callee.
    pub to: EntityId,
    /// How we know; the strongest of several.
    pub provenance: Provenance,
    /// When it was last confirmed; declared edges carry the time of their config.
    pub last_seen: Time,
    /// How far it is believed, from 0 to 1: what nobody confirms fades.
    #[serde(default)]
    pub confidence: f32,
}

impl Edge {
    /// What a dependent does with a dependency of this id, in a word or two: nobody calls a machine.
    pub fn verb(to: &EntityId) -> &'static str {
        match to.kind() {
            EntityKind::Host => "runs on",
            EntityKind::Queue => "uses",
            EntityKind::Service | EntityKind::Pod | EntityKind::Database | EntityKind::External => {
                "calls"
            }
        }
    }

    /// The same, told of the dependency: what leads up to its dependents.
    pub fn verb_back(to: &EntityId) -> &'static str {
        match to.kind() {
            EntityKind::Host => "runs",
            EntityKind::Queue => "used by",
            EntityKind::Service | EntityKind::Pod | EntityKind::Database | EntityKind::External => {
                "called by"
            }
        }
    }
}

/// Who depends on an entity, directly and through others, and what it depends on itself: by everything that is
/// known, and not by what one incident touches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Dependence {
    /// Which entity.
    pub entity: EntityId,
    /// Whether it was ever heard of.
    pub is_known: bool,
    /// Who depends on it.
    pub dependents: Reach,
    /// What it depends on.
    pub dependencies: Reach,
}

/// What is reached from an entity along dependencies, in one direction.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    /// How many there are at each distance: those directly next to it first.
    pub by_step: Vec<u32>,
    /// How many of them are not well.
    pub unwell: u32,
    /// How many are of each business tier, 1 the most important; of the others it is not known.
    pub tiers: BTreeMap<u8, u32>,
    /// Teams that own most of them, and how many.
    pub owners: Vec<(Box<str>, u32)>,
    /// The nearest, those that are not well first, then by tier.
    pub named: Vec<Reached>,
    /// There is more behind them that was not followed.
    pub is_cut: bool,
}

/// One entity reached.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reached {
    /// Which.
    pub entity: EntityId,
    /// How it is now.
    pub health: Health,
    /// How far away, from 1.
    pub steps: u32,
    /// The one before it on the shortest way.
    pub via: EntityId,
    /// How the dependency between both is known.
    pub provenance: Provenance,
    /// When that was last confirmed; 1970 when it was read off labels or the config.
    pub last_seen: Time,
    /// How far that dependency is believed, from 0 to 1: what nobody confirms fades.
    #[serde(default)]
    pub confidence: f32,
    /// Team that owns it, if it is known; untrusted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<Box<str>>,
    /// Business tier, 1 the most important, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tier: Option<u8>,
}

impl Reach {
    /// How many there are.
    pub fn count(&self) -> u32 {
        self.by_step.iter().sum()
    }
}

/// What lies within two steps of a node of an incident's path and is not drawn by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    /// Dependents that are well.
    pub callers_well: u32,
    /// Dependencies that are well.
    pub callees_well: u32,
    /// Of either, those that are not well and found no room.
    pub unwell: u32,
    /// Whether there are more than were looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_cut: bool,
}

impl Beside {
    /// Whether nothing does.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// How many of them are well.
    pub fn well(&self) -> u32 {
        self.callers_well + self.callees_well
    }
}
