//! Weighs what was seen on each entity into a chance that it is the cause.
//!
//! Bayes in log odds: blame flow (or, without a target, the deviation) is the prior; each independent kind
//! of evidence adds a hinge that is zero below its noise level and bounded above; the chances of all
//! subjects and of "a cause nobody sees" add up to one. Must never look at names or text.

use super::blame::{self, Blame, Edge, Node, System};
use super::case::{Case, LogChange, Proof, Subject, SubjectIx};
use super::deviation::{ColumnKind, gate};
use super::inside;
use super::passed_on::{Below, discount_passed_on, discount_passive};
use crate::model::{ChangeKind, EntityKind, IncidentId, Method, Time};

/// One piece of evidence about a subject, with what it adds to the log odds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clue {
    /// What it is.
    pub kind: ClueKind,
    /// Added to the log odds; negative speaks against.
    pub log_odds: f64,
}

/// Kinds of evidence; indexes point into the case.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClueKind {
    /// Share of blame that rests here.
    Blame(f64),
    /// The metric that departs most.
    Metric(usize),
    /// A change shortly before the onset.
    Change(usize),
    /// A change that came clearly after the onset, by this many milliseconds.
    ChangeLater(usize, i64),
    /// A resource out of its range.
    Resource(usize),
    /// A resource at its limit.
    Saturated(usize),
    /// More work than usual, here and at the target.
    Traffic(usize),
    /// An instance went away.
    Lost,
    /// An odd log template.
    Log(usize),
    /// Its own time rose.
    SelfTime,
    /// It fails by itself.
    SelfErrors,
    /// Calls to it wait on the way.
    Gap,
    /// Odd before everything else, by this many milliseconds.
    First(i64),
    /// Odd only after the target, by this many milliseconds.
    Late(i64),
    /// External, and harm rests there.
    External,
    /// Nothing is known of it but that an alert names it.
    Hearsay,
    /// It was the cause of similar incidents.
    Record,
    /// What it calls explains this share of its harm.
    Explained(f64),
    /// Spans show its own time and errors unchanged.
    InsideNormal,
    /// Nothing odd was measured on it.
    NothingOdd,
    /// It belongs to another incident.
    ToldIn(IncidentId),
    /// Neither its work nor what it depends on explains what is wrong with it.
    OwnCause,
    /// What is wrong with it is what its dependencies make of it.
    Waits,
    /// What is wrong with it is what the work makes of it that comes because others are in trouble.
    Pushed,
}

impl ClueKind {
    /// What found it.
    pub const fn method(self) -> Method {
        match self {
            Self::Blame(_) | Self::Explained(_) | Self::External => Method::Topology,
            Self::Metric(_) | Self::NothingOdd => Method::Metrics,
            Self::Change(_) | Self::ChangeLater(..) => Method::Changes,
            Self::Resource(_) | Self::Saturated(_) => Method::Resources,
            Self::Traffic(_) => Method::Traffic,
            Self::Lost => Method::Loss,
            Self::Log(_) => Method::Logs,
            Self::SelfTime | Self::SelfErrors | Self::Gap | Self::InsideNormal => Method::Traces,
            Self::First(_) | Self::Late(_) => Method::Order,
            Self::Hearsay => Method::Alerts,
            Self::Record => Method::Past,
            Self::ToldIn(_) | Self::OwnCause | Self::Waits | Self::Pushed => Method::Correlation,
        }
    }
}

/// All subjects weighed.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// Chance that the subject is the cause, before honesty limits; sums to less than 1.
    pub chance: Vec<f64>,
    /// Log odds by which suspects rank.
    pub score: Vec<f64>,
    /// Evidence per subject.
    pub clues: Vec<Vec<Clue>>,
    /// The flow, when there was a target.
    pub blame: Option<Blame>,
}

