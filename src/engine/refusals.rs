//! What the engine refused, by reason, and who is worst: nothing is dropped silently.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why a signal was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refused {
    /// Its event time is too far from the engine's clock.
    Skew,
    /// A later point of the same series was already judged.
    Late,
    /// The same point was already judged.
    Duplicate,
    /// Its value is infinite.
    NotFinite,
    /// There are as many series as the config allows.
    SeriesMax,
    /// There are as many alerts as the config allows.
    AlertsMax,
    /// Its labels name no entity and it has no other place to go.
    NoEntity,
    /// More spans wait for the rest of their traces than there is room for.
    SpansMax,
}

/// What a signal said and was not believed; the signal itself was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Corrected {
    /// An alert began in the future: it counts from when it came.
    AlertAhead,
    /// An alert began longer ago than anything is judged by: its onset is the oldest believed.
    AlertAncient,
    /// A sender's clock was far ahead and was set right: its series go on from there.
    SenderClock,
}

/// Names kept to find the worst offender.
const NAMES_MAX: usize = 64;

/// Counts by reason.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Refusals {
    counts: [u64; Refused::ALL.len()],
    corrected: [u64; Corrected::ALL.len()],
    /// Metric names refused for [`Refused::SeriesMax`], by the scheme of Misra and Gries (1982).
    names: BTreeMap<Box<str>, u64>,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Skew,
        Self::Late,
        Self::Duplicate,
        Self::NotFinite,
        Self::SeriesMax,
        Self::AlertsMax,
        Self::NoEntity,
        Self::SpansMax,
    ];

    /// The words shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skew => "time too far from the clock",
            Self::Late => "later point already seen",
            Self::Duplicate => "same point already seen",
            Self::NotFinite => "value is infinite",
            Self::SeriesMax => "too many series",
            Self::AlertsMax => "too many alerts",
            Self::NoEntity => "labels name no entity",
            Self::SpansMax => "too many spans waiting",
        }
    }
}

impl Corrected {
    /// Every correction.
    pub const ALL: [Self; 3] = [Self::AlertAhead, Self::AlertAncient, Self::SenderClock];

    /// The words shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AlertAhead => "alert begins in the future",
            Self::AlertAncient => "alert began too long ago",
            Self::SenderClock => "sender's clock was set back",
        }
    }
}

impl Refusals {
    /// Counts something that was taken otherwise than it was told.
    pub fn correct(&mut self, what: Corrected) {
        self.corrected[what as usize] += 1;
    }

    /// Counts of corrections, those that occurred.
    pub fn corrections(&self) -> impl Iterator<Item = (Corrected, u64)> {
        Corrected::ALL
            .into_iter()
            .map(|what| (what, self.corrected[what as usize]))
            .filter(|(_, count)| *count > 0)
    }

    /// Counts one.
    pub fn add(&mut self, reason: Refused) {
        self.counts[reason as usize] += 1;
    }

    /// Counts one sample of a series that does not fit.
    pub fn add_series(&mut self, name: &str) {
        self.add(Refused::SeriesMax);
        if let Some(count) = self.names.get_mut(name) {
            *count += 1;
        } else if self.names.len() < NAMES_MAX {
            self.names.insert(name.into(), 1);
        } else {
            self.names.retain(|_, count| {
                *count -= 1;
                *count > 0
            });
        }
    }

    /// Counts by reason, those that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Refused, u64)> {
        Refused::ALL
            .into_iter()
            .map(|reason| (reason, self.counts[reason as usize]))
            .filter(|(_, count)| *count > 0)
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The metric with the most samples refused because there are too many series.
    pub fn worst_metric(&self) -> Option<&str> {
        self.names
            .iter()
            .max_by_key(|(_, count)| **count)
            .map(|(name, _)| &**name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_worst_among_many() {
        let mut refusals = Refusals::default();
        for i in 0..10_000 {
            refusals.add_series(&format!("rare_{i}"));
            refusals.add_series("exploding_metric");
        }
        refusals.add(Refused::Late);
        assert_eq!(refusals.worst_metric(), Some("exploding_metric"));
        assert_eq!(
            refusals.iter().collect::<Vec<_>>(),
            [(Refused::Late, 1), (Refused::SeriesMax, 20_000)]
        );
    }
}
