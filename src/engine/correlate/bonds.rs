//! What people's merges and splits taught: entities whose trouble is one story, and those whose is two.
//!
//! The last word on a pair of entities stands, and can be taken back. It weighs in where incidents are
//! about those two: it brings together what began as one event, and keeps apart what evidence would join.
//! Must never make one of two causes that are sure, and remembers a bounded number of pairs.

use std::collections::BTreeMap;

use super::stages::{Candidate, Place, Scene};
use super::{Correlator, World};
use crate::engine::entities::{Entities, EntityIx};
use crate::engine::explain;
use crate::model::{Bond, EntityId, IncidentId, Learned, Regrouped, Time};

/// Pairs of entities remembered; the one said longest ago is forgotten.
const PAIRS_MAX: usize = 1_000;

/// The name of the stage.
pub const AS_PEOPLE_SAID: &str = "as people said";

/// The last word on a pair.
#[derive(Clone, Debug)]
struct Said {
    /// `None` once it was taken back: then nothing said before counts.
    bond: Option<Bond>,
    by: String,
    at: Time,
    incident: IncidentId,
}

/// The pairs that people spoke of.
#[derive(Debug, Default)]
pub struct Bonds {
    /// Each pair once from either side.
    said: BTreeMap<EntityId, BTreeMap<EntityId, Said>>,
    pairs: usize,
}

impl Bonds {
    /// Takes a person's word on two incidents.
    pub fn learn(&mut self, incident: IncidentId, said: &Regrouped) {
        let word = Said {
            bond: Some(said.bond),
            by: said.by.clone(),
            at: said.at,
            incident,
        };
        self.put(&said.ours, &said.theirs, &word);
    }

    /// Takes back what was said of two entities at `at`; whether anything was.
    pub fn forget(&mut self, one: &EntityId, other: &EntityId, by: &str, at: Time) -> bool {
        let Some(incident) = self.of(one, other).map(|said| said.incident) else {
            return false;
        };
        let word = Said {
            bond: None,
            by: by.to_owned(),
            at,
            incident,
        };
        self.put(one, other, &word);
        true
    }

    fn put(&mut self, one: &EntityId, other: &EntityId, word: &Said) {
        let known = self.said.get(one).and_then(|of| of.get(other));
        // The journal repeats what was said with every record of an incident: what was taken back since stays so.
        let is_newer = |known: &Said| (known.at, known.bond.is_none()) > (word.at, false);
        if one == other || known.is_some_and(is_newer) {
            return;
        }
        self.pairs += usize::from(known.is_none());
        for (from, to) in [(one, other), (other, one)] {
            let of = self.said.entry(from.clone()).or_default();
            of.insert(to.clone(), word.clone());
        }
        while self.pairs > PAIRS_MAX && self.forget_oldest() {}
    }

    fn forget_oldest(&mut self) -> bool {
        let all = self.said.iter();
        let all = all.flat_map(|(one, of)| of.iter().map(move |(other, said)| (one, other, said)));
        let oldest = all.min_by_key(|(one, other, said)| (said.at, *one, *other));
        let Some((one, other)) = oldest.map(|(one, other, _)| (one.clone(), other.clone())) else {
            return false;
        };
        for (from, to) in [(&one, &other), (&other, &one)] {
            if let Some(of) = self.said.get_mut(from) {
                of.remove(to);
                if of.is_empty() {
                    self.said.remove(from);
                }
            }
        }
        self.pairs -= 1;
        true
    }

    /// Whether anything stands of two entities.
    pub fn knows(&self, one: &EntityId, other: &EntityId) -> bool {
        self.of(one, other).is_some()
    }

    /// What stands of two entities.
    fn of(&self, one: &EntityId, other: &EntityId) -> Option<&Said> {
        let said = self.said.get(one)?.get(other)?;
        said.bond.is_some().then_some(said)
    }

    /// Whether people told the trouble of two entities apart.
    fn are_apart(&self, one: &EntityId, other: &EntityId) -> bool {
        self.of(one, other)
            .is_some_and(|said| said.bond == Some(Bond::Apart))
    }

    /// The entities whose trouble is one story with that of `entity`.
    fn mates(&self, entity: &EntityId) -> impl Iterator<Item = (&EntityId, &Said)> {
        let of = self.said.get(entity).into_iter().flatten();
        of.filter(|(_, said)| said.bond == Some(Bond::Together))
    }

