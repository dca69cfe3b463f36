//! The wall: the state of everything for a screen at which nobody sits. It pages and never scrolls, moves
//! nothing but its clock, and covers itself with a banner once what it shows is old: a frozen screen
//! must not look healthy. No free text and no names of people unless they were allowed.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout as Split, Rect};

use crate::api::View;
use crate::model::{EntityId, Health, IncidentRow, Phase, Severity};
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::State;
use crate::tui::theme::Role;
use crate::tui::wall::Wall;

use super::chrome;

/// Incidents in large rows.
pub(in crate::tui) const WORST_MAX: usize = 5;
/// What is older than this is covered, in milliseconds.
const COVER_MS: i64 = 30_000;
/// A page of services stays this long, in milliseconds.
const PAGE_MS: i64 = 15_000;
/// Cells of a service.
const SERVICE: usize = 26;
/// Lines from which digits are large, and their lines and cells.
const LARGE_MIN: u16 = 36;
const DIGIT_ROWS: u16 = 5;
const DIGIT_CELLS: usize = 3;
/// Lines below which an incident has no chart, and cells left of it.
const CHART_MIN: usize = 5;
const WORDS: usize = 56;
/// Lines of services, with their heading and a blank one, that incidents leave them at least.
const GRID_ROWS_MIN: u16 = 5;
/// Lines of an incident: what each gets before services do, and the most it gets of what they leave. With a chart
/// beside its words, with all of its words, and where lines are few.
const CHARTED_ROWS: (u16, u16) = (9, 16);
const WORDED_ROWS: (u16, u16) = (4, 5);
const BARE_ROWS: (u16, u16) = (2, 2);
/// Incidents below this get large rows only once the others and the services have what they need.
const GRAVE: Severity = Severity::Error;

/// Dots of the digits and of a colon, line by line.
const DIGITS: [[&str; 5]; 11] = [
    ["###", "# #", "# #", "# #", "###"],
    [" # ", "## ", " # ", " # ", "###"],
    ["###", "  #", "###", "#  ", "###"],
    ["###", "  #", "###", "  #", "###"],
    ["# #", "# #", "###", "  #", "  #"],
    ["###", "#  ", "###", "  #", "###"],
    ["###", "#  ", "###", "# #", "###"],
    ["###", "  #", "  #", "  #", "  #"],
    ["###", "# #", "###", "# #", "###"],
    ["###", "# #", "###", "  #", "###"],
    ["   ", " # ", "   ", " # ", "   "],
];

/// Draws everything.
pub fn draw_wall(wall: &Wall, buf: &mut Buffer) {
    let state = &wall.state;
    let mut canvas = Canvas::new(buf, &state.look);
    match (state.feed.view.as_ref(), old_ms(state)) {
        (_, Some(ms)) => cover(state, ms, &mut canvas),
        (None, None) => canvas.row(1, &Row::new().put(Role::Muted, " Connecting...")),
        (Some(view), None) => board(wall, view, &mut canvas),
    }
    canvas.reduce();
}

/// How old everything is, when that is too old to be shown.
fn old_ms(state: &State) -> Option<i64> {
    let ms = state.now.since(state.feed.heard);
    (ms > COVER_MS).then_some(ms)
}

/// Over the whole screen: what was here is old.
fn cover(state: &State, ms: i64, canvas: &mut Canvas<'_>) {
    let age = format::age(ms);
    let why = match &state.feed.lost {
        Some(why) => Row::new().put(Role::Banner, why),
        None => Row::new().put(Role::Banner, "the daemon is silent"),
    };
    let lines = [
        Row::new().put(Role::Banner, format!("STALE: nothing was heard for {age}")),
        why,
        Row::new().put(Role::Banner, "What was here is old and is not shown."),
    ];
    let (width, height) = (canvas.width(), canvas.height());
    for y in 0..height {
        canvas.tint(0, y, width, Role::Banner);
    }
    let top = height.saturating_sub(lines.len()) / 2;
    for (y, row) in lines.into_iter().enumerate() {
        let row = row.fit(width);
        let x = width.saturating_sub(row.width()) / 2;
        canvas.row_at(x, top + y, &row);
    }
}

