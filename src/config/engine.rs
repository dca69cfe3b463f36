//! What the engine may be told. Everything has a default that works without a config file.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{InhibitConfig, MaintenanceConfig, RuleConfig, SloConfig};

/// Settings of the engine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Most series with a detector; later ones are counted and named, not judged.
    pub series_max: u32,
    /// Most of them that one source may bring, in per cent: what is left is for the others.
    pub source_share_max: u32,
    /// Most alerts held at once.
    pub alerts_max: u32,
    /// An alert without an end is taken as resolved this long after its last resend, in seconds.
    pub alert_resolve_timeout_s: u32,
    /// Signals further than this from the engine's clock, in either direction, are refused, in seconds.
    pub clock_skew_s_max: u32,
    /// An incident whose signals are all back to normal is resolved after this long, in seconds.
    pub resolve_after_s: u32,
    /// A silence may last this long, in hours.
    pub silence_hours_max: u32,
    /// People are warned this long before a silence ends that still holds something back, in seconds.
    pub silence_warn_s: u32,
    /// Whether alerts that usually clear by themselves are given the time to.
    pub wait_for_transients: bool,
    /// Edges known without seeing a trace.
    pub dependencies: Vec<DeclaredEdge>,
    /// What the team knows of its entities: the catalogue.
    pub entities: Vec<DeclaredEntity>,
    /// Objectives whose budget is watched.
    pub slo: Vec<SloConfig>,
    /// When nobody wants to hear of what.
    pub maintenance: Vec<MaintenanceConfig>,
    /// Which alerts speak for which.
    pub inhibit: Vec<InhibitConfig>,
    /// Which alerts are one incident.
    pub rules: Vec<RuleConfig>,
    /// Who must agree to what.
    pub policy: PolicyConfig,
}

/// A dependency written down: `from` depends on `to`. Names are `kind/name`, or a bare service name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredEdge {
    /// The dependent.
    pub from: String,
    /// What it depends on.
    pub to: String,
}

/// An entity written down. What is said here goes before what telemetry says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DeclaredEntity {
    /// `kind/name`, or a bare service name.
    pub name: String,
    /// Other names telemetry has for it, written the same way.
    pub aliases: Vec<String>,
    /// Team that owns it.
    pub owner: Option<String>,
    /// Business tier, 1 the most important, to 4.
    pub tier: Option<u8>,
    /// Pages about it by what they are: `runbook`, `dashboard`, …
    pub links: BTreeMap<String, String>,
    /// Labels its telemetry lacks and runbooks ask for.
    pub labels: BTreeMap<String, String>,
}

/// Who must agree before anything runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PolicyConfig {
    /// Whether plans may run at all; off means: propose only.
    pub allow_run: bool,
    /// People who must approve a low-risk plan; at least 1.
    pub approvals_low: u32,
    /// People who must approve a medium-risk plan; at least 1.
    pub approvals_medium: u32,
    /// People who must approve a high-risk plan; at least 1.
    pub approvals_high: u32,
    /// A proposal expires after this long, in seconds.
    pub proposal_expires_s: u32,
    /// Plans that may run at the same time.
    pub concurrent_plans_max: u32,
}

impl EngineConfig {
    /// Most series with a detector that one source may bring.
    pub fn source_series_max(&self) -> usize {
        let hundredths = u64::from(self.series_max) * u64::from(self.source_share_max);
        usize::try_from(hundredths.div_ceil(100)).unwrap_or(usize::MAX)
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            series_max: 200_000,
            source_share_max: 90,
            alerts_max: 500_000,
            alert_resolve_timeout_s: 300,
            clock_skew_s_max: 3_600,
            resolve_after_s: 300,
            silence_hours_max: 168,
            silence_warn_s: 600,
            wait_for_transients: true,
            dependencies: Vec::new(),
            entities: Vec::new(),
            slo: Vec::new(),
            maintenance: Vec::new(),
            inhibit: Vec::new(),
            rules: Vec::new(),
            policy: PolicyConfig::default(),
        }
    }
}

impl Default for PolicyConfig {
    fn default() -> Self {
        Self {
            allow_run: true,
            approvals_low: 1,
            approvals_medium: 1,
            approvals_high: 1,
            proposal_expires_s: 900,
            concurrent_plans_max: 1,
        }
    }
}
