//! Where telemetry comes from. Quiet is not healthy: a silent source says so in words.

use std::cmp::Reverse;

use unicode_width::UnicodeWidthStr;

use crate::api::View;
use crate::model::{EntityLedger, SafeText, SourceHealth, SourceLedger, SourceRow, Time};
use crate::tui::format;
use crate::tui::paint::{Canvas, Row, middle, wrap};
use crate::tui::state::{Listed, State};
use crate::tui::theme::Role;

/// Entities and metrics named of the source under the cursor.
const NAMED_MAX: usize = 4;

/// Columns of what is told of an entity beside its name, and of the name at least and at most.
const NUMBER_COLUMNS: usize = 57;
/// Columns of how often an entity speaks, and of how far its clock is off, where there is room.
const EVERY_COLUMNS: usize = 8;
const SKEW_COLUMNS: usize = 7;
const NAME_COLUMNS_MIN: usize = 20;
const NAME_COLUMNS_MAX: usize = 40;

/// Columns of a source's name at least, and as a part of the screen at most …
const SOURCE_COLUMNS_MIN: usize = 15;
const SOURCE_PART_MAX: usize = 3;
/// … as long as there are so many for where it is, beside these of its numbers.
const WHERE_COLUMNS_MIN: usize = 30;
const COUNT_COLUMNS: usize = 48;

/// On a narrower screen how a source speaks is left to its explanation: the list would give way to it.
const WIDE_COLUMNS: usize = 100;

/// Heading of the last column.
pub(super) const WHERE: &str = "WHERE";

/// The sources shown: all, or those that have what is looked for.
pub(in crate::tui) fn rows<'a>(state: &State, view: &'a View) -> Vec<&'a SourceRow> {
    let filter = &state.sources.filter;
    let all = view.sources.values();
    all.filter(|row| filter.source(row, state_of(row).0))
        .collect()
}

/// Draws the view.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let Some(view) = state.feed.shown() else {
        return;
    };
    let columns = source_columns(view, canvas.width());
    let head = heading(columns);
    if view.sources.is_empty() {
        canvas.row(0, &head.put(Role::Muted, WHERE));
        let text = " No source is configured: nothing can be seen.";
        return canvas.row(1, &Row::new().put(Role::Blind, text));
    }
    let sources = rows(state, view);
    let len = sources.len();
    if len == 0 {
        canvas.row(0, &head.put(Role::Muted, WHERE));
        return super::unfound(state, &mut super::below(canvas), "source");
    }
    let cursor = &state.sources.cursor;
    let at = cursor.at(len);
    let width = canvas.width().saturating_sub(2);
    // A move of the cursor must stay cheap: what is told of a source follows when it rests.
    let told = sources.get(cursor.rested_at(len)).copied();
    let mut told = told.map_or_else(Vec::new, |row| {
        let texts = [
            Some(row.detail.clone()),
            silence(row, view.at),
            refused(row, view.at),
        ];
        let mut texts: Vec<String> = texts.into_iter().flatten().collect();
        if canvas.width() >= WIDE_COLUMNS {
            texts.extend(speech(state, row, view.at));
        }
        texts
            .into_iter()
            .flat_map(|text| wrap(&SafeText::new(&text), width))
            .collect::<Vec<_>>()
    });
    // The list must not give way to what is said of one of its rows.
    told.truncate(canvas.height() / 2);
    let listed = canvas.height().saturating_sub(2 + told.len());
    let window = cursor.window(len, listed);
    let below = 2 + window.len();
    let room = canvas.width().saturating_sub(head.width());
    let place = super::scrolled(WHERE, &window, len, "", room);
    canvas.row(0, &head.put(Role::Muted, place));
    for (y, i) in window.enumerate() {
        let row = sources[i];
        let mark = super::cursor_mark(i == at, true);
        let line =
            mark.put(Role::Body, " ")
                .join(summary(state, row, view.at, (columns, canvas.width())));
        super::listed(state, canvas, y + 1, (Listed::Sources, i), &line);
    }
    // The row cuts where it is; here is all of it.
    for (y, line) in told.into_iter().enumerate() {
        canvas.row(
            below + y,
            &Row::new().put(Role::Body, " ").put(Role::Body, line),
        );
    }
}

/// How a source speaks, and who of those it tells of does not as they should.
pub(in crate::tui) fn speech(state: &State, row: &SourceRow, now: Time) -> Vec<String> {
    let known = state.speakers.of(&row.name);
    let of_senders = known.map_or_else(Vec::new, |known| senders(known, now));
    let lag_ms = row.pace.lag_ms(known.and_then(|known| known.lag_ms));
    usual(row, lag_ms).into_iter().chain(of_senders).collect()
}