fn board(wall: &Wall, view: &View, canvas: &mut Canvas<'_>) {
    let area = canvas.area();
    let large = area.height >= LARGE_MIN;
    let worst = worst(wall, view);
    let services = services(wall, view);
    let head_rows = if large { DIGIT_ROWS + 3 } else { 1 };
    let free = area.height.saturating_sub(head_rows + 2);
    let levels: &[(u16, u16)] = match (large, is_charted(area.width)) {
        (true, true) => &[CHARTED_ROWS, WORDED_ROWS, BARE_ROWS],
        (true, false) => &[WORDED_ROWS, BARE_ROWS],
        (false, _) => &[BARE_ROWS],
    };
    // Incidents are smaller rather than that services are seen by turns.
    let needs = |level: &(u16, u16)| 1 + worst.iter().map(|row| least(row, *level)).sum::<u16>();
    let fits = |services: usize| {
        let rows = grid_rows(services, area.width);
        levels.iter().find(|level| rows + needs(level) <= free)
    };
    let all = fits(services.of.len()).or_else(|| fits(services.matter));
    let level = all.or(levels.first()).copied().unwrap_or(BARE_ROWS);
    let wanted = grid_rows(services.of.len(), area.width);
    let kept = needs(&level).min(free.saturating_sub(wanted.min(GRID_ROWS_MIN)));
    let grid_rows = wanted.min(free - kept);
    let most = levels.first().map_or(0, |(_, most)| *most);
    let many = worst.len().max(1) as u16;
    let [head, line, grid_area, incidents, _, foot] = Split::vertical([
        Constraint::Length(head_rows),
        Constraint::Length(1),
        Constraint::Length(grid_rows),
        Constraint::Length((1 + most * many).min(free - grid_rows)),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    if large {
        digits(wall, view, &mut canvas.part(head));
    } else {
        let head = &mut canvas.part(head);
        head.row(
            0,
            &counts(view)
                .put(Role::Header, "  ")
                .put(Role::Header, clock(&wall.state)),
        );
    }
    canvas.part(line).row(0, &freshness(wall, view));
    grid(wall, &services, &mut canvas.part(grid_area));
    list(wall, view, (&worst, level), &mut canvas.part(incidents));
    let words = if wall.text {
        " Read-only. q leaves."
    } else {
        " Read-only, without names of people and free text (--text shows them). q leaves."
    };
    canvas
        .part(foot)
        .row(0, &Row::new().put(Role::Muted, words));
}

fn counts(view: &View) -> Row {
    let mut row = Row::new().put(Role::Body, " ");
    for (at, count) in view.counts.open_by_priority.iter().enumerate() {
        row.push(priority_role(at), format!("P{}:{count}  ", at + 1));
    }
    row
}

const fn priority_role(at: usize) -> Role {
    [Role::Crit, Role::High, Role::Warn, Role::Info][at]
}

/// UTC: those who look at it may sit anywhere.
fn clock(state: &State) -> String {
    state.now.to_utc().format("%H:%M:%S UTC").to_string()
}

/// Counts and clock in large digits, with a word over each.
fn digits(wall: &Wall, view: &View, canvas: &mut Canvas<'_>) {
    let mut x = 2;
    for (at, count) in view.counts.open_by_priority.iter().enumerate() {
        let role = if *count == 0 {
            Role::Muted
        } else {
            priority_role(at)
        };
        let words = Row::new().put(role, format!("P{} open", at + 1));
        canvas.row_at(x, 1, &words);
        let cells = number(canvas, x, 2, &count.to_string(), role);
        x += cells.max(words.width()) + 6;
    }
    let text = wall.state.now.to_utc().format("%H:%M:%S").to_string();
    let cells = text.len() * (DIGIT_CELLS + 1);
    let x = canvas.width().saturating_sub(cells + 2);
    canvas.row_at(x, 1, &Row::new().put(Role::Muted, "UTC"));
    number(canvas, x, 2, &text, Role::Header);
}

/// Draws digits and colons; the cells they take.
fn number(canvas: &mut Canvas<'_>, x: usize, y: usize, text: &str, role: Role) -> usize {
    let dot = glyph::BAR[0].chars().next().unwrap_or('#');
    for (place, c) in text.chars().enumerate() {
        let at = c
            .to_digit(10)
            .map_or(DIGITS.len() - 1, |digit| digit as usize);
        for (line, dots) in DIGITS[at].iter().enumerate() {
            for (column, _) in dots.chars().enumerate().filter(|(_, c)| *c == '#') {
                let left = x + place * (DIGIT_CELLS + 1) + column;
                canvas.dot(left, y + line, role, dot);
            }
        }
    }
    text.len() * (DIGIT_CELLS + 1)
}

/// Where, how old, what is blind, what may not run.
fn freshness(wall: &Wall, view: &View) -> Row {
    let state = &wall.state;
    let age = format::age(state.now.since(state.feed.heard).max(0));
    let row = Row::new()
        .put(Role::Body, " ")
        .put(Role::Title, view.environment.clone())
        .put(Role::Body, "  ");
    let row = match &state.feed.lost {
        Some(_) => row.put(Role::Stale, format!(" LOST {age} ")),
        None => row.put(Role::Ok, format!("heard {age} ago")),
    };
    let row = match chrome::unlike_now(state) {
        Some(words) => row.put(Role::Body, " ").put(Role::Stale, words),
        None => row,
    };
    let row = row.join(chrome::warnings(view, false));
    match wall.quiet_now() {
        Some((from, to)) => row.put(
            Role::Info,
            format!("  quiet hours {from:02}-{to:02}: only P1 and P2, and services that are bad"),
        ),
        None => row,
    }
}

/// Services in the order in which they matter.
struct Services<'a> {
    of: Vec<(&'a EntityId, Health)>,
    /// The first so many are not well, or part of a grave incident: all are seen, by turns if they must be.
    matter: usize,
}

/// Services: those of the gravest incident first, and among those of one priority the worst.
fn services<'a>(wall: &Wall, view: &'a View) -> Services<'a> {
    let quiet = wall.quiet_now().is_some();
    let mut gravest: BTreeMap<&EntityId, Severity> = BTreeMap::new();
    let lasting = view.incidents.values();
    for row in lasting.filter(|row| row.phase != Phase::Resolved) {
        for entity in std::iter::once(&row.entity).chain(&row.members) {
            let known = gravest.entry(entity).or_insert(row.severity);
            *known = row.severity.max(*known);
        }
    }
    let hidden = hidden(view);
    let matters = |id: &EntityId, health: Health| {
        health != Health::Ok
            || hidden.contains_key(id)
            || gravest.get(id).is_some_and(|severity| *severity >= GRAVE)
    };
    let entities = view.entities.iter().map(|(id, health)| (id, *health));
    let mut of: Vec<(&EntityId, Health)> = entities
        .filter(|(_, health)| !quiet || matches!(health, Health::Bad | Health::Blind))
        .collect();
    let place = |(id, health): &(&EntityId, Health)| {
        let grave = gravest.get(id).filter(|severity| **severity >= GRAVE);
        (
            !matters(id, *health),
            Reverse(grave.copied()),
            match health {
                Health::Ok if hidden.contains_key(id) => (badness(Health::Odd), true),
                health => (badness(*health), false),
            },
        )
    };
    of.sort_by_key(place);
    let matter = of.partition_point(|(id, health)| matters(id, *health));
    Services { of, matter }
}

