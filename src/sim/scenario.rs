//! The scenarios of the demo: which faults, where and when.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::fault::{Fault, FaultKind, Place};
use super::noise::Noise;
use super::system::System;
use crate::model::Time;

/// Earliest start of a fault after the live part begins, in milliseconds.
const FAULT_AFTER_MS_MIN: f64 = 40_000.0;
/// Latest start of a fault after the live part begins, in milliseconds.
const FAULT_AFTER_MS_MAX: f64 = 70_000.0;

/// A scenario of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// A new version of checkout fails.
    BadDeploy,
    /// Payments leaks its database connections.
    PoolExhaustion,
    /// The main database's disk fills up.
    DiskFull,
    /// The cache loses its content.
    CacheStampede,
    /// The card processor becomes slow.
    DependencyLatency,
    /// A host is gone.
    NodeLoss,
    /// Two faults overlap, with flapping and unrelated alerts.
    Storm,
    /// Nothing happens.
    Quiet,
}

/// The name is not one of a scenario.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("there is no scenario {0:?}; there are: {names}", names = Scenario::ALL.map(Scenario::as_str).join(", "))]
pub struct UnknownScenario(pub String);

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 8] = [
        Self::BadDeploy,
        Self::PoolExhaustion,
        Self::DiskFull,
        Self::CacheStampede,
        Self::DependencyLatency,
        Self::NodeLoss,
        Self::Storm,
        Self::Quiet,
    ];

    /// Its name on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadDeploy => "bad-deploy",
            Self::PoolExhaustion => "pool-exhaustion",
            Self::DiskFull => "disk-full",
            Self::CacheStampede => "cache-stampede",
            Self::DependencyLatency => "dependency-latency",
            Self::NodeLoss => "node-loss",
            Self::Storm => "storm",
            Self::Quiet => "quiet",
        }
    }

    /// What happens, one line.
    pub const fn summary(self) -> &'static str {
        match self {
            Self::BadDeploy => "a new version of checkout fails and is slow",
            Self::PoolExhaustion => {
                "payments leaks database connections until its pool is exhausted"
            }
            Self::DiskFull => "a runaway job fills the main database's disk",
            Self::CacheStampede => {
                "the cache loses its content and the catalogue database takes the load"
            }
            Self::DependencyLatency => "the card processor, outside our reach, becomes slow",
            Self::NodeLoss => "a host is gone, with everything that ran on it",
            Self::Storm => "two faults overlap, with flapping and unrelated alerts",
            Self::Quiet => "nothing happens",
        }
    }

    /// The faults, with times and strengths drawn from `noise`.
    pub(super) fn faults(self, system: &System, start: Time, noise: &mut Noise) -> Vec<Fault> {
        let mut fault = |kind, place, after_ms: i64| Fault {
            kind,
            place,
            at: start
                .plus_ms(after_ms + noise.between(FAULT_AFTER_MS_MIN, FAULT_AFTER_MS_MAX) as i64),
            strength: noise.between(0.8, 1.3),
            healed: None,
            returned: None,
        };
        let node = |name| {
            Place::Node(
                system
                    .index(name)
                    .expect("scenarios name nodes of the shop"),
            )
        };
        match self {
            Self::BadDeploy => vec![fault(FaultKind::BadDeploy, node("checkout"), 0)],
            Self::PoolExhaustion => vec![fault(FaultKind::PoolExhaustion, node("payments"), 0)],
            Self::DiskFull => vec![fault(FaultKind::DiskFull, node("pg-main"), 0)],
            Self::CacheStampede => vec![fault(FaultKind::CacheStampede, node("cache"), 0)],
            Self::DependencyLatency => {
                vec![fault(
                    FaultKind::DependencyLatency,
                    node("card-processor"),
                    0,
                )]
            }
            Self::NodeLoss => vec![fault(FaultKind::NodeLoss, Place::Host(1), 0)],
            Self::Storm => vec![
                fault(FaultKind::BadDeploy, node("search"), 0),
                fault(FaultKind::PoolExhaustion, node("payments"), 30_000),
            ],
            Self::Quiet => Vec::new(),
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scenario {
    type Err = UnknownScenario;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|scenario| scenario.as_str() == name)
            .ok_or_else(|| UnknownScenario(name.to_owned()))
    }
}
