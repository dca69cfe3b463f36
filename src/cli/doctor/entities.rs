//! Whom the sources tell of: each entity with how it speaks, what of it was refused or lost, and why.

use std::cmp::Reverse;

use super::age;
use crate::cli::output::{Table, line, safe};
use crate::model::{EntityLedger, SourceLedger, Time, counted};

/// Entities listed when nobody asks for a source.
const TROUBLED_MAX: usize = 10;
/// Reasons named of an entity.
const REASONS_MAX: usize = 3;

/// Those with trouble, of all sources, the worst first; empty when there are none.
pub(super) fn troubled(sources: &[&SourceLedger], now: Time) -> String {
    let all = sources.iter().flat_map(|source| {
        let troubled = source.told.iter().filter(|of| of.is_troubled());
        troubled.map(move |of| (source.name.as_str(), of))
    });
    let mut all: Vec<_> = all.collect();
    all.sort_by_key(|(_, of)| Reverse((of.dropped, of.rejected, of.gaps, of.silent)));
    let count = all.len();
    all.truncate(TROUBLED_MAX);
    if all.is_empty() {
        return String::new();
    }
    let mut text = table(&all, now).render();
    if count > all.len() {
        let text = &mut text;
        line(
            text,
            "and others: `stormglass doctor SOURCE` lists those of a source",
        );
    }
    text
}

/// Everybody a source tells of, those with most trouble first.
pub(super) fn of_source(source: &SourceLedger, now: Time) -> String {
    let mut table = Table::of(headings(None));
    for of in &source.told {
        table.cells(cells(None, of, now));
    }
    let mut text = table.render();
    let why: Vec<String> = source
        .refused
        .iter()
        .map(|why| format!("{} ({})", why.what, why.count))
        .collect();
    if !why.is_empty() {
        let refused = format!("refused of it in all: {}", safe(&why.join(", ")));
        line(&mut text, &refused);
    }
    let left_out = source.entities.saturating_sub(source.told.len() as u64);
    if left_out > 0 {
        let others = counted(left_out, "other", "others");
        line(&mut text, &format!("and {others} with less trouble"));
    }
    text
}

fn table(all: &[(&str, &EntityLedger)], now: Time) -> Table {
    let mut table = Table::of(headings(Some("SOURCE")));
    for (source, of) in all {
        table.cells(cells(Some(source), of, now));
    }
    table
}

/// The headings, that of the source only where there are several.
fn headings(source: Option<&str>) -> Vec<String> {
    let others = [
        "LAST", "EVERY", "PER MIN", "LAG", "SKEW", "SILENT", "GAPS", "REJECTED", "DROPPED", "WHY",
    ];
    let all = ["ENTITY"].into_iter().chain(source).chain(others);
    all.map(str::to_owned).collect()
}

fn cells(source: Option<&str>, of: &EntityLedger, now: Time) -> Vec<String> {
    let is_heard = of.last_seen > Time::ZERO;
    let or_none = |is_known: bool, text: String| if is_known { text } else { "-".to_owned() };
    let others = [
        or_none(is_heard, age(now.since(of.last_seen))),
        or_none(of.every_ms > 0, age(i64::from(of.every_ms))),
        or_none(of.per_minute > 0, of.per_minute.to_string()),
        of.lag_ms.map_or_else(|| "-".to_owned(), age),
        of.skew_ms.map_or_else(|| "-".to_owned(), age),
        or_none(of.series > 0, format!("{} of {}", of.silent, of.series)),
        of.gaps.to_string(),
        of.rejected.to_string(),
        of.dropped.to_string(),
        safe(&why(of)),
    ];
    let named = std::iter::once(safe(of.entity.as_str())).chain(source.map(safe));
    named.chain(others).collect()
}

fn why(of: &EntityLedger) -> String {
    let reasons = of.refused.iter().take(REASONS_MAX);
    let reasons: Vec<String> = reasons
        .map(|why| format!("{} ({})", why.what, why.count))
        .collect();
    reasons.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Count, EntityId};

    fn entity(name: &str, rejected: u64, gaps: u64) -> EntityLedger {
        EntityLedger {
            last_seen: Time::from_secs(90),
            every_ms: 15_000,
            per_minute: 40,
            series: 10,
            lag_ms: Some(0),
            rejected,
            gaps,
            refused: vec![Count {
                what: "later point already seen".to_owned(),
                count: rejected,
            }],
            ..EntityLedger::unheard(EntityId::parse(name))
        }
    }

    #[test]
    fn the_worst_come_first_and_those_without_trouble_only_when_asked_for() {
        let mut well = entity("cart", 0, 0);
        well.refused.clear();
        let source = SourceLedger {
            name: "otlp".to_owned(),
            entities: 4,
            told: vec![entity("web", 7, 0), entity("db", 0, 2), well],
            ..SourceLedger::default()
        };
        let now = Time::from_secs(100);
        let lines = |text: String| -> Vec<String> {
            let lines = text.lines();
            let squeezed = lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
            squeezed.skip(1).collect()
        };
        let web = "service/web otlp 10 s 15 s 40 0 ms - 0 of 10 0 7 0 later point already seen (7)";
        let db = "service/db otlp 10 s 15 s 40 0 ms - 0 of 10 2 0 0 later point already seen (0)";
        assert_eq!(lines(troubled(&[&source], now)), [web, db]);
        let everybody = [
            &web.replace(" otlp", ""),
            &db.replace(" otlp", ""),
            "service/cart 10 s 15 s 40 0 ms - 0 of 10 0 0 0",
            "and 1 other with less trouble",
        ];
        assert_eq!(lines(of_source(&source, now)), everybody);
        assert_eq!(troubled(&[], now), "");
        let heading = |text: &str| {
            text.lines()
                .next()
                .is_some_and(|line| line.contains("SOURCE"))
        };
        assert!(heading(&troubled(&[&source], now)));
        assert!(
            !heading(&of_source(&source, now)),
            "no column without a word"
        );
    }
}
