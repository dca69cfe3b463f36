//! What the metadata of Prometheus says of metrics beyond their names: how they accumulate, and in what unit they are.
//!
//! Keeps only what names do not tell, so that most metrics take no room.

use std::collections::BTreeMap;

use super::naming::{kind_by_name, unit_by_name, unit_of_word};
use crate::model::{SeriesKind, Unit};

/// Metrics of which it is kept; later ones go by their names.
const FAMILIES_MAX: usize = 50_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Families(BTreeMap<Box<str>, Told>);

/// What is told of a metric beyond its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    kind: Option<SeriesKind>,
    unit: Option<Unit>,
}

impl Told {
    /// What a metric's kind and the word for its unit say beyond its name, if anything. Histograms and summaries have no
    /// kind: they are judged by the suffixes of their series.
    pub(super) fn beyond_name(name: &str, kind: Option<SeriesKind>, unit: &str) -> Option<Self> {
        let kind = kind.filter(|kind| *kind != kind_by_name(name));
        let told = unit_of_word(unit, name);
        let unit = Some(told).filter(|unit| *unit != unit_by_name(name));
        (kind.is_some() || unit.is_some()).then_some(Self { kind, unit })
    }
}

impl Families {
    /// Keeps what is told of a metric; whether it is news.
    pub(super) fn learn(&mut self, name: &str, told: Told) -> bool {
        if self.knows(name, told) || self.0.len() >= FAMILIES_MAX {
            return false;
        }
        self.0.insert(name.into(), told);
        true
    }

    /// Whether that is told of it already.
    pub(super) fn knows(&self, name: &str, told: Told) -> bool {
        self.0.get(name) == Some(&told)
    }

    /// How a series of this name accumulates, and its unit.
    pub(super) fn of(&self, name: &str) -> (SeriesKind, Unit) {
        let own = self.0.get(name);
        let kind = own.and_then(|told| told.kind);
        let part_of = ["_sum", "_total"]
            .into_iter()
            .find_map(|suffix| self.0.get(name.strip_suffix(suffix)?));
        let unit = own.or(part_of).and_then(|told| told.unit);
        (
            kind.unwrap_or_else(|| kind_by_name(name)),
            unit.unwrap_or_else(|| unit_by_name(name)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_names_do_not_tell_is_kept_and_nothing_else() {
        let mut families = Families::default();
        let cases = [
            ("latency", None, "seconds", true),
            ("free_bytes", Some(SeriesKind::Gauge), "bytes", false),
            ("pool_sum", Some(SeriesKind::Gauge), "", true),
            ("jobs", Some(SeriesKind::Gauge), "jobs", false),
        ];
        for (name, kind, unit, is_kept) in cases {
            let told = Told::beyond_name(name, kind, unit);
            assert_eq!(told.is_some(), is_kept, "{name}");
            let Some(told) = told else { continue };
            assert!(families.learn(name, told), "{name}");
            assert!(!families.learn(name, told), "{name}: known");
        }
        let cases = [
            ("latency_sum", SeriesKind::Counter, Unit::Seconds),
            ("latency_count", SeriesKind::Counter, Unit::None),
            ("latency", SeriesKind::Gauge, Unit::Seconds),
            ("pool_sum", SeriesKind::Gauge, Unit::None),
            ("free_bytes", SeriesKind::Gauge, Unit::Bytes),
        ];
        for (name, kind, unit) in cases {
            assert_eq!(families.of(name), (kind, unit), "{name}");
        }
    }
}
