//! Silences: which alerts are held back from incidents and people, why, by whom and until when.
//!
//! A silence never hides an alert from the table of alerts, and nothing it hides is uncounted.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Fingerprint, LabelFilter, Severity, Time};

/// Most matchers of one silence.
pub const SILENCE_MATCHERS_MAX: usize = 32;
/// Longest reason kept, in bytes.
const REASON_BYTES_MAX: usize = 1_000;

/// Identity of a silence; counts up from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SilenceId(pub u64);

/// What a silence is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceKind {
    /// Somebody does not want to hear it.
    #[default]
    Silence,
    /// Somebody works on it: a maintenance window opened by hand.
    Maintenance,
}

/// Where a silence is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SilenceState {
    /// It begins later.
    Pending,
    /// It holds back what it matches.
    Active,
    /// It is over.
    Expired,
}

/// What a person asks to be held back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceSpec {
    /// The silence to change; a new one if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<SilenceId>,
    /// What it is for.
    #[serde(default)]
    pub kind: SilenceKind,
    /// All must fit an alert's labels.
    pub matchers: Vec<LabelFilter>,
    /// When it begins; now, when in the past or not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Time>,
    /// When it ends at the latest.
    pub ends_at: Time,
    /// Whether it also ends once everything it held back has resolved.
    #[serde(default)]
    pub until_resolved: bool,
    /// Why.
    pub reason: String,
}

/// The same silence in an Alertmanager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilenceTwin {
    /// Name of the Alertmanager in the config.
    pub alertmanager: String,
    /// Its identity there.
    pub id: String,
}

/// A silence as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    /// Identity.
    pub id: SilenceId,
    /// What it is for.
    pub kind: SilenceKind,
    /// All must fit an alert's labels.
    pub matchers: Vec<LabelFilter>,
    /// Why, untrusted.
    pub reason: String,
    /// Who asked.
    pub author: String,
    /// When it was made or last changed.
    pub updated: Time,
    /// When it begins or began.
    pub starts_at: Time,
    /// When it ends or ended.
    pub ends_at: Time,
    /// Whether it also ends once everything it held back has resolved.
    #[serde(default)]
    pub until_resolved: bool,
    /// Where else it is kept.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub twins: Vec<SilenceTwin>,
    /// Where it is in its life.
    pub state: SilenceState,
    /// Whether it is about to end while it still holds something back.
    #[serde(default)]
    pub ends_soon: bool,
    /// Alerts it holds back now.
    #[serde(default)]
    pub hides: u32,
    /// Findings it keeps from opening an incident now.
    #[serde(default)]
    pub hides_findings: u32,
    /// Times it held an alert back, or kept a finding from opening an incident.
    #[serde(default)]
    pub hidden_total: u64,
}

/// What a silence would hold back, asked before it is made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SilencePreview {
    /// Alerts that fire now, by severity, the worst first.
    pub now: Vec<(Severity, u32)>,
    /// Times alerts fired in the days looked back on, likewise.
    pub past: Vec<(Severity, u32)>,
    /// How far back that is, in milliseconds: a week, or less after a fresh start.
    pub looked_back_ms: i64,
    /// Names of the alerts it matches, those firing now first; bounded.
    pub names: Vec<Box<str>>,
    /// Open incidents whose every signal it would hold back.
    #[serde(default)]
    pub incidents: u32,
    /// Findings that page now, on entities it matches: they would open no incident.
    #[serde(default)]
    pub findings_now: u32,
    /// Times findings paged there in the days looked back on.
    #[serde(default)]
    pub findings_past: u32,
}

/// A stage that can hold an alert back, in the order they are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HoldStage {
    /// A maintenance window is open.
    Maintenance,
    /// Somebody silenced it.
    Silence,
    /// Another alert says it already.
    Inhibition,
    /// It only says that nothing is heard, and the source it would be heard from is blind.
    Blindness,
    /// It usually clears by itself in a while.
    Transience,
}

/// An alert that is held back, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBack {
    /// By which stage.
    pub stage: HoldStage,
    /// By what in it: `silence 3`, the name of a window or a rule.
    pub by: Box<str>,
    /// Why, in words, untrusted.
    pub why: Box<str>,
    /// Since when.
    pub since: Time,
    /// Until when at the latest, if that is known.
    pub until: Option<Time>,
    /// The silence, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silence: Option<SilenceId>,
    /// The alert that says it already, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inhibited_by: Option<Fingerprint>,
}