/// Entities of incidents that are hidden, and what is done to these in a word.
fn hidden(view: &View) -> BTreeMap<&EntityId, &'static str> {
    let rows = view.incidents.values();
    let hidden = rows.filter_map(|row| Some((row, row.hidden()?.as_str())));
    let named = hidden.flat_map(|(row, word)| {
        let entities = std::iter::once(&row.entity).chain(&row.members);
        entities.map(move |id| (id, word))
    });
    named.collect()
}

/// Whether a screen so wide has room for a chart beside an incident's words.
const fn is_charted(width: u16) -> bool {
    width as usize > 2 * WORDS
}

/// Lines that all of them take on a screen so wide, with their heading and a blank one.
fn grid_rows(services: usize, width: u16) -> u16 {
    let columns = (usize::from(width) / SERVICE).max(1);
    u16::try_from(services.div_ceil(columns) + 2).unwrap_or(u16::MAX)
}

/// Services, on one page if they fit; else those that are well are counted once they do not, and what is left goes page
/// by page if it must.
fn grid(wall: &Wall, services: &Services<'_>, canvas: &mut Canvas<'_>) {
    let columns = (canvas.width() / SERVICE).max(1);
    let room = columns * canvas.height().saturating_sub(1);
    if room == 0 {
        return;
    }
    let all = services.of.len();
    // One page is filled with those that are well, and none is made of them.
    let told = services.matter.max(room).min(all);
    let pages = told.div_ceil(room).max(1);
    let page = (wall.state.now.ms() / PAGE_MS).unsigned_abs() as usize % pages;
    let of_pages = (pages > 1).then(|| format!("; page {} of {pages}", page + 1));
    let left_out = (told < all).then(|| format!("; {} more are ok", all - told));
    let heading = format!(
        " {}, the worst first{}{}",
        format::counted(all as u64, "entity", "entities"),
        of_pages.unwrap_or_default(),
        left_out.unwrap_or_default()
    );
    canvas.row(0, &Row::new().put(Role::Muted, heading));
    let hidden = wall
        .state
        .feed
        .view
        .as_ref()
        .map(hidden)
        .unwrap_or_default();
    let here = services.of[..told].iter().skip(page * room).take(room);
    for (at, (id, health)) in here.enumerate() {
        let (mark, word, role) = match hidden.get(id) {
            // That nobody is told is no health.
            Some(word) if *health == Health::Ok => {
                (glyph::health(Health::Odd).0, *word, Role::Warn)
            }
            _ => glyph::health(*health),
        };
        let cells = word.len().max(5) + 1;
        let row = Row::new()
            .put(role, mark)
            .put(role, " ")
            .column(role, word, cells)
            .column(Role::Body, *id, SERVICE - 4 - cells);
        canvas.row_at(1 + at % columns * SERVICE, 1 + at / columns, &row);
    }
}