// Weights in log odds. Chosen on simulated systems (`eval::systems`), see docs/diagnosis.md.
/// A deploy right before the onset.
const CHANGE_LOG_ODDS: f64 = 2.5;
/// A resource at its limit.
const SATURATED_LOG_ODDS: f64 = 2.2;
/// A resource far out of its range.
const RESOURCE_LOG_ODDS: f64 = 1.5;
/// A lost instance.
const LOST_LOG_ODDS: f64 = 2.5;
/// A surge of work here and at the target.
const TRAFFIC_LOG_ODDS: f64 = 1.2;
/// Harm that rests at something external.
const EXTERNAL_LOG_ODDS: f64 = 0.5;
/// A change right before what was odd got worse, of what one right before the onset is worth.
const WORSE_SHARE: f64 = 0.8;
/// Odd before everything else.
const FIRST_LOG_ODDS: f64 = 0.7;
/// Odd only well after the target.
const LATE_LOG_ODDS: f64 = -1.0;
/// Odd log lines.
const LOG_LOG_ODDS: f64 = 4.0;
/// It was the cause of every similar incident.
const RECORD_LOG_ODDS: f64 = 1.0;
/// Correlation found it to be another story. That may be wrong, so it can be outweighed.
const TOLD_IN_LOG_ODDS: f64 = -2.0;

/// Neither its work nor what it depends on explains what is seen of it …
const OWN_CAUSE_LOG_ODDS: f64 = 3.0;
/// … or what is left when all that is known was looked at.
const UNEXPLAINED_LOG_ODDS: f64 = 2.0;
/// Without a target, deviations below this many standard deviations are noise.
pub(super) const METRIC_NOISE_Z: f64 = 4.0;
/// Log scores below this many standard deviations are noise …
pub(super) const LOG_NOISE_Z: f64 = 1.5;
/// … and count half this much above it.
const LOG_HALF_Z: f64 = 4.0;
/// Deviation at which a resource is half believed.
const RESOURCE_HALF_Z: f64 = 8.0;
/// Share of a limit at which a resource is exhausted.
const SATURATED_SHARE: f64 = 0.95;
/// A surge: this far out, both here and at the target …
const TRAFFIC_Z: f64 = 3.0;
/// … and at least this many times the usual.
const TRAFFIC_RATIO: f64 = 1.3;
/// A change loses its weight by a factor e in this time before the onset.
const CHANGE_FADE_MS: f64 = 10.0 * 60_000.0;
/// A deploy is told when it is through, and works from its first instance on, in milliseconds.
const CHANGE_TOLD_MS: i64 = 30_000;
/// Where an onset is not known better, it may be off by this much: clocks and windows are coarse.
const CHANGE_AFTER_MS: i64 = 60_000;
/// What shows later than this after the rest is a later part of the story, in milliseconds.
const SHOWS_LATE_MS: i64 = 5 * 60_000;
/// Of several changes, one after the onset counts this share of its weight, when they are compared.
const AFTER_SHARE: f64 = 0.5;
/// What changed only after it had begun did not set it off.
const CHANGE_LATER_LOG_ODDS: f64 = -0.4;
/// Changes this long after an onset are told as too late, in milliseconds; later ones are other stories.
const CHANGE_LATER_MS: i64 = 10 * 60_000;
/// Lateness at which "odd only after the target" counts fully.
const LATE_FULL_MS: f64 = 120_000.0;
/// Prior of a subject below the target at which no blame rests.
const BELOW_TARGET_PRIOR: f64 = 0.02;
/// The same where only an alert says that the target hurts: harm that is not measured cannot be followed down.
const UNMEASURED_PRIOR: f64 = 0.2;
/// Prior of a subject without any known path from the target.
const ELSEWHERE_PRIOR: f64 = 0.004;
/// Prior of a subject below the target about which nothing is known.
const BLIND_PRIOR: f64 = 0.05;
/// Weight of "a cause that nobody sees" among the alternatives.
const UNSEEN_PRIOR: f64 = 0.15;

