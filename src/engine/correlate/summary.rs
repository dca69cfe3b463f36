//! Incidents in a line: how bad, what, where, and the path drawn of them.
//!
//! Never changes which signals belong to an incident.

use super::impact::Sight;
use super::{Correlator, Hearing, World, impact, severity};
use crate::model::{IncidentId, Lane};

impl Correlator {
    /// Brings severity, title and place of a changed incident up to date.
    pub fn sum_up(&mut self, id: IncidentId, world: &World<'_>) {
        self.count_held_back(id, world);
        let sight = Sight {
            entities: world.entities,
            topology: world.topology,
            conditions: &self.conditions,
        };
        let Some(held) = self.book.peek_mut(id) else {
            return;
        };
        if !held.has_signals() {
            // Its title and place stay what they were when it hurt; nobody on its path hurts any more.
            if held.hearing == Hearing::Heard {
                impact::calm(held, &sight);
            }
            return;
        }
        held.note_paging();
        let target = held.place(&sight, world.now);
        let alert = impact::worst_alert(id, target, world);
        let verdict = severity::judge(&severity::facts(held, target, &sight));
        let before = held.incident.severity;
        let place = world.entities.id(target);
        if verdict.is_raised && verdict.severity > before {
            let priority = verdict.severity.priority();
            let text = format!("P{priority} because of {}: {}", place.name(), verdict.why);
            held.tell(world.now, Lane::Automation, Some(place.clone()), &text);
        }
        // It never becomes less bad in hindsight, nor are the reasons others then.
        if verdict.severity >= before {
            let why = format!("{}: {}", place.name(), verdict.why);
            held.incident.priority_why = why.into_boxed_str();
            held.incident.severity = verdict.severity;
        }
        held.incident.title = impact::title(held, target, &sight, alert);
        held.incident.entity = world.entities.id(target).clone();
        let (nodes, edges) = impact::path(held, target, &sight);
        held.incident.path_nodes = nodes;
        held.incident.path_edges = edges;
    }
}