const fn badness(health: Health) -> u8 {
    match health {
        Health::Bad => 0,
        Health::Blind => 1,
        Health::Odd => 2,
        Health::Ok => 3,
    }
}

/// The worst incidents that are not over, the oldest first among equals.
pub(in crate::tui) fn worst<'a>(wall: &Wall, view: &'a View) -> Vec<&'a IncidentRow> {
    let quiet = wall.quiet_now().is_some();
    let mut rows: Vec<&IncidentRow> = view
        .incidents
        .values()
        .filter(|row| row.phase != Phase::Resolved)
        .filter(|row| !quiet || row.severity >= GRAVE)
        .collect();
    rows.sort_by_key(|row| (Reverse(row.severity), row.began));
    rows.truncate(WORST_MAX);
    rows
}

/// Lines that an incident has at least: of those that are not grave few.
fn least(row: &IncidentRow, (least, _): (u16, u16)) -> u16 {
    if row.severity >= GRAVE {
        least
    } else {
        BARE_ROWS.0
    }
}

/// Lines of each incident: as many as it has at least, then what is left to the grave ones, then to the others.
fn shares(worst: &[&IncidentRow], level: (u16, u16), room: u16) -> Vec<u16> {
    let mut rows: Vec<u16> = worst.iter().map(|row| least(row, level)).collect();
    // Where there is too little, the last of the highest gives way.
    while rows.iter().sum::<u16>() > room {
        let highest = rows.iter_mut().max();
        match highest.filter(|highest| **highest > 0) {
            Some(highest) => *highest -= 1,
            None => break,
        }
    }
    for is_grave in [true, false] {
        let mut left = room.saturating_sub(rows.iter().sum());
        while left > 0 {
            let of_kind = worst.iter().zip(&mut rows);
            let of_kind = of_kind.filter(|(row, _)| (row.severity >= GRAVE) == is_grave);
            let lowest = of_kind.map(|(_, lines)| lines).min();
            match lowest.filter(|lines| **lines < CHARTED_ROWS.1) {
                Some(lines) => *lines += 1,
                None => break,
            }
            left -= 1;
        }
    }
    rows
}

