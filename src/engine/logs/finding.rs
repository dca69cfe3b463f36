//! What the log checks say: a finding as it changes, ready for the engine to number.

use super::miner::TemplateId;
use crate::model::{
    Band, Check, Direction, EntityId, Explanation, Finding, FindingId, LogLevel, MetricRole, Time,
    Unit,
};
use serde::{Deserialize, Serialize};

/// A finding on an entity's logs. The same `(entity, check, template)` is the same finding until
/// it was reported with `ended`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LogFinding {
    /// What it is about.
    pub entity: EntityId,
    /// `NewTemplate`, `LogBurst`, `LogSilence`, `LogValues`, or `LevelShift` for the share of error lines.
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
    /// Lines a minute (or a share: of errors, or of values in a range) that were expected.
    pub expected: Band,
    /// Lines a minute (or that share) that were seen, at the worst.
    pub seen: f64,
    /// −log10 of the false-alarm probability, at the worst.
    pub score: f32,
    /// Whether it may open an incident by itself.
    pub pages: bool,
    /// The sentence shown, untrusted.
    pub text: Box<str>,
    /// What stands behind it.
    pub explain: Explanation,
    /// It ended because what lasted is normal now, and that sentence, untrusted.
    pub accepted: Option<Box<str>>,
}

impl LogFinding {
    /// Which way it moved.
    pub fn direction(&self) -> Direction {
        match self.check {
            Check::LogSilence => Direction::Down,
            _ => Direction::Up,
        }
    }

    /// What it says of the entity. What values a line holds is no failure, whatever the line says.
    pub fn role(&self) -> MetricRole {
        if self.level >= LogLevel::Error && self.check != Check::LogValues {
            MetricRole::Errors
        } else {
            MetricRole::Other
        }
    }

    /// Unit of what was expected and seen.
    pub fn unit(&self) -> Unit {
        match self.check {
            Check::LevelShift | Check::LogValues => Unit::Ratio,
            _ => Unit::None,
        }
    }

    /// As the finding every other check makes too.
    pub fn into_finding(self, id: FindingId) -> Finding {
        Finding {
            id,
            direction: self.direction(),
            role: self.role(),
            unit: self.unit(),
            entity: self.entity,
            callee: None,
            check: self.check,
            series: None,
            subject: self.subject,
            since: self.since,
            last_seen: self.last_seen,
            ended: self.ended,
            expected: self.expected,
            seen: self.seen,
            score: self.score,
            pages: self.pages,
            text: self.text,
            explain: Some(Box::new(self.explain)),
            accepted: self.accepted,
        }
    }
}
