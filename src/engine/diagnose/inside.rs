//! What spans show of the inside of a subject: its own time, its own errors, and the wait for it.
//!
//! Where they show nothing unusual, trouble came from below, and what else points inside is mostly its trace.

use super::case::{Case, Shift, Subject, SubjectIx};
use super::weigh::{Clue, ClueKind, LOG_NOISE_Z, METRIC_NOISE_Z, hinge, worst_log, worst_metric};

/// Each of self time, self errors and gap.
const TRACE_LOG_ODDS: f64 = 3.0;
/// Spans show its own time and errors as they always are …
const NORMAL_LOG_ODDS: f64 = -0.7;
/// … which leaves this much of what else would point inside.
const NORMAL_SHARE: f64 = 0.25;
/// Span shifts below this are noise …
const SHIFT_NOISE_Z: f64 = 3.0;
/// … and count half this much above it.
const SHIFT_HALF_Z: f64 = 4.0;

/// Adds what spans say of the inside of a subject.
pub fn clues(subject: &Subject, add: &mut impl FnMut(ClueKind, f64)) {
    let traces = &subject.traces;
    let rise =
        |shift: Option<Shift>| shift.map_or(0.0, |s| hinge(s.z, SHIFT_NOISE_Z, SHIFT_HALF_Z));
    for (kind, shift) in [
        (ClueKind::SelfTime, traces.self_time),
        (ClueKind::SelfErrors, traces.self_errors),
        (ClueKind::Gap, traces.gap),
    ] {
        let weight = rise(shift);
        if weight > 0.0 {
            add(kind, TRACE_LOG_ODDS * weight);
        }
    }
    if is_normal(subject) {
        add(ClueKind::InsideNormal, NORMAL_LOG_ODDS);
    }
}

/// Whether spans cover the subject and show nothing unusual inside it.
pub fn is_normal(subject: &Subject) -> bool {
    let traces = &subject.traces;
    let quiet = |shift: Option<Shift>| shift.is_none_or(|s| s.z < SHIFT_NOISE_Z / 2.0);
    traces.self_time.is_some()
        && quiet(traces.self_time)
        && quiet(traces.self_errors)
        && quiet(traces.gap)
}

/// What points inside a subject counts little when spans show nothing unusual there. Its log lines keep their weight
/// when everything it depends on is seen and well: there is nothing below that they could speak of.
pub fn discount(case: &Case, clues: &mut [Vec<Clue>]) {
    for (at, (subject, clues)) in case.subjects.iter().zip(clues).enumerate() {
        if !is_normal(subject) {
            continue;
        }
        let speaks_for_itself = is_well_below(case, at);
        for clue in clues {
            let is_discounted = match clue.kind {
                ClueKind::Log(_) => !speaks_for_itself,
                ClueKind::Change(_) | ClueKind::Resource(_) | ClueKind::First(_) => true,
                _ => false,
            };
            if is_discounted {
                clue.log_odds *= NORMAL_SHARE;
            }
        }
    }
}

fn is_well_below(case: &Case, at: SubjectIx) -> bool {
    let mut below = case.dependencies.iter().filter(|edge| edge.from == at);
    below.all(|edge| is_seen_well(&case.subjects[edge.to]))
}

fn is_seen_well(subject: &Subject) -> bool {
    !subject.is_blind()
        && subject.onset.is_none()
        && subject.lost.is_none()
        && worst_metric(subject).is_none_or(|(_, z)| z <= METRIC_NOISE_Z)
        && worst_log(subject).is_none_or(|(_, z)| z <= LOG_NOISE_Z)
        && (subject.traces.self_time.is_none() || is_normal(subject))
}
