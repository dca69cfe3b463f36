//! Who should speak, and does: what the engine knows of each source's entities, for whoever asks why
//! something cannot be seen.

use serde::{Deserialize, Serialize};

use super::{EntityId, Labels, LastOf, Time};

/// Most entities told of each source: those with most trouble, those that are missed most, and those whose clocks
/// are off most.
pub const LEDGER_ENTITIES_MAX: usize = 20;
/// Most entities told of a source that is asked for by name.
pub const LEDGER_ENTITIES_OF_ONE_MAX: usize = 1_000;
/// Why what tells of a new entity has no place of its own: as many are kept as there is room for, which is 200,000.
pub const ENTITIES_FULL: &str = "200,000 entities are known, and there is no room for more";
/// Most metrics told of each source that brings too many series.
pub const LEDGER_METRICS_MAX: usize = 5;

/// How a source speaks, learned from what it said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Pace {
    /// What a pause between two deliveries is at most, usually, in milliseconds; `None` before the first.
    pub usual_ms: Option<i64>,
    /// Its longest pause in the last week or two, while the daemon listened, in milliseconds; `None` before the
    /// first.
    pub longest_ms: Option<i64>,
    /// Signals in a minute, usually; `None` before the first.
    pub per_minute: Option<u64>,
    /// How old its data is when it comes, of the latest few deliveries the one in the middle, in milliseconds; negative
    /// when its clock is ahead, and never beyond [`Self::LAG_MS_MAX`] either way.
    pub lag_ms: Option<i64>,
    /// Silences so long that it counted as blind.
    pub gaps: u64,
}

impl Pace {
    /// The lag that is still told as a number, in milliseconds, ahead or behind: a sender whose times are
    /// a day off has a clock that is wrong, and by how much says no more.
    pub const LAG_MS_MAX: i64 = 24 * 3_600_000;
    /// Times further off than this are refused, unless the config says otherwise, in milliseconds.
    const LAG_TAKEN_MS_MAX: i64 = 3_600_000;

    /// How old its data is when it comes, in milliseconds. When what came last is further off than is taken, it is
    /// that of what the engine took, which is `taken_ms`, if that is known.
    pub fn lag_ms(&self, taken_ms: Option<i64>) -> Option<i64> {
        let lag_ms = self.lag_ms?;
        let is_taken = lag_ms.saturating_abs() < Self::LAG_TAKEN_MS_MAX;
        if is_taken {
            Some(lag_ms)
        } else {
            taken_ms.or(Some(lag_ms))
        }
    }
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

/// Signals of one label set that were lost before the engine could take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Name of the source.
    pub source: Box<str>,
    /// Whose they are, in their own words.
    pub labels: Labels,
    /// How many: at least so many, when there were too many label sets to keep.
    pub count: u64,
}

/// Signals of one source that came as far as the engine, which did not take them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedOf {
    /// Those with which something was wrong.
    pub rejected: u64,
    /// Those for which there was no room.
    pub dropped: u64,
    /// Why the last of them was not, and how often that was the reason. Nothing of it is sent back.
    pub last_of: LastOf,
}

/// How often something happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// What, in words.
    pub what: String,
    /// How often.
    pub count: u64,
}

/// What one source tells, and of whom.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceLedger {
    /// Its name.
    pub name: String,
    /// Entities it tells of.
    pub entities: u64,
    /// Those of them with most trouble first: what was dropped, rejected and missed of them.
    #[serde(default)]
    pub told: Vec<EntityLedger>,
    /// What the engine refused of it, by reason; also what names no entity.
    #[serde(default)]
    pub refused: Vec<Count>,
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
    /// Senders whose times are ahead of ours, far behind those of the others, or minutes behind ours: those furthest off first. Their
    /// clocks are wrong, or they send late. A sender of lines and spans is the host that these name.
    #[serde(default)]
    pub odd_clocks: Vec<EntityLedger>,
    /// Metrics with series that found no place, those with most samples first.
    #[serde(default)]
    pub unplaced: Vec<Count>,
}

/// What one source tells of one entity. What is counted is counted since the daemon was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityLedger {
    /// The entity.
    pub entity: EntityId,
    /// When anything last came of it that was taken, whatever time it was of; the epoch when nothing was.
    pub last_seen: Time,
    /// Usual time between two points of a series, in milliseconds: the shortest of all. Without series, usual time
    /// between two deliveries. 0 if not known.
    pub every_ms: u32,
    /// Signals in a minute, usually; 0 if not known.
    #[serde(default)]
    pub per_minute: u64,
    /// Its series.
    pub series: u64,
    /// Those of them that should speak and do not.
    pub silent: u64,
    /// How old what it says is when it comes, by the series in the middle of those that speak, else by its latest lines
    /// and spans, in milliseconds. Negative when it is dated ahead of our clock. `None` when nothing tells of it: of
    /// alerts and changes, of what is silent, and before anything was taken.
    #[serde(default)]
    pub lag_ms: Option<i64>,
    /// The same by the freshest of them that is not alone: its clock is behind ours by no more than this, or ahead, when
    /// negative, by no less. `None` as above.
    #[serde(default)]
    pub skew_ms: Option<i64>,
    /// How often it fell silent while its source went on, and spoke again.
    #[serde(default)]
    pub gaps: u64,
    /// What was wrong with what it said: signals that the engine refused.
    #[serde(default)]
    pub rejected: u64,
    /// What there was no room for.
    #[serde(default)]
    pub dropped: u64,
    /// Why they were, in words and how often, the most frequent first.
    #[serde(default)]
    pub refused: Vec<Count>,
}

impl EntityLedger {
    /// One of whom nothing was taken yet.
    pub fn unheard(entity: EntityId) -> Self {
        Self {
            entity,
            last_seen: Time::ZERO,
            every_ms: 0,
            per_minute: 0,
            series: 0,
            silent: 0,
            lag_ms: None,
            skew_ms: None,
            gaps: 0,
            rejected: 0,
            dropped: 0,
            refused: Vec::new(),
        }
    }

    /// Whether anything of it was refused or lost, or anything that it should tell is missing.
    pub const fn is_troubled(&self) -> bool {
        self.dropped > 0 || self.rejected > 0 || self.gaps > 0 || self.silent > 0
    }
}
