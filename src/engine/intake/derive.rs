//! What becomes of the raw points of a series, told by its name and kind.

use serde::{Deserialize, Serialize};

use crate::engine::roles;
use crate::model::{Series, SeriesKind, Unit};

/// How raw points become the value that is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Derive {
    /// Judged as it is.
    Gauge,
    /// The scrape's own verdict; judged by `silence`.
    Up,
    /// Increase per second since the last point.
    Rate,
    /// Reading per second since the last point.
    PerSecond,
    /// Increase over the increase of the `_count` beside it.
    Mean,
    /// Increase since the last point; judged with the other buckets of its histogram.
    Bucket,
    /// Not judged at all.
    Held,
    /// Silent for good: the place is free.
    Retired,
}

/// Growth of a counter; one that fell was reset and grew from zero.
pub(super) fn increase(before: f64, now: f64) -> f64 {
    if now >= before { now - before } else { now }
}

/// Whether a value says that something lives, or that it does not.
pub(super) fn is_verdict(raw: f64) -> bool {
    [0.0, 1.0]
        .iter()
        .any(|verdict| raw.total_cmp(verdict).is_eq())
}

pub(super) fn derive_of(series: &Series) -> Derive {
    let name = &*series.name;
    let is_bucket = name.ends_with("_bucket") && series.labels.get("le").is_some();
    if !roles::is_judged(name) {
        return Derive::Held;
    }
    match series.kind {
        SeriesKind::Gauge if is_bucket => Derive::Held,
        SeriesKind::Counter | SeriesKind::Delta if is_bucket => Derive::Bucket,
        SeriesKind::Gauge if roles::is_up(name, &series.labels) => Derive::Up,
        SeriesKind::Gauge => Derive::Gauge,
        SeriesKind::Counter if name.ends_with("_sum") => Derive::Mean,
        SeriesKind::Counter => Derive::Rate,
        SeriesKind::Delta => Derive::PerSecond,
    }
}

/// A rate of seconds is a share, other rates are per second; means keep the unit of the series.
pub(super) fn unit_after(series: &Series, derive: Derive) -> Unit {
    match (derive, roles::unit_of(series)) {
        (Derive::Rate | Derive::PerSecond, Unit::Seconds) => Unit::Ratio,
        (Derive::Rate | Derive::PerSecond, Unit::Milliseconds) => Unit::None,
        (Derive::Rate | Derive::PerSecond, Unit::None) => Unit::PerSecond,
        (Derive::Rate | Derive::PerSecond, Unit::Bytes) => Unit::BytesPerSecond,
        (_, unit) => unit,
    }
}