fn list(
    wall: &Wall,
    view: &View,
    (worst, level): (&[&IncidentRow], (u16, u16)),
    canvas: &mut Canvas<'_>,
) {
    let open = view
        .incidents
        .values()
        .filter(|row| row.phase != Phase::Resolved)
        .count();
    if worst.is_empty() {
        let text = if open == 0 {
            " No incident is open."
        } else {
            " No incident of P1 or P2 is open."
        };
        return canvas.row(0, &Row::new().put(Role::Ok, text));
    }
    let heading = if worst.len() < open {
        format!(" {} of {open} open incidents, the worst first", worst.len())
    } else {
        " Incidents, the worst first".to_owned()
    };
    canvas.row(0, &Row::new().put(Role::Muted, heading));
    let area = canvas.area();
    let below = Rect {
        y: area.y + 1,
        height: area.height.saturating_sub(1),
        ..area
    };
    let shares = shares(worst, level, below.height);
    let areas = Split::vertical(shares.into_iter().map(Constraint::Length)).split(below);
    for (row, area) in worst.iter().zip(areas.iter()) {
        incident(wall, row, &mut canvas.part(*area));
    }
}

/// An incident: what, how long, who is suspected; beside it the most unusual chart.
fn incident(wall: &Wall, row: &IncidentRow, canvas: &mut Canvas<'_>) {
    let state = &wall.state;
    let (mark, priority, role) = glyph::severity(row.severity);
    let (phase, phase_role) = glyph::standing(row);
    let age = format::age(row.lasted_ms(state.engine_now()));
    let line = Row::new()
        .put(Role::Body, " ")
        .put(role, priority)
        .put(role, mark)
        .put(Role::Body, " ")
        .put(Role::Title, row.id.to_string())
        .put(Role::Body, " ")
        .put(Role::Title, &row.entity)
        .put(Role::Body, format!("  {age} "));
    let line = match row.hidden() {
        Some(held) => {
            let until = held.until_words(|at| at.to_utc().format("%H:%M UTC").to_string());
            line.put(phase_role, format!("{}{until}", held.as_str()))
        }
        None => line.put(phase_role, phase),
    };
    let line = match (&row.owner, wall.text) {
        (Some(owner), true) => line.put(Role::Person, format!("  {owner}")),
        (Some(_), false) => line.put(Role::Muted, "  taken"),
        (None, _) => line.put(Role::Warn, "  nobody has it"),
    };
    canvas.row(0, &line);
    let mut words = Vec::new();
    if wall.text {
        words.push(Row::new().put(Role::Body, super::summary(row)));
    }
    if let Some((suspect, confidence)) = &row.suspect {
        words.push(
            Row::new()
                .put(Role::Muted, "suspect ")
                .put(Role::Suspect, suspect)
                .put(Role::Body, format!(" {confidence:.2}")),
        );
    }
    let reach = format!(
        "{}, {}, {}",
        format::counted(row.entities.into(), "entity", "entities"),
        format::counted(row.alerts.into(), "alert", "alerts"),
        format::counted(row.findings.into(), "finding", "findings"),
    );
    words.push(Row::new().put(Role::Muted, reach));
    for (y, words) in words.into_iter().enumerate() {
        canvas.row(1 + y, &Row::new().put(Role::Body, "   ").join(words));
    }
    let chart = state.details.panels(row.id).and_then(|p| p.charts.first());
    let height = canvas.height();
    if let Some(chart) = chart.filter(|_| height >= CHART_MIN && is_charted(canvas.area().width)) {
        let area = canvas.area();
        let right = Rect {
            x: area.x + WORDS as u16,
            width: area.width - WORDS as u16,
            height: area.height - 1,
            ..area
        };
        let mut part = canvas.part(right);
        part.clear();
        if wall.text {
            return super::metrics::large(state, chart, &mut part);
        }
        // What a change is called was written by somebody.
        let mut plain = chart.clone();
        for mark in &mut plain.marks {
            mark.text = mark.lane.as_str().into();
        }
        super::metrics::large(state, &plain, &mut part);
    }
}