    /// Everything that stands, by entity; each pair once.
    pub fn all(&self) -> impl Iterator<Item = Learned> {
        let all = self.said.iter();
        let all = all.flat_map(|(one, of)| of.iter().map(move |(other, said)| (one, other, said)));
        all.filter(|(one, other, _)| one < other)
            .filter_map(|(one, other, said)| {
                Some(Learned {
                    one: one.clone(),
                    other: other.clone(),
                    bond: said.bond?,
                    by: said.by.clone(),
                    at: said.at,
                    incident: said.incident,
                })
            })
    }
}

impl Correlator {
    /// Whether people told two incidents apart, or the trouble of what they are about.
    pub fn keeps_apart(&self, one: IncidentId, other: IncidentId, entities: &Entities) -> bool {
        let root = |id| self.book.get(id).map(|held| entities.id(held.root));
        self.are_apart(one, other)
            || root(one)
                .zip(root(other))
                .is_some_and(|(one, other)| self.bonds.are_apart(one, other))
    }

    /// Whether people said that the trouble of `entity` is another story than an incident's.
    pub(super) fn belongs_elsewhere(
        &self,
        entity: EntityIx,
        incident: IncidentId,
        world: &World<'_>,
    ) -> bool {
        self.book.get(incident).is_some_and(|held| {
            let (ours, theirs) = (world.entities.id(entity), world.entities.id(held.root));
            self.bonds.are_apart(ours, theirs)
        })
    }
}

/// People merged incidents of this entity and of another that is sick with it. Two causes stay two all the same.
pub fn as_people_said(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    let entity = candidate.entity;
    let has_own_cause = scene.has_own_cause(entity);
    let mates = scene.bonds.mates(scene.entities.id(entity));
    let sick = mates.filter_map(|(mate, said)| {
        let mate = scene.entities.find(mate)?;
        let onset = scene.conditions.get(mate)?.onset;
        let held = scene.open_of(mate)?;
        let is_one = Scene::is_one_event(onset, candidate.condition.onset)
            || Scene::is_one_event(candidate.condition.onset, onset);
        let are_two = has_own_cause && scene.has_own_cause(held.root);
        (is_one && !are_two).then_some((held.incident.id, mate, said))
    });
    let (incident, mate, said) = sick.min_by_key(|(incident, mate, _)| (*incident, *mate))?;
    Some(Place {
        incident,
        is_root: false,
        rule: None,
        why: format!(
            "{} and {} had one story in {}, as {} said at {}",
            scene.entities.id(entity).name(),
            scene.entities.id(mate).name(),
            said.incident,
            said.by,
            explain::clock(said.at)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(bonds: &mut Bonds, one: &str, other: &str, bond: Bond, at_s: i64) {
        let said = Regrouped {
            bond,
            other: IncidentId(2),
            ours: EntityId::parse(one),
            theirs: EntityId::parse(other),
            by: "mia".to_owned(),
            at: Time::from_secs(at_s),
        };
        bonds.learn(IncidentId(1), &said);
    }

    #[test]
    fn what_was_taken_back_stays_so_until_it_is_said_anew() {
        let mut bonds = Bonds::default();
        let [cart, pay] = ["cart", "pay"].map(EntityId::parse);
        let forget =
            |bonds: &mut Bonds, at_s| bonds.forget(&pay, &cart, "ole", Time::from_secs(at_s));
        assert!(!forget(&mut bonds, 1), "nobody said anything");
        said(&mut bonds, "cart", "pay", Bond::Apart, 10);
        assert!(bonds.knows(&pay, &cart) && bonds.are_apart(&cart, &pay));
        assert!(forget(&mut bonds, 20));
        assert!(!bonds.knows(&cart, &pay) && !bonds.are_apart(&pay, &cart));
        assert_eq!(bonds.all().count(), 0);
        assert!(
            !forget(&mut bonds, 30),
            "there is nothing left to take back"
        );
        // The journal tells the old word with every record of the incident.
        said(&mut bonds, "cart", "pay", Bond::Apart, 10);
        assert!(!bonds.knows(&cart, &pay));
        said(&mut bonds, "pay", "cart", Bond::Together, 40);
        let all: Vec<Bond> = bonds.all().map(|learned| learned.bond).collect();
        assert_eq!(all, [Bond::Together]);
    }

    #[test]
    fn the_pair_said_longest_ago_is_forgotten() {
        let mut bonds = Bonds::default();
        for at in 0..=PAIRS_MAX {
            let other = format!("other-{at}");
            said(&mut bonds, "cart", &other, Bond::Apart, at as i64);
        }
        let cart = EntityId::parse("cart");
        let knows = |at: usize| bonds.knows(&EntityId::parse(&format!("other-{at}")), &cart);
        assert_eq!((knows(0), knows(1), knows(PAIRS_MAX)), (false, true, true));
        assert_eq!(bonds.all().count(), PAIRS_MAX);
    }
}
