//! Objectives the team declared: what share of requests must succeed.

use serde::{Deserialize, Serialize};

/// A declared objective.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SloConfig {
    /// Its name, shown.
    pub name: String,
    /// The entity it is about: `kind/name`, or a bare service name.
    pub entity: String,
    /// Share of requests that must succeed, in percent: above 0, below 100.
    pub objective: String,
    /// Counter of failed requests; all series of the entity with this name count.
    pub failed: String,
    /// Counter of all requests.
    pub total: String,
}

impl SloConfig {
    /// Share of requests that may fail; `None` when the objective is no such number.
    pub fn budget(&self) -> Option<f64> {
        let percent: f64 = self.objective.trim().trim_end_matches('%').parse().ok()?;
        (percent > 0.0 && percent < 100.0).then_some(1.0 - percent / 100.0)
    }
}
