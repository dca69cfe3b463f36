//! What frames every view: header, banner, tabs, pane titles, footer.

use ratatui::layout::Rect;

use super::box_keys;
use crate::api::View;
use crate::model::{Mode, Phase, PlanState, SafeText, SourceHealth, Time};
use crate::tui::action::Action;
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::inert;
use crate::tui::paint::{Canvas, Row, middle, wrap};
use crate::tui::reach;
use crate::tui::state::{Gone, Layout, Overlay, Screen, Spot, State, Tab, healed_by};
use crate::tui::theme::Role;

/// Lines of the longest notice.
const NOTICE_ROWS_MAX: usize = 4;
/// Lines of a screen from which a banner has two of them, and three.
const BANNER_TWO_LINES: u16 = 24;
const BANNER_THREE_LINES: u16 = 36;
/// Cells kept free at the right of the footer for a key sequence being typed.
const PENDING_CELLS: usize = 6;
/// Width from which tabs have blanks between them.
const TABS_WIDTH: usize = 69;
/// Cells of the sign between the parts of the header.
const SEPARATOR_CELLS: usize = 3;
/// Width from which the header has room to say what is stopped.
const STOPPED_WIDTH: usize = 72;
/// What a console without a connection does: in full, and where there is no room for that.
const TRYING_AGAIN: &str = ". Trying again; what you see is old.";
const TRYING: &str = "; trying again";
/// Cells of the name of the environment when the header is full.
const ENVIRONMENT_CELLS: usize = 12;

/// Counts, environment, how fresh, where.
pub(super) fn header(state: &State, width: usize) -> Row {
    let Some(view) = state.feed.shown() else {
        return Row::new().put(Role::Header, " stormglass");
    };
    let open = view.counts.open_by_priority;
    let total: u32 = open.iter().sum();
    let mut row = Row::new().put(Role::Header, format!(" INC {total} open"));
    for (at, count) in open.iter().enumerate().filter(|(_, count)| **count > 0) {
        let role = [Role::Crit, Role::High, Role::Warn, Role::Info][at];
        row.push(role, format!("  P{}:{count}", at + 1));
    }
    let rest = freshness(state, Row::new()).join(warnings(view, width < STOPPED_WIDTH));
    let environment = Row::new().put(Role::Header, view.environment.clone());
    let place = Row::new()
        .put(Role::Muted, glyph::SEPARATOR)
        .join(breadcrumb(state));
    // What warns is never cut: the environment gives way, then the place.
    let taken = row.width() + rest.width() + 2 * SEPARATOR_CELLS;
    let filter = filter(state);
    let room = width.saturating_sub(taken + place.width() + filter.width());
    let environment = environment.fit(room.max(ENVIRONMENT_CELLS));
    row.push(Role::Muted, glyph::SEPARATOR);
    row = row.join(environment);
    row.push(Role::Muted, glyph::SEPARATOR);
    // What is hidden by a filter must not look as if it were not there.
    row.join(rest)
        .join_if_fits(place, width)
        .join(filter)
        .fit(width)
}

/// What cannot be seen, and what may not run.
pub(super) fn warnings(view: &View, is_narrow: bool) -> Row {
    let count = |health| {
        let all = view.sources.values();
        all.filter(|source| source.health == health).count()
    };
    let mut row = Row::new();
    // In the words of the list of sources.
    for (health, word, role) in [
        (SourceHealth::Blind, "BLIND", Role::Blind),
        (SourceHealth::Failed, "FAILED", Role::Crit),
    ] {
        let count = count(health);
        if count > 0 {
            row.push(Role::Body, " ");
            row.push(role, format!("{count} {word}"));
        }
    }
    if view.counts.alerts_held > 0 {
        row.push(Role::Body, " ");
        row.push(Role::Muted, format!("{} held", view.counts.alerts_held));
    }
    if view.counts.alerts_unheard > 0 {
        let stale = view.counts.alerts_unheard;
        row.push(Role::Body, " ");
        row.push(Role::Blind, format!("{stale} stale"));
    }
    if view.silences.values().any(|silence| silence.ends_soon) {
        row.push(Role::Warn, " silence ends");
    }
    if view.automation_stopped {
        row.push(Role::Body, " ");
        let words = if is_narrow {
            "STOPPED"
        } else {
            "AUTOMATION STOPPED"
        };
        row.push(Role::Danger, words);
    }
    row
}

