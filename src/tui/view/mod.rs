//! Draws the state. Pure: the same state draws the same cells, and nothing is changed but the memory
//! of which part of a list was on screen.

mod actions;
mod alerts;
mod approval;
mod box_keys;
mod chrome;
mod dialogs;
mod empty;
mod gone;
mod graph;
mod headline;
mod heat;
mod hidden;
mod list;
mod logs;
mod metrics;
mod path;
mod sources;
mod strip;
mod timeline;
mod traces;
mod wall;
mod why;

use std::ops::Range;

use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout as Split, Rect};
use unicode_width::UnicodeWidthStr;

use super::paint::{Canvas, Row, wrap};
use super::state::{Layout, Listed, Node, Screen, Sort, Spot, State, Tab};
use super::theme::Role;
use crate::api::IncidentDetail;
use crate::model::SafeText;

pub(super) use alerts::rows as alert_rows;
pub(super) use chrome::hints;
#[cfg(test)]
pub(super) use dialogs::HELP_WORD;
pub(super) use dialogs::{boxed, typed};
pub(super) use headline::summary;
pub(super) use logs::rows as log_rows;
pub(super) use metrics::{here as chart_here, rows as chart_rows};
pub(super) use path::{PathRow, is_layered, nodes_max, rows as path_rows};
pub(super) use sources::{
    entities as entities_told, rows as source_rows, silence as source_silence, speech,
};
pub(super) use timeline::{entries as timeline_entries, is_found, row_of};
pub(super) use traces::{at as trace_at, here as trace_here, line as trace_line};
pub use wall::draw_wall;
pub(super) use wall::worst;

/// Rows of the incident list above the preview on a small screen, with its title.
const LIST_ROWS_MAX: u16 = 8;
/// Fewest lines of a small terminal on which the list shares them with the headline.
const TINY_HEADLINE_MIN: u16 = 10;
/// How much higher the pane with the keys is than the others.
const FOCUS_WEIGHT: u16 = 2;

