//! Who depends on whom as a layered drawing for large screens: callers on the left, what they depend on to the
//! right of them, one column a step. Lines are braille; below it stand the calls of the chosen node,
//! with how each is known and how old that is.
//!
//! Nodes that do not fit are counted, never squeezed in.

use ratatui::layout::Rect;

use crate::model::{Beside, Incident, PathNode};
use crate::tui::chart::{Dots, join};
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::State;
use crate::tui::theme::Role;

use super::path::{PathRow, SUSPICION_MIN, beside, by, is_past, provenance};

/// Lines of a node: its name, and below it how it is. A blank line parts it from the next.
const NODE_ROWS: usize = 3;
/// Widest node, and narrowest that still shows a name, in cells.
const NODE_CELLS: [usize; 2] = [26, 14];
/// Narrowest gap in which lines can be followed, in cells.
const GAP_MIN: usize = 6;
/// Lines below the drawing for the calls of the chosen node.
const CALLS_ROWS: usize = 5;
/// Cells of the word that leads a line of calls.
const LEAD: usize = 10;
/// Times the nodes of each column are put in order by those of the columns beside it.
const SWEEPS: usize = 4;
/// Dots across and down in a cell of braille.
const DOTS: (usize, usize) = (2, 4);

/// Where everything stands.
struct Drawing {
    /// Columns of nodes, top down; `None` keeps a place free for a line that passes.
    columns: Vec<Vec<Slot>>,
    /// Lines between neighbouring columns: edge, column of its left end, and the places of its ends.
    lines: Vec<Line>,
}

/// What a place of a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Slot {
    Node(usize),
    /// An edge on its way to a later column.
    Passes(usize),
}

struct Line {
    edge: usize,
    column: usize,
    from: usize,
    to: usize,
}

/// Whether the drawing fits; otherwise the tree is drawn.
pub(super) fn fits(incident: &Incident, shown: &[PathRow], canvas: &Canvas<'_>) -> bool {
    let drawing = Drawing::of(incident, shown);
    let tallest = drawing.columns.iter().map(Vec::len).max().unwrap_or(0);
    let columns = drawing.columns.len();
    let narrowest = columns * NODE_CELLS[1] + columns.saturating_sub(1) * GAP_MIN;
    columns > 1
        && narrowest <= canvas.width()
        && tallest * NODE_ROWS + CALLS_ROWS <= canvas.height()
}

/// Draws it; `at` is the row under the cursor.
pub(super) fn draw(
    state: &State,
    incident: &Incident,
    shown: &[PathRow],
    at: usize,
    canvas: &mut Canvas<'_>,
) {
    let drawing = Drawing::of(incident, shown);
    let columns = drawing.columns.len();
    let step = canvas.width() / columns;
    let cells = step.saturating_sub(GAP_MIN).clamp(1, NODE_CELLS[0]);
    let chosen = shown.get(at).map(PathRow::node);
    let height = canvas.height().saturating_sub(CALLS_ROWS);
    let place = |column: usize, slot: usize| {
        let taken = drawing.columns[column].len() * NODE_ROWS;
        let top = height.saturating_sub(taken) / 2;
        (column * step, top + slot * NODE_ROWS)
    };
    for line in &drawing.lines {
        let (x, y) = place(line.column, line.from);
        let (to_x, to_y) = place(line.column + 1, line.to);
        let edge = &incident.path_edges[line.edge];
        let touches = [edge.from, edge.to]
            .map(|n| Some(n as usize))
            .contains(&chosen);
        let passes = matches!(drawing.columns[line.column][line.from], Slot::Passes(_));
        let from_x = if passes { x } else { x + cells };
        let role = match (touches, edge.provenance) {
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
                Slot::Passes(_) => connect(canvas, (x, y), (x + cells, y), Role::Muted),
            }
        }
    }
    let area = canvas.area();
    let below = Rect {
        y: area.bottom().saturating_sub(CALLS_ROWS as u16),
        height: CALLS_ROWS as u16,
        ..area
    };
    calls(state, incident, chosen, &mut canvas.part(below));
}

impl Drawing {
    fn of(incident: &Incident, shown: &[PathRow]) -> Self {
        let nodes: Vec<usize> = shown.iter().map(PathRow::node).collect();
        let is_shown = |n: u32| nodes.contains(&(n as usize));
        let edges: Vec<(usize, usize, usize)> = incident
            .path_edges
            .iter()
            .enumerate()
            .filter(|(_, e)| is_shown(e.from) && is_shown(e.to) && e.from != e.to)
            .map(|(at, e)| (at, e.from as usize, e.to as usize))
            .collect();
        let layer = layers(incident.path_nodes.len(), &nodes, &edges);
        let last = nodes.iter().map(|n| layer[*n]).max().unwrap_or(0);
        let mut columns: Vec<Vec<Slot>> = vec![Vec::new(); last + 1];
        for node in &nodes {
            columns[layer[*node]].push(Slot::Node(*node));
        }
        // Calls against the direction of a cycle are told below the drawing only.
        let drawn = edges
            .iter()
            .filter(|(_, from, to)| layer[*from] < layer[*to]);
        let drawn: Vec<(usize, usize, usize)> = drawn.copied().collect();
        for (edge, from, to) in &drawn {
            for column in &mut columns[layer[*from] + 1..layer[*to]] {
                column.push(Slot::Passes(*edge));
            }
        }
        let mut drawing = Self {
            columns,
            lines: Vec::new(),
        };
        for sweep in 0..SWEEPS {
            drawing.lines = drawing.connect(&drawn, &layer);
            drawing.order(sweep % 2 == 0);
        }
        drawing.lines = drawing.connect(&drawn, &layer);
        drawing
    }

