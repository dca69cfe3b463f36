//! Two incidents that turn out to have one cause become one: the older.

use std::collections::BTreeSet;

use super::held::Held;
use super::phase::Event;
use super::{Correlator, MERGED_MAX, World};
use crate::engine::entities::EntityIx;
use crate::engine::topology::Topology;
use crate::model::{Fingerprint, Incident, IncidentId, Lane};

/// Who says that two incidents are one.
#[derive(Clone, Copy)]
pub(super) enum Merger<'a> {
    /// The engine found a cause of both.
    OneCause,
    /// What people said of others like them; why, in words.
    Learned(&'a str),
    /// A rule of the team.
    Rule,
    /// A person, by name.
    Person(&'a str),
}

/// An entity that explains this many members of an incident, and most of them, is its cause.
const EXPLAINED_MIN: usize = 3;

impl Correlator {
    /// Pulls in incidents whose root `entity` explains.
    pub(super) fn absorb(&mut self, entity: EntityIx, incident: IncidentId, world: &mut World<'_>) {
        let scene = self.scene(world);
        let others: BTreeSet<IncidentId> = world
            .topology
            .callers(entity)
            .iter()
            .filter(|caller| scene.explains(entity, **caller))
            .filter_map(|caller| {
                let other = self.conditions.get(*caller)?.incident?;
                let held = self.book.get(other)?;
                let explained = explained_members(held, entity, world.topology);
                let is_cause = held.root == *caller
                    || explained >= EXPLAINED_MIN && 2 * explained > held.members.len();
                let merges = other != incident && held.is_open() && is_cause;
                (merges && !scene.has_own_cause(held.root)).then_some(other)
            })
            .collect();
        let mut incident = incident;
        for other in others {
            if self.keeps_apart(incident, other, world.entities) {
                continue;
            }
            let (kept, merged) = (incident.min(other), incident.max(other));
            self.merge(kept, merged, entity, Merger::OneCause, world);
            incident = kept;
        }
    }

    pub(super) fn merge(
        &mut self,
        kept: IncidentId,
        merged: IncidentId,
        root: EntityIx,
        by: Merger<'_>,
        world: &mut World<'_>,
    ) {
        let Some(mut gone) = self.book.remove(merged) else {
            return;
        };
        // That it was merged is told in its own timeline alone; the other tells it in words of its own.
        let timeline = gone.incident.timeline.clone();
        gone.incident.merged_into = Some(kept);
        gone.turn(Event::Merge, world.now, &farewell(kept, by));
        self.book.say_farewell(parting(&gone));
        gone.incident.timeline = timeline;
        for member in &gone.members {
            self.last_incident.insert(*member, kept);
            if let Some(condition) = self.conditions.get_mut(*member) {
                condition.incident = Some(kept);
                for finding in &condition.findings {
                    world.findings.attach(*finding, kept);
                }
            }
        }
        let alerts: Vec<Fingerprint> = world.alerts.of_incident(merged, None).collect();
        for fingerprint in alerts {
            world.alerts.attach(fingerprint, kept);
        }
        if let Some(held) = self.book.get_mut(kept) {
            held.absorb(gone);
            held.root = root;
            // What people and rules say stands there in their own words.
            if let Merger::OneCause | Merger::Learned(_) = by {
                held.note_reason(&format!("{merged} turned out to be part of it"));
                let text = format!("{merged} was merged in: {}", because(by));
                held.tell(world.now, Lane::Automation, None, &text);
            }
        }
        self.book.record(kept);
        match by {
            Merger::OneCause | Merger::Learned(_) => self.deeds.merged += 1,
            Merger::Person(_) => self.deeds.merged_by_hand += 1,
            // Each rule counts what it did.
            Merger::Rule => {}
        }
        self.merged.insert(merged, kept);
        while self.merged.len() > MERGED_MAX {
            self.merged.pop_first();
        }
        self.merges.push((merged, kept));
    }
}

/// The last line of an incident's own timeline.
fn farewell(kept: IncidentId, by: Merger<'_>) -> String {
    format!("merged into {kept}: {}", because(by))
}

/// Why two are one, as whoever decided it says.
fn because(by: Merger<'_>) -> String {
    match by {
        Merger::OneCause => "one cause explains both".to_owned(),
        Merger::Learned(why) => why.to_owned(),
        Merger::Rule => "a rule of the team says so".to_owned(),
        Merger::Person(by) => format!("{by} says so"),
    }
}

/// An incident as it is kept from when it became part of another: what goes on, and the plans, are told
/// there from then on, and nothing of that is claimed here.
fn parting(gone: &Held) -> Incident {
    let mut incident = gone.incident.clone();
    incident.impact.alerts_firing = 0;
    incident.impact.alerts_held = 0;
    incident.impact.alerts_unheard = 0;
    incident.impact.findings_open = 0;
    incident.plans.clear();
    incident
}

/// Members of an incident that depend on `entity` directly.
fn explained_members(held: &Held, entity: EntityIx, topology: &Topology) -> usize {
    topology
        .callers(entity)
        .iter()
        .filter(|caller| held.members.contains(caller))
        .count()
}