/// Since when a source is not heard, and what that says.
pub(in crate::tui) fn silence(row: &SourceRow, now: Time) -> Option<String> {
    let heard = |seen: Time| format!("Last heard {} ago", format::lasting(now.since(seen)));
    match (row.health, row.last_seen) {
        (SourceHealth::Waiting, Some(seen)) => Some(format!(
            "Nothing came since the daemon was started. {}.",
            heard(seen)
        )),
        (SourceHealth::Waiting, None) => {
            Some("Waiting for its first data since the daemon was started.".to_owned())
        }
        (SourceHealth::Blind, None) => {
            Some("Overdue: it was never heard since the daemon was started.".to_owned())
        }
        (SourceHealth::Silent | SourceHealth::Blind, Some(seen)) => {
            Some(match row.pace.longest_ms {
                Some(ms) => format!(
                    "{} (its longest pause so far: {}).",
                    heard(seen),
                    format::lasting(ms)
                ),
                None => format!("{}; it was heard once so far.", heard(seen)),
            })
        }
        _ => None,
    }
}

/// How it speaks when all is well, and how old what it says is.
fn usual(row: &SourceRow, lag_ms: Option<i64>) -> Option<String> {
    let pace = &row.pace;
    let mut parts = Vec::new();
    if let Some(ms) = pace.usual_ms {
        parts.push(format!("heard again within {}", format::lasting(ms)));
    }
    if let Some(count) = pace.per_minute {
        parts.push(format!(
            "{} a minute",
            format::counted(count, "signal", "signals")
        ));
    }
    match lag_ms {
        Some(lag_ms @ ..-1_000) => {
            parts.push(format!(
                "dated {} ahead of our clock",
                format::lasting(-lag_ms)
            ));
        }
        Some(lag_ms) => parts.push(format!("{} old when it comes", format::lasting(lag_ms))),
        None => {}
    }
    if pace.gaps > 0 {
        let gaps = format::counted(pace.gaps, "silence", "silences");
        parts.push(format!("{gaps} that left us blind"));
    }
    (!parts.is_empty()).then(|| format!("Usually: {}.", parts.join(", ")))
}

/// Who of those it tells of is silent, has another time, or brings more than there is room for.
fn senders(known: &SourceLedger, now: Time) -> Vec<String> {
    let entities = format::counted(known.entities, "entity", "entities");
    let series = format::counted(known.series, "series", "series");
    let missed = named(&known.missed, |of| {
        let age = format::age(now.since(of.last_seen));
        format!("{} ({} of {}, {age})", of.entity, of.silent, of.series)
    });
    let silent = format::count(known.silent);
    let mut lines = vec![match known.series {
        0 => format!("Tells of {entities}"),
        _ => format!("Tells of {entities} in {series}, {silent} of them silent{missed}"),
    }];
    if !known.odd_clocks.is_empty() {
        let odd = named(&known.odd_clocks, |of| match of.skew_ms {
            Some(lag_ms @ ..0) => format!("{} {} ahead", of.entity, format::lasting(-lag_ms)),
            Some(lag_ms) => format!("{} {} late", of.entity, format::lasting(lag_ms)),
            None => of.entity.to_string(),
        });
        lines.push(format!("Another time than ours or the others'{odd}"));
    }
    let refused = known.told.iter().filter(|of| refused_of(of) > 0);
    let mut refused: Vec<&EntityLedger> = refused.collect();
    refused.sort_by_key(|of| Reverse(refused_of(of)));
    if !refused.is_empty() {
        let worst = named(&refused, |of| {
            format!("{} ({})", of.entity, format::count(refused_of(of)))
        });
        lines.push(format!("Not taken, most{worst}"));
    }
    if !known.refused.is_empty() {
        let why = named(&known.refused, |why| {
            format!("{} ({})", why.what, format::count(why.count))
        });
        lines.push(format!("Refused by the engine{why}"));
    }
    if !known.unplaced.is_empty() {
        let worst = named(&known.unplaced, |metric| {
            format!("{} ({})", metric.what, format::count(metric.count))
        });
        lines.push(format!("Too many series, so not watched{worst}"));
    }
    lines
}

/// How much of an entity was refused or lost.
const fn refused_of(of: &EntityLedger) -> u64 {
    of.rejected + of.dropped
}

