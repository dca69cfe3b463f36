//! Where does a sick entity belong? The stages, in order; the first that answers wins.
//!
//! Each stage looks at the entity, its neighbours and the incidents that are open, and gives a
//! reason in words. Nothing here changes anything.

use std::collections::BTreeMap;

use super::bonds::{AS_PEOPLE_SAID, Bonds, as_people_said};
use super::book::Book;
use super::causes::OwnCause;
use super::condition::{Condition, Conditions};
use super::held::Held;
use super::rules::{Hit, Rules, Tie};
use crate::engine::changes::Changes;
use crate::engine::entities::{Entities, EntityIx};
use crate::engine::explain;
use crate::engine::topology::Topology;
use crate::model::{IncidentId, Time};

/// Onsets are read off samples: one may look later than what it causes by this much, in milliseconds.
pub const ONSET_SLACK_MS: i64 = 45_000;
/// Harm further apart than this is not one event, in milliseconds.
const EVENT_MS: i64 = 15 * 60_000;
/// Onsets closer than this are the same moment, in milliseconds.
const SAME_MOMENT_MS: i64 = 15_000;
/// The same alert elsewhere within this long is the same event, in milliseconds.
const SAME_ALERT_MS: i64 = 5 * 60_000;
/// One change rolled out to several entities within this long before the onset, in milliseconds.
const SAME_CHANGE_MS: i64 = 30 * 60_000;
/// How soon after it was resolved an incident may come back, in milliseconds.
pub const REOPEN_MS: i64 = 10 * 60_000;

/// What the stages look at.
pub struct Scene<'a> {
    /// Entities with a cause of their own.
    pub causes: &'a BTreeMap<EntityIx, OwnCause>,
    /// Conditions by entity.
    pub conditions: &'a Conditions,
    /// The incidents.
    pub book: &'a Book,
    /// The entities.
    pub entities: &'a Entities,
    /// The dependencies.
    pub topology: &'a Topology,
    /// The changes.
    pub changes: &'a Changes,
    /// What the team knows.
    pub rules: &'a Rules,
    /// What people's merges and splits taught.
    pub bonds: &'a Bonds,
    /// The latest incident of an alert's name.
    pub by_alert_name: &'a BTreeMap<Box<str>, (IncidentId, Time)>,
    /// The incident that the candidate is the root of, which is no answer.
    pub but: Option<IncidentId>,
    /// Opened in the last minute, by alerts of entities nobody measures.
    pub storm: Option<IncidentId>,
    /// Engine time.
    pub now: Time,
}

/// What is to be placed.
#[derive(Clone, Copy)]
pub struct Candidate<'a> {
    /// The entity.
    pub entity: EntityIx,
    /// Its condition.
    pub condition: &'a Condition,
    /// The alert that brought it here, if one did.
    pub alert: Option<Bringer<'a>>,
    /// The incident it belonged to last.
    pub last_incident: Option<IncidentId>,
}

/// An alert that brings a candidate.
#[derive(Clone, Copy)]
pub struct Bringer<'a> {
    /// Its name.
    pub name: &'a str,
    /// The rules it is one of.
    pub hits: &'a [Hit],
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which incident.
    pub incident: IncidentId,
    /// Whether the entity explains the incident's root.
    pub is_root: bool,
    /// The rule that says so, if one does.
    pub rule: Option<usize>,
    /// Why, in words.
    pub why: String,
}

/// One stage.
pub struct Stage {
    /// Its name, for counters.
    pub name: &'static str,
    /// What it finds, in words.
    pub what: &'static str,
    /// Whether it is also asked later, for the roots of young incidents: causes are often seen last.
    pub is_asked_again: bool,
    /// Its question.
    pub place: fn(&Scene<'_>, &Candidate<'_>) -> Option<Place>,
}

