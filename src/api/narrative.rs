//! An incident in plain words: what, since when, how far, why, and what was tried.
//!
//! The same incident gives the same words. The sentences hold text from telemetry: callers show them as
//! `SafeText` only. Never claims a cause that the diagnosis abstains from.

use crate::model::{
    DOWN, HeldBack, Hypothesis, Impact, Incident, IncidentId, Phase, Plan, PlanState, Reopened,
    Similar, SuspectKind, Time, counted, turn,
};

/// At or below this confidence the engine says it does not know.
const UNKNOWN_CONFIDENCE: f32 = 0.3;
/// Plans told one by one; the rest are counted.
const PLANS_TOLD_MAX: usize = 4;

/// Writes instants as they are written around the words.
pub type WriteTime<'a> = &'a dyn Fn(Time) -> String;

/// The sentences, in the order a person asks.
pub fn narrative(incident: &Incident, plans: &[Plan], clock: WriteTime<'_>) -> Vec<String> {
    if let Some(home) = incident.merged_into {
        return merged(incident, home, clock);
    }
    let mut told = vec![what(incident, clock)];
    told.extend(incident.reopened.map(|again| came_back(again, clock)));
    told.extend([impact(incident), cause(incident, clock)]);
    told.extend(incident.diagnosis.similar.first().map(seen_before));
    told.extend(tried(plans));
    told
}

/// What was made part of another says so, and nothing of what goes on or was done: that is told there.
fn merged(incident: &Incident, home: IncidentId, clock: WriteTime<'_>) -> Vec<String> {
    let at = incident.resolved.unwrap_or(incident.updated);
    vec![
        format!(
            "{} It began at {} and was merged into {home} at {}.",
            sentence(&incident.title),
            clock(incident.began),
            clock(at)
        ),
        format!("What became of it, why, and what is done about it is told in {home}."),
    ]
}

fn what(incident: &Incident, clock: WriteTime<'_>) -> String {
    let noticed = if incident.began_before {
        format!("at {}", clock(incident.opened))
    } else {
        format!("{} s later", incident.opened.since(incident.began) / 1_000)
    };
    let before = if incident.began_before {
        "before"
    } else {
        "at"
    };
    let began = format!("{before} {}", clock(incident.began));
    let state = match (incident.phase, incident.mitigated, incident.resolved) {
        _ if incident.hidden().is_some() => hidden(incident, clock),
        (Phase::Resolved, _, Some(at)) => format!(
            "it was {} at {}, after {}{} min",
            if incident.fires() > 0 {
                "called over"
            } else {
                "over"
            },
            clock(at),
            if incident.began_before {
                "more than "
            } else {
                ""
            },
            at.since(incident.began) / 60_000
        ),
        (Phase::Mitigated, Some(at), _) => match turn::unsaid_calm(&incident.timeline) {
            Some(why) => format!("it calmed down at {}, but nobody said so: {why}", clock(at)),
            None => format!("its signals are back to normal since {}", clock(at)),
        },
        _ => match &incident.owner {
            Some(owner) => format!("{owner} has taken it"),
            None => "nobody has taken it".to_owned(),
        },
    };
    format!(
        "{} It began {began} and was noticed {noticed}; {state}.",
        sentence(&incident.title)
    )
}

/// Of what is hidden nobody is told, and it goes on.
fn hidden(incident: &Incident, clock: WriteTime<'_>) -> String {
    let Some(held) = incident.hidden() else {
        return String::new();
    };
    let which = match incident.impact.alerts_held {
        1 => "the alert that still fires is",
        _ => "the alerts that still fire are",
    };
    let (since, until) = (clock(held.since), held.until_words(clock));
    format!(
        "{which} {} since {since}{until} ({})",
        held.as_str(),
        held.why
    )
}

/// What was over in between did not last all the time since it began.
fn came_back(Reopened { over, at }: Reopened, clock: WriteTime<'_>) -> String {
    format!(
        "It was over at {} and was opened again at {}.",
        clock(over),
        clock(at)
    )
}