fn freshness(state: &State, row: Row) -> Row {
    if let (Some(travel), Some(view)) = (&state.travel, state.feed.shown()) {
        let (then, ago) = (state.clock.second(travel.at), view.at.since(travel.at));
        return row.put(
            Role::Stale,
            format!(" AS OF {then}, {} ago ", format::age(ago)),
        );
    }
    let clock = state.clock.minute(state.engine_now());
    if state.feed.frozen.is_some() {
        let text = format!(" FROZEN {clock}, {} new ", state.feed.missed);
        return row.put(Role::Stale, text);
    }
    match (state.feed.stale_ms(state.now), &state.feed.lost) {
        (Some(ms), Some(_)) => row.put(Role::Stale, format!(" LOST {} ", format::age(ms))),
        (Some(ms), None) => row.put(Role::Stale, format!(" STALE {} ", format::age(ms))),
        (None, _) => {
            if let Some(words) = unlike_now(state) {
                row.put(Role::Stale, words)
            } else {
                live(state, row, clock)
            }
        }
    }
}

/// The present, and how far away the daemon is when that is far.
fn live(state: &State, row: Row, clock: String) -> Row {
    let row = row.put(Role::Ok, "LIVE ").put(Role::Header, clock);
    if !state.feed.lags {
        return row;
    }
    let rtt = rounded(state.feed.round_trip_ms);
    row.put(Role::Muted, format!(" rtt {rtt}"))
}

/// What the daemon shows instead of the present, and whose time is not that of the clock on the wall.
pub(super) fn unlike_now(state: &State) -> Option<String> {
    match state.mode() {
        Mode::Live => None,
        Mode::Learning => {
            let clock = state.clock.minute(state.engine_now());
            Some(format!(" LEARNING {clock} "))
        }
        Mode::Replay { until } => Some(replayed(state, until)),
    }
}

/// A round trip to a digit or two, so that it does not change with every answer.
fn rounded(ms: u32) -> String {
    if ms < 1_000 {
        format!("{}ms", (ms + 25) / 50 * 50)
    } else {
        format!("{}s", (ms + 500) / 1_000)
    }
}

/// How far a recording is replayed.
fn replayed(state: &State, until: Time) -> String {
    let now = state.engine_now();
    let (clock, end) = (state.clock.second(now), state.clock.second(until));
    if now >= until {
        format!(" REPLAY ended {end} ")
    } else {
        format!(" REPLAY {clock} of {end} ")
    }
}

fn breadcrumb(state: &State) -> Row {
    match state.place.screen {
        Screen::Incidents => Row::new().put(Role::Header, "incidents"),
        Screen::Incident(id) => Row::new()
            .put(Role::Header, format!("{id} "))
            .put(Role::Header, state.place.tab.as_str()),
        Screen::Alerts => Row::new().put(Role::Header, "alerts"),
        Screen::Sources => Row::new().put(Role::Header, "sources"),
    }
}

/// What was typed to see only a part.
fn filter(state: &State) -> Row {
    let filter = state.filter();
    if filter.is_empty() {
        Row::new()
    } else {
        Row::new().put(Role::Match, format!(" /{}", filter.text()))
    }
}

/// Something the operator must know, on as many lines as it needs and there are for it; a lost connection comes
/// first.
pub(super) fn banner(state: &State, area: Rect) -> Vec<Row> {
    let width = usize::from(area.width);
    if let Some(why) = &state.feed.lost {
        let row = Row::new()
            .put(Role::Banner, " Connection lost: ")
            .put(Role::Banner, why);
        let [long, short] = [TRYING_AGAIN, TRYING].map(|text| Row::new().put(Role::Banner, text));
        return vec![if row.width() + long.width() <= width {
            row.join(long)
        } else {
            // What a long reason says last is the first to go.
            row.fit(width.saturating_sub(short.width())).join(short)
        }];
    }
    let Some(text) = state.feed.shown().map(|view| &*view.banner) else {
        return Vec::new();
    };
    if text.is_empty() {
        return Vec::new();
    }
    let lines_max = match area.height {
        0..BANNER_TWO_LINES => 1,
        BANNER_TWO_LINES..BANNER_THREE_LINES => 2,
        _ => 3,
    };
    let (text, room) = (SafeText::new(text), width.saturating_sub(2));
    let mut lines = wrap(&text, room);
    if lines.len() > lines_max {
        // How it goes on gives way to how it ends: there stand counts, and where to look.
        let rest: Vec<&str> = lines[lines_max - 1..]
            .iter()
            .map(SafeText::as_str)
            .collect();
        let last = SafeText::new(&middle(&rest.join(" "), room));
        lines.truncate(lines_max - 1);
        lines.push(last);
    }
    let row = |line| Row::new().put(Role::Banner, " ").put(Role::Banner, line);
    lines.into_iter().map(row).collect()
}

