//! What became of signals and incidents, counted: the rows after the stages that place.

use super::Correlator;

/// What was done since the start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deeds {
    /// Alerts and findings taken to an incident.
    pub attached: u64,
    /// Incidents opened.
    pub opened: u64,
    /// Incidents merged because one cause explains both, or because people said so of their like.
    pub merged: u64,
    /// Incidents that people merged.
    pub merged_by_hand: u64,
    /// Incidents that people split.
    pub split_by_hand: u64,
}

impl Correlator {
    /// What follows the stages that place, in order: name, what it does, of what, and how often.
    pub fn deeds(&self) -> [(&'static str, &'static str, &'static str, u64); 7] {
        let done = self.deeds;
        let (severities, phases) = self.book.turns();
        [
            (
                "attach",
                "taken to the incident of its entity",
                "alerts and findings",
                done.attached,
            ),
            (
                "open",
                "belongs to nothing that is open",
                "incidents",
                done.opened,
            ),
            (
                "merge",
                "one cause explains both, or people said so of their like",
                "incidents",
                done.merged,
            ),
            (
                "merge by hand",
                "a person says that they are one",
                "incidents",
                done.merged_by_hand,
            ),
            (
                "split by hand",
                "a person says that they are two",
                "incidents",
                done.split_by_hand,
            ),
            (
                "severity",
                "priority raised by impact: tier, users, objectives, labels",
                "turns",
                severities,
            ),
            (
                "phase",
                "taken, mitigated, resolved or reopened",
                "turns",
                phases,
            ),
        ]
    }
}
