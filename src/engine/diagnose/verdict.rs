//! From weighed subjects to the diagnosis shown: roles, causes, honest confidence, sentences.
//!
//! Must never raise a confidence: it only limits what the weighing found.

use super::case::{Case, Subject, SubjectIx};
use super::deviation::gate;
use super::weigh::{Clue, ClueKind, Weighed};
use super::words;
use crate::model::{
    Diagnosis, EntityKind, Evidence, Hypothesis, Provenance, SuspectKind, SuspectRole, Unit,
    counted,
};

/// Suspects shown at most.
const SUSPECTS_MAX: usize = 5;
/// Suspects below this chance are not shown.
const CHANCE_MIN: f64 = 0.02;
/// At or below this confidence the engine says it does not know.
pub const ABSTAIN_CONFIDENCE: f32 = 0.3;
/// Sentences a side of a hypothesis.
const SENTENCES_MAX: usize = 6;
/// Nobody is ever certain.
const CONFIDENCE_MAX: f64 = 0.97;
/// Limit for a suspect that shows symptoms only, error lines included: where, but not why.
const SYMPTOMS_ONLY_MAX: f64 = 0.3;
/// Limit for a suspect with evidence from inside (its own time or errors, the way to it) but no trigger.
const INSIDE_ONLY_MAX: f64 = 0.9;
/// Log odds from which a clue counts as a reason.
const REASON_LOG_ODDS: f64 = 0.4;
/// Up to these log odds a reason is named, but none to be surer than of symptoms …
const WEAK_LOG_ODDS: f64 = 0.8;
/// … and from these on it is as good as any.
const STRONG_LOG_ODDS: f64 = 1.6;
/// How far trouble is believed that an alert tells of, at least: its rule may see what we do not.
const FELT_BY_ALERT: f64 = 0.7;
/// Below this many standard deviations there is no symptom to speak of.
const NO_SYMPTOM_Z: f64 = 1.0;
/// The target's deviation at which its trouble is half believed.
const TARGET_HALF_Z: f64 = 1.5;
/// How much it weighs, when told, that nothing but an alert is known of a suspect.
const HEARSAY_WEIGHT: f64 = 0.5;
/// How much it weighs, when told, that a suspect suffers from what others do.
const PASSIVE_WEIGHT: f64 = 0.7;
/// Edges not confirmed for this long are called stale.
const STALE_MS: i64 = 24 * 3_600_000;
/// Entities named in one "not seen" sentence.
const NAMES_MAX: usize = 3;
/// The largest log odds a single clue has; weights are shown relative to it.
const CLUE_FULL_LOG_ODDS: f64 = 3.0;

/// Composes the diagnosis.
pub fn verdict(case: &Case, weighed: &Weighed) -> Diagnosis {
    let mut order: Vec<SubjectIx> = (0..case.subjects.len()).collect();
    order.sort_by(|a, b| {
        weighed.score[*b]
            .total_cmp(&weighed.score[*a])
            .then(a.cmp(b))
    });
    let mut hypotheses: Vec<Hypothesis> = order
        .iter()
        .filter(|at| weighed.chance[**at] >= CHANCE_MIN)
        .take(SUSPECTS_MAX)
        .map(|at| hypothesis(case, weighed, *at))
        .collect();
    hypotheses.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
    if let Some(target) = case.target {
        let id = &case.subjects[target].id;
        if !hypotheses.iter().any(|h| h.suspect == *id) {
            hypotheses.push(hypothesis(case, weighed, target));
        }
    }
    Diagnosis {
        not_seen: not_seen(case, weighed),
        hypotheses,
        ..Diagnosis::default()
    }
}

fn hypothesis(case: &Case, weighed: &Weighed, at: SubjectIx) -> Hypothesis {
    let subject = &case.subjects[at];
    let clues = &weighed.clues[at];
    let reason = likeliest_cause(case, subject, clues);
    let inside = clues.iter().any(points_inside);
    let explained = weighed
        .blame
        .as_ref()
        .is_some_and(|b| b.through[at] > 0.2 && b.scores[at] < 0.3 * b.through[at]);
    let role = match reason {
        SuspectKind::Unknown if explained => SuspectRole::Impact,
        SuspectKind::Unknown => SuspectRole::FirstSymptom,
        SuspectKind::Dependency if subject.id.kind() != EntityKind::External => {
            SuspectRole::FirstSymptom
        }
        _ => SuspectRole::Trigger,
    };
    let full = match role {
        SuspectRole::Trigger => CONFIDENCE_MAX,
        _ if !inside => SYMPTOMS_ONLY_MAX,
        _ => INSIDE_ONLY_MAX,
    };
    let limit = SYMPTOMS_ONLY_MAX + (full - SYMPTOMS_ONLY_MAX) * reason_strength(clues);
    let felt = weighed
        .blame
        .as_ref()
        .map_or(1.0, |blame| gate(blame.target_z, TARGET_HALF_Z));
    let felt = if case.is_alerting {
        felt.max(FELT_BY_ALERT)
    } else {
        felt
    };
    let confidence = (weighed.chance[at] * felt).min(limit) as f32;
    let (evidence_for, evidence_against) = sentences(case, at, clues);
    Hypothesis {
        suspect: subject.id.clone(),
        cause: reason,
        role,
        confidence,
        limit: limit as f32,
        evidence_for,
        evidence_against,
    }
}

