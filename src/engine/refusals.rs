//! What the engine refused, by reason, and who is worst: nothing is dropped silently.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::intake::SourceIx;
use crate::model::Heaviest;

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
    /// There are as many series of its source as the config allows.
    SourceSeriesMax,
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

/// Counts by reason.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Refusals {
    counts: [u64; Refused::ALL.len()],
    corrected: [u64; Corrected::ALL.len()],
    /// Metrics that found no place, by the source that brings them.
    offenders: BTreeMap<SourceIx, Heaviest<Box<str>>>,
}

impl Refused {
    /// Every reason.
    pub const ALL: [Self; 9] = [
        Self::Skew,
        Self::Late,
        Self::Duplicate,
        Self::NotFinite,
        Self::SeriesMax,
        Self::SourceSeriesMax,
        Self::AlertsMax,
        Self::NoEntity,
        Self::SpansMax,
    ];

    /// Whether there was no room for it, and nothing wrong with it.
    pub const fn is_drop(self) -> bool {
        match self {
            Self::SeriesMax | Self::SourceSeriesMax | Self::AlertsMax | Self::SpansMax => true,
            Self::Skew | Self::Late | Self::Duplicate | Self::NotFinite | Self::NoEntity => false,
        }
    }

    /// The words shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Skew => "time too far from the clock",
            Self::Late => "later point already seen",
            Self::Duplicate => "same point already seen",
            Self::NotFinite => "value is infinite",
            Self::SeriesMax => "too many series",
            Self::SourceSeriesMax => "too many series of one source",
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

    /// Counts one sample of a series that does not fit, for one of the two reasons.
    pub fn add_series(&mut self, reason: Refused, source: SourceIx, name: &str) {
        self.add(reason);
        let offenders = self.offenders.entry(source).or_default();
        offenders.count(name, |name| name.into());
    }

    /// Counts by reason, those that occurred.
    pub fn iter(&self) -> impl Iterator<Item = (Refused, u64)> {
        Refused::ALL
            .into_iter()
            .map(|reason| (reason, self.counts[reason as usize]))
            .filter(|(_, count)| *count > 0)
    }

    /// How many of one reason.
    pub fn of(&self, reason: Refused) -> u64 {
        self.counts[reason as usize]
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The source with the most samples that found no place, and its metric with the most.
    pub fn worst_offender(&self) -> Option<(SourceIx, &str)> {
        let worst = self.offenders.iter().max_by_key(|(_, of)| of.total());
        let (source, offenders) = worst?;
        let (name, _) = *offenders.worst().first()?;
        Some((*source, name))
    }

    /// Metrics that found no place by source, those with most samples first.
    pub fn offenders(&self) -> impl Iterator<Item = (SourceIx, Vec<(&str, u64)>)> {
        self.offenders.iter().map(|(source, of)| {
            let worst = of.worst().into_iter();
            (*source, worst.map(|(name, n)| (&**name, n)).collect())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_worst_among_many() {
        let mut refusals = Refusals::default();
        for i in 0..10_000_u16 {
            let source = SourceIx(i % 2);
            refusals.add_series(Refused::SeriesMax, source, &format!("rare_{i}"));
            refusals.add_series(Refused::SeriesMax, SourceIx(1), "exploding_metric");
        }
        let reason = Refused::SourceSeriesMax;
        refusals.add_series(reason, SourceIx(2), "another");
        refusals.add_series(reason, SourceIx(2), "worse");
        refusals.add_series(reason, SourceIx(2), "worse");
        refusals.add(Refused::Late);
        let worst = Some((SourceIx(1), "exploding_metric"));
        assert_eq!(refusals.worst_offender(), worst);
        let of_last = refusals.offenders().last();
        let expected = vec![("worse", 2), ("another", 1)];
        assert_eq!(of_last, Some((SourceIx(2), expected)));
        assert_eq!(
            refusals.iter().collect::<Vec<_>>(),
            [
                (Refused::Late, 1),
                (Refused::SeriesMax, 20_000),
                (reason, 3)
            ]
        );
    }
}
