//! Who should speak, and does: what the engine knows of each source's entities, for whoever asks why
//! something cannot be seen.

use serde::{Deserialize, Serialize};

use super::{EntityId, Time};

/// Most entities told of each source: those that are missed most, and those whose clocks are off most.
pub const LEDGER_ENTITIES_MAX: usize = 20;
/// Most metrics told of each source that brings too many series.
pub const LEDGER_METRICS_MAX: usize = 5;

/// How a source speaks, learned from what it said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    /// What a pause between two deliveries is at most, usually, in milliseconds; `None` before the first.
    pub usual_ms: Option<i64>,
    /// Signals in a minute, usually; `None` before the first.
    pub per_minute: Option<u64>,
    /// How old its data is when it comes, in milliseconds; negative when its clock is ahead, and never
    /// beyond [`Self::LAG_MS_MAX`] either way.
    pub lag_ms: Option<i64>,
    /// Silences so long that it counted as blind.
    pub gaps: u64,
}

impl Pace {
    /// The lag that is still told as a number, in milliseconds, ahead or behind: a sender whose times are
    /// a day off has a clock that is wrong, and by how much says no more.
    pub const LAG_MS_MAX: i64 = 24 * 3_600_000;
}

/// What the engine knows of who should speak.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// By name of the source.
    pub sources: Vec<SourceLedger>,
    /// Signals that the engine refused, by reason; reasons without any are left out.
    pub refused: Vec<Count>,
    /// What was said by signals and not believed.
    pub corrected: Vec<Count>,
}

impl Ledger {
    /// What is known of a source.
    pub fn of_source(&self, name: &str) -> Option<&SourceLedger> {
        self.sources.iter().find(|source| source.name == name)
    }
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// What, in words.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// The series of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLedger {
    /// Its name.
    pub name: String,
    /// Entities it tells of.
    pub entities: u64,
    /// Their series.
    pub series: u64,
    /// Those of them that should speak and do not.
    pub silent: u64,
    /// Entities with silent series, those with most first.
    pub missed: Vec<EntityLedger>,
    /// How old data is when it comes, of the entity in the middle, in milliseconds: what an entity's clock is
    /// compared with.
    #[serde(default)]
    pub lag_ms: Option<i64>,
    /// Entities whose times are ahead of ours, or far behind those of the others: those furthest off first. Their
    /// clocks are wrong, or they send late.
    #[serde(default)]
    pub odd_clocks: Vec<EntityLedger>,
    /// Metrics with series that found no place, those with most samples first.
    #[serde(default)]
    pub unplaced: Vec<Count>,
}

/// The series of one entity that come from one source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityLedger {
    /// The entity.
    pub entity: EntityId,
    /// Event time of its newest point.
    pub last_seen: Time,
    /// Usual time between two points of a series, in milliseconds: the shortest of all; 0 if not known.
    pub every_ms: u32,
    /// Its series.
    pub series: u64,
    /// Those of them that should speak and do not.
    pub silent: u64,
    /// How old its points are when they come, by the freshest of its series, in milliseconds. Negative when its
    /// clock is ahead of ours, by at least as much.
    #[serde(default)]
    pub lag_ms: i64,
}
