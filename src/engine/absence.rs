//! That something does not speak, as an observation: of a series, an entity or a source.

use super::entities::EntityIx;
use super::explain;
use super::findings::{Key, Observation};
use crate::model::{Band, Check, Direction, Explanation, MetricRole, Time, Unit};

/// Score of what is certain: a scrape that fails, an entity that is gone.
pub(super) const CERTAIN: f32 = 12.0;
/// Score of what may be none, for all that anybody knows yet.
pub(super) const UNSURE: f32 = 7.0;

/// Something that should speak and does not.
pub(super) struct Absent<'a> {
    /// What is silent, untrusted.
    pub subject: &'a str,
    /// Since when.
    pub since: Time,
    /// The sentence shown.
    pub text: String,
    /// Whether that is more than a gap.
    pub pages: bool,
    /// What stands behind it.
    pub explain: Explanation,
}

/// How unusual an absence is. Nothing is learned that it would be compared with: it speaks or it does not.
pub(super) fn absent(unusual: &str) -> Explanation {
    explain::told(unusual).judged_by([("absence", true)])
}

/// What is seen of it.
pub(super) fn absence(key: Key, entity: EntityIx, absent: Absent<'_>) -> Observation {
    let Absent {
        subject,
        since,
        text,
        pages,
        explain,
    } = absent;
    Observation {
        key,
        entity,
        callee: None,
        sick: entity,
        check: Check::Absence,
        series: None,
        subject: subject.into(),
        role: MetricRole::Availability,
        unit: Unit::None,
        since,
        at: since,
        expected: Band {
            low: 1.0,
            high: 1.0,
        },
        seen: 0.0,
        direction: Direction::Down,
        score: CERTAIN,
        pages,
        text,
        explain,
    }
}