/// Weighs every subject of `case`.
pub fn weigh(case: &Case) -> Weighed {
    let blame = case
        .target
        .map(|target| blame::blame(&system(case, target)));
    let priors = priors(case, blame.as_ref());
    let below = Below::of(case);
    let mut clues: Vec<Vec<Clue>> = case
        .subjects
        .iter()
        .enumerate()
        .map(|(at, _)| own_clues(case, at, blame.as_ref()))
        .collect();
    add_changes(case, &mut clues);
    add_order(case, &mut clues);
    discount_passed_on(&below, &mut clues);
    inside::discount(case, &mut clues);
    discount_passive(case, &below, &mut clues);
    count_once(case, &mut clues);
    let score: Vec<f64> = priors
        .iter()
        .zip(&clues)
        .map(|(prior, clues)| prior.ln() + clues.iter().map(|clue| clue.log_odds).sum::<f64>())
        .collect();
    let top = score.iter().copied().fold(UNSEEN_PRIOR.ln(), f64::max);
    let total: f64 =
        score.iter().map(|s| (s - top).exp()).sum::<f64>() + (UNSEEN_PRIOR.ln() - top).exp();
    let chance = score.iter().map(|s| (s - top).exp() / total).collect();
    Weighed {
        chance,
        score,
        clues,
        blame,
    }
}

fn system(case: &Case, target: SubjectIx) -> System<'_> {
    let nodes = case
        .subjects
        .iter()
        .map(|subject| Node {
            class: subject.class(),
            columns: &subject.columns,
            is_well_inside: inside::is_normal(subject),
        })
        .collect();
    let edges = case
        .dependencies
        .iter()
        .map(|dependency| Edge {
            from: dependency.from,
            to: dependency.to,
            calls: dependency.calls,
            belief: dependency.provenance.confidence(Some(dependency.age_ms)),
        })
        .collect();
    System {
        nodes,
        edges,
        target,
        family: case.family,
        rows: case.rows,
    }
}

/// What is believed of each subject before its own evidence: blame flow, or the share of deviation.
fn priors(case: &Case, blame: Option<&Blame>) -> Vec<f64> {
    let Some((blame, target)) = blame.zip(case.target) else {
        let sizes: Vec<f64> = case
            .subjects
            .iter()
            .map(|subject| {
                1.0 + worst_metric(subject)
                    .map_or(0.0, |(_, z)| (z - METRIC_NOISE_Z).max(0.0) / METRIC_NOISE_Z)
            })
            .collect();
        let total: f64 = sizes.iter().sum();
        return sizes.iter().map(|size| size / total.max(1.0)).collect();
    };
    let below = Below::of(case).all(target);
    let hurt = &case.subjects[target];
    let is_measured = !hurt.by_alert_alone
        || hurt.is_blind()
        || worst_metric(hurt).is_some_and(|(_, z)| z > METRIC_NOISE_Z);
    case.subjects
        .iter()
        .enumerate()
        .map(|(at, subject)| {
            let floor = if !below[at] && at != target {
                ELSEWHERE_PRIOR
            } else if subject.is_blind() {
                BLIND_PRIOR
            } else if is_measured {
                BELOW_TARGET_PRIOR
            } else {
                UNMEASURED_PRIOR
            };
            blame.scores[at] + floor
        })
        .collect()
}

/// The column that departs most on its bad side, and by how many standard deviations.
pub fn worst_metric(subject: &Subject) -> Option<(usize, f64)> {
    subject
        .columns
        .iter()
        .enumerate()
        .filter_map(|(at, column)| Some((at, column.worst()?.1)))
        .max_by(|a, b| a.1.total_cmp(&b.1))
}

