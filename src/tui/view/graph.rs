//! Who depends on whom as a layered drawing for large screens: callers on the left, what they depend on to the
//! right of them, one column a step. Lines are braille; below it stand the calls of the chosen node,
//! with how each is known and how old that is.
//!
//! Nodes that do not fit are counted, never squeezed in.

use ratatui::layout::Rect;

use crate::model::{Beside, Edge, Incident, PathNode};
use crate::tui::chart::{Dots, join};
use crate::tui::dependence::Side;
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::layered::{Layered, Slot};
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::State;
use crate::tui::theme::Role;

use super::path::{SUSPICION_MIN, beside, is_past, nodes_max, provenance};

/// Lines of a node: its name, and below it how it is. A blank line parts it from the next.
const NODE_ROWS: usize = 3;
/// Widest node, and narrowest that still shows a name, in cells.
const NODE_CELLS: [usize; 2] = [26, 14];
/// Narrowest gap in which lines can be followed, in cells.
const GAP_MIN: usize = 6;
/// Lines below the drawing for the calls of the chosen node.
const CALLS_ROWS: usize = 5;
/// Of these, for each direction at most.
const SIDE_ROWS: usize = 2;
/// Cells kept for how many more there are.
const MORE: usize = 12;
/// Cells of the word that leads a line of calls.
const LEAD: usize = 10;
/// Dots across and down in a cell of braille.
const DOTS: (usize, usize) = (2, 4);

/// Lines that may cross; where more would, only those of the chosen node are drawn.
const CROSSINGS_MAX: usize = 10;

/// Whether a drawing fits; otherwise the tree is drawn.
pub(super) fn fits(drawing: &Layered, canvas: &Canvas<'_>) -> bool {
    let tallest = drawing.columns.iter().map(Vec::len).max().unwrap_or(0);
    let columns = drawing.columns.len();
    let narrowest = columns * NODE_CELLS[1] + columns.saturating_sub(1) * GAP_MIN;
    columns > 1
        && narrowest <= canvas.width()
        && tallest * NODE_ROWS + CALLS_ROWS <= canvas.height()
}

/// Draws it, with the node `chosen`.
pub(super) fn draw(
    state: &State,
    incident: &Incident,
    drawing: &Layered,
    chosen: Option<usize>,
    canvas: &mut Canvas<'_>,
) {
    let columns = drawing.columns.len();
    let step = canvas.width() / columns;
    let cells = step.saturating_sub(GAP_MIN).clamp(1, NODE_CELLS[0]);
    let height = canvas.height().saturating_sub(CALLS_ROWS);
    let place = |column: usize, slot: usize| {
        let taken = drawing.columns[column].len() * NODE_ROWS;
        let top = height.saturating_sub(taken) / 2;
        (column * step, top + slot * NODE_ROWS)
    };
    let touches = |edge: usize| {
        let edge = &incident.path_edges[edge];
        [edge.from, edge.to]
            .map(|n| Some(n as usize))
            .contains(&chosen)
    };
    let is_tangled = drawing.crossings > CROSSINGS_MAX;
    let is_drawn = |edge: usize| !is_tangled || touches(edge);
    for line in drawing.lines.iter().filter(|line| is_drawn(line.edge)) {
        let (x, y) = place(line.column, line.from);
        let (to_x, to_y) = place(line.column + 1, line.to);
        let edge = &incident.path_edges[line.edge];
        let passes = matches!(drawing.columns[line.column][line.from], Slot::Passes(_));
        let from_x = if passes { x } else { x + cells };
        let role = match (touches(line.edge), edge.provenance) {
            (true, _) => Role::Focus,
            (false, crate::model::Provenance::Inferred) => Role::Warn,
            (false, _) => Role::Muted,
        };
        connect(canvas, (from_x, y), (to_x, to_y), role);
    }
    for (column, slots) in drawing.columns.iter().enumerate() {
        for (at, slot) in slots.iter().enumerate() {
            let (x, y) = place(column, at);
            match slot {
                Slot::Node(ix) => {
                    let node = &incident.path_nodes[*ix];
                    boxed_node(state, node, Some(*ix) == chosen, (x, y), cells, canvas);
                }
                Slot::Passes(edge) if is_drawn(*edge) => {
                    connect(canvas, (x, y), (x + cells, y), Role::Muted);
                }
                Slot::Passes(_) => {}
            }
        }
    }
    let area = canvas.area();
    let below = Rect {
        y: area.bottom().saturating_sub(CALLS_ROWS as u16),
        height: CALLS_ROWS as u16,
        ..area
    };
    calls(state, incident, chosen, is_tangled, &mut canvas.part(below));
}

/// A line of braille from the middle of one line of cells to that of another, further right.
fn connect(canvas: &mut Canvas<'_>, from: (usize, usize), to: (usize, usize), role: Role) {
    let (left, right) = (from.0 + 1, to.0.saturating_sub(1));
    let (top, bottom) = (from.1.min(to.1), from.1.max(to.1));
    if right <= left {
        return;
    }
    let (cells, rows) = (right - left, bottom - top + 1);
    let mut dots = Dots::new(cells, rows);
    let dot = |y: usize| (rows - 1 - (y - top)) * DOTS.1 + DOTS.1 / 2;
    join(&mut dots, (0, dot(from.1)), (cells * DOTS.0 - 1, dot(to.1)));
    for column in 0..cells {
        for row in 0..rows {
            let here = dots.at(column, row);
            if here > 0 {
                canvas.braille(left + column, top + row, role, here);
            }
        }
    }
}