/// Before the first snapshot.
pub(super) fn connecting(state: &State, canvas: &mut Canvas<'_>) {
    let text = if state.feed.lost.is_some() {
        " Not connected. The console tries again by itself; q quits."
    } else {
        " Connecting..."
    };
    canvas.row(1, &Row::new().put(Role::Muted, text));
}

/// The tabs of the incident page; the one shown has a pointer and not only a colour.
pub(super) fn tabs(state: &State, canvas: &mut Canvas<'_>) {
    let narrow = canvas.width() < TABS_WIDTH;
    let (line, mut row) = (canvas.line(0), Row::new());
    for tab in Tab::ALL {
        let (here, from) = (tab == state.place.tab, row.width() as u16);
        row.push(Role::Focus, if here { glyph::CURSOR } else { " " });
        row.push(Role::Key, format!("{}", tab as usize + 1));
        row.push(Role::Body, if narrow { "" } else { " " });
        row.push(if here { Role::Focus } else { Role::Body }, tab.as_str());
        row.push(Role::Body, if narrow { "" } else { " " });
        let cells = Rect {
            x: line.x + from,
            width: row.width() as u16 - from,
            ..line
        };
        state.spots.note(cells, Spot::Pane(tab));
    }
    canvas.row(0, &row);
}

/// Title of a pane with the number that jumps to it.
pub(super) fn pane_title(tab: Tab, focused: bool) -> Row {
    let (mark, role) = if focused {
        (glyph::CURSOR, Role::Focus)
    } else {
        (" ", Role::Title)
    };
    Row::new()
        .put(Role::Focus, mark)
        .put(Role::Key, format!("{} ", tab as usize + 1))
        .put(role, tab.as_str())
}

/// What is waited for, where the keys stand; `true` when something is.
fn waits(state: &State, canvas: &mut Canvas<'_>) -> bool {
    let Some(waiting) = state.feed.waiting(state.now) else {
        return false;
    };
    let row = Row::new().put(Role::Warn, format!(" {}", SafeText::new(&waiting)));
    canvas.row(0, &row.fit(canvas.width()));
    true
}

/// The keys of what lies over the screen.
pub(super) fn footer_of(state: &State, overlay: &Overlay, canvas: &mut Canvas<'_>) {
    if !waits(state, canvas) {
        box_keys::draw(state, overlay, canvas);
    }
}