/// Evidence found on the subject itself.
fn own_clues(case: &Case, at: SubjectIx, blame: Option<&Blame>) -> Vec<Clue> {
    let subject = &case.subjects[at];
    let mut clues = Vec::new();
    let mut add = |kind, log_odds: f64| clues.push(Clue { kind, log_odds });
    if let Some(blame) = blame {
        add(ClueKind::Blame(blame.scores[at]), 0.0);
        let passed = blame.through[at] - blame.scores[at];
        if passed > 0.1 && blame.through[at] > 0.0 {
            add(ClueKind::Explained(passed / blame.through[at]), 0.0);
        }
        // What an alert alone names is filed as outside for want of anything better.
        if subject.id.kind() == EntityKind::External && !subject.is_hearsay() {
            let log_odds = EXTERNAL_LOG_ODDS * blame.scores[at];
            if blame.scores[at] > 0.1 {
                add(ClueKind::External, log_odds);
            }
        }
    }
    if subject.is_hearsay() {
        add(ClueKind::Hearsay, 0.0);
    }
    match worst_metric(subject) {
        Some((column, z)) if z > 1.0 => add(ClueKind::Metric(column), 0.0),
        Some(_) if subject.logs.is_empty() => add(ClueKind::NothingOdd, 0.0),
        _ => {}
    }
    if let Some(clue) = resource_clue(subject) {
        add(clue.kind, clue.log_odds);
    }
    if let Some(column) = surge(subject) {
        let at_target = case
            .target
            .is_some_and(|target| surge(&case.subjects[target]).is_some());
        if at_target {
            add(ClueKind::Traffic(column), TRAFFIC_LOG_ODDS);
        }
    }
    if let Some(loss) = &subject.lost {
        let weight = recency(loss.at, onset_of(case, subject), CHANGE_AFTER_MS * 2);
        if weight > 0.05 {
            add(ClueKind::Lost, LOST_LOG_ODDS * weight);
        }
    }
    if let Some((log, score)) = worst_log(subject) {
        add(
            ClueKind::Log(log),
            LOG_LOG_ODDS * hinge(score, LOG_NOISE_Z, LOG_HALF_Z),
        );
    }
    inside::clues(subject, &mut add);
    if let Some(cause) = &subject.own_cause {
        let log_odds = match (subject.told_in, cause.proof.is_some()) {
            // It is why there is the other incident.
            (Some(_), _) => 0.0,
            (None, true) => OWN_CAUSE_LOG_ODDS,
            (None, false) => UNEXPLAINED_LOG_ODDS,
        };
        add(ClueKind::OwnCause, log_odds);
    }
    if let Some(incident) = subject.told_in {
        add(ClueKind::ToldIn(incident), TOLD_IN_LOG_ODDS);
    }
    if let Some(record) = subject.record.filter(|record| record.of > 0) {
        // One incident proves little: the rule of succession halves the first.
        let share = f64::from(record.cause) / f64::from(record.of + 1);
        add(ClueKind::Record, RECORD_LOG_ODDS * share);
    }
    clues
}

/// Zero up to `noise`, a half at `noise + half`, and near one far out: bounded, but never tied.
pub(super) fn hinge(z: f64, noise: f64, half: f64) -> f64 {
    let above = (z - noise).max(0.0);
    above / (above + half)
}

pub(super) fn worst_log(subject: &Subject) -> Option<(usize, f64)> {
    subject
        .logs
        .iter()
        .enumerate()
        .map(|(at, sign)| {
            // Lines that come more often without being errors are mostly work, not failure.
            let weight = match (sign.error, sign.change) {
                (true, LogChange::New | LogChange::More) | (false, LogChange::Gone) => 1.0,
                (false, LogChange::New) => 0.5,
                (false, LogChange::More) => 0.25,
                (true, LogChange::Gone) => 0.0,
            };
            (at, sign.score * weight)
        })
        .max_by(|a, b| a.1.total_cmp(&b.1).then(b.0.cmp(&a.0)))
}

/// A cause that something shows adds only what that does not say already.
fn count_once(case: &Case, clues: &mut [Vec<Clue>]) {
    for (subject, clues) in case.subjects.iter().zip(clues) {
        let Some(proof) = subject.own_cause.as_ref().and_then(|own| own.proof) else {
            continue;
        };
        let is_proof = |clue: &&Clue| match proof {
            Proof::Loss => clue.kind == ClueKind::Lost,
            Proof::Change => matches!(clue.kind, ClueKind::Change(_)),
            Proof::Resource => {
                matches!(clue.kind, ClueKind::Saturated(_) | ClueKind::Resource(_))
            }
        };
        let counted = clues.iter().filter(is_proof).map(|clue| clue.log_odds);
        let counted = counted.fold(0.0, f64::max);
        let mut own = clues.iter_mut();
        if let Some(own) = own.find(|clue| clue.kind == ClueKind::OwnCause) {
            own.log_odds = (own.log_odds - counted).max(0.0);
        }
    }
}

