//! How bad an incident is, as one readable function of what is known of its impact: whom it hurts and how,
//! how many of their requests, what the catalogue and the objectives say; what a label says counts as far
//! as that bears it out. With the reasons.

use super::held::Held;
use super::impact::Sight;
use crate::engine::entities::EntityIx;
use crate::model::{Check, Finding, MetricRole, Severity, Unit, counted};

/// This many entities hurt make an incident critical whatever they are.
const WIDESPREAD: usize = 12;
/// Fewer of the requests of users than this fail: they notice, and it is not the worst.
const FEW_FAIL: f64 = 0.01;
/// What hurts in this tier of the catalogue or above is critical once it is an error …
const TIER_FIRST: u8 = 1;
/// … a label is taken at its word down to this one …
const TIER_BELIEVED: u8 = 2;
/// … and below that, what no user feels is no more than a warning.
const TIER_LAST: u8 = 4;

/// What is known of an incident's impact.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The worst that its alerts say of themselves.
    pub label: Option<Severity>,
    /// The worst that its findings show.
    pub symptom: Option<Symptom>,
    /// The business tier of where it hurts, 1 the most important.
    pub tier: Option<u8>,
    /// Whether the budget of an objective burns fast enough to page.
    pub burns: bool,
    /// Entities it hurts.
    pub hurt: usize,
}

/// What findings show, the mildest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Symptom {
    /// Something pages.
    Odd,
    /// Who is hurt most is slow.
    Slow,
    /// Nothing is left of a resource, or will be before long.
    RunsOut,
    /// Something fails, behind what users come in by.
    FailsWithin,
    /// Users feel it where they come in: the share of requests that fail, if it is measured.
    UsersFail(Option<f64>),
}

/// How bad, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// How bad.
    pub severity: Severity,
    /// The reasons, the weightiest first.
    pub why: String,
    /// Whether the catalogue or an objective made it worse than its symptoms.
    pub is_raised: bool,
}

/// How bad an incident of such an impact is.
pub fn judge(facts: &Facts) -> Verdict {
    use Severity::{Critical, Error, Info, Warning};
    let mut why = Vec::new();
    let shown = match facts.symptom {
        Some(Symptom::UsersFail(Some(share))) if share < FEW_FAIL => Error,
        Some(Symptom::UsersFail(_)) => Critical,
        Some(Symptom::FailsWithin | Symptom::RunsOut | Symptom::Slow) => Error,
        Some(Symptom::Odd) => Warning,
        None => Info,
    };
    let is_widespread = facts.hurt >= WIDESPREAD;
    let is_borne_out = shown >= Error
        || facts.burns
        || is_widespread
        || facts.tier.is_some_and(|tier| tier <= TIER_BELIEVED);
    let said = match facts.label {
        Some(Critical) if !is_borne_out => Error,
        Some(label) => label,
        None => Info,
    };
    let by_itself = shown.max(said);
    let mut severity = by_itself;
    if facts.burns {
        severity = Critical;
        why.push("an objective's budget burns fast".to_owned());
    }
    if let Some(symptom) = facts.symptom {
        why.push(told(symptom));
    }
    if let Some(label) = facts.label {
        let alone = if label > said {
            ", which nothing bears out"
        } else {
            ""
        };
        why.push(format!("an alert says {}{alone}", label.as_str()));
    }
    if is_widespread {
        let hurt = counted(facts.hurt as u64, "entity", "entities");
        why.push(format!("{hurt} hurt"));
        severity = severity.max(if by_itself >= Error {
            Critical
        } else {
            severity
        });
    }
    if let Some(tier) = facts.tier {
        let of_tier = format!("it is of tier {tier} in the catalogue");
        if tier <= TIER_FIRST && severity >= Error {
            severity = Critical;
            why.insert(0, of_tier);
        } else {
            let most = most_of(tier, facts);
            severity = severity.min(most);
            why.push(of_tier);
        }
    }
    Verdict {
        severity,
        why: why.join("; "),
        is_raised: severity > by_itself,
    }
}

/// The worst that something of a lower tier can be: what no user feels and no objective counts can wait.
fn most_of(tier: u8, facts: &Facts) -> Severity {
    let is_felt = facts.burns || matches!(facts.symptom, Some(Symptom::UsersFail(_)));
    match (tier > TIER_BELIEVED, tier >= TIER_LAST, is_felt) {
        (false, ..) | (true, false, true) => Severity::Critical,
        (true, false, false) | (true, true, true) => Severity::Error,
        (true, true, false) => Severity::Warning,
    }
}

fn told(symptom: Symptom) -> String {
    match symptom {
        Symptom::UsersFail(Some(share)) => {
            format!("{:.1} % of what users ask fails", share * 100.0)
        }
        Symptom::UsersFail(None) => "what users ask fails".to_owned(),
        Symptom::FailsWithin => "something fails".to_owned(),
        Symptom::RunsOut => "a resource runs out".to_owned(),
        Symptom::Slow => "it is slow where it hurts most".to_owned(),
        Symptom::Odd => "something is odd enough to page".to_owned(),
    }
}