fn boxed_node(
    state: &State,
    node: &PathNode,
    here: bool,
    (x, y): (usize, usize),
    cells: usize,
    canvas: &mut Canvas<'_>,
) {
    let (mark, word, health) = glyph::health(node.health);
    let suspected = node.suspicion >= SUSPICION_MIN;
    let name = match (here, suspected) {
        (true, _) => Role::Selection,
        (false, true) => Role::Suspect,
        (false, false) => Role::Title,
    };
    let row = Row::new().put(health, mark).put(Role::Body, " ");
    let row = row.column(name, &node.entity, cells.saturating_sub(2));
    canvas.row_at(x, y, &row.fit(cells));
    let mut how = Row::new().put(Role::Body, "  ").put(health, word);
    if suspected {
        how.push(Role::Suspect, format!(" cause {:.2}", node.suspicion));
    }
    if node.is_beside {
        how.push(Role::Muted, " not of it");
    }
    how = how.join_if_fits(beside(node), cells);
    if let Some(onset) = node.onset {
        let at = state.clock.second(onset);
        let onset = if is_past(node) {
            Row::new().put(Role::Muted, format!(" was odd {at}"))
        } else {
            Row::new().put(Role::Anomaly, format!(" {at}"))
        };
        how = how.join_if_fits(onset, cells);
    }
    canvas.row_at(x, y + 1, &how.fit(cells));
}

/// What the chosen node depends on, who depends on it, who owns it.
fn calls(
    state: &State,
    incident: &Incident,
    chosen: Option<usize>,
    is_tangled: bool,
    canvas: &mut Canvas<'_>,
) {
    let Some((ix, node)) = chosen.and_then(|ix| Some((ix, incident.path_nodes.get(ix)?))) else {
        return;
    };
    let mut row = Row::new()
        .put(Role::Title, " ")
        .put(Role::Title, &node.entity);
    if let Some(owner) = &node.owner {
        row.push(Role::Muted, "  owned by ");
        row.push(Role::Person, owner.to_string());
    }
    row.push(Role::Muted, "  w says what depends on it");
    let hidden = incident.path_nodes.len().saturating_sub(nodes_max(state));
    if is_tangled {
        row.push(Role::Muted, "; of so many lines only its own are drawn");
    }
    canvas.row(0, &row);
    let mut y = 1;
    for which in [Side::Dependencies, Side::Dependents] {
        for row in side(state, incident, ix, which, canvas.width()) {
            canvas.row(y, &row);
            y += 1;
        }
    }
    if hidden > 0 {
        let more = format::counted(hidden as u64, "entity", "entities");
        let text = format!(" and {more} more that did not fit");
        // Where there is no line left for it, beside whom it is about.
        let (at, row) = if y < canvas.height() {
            (y, Row::new())
        } else {
            (0, row)
        };
        canvas.row(at, &row.put(Role::Muted, text));
    }
}

/// What a node does with what it depends on: nobody calls a machine.
fn needs(incident: &Incident, node: usize) -> &'static str {
    let of = incident
        .path_edges
        .iter()
        .filter(|e| e.from as usize == node);
    let mut others = of.filter_map(|edge| incident.path_nodes.get(edge.to as usize));
    if others.all(|other| Edge::verb(&other.entity) == "calls") {
        "calls"
    } else {
        "needs"
    }
}

/// What a node depends on, or who depends on it, with how each is known and how old that is; in as many lines as
/// there is room for.
fn side(state: &State, incident: &Incident, node: usize, side: Side, width: usize) -> Vec<Row> {
    let of = &incident.path_nodes[node];
    let lead = match side {
        Side::Dependencies => needs(incident, node),
        Side::Dependents => Edge::verb_back(&of.entity),
    };
    let begin = |lead: &'static str| {
        let row = Row::new().put(Role::Muted, " ");
        row.column(Role::Muted, lead, LEAD)
    };
    let mut rows = vec![begin(lead)];
    let mut left_out = 0;
    let mut some = false;
    for edge in &incident.path_edges {
        let (own, other) = match side {
            Side::Dependencies => (edge.from, edge.to),
            Side::Dependents => (edge.to, edge.from),
        };
        let Some(other) = incident.path_nodes.get(other as usize) else {
            continue;
        };
        if own as usize != node {
            continue;
        }
        some = true;
        let call = Row::new()
            .put(Role::Body, &other.entity)
            .put(Role::Body, " (")
            .join(provenance(state, edge, usize::MAX))
            .put(Role::Body, ")  ");
        let is_last = rows.len() == SIDE_ROWS;
        let room = width.saturating_sub(if is_last { MORE } else { 0 });
        let here = rows.last().map_or(0, Row::width);
        if here + call.width() > room && !is_last {
            rows.push(begin(""));
        }
        match rows.pop() {
            Some(row) if row.width() + call.width() <= room => rows.push(row.join(call)),
            row => {
                rows.extend(row);
                left_out += 1;
            }
        }
    }
    let Beside {
        callers_well,
        callees_well,
        is_cut,
        ..
    } = of.beside;
    let well = match side {
        Side::Dependencies => callees_well,
        Side::Dependents => callers_well,
    };
    let Some(last) = rows.last_mut() else {
        return rows;
    };
    if left_out > 0 {
        last.push(Role::Muted, format!("and {left_out} more "));
    }
    match (some, well) {
        (false, 0) => last.push(Role::Muted, "nobody of this incident"),
        (_, 0) => {}
        (_, well) => {
            let more = if is_cut { " and more" } else { "" };
            let text = format!("+{well} healthy{more} within two steps");
            last.push(Role::Muted, text);
        }
    }
    rows
}