/// Whether a clue shows trouble inside the suspect. Error lines do not: they may tell of a callee's failure.
fn points_inside(clue: &Clue) -> bool {
    clue.log_odds >= REASON_LOG_ODDS
        && matches!(
            clue.kind,
            ClueKind::SelfTime
                | ClueKind::SelfErrors
                | ClueKind::Gap
                | ClueKind::Resource(_)
                | ClueKind::OwnCause
        )
}

/// How good the best reason is, 0 to 1: a deploy a quarter of an hour before, or a processor that is a little busier,
/// is found somewhere at any time. Who is outside our systems shows no better one.
fn reason_strength(clues: &[Clue]) -> f64 {
    let strength = |clue: &Clue| match clue.kind {
        ClueKind::External => 1.0,
        _ if points_inside(clue) || names_a_cause(clue) => {
            ((clue.log_odds - WEAK_LOG_ODDS) / (STRONG_LOG_ODDS - WEAK_LOG_ODDS)).clamp(0.0, 1.0)
        }
        _ => 0.0,
    };
    clues.iter().map(strength).fold(0.0, f64::max)
}

/// Whether a clue says what set the suspect off.
fn names_a_cause(clue: &Clue) -> bool {
    clue.log_odds >= REASON_LOG_ODDS
        && matches!(
            clue.kind,
            ClueKind::Change(_)
                | ClueKind::Saturated(_)
                | ClueKind::Resource(_)
                | ClueKind::Traffic(_)
                | ClueKind::Lost
        )
}

/// What about the suspect set it off: the strongest clue that names a cause.
fn likeliest_cause(case: &Case, subject: &Subject, clues: &[Clue]) -> SuspectKind {
    let reason = clues
        .iter()
        .filter(|clue| names_a_cause(clue))
        .max_by(|a, b| a.log_odds.total_cmp(&b.log_odds));
    match reason.map(|clue| clue.kind) {
        Some(ClueKind::Change(at)) => {
            let change = &case.changes[at];
            SuspectKind::Change {
                id: change.id.clone(),
                title: change.title.clone(),
                at: change.at,
            }
        }
        Some(ClueKind::Saturated(column) | ClueKind::Resource(column)) => SuspectKind::Resource {
            metric: subject.columns[column].name.clone(),
        },
        Some(ClueKind::Traffic(_)) => SuspectKind::Traffic,
        Some(ClueKind::Lost) => SuspectKind::InstanceLoss,
        _ if clues
            .iter()
            .any(|clue| clue.kind == ClueKind::External || points_inside(clue)) =>
        {
            SuspectKind::Dependency
        }
        _ => SuspectKind::Unknown,
    }
}

fn sentences(case: &Case, at: SubjectIx, clues: &[Clue]) -> (Vec<Evidence>, Vec<Evidence>) {
    let mut speaks_for = Vec::new();
    let mut speaks_against = Vec::new();
    for clue in clues.iter().filter(|clue| !is_told_better(clue, clues)) {
        let Some((against, weight, text)) = sentence(case, at, clue) else {
            continue;
        };
        let side: &mut Vec<Evidence> = if against {
            &mut speaks_against
        } else {
            &mut speaks_for
        };
        let weight = weight.clamp(0.0, 1.0) as f32;
        // Two series of one name may read the same.
        match side.iter_mut().find(|said| *said.text == *text) {
            Some(said) => said.weight = said.weight.max(weight),
            None => side.push(Evidence {
                text: text.into_boxed_str(),
                weight,
                method: Some(clue.kind.method()),
            }),
        }
    }
    for side in [&mut speaks_for, &mut speaks_against] {
        side.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        side.truncate(SENTENCES_MAX);
    }
    (speaks_for, speaks_against)
}