/// The stages, in order.
pub const STAGES: [Stage; 11] = [
    Stage {
        name: "came back",
        what: "it was in an incident that ended lately",
        is_asked_again: false,
        place: came_back,
    },
    Stage {
        name: AS_PEOPLE_SAID,
        what: "people merged incidents of it and of another that is sick with it",
        is_asked_again: true,
        place: as_people_said,
    },
    Stage {
        name: "rule",
        what: "a rule of the team says that its alert belongs with another",
        is_asked_again: false,
        place: by_rule,
    },
    Stage {
        name: "sick dependency",
        what: "something it depends on was sick before it",
        is_asked_again: true,
        place: sick_dependency,
    },
    Stage {
        name: "sick dependent",
        what: "something that depends on it is sick, with nothing else to explain that",
        is_asked_again: true,
        place: sick_dependent,
    },
    Stage {
        name: "work from a sick caller",
        what: "a sick caller changed the work it gets",
        is_asked_again: true,
        place: work_from_sick_caller,
    },
    Stage {
        name: "work another used to take",
        what: "something that its callers use as well fell sick, and it got that work",
        is_asked_again: true,
        place: work_another_took,
    },
    Stage {
        name: "same moment",
        what: "another fell sick with it, and both use a thing that may be why",
        is_asked_again: false,
        place: same_moment,
    },
    Stage {
        name: "same change",
        what: "the same change reached another that is sick",
        is_asked_again: false,
        place: same_change,
    },
    Stage {
        name: "same alert elsewhere",
        what: "the same alert fires on another that is known by alerts alone",
        is_asked_again: false,
        place: same_alert,
    },
    Stage {
        name: "storm",
        what: "so much opens at once that only time is left to group by",
        is_asked_again: false,
        place: storm,
    },
];

impl Scene<'_> {
    fn name(&self, entity: EntityIx) -> &str {
        self.entities.id(entity).name()
    }

    /// The open incident of an entity.
    pub fn open_of(&self, entity: EntityIx) -> Option<&Held> {
        let id = self.conditions.get(entity)?.incident?;
        self.book
            .get(id)
            .filter(|held| held.is_open() && self.but != Some(id))
    }

    /// Dependencies of `entity` that are sick enough to explain it, seen through those that
    /// nobody measures, with the way to them.
    fn sick_callees(&self, entity: EntityIx) -> Vec<(EntityIx, &Condition)> {
        let mut found = Vec::new();
        for &callee in self.topology.callees(entity) {
            if let Some(condition) = self.conditions.hurts(callee, self.entities) {
                found.push((callee, condition));
            } else if !self.entities.has_series(callee) {
                found.extend(self.topology.callees(callee).iter().filter_map(|&deeper| {
                    Some((deeper, self.conditions.hurts(deeper, self.entities)?))
                }));
            }
        }
        found
    }

    pub(super) fn is_one_event(cause: Time, effect: Time) -> bool {
        let lag_ms = effect.since(cause);
        (-ONSET_SLACK_MS..=EVENT_MS).contains(&lag_ms)
    }

    /// Whether `held`'s member is explained by another member already. One that got more work than
    /// usual is rather a victim itself, and explains nothing.
    fn is_explained_within(&self, entity: EntityIx, held: &Held) -> bool {
        self.topology.callees(entity).iter().any(|callee| {
            held.members.contains(callee)
                && self
                    .conditions
                    .explains(*callee, self.entities)
                    .is_some_and(|condition| !condition.sum.is_busier)
        })
    }

    /// Whether the cause of its trouble is in the entity itself: then no other one explains it.
    pub fn has_own_cause(&self, entity: EntityIx) -> bool {
        self.causes
            .get(&entity)
            .is_some_and(|cause| cause.is_sure(self.now))
    }

    /// Whether the root of `held` got more work than usual.
    fn has_busier_root(&self, held: &Held) -> bool {
        self.conditions
            .get(held.root)
            .is_some_and(|condition| condition.sum.is_busier)
    }

    /// Whether `cause` explains the trouble of `effect`, both being sick.
    pub fn explains(&self, cause: EntityIx, effect: EntityIx) -> bool {
        let (Some(cause), Some(effect)) = (
            self.conditions.explains(cause, self.entities),
            self.conditions.get(effect),
        ) else {
            return false;
        };
        Self::is_one_event(cause.onset, effect.onset)
    }
}

/// It was part of an incident that nobody declared over, shortly ago. What is over only comes back with what could
/// open it as well: the echo of a fault, in means that are slow to forget it, wakes nobody twice.
fn came_back(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    let held = scene.book.get(candidate.last_incident?)?;
    if !held.is_open() && !candidate.condition.sum.pages && !candidate.condition.is_alerting() {
        return None;
    }
    let is_recent = held
        .incident
        .resolved
        .is_none_or(|resolved| scene.now.since(resolved) <= REOPEN_MS);
    (is_recent && !held.by_person).then(|| Place {
        incident: held.incident.id,
        is_root: false,
        rule: None,
        why: format!("{} hurts again", scene.name(candidate.entity)),
    })
}

