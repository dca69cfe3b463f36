//! What people know better: two incidents are one, or one is two.
//!
//! A person's word stands: what they merged is not split again by itself, and what they split is not
//! merged, also after a restart. Each undoes the other, and both teach ([`super::bonds`]).

use std::collections::BTreeSet;

use super::merge::Merger;
use super::{Correlator, World};
use crate::engine::entities::EntityIx;
use crate::model::{Bond, Incident, IncidentId, Lane, Refusal, Regrouped};

/// Pairs that people told apart, remembered; the oldest are forgotten.
pub const APART_MAX: usize = 1_000;
/// Words of people on other incidents kept with one, the latest.
const WORDS_MAX: usize = 32;

impl Correlator {
    /// Whether a person may make `incident` part of `into`.
    pub fn may_merge(&self, incident: IncidentId, into: IncidentId) -> Result<(), Refusal> {
        if incident == into {
            return Err(refused(incident, "it cannot be part of itself"));
        }
        [incident, into]
            .into_iter()
            .try_for_each(|id| self.is_open(id))
    }

    /// Whether a person may make these members of an incident one of their own.
    pub fn may_split(&self, incident: IncidentId, members: &[EntityIx]) -> Result<(), Refusal> {
        self.is_open(incident)?;
        let Some(held) = self.book.get(incident) else {
            return Err(Refusal::NoIncident { incident });
        };
        let going: BTreeSet<&EntityIx> = members.iter().collect();
        if going.is_empty() || !going.iter().all(|member| held.members.contains(member)) {
            return Err(refused(incident, "not all of these entities are in it"));
        }
        if going.len() == held.members.len() {
            return Err(refused(incident, "nothing of it would be left"));
        }
        Ok(())
    }

    fn is_open(&self, incident: IncidentId) -> Result<(), Refusal> {
        match self.book.get(incident) {
            None => Err(Refusal::NoIncident { incident }),
            Some(held) if held.is_open() => Ok(()),
            Some(_) => Err(refused(incident, "only open incidents are merged or split")),
        }
    }

    /// Makes `incident` part of `into` because a person says so; see [`Self::may_merge`].
    pub fn merge_by_hand(
        &mut self,
        incident: IncidentId,
        into: IncidentId,
        by: &str,
        world: &mut World<'_>,
    ) {
        let root = |id| self.book.get(id).map(|held| held.root);
        let (Some(ours), Some(theirs)) = (root(into), root(incident)) else {
            return;
        };
        if let Some(held) = self.book.get_mut(into) {
            held.note_reason(&format!("{by} says that {incident} is part of it"));
            let text = format!("{by} merged {incident} into it");
            held.tell(world.now, Lane::Person, None, &text);
        }
        self.merge(into, incident, ours, Merger::Person(by), world);
        self.apart.remove(&pair(incident, into));
        self.note_word(into, (incident, theirs), Bond::Together, by, world);
    }

    /// Makes members of an incident one of their own because a person says so; see
    /// [`Self::may_split`].
    pub fn split_by_hand(
        &mut self,
        incident: IncidentId,
        members: &[EntityIx],
        by: &str,
        world: &mut World<'_>,
    ) {
        let Some(&root) = members.first() else { return };
        let going: BTreeSet<EntityIx> = members.iter().copied().collect();
        let why = format!("{by} says that it is another story");
        let Some(id) = self.split_off(incident, root, &going, (&why, Lane::Person), world) else {
            return;
        };
        self.deeds.split_by_hand += 1;
        let mut left = root;
        if let Some(held) = self.book.get_mut(incident) {
            if going.contains(&held.root)
                && let Some(first) = held.members.first()
            {
                held.root = *first;
            }
            left = held.root;
        }
        self.tell_apart(incident, id);
        self.note_word(incident, (id, root), Bond::Apart, by, world);
        self.note_word(id, (incident, left), Bond::Apart, by, world);
    }

    fn tell_apart(&mut self, one: IncidentId, other: IncidentId) {
        self.apart.insert(pair(one, other));
        while self.apart.len() > APART_MAX {
            self.apart.pop_first();
        }
    }

    /// Keeps with an incident what a person said of it and of another, which was about `theirs`; and learns.
    fn note_word(
        &mut self,
        id: IncidentId,
        (other, theirs): (IncidentId, EntityIx),
        bond: Bond,
        by: &str,
        world: &World<'_>,
    ) {
        let Some(held) = self.book.get_mut(id) else {
            return;
        };
        held.is_pinned = true;
        let said = Regrouped {
            at: world.now,
            by: by.to_owned(),
            other,
            bond,
            ours: world.entities.id(held.root).clone(),
            theirs: world.entities.id(theirs).clone(),
        };
        self.bonds.learn(id, &said);
        let words = &mut held.incident.regrouped;
        words.retain(|word| word.other != other);
        words.push(said);
        let excess = words.len().saturating_sub(WORDS_MAX);
        words.drain(..excess);
        self.book.record(id);
    }

    /// Takes from the journal what people said of an incident and of others.
    pub(super) fn restore_words(&mut self, incident: &Incident) {
        for said in &incident.regrouped {
            if said.bond == Bond::Apart {
                self.tell_apart(incident.id, said.other);
            }
        }
    }

    /// Whether a person told two incidents apart.
    pub(super) fn are_apart(&self, one: IncidentId, other: IncidentId) -> bool {
        self.apart.contains(&pair(one, other))
    }
}

fn pair(one: IncidentId, other: IncidentId) -> (IncidentId, IncidentId) {
    (one.min(other), one.max(other))
}

fn refused(incident: IncidentId, why: &str) -> Refusal {
    Refusal::State {
        what: format!("incident {incident}"),
        state: "as it is".to_owned(),
        why: why.to_owned(),
    }
}