    fn connect(&self, edges: &[(usize, usize, usize)], layer: &[usize]) -> Vec<Line> {
        let mut lines = Vec::new();
        for (edge, from, to) in edges {
            let slot = |column: usize, node: usize| {
                let here = [Slot::Node(node), Slot::Passes(*edge)];
                let mut slots = self.columns[column].iter();
                slots.position(|slot| here.contains(slot)).unwrap_or(0)
            };
            for column in layer[*from]..layer[*to] {
                lines.push(Line {
                    edge: *edge,
                    column,
                    from: slot(column, *from),
                    to: slot(column + 1, *to),
                });
            }
        }
        lines
    }

    /// Puts each column in the order of the middle of what it is joined to in the column before it, or
    /// after it: few lines cross then (Sugiyama's barycentre).
    fn order(&mut self, rightwards: bool) {
        for column in 0..self.columns.len() {
            let middle = |slot: usize| {
                let ends = self.lines.iter().filter_map(|line| {
                    if rightwards {
                        (line.column + 1 == column && line.to == slot).then_some(line.from)
                    } else {
                        (line.column == column && line.from == slot).then_some(line.to)
                    }
                });
                let (sum, len) = ends.fold((0, 0), |(sum, len), end| (sum + end, len + 1));
                (sum * 1_000_usize).checked_div(len).unwrap_or(slot * 1_000)
            };
            let mut keyed: Vec<(usize, usize, Slot)> = self.columns[column]
                .iter()
                .enumerate()
                .map(|(at, slot)| (middle(at), at, *slot))
                .collect();
            keyed.sort_by_key(|(middle, at, _)| (*middle, *at));
            self.columns[column] = keyed.into_iter().map(|(_, _, slot)| slot).collect();
        }
    }
}

/// The column of each node: one right of the last of its callers. Calls that close a cycle do not count.
fn layers(len: usize, nodes: &[usize], edges: &[(usize, usize, usize)]) -> Vec<usize> {
    let mut layer = vec![0; len];
    // As many rounds as there are nodes: a longer way would be a cycle.
    for _ in 0..nodes.len() {
        let mut moved = false;
        for (_, from, to) in edges {
            let wanted = layer[*from] + 1;
            if layer[*to] < wanted && wanted < nodes.len() {
                layer[*to] = wanted;
                moved = true;
            }
        }
        if !moved {
            return layer;
        }
    }
    // A cycle pushed its nodes to the right for ever: take them as the tree found them.
    let mut layer = vec![0; len];
    for (_, from, to) in edges {
        if layer[*to] == 0 && layer[*from] == 0 {
            layer[*to] = 1;
        }
    }
    layer
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

/// Whom the chosen node calls, who calls it, who owns it.
fn calls(state: &State, incident: &Incident, chosen: Option<usize>, canvas: &mut Canvas<'_>) {
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
    canvas.row(0, &row.put(Role::Muted, "  w says what depends on it"));
    let mut y = 1;
    for outward in [true, false] {
        let lead = if outward { "needs" } else { by(&node.entity) };
        let mut row = Row::new().put(Role::Muted, " ");
        row = row.column(Role::Muted, lead, LEAD);
        let mut left_out = 0;
        let mut some = false;
        for edge in &incident.path_edges {
            let (own, other) = if outward {
                (edge.from, edge.to)
            } else {
                (edge.to, edge.from)
            };
            let Some(other) = incident.path_nodes.get(other as usize) else {
                continue;
            };
            if own as usize != ix {
                continue;
            }
            some = true;
            let call = Row::new()
                .put(Role::Body, &other.entity)
                .put(Role::Body, " (")
                .join(provenance(state, edge, usize::MAX))
                .put(Role::Body, ")  ");
            if row.width() + call.width() + 10 <= canvas.width() {
                row = row.join(call);
            } else {
                left_out += 1;
            }
        }
        let Beside {
            callers_well,
            callees_well,
            ..
        } = node.beside;
        let well = if outward { callees_well } else { callers_well };
        if left_out > 0 {
            row.push(Role::Muted, format!("and {left_out} more "));
        }
        match (some, well) {
            (false, 0) => row.push(Role::Muted, "nobody of this incident"),
            (_, 0) => {}
            (_, well) => row.push(Role::Muted, format!("+{well} healthy within two steps")),
        }
        canvas.row(y, &row);
        y += 1;
    }
    let hidden = incident.path_nodes.len() - incident.path_nodes.len().min(super::path::NODES_MAX);
    if hidden > 0 {
        let text = format!(
            " and {} more that did not fit",
            format::counted(hidden as u64, "entity", "entities")
        );
        canvas.row(y, &Row::new().put(Role::Muted, text));
    }
}