/// Whether another clue says of the same metric what it means, and not only that it is odd; or of its own cause what
/// that is.
fn is_told_better(clue: &Clue, clues: &[Clue]) -> bool {
    if clue.kind == ClueKind::OwnCause {
        let is_it = |other: &Clue| matches!(other.kind, ClueKind::Lost | ClueKind::Change(_));
        return clue.log_odds == 0.0 || clues.iter().any(is_it);
    }
    let ClueKind::Metric(odd) = clue.kind else {
        return false;
    };
    clues.iter().any(|other| {
        matches!(
            other.kind,
            ClueKind::Saturated(at) | ClueKind::Resource(at) | ClueKind::Traffic(at) if at == odd
        )
    })
}

/// One clue in words: whether it speaks against, its weight from 0 to 1, the sentence.
fn sentence(case: &Case, at: SubjectIx, clue: &Clue) -> Option<(bool, f64, String)> {
    let subject = &case.subjects[at];
    let strength = clue.log_odds.abs() / CLUE_FULL_LOG_ODDS;
    let target = case.target.map(|target| case.subjects[target].id.name());
    let for_it = |text| Some((false, strength, text));
    match clue.kind {
        ClueKind::Blame(share) if share >= 0.05 => {
            let place = target.map_or_else(|| "the target".to_owned(), words::clipped);
            let text = format!(
                "carries {:.0} % of the harm felt at {place} that nothing below explains",
                share * 100.0
            );
            Some((false, share, text))
        }
        ClueKind::Blame(_) => None,
        ClueKind::Explained(share) => Some((
            true,
            share,
            format!(
                "what it calls explains {:.0} % of its trouble",
                share * 100.0
            ),
        )),
        ClueKind::Metric(column) => {
            let column = &subject.columns[column];
            let (worst, z) = column.worst()?;
            Some((
                false,
                0.5 * gate(z, 4.0),
                words::column(column, worst, subject.onset),
            ))
        }
        ClueKind::Change(_) | ClueKind::ChangeLater(..) => change(case, subject, clue, strength),
        ClueKind::Saturated(column) => {
            let column = &subject.columns[column];
            for_it(words::saturated(
                column,
                column.worst()?.0,
                column.limit?,
                subject.onset,
            ))
        }
        ClueKind::Resource(column) | ClueKind::Traffic(column) => {
            let column = &subject.columns[column];
            for_it(words::column(column, column.worst()?.0, subject.onset))
        }
        ClueKind::Lost => for_it(words::loss(subject.lost.as_ref()?)),
        ClueKind::Log(log) => for_it(words::log(&subject.logs[log])),
        ClueKind::SelfTime => for_it(words::shift(
            "its own time",
            subject.traces.self_time?,
            Unit::Seconds,
        )),
        ClueKind::SelfErrors => for_it(words::shift(
            "fails by itself in",
            subject.traces.self_errors?,
            Unit::Ratio,
        )),
        ClueKind::Gap => for_it(words::shift(
            "calls to it wait on the way",
            subject.traces.gap?,
            Unit::Seconds,
        )),
        ClueKind::First(lead_ms) => for_it(format!(
            "odd {} before anything else",
            words::duration(lead_ms)
        )),
        ClueKind::Late(late_ms) => Some((
            true,
            strength,
            format!("odd only {} after {}", words::duration(late_ms), target?),
        )),
        // It says where, by name alone: no reason, and no reproach.
        ClueKind::Hearsay => Some((true, HEARSAY_WEIGHT, "known by its alert alone".to_owned())),
        ClueKind::External => for_it("outside our systems, and the harm rests there".to_owned()),
        ClueKind::Record => for_it(words::record(subject.record?)),
        ClueKind::InsideNormal => {
            let shift = subject.traces.self_time?;
            Some((
                true,
                strength,
                words::shift("its own time is as always:", shift, Unit::Seconds),
            ))
        }
        ClueKind::ToldIn(incident) => Some((
            true,
            strength,
            format!("its trouble is told in incident {incident}"),
        )),
        ClueKind::OwnCause => for_it(words::clipped(&subject.own_cause.as_ref()?.why)),
        ClueKind::Waits => Some((
            true,
            PASSIVE_WEIGHT,
            "what it depends on explains its trouble".to_owned(),
        )),
        ClueKind::Pushed => Some((
            true,
            PASSIVE_WEIGHT,
            "the work it gets since others are in trouble explains its own".to_owned(),
        )),
        ClueKind::NothingOdd => Some((true, 0.3, "nothing odd measured on it".to_owned())),
    }
}

