//! Who depends on the suspects, as a tree of few nodes: the cause at the top, those hurt below it.
//! Each line says how the edge is known and how old that knowledge is. Large panes get a layered drawing
//! instead.

use std::collections::BTreeSet;

use crate::model::{
    Beside, Edge, EntityId, Health, Incident, PathEdge, PathNode, Provenance, SafeText, Time,
};
use crate::tui::glyph;
use crate::tui::layered;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{Layout, Listed, State, Tab};
use crate::tui::theme::Role;

/// Most nodes drawn, and on a large screen or a pane that has all of it; the rest are counted.
const NODES_MAX: [usize; 2] = [15, 40];
/// Cells of how a node is.
const HEALTH: usize = 8;
/// Width below which the tree gets fewer cells, and below which the others do too: how a call is known must
/// not be cut for them.
const NARROW: usize = 90;
const TIGHT: usize = 64;
/// Width of a terminal from which the path is drawn in layers, where the pane is large enough.
const GRAPH_COLUMNS_MIN: u16 = 120;
/// Suspicion below which it would read 0.00 and says nothing.
pub(super) const SUSPICION_MIN: f32 = 0.005;

/// One line of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tui) struct PathRow {
    /// The entity.
    pub entity: EntityId,
    node: usize,
    depth: usize,
    edge: Option<usize>,
    /// Calls of those who stand elsewhere in the tree already.
    also: Vec<usize>,
}

impl PathRow {
    /// Its place among the nodes of the path.
    pub(in crate::tui) fn node(&self) -> usize {
        self.node
    }
}

/// Cells of the columns that give way to how a call is known.
struct Columns {
    /// The tree and the name.
    name: usize,
    cause: usize,
    since: usize,
}

impl Columns {
    const fn of(width: usize) -> Self {
        let (name, cause, since) = match width {
            NARROW.. => (30, 6, 10),
            TIGHT.. => (20, 6, 10),
            _ => (15, 6, 7),
        };
        Self { name, cause, since }
    }

    fn is_tight(&self) -> bool {
        self.name == Self::of(0).name
    }
}

/// Most nodes drawn where the console is now.
pub(in crate::tui) fn nodes_max(state: &State) -> usize {
    let is_large = state.layout() == Layout::Triple;
    NODES_MAX[usize::from(is_large || state.whole && is_layered(state))]
}

/// Whether the screen is wide enough to draw paths in layers.
pub(in crate::tui) fn is_layered(state: &State) -> bool {
    state.size.0 >= GRAPH_COLUMNS_MIN
}

/// The tree: suspects first, each followed by those who depend on it; then what is touched besides.
pub(in crate::tui) fn rows(state: &State, incident: &Incident) -> Vec<PathRow> {
    let mut tree = Tree {
        nodes_max: nodes_max(state),
        nodes: &incident.path_nodes,
        edges: &incident.path_edges,
        drawn: BTreeSet::new(),
        rows: Vec::new(),
    };
    let mut roots: Vec<usize> = (0..tree.nodes.len()).collect();
    roots.sort_by(|a, b| {
        let suspicion = |at: &usize| tree.nodes[*at].suspicion;
        suspicion(b).total_cmp(&suspicion(a)).then(a.cmp(b))
    });
    for root in roots {
        tree.add(root, 0, None);
    }
    tree.rows
}

struct Tree<'a> {
    nodes_max: usize,
    nodes: &'a [PathNode],
    edges: &'a [PathEdge],
    drawn: BTreeSet<usize>,
    rows: Vec<PathRow>,
}

impl Tree<'_> {
    fn add(&mut self, node: usize, depth: usize, edge: Option<usize>) {
        if self.rows.len() == self.nodes_max || node >= self.nodes.len() || !self.drawn.insert(node)
        {
            return;
        }
        let at = self.rows.len();
        self.rows.push(PathRow {
            entity: self.nodes[node].entity.clone(),
            node,
            depth,
            edge,
            also: Vec::new(),
        });
        let dependents: Vec<(usize, usize)> = self
            .edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| edge.to as usize == node)
            .map(|(at, edge)| (at, edge.from as usize))
            .collect();
        for (edge, from) in dependents {
            // Each stands in the tree once; a call of one that stands elsewhere is told in words.
            if from != node && self.drawn.contains(&from) {
                self.rows[at].also.push(edge);
            } else {
                self.add(from, depth + 1, Some(edge));
            }
        }
    }
}

