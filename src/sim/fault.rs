//! Faults: what is injected, how it hurts, and which action really heals it.

use serde::{Deserialize, Serialize};

use super::system::System;
use crate::model::{EntityId, EntityKind, Time};

/// How long a fault takes to reach full strength once it begins, in milliseconds.
const RAMP_MS: f64 = 10_000.0;
/// How long the system takes to recover once healed, in milliseconds.
const RECOVERY_MS: f64 = 12_000.0;
/// How long callers keep hitting replicas of a lost node, in milliseconds.
const FAILOVER_MS: f64 = 15_000.0;
/// How long a runaway job takes to fill a disk, in milliseconds.
const DISK_FILL_MS: f64 = 45_000.0;

/// What sort of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// A new version fails and is slow.
    BadDeploy,
    /// Connections leak until the pool is exhausted.
    PoolExhaustion,
    /// A disk fills up; writes fail once it is full.
    DiskFull,
    /// A cache loses its content; its store takes all the load.
    CacheStampede,
    /// Something outside became slow.
    DependencyLatency,
    /// A host is gone, with everything on it.
    NodeLoss,
}

/// Where a fault strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A node, by index.
    Node(usize),
    /// A host, by index.
    Host(usize),
}

/// One injected fault.
#[derive(Clone, Debug)]
pub struct Fault {
    /// Its sort.
    pub kind: FaultKind,
    /// Where.
    pub place: Place,
    /// When it begins.
    pub at: Time,
    /// How strong, around 1.
    pub strength: f64,
    /// When the right action took hold.
    pub healed: Option<Time>,
    /// When that action was undone and it struck again.
    pub returned: Option<Time>,
}

/// The sum of all faults on one node at one time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strain {
    /// Factor on its own time to serve.
    pub slow: f64,
    /// Share of its requests that fail by itself.
    pub errors: f64,
    /// Share of its pool taken by leaked connections.
    pub leaked: f64,
    /// Share of its disk taken by the runaway job.
    pub disk: f64,
    /// Share of its usual cache hits lost.
    pub cold: f64,
    /// Replicas that are gone.
    pub lost: u32,
}

impl Strain {
    /// No fault.
    pub const NONE: Self = Self {
        slow: 1.0,
        errors: 0.0,
        leaked: 0.0,
        disk: 0.0,
        cold: 0.0,
        lost: 0,
    };
}

impl FaultKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::BadDeploy,
        Self::PoolExhaustion,
        Self::DiskFull,
        Self::CacheStampede,
        Self::DependencyLatency,
        Self::NodeLoss,
    ];

    /// The verb that heals it.
    pub const fn cure(self) -> &'static [&'static str] {
        match self {
            Self::BadDeploy => &["rollback"],
            Self::PoolExhaustion => &["restart", "raise-pool"],
            Self::DiskFull => &["clear-disk"],
            Self::CacheStampede => &["warm-cache"],
            Self::DependencyLatency => &["reroute"],
            Self::NodeLoss => &["replace-node"],
        }
    }
}

impl Fault {
    /// Strength at `now`: 0 before it begins, rising to 1, back to 0 once healed.
    pub fn level(&self, now: Time) -> f64 {
        let age_ms = now.since(self.returned.unwrap_or(self.at)) as f64;
        if age_ms < 0.0 {
            return 0.0;
        }
        let ramp = match self.kind {
            FaultKind::NodeLoss | FaultKind::CacheStampede => 1.0,
            FaultKind::DiskFull => (age_ms / DISK_FILL_MS).min(1.0),
            _ => ((age_ms + 2_000.0) / RAMP_MS).min(1.0),
        };
        match self.healed {
            Some(healed) if now >= healed => {
                ramp * (1.0 - now.since(healed) as f64 / RECOVERY_MS).max(0.0)
            }
            _ => ramp,
        }
    }

    /// Whether it has begun and is not over.
    pub fn is_active(&self, now: Time) -> bool {
        self.level(now) > 0.0
    }

    /// The entity at fault.
    pub fn entity(&self, system: &System) -> EntityId {
        match self.place {
            Place::Node(i) => system.entity(i),
            Place::Host(i) => EntityId::new(EntityKind::Host, &system.hosts[i]),
        }
    }

    /// Adds what it does to node `index` at `now`.
    pub fn strain(&self, system: &System, index: usize, now: Time, strain: &mut Strain) {
        let level = self.level(now);
        if level <= 0.0 {
            return;
        }
        if let Place::Host(host) = self.place {
            self.strain_replicas(system, index, host, now, strain);
            return;
        }
        if self.place != Place::Node(index) {
            return;
        }
        match self.kind {
            FaultKind::BadDeploy => {
                strain.slow += 5.0 * level * self.strength;
                strain.errors += 0.12 * level * self.strength;
            }
            FaultKind::PoolExhaustion => strain.leaked += 0.95 * level,
            FaultKind::DiskFull => strain.disk += level,
            FaultKind::CacheStampede => strain.cold += 0.9 * level,
            FaultKind::DependencyLatency => strain.slow += 14.0 * level * self.strength,
            FaultKind::NodeLoss => {}
        }
    }

    fn strain_replicas(
        &self,
        system: &System,
        index: usize,
        host: usize,
        now: Time,
        strain: &mut Strain,
    ) {
        let placement = system.nodes[index].placement(index, system.hosts.len());
        let lost = placement.iter().filter(|&&h| h == host).count() as u32;
        if lost == 0 || self.healed.is_some_and(|healed| now >= healed) {
            return;
        }
        strain.lost += lost;
        let share = f64::from(lost) / placement.len() as f64;
        if (now.since(self.at) as f64) < FAILOVER_MS {
            strain.errors += 0.7 * share;
        }
    }
}
