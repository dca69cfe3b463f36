//! `w` on a trace: why it is shown, what all of it waited for, and where it failed first.

use std::cmp::Reverse;

use crate::model::{Finding, SafeText, SpanRow, TraceView};

use super::explain::{bullet, section};
use super::format;
use super::paint::Row;
use super::state::State;
use super::theme::Role;

/// Spans named at most, of those that were waited for and of those that failed.
const NAMED_MAX: usize = 5;

/// What is told of a trace, but for what was noticed of where it went.
pub(super) fn trace(state: &State, trace: &TraceView, width: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    section(&mut rows, "Why it is kept");
    bullet(&mut rows, Role::Body, &kept(state, trace), width);
    section(&mut rows, "What all of it waited for");
    let told = waited(trace);
    if told.is_empty() {
        let text = "no span of it took any time of its own";
        bullet(&mut rows, Role::Muted, text, width);
    }
    for text in told {
        bullet(&mut rows, Role::Body, &text, width);
    }
    let failed = failed_first(trace);
    if !failed.is_empty() {
        section(&mut rows, "Where it failed first");
        for text in failed {
            bullet(&mut rows, Role::High, &text, width);
        }
    }
    rows
}

/// Whether something noticed is about where a trace went.
pub(super) fn went_through(trace: &TraceView, finding: &Finding) -> bool {
    let spans = &trace.spans;
    spans.iter().any(|span| span.entity == finding.entity)
}

fn kept(state: &State, trace: &TraceView) -> String {
    let at = state.clock.second(trace.start);
    let began = state.detail().map(|detail| detail.incident.began);
    let before = began.is_some_and(|began| trace.start < began);
    let of = if before {
        "; that was before this incident, so it shows what was usual"
    } else {
        ""
    };
    match &*trace.reason {
        "error" => format!("it is the latest that failed, at {at}{of}"),
        reason => format!("it is the {reason} of late, at {at}{of}"),
    }
}

/// The end of the last span, in microseconds after the start; never 0.
pub(super) fn total_us(trace: &TraceView) -> u64 {
    let ends = trace
        .spans
        .iter()
        .map(|span| span.offset_us.saturating_add(span.duration_us));
    ends.max().unwrap_or(0).max(1)
}

/// Spans of the critical path, those with the most time of their own first.
fn waited(trace: &TraceView) -> Vec<String> {
    let total = total_us(trace);
    let mut spans: Vec<&SpanRow> = trace
        .spans
        .iter()
        .filter(|span| span.critical && span.self_us > 0)
        .collect();
    spans.sort_by_key(|span| Reverse(span.self_us));
    let named = spans.iter().take(NAMED_MAX).map(|span| {
        let share = 100.0 * span.self_us as f64 / total as f64;
        let own = format::micros(span.self_us);
        format!(
            "{} {}: {own} of its own, {share:.0} % of the whole",
            span.entity, span.name
        )
    });
    let mut told: Vec<String> = named.collect();
    if let Some(rest) = spans.get(NAMED_MAX..).filter(|rest| !rest.is_empty()) {
        let own: u64 = rest.iter().map(|span| span.self_us).sum();
        let spans = format::counted(rest.len() as u64, "other span", "other spans");
        told.push(format!("{spans}, together {}", format::micros(own)));
    }
    told
}

/// Spans that failed though nothing that they called did.
fn failed_first(trace: &TraceView) -> Vec<String> {
    let spans = &trace.spans;
    let calls_failure = |at: usize| {
        let depth = spans[at].depth;
        let below = spans[at + 1..].iter();
        let mut below = below.take_while(|span| span.depth > depth);
        below.any(|span| span.error)
    };
    let failed = (0..spans.len()).filter(|at| spans[*at].error && !calls_failure(*at));
    let named = failed.take(NAMED_MAX).map(|at| {
        let SpanRow { entity, name, .. } = &spans[at];
        format!("{entity} {name}: it failed, and nothing it called did")
    });
    named.collect()
}

/// The title of what is told of a trace.
pub(super) fn title(trace: &TraceView) -> SafeText {
    SafeText::new(&format!("Why: trace {:032x}", trace.trace.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EntityId, EntityKind, SpanKind, Time, TraceId};

    fn span(entity: &str, depth: u32, (own, whole): (u64, u64), error: bool) -> SpanRow {
        SpanRow {
            entity: EntityId::new(EntityKind::Service, entity),
            name: "GET /".into(),
            kind: SpanKind::Server,
            depth,
            offset_us: 0,
            duration_us: whole,
            self_us: own,
            error,
            critical: true,
        }
    }

    fn of(spans: Vec<SpanRow>) -> TraceView {
        TraceView {
            trace: TraceId(7),
            start: Time::from_secs(100),
            reason: "error".into(),
            spans,
        }
    }

    #[test]
    fn what_took_most_of_its_own_time_is_told_first() {
        let spans = vec![
            span("shop", 0, (10_000, 100_000), false),
            span("cart", 1, (90_000, 90_000), false),
        ];
        let told = waited(&of(spans));
        assert_eq!(told.len(), 2);
        assert!(
            told[0].contains("cart") && told[0].contains("90 %"),
            "{told:?}"
        );
    }

    #[test]
    fn a_long_path_is_summed_up() {
        let spans = (0..8).map(|at| span("shop", at, (1_000, 8_000), false));
        let told = waited(&of(spans.collect()));
        assert_eq!(told.len(), NAMED_MAX + 1);
        assert!(told[NAMED_MAX].starts_with("3 other spans"), "{told:?}");
    }

    #[test]
    fn only_the_deepest_failure_failed_first() {
        let spans = vec![
            span("shop", 0, (1, 9), true),
            span("cart", 1, (1, 8), true),
            span("pg", 2, (1, 7), false),
            span("stock", 1, (1, 7), false),
        ];
        let told = failed_first(&of(spans));
        assert_eq!(told.len(), 1);
        assert!(told[0].contains("cart"), "{told:?}");
    }
}