/// Draws the pane.
pub(super) fn draw(state: &State, incident: &Incident, canvas: &mut Canvas<'_>, focused: bool) {
    let rows = rows(state, incident);
    if rows.is_empty() {
        let text = "No dependencies are known: no traces, and none are declared.";
        return super::nothing(canvas, text);
    }
    let drawing = layered::drawn(state);
    if let Some(drawing) = drawing.filter(|drawing| super::graph::fits(drawing, canvas)) {
        let cursor = state.cursor(Tab::Path);
        let chosen = rows.get(cursor.at(rows.len())).map(PathRow::node);
        cursor.window(rows.len(), rows.len());
        return super::graph::draw(state, incident, drawing, chosen, canvas);
    }
    let hidden = incident.path_nodes.len().saturating_sub(rows.len());
    let note = usize::from(hidden > 0);
    let cursor = state.cursor(Tab::Path);
    let at = cursor.at(rows.len());
    let width = canvas.width();
    canvas.row(0, &heading(width));
    let window = cursor.window(rows.len(), canvas.height().saturating_sub(note + 1));
    let mut y = 1;
    for i in window {
        let row = node(state, incident, &rows[i], i == at, focused, width);
        super::listed(state, canvas, y, (Listed::Pane(Tab::Path), i), &row);
        y += 1;
    }
    if hidden > 0 {
        let text = format!("  and {hidden} more");
        canvas.row(y, &Row::new().put(Role::Muted, text));
    }
}

fn heading(width: usize) -> Row {
    let columns = Columns::of(width);
    let (who, since) = if columns.is_tight() {
        ("CALLERS BELOW", "SINCE")
    } else {
        ("WHO (callers below)", "ODD SINCE")
    };
    Row::new()
        .put(Role::Body, " ")
        .column(Role::Muted, who, columns.name)
        .column(Role::Muted, "HEALTH", HEALTH)
        .column(Role::Muted, "CAUSE", columns.cause)
        .column(Role::Muted, since, columns.since)
        .put(Role::Muted, "CALL KNOWN BY")
}

fn node(
    state: &State,
    incident: &Incident,
    row: &PathRow,
    here: bool,
    focused: bool,
    width: usize,
) -> Row {
    let node = &incident.path_nodes[row.node];
    let (mark, word, role) = glyph::health(node.health);
    let mut line = super::cursor_mark(here, focused);
    for _ in 1..row.depth {
        line.push(Role::Muted, glyph::TREE_DOWN);
    }
    if row.depth > 0 {
        line.push(Role::Muted, glyph::TREE_CHILD);
    }
    let columns = Columns::of(width);
    let name = columns.name.saturating_sub(line.width());
    let suspected = node.suspicion >= SUSPICION_MIN;
    let name_role = if suspected { Role::Suspect } else { Role::Body };
    let suspicion = if suspected {
        format!("{:.2}", node.suspicion)
    } else {
        String::new()
    };
    let onset = node.onset.map_or_else(String::new, |at| {
        if columns.is_tight() {
            state.clock.minute(at)
        } else {
            state.clock.second(at)
        }
    });
    let is_past = is_past(node);
    let onset_role = if is_past { Role::Muted } else { Role::Anomaly };
    line = line
        .column(name_role, &node.entity, name)
        .put(Role::Body, " ")
        .put(role, mark)
        .put(role, " ")
        .column(role, word, HEALTH - 2)
        .column(Role::Suspect, suspicion, columns.cause)
        .column(onset_role, onset, columns.since);
    if is_past && !columns.is_tight() {
        line.push(Role::Muted, was_odd(state, incident, node));
        line.push(Role::Muted, "  ");
    }
    if let Some(edge) = row.edge.and_then(|at| incident.path_edges.get(at)) {
        let room = width.saturating_sub(line.width());
        line = line.join(provenance(state, edge, room));
    }
    let room = width.saturating_sub(line.width());
    let line = line.join(also(state, incident, row, room));
    let outside = if node.is_beside {
        Row::new().put(Role::Muted, " (not of it)")
    } else {
        Row::new()
    };
    line.join_if_fits(outside, width)
        .join_if_fits(beside(node), width)
}