fn impact(incident: &Incident) -> String {
    let impact = &incident.impact;
    let firing = incident.fires();
    let heard = firing.saturating_sub(impact.alerts_unheard);
    let alerts = (heard, impact.alerts_total);
    let is_any_heard = heard > 0 || impact.alerts_unheard == 0;
    let findings = (impact.findings_open, impact.findings_total);
    let firing = lasting(alerts, "alert", ["fires", "fire"]).filter(|_| is_any_heard);
    let how = incident
        .held
        .as_deref()
        .map_or("held back", HeldBack::as_str);
    let still = [
        firing.map(|firing| firing + &held_back(how, impact.alerts_held, heard)),
        lasting(findings, "finding", ["lasts", "last"]),
    ];
    let unheard = unheard(impact);
    let still: Vec<String> = still.into_iter().flatten().chain(unheard).collect();
    let still = if still.is_empty() {
        String::new()
    } else {
        format!("; {}", still.join(", "))
    };
    let [reaches, hurts] = if is_over(incident) {
        ["reached", "hurt"]
    } else {
        ["reaches", "hurts"]
    };
    format!(
        "It {reaches} {} and {hurts} {} most{still}.",
        counted(impact.entities.into(), "entity", "entities"),
        incident.entity.name(),
    )
}

/// How many of the alerts that fire nobody is told of.
fn held_back(how: &str, held: u32, firing: u32) -> String {
    match (held.min(firing), firing) {
        (0, _) => String::new(),
        (1, 1) => format!(", {how}"),
        (2, 2) => format!(", both of them {how}"),
        (held, firing) if held == firing => format!(", all of them {how}"),
        (held, _) => format!(", {held} of them {how}"),
    }
}

/// How many of its alerts nobody vouches for any more.
fn unheard(impact: &Impact) -> Option<String> {
    Some(match (impact.alerts_unheard, impact.alerts_total) {
        (0, _) => return None,
        (1, 1) => "its alert is not heard of any more: its sender fell silent".to_owned(),
        (1, _) => "1 of its alerts is not heard of any more: its sender fell silent".to_owned(),
        (count, _) => {
            format!("{count} of its alerts are not heard of any more: their senders fell silent")
        }
    })
}

/// Whether nobody is hurt by it any more.
fn is_over(incident: &Incident) -> bool {
    match incident.phase {
        Phase::Resolved => true,
        Phase::Mitigated => incident.impact.alerts_held == 0 && incident.held.is_none(),
        Phase::Open | Phase::Acknowledged => false,
    }
}

/// How many of some go on: nothing of none.
fn lasting((now, total): (u32, u32), noun: &str, [lasts, last]: [&str; 2]) -> Option<String> {
    Some(match (now, total) {
        (_, 0) => return None,
        (0, 1) => format!("its {noun} is over"),
        (0, total) => format!("its {total} {noun}s are over"),
        (_, 1) => format!("its {noun} still {lasts}"),
        (now, 2) if now >= 2 => format!("both {noun}s still {last}"),
        (now, total) if now >= total => format!("all {total} {noun}s still {last}"),
        (1, total) => format!("1 of {total} {noun}s still {lasts}"),
        (now, total) => format!("{now} of {total} {noun}s still {last}"),
    })
}

fn cause(incident: &Incident, clock: WriteTime<'_>) -> String {
    let diagnosis = &incident.diagnosis;
    if let Some(cause) = &incident.cause {
        let changes = incident.changes.iter();
        let confirmed = changes.filter(|change| cause.change.as_ref() == Some(&change.id));
        let by = { confirmed }
            .next()
            .map_or_else(String::new, |change| format!(" ({})", change.named()));
        return format!(
            "The cause was {}{by}, as {} found.",
            cause.entity.name(),
            cause.by
        );
    }
    match diagnosis.hypotheses.first() {
        Some(first) if first.confidence > UNKNOWN_CONFIDENCE => {
            let why = first
                .evidence_for
                .first()
                .map(|evidence| format!(": {}", evidence.text))
                .unwrap_or_default();
            format!(
                "The likely cause is {} ({:.0} %){why}.",
                suspect(first, clock),
                first.confidence * 100.0
            )
        }
        first => {
            let guess = first.map_or_else(String::new, |first| {
                format!(
                    "; the first suspect is {} ({:.0} %)",
                    first.suspect.name(),
                    first.confidence * 100.0
                )
            });
            let unseen = diagnosis
                .not_seen
                .first()
                .map(|what| format!(" {}.", capital(what)))
                .unwrap_or_default();
            format!("The cause is not known{guess}.{unseen}")
        }
    }
}

