//! What the log checks say: a finding as it changes, ready for the engine to number.

use super::miner::TemplateId;
use crate::model::{
    Band, Check, Direction, EntityId, Finding, FindingId, LogLevel, MetricRole, Time, Unit,
};
use serde::{Deserialize, Serialize};

/// A finding on an entity's logs. The same `(entity, check, template)` is the same finding until
/// it was reported with `ended`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogFinding {
    /// What it is about.
    pub entity: EntityId,
    /// `NewTemplate`, `LogBurst`, `LogSilence`, or `LevelShift` for the share of error lines.
    pub check: Check,
    /// The template; `None` when it is about all lines of the entity.
    pub template: Option<TemplateId>,
    /// The template as text, untrusted.
    pub subject: Box<str>,
    /// Severity of the lines.
    pub level: LogLevel,
    /// First abnormal line or window.
    pub since: Time,
    /// Latest abnormal line or window.
    pub last_seen: Time,
    /// When it was over.
    pub ended: Option<Time>,
    /// Lines a minute (or share of errors) that were expected.
    pub expected: Band,
    /// Lines a minute (or share of errors) that were seen, at the worst.
    pub seen: f64,
    /// −log10 of the false-alarm probability, at the worst.
    pub score: f32,
    /// Whether it may open an incident by itself.
    pub pages: bool,
    /// The sentence shown, untrusted.
    pub text: Box<str>,
    /// It ended because what lasted is normal now, and that sentence, untrusted.
    pub accepted: Option<Box<str>>,
}

impl LogFinding {
    /// As the finding every other check makes too.
    pub fn into_finding(self, id: FindingId) -> Finding {
        let direction = if self.check == Check::LogSilence {
            Direction::Down
        } else {
            Direction::Up
        };
        let role = if self.level >= LogLevel::Error {
            MetricRole::Errors
        } else {
            MetricRole::Other
        };
        let unit = if self.check == Check::LevelShift {
            Unit::Ratio
        } else {
            Unit::None
        };
        Finding {
            id,
            entity: self.entity,
            callee: None,
            check: self.check,
            series: None,
            subject: self.subject,
            role,
            unit,
            since: self.since,
            last_seen: self.last_seen,
            ended: self.ended,
            expected: self.expected,
            seen: self.seen,
            direction,
            score: self.score,
            pages: self.pages,
            text: self.text,
            explain: None,
            accepted: self.accepted,
        }
    }
}
