//! The layers of a path: callers on the left, what they depend on to the right of them, one column a step.
//! Laid out once for each state of a path, when that is told, and never while a frame is drawn.

use crate::model::{Incident, IncidentId, Time};

use super::state::{State, Tab};
use super::view::{PathRow, is_layered, nodes_max, path_rows};

/// Times the nodes of each column are put in order by those of the columns beside it.
const SWEEPS: usize = 4;

/// By what a column is put in order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    /// The column before it.
    Callers,
    /// The column after it.
    Callees,
}

/// What is laid out, as it was when it was.
#[derive(Debug)]
pub struct Drawn {
    of: Path,
    layered: Layered,
}

/// The state of a path. That of an incident does not change while its revision does not, but it may be told with
/// more around it.
#[derive(Debug, PartialEq, Eq)]
struct Path {
    incident: IncidentId,
    revision: u64,
    /// The moment of the past that is looked at.
    then: Option<Time>,
    calls: Vec<(u32, u32)>,
    nodes: usize,
    /// Most of them that are drawn.
    nodes_max: usize,
}

/// Lays out the path on screen, unless it is laid out already.
pub(super) fn follow(state: &mut State) {
    let Some(path) = on_screen(state) else { return };
    if state.drawn.as_ref().is_some_and(|drawn| drawn.of == path) {
        return;
    }
    let layered = state.detail().map(|detail| {
        let rows = path_rows(state, &detail.incident);
        let nodes: Vec<usize> = rows.iter().map(PathRow::node).collect();
        Layered::of(&detail.incident, &nodes)
    });
    state.drawn = layered.map(|layered| Drawn { of: path, layered });
}

/// The layers of the path on screen, once they are laid out.
pub(super) fn drawn(state: &State) -> Option<&Layered> {
    let path = on_screen(state)?;
    let drawn = state.drawn.as_ref()?;
    (drawn.of == path).then_some(&drawn.layered)
}

fn on_screen(state: &State) -> Option<Path> {
    if !state.shows(Tab::Path) || !is_layered(state) {
        return None;
    }
    let incident = &state.detail()?.incident;
    let calls = incident.path_edges.iter();
    Some(Path {
        incident: incident.id,
        revision: incident.revision,
        then: state.travel.as_ref().map(|travel| travel.at),
        calls: calls.map(|edge| (edge.from, edge.to)).collect(),
        nodes: incident.path_nodes.len(),
        nodes_max: nodes_max(state),
    })
}

/// Where everything stands.
#[derive(Debug)]
pub(super) struct Layered {
    /// Columns of nodes, top down; `None` keeps a place free for a line that passes.
    pub columns: Vec<Vec<Slot>>,
    /// Lines between neighbouring columns: edge, column of its left end, and the places of its ends.
    pub lines: Vec<Line>,
    /// How often lines cross.
    pub crossings: usize,
}

/// What a place of a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A node of the path.
    Node(usize),
    /// An edge on its way to a later column.
    Passes(usize),
}

/// A line from a place of a column to one of the next.
#[derive(Debug)]
pub(super) struct Line {
    /// Which edge of the path it is of.
    pub edge: usize,
    /// The column of its left end.
    pub column: usize,
    /// The place of its left end.
    pub from: usize,
    /// The place of its right end.
    pub to: usize,
}

