//! Is the entity in trouble? Weighs the series of one entity together: a lone blip informs, a strong
//! and lasting excursion of a key signal or the agreement of several signals pages.
//!
//! Series of one role move together, so each role counts once, by its loudest series. Roles of one
//! entity are correlated too: each after the first counts half (for equally correlated normal
//! scores Stouffer's sum grows about as slowly). Pure arithmetic, no state.

use serde::{Deserialize, Serialize};

use super::{Maturity, Verdict};
use crate::model::{Direction, MetricRole, Severity};

/// Joint score that pages: a false-alarm rate of 10⁻¹⁰ a sample, less than one a day in 10⁸ samples.
pub const PAGE_SCORE: f32 = 10.0;
/// Joint score that informs.
pub const INFORM_SCORE: f32 = 6.0;
/// Surprising samples in a row before one series alone may page.
const PAGE_STREAK: u16 = 3;
/// Evidence from which on a role supports another.
const SUPPORT_SCORE: f32 = 3.0;
/// Share of its evidence that each role after the first adds.
const SUPPORT_SHARE: f32 = 0.5;
/// One role adds at most this much, so that a page needs no miracle and a miracle is no page.
const ROLE_SCORE_MAX: f32 = 12.0;
/// What traffic and unclassified series count: a change of theirs is no fault by itself.
const MINOR_ROLE_SHARE: f32 = 0.5;
/// Roles there are.
const ROLES: usize = 6;

/// The latest of one series of the entity.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Voice {
    /// What the series says of the entity.
    pub role: MetricRole,
    /// Which way it lies off.
    pub direction: Direction,
    /// −log10 p of its present run.
    pub evidence: f32,
    /// Surprising samples in a row.
    pub streak: u16,
    /// How far its baseline can be trusted.
    pub maturity: Maturity,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// Nothing.
    Quiet,
    /// Show it.
    Inform,
    /// Open an incident.
    Page,
}

/// The entity's series, weighed together.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Joint {
    /// What to do.
    pub call: Call,
    /// Joint −log10 p.
    pub score: f32,
    /// Roles that agree.
    pub roles: u8,
    /// How bad it is, from which roles speak.
    pub severity: Severity,
}

impl Voice {
    /// What a verdict on a series of `role` has to say.
    pub fn of(role: MetricRole, verdict: &Verdict) -> Self {
        Self {
            role,
            direction: verdict.direction,
            evidence: verdict.evidence,
            streak: verdict.streak,
            maturity: verdict.maturity,
        }
    }

    /// Evidence of a fault: none in the good direction, little from minor roles.
    fn weight(&self) -> f32 {
        let share = match (self.role, self.direction) {
            (MetricRole::Latency | MetricRole::Errors | MetricRole::Saturation, Direction::Up)
            | (MetricRole::Availability, Direction::Down) => 1.0,
            (MetricRole::Traffic | MetricRole::Other, _) => MINOR_ROLE_SHARE,
            _ => 0.0,
        };
        share * self.evidence.clamp(0.0, ROLE_SCORE_MAX)
    }
}

/// Weighs the series of one entity, as heard within a short window.
pub fn weigh<'a>(voices: impl IntoIterator<Item = &'a Voice>) -> Joint {
    // Two tallies: all voices may inform, only mature ones may page.
    let mut all = [0.0_f32; ROLES];
    let mut mature = [0.0_f32; ROLES];
    let mut lasting = false;
    for voice in voices {
        let weight = voice.weight();
        let role = voice.role as usize;
        all[role] = all[role].max(weight);
        if voice.maturity == Maturity::Mature {
            mature[role] = mature[role].max(weight);
            lasting |= weight >= PAGE_SCORE && voice.streak >= PAGE_STREAK;
        }
    }
    let (score, roles) = combine(&all);
    let (sure, agreeing) = combine(&mature);
    let call = if lasting || (sure >= PAGE_SCORE && agreeing >= 2) {
        Call::Page
    } else if score >= INFORM_SCORE {
        Call::Inform
    } else {
        Call::Quiet
    };
    Joint {
        call,
        score,
        roles,
        severity: severity(call, &mature),
    }
}

/// The loudest role in full, the others by their share.
fn combine(by_role: &[f32; ROLES]) -> (f32, u8) {
    let most = by_role.iter().fold(0.0_f32, |a, &b| a.max(b));
    let supporting = by_role.iter().filter(|&&e| e >= SUPPORT_SCORE);
    let sum: f32 = supporting.clone().sum();
    let score = most + SUPPORT_SHARE * (sum - most).max(0.0);
    (score, supporting.count() as u8)
}

/// Users are hurt when calls fail or crawl; the rest may still be saved.
fn severity(call: Call, by_role: &[f32; ROLES]) -> Severity {
    let hurts = [
        MetricRole::Errors,
        MetricRole::Availability,
        MetricRole::Latency,
    ]
    .into_iter()
    .filter(|&role| by_role[role as usize] >= INFORM_SCORE)
    .count();
    match (call, hurts) {
        (Call::Quiet, _) => Severity::Info,
        (Call::Inform, _) => Severity::Warning,
        (Call::Page, 0 | 1) => Severity::Error,
        (Call::Page, _) => Severity::Critical,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voice(role: MetricRole, direction: Direction, evidence: f32) -> Voice {
        Voice {
            role,
            direction,
            evidence,
            streak: 3,
            maturity: Maturity::Mature,
        }
    }

    #[test]
    fn a_lone_blip_informs_and_a_joint_shift_pages() {
        use Direction::{Down, Up};
        use MetricRole::{Availability, Errors, Latency, Saturation, Traffic};
        let blip = Voice {
            streak: 1,
            ..voice(Latency, Up, 11.0)
        };
        let young = Voice {
            maturity: Maturity::Learning,
            ..voice(Errors, Up, 12.0)
        };
        let cases: [(&str, Vec<Voice>, Call); 11] = [
            ("nothing at all", vec![], Call::Quiet),
            ("a whisper", vec![voice(Latency, Up, 4.0)], Call::Quiet),
            ("a lone blip", vec![blip], Call::Inform),
            (
                "a lasting key signal",
                vec![voice(Errors, Up, 11.0)],
                Call::Page,
            ),
            (
                "the good direction",
                vec![voice(Errors, Down, 12.0)],
                Call::Quiet,
            ),
            (
                "availability falls",
                vec![voice(Availability, Down, 12.0)],
                Call::Page,
            ),
            (
                "traffic alone",
                vec![voice(Traffic, Down, 12.0)],
                Call::Inform,
            ),
            (
                "two roles agree",
                vec![voice(Latency, Up, 8.0), voice(Errors, Up, 5.0)],
                Call::Page,
            ),
            (
                "one role twice",
                vec![voice(Latency, Up, 8.0), voice(Latency, Up, 8.0)],
                Call::Inform,
            ),
            ("an immature baseline", vec![young, young], Call::Inform),
            (
                "weak support",
                vec![voice(Saturation, Up, 8.0), voice(Errors, Up, 2.0)],
                Call::Inform,
            ),
        ];
        for (name, voices, call) in cases {
            assert_eq!(weigh(&voices).call, call, "{name}");
        }
    }

    #[test]
    fn severity_says_who_is_hurt() {
        use Direction::Up;
        let both = [
            voice(MetricRole::Latency, Up, 9.0),
            voice(MetricRole::Errors, Up, 9.0),
        ];
        assert_eq!(weigh(&both).severity, Severity::Critical);
        let pool = [voice(MetricRole::Saturation, Up, 11.0)];
        assert_eq!(weigh(&pool).severity, Severity::Error);
    }
}