fn resource_clue(subject: &Subject) -> Option<Clue> {
    let mut best: Option<Clue> = None;
    for (at, column) in subject.columns.iter().enumerate() {
        if column.kind != ColumnKind::Resource {
            continue;
        }
        let present = column
            .values
            .iter()
            .copied()
            .filter(|value| value.is_finite());
        let Some(highest) = present.max_by(f64::total_cmp) else {
            continue;
        };
        let z = column.normal.z_from(column.normal.median, highest) * column.normal.trust();
        let full = column
            .limit
            .is_some_and(|limit| highest >= limit * SATURATED_SHARE);
        let usual = column
            .limit
            .is_some_and(|limit| column.normal.median >= limit * SATURATED_SHARE);
        let clue = if full && !usual {
            Clue {
                kind: ClueKind::Saturated(at),
                log_odds: SATURATED_LOG_ODDS,
            }
        } else if z > 2.0 {
            Clue {
                kind: ClueKind::Resource(at),
                log_odds: RESOURCE_LOG_ODDS * gate(z, RESOURCE_HALF_Z),
            }
        } else {
            continue;
        };
        if best.is_none_or(|best| clue.log_odds > best.log_odds) {
            best = Some(clue);
        }
    }
    best
}

/// The traffic column that shows a surge.
pub fn surge(subject: &Subject) -> Option<usize> {
    subject.columns.iter().position(|column| {
        column.kind == ColumnKind::Traffic
            && column
                .values
                .iter()
                .copied()
                .filter(|v| v.is_finite())
                .any(|value| {
                    column.normal.z_from(column.normal.median, value) >= TRAFFIC_Z
                        && value >= TRAFFIC_RATIO * column.normal.median
                })
    })
}

/// When a subject began to hurt, for what may have set it off: what shows late may have begun with the
/// rest, but not when it shows much later.
fn onset_of(case: &Case, subject: &Subject) -> Time {
    subject.onset.map_or(case.began, |onset| {
        if onset.at.since(case.began) > SHOWS_LATE_MS {
            return onset.at;
        }
        onset.at.min(case.began.plus_ms(CHANGE_AFTER_MS))
    })
}

/// 1 right before `onset`, fading with distance; 0 for what came after.
fn recency(at: Time, onset: Time, after_ms: i64) -> f64 {
    let lag_ms = onset.since(at);
    if lag_ms < -after_ms {
        0.0
    } else {
        (-lag_ms.max(0) as f64 / CHANGE_FADE_MS).exp()
    }
}

fn add_changes(case: &Case, clues: &mut [Vec<Clue>]) {
    let mut later: Vec<(SubjectIx, Clue)> = Vec::new();
    for (at, change) in case.changes.iter().enumerate() {
        let Some(subject) = case.find(&change.entity) else {
            continue;
        };
        let kind_weight = match change.kind {
            ChangeKind::Deploy | ChangeKind::Config => 1.0,
            ChangeKind::Flag => 0.9,
            ChangeKind::Scale | ChangeKind::Other => 0.6,
            ChangeKind::Rollback | ChangeKind::Traffic | ChangeKind::Calendar => 0.5,
        };
        let (onset, credit) = best_credit(case, &case.subjects[subject], change.at);
        let log_odds = CHANGE_LOG_ODDS * kind_weight * credit;
        if log_odds < 0.1 {
            later.extend(came_later(case, at, subject));
            continue;
        }
        let clue = Clue {
            kind: ClueKind::Change(at),
            log_odds,
        };
        put_likeliest(case, onset, &mut clues[subject], clue);
    }
    // A change that came too late says nothing where another one came in time.
    for (subject, clue) in later {
        let known = clues[subject]
            .iter()
            .any(|clue| matches!(clue.kind, ClueKind::Change(_) | ClueKind::ChangeLater(..)));
        if !known {
            clues[subject].push(clue);
        }
    }
}