/// A rule of the team says that its alert belongs with another. Two causes stay two all the same.
fn by_rule(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    let entity = candidate.entity;
    let has_own_cause = scene.has_own_cause(entity);
    let hits = candidate.alert?.hits.iter();
    let mates = hits.flat_map(|hit| {
        let mates = scene.rules.mates(hit, entity).into_iter();
        mates.map(move |(mate, tie)| (hit, mate, tie))
    });
    let (held, hit, mate, tie) = mates
        .filter_map(|(hit, mate, tie)| Some((scene.open_of(mate)?, hit, mate, tie)))
        .filter(|(held, ..)| !scene.has_own_cause(held.root) || !has_own_cause)
        .min_by_key(|(held, hit, mate, _)| (held.incident.id, hit.rule, *mate))?;
    let (ours, theirs) = (scene.name(entity), scene.name(mate));
    Some(Place {
        incident: held.incident.id,
        is_root: tie == Tie::Leads && held.root == mate,
        rule: Some(hit.rule),
        why: scene.rules.why(hit, ours, theirs, tie),
    })
}

/// Something it depends on is sick, and was before it.
fn sick_dependency(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    let condition = candidate.condition;
    if !condition.sum.is_harmed && !condition.is_alerting() || scene.has_own_cause(candidate.entity)
    {
        return None;
    }
    let callees = scene.sick_callees(candidate.entity);
    let (callee, held, onset) = callees
        .into_iter()
        .filter(|(_, cause)| Scene::is_one_event(cause.onset, condition.onset))
        .filter_map(|(callee, cause)| Some((callee, scene.open_of(callee)?, cause.onset)))
        .min_by_key(|(callee, held, onset)| (*onset, held.incident.id, *callee))?;
    Some(Place {
        incident: held.incident.id,
        is_root: false,
        rule: None,
        why: format!(
            "{} depends on {}, sick since {}",
            scene.name(candidate.entity),
            scene.name(callee),
            explain::clock(onset)
        ),
    })
}

/// It is sick, and so is what depends on it, with nothing else to explain that.
fn sick_dependent(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    let entity = candidate.entity;
    let has_own_cause = scene.has_own_cause(entity);
    let mut direct: Vec<EntityIx> = scene.topology.callers(entity).to_vec();
    for &caller in scene.topology.callers(entity) {
        if !scene.entities.has_series(caller) {
            direct.extend_from_slice(scene.topology.callers(caller));
        }
    }
    let (caller, held) = direct
        .into_iter()
        .filter(|caller| scene.explains(entity, *caller))
        .filter_map(|caller| Some((caller, scene.open_of(caller)?)))
        .filter(|(caller, held)| *caller == held.root || !scene.is_explained_within(*caller, held))
        .filter(|(_, held)| !scene.has_own_cause(held.root) || !has_own_cause)
        .min_by_key(|(caller, held)| (held.incident.id, *caller))?;
    Some(Place {
        incident: held.incident.id,
        is_root: caller == held.root || scene.has_busier_root(held),
        rule: None,
        why: format!(
            "{} depends on {}, which is sick too",
            scene.name(caller),
            scene.name(entity)
        ),
    })
}

/// Its work changed because a caller is sick: retries, misses, or calls that no longer come.
fn work_from_sick_caller(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    let sum = candidate.condition.sum;
    if !sum.work_changed || sum.is_lost || scene.has_own_cause(candidate.entity) {
        return None;
    }
    let (caller, held) = scene
        .topology
        .callers(candidate.entity)
        .iter()
        .filter(|caller| {
            scene
                .conditions
                .get(**caller)
                .is_some_and(|cause| Scene::is_one_event(cause.onset, candidate.condition.onset))
        })
        .filter_map(|caller| Some((*caller, scene.open_of(*caller)?)))
        .min_by_key(|(caller, held)| (held.incident.id, *caller))?;
    Some(Place {
        incident: held.incident.id,
        is_root: false,
        rule: None,
        why: format!(
            "the work {} gets from {} changed",
            scene.name(candidate.entity),
            scene.name(caller)
        ),
    })
}