/// Whom a source tells of, as a table: those with most trouble first.
pub(in crate::tui) fn entities(known: &SourceLedger, now: Time, width: usize) -> Vec<Row> {
    let is_wide = width >= WIDE_COLUMNS;
    let (every_width, skew_width) = if is_wide {
        (EVERY_COLUMNS, SKEW_COLUMNS)
    } else {
        (0, 0)
    };
    let name_width = width.saturating_sub(NUMBER_COLUMNS + every_width + skew_width);
    let name_width = name_width.clamp(NAME_COLUMNS_MIN, NAME_COLUMNS_MAX);
    if known.told.is_empty() {
        return Vec::new();
    }
    let heading = Row::new()
        .put(Role::Body, "  ")
        .column(Role::Muted, "ENTITY", name_width)
        .right(Role::Muted, "LAST", 6)
        .right(Role::Muted, if is_wide { "EVERY" } else { "" }, every_width)
        .right(Role::Muted, "PER MIN", 9)
        .right(Role::Muted, "LAG", 7)
        .right(Role::Muted, if is_wide { "SKEW" } else { "" }, skew_width)
        .right(Role::Muted, "SILENT", 8)
        .right(Role::Muted, "GAPS", 6)
        .right(Role::Muted, "REJECTED", 10)
        .right(Role::Muted, "DROPPED", 9);
    std::iter::once(heading)
        .chain(known.told.iter().flat_map(|of| {
            let row = entity(of, now, name_width, (every_width, skew_width));
            std::iter::once(row).chain(reasons(of, width))
        }))
        .collect()
}

/// One of them. How often it speaks and how far its clock is off are left out where they have no columns.
fn entity(
    of: &EntityLedger,
    now: Time,
    name_width: usize,
    (every_width, skew_width): (usize, usize),
) -> Row {
    let is_heard = of.last_seen > Time::ZERO;
    let or_none = |is_known: bool, text: String| if is_known { text } else { "-".to_owned() };
    let warn = |n: u64| if n > 0 { Role::Warn } else { Role::Muted };
    let signed = |ms: Option<i64>| match ms {
        Some(ms @ ..0) => format!("-{}", format::lasting(-ms)),
        Some(ms) => format::lasting(ms),
        None => "-".to_owned(),
    };
    let skew = if skew_width == 0 {
        String::new()
    } else {
        signed(of.skew_ms)
    };
    let every = match every_width {
        0 => String::new(),
        _ => or_none(of.every_ms > 0, format::lasting(i64::from(of.every_ms))),
    };
    Row::new()
        .put(Role::Body, "  ")
        .column(Role::Body, of.entity.to_string(), name_width)
        .right(
            Role::Body,
            or_none(is_heard, format::age(now.since(of.last_seen))),
            6,
        )
        .right(Role::Body, every, every_width)
        .right(
            Role::Body,
            or_none(of.per_minute > 0, format::count(of.per_minute)),
            9,
        )
        .right(Role::Body, signed(of.lag_ms), 7)
        .right(Role::Body, skew, skew_width)
        .right(
            warn(of.silent),
            or_none(of.series > 0, format::count(of.silent)),
            8,
        )
        .right(warn(of.gaps), format::count(of.gaps), 6)
        .right(warn(of.rejected), format::count(of.rejected), 10)
        .right(warn(of.dropped), format::count(of.dropped), 9)
}

/// Why it was refused, below it.
fn reasons(of: &EntityLedger, width: usize) -> Vec<Row> {
    let why = named(&of.refused, |why| {
        format!("{} ({})", why.what, format::count(why.count))
    });
    let why = SafeText::new(why.trim_start_matches(": "));
    if why.as_str().is_empty() {
        return Vec::new();
    }
    let lines = wrap(&why, width.saturating_sub(4)).into_iter();
    let rows = lines.map(|line| Row::new().put(Role::Body, "    ").put(Role::Muted, line));
    rows.collect()
}

/// The first few, behind a colon; nothing of none.
fn named<T>(all: &[T], name: impl Fn(&T) -> String) -> String {
    let names: Vec<String> = all.iter().take(NAMED_MAX).map(name).collect();
    match (names.len(), all.len() > NAMED_MAX) {
        (0, _) => String::new(),
        (_, true) => format!(": {}, …", names.join(", ")),
        (_, false) => format!(": {}", names.join(", ")),
    }
}

/// What was not taken of late, and what its sender keeps.
fn refused(row: &SourceRow, now: Time) -> Option<String> {
    let last = row.last_refusal.as_ref()?;
    let age = format::age(now.since(last.at));
    let text = format!("Not taken {age} ago: {}", last.why);
    let signals = format::counted(row.refused, "signal", "signals");
    let unread = format::counted(row.unread, "unread request", "unread requests");
    let sent_back = match (row.refused, row.unread) {
        (0, 0) => return Some(text),
        (_, 0) => signals,
        (0, _) => unread,
        _ => format!("{signals} and {unread}"),
    };
    Some(format!(
        "{text}. In all {sent_back} sent back, for the sender to try again"
    ))
}