/// The past incident most like this one, and what came of it.
fn seen_before(past: &Similar) -> String {
    let cause = match &past.cause {
        Some(cause) => format!(", which {} caused", cause.name()),
        None => String::new(),
    };
    let helped = past.done.iter().rfind(|done| done.helped);
    let helped = helped.map_or(String::new(), |done| {
        format!("; then this helped: {}", done.title)
    });
    format!(
        "It looks like {} ({:.0} % alike){cause}{helped}.",
        past.incident,
        past.likeness * 100.0
    )
}

/// A suspect with what about it is suspected.
fn suspect(hypothesis: &Hypothesis, clock: WriteTime<'_>) -> String {
    let name = hypothesis.suspect.name();
    match &hypothesis.cause {
        SuspectKind::Change { title, at, .. } => {
            format!("the change {title} of {name} at {}", clock(*at))
        }
        SuspectKind::Resource { metric } if **metric == *DOWN => format!("that {name} is down"),
        SuspectKind::Resource { metric } => format!("{metric} at {name}"),
        SuspectKind::Traffic => format!("more work than usual at {name}"),
        SuspectKind::InstanceLoss => format!("the loss of {name}"),
        SuspectKind::Dependency => format!("{name} itself"),
        SuspectKind::Unknown => format!("something at {name}"),
    }
}

fn tried(plans: &[Plan]) -> Vec<String> {
    let acted: Vec<String> = plans.iter().filter_map(outcome).collect();
    let waiting = plans
        .iter()
        .filter(|plan| plan.state == PlanState::Proposed)
        .count();
    let mut told: Vec<String> = acted.iter().take(PLANS_TOLD_MAX).cloned().collect();
    if acted.len() > PLANS_TOLD_MAX {
        told.push(format!("{} more were tried.", acted.len() - PLANS_TOLD_MAX));
    }
    if acted.is_empty() {
        told.push("Nothing was tried.".to_owned());
    }
    if waiting > 0 {
        let plans = counted(waiting as u64, "plan waits", "plans wait");
        told.push(format!("{plans} for approval."));
    }
    told
}

/// What became of a plan that ran; `None` when it never did.
fn outcome(plan: &Plan) -> Option<String> {
    let state = match &plan.state {
        PlanState::Succeeded => "and it helped".to_owned(),
        PlanState::RolledBack { reason } if plan.helped => {
            format!("which helped, and was undone: {reason}")
        }
        PlanState::RolledBack { reason } => format!("which was undone: {reason}"),
        PlanState::Failed { reason } => format!("which failed: {reason}"),
        PlanState::Unknown { .. } => "with an unknown result: a person must say".to_owned(),
        PlanState::Verifying { .. } => "and it is being verified".to_owned(),
        PlanState::Checking { .. } | PlanState::Running { .. } => "which is running".to_owned(),
        PlanState::RollingBack { reason, .. } => format!("which is being undone: {reason}"),
        PlanState::Proposed
        | PlanState::Rejected { .. }
        | PlanState::Expired
        | PlanState::Void { .. } => return None,
    };
    Some(format!("Tried: {}, {state}.", plan.title))
}

/// The text with its first letter large.
fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