/// What is known of the impact of an incident that hurts `target` most.
pub fn facts(held: &Held, target: EntityIx, sight: &Sight<'_>) -> Facts {
    let is_entry =
        sight.topology.callers(target).is_empty() && !sight.topology.callees(target).is_empty();
    let at = sight.entities.id(target);
    let symptom = |finding: &Finding| {
        let at_target = finding.entity == *at;
        match finding.role {
            _ if finding.check == Check::Saturation => Symptom::RunsOut,
            MetricRole::Errors | MetricRole::Availability if at_target && is_entry => {
                Symptom::UsersFail(share(finding))
            }
            MetricRole::Errors | MetricRole::Availability => Symptom::FailsWithin,
            MetricRole::Latency if at_target => Symptom::Slow,
            _ => Symptom::Odd,
        }
    };
    let paging = held.incident.findings.iter().filter(|f| f.pages);
    Facts {
        label: held.alert_severity,
        symptom: paging
            .clone()
            .map(symptom)
            .max_by(|a, b| weight(*a).total_cmp(&weight(*b))),
        tier: sight.entities.entity(target).tier,
        burns: { paging }.any(|finding| finding.check == Check::BurnRate),
        hurt: held.members.len(),
    }
}

/// How much a symptom counts among those of one incident.
const fn weight(symptom: Symptom) -> f64 {
    match symptom {
        Symptom::Odd => 0.0,
        Symptom::Slow => 1.0,
        Symptom::RunsOut => 1.5,
        Symptom::FailsWithin => 2.0,
        Symptom::UsersFail(Some(share)) => 3.0 + share,
        // Nobody measures how many: then it is not taken for few.
        Symptom::UsersFail(None) => 3.0 + FEW_FAIL,
    }
}

/// The share of requests that fail, from 0 to 1, where a finding measures that.
fn share(finding: &Finding) -> Option<f64> {
    let is_share = matches!(finding.check, Check::ErrorRatio | Check::TraceErrors);
    match finding.unit {
        Unit::Ratio if is_share => Some(finding.seen),
        Unit::Percent if is_share => Some(finding.seen / 100.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Severity::{Critical, Error, Info, Warning};

    #[test]
    fn priority_is_of_impact_and_says_why() {
        let facts = Facts::default;
        let fails = Symptom::UsersFail(Some(0.14));
        let says = |label| Facts {
            label: Some(label),
            ..facts()
        };
        let shows = |symptom| Facts {
            symptom: Some(symptom),
            ..facts()
        };
        let of_tier = |tier, facts| Facts {
            tier: Some(tier),
            ..facts
        };
        let cases = [
            (facts(), Info, ""),
            (
                says(Critical),
                Error,
                "an alert says critical, which nothing bears out",
            ),
            (
                of_tier(1, says(Critical)),
                Critical,
                "it is of tier 1 in the catalogue; an alert says critical",
            ),
            (
                of_tier(2, says(Critical)),
                Critical,
                "an alert says critical; it is of tier 2 in the catalogue",
            ),
            (
                of_tier(3, says(Critical)),
                Error,
                "an alert says critical, which nothing bears out; it is of tier 3 in the catalogue",
            ),
            (
                of_tier(4, says(Critical)),
                Warning,
                "an alert says critical, which nothing bears out; it is of tier 4 in the catalogue",
            ),
            (shows(fails), Critical, "14.0 % of what users ask fails"),
            (
                shows(Symptom::UsersFail(Some(0.004))),
                Error,
                "0.4 % of what users ask fails",
            ),
            (
                of_tier(3, shows(fails)),
                Critical,
                "14.0 % of what users ask fails; it is of tier 3 in the catalogue",
            ),
            (
                of_tier(4, shows(fails)),
                Error,
                "14.0 % of what users ask fails; it is of tier 4 in the catalogue",
            ),
            (
                shows(Symptom::Slow),
                Error,
                "it is slow where it hurts most",
            ),
            (
                of_tier(4, shows(Symptom::Slow)),
                Warning,
                "it is slow where it hurts most; it is of tier 4 in the catalogue",
            ),
            (
                Facts {
                    burns: true,
                    ..shows(Symptom::FailsWithin)
                },
                Critical,
                "an objective's budget burns fast; something fails",
            ),
            (
                Facts {
                    hurt: WIDESPREAD,
                    ..shows(Symptom::FailsWithin)
                },
                Critical,
                "something fails; 12 entities hurt",
            ),
            (
                Facts {
                    label: Some(Critical),
                    ..shows(Symptom::Slow)
                },
                Critical,
                "it is slow where it hurts most; an alert says critical",
            ),
        ];
        for (facts, severity, why) in cases {
            let verdict = judge(&facts);
            assert_eq!(
                (verdict.severity, &*verdict.why),
                (severity, why),
                "{facts:?}"
            );
        }
    }

    #[test]
    fn what_runs_out_cannot_wait() {
        let verdict = judge(&Facts {
            symptom: Some(Symptom::RunsOut),
            ..Facts::default()
        });
        let said = (verdict.severity, &*verdict.why);
        assert_eq!(said, (Error, "a resource runs out"));
    }

    #[test]
    fn a_lower_tier_is_never_more_urgent() {
        let labels = [None, Some(Warning), Some(Error), Some(Critical)];
        let symptoms = [
            None,
            Some(Symptom::Odd),
            Some(Symptom::Slow),
            Some(Symptom::RunsOut),
            Some(Symptom::FailsWithin),
        ];
        for label in labels {
            for symptom in symptoms {
                for burns in [false, true] {
                    let of = |tier| {
                        let tier = Some(tier);
                        judge(&Facts {
                            label,
                            symptom,
                            tier,
                            burns,
                            hurt: 1,
                        })
                        .severity
                    };
                    let by_tier = [1, 2, 3, 4].map(of);
                    assert!(
                        by_tier.is_sorted_by(|a, b| a >= b),
                        "{label:?} {symptom:?} {by_tier:?}"
                    );
                }
            }
        }
    }
}