/// A maintenance window of the config as a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaintenanceRow {
    /// Its name.
    pub name: Box<str>,
    /// Why, as the config says.
    pub reason: Box<str>,
    /// All must fit an alert's labels.
    pub matchers: Vec<LabelFilter>,
    /// When it closes, if it is open.
    pub open_until: Option<Time>,
    /// When it opens next, if it does.
    pub next_opening: Option<Time>,
    /// Times it held an alert back since the start.
    pub held_total: u64,
}

/// A stage that signals go through, with what it did since the start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageRow {
    /// Its name.
    pub name: Box<str>,
    /// What it asks, and what it does, in words.
    pub what: Box<str>,
    /// What the numbers count: `alerts`, `entities`, `metrics`, or what one of the team's rules placed and merged.
    pub of: Box<str>,
    /// How many it acted upon since the start.
    pub total: u64,
    /// How many of these it still holds, where it holds any.
    pub now: Option<u64>,
    /// How many it held back and had to tell in the end, where it holds any.
    pub told_late: Option<u64>,
}

impl HeldBack {
    /// What is done to it, in a word.
    pub const fn as_str(&self) -> &'static str {
        self.stage.as_str()
    }

    /// ` until 12:30`, as `clock` writes it; nothing of what has no end.
    pub fn until_words(&self, clock: impl Fn(Time) -> String) -> String {
        let until = self.until.map(|until| format!(" until {}", clock(until)));
        until.unwrap_or_default()
    }

    /// `silenced until 12:30: silence 3 of mia: a deploy`. Untrusted.
    pub fn words(&self, clock: impl Fn(Time) -> String) -> String {
        let until = self.until_words(clock);
        format!("{}{until}: {}", self.as_str(), self.why)
    }
}

impl StageRow {
    /// What the numbers of one of the team's rules count: the stage that asks the rules counts all.
    pub const OF_RULE: &str = "rule";
}

impl Silence {
    /// The part of a reason that is kept.
    pub fn cut_reason(reason: &str) -> &str {
        &reason[..reason.floor_char_boundary(REASON_BYTES_MAX)]
    }

    /// Where it is in its life at `now`.
    pub fn state_at(&self, now: Time) -> SilenceState {
        if now >= self.ends_at {
            SilenceState::Expired
        } else if now < self.starts_at {
            SilenceState::Pending
        } else {
            SilenceState::Active
        }
    }

    /// Its matchers as Alertmanager writes them, without what no label ends in: `a="b", c=~"d"`.
    pub fn matchers_text(&self) -> String {
        let each: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
        each.join(", ")
    }

    /// Its identity for those who expect a UUID, as Alertmanager's clients do.
    pub fn uuid(id: SilenceId) -> String {
        format!("00000000-0000-4000-8000-{:012}", id.0)
    }
}

impl SilenceId {
    /// Reads a number, or what [`Silence::uuid`] made of it.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.rsplit('-').next()?;
        let is_uuid = digits.len() < text.len();
        let id = Self(digits.trim_start_matches('#').parse().ok()?);
        (!is_uuid || Silence::uuid(id) == text).then_some(id)
    }
}

impl SilenceState {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Expired => "expired",
        }
    }
}

impl SilenceKind {
    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Silence => "silence",
            Self::Maintenance => "maintenance",
        }
    }
}

impl HoldStage {
    /// All, in the order they are asked.
    pub const ALL: [Self; 5] = [
        Self::Maintenance,
        Self::Silence,
        Self::Inhibition,
        Self::Blindness,
        Self::Transience,
    ];

    /// What it does to an alert, in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Maintenance => "in maintenance",
            Self::Silence => "silenced",
            Self::Inhibition => "inhibited",
            Self::Blindness => "unheard",
            Self::Transience => "waiting",
        }
    }
}

impl fmt::Display for SilenceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "silence {}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_read_in_both_forms() {
        let cases = [
            ("7", Some(7)),
            ("#7", Some(7)),
            ("00000000-0000-4000-8000-000000000007", Some(7)),
            ("9e09bbf2-90e1-4ec6-8db3-d6e9b8bd0007", None),
            ("-7", None),
            ("", None),
            ("seven", None),
        ];
        for (text, expected) in cases {
            assert_eq!(SilenceId::parse(text), expected.map(SilenceId), "{text}");
        }
        assert_eq!(
            SilenceId::parse(&Silence::uuid(SilenceId(42))),
            Some(SilenceId(42))
        );
    }
}