/// Several changes do not add up: the likeliest one counts. What came before the onset comes before what
/// only may have, as far as can be told.
fn put_likeliest(case: &Case, onset: Time, clues: &mut Vec<Clue>, clue: Clue) {
    let likely = |clue: &Clue| match clue.kind {
        ClueKind::Change(at) if case.changes[at].at > onset => clue.log_odds * AFTER_SHARE,
        _ => clue.log_odds,
    };
    let mut known = clues.iter_mut();
    match known.find(|clue| matches!(clue.kind, ClueKind::Change(_))) {
        Some(known) if likely(known) >= likely(&clue) => {}
        Some(known) => *known = clue,
        None => clues.push(clue),
    }
}

/// How much later than the onset of a subject a change may be told and still have set it off. An alert says
/// when it began; of what is sampled, the onset is only bounded.
fn uncertainty_ms(subject: &Subject) -> i64 {
    subject.onset.map_or(CHANGE_AFTER_MS, |onset| {
        if subject.by_alert_alone {
            onset.uncertainty_ms
        } else {
            onset.uncertainty_ms.max(CHANGE_TOLD_MS)
        }
    })
}

/// What a change at `at` is worth as a cause of what began at `onset`, from 0 to 1. After an onset that is
/// told exactly it fades as fast as clocks may differ; a deploy is told when it is through.
fn credit(at: Time, onset: Time, subject: &Subject) -> f64 {
    let off_ms = uncertainty_ms(subject);
    let late_ms = at.since(onset) - off_ms;
    if late_ms > 0 && subject.by_alert_alone {
        (-late_ms as f64 / off_ms.max(1) as f64).exp()
    } else {
        recency(at, onset, off_ms)
    }
}

/// The beginning that a change at `at` may best have set off, and what it is worth for that: of the harm,
/// or of it getting worse. What was a little odd before may have nothing to do with either.
fn best_credit(case: &Case, subject: &Subject, at: Time) -> (Time, f64) {
    let onset = onset_of(case, subject);
    let first = (onset, credit(at, onset, subject));
    match subject.worse {
        Some(worse) if at > onset => {
            let credit = WORSE_SHARE * recency(at, worse.at, worse.uncertainty_ms);
            if credit > first.1 {
                (worse.at, credit)
            } else {
                first
            }
        }
        _ => first,
    }
}

/// A change to a subject that was odd before it. What people do about an incident (scaling, rolling
/// back) is no evidence at all.
fn came_later(case: &Case, at: usize, subject: SubjectIx) -> Option<(SubjectIx, Clue)> {
    let change = &case.changes[at];
    let onset = case.subjects[subject].onset?;
    let lag_ms = change.at.since(onset.at);
    let sets_off = matches!(
        change.kind,
        ChangeKind::Deploy | ChangeKind::Config | ChangeKind::Flag
    );
    (sets_off && lag_ms > uncertainty_ms(&case.subjects[subject]) && lag_ms <= CHANGE_LATER_MS)
        .then_some((
            subject,
            Clue {
                kind: ClueKind::ChangeLater(at, lag_ms),
                log_odds: CHANGE_LATER_LOG_ODDS,
            },
        ))
}

/// Who was odd first, and who only after the target.
fn add_order(case: &Case, clues: &mut [Vec<Clue>]) {
    let mut order: Vec<(Time, i64, SubjectIx)> = case
        .subjects
        .iter()
        .enumerate()
        .filter_map(|(at, s)| s.onset.map(|onset| (onset.at, onset.uncertainty_ms, at)))
        .collect();
    order.sort_unstable();
    if let [first, second, ..] = order[..] {
        let lead_ms = second.0.since(first.0);
        if lead_ms > first.1 + second.1 {
            clues[first.2].push(Clue {
                kind: ClueKind::First(lead_ms),
                log_odds: FIRST_LOG_ODDS,
            });
        }
    }
    let Some(target) = case.target else { return };
    let Some(felt) = case.subjects[target].onset else {
        return;
    };
    for (at, uncertainty_ms, subject) in order {
        let late_ms = at.since(felt.at) - uncertainty_ms - felt.uncertainty_ms;
        if subject != target && late_ms > 0 {
            let log_odds = LATE_LOG_ODDS * (late_ms as f64 / LATE_FULL_MS).min(1.0);
            clues[subject].push(Clue {
                kind: ClueKind::Late(at.since(felt.at)),
                log_odds,
            });
        }
    }
}