/// The text with a full stop.
fn sentence(text: &str) -> String {
    let stop = if text.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{text}{stop}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Done, EntityId, Evidence, HoldStage, Severity, SuspectRole, TrueCause};

    fn clock(at: Time) -> String {
        at.to_utc().format("%H:%M").to_string()
    }

    fn incident() -> Incident {
        let (began, opened) = (Time::from_secs(43_200), Time::from_secs(43_215));
        Incident {
            severity: Severity::Critical,
            title: "checkout: errors 14 %, expected 0–1 %".into(),
            updated: Time::from_secs(43_260),
            impact: Impact {
                entities: 1,
                alerts_firing: 1,
                alerts_held: 0,
                alerts_unheard: 0,
                alerts_total: 2,
                findings_open: 3,
                findings_total: 4,
            },
            ..Incident::opened(IncidentId(3), EntityId::parse("checkout"), began, opened)
        }
    }

    fn suspected(confidence: f32) -> Hypothesis {
        Hypothesis {
            suspect: EntityId::parse("service/payments"),
            cause: SuspectKind::Resource {
                metric: "pool in use".into(),
            },
            role: SuspectRole::Trigger,
            confidence,
            limit: 0.97,
            evidence_for: vec![Evidence {
                text: "pool in use 100 of 100".into(),
                weight: 1.0,
                method: None,
            }],
            evidence_against: Vec::new(),
        }
    }

    #[test]
    fn what_is_not_heard_of_is_neither_over_nor_still_firing() {
        let mut incident = incident();
        let cases = [
            ((1, 0, 1), "its alert still fires"),
            (
                (1, 1, 1),
                "; its alert is not heard of any more: its sender",
            ),
            (
                (3, 1, 3),
                "2 of 3 alerts still fire, 1 of its alerts is not heard",
            ),
            (
                (3, 3, 4),
                "; 3 of its alerts are not heard of any more: their",
            ),
        ];
        incident.impact.findings_total = 0;
        incident.impact.findings_open = 0;
        incident.impact.alerts_held = 0;
        for ((firing, unheard, total), expected) in cases {
            incident.impact.alerts_firing = firing;
            incident.impact.alerts_unheard = unheard;
            incident.impact.alerts_total = total;
            let told = impact(&incident);
            assert!(told.contains(expected), "{told}");
        }
        incident.phase = Phase::Mitigated;
        incident.mitigated = Some(incident.opened);
        incident.tell(
            incident.opened,
            crate::model::Lane::Automation,
            None,
            turn::UNSAID,
        );
        let told = what(&incident, &clock);
        assert!(
            told.contains("but nobody said so: its alerts are not sent any more"),
            "{told}"
        );
    }

    #[test]
    fn what_is_held_back_is_said_of_the_alerts_that_fire() {
        let mut incident = incident();
        let cases = [
            (
                (0, 1, 1),
                "; its alert still fires, held back, 3 of 4 findings",
            ),
            (
                (1, 1, 2),
                "; both alerts still fire, 1 of them held back, 3 of",
            ),
            (
                (0, 2, 2),
                "; both alerts still fire, both of them held back,",
            ),
            (
                (0, 3, 5),
                "; 3 of 5 alerts still fire, all of them held back,",
            ),
            (
                (2, 1, 5),
                "; 3 of 5 alerts still fire, 1 of them held back,",
            ),
            ((1, 0, 1), "; its alert still fires, 3 of 4 findings"),
        ];
        for ((firing, held, total), expected) in cases {
            incident.impact.alerts_firing = firing;
            incident.impact.alerts_held = held;
            incident.impact.alerts_total = total;
            let told = impact(&incident);
            assert!(told.contains(expected), "{told}");
        }
    }

    #[test]
    fn what_people_found_and_what_was_seen_before_is_told() {
        let mut found = incident();
        found.cause = Some(TrueCause {
            entity: EntityId::parse("payments"),
            change: None,
            by: "mia".to_owned(),
            at: Time::ZERO,
        });
        found.diagnosis.similar = vec![Similar {
            incident: IncidentId(2),
            likeness: 0.84,
            title: "checkout: errors".into(),
            began: Time::ZERO,
            cause: Some(EntityId::parse("payments")),
            done: vec![Done {
                title: "raise the pool".into(),
                target: EntityId::parse("payments"),
                helped: true,
            }],
        }];
        assert_eq!(
            narrative(&found, &[], &clock)[2..4],
            [
                "The cause was payments, as mia found.",
                "It looks like #2 (84 % alike), which payments caused; then this helped: raise the pool.",
            ]
        );
    }

    #[test]
    fn what_goes_on_is_said_plainly() {
        for (now, total, said) in [
            (0, 0, None),
            (0, 1, Some("its alert is over")),
            (1, 1, Some("its alert still fires")),
            (0, 3, Some("its 3 alerts are over")),
            (1, 3, Some("1 of 3 alerts still fires")),
            (2, 3, Some("2 of 3 alerts still fire")),
            (2, 2, Some("both alerts still fire")),
            (3, 3, Some("all 3 alerts still fire")),
        ] {
            let got = lasting((now, total), "alert", ["fires", "fire"]);
            assert_eq!(got.as_deref(), said, "{now} of {total}");
        }
    }

    #[test]
    fn what_was_merged_leads_to_its_home_and_claims_nothing() {
        let mut merged = incident();
        merged.diagnosis.hypotheses.push(suspected(0.82));
        merged.phase = Phase::Resolved;
        merged.resolved = Some(Time::from_secs(43_800));
        merged.merged_into = Some(IncidentId(1));
        let expected = [
            "checkout: errors 14 %, expected 0–1 %. It began at 12:00 and was merged into #1 at 12:10.",
            "What became of it, why, and what is done about it is told in #1.",
        ];
        assert_eq!(narrative(&merged, &[], &clock), expected);
    }

    #[test]
    fn a_beginning_that_is_only_bounded_is_told_so() {
        let mut old = incident();
        old.began_before = true;
        let mut over = old.clone();
        over.phase = Phase::Resolved;
        over.resolved = Some(Time::from_secs(43_800));
        let title = "checkout: errors 14 %, expected 0–1 %.";
        for (incident, state) in [
            (old, "nobody has taken it"),
            (over, "it was called over at 12:10, after more than 10 min"),
        ] {
            assert_eq!(
                narrative(&incident, &[], &clock)[0],
                format!("{title} It began before 12:00 and was noticed at 12:00; {state}.")
            );
        }
    }

    #[test]
    fn what_is_hidden_is_neither_back_to_normal_nor_over() {
        let mut hidden = incident();
        hidden.phase = Phase::Mitigated;
        hidden.mitigated = Some(Time::from_secs(43_300));
        (hidden.impact.alerts_firing, hidden.impact.alerts_held) = (0, 1);
        (hidden.impact.findings_open, hidden.impact.findings_total) = (0, 0);
        hidden.held = Some(Box::new(HeldBack {
            stage: HoldStage::Silence,
            by: "3".into(),
            why: "silence 3 of mia: a deploy".into(),
            since: Time::from_secs(43_260),
            until: Some(Time::from_secs(46_800)),
            silence: None,
            inhibited_by: None,
        }));
        let told = narrative(&hidden, &[], &clock).join(" ");
        let expected = "the alert that still fires is silenced since 12:01 until 13:00 (silence 3 of mia: a deploy)";
        assert!(told.contains(expected), "{told}");
        assert!(
            told.contains("1 of 2 alerts still fires, silenced"),
            "{told}"
        );
        assert!(
            !told.contains("normal") && !told.contains(" over"),
            "{told}"
        );
    }

    #[test]
    fn what_was_over_in_between_is_told() {
        let at = Time::from_secs;
        let (over, again) = (at(43_800), at(44_100));
        let mut back = incident();
        back.reopened = Some(Reopened { over, at: again });
        let mut over_again = back.clone();
        over_again.phase = Phase::Resolved;
        over_again.resolved = Some(at(45_000));
        for incident in [back, over_again] {
            assert_eq!(
                narrative(&incident, &[], &clock)[1],
                "It was over at 12:10 and was opened again at 12:15."
            );
        }
    }

    #[test]
    fn says_what_is_known_and_no_more() {
        let began =
            "checkout: errors 14 %, expected 0–1 %. It began at 12:00 and was noticed 15 s later";
        let reach = "It reaches 1 entity and hurts checkout most; 1 of 2 alerts still fires, 3 of 4 findings still last.";
        let mut sure = incident();
        sure.diagnosis.hypotheses.push(suspected(0.82));
        let mut unsure = incident();
        unsure.owner = Some("mia".to_owned());
        unsure.diagnosis.hypotheses.push(suspected(0.3));
        unsure.diagnosis.not_seen.push("no traces".into());
        let mut over = incident();
        over.phase = Phase::Resolved;
        over.resolved = Some(Time::from_secs(43_800));
        let cases = [
            (
                sure,
                "nobody has taken it",
                "The likely cause is pool in use at payments (82 %): pool in use 100 of 100.",
            ),
            (
                unsure,
                "mia has taken it",
                "The cause is not known; the first suspect is payments (30 %). No traces.",
            ),
            (
                over,
                "it was called over at 12:10, after 10 min",
                "The cause is not known.",
            ),
        ];
        for (incident, state, cause) in cases {
            let reach = match incident.phase {
                Phase::Resolved => reach.replace("reaches", "reached").replace("hurts", "hurt"),
                _ => reach.to_owned(),
            };
            let expected = [
                format!("{began}; {state}."),
                reach,
                cause.to_owned(),
                "Nothing was tried.".to_owned(),
            ];
            assert_eq!(narrative(&incident, &[], &clock), expected);
        }
    }
}