/// Draws everything.
pub fn draw(state: &State, buf: &mut Buffer) {
    state.spots.clear();
    let mut canvas = Canvas::new(buf, &state.look);
    let area = canvas.area();
    let banner = chrome::banner(state, area);
    let [head, warn, body, foot] = Split::vertical([
        Constraint::Length(1),
        Constraint::Length(banner.len() as u16),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    canvas
        .part(head)
        .row(0, &chrome::header(state, area.width.into()));
    let mut lines = canvas.part(warn);
    for (y, row) in banner.iter().enumerate() {
        lines.row(y, row);
        lines.tint(0, y, usize::from(warn.width), Role::Banner);
    }
    draw_body(state, &mut canvas.part(body));
    let over = state
        .overlay
        .as_ref()
        .filter(|over| box_keys::leaves_footer(over));
    if over.is_none() {
        chrome::footer(state, &mut canvas.part(foot));
    }
    if let Some(overlay) = &state.overlay {
        dialogs::draw(state, overlay, &mut canvas);
    }
    // What lies below a box recedes, and its own keys do not.
    if let Some(overlay) = over {
        chrome::footer_of(state, overlay, &mut canvas.part(foot));
    }
    chrome::notice(state, &mut canvas);
    canvas.reduce();
}

fn draw_body(state: &State, canvas: &mut Canvas<'_>) {
    if state.feed.view.is_none() {
        return chrome::connecting(state, canvas);
    }
    if let (Some(gone), Screen::Incident(id)) = (state.gone(), state.place.screen) {
        return gone::draw(state, id, &gone, canvas);
    }
    match (state.place.screen, state.layout()) {
        (Screen::Alerts, _) => alerts::draw(state, canvas),
        (Screen::Sources, _) => sources::draw(state, canvas),
        (_, Layout::Tiny) => tiny(state, canvas),
        (Screen::Incidents, _) if state.list.order().is_empty() => list::draw(state, canvas),
        (Screen::Incidents, Layout::Single) => preview(state, canvas),
        (Screen::Incident(_), Layout::Single) => page(state, canvas),
        (Screen::Incident(_), _) if state.whole => page(state, canvas),
        (_, Layout::Dual) => dual(state, canvas),
        (_, Layout::Triple) => triple(state, canvas),
    }
}

/// A list and a note; on an incident its headline and a pane, cut as they must be.
fn tiny(state: &State, canvas: &mut Canvas<'_>) {
    if matches!(state.place.screen, Screen::Incident(_)) {
        return page(state, canvas);
    }
    let room = canvas.area().height;
    let headlined = room >= TINY_HEADLINE_MIN && !state.list.order().is_empty();
    let [note, rest, head] = Split::vertical([
        Constraint::Length(1),
        Constraint::Fill(1),
        Constraint::Length(if headlined {
            headline::rows(state, canvas.area().width)
        } else {
            0
        }),
    ])
    .areas(canvas.area());
    let text = " 80x24 or more shows panes beside the list; Enter opens one.";
    canvas.part(note).row(0, &Row::new().put(Role::Muted, text));
    list::draw(state, &mut canvas.part(rest));
    if headlined {
        headline::draw(state, &mut canvas.part(head));
    }
}

/// The list, and what matters most about the incident under the cursor.
fn preview(state: &State, canvas: &mut Canvas<'_>) {
    let rows = state.list.order().len() as u16 + 1;
    let [top, head, tabs, rest] = Split::vertical([
        Constraint::Length(rows.min(LIST_ROWS_MAX)),
        Constraint::Length(headline::rows(state, canvas.area().width)),
        Constraint::Length(1),
        Constraint::Fill(1),
    ])
    .areas(canvas.area());
    list::draw(state, &mut canvas.part(top));
    headline::draw(state, &mut canvas.part(head));
    chrome::tabs(state, &mut canvas.part(tabs));
    pane(state, state.place.tab, &mut canvas.part(rest), false);
}

/// One incident, one pane at a time.
fn page(state: &State, canvas: &mut Canvas<'_>) {
    let [head, tabs, rest] = Split::vertical([
        Constraint::Length(headline::rows(state, canvas.area().width)),
        Constraint::Length(1),
        Constraint::Fill(1),
    ])
    .areas(canvas.area());
    headline::draw(state, &mut canvas.part(head));
    chrome::tabs(state, &mut canvas.part(tabs));
    pane(state, state.place.tab, &mut canvas.part(rest), true);
}

fn dual(state: &State, canvas: &mut Canvas<'_>) {
    let [left, right] = columns(canvas.area(), [9, 11]);
    // The pane that has the keys takes the place of the one of its kind.
    let third = match state.place.tab {
        Tab::Logs => Tab::Logs,
        Tab::Traces => Tab::Traces,
        _ => Tab::Metrics,
    };
    column(state, canvas, left, &[None, Some(Tab::Path), Some(third)]);
    let [head, rest] = Split::vertical([
        Constraint::Length(headline::rows(state, right.width) + 1),
        Constraint::Fill(1),
    ])
    .areas(right);
    headline::draw(state, &mut canvas.part(head));
    let tabs = [Tab::Timeline, Tab::Why, Tab::Actions].map(Some);
    column(state, canvas, rest, &tabs);
}

fn triple(state: &State, canvas: &mut Canvas<'_>) {
    let [rest, lanes] = Split::vertical([Constraint::Fill(1), Constraint::Length(strip::ROWS)])
        .areas(canvas.area());
    let [left, middle, right] = columns(rest, [10, 10, 8]);
    column(
        state,
        canvas,
        left,
        &[None, Some(Tab::Path), Some(Tab::Logs)],
    );
    let [head, under] = Split::vertical([
        Constraint::Length(headline::rows(state, middle.width) + 1),
        Constraint::Fill(1),
    ])
    .areas(middle);
    headline::draw(state, &mut canvas.part(head));
    let tabs = [Tab::Timeline, Tab::Why, Tab::Actions].map(Some);
    column(state, canvas, under, &tabs);
    let tabs = [Tab::Metrics, Tab::Traces].map(Some);
    column(state, canvas, right, &tabs);
    strip::draw(state, &mut canvas.part(lanes));
}

/// Columns in these proportions, two cells apart.
fn columns<const N: usize>(area: Rect, shares: [u16; N]) -> [Rect; N] {
    Split::horizontal(shares.map(Constraint::Fill))
        .spacing(2)
        .areas(area)
}

/// Panes one above the other; `None` is the list of incidents. The one with the keys is higher.
fn column(state: &State, canvas: &mut Canvas<'_>, area: Rect, panes: &[Option<Tab>]) {
    let has_keys = |tab: Option<Tab>| match state.place.screen {
        Screen::Incidents => tab.is_none(),
        _ => tab == Some(state.place.tab),
    };
    let weights = panes
        .iter()
        .map(|tab| Constraint::Fill(if has_keys(*tab) { FOCUS_WEIGHT } else { 1 }));
    let areas = Split::vertical(weights).split(area);
    for (tab, area) in panes.iter().zip(areas.iter()) {
        let mut part = canvas.part(*area);
        match tab {
            None => list::draw(state, &mut part),
            Some(tab) => {
                state.spots.note(part.area(), Spot::Pane(*tab));
                let title = chrome::pane_title(*tab, has_keys(Some(*tab)));
                part.row(0, &title);
                let below = part.area();
                let mut inner = part.part(Rect {
                    y: below.y + 1,
                    height: below.height.saturating_sub(1),
                    ..below
                });
                pane(state, *tab, &mut inner, has_keys(Some(*tab)));
            }
        }
    }
}

/// One pane of the incident drawn. `focused` panes show their cursor.
fn pane(state: &State, tab: Tab, canvas: &mut Canvas<'_>, focused: bool) {
    let Some(id) = state.looked_at() else { return };
    let Some(detail) = state.detail() else {
        return missing(state.details.failure(id), canvas);
    };
    let area = canvas.area();
    let alone = state.narrowed().filter(|_| tab.needs_panels());
    if let Some(node) = alone {
        canvas.row(0, &only(detail, node));
    }
    let top = area.height.min(u16::from(alone.is_some()));
    let canvas = &mut canvas.part(Rect {
        y: area.y + top,
        height: area.height - top,
        ..area
    });
    if tab.needs_panels() && state.panels().is_none() {
        let why = match alone {
            Some(node) => node.failed.as_deref(),
            None => state.details.failure(id),
        };
        return missing(why, canvas);
    }
    match tab {
        Tab::Timeline => timeline::draw(state, &detail.incident, canvas, focused),
        Tab::Why => why::draw(state, detail, canvas),
        Tab::Path => path::draw(state, &detail.incident, canvas, focused),
        Tab::Metrics => metrics::draw(state, canvas, focused),
        Tab::Logs => logs::draw(state, canvas, focused),
        Tab::Traces => traces::draw(state, canvas, focused),
        Tab::Actions => actions::draw(state, detail, canvas, focused),
    }
}

/// Says which node alone is shown, and whose it is.
fn only(detail: &IncidentDetail, node: &Node) -> Row {
    let nodes = &detail.incident.path_nodes;
    let owner = nodes.iter().find(|n| n.entity == node.entity);
    let row = Row::new()
        .put(Role::Info, " Only ")
        .put(Role::Info, &node.entity);
    let row = match owner.and_then(|n| n.owner.as_ref()) {
        Some(owner) => row
            .put(Role::Muted, ", owned by ")
            .put(Role::Person, owner.to_string()),
        None => row,
    };
    row.put(Role::Muted, "; Esc shows all")
}

/// Says what is followed, if something is; returns the canvas below.
fn followed<'a>(state: &State, canvas: &'a mut Canvas<'_>) -> Canvas<'a> {
    let area = canvas.area();
    let Some(along) = &state.lanes.along else {
        return canvas.part(area);
    };
    let end = Row::new().put(Role::Muted, "; Esc ends it");
    let row = Row::new()
        .put(Role::Info, " Only ")
        .put(Role::Info, &along.name)
        .put(Role::Info, SafeText::new(&along.extent()))
        .fit(canvas.width().saturating_sub(end.width()))
        .join(end);
    canvas.row(0, &row);
    canvas.part(Rect {
        y: area.y + 1.min(area.height),
        height: area.height.saturating_sub(1),
        ..area
    })
}

/// Says in a pane why there is nothing in it, on as many lines as that takes.
pub(super) fn nothing(canvas: &mut Canvas<'_>, text: &str) {
    let lines = wrap(&SafeText::new(text), canvas.width().saturating_sub(2));
    for (y, line) in lines.into_iter().enumerate() {
        canvas.row(y, &Row::new().put(Role::Body, " ").put(Role::Muted, line));
    }
}

/// Says that nothing has what is looked for, why that may be, and how to see all.
fn unfound(state: &State, canvas: &mut Canvas<'_>, what: &str) {
    let typed = state.filter().text();
    let why = state.filter_advice();
    let why = why.map_or_else(String::new, |advice| format!(" There is {advice}."));
    nothing(
        canvas,
        &format!("No {what} with /{typed}. Esc shows all.{why}"),
    );
}

/// The canvas without its first line.
fn below<'a>(canvas: &'a mut Canvas<'_>) -> Canvas<'a> {
    let area = canvas.area();
    canvas.part(Rect {
        y: area.y + area.height.min(1),
        height: area.height.saturating_sub(1),
        ..area
    })
}

/// The heading of a column with what of a list stands above and below the rows on screen, then what else there is to
/// say, as far as there is room for each. In few cells the numbers come before that they are more.
fn scrolled(heading: &str, window: &Range<usize>, len: usize, rest: &str, room: usize) -> String {
    let (above, beneath) = (window.start, len.saturating_sub(window.end));
    if above + beneath == 0 {
        return format!("{heading}  {rest}");
    }
    let told = |more: &str| {
        let part = |n: usize, way: &str| (n > 0).then(|| format!("{n}{more} {way}"));
        let parts = [part(above, "above"), part(beneath, "below")];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        format!("{heading}  {}", parts.join(", "))
    };
    let long = told(" more");
    let short = if long.width() > room { told("") } else { long };
    let full = format!("{short}  {rest}");
    if full.width() > room { short } else { full }
}

/// The order of a list, in words.
fn order(sort: Sort, reversed: bool) -> String {
    let reversed = if reversed { ", reversed" } else { "" };
    format!("by {}{reversed}", sort.as_str())
}

/// What is on its way, or why it cannot be had.
fn missing(why: Option<&str>, canvas: &mut Canvas<'_>) {
    let Some(why) = why else {
        return canvas.row(0, &Row::new().put(Role::Muted, " Fetching..."));
    };
    let text = SafeText::new(&format!("Cannot be fetched: {why}. Trying again."));
    let lines = wrap(&text, canvas.width().saturating_sub(2));
    for (y, line) in lines.into_iter().enumerate() {
        canvas.row(y, &Row::new().put(Role::Body, " ").put(Role::Warn, line));
    }
}

/// Draws a row of a list, and notes that it stands there.
fn listed(state: &State, canvas: &mut Canvas<'_>, y: usize, spot: (Listed, usize), row: &Row) {
    canvas.row(y, row);
    let (list, at) = spot;
    state.spots.note(canvas.line(y), Spot::Row(list, at));
}

/// What stands before a row: the cursor when it is on it and the pane has the keys.
pub(super) fn cursor_mark(here: bool, focused: bool) -> Row {
    match (here, focused) {
        (true, true) => Row::new().put(Role::Focus, super::glyph::CURSOR),
        _ => Row::new().put(Role::Body, " "),
    }
}