/// The keys that matter here and now, and an unfinished key sequence.
pub(super) fn footer(state: &State, canvas: &mut Canvas<'_>) {
    if waits(state, canvas) {
        return;
    }
    let width = canvas.width();
    let mut row = Row::new();
    // A key that would only say why it is dead is not what matters; pressed, it says so.
    let live = |action: &&Action| inert::seems_inert(state, **action).is_none();
    let chosen = state.chosen().and_then(|id| state.headline_row(id));
    let hurts = chosen.is_some_and(|row| matches!(row.phase, Phase::Open | Phase::Acknowledged));
    let marks = state.place.screen == Screen::Incidents && !state.list.marks.is_empty();
    let plans = state.plan().is_some_and(|plan| !plan.state.is_final());
    let healed = state
        .detail()
        .is_some_and(|detail| healed_by(detail).is_some());
    let is_list = matches!(state.place.screen, Screen::Alerts | Screen::Sources);
    let on_row = state.chosen().is_some() || is_list;
    let wanted = |action: &&Action| match action {
        Action::Acknowledge => hurts || marks,
        Action::Propose => hurts && !plans && !healed,
        Action::Open | Action::Why => on_row,
        Action::Sources => !on_row,
        Action::Whole => matches!(state.layout(), Layout::Dual | Layout::Triple),
        _ => true,
    };
    let hints = hints(state).iter().filter(live).filter(wanted);
    let cells: Vec<(Action, Row)> = hints
        .map(|action| (*action, key_and_word(state, *action)))
        .collect();
    // Whoever finds no key for what they want must find the way back, and the key that shows all.
    let is_kept = |action: Action| matches!(action, Action::Back | Action::Help);
    let kept = cells.iter().filter(|(action, _)| is_kept(*action));
    let kept_cells: usize = kept.map(|(_, cell)| cell.width()).sum();
    let mut room = width.saturating_sub(PENDING_CELLS + kept_cells);
    let mut is_full = false;
    for (action, cell) in cells {
        if !is_kept(action) {
            // What comes after the first that does not fit matters less.
            is_full |= cell.width() >= room;
            if is_full {
                continue;
            }
            room -= cell.width();
        }
        row = row.join(cell);
    }
    if !state.pending.is_empty() {
        let keys: Vec<String> = state.pending.iter().map(ToString::to_string).collect();
        row = row
            .pad_to(width.saturating_sub(PENDING_CELLS))
            .put(Role::Key, format!("{}-", keys.join(" ")));
    }
    canvas.row(0, &row);
}

/// A key of the footer and what it does; nothing of what has no key.
fn key_and_word(state: &State, action: Action) -> Row {
    let Some(keys) = state.keymap.keys(action) else {
        return Row::new();
    };
    Row::new()
        .put(Role::Body, " ")
        .put(Role::Key, keys)
        .put(Role::Muted, " ")
        .put(Role::Body, hint(state, action))
        .put(Role::Body, " ")
}

/// What the operator is told, over the footer; a long text takes as many lines as it needs.
pub(super) fn notice(state: &State, canvas: &mut Canvas<'_>) {
    let Some(notice) = &state.notice else { return };
    // That something is on its way is said better by what waits for it.
    if notice.role == Role::Muted && state.feed.waiting(state.now).is_some() {
        return;
    }
    let lines = wrap(&notice.text, canvas.width().saturating_sub(2));
    let area = canvas.area();
    let height = lines.len().min(NOTICE_ROWS_MAX) as u16;
    // Never over the line that is typed in.
    let types = matches!(
        state.overlay,
        Some(Overlay::Filter { .. } | Overlay::Prompt { .. } | Overlay::Refused(_))
    );
    let mut part = canvas.part(Rect {
        y: area.bottom().saturating_sub(height + u16::from(types)),
        height,
        ..area
    });
    part.clear();
    for (y, line) in lines.into_iter().take(NOTICE_ROWS_MAX).enumerate() {
        part.row(y, &Row::new().put(Role::Body, " ").put(notice.role, line));
    }
}

/// A word or two for the footer. Keys that decide about a plan say which one.
fn hint(state: &State, action: Action) -> String {
    if state.travel.is_some() {
        let word = match action {
            Action::Left => "event before",
            Action::Right => "event after",
            Action::Travel => "back to now",
            _ => action.row().hint,
        };
        return word.to_owned();
    }
    if let (Action::Open, Some(Gone::Merged(home))) = (action, state.gone()) {
        return format!("open {home}");
    }
    if action == Action::Back && reach::has_keys(state) && state.lanes.range.is_some() {
        return "all the time".to_owned();
    }
    let on_lines =
        matches!(state.place.screen, Screen::Incident(_)) && state.place.tab == Tab::Logs;
    if action == Action::Open && on_lines {
        return "lines".to_owned();
    }
    let word = action.row().hint;
    let marked = state.list.marks.len();
    let on_marks = matches!(
        action,
        Action::Acknowledge | Action::Assign | Action::Resolve
    );
    if on_marks && marked > 0 && state.place.screen == Screen::Incidents {
        return format!("{word} {marked} marked");
    }
    let Some(plan) = state.plan() else {
        return word.to_owned();
    };
    match (action, &plan.state) {
        (Action::Approve, PlanState::Unknown { .. }) => format!("settle {}", plan.id),
        // What runs is stopped first, which is why somebody looks for the key.
        (Action::RollBack, state) if !state.is_final() => format!("stop {}", plan.id),
        (Action::Approve | Action::Reject | Action::RollBack, _) => format!("{word} {}", plan.id),
        _ => word.to_owned(),
    }
}

