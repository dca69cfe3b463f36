//! How the daemon itself does: what it took, what waits, what could not be kept and who could not be told.

use serde::{Deserialize, Serialize};

use super::{Counts, Phase, SourceRow, Time};

/// What is counted of a daemon, since it was started unless it says otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Its version.
    pub version: String,
    /// Engine time.
    pub at: Time,
    /// Its sources, by name.
    pub sources: Vec<SourceRow>,
    /// What the engine counts.
    pub counts: Counts,
    /// Incidents that it holds now, in each phase.
    pub incidents: Vec<(Phase, u64)>,
    /// What waits for the engine.
    pub queue: QueueStats,
    /// How long ticks take.
    pub ticks: TickStats,
    /// The flight recorder; `None` when nothing is to be recorded.
    pub recorder: Option<RecorderStats>,
    /// Each `[[notify]]`, in order of name.
    pub receivers: Vec<ReceiverStats>,
}

/// How full the queue between the sources and the engine is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStats {
    /// Signals that wait.
    pub signals: u64,
    /// As many find room.
    pub signals_max: u64,
}

/// How long the engine's ticks take, in nanoseconds of real time; of each second's look at everything, and of nothing that is
/// taken between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TickStats {
    /// Ticks.
    pub count: u64,
    /// All of them together.
    pub sum_ns: u64,
    /// The last one.
    pub last_ns: u64,
    /// The longest one.
    pub longest_ns: u64,
}

/// How the flight recorder does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecorderStats {
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes they may take.
    pub bytes_max: u64,
    /// Segments.
    pub segments: u64,
    /// Inputs that could not be recorded.
    pub lost_inputs: u64,
    /// Segments with an incident in them that had to go all the same.
    pub unpinned: u64,
    /// Why nothing is recorded now, if so.
    pub failing: Option<String>,
}

/// How telling one receiver goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverStats {
    /// Its name.
    pub name: String,
    /// Notifications it took.
    pub sent: u64,
    /// Tries that failed; each is tried again.
    pub failed: u64,
    /// Notifications it refused for good, or that were given up.
    pub lost: u64,
    /// Notifications that wait for it.
    pub waiting: u64,
    /// Why the last try failed, without its address; `None` when it did not, and before the first.
    pub failing: Option<String>,
}

/// Whether a receiver can be reached, as of now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverReach {
    /// Its name.
    pub name: String,
    /// Why it cannot, without its address; `None` when it can.
    pub why_not: Option<String>,
}