/// Whether what it was odd with is over.
pub(super) fn is_past(node: &PathNode) -> bool {
    node.health == Health::Ok && node.onset.is_some()
}

/// Until when it was odd, as far as that is known: it stands behind since when.
fn was_odd(state: &State, incident: &Incident, node: &PathNode) -> String {
    let of_it = incident.findings.iter().filter(|f| f.entity == node.entity);
    let ended = of_it.filter_map(|finding| finding.ended).max();
    let told = ended.or(incident.mitigated).or(incident.resolved);
    told.map_or_else(
        || "over".to_owned(),
        |at| format!("to {}", state.clock.second(at)),
    )
}

/// Who else calls it: those who stand elsewhere in the tree.
fn also(state: &State, incident: &Incident, row: &PathRow, room: usize) -> Row {
    let edges = row
        .also
        .iter()
        .filter_map(|at| incident.path_edges.get(*at));
    let callers: Vec<(&PathEdge, &str)> = edges
        .filter_map(|edge| {
            let caller = incident.path_nodes.get(edge.from as usize)?;
            Some((edge, caller.entity.name()))
        })
        .collect();
    let names: Vec<&str> = callers.iter().map(|(_, name)| *name).collect();
    let of = &incident.path_nodes[row.node];
    match (row.edge, &callers[..]) {
        (_, []) => Row::new(),
        (None, [(edge, name)]) => {
            let by = Edge::verb_back(&of.entity);
            let words = Row::new().put(Role::Muted, SafeText::new(&format!("{by} {name}, ")));
            let known = provenance(state, edge, room.saturating_sub(words.width()));
            // How it is known matters more than who calls: that stands below it in the tree.
            if words.width() + known.width() <= room {
                words.join(known)
            } else {
                provenance(state, edge, room)
            }
        }
        (None, [(edge, _), others @ ..]) => {
            let text = format!("{} {}", Edge::verb_back(&of.entity), names.join(", "));
            let words = Row::new().put(Role::Muted, SafeText::new(&text));
            if words.width() <= room {
                return words;
            }
            let more = Row::new().put(Role::Muted, format!(" +{}", others.len()));
            let known = provenance(state, edge, room.saturating_sub(more.width()));
            known.join_if_fits(more, room)
        }
        (Some(_), _) => {
            let by = Edge::verb_back(&of.entity);
            // "also by" is enough where the one before was told as a call.
            let text = format!(
                "; also {} {}",
                by.trim_start_matches("called "),
                names.join(", ")
            );
            Row::new().put(Role::Muted, SafeText::new(&text))
        }
    }
}

/// What stands beside a node and is not drawn: `+12 healthy`.
pub(super) fn beside(node: &PathNode) -> Row {
    let Beside { unwell, .. } = node.beside;
    let mut row = Row::new();
    if node.beside.well() > 0 {
        let text = format!(" +{} healthy", node.beside.well());
        row.push(Role::Muted, text);
    }
    if unwell > 0 {
        row.push(Role::Warn, format!(" +{unwell} not well"));
    }
    if node.beside.is_cut {
        row.push(Role::Muted, " and more");
    }
    row
}

pub(super) fn provenance(state: &State, edge: &PathEdge, room: usize) -> Row {
    let (word, role) = match edge.provenance {
        Provenance::Inferred => ("inferred", Role::Warn),
        Provenance::Traced => ("traced", Role::Muted),
        Provenance::Declared => ("declared", Role::Muted),
    };
    let row = Row::new().put(role, word);
    // Read off labels or the config, it has no age.
    if edge.last_seen == Time::ZERO {
        return row;
    }
    let age = state.age(state.engine_now().since(edge.last_seen));
    row.put(Role::Muted, format!(" {age}"))
        .join_if_fits(Row::new().put(Role::Muted, " ago"), room)
}