/// Columns that names of sources take: as many as the longest needs, and no more than there are to spare.
pub(super) fn source_columns(view: &View, width: usize) -> usize {
    let names = view.sources.values().map(|row| SafeText::new(&row.name));
    let longest = names.map(|name| name.as_str().width()).max().unwrap_or(0);
    let spare = width.saturating_sub(COUNT_COLUMNS + WHERE_COLUMNS_MIN);
    let most = spare.min(width / SOURCE_PART_MAX).max(SOURCE_COLUMNS_MIN);
    // One more, between it and the next column.
    (longest + 1).clamp(SOURCE_COLUMNS_MIN, most)
}

/// What the columns are; names of sources take so many of them.
pub(super) fn heading(columns: usize) -> Row {
    Row::new()
        .put(Role::Body, "   ")
        .column(Role::Muted, "STATE", 9)
        .column(Role::Muted, "SOURCE", columns)
        .right(Role::Muted, "LAST", 8)
        .right(Role::Muted, "TAKEN", 8)
        .right(Role::Muted, "REJECTED", 9)
        .right(Role::Muted, "DROPPED", 9)
        .put(Role::Body, "  ")
}

/// A source as a row: of its name so many columns, of all so many.
pub(super) fn summary(
    state: &State,
    row: &SourceRow,
    now: Time,
    (columns, width): (usize, usize),
) -> Row {
    let (word, role) = state_of(row);
    let last = last_heard(row).map_or_else(
        || "never".to_owned(),
        |at| format!("{} ago", state.age(now.since(at))),
    );
    let warn = |n: u64| if n > 0 { Role::Warn } else { Role::Muted };
    Row::new()
        .put(Role::Body, " ")
        .column(role, word, 9)
        .column(Role::Title, middle(&row.name, columns - 1), columns)
        .right(Role::Body, last, 8)
        .right(Role::Body, format::count(row.taken), 8)
        .right(warn(row.rejected), format::count(row.rejected), 9)
        .right(warn(row.dropped), format::count(row.dropped), 9)
        .put(Role::Body, "  ")
        .put(Role::Muted, row.detail.clone())
        .fit(width)
}

/// The word for how a source is, and its role.
const fn state_of(row: &SourceRow) -> (&'static str, Role) {
    match row.health {
        SourceHealth::Waiting => ("waiting", Role::Muted),
        SourceHealth::Live => ("live", Role::Ok),
        SourceHealth::Silent => ("silent", Role::Muted),
        SourceHealth::Blind => ("BLIND", Role::Blind),
        SourceHealth::Failed => ("FAILED", Role::Crit),
        SourceHealth::Rejecting => ("REJECTS", Role::Warn),
    }
}

/// When its sender last spoke, whether or not anything of it could be taken.
fn last_heard(row: &SourceRow) -> Option<Time> {
    let refused = row.last_refusal.as_ref().map(|refusal| refusal.at);
    row.last_seen.max(refused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Count, EntityId};

    fn refused(name: &str, rejected: u64, dropped: u64) -> EntityLedger {
        let why = [
            "time too far from the clock",
            "too many series of one source",
        ];
        let why = why.map(|what| Count {
            what: what.to_owned(),
            count: 123_456,
        });
        EntityLedger {
            rejected,
            dropped,
            series: 12,
            silent: 5,
            every_ms: 15_000,
            lag_ms: Some(120_000),
            skew_ms: Some(60_000),
            refused: [why.clone(), why].concat(),
            ..EntityLedger::unheard(EntityId::parse(name))
        }
    }

    fn known() -> SourceLedger {
        SourceLedger {
            told: vec![refused("web", 2, 1), refused("cart", 900, 0)],
            ..SourceLedger::default()
        }
    }

    #[test]
    fn those_with_most_that_was_not_taken_come_first() {
        let lines = senders(&known(), Time::ZERO);
        let most = "Not taken, most: service/cart (900), service/web (3)";
        assert!(lines.iter().any(|line| line == most), "{lines:?}");
    }

    #[test]
    fn a_table_of_entities_fits_tells_who_is_silent_and_cuts_no_reason() {
        for width in [78, 118] {
            let rows = entities(&known(), Time::ZERO, width);
            let texts: Vec<String> = rows.iter().map(Row::text).collect();
            let fit = texts
                .iter()
                .all(|text| text.trim_end().chars().count() <= width);
            assert!(fit, "{texts:#?}");
            let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
            let cart = texts.iter().position(|text| text.contains("cart")).unwrap();
            let (every, skew) = if width < WIDE_COLUMNS {
                ("", "")
            } else {
                (" 15s", " 1m")
            };
            let row = format!("service/cart -{every} - 2m{skew} 5 0 900 0");
            assert_eq!(words(&texts[cart]), row);
            let why = words(&texts[cart + 1..].join(" "));
            assert_eq!(why.matches("123").count(), 4, "{why}");
        }
    }
}