impl Layered {
    /// Puts some nodes of a path, and the calls between them, in columns.
    fn of(incident: &Incident, nodes: &[usize]) -> Self {
        let is_shown = |n: u32| nodes.contains(&(n as usize));
        let edges: Vec<(usize, usize, usize)> = incident
            .path_edges
            .iter()
            .enumerate()
            .filter(|(_, e)| is_shown(e.from) && is_shown(e.to) && e.from != e.to)
            .map(|(at, e)| (at, e.from as usize, e.to as usize))
            .collect();
        let layer = layers(incident.path_nodes.len(), nodes, &edges);
        let last = nodes.iter().map(|n| layer[*n]).max().unwrap_or(0);
        let mut columns: Vec<Vec<Slot>> = vec![Vec::new(); last + 1];
        for node in nodes {
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
            crossings: 0,
        };
        for sweep in 0..SWEEPS {
            drawing.lines = drawing.connect(&drawn, &layer);
            drawing.order(if sweep % 2 == 0 {
                By::Callers
            } else {
                By::Callees
            });
        }
        drawing.lines = drawing.connect(&drawn, &layer);
        drawing.crossings = drawing.crossings();
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

    /// How often lines cross between two columns.
    fn crossings(&self) -> usize {
        let crosses = |a: &Line, b: &Line| {
            a.column == b.column
                && (a.from < b.from && a.to > b.to || a.from > b.from && a.to < b.to)
        };
        let lines = self.lines.iter().enumerate();
        let of = lines.map(|(at, a)| {
            self.lines[at + 1..]
                .iter()
                .filter(|b| crosses(a, b))
                .count()
        });
        of.sum()
    }

    /// Puts each column in the order of the middle of what it is joined to in the column before it, or
    /// after it: few lines cross then (Sugiyama's barycentre).
    fn order(&mut self, by: By) {
        for column in 0..self.columns.len() {
            let middle = |slot: usize| {
                let ends = self.lines.iter().filter_map(|line| match by {
                    By::Callers => {
                        (line.column + 1 == column && line.to == slot).then_some(line.from)
                    }
                    By::Callees => (line.column == column && line.from == slot).then_some(line.to),
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
    let forward = without_cycles(len, nodes, edges);
    let mut layer = vec![0; len];
    // As many rounds as there are nodes: there is no longer way.
    for _ in 0..nodes.len() {
        let mut moved = false;
        for (from, to) in &forward {
            moved |= layer[*to] <= layer[*from];
            layer[*to] = layer[*to].max(layer[*from] + 1);
        }
        if !moved {
            break;
        }
    }
    layer
}

/// The calls, without those that lead back to where a walk along calls came from: it begins at those that nobody
/// calls.
fn without_cycles(
    len: usize,
    nodes: &[usize],
    edges: &[(usize, usize, usize)],
) -> Vec<(usize, usize)> {
    let is_called = |node: &usize| edges.iter().any(|(_, _, to)| to == node);
    let (called, tops): (Vec<usize>, Vec<usize>) = nodes.iter().partition(|node| is_called(node));
    let mut walk = Walk {
        edges,
        met: vec![Met::Not; len],
        forward: Vec::new(),
    };
    for node in tops.into_iter().chain(called) {
        walk.go(node);
    }
    walk.forward
}

/// How far a walk is with a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Not,
    OnTheWay,
    Done,
}

struct Walk<'a> {
    edges: &'a [(usize, usize, usize)],
    met: Vec<Met>,
    forward: Vec<(usize, usize)>,
}

impl Walk<'_> {
    /// As deep as there are nodes drawn, and those are few.
    fn go(&mut self, node: usize) {
        if self.met[node] != Met::Not {
            return;
        }
        self.met[node] = Met::OnTheWay;
        for (_, from, to) in self.edges.iter().filter(|(_, from, _)| *from == node) {
            if self.met[*to] != Met::OnTheWay {
                self.forward.push((*from, *to));
                self.go(*to);
            }
        }
        self.met[node] = Met::Done;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::IncidentDetail;
    use crate::model::EntityId;
    use crate::tui::format::{Clock, Zone};
    use crate::tui::keymap::Keymap;
    use crate::tui::paint::{Glyphs, Look};
    use crate::tui::state::Screen;
    use crate::tui::theme::Theme;

    /// Edges by their ends, numbered as they come.
    fn edges(ends: &[(usize, usize)]) -> Vec<(usize, usize, usize)> {
        let numbered = ends.iter().enumerate();
        numbered.map(|(at, (from, to))| (at, *from, *to)).collect()
    }

    /// Calls by their ends, and the column of each node.
    type Case<'a> = (&'a [(usize, usize)], &'a [usize]);

    #[test]
    fn one_call_back_does_not_squeeze_all_into_two_columns() {
        let cases: [Case<'_>; 4] = [
            (&[(0, 1), (1, 2), (2, 3)], &[0, 1, 2, 3]),
            (&[(0, 1), (1, 2), (2, 3), (3, 1)], &[0, 1, 2, 3]),
            (&[(0, 1), (1, 0), (1, 2), (2, 3)], &[0, 1, 2, 3]),
            (&[(3, 2), (0, 1), (0, 2), (1, 2)], &[0, 1, 2, 0]),
        ];
        for (ends, layer) in cases {
            assert_eq!(layers(4, &[0, 1, 2, 3], &edges(ends)), layer, "{ends:?}");
        }
    }

    #[test]
    fn a_path_is_laid_out_once_for_each_of_its_states() {
        let look = Look {
            theme: Theme::shipped("dark").expect("it is shipped"),
            glyphs: Glyphs::default(),
        };
        let keymap = Keymap::shipped("default").expect("it is shipped");
        let clock = Clock {
            zone: Zone::Of(chrono_tz::UTC),
            utc: true,
        };
        let mut state = State::new(look, keymap, clock, (120, 40), Time::ZERO);
        let id = IncidentId(1);
        let entity = EntityId::parse("cart");
        let incident = Incident::opened(id, entity, Time::ZERO, Time::ZERO);
        let mut detail = IncidentDetail {
            incident,
            plans: Vec::new(),
        };
        follow(&mut state);
        assert!(state.drawn.is_none(), "there is nothing to lay out");
        state.place.go(Screen::Incident(id), Tab::Path);
        state.details.put(Box::new(detail.clone()));
        let crossings = |state: &State| drawn(state).map(|layered| layered.crossings);
        follow(&mut state);
        assert_eq!(crossings(&state), Some(0));
        // No layout counts so many: it is still there when it was not laid out again.
        state.drawn.as_mut().expect("laid out").layered.crossings = 99;
        follow(&mut state);
        assert_eq!(crossings(&state), Some(99));
        detail.incident.revision += 1;
        state.details.put(Box::new(detail));
        assert_eq!(crossings(&state), None, "it is of another path");
        follow(&mut state);
        assert_eq!(crossings(&state), Some(0));
    }

    #[test]
    fn lines_that_cross_are_counted() {
        let line = |column, from, to| Line {
            edge: 0,
            column,
            from,
            to,
        };
        let drawing = Layered {
            columns: Vec::new(),
            crossings: 0,
            lines: vec![line(0, 0, 1), line(0, 1, 0), line(0, 2, 2), line(1, 1, 0)],
        };
        assert_eq!(drawing.crossings(), 1);
    }
}