/// It is busier since something else that its callers use fell sick: misses of a cache, a failover.
fn work_another_took(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    let sum = candidate.condition.sum;
    if !sum.is_busier || sum.is_lost || scene.has_own_cause(candidate.entity) {
        return None;
    }
    let onset = candidate.condition.onset;
    let is_before = |cause: Time| {
        let lag_ms = onset.since(cause);
        (-SAME_MOMENT_MS..=2 * SAME_MOMENT_MS).contains(&lag_ms)
    };
    let (other, held) = scene
        .topology
        .callers(candidate.entity)
        .iter()
        .flat_map(|caller| scene.topology.callees(*caller))
        .filter(|other| **other != candidate.entity)
        .filter(|other| {
            scene
                .conditions
                .explains(**other, scene.entities)
                .is_some_and(|condition| is_before(condition.onset))
        })
        .filter_map(|other| Some((*other, scene.open_of(*other)?)))
        .min_by_key(|(other, held)| (held.incident.id, *other))?;
    Some(Place {
        incident: held.incident.id,
        is_root: false,
        rule: None,
        why: format!(
            "{} gets more work since {} is sick, and both have a caller in common",
            scene.name(candidate.entity),
            scene.name(other)
        ),
    })
}

/// It fell sick at the same moment as an incident's root, and both use a thing that may be why: it is
/// sick itself, or nobody measures it. What measures itself and is well explains nothing.
fn same_moment(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    let ours = scene.topology.callees(candidate.entity);
    let may_be_why = |shared: EntityIx| {
        !scene.entities.has_series(shared)
            || scene.conditions.explains(shared, scene.entities).is_some()
    };
    let (shared, held) = ours
        .iter()
        .filter(|shared| may_be_why(**shared))
        .flat_map(|&shared| {
            scene
                .topology
                .callers(shared)
                .iter()
                .map(move |&user| (shared, user))
        })
        .filter(|(_, user)| *user != candidate.entity)
        .filter_map(|(shared, user)| Some((shared, user, scene.open_of(user)?)))
        .filter(|(_, user, held)| {
            *user == held.root
                && scene.conditions.get(*user).is_some_and(|theirs| {
                    theirs.onset.since(candidate.condition.onset).abs() <= SAME_MOMENT_MS
                })
        })
        .map(|(shared, _, held)| (shared, held))
        .min_by_key(|(shared, held)| (held.incident.id, *shared))?;
    Some(Place {
        incident: held.incident.id,
        is_root: false,
        rule: None,
        why: format!(
            "{} and {} fell sick at the same moment and both use {}",
            scene.name(candidate.entity),
            scene.name(held.root),
            scene.name(shared)
        ),
    })
}

/// One change reached both shortly before.
fn same_change(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    let onset = candidate.condition.onset;
    let from = onset.plus_ms(-SAME_CHANGE_MS);
    let ours: Vec<_> = scene
        .changes
        .between(candidate.entity, from, onset)
        .collect();
    if ours.is_empty() {
        return None;
    }
    scene
        .book
        .iter()
        .filter(|(_, held)| held.is_open() && held.root != candidate.entity)
        .find_map(|(incident, held)| {
            let shared = scene
                .changes
                .between(held.root, from, onset)
                .find(|theirs| ours.iter().any(|change| change.id == theirs.id))?;
            Some(Place {
                incident,
                is_root: false,
                rule: None,
                why: format!(
                    "{} was changed by {} like {}",
                    scene.name(candidate.entity),
                    shared.title,
                    scene.name(held.root)
                ),
            })
        })
}

/// The same alert fires on something else that is known by its alerts alone.
fn same_alert(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    let name = candidate.alert?.name;
    if scene.entities.has_series(candidate.entity) {
        return None;
    }
    let (incident, at) = scene.by_alert_name.get(name)?;
    let held = scene.book.get(*incident).filter(|held| held.is_open())?;
    let is_alike = !scene.entities.has_series(held.root);
    (is_alike && scene.now.since(*at) <= SAME_ALERT_MS).then(|| Place {
        incident: *incident,
        is_root: false,
        rule: None,
        why: format!("{name} fires on {} as well", scene.name(candidate.entity)),
    })
}

/// So many incidents open at once that only time is left to group by.
fn storm(scene: &Scene<'_>, candidate: &Candidate<'_>) -> Option<Place> {
    if candidate.alert.is_none() || scene.entities.has_series(candidate.entity) {
        return None;
    }
    let held = scene.book.get(scene.storm?).filter(|held| held.is_open())?;
    Some(Place {
        incident: held.incident.id,
        is_root: false,
        rule: None,
        why: format!(
            "{} joined a storm of alerts; grouped by time alone",
            scene.name(candidate.entity)
        ),
    })
}