/// What leads on from an incident that is part of another now.
const IN_A_MERGED_INCIDENT: [Action; 5] = [
    Action::Open,
    Action::Down,
    Action::Back,
    Action::Palette,
    Action::Help,
];
/// What moves in time.
const IN_THE_PAST: [Action; 8] = [
    Action::Left,
    Action::Right,
    Action::Earlier,
    Action::Later,
    Action::Travel,
    Action::NextPane,
    Action::Why,
    Action::Help,
];

/// What moves along the time that charts are zoomed to.
const ON_ZOOMED_CHARTS: [Action; 9] = [
    Action::Approve,
    Action::Earlier,
    Action::Later,
    Action::ZoomIn,
    Action::ZoomOut,
    Action::Why,
    Action::Filter,
    Action::Back,
    Action::Help,
];

/// What reads the list of sources.
const ON_SOURCES: [Action; 6] = [
    Action::Down,
    Action::Open,
    Action::Filter,
    Action::Back,
    Action::Palette,
    Action::Help,
];

/// What reads log lines.
const ON_LINES: [Action; 9] = [
    Action::Approve,
    Action::Open,
    Action::Propose,
    Action::Acknowledge,
    Action::Why,
    Action::Note,
    Action::Filter,
    Action::Back,
    Action::Help,
];

/// What a person most probably wants to do here.
pub(in crate::tui) fn hints(state: &State) -> &'static [Action] {
    if state.feed.shown().is_none() {
        return &[Action::Help, Action::Quit];
    }
    if state.gone().is_some() {
        return &IN_A_MERGED_INCIDENT;
    }
    if state.travel.is_some() {
        return &IN_THE_PAST;
    }
    if reach::has_keys(state) && state.lanes.range.is_some() {
        return &ON_ZOOMED_CHARTS;
    }
    match (state.place.screen, state.place.tab) {
        (Screen::Incidents, _) => &[
            Action::Open,
            Action::Acknowledge,
            Action::Approve,
            Action::Propose,
            Action::Why,
            Action::Filter,
            Action::Sources,
            Action::Palette,
            Action::Help,
            Action::Quit,
        ],
        (Screen::Incident(_), Tab::Actions) => &[
            Action::Approve,
            Action::Reject,
            Action::RollBack,
            Action::Propose,
            Action::KillSwitch,
            Action::Back,
            Action::Help,
        ],
        (Screen::Incident(_), Tab::Timeline) => &[
            Action::Approve,
            Action::Propose,
            Action::Acknowledge,
            Action::Why,
            Action::NextAnomaly,
            Action::ZoomIn,
            Action::Travel,
            Action::Note,
            Action::Back,
            Action::Help,
        ],
        (Screen::Incident(_), Tab::Path) => &[
            Action::Approve,
            Action::Narrow,
            Action::Propose,
            Action::Acknowledge,
            Action::Why,
            Action::Links,
            Action::Whole,
            Action::Note,
            Action::Back,
            Action::Help,
        ],
        (Screen::Incident(_), Tab::Metrics) => &[
            Action::Approve,
            Action::Propose,
            Action::Acknowledge,
            Action::Why,
            Action::ZoomIn,
            Action::Filter,
            Action::Whole,
            Action::Noise,
            Action::Travel,
            Action::Note,
            Action::Back,
            Action::Help,
        ],
        (Screen::Incident(_), Tab::Logs) => &ON_LINES,
        (Screen::Incident(_), _) => &[
            Action::Approve,
            Action::Propose,
            Action::Acknowledge,
            Action::Why,
            Action::Note,
            Action::Back,
            Action::Help,
        ],
        (Screen::Sources, _) => &ON_SOURCES,
        (Screen::Alerts, _) => &[
            Action::Down,
            Action::Open,
            Action::Filter,
            Action::Why,
            Action::Silence,
            Action::Back,
            Action::Palette,
            Action::Help,
        ],
    }
}
