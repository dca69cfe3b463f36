//! Who depends on the suspects, as a tree of few nodes: the cause at the top, those hurt below it.
//! Each line says how the edge is known and how old that knowledge is.

use std::collections::BTreeSet;

use crate::model::{EntityId, Incident, PathEdge, PathNode, Provenance};
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::paint::{Canvas, Row};
use crate::tui::state::{State, Tab};
use crate::tui::theme::Role;

/// Most nodes drawn; the rest are counted.
const NODES_MAX: usize = 15;
/// Cells of the tree and the name.
const NAME: usize = 30;

/// One line of the tree.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::tui) struct PathRow {
    /// The entity.
    pub entity: EntityId,
    node: usize,
    depth: usize,
    edge: Option<usize>,
}

/// The tree: suspects first, each followed by those who depend on it; then what is touched besides.
pub(in crate::tui) fn rows(incident: &Incident) -> Vec<PathRow> {
    let mut tree = Tree {
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
    nodes: &'a [PathNode],
    edges: &'a [PathEdge],
    drawn: BTreeSet<usize>,
    rows: Vec<PathRow>,
}

impl Tree<'_> {
    fn add(&mut self, node: usize, depth: usize, edge: Option<usize>) {
        if self.rows.len() == NODES_MAX || node >= self.nodes.len() || !self.drawn.insert(node) {
            return;
        }
        self.rows.push(PathRow {
            entity: self.nodes[node].entity.clone(),
            node,
            depth,
            edge,
        });
        let dependents: Vec<(usize, usize)> = self
            .edges
            .iter()
            .enumerate()
            .filter(|(_, edge)| edge.to as usize == node)
            .map(|(at, edge)| (at, edge.from as usize))
            .collect();
        for (at, from) in dependents {
            self.add(from, depth + 1, Some(at));
        }
    }
}

/// Draws the pane.
pub(super) fn draw(state: &State, incident: &Incident, canvas: &mut Canvas<'_>, focused: bool) {
    let rows = rows(incident);
    if rows.is_empty() {
        let text = " No dependencies are known: no traces, and none are declared.";
        return canvas.row(0, &Row::new().put(Role::Muted, text));
    }
    let hidden = incident.path_nodes.len().saturating_sub(rows.len());
    let note = usize::from(hidden > 0);
    let cursor = state.cursor(Tab::Path);
    let at = cursor.at(rows.len());
    let window = cursor.window(rows.len(), canvas.height().saturating_sub(note));
    let mut y = 0;
    for i in window {
        canvas.row(y, &node(state, incident, &rows[i], i == at, focused));
        y += 1;
    }
    if hidden > 0 {
        let text = format!("  and {hidden} more");
        canvas.row(y, &Row::new().put(Role::Muted, text));
    }
}

fn node(state: &State, incident: &Incident, row: &PathRow, here: bool, focused: bool) -> Row {
    let node = &incident.path_nodes[row.node];
    let (mark, word, role) = glyph::health(node.health);
    let mut line = super::cursor_mark(here, focused);
    for _ in 1..row.depth {
        line.push(Role::Muted, glyph::TREE_DOWN);
    }
    if row.depth > 0 {
        line.push(Role::Muted, glyph::TREE_CHILD);
    }
    let name = NAME.saturating_sub(line.width());
    let name_role = if node.suspicion > 0.0 {
        Role::Suspect
    } else {
        Role::Body
    };
    line = line
        .column(name_role, &node.entity, name)
        .put(Role::Body, " ")
        .put(role, mark)
        .put(role, " ")
        .column(role, word, 6);
    if node.suspicion > 0.0 {
        line.push(Role::Suspect, format!("suspect {:.2}  ", node.suspicion));
    }
    if let Some(onset) = node.onset {
        line.push(
            Role::Anomaly,
            format!("since {}  ", state.clock.second(onset)),
        );
    }
    match row.edge.and_then(|at| incident.path_edges.get(at)) {
        Some(edge) => line.join(provenance(state, edge)),
        None => line,
    }
}

fn provenance(state: &State, edge: &PathEdge) -> Row {
    let (word, role) = match edge.provenance {
        Provenance::Inferred => ("inferred", Role::Warn),
        Provenance::Traced => ("traced", Role::Muted),
        Provenance::Declared => ("declared", Role::Muted),
    };
    let age = format::age(state.engine_now().since(edge.last_seen));
    Row::new()
        .put(role, word)
        .put(Role::Muted, format!(" {age} ago"))
}