/// A change in words, before the onset or too late.
fn change(
    case: &Case,
    subject: &Subject,
    clue: &Clue,
    strength: f64,
) -> Option<(bool, f64, String)> {
    match clue.kind {
        ClueKind::Change(change) => {
            let change = &case.changes[change];
            let onset = subject.onset.map_or(case.began, |onset| onset.at);
            let worse = subject.worse.map(|worse| worse.at);
            let worse = worse.filter(|worse| change.at > onset && *worse >= change.at);
            let text = match worse {
                Some(worse) => words::change_worse(change, worse),
                None => words::change(change, onset),
            };
            Some((false, strength, text))
        }
        ClueKind::ChangeLater(change, lag_ms) => {
            let text = words::change_later(&case.changes[change], lag_ms);
            Some((true, strength, text))
        }
        _ => None,
    }
}

/// What could not be seen and might have changed the answer.
fn not_seen(case: &Case, weighed: &Weighed) -> Vec<Box<str>> {
    let mut lines: Vec<String> = case.blind.iter().map(|line| words::clipped(line)).collect();
    let mut missing = |seen: bool, line: &str| {
        if !seen {
            lines.push(line.to_owned());
        }
    };
    missing(
        case.coverage.traces,
        "no traces so far: own time and own errors of services are unknown",
    );
    missing(
        case.coverage.logs,
        "no logs so far: new error lines would not show",
    );
    missing(
        case.coverage.changes,
        "no feed of changes so far: a deploy would not show",
    );
    missing(
        case.target.is_some(),
        "no entity where users feel it: suspects are ranked by deviation alone",
    );
    missing(
        !case.dependencies.is_empty(),
        "no dependencies known: harm cannot be followed",
    );
    lines.extend(blind_entities(case));
    lines.extend(stale_edges(case));
    if let Some(blame) = &weighed.blame
        && blame.target_z < TARGET_HALF_Z
        && !case.is_alerting
    {
        let target = case.target.map(|target| &case.subjects[target]);
        lines.push(match target {
            Some(target) if target.columns.is_empty() => format!(
                "no metric of {} was seen: how much it hurts is not known",
                words::clipped(target.id.name())
            ),
            Some(target) if blame.target_z < NO_SYMPTOM_Z => format!(
                "{} is neither slower than usual nor fails more: how much it hurts is not known",
                words::clipped(target.id.name())
            ),
            _ => format!(
                "the symptom is weak: {:.1} standard deviations",
                blame.target_z
            ),
        });
    }
    let young = case.subjects.iter().filter(|s| s.is_young).count();
    if young > 0 {
        lines.push(format!(
            "normal is little known yet on {young} of {} entities",
            case.subjects.len()
        ));
    }
    let outside = case
        .changes
        .iter()
        .filter(|change| case.find(&change.entity).is_none())
        .count();
    if outside > 0 {
        let changes = counted(outside as u64, "change", "changes");
        lines.push(format!(
            "{changes} to entities outside this incident: not weighed"
        ));
    }
    let symptoms_only = weighed.chance.iter().all(|chance| *chance < CHANCE_MIN)
        || !weighed
            .clues
            .iter()
            .flatten()
            .any(|clue| clue.log_odds >= REASON_LOG_ODDS);
    if symptoms_only {
        let place = counted(case.subjects.len() as u64, "entity", "entities");
        lines.push(format!(
            "no cause seen so far on the {place} looked at: no change before it \
             began, exhausted resource, lost instance or error of its own"
        ));
    }
    lines.into_iter().map(String::into_boxed_str).collect()
}

/// Names of the entities below the target about which nothing is known.
fn blind_entities(case: &Case) -> Option<String> {
    let blind: Vec<&str> = case
        .subjects
        .iter()
        .filter(|s| s.is_blind() && s.onset.is_none())
        .map(|s| s.id.name())
        .collect();
    let first = blind.get(..blind.len().min(NAMES_MAX))?;
    if first.is_empty() {
        return None;
    }
    let names: Vec<String> = first.iter().map(|name| words::clipped(name)).collect();
    let more = blind.len() - first.len();
    let rest = if more > 0 {
        format!(" and {more} more")
    } else {
        String::new()
    };
    Some(format!("nothing is measured on {}{rest}", names.join(", ")))
}

fn stale_edges(case: &Case) -> Option<String> {
    let stale = case
        .dependencies
        .iter()
        .filter(|d| d.provenance != Provenance::Declared && d.age_ms > STALE_MS)
        .count();
    (stale > 0).then(|| {
        format!(
            "{stale} of {} dependencies were last confirmed more than a day ago",
            case.dependencies.len()
        )
    })
}
