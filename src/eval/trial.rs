//! What other rules of correlation would have made of what was recorded: the same inputs through two
//! engines, and which alerts are in another company after that.
//!
//! What people decided about incidents and plans is left out of both: the numbers they said mean other
//! incidents under other rules. Silences hide the same alerts under both.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::drive::Feed;
use crate::engine::Engine;
use crate::model::{
    Command, Effect, Fingerprint, IncidentId, Input, Record, StageRow, Stamped, Time,
};

/// How often it is looked where alerts are, in milliseconds of engine time: those that are over are
/// listed for longer.
const LOOK_EVERY_MS: i64 = 60_000;
/// Alerts compared; later ones are counted and not compared.
const ALERTS_MAX: usize = 1_000_000;

/// An alert, each time it began.
type Occurrence = (Fingerprint, Time);

/// Two engines over the same inputs.
pub struct Trial {
    now: Side,
    then: Side,
    first: Option<Time>,
    last: Time,
    looked: Time,
    inputs: u64,
    left_out: u64,
}

/// One engine, and where its alerts are.
struct Side {
    feed: Feed,
    of: BTreeMap<Occurrence, IncidentId>,
    merged: BTreeMap<IncidentId, IncidentId>,
    titles: BTreeMap<IncidentId, String>,
    not_compared: BTreeSet<Fingerprint>,
}

/// What came out.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Time of the first input.
    pub from: Time,
    /// Time of the last.
    pub to: Time,
    /// Inputs that both engines took.
    pub inputs: u64,
    /// Decisions and results of commands that neither took.
    pub left_out: u64,
    /// Alerts that came to an incident, each time they began.
    pub alerts: usize,
    /// Alerts for which there was no room.
    pub not_compared: usize,
    /// Incidents these are in by the rules that are applied now.
    pub incidents_now: usize,
    /// Incidents these would be in.
    pub incidents_then: usize,
    /// The rules that were tried, and how often each was followed.
    pub rules: Vec<Followed>,
    /// Incidents that would be in another company.
    pub differ: Vec<Differs>,
    /// What the engines could not know, a sentence each.
    pub incomplete: Vec<String>,
}

/// A rule that was tried.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Followed {
    /// Its name.
    pub name: Box<str>,
    /// What it says.
    pub what: Box<str>,
    /// Entities it placed and incidents it merged.
    pub times: u64,
}

/// An incident that has no like by the rules that are applied now.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Differs {
    /// Its number there.
    pub incident: IncidentId,
    /// Its title, untrusted.
    pub title: String,
    /// Its alerts.
    pub alerts: usize,
    /// Those of them that are elsewhere now than most are.
    pub moved: usize,
    /// Where they are now, with how many of them; most first.
    pub now: Vec<(IncidentId, usize)>,
}

impl Trial {
    /// Of two engines that differ in their rules alone.
    pub fn new(now: Engine, then: Engine) -> Self {
        Self {
            now: Side::new(now),
            then: Side::new(then),
            first: None,
            last: Time::ZERO,
            looked: Time::ZERO,
            inputs: 0,
            left_out: 0,
        }
    }

    /// Feeds a recorded input to both.
    pub fn input(&mut self, stamped: Stamped) {
        let Stamped { at, input, .. } = stamped;
        self.first.get_or_insert(at);
        self.last = at;
        if !is_of_both(&input) {
            self.left_out += 1;
            return;
        }
        self.inputs += 1;
        self.now.input(at, input.clone());
        self.then.input(at, input);
        if at.since(self.looked) >= LOOK_EVERY_MS {
            self.looked = at;
            self.look();
        }
    }

    fn look(&mut self) {
        self.now.look();
        self.then.look();
    }

    /// What came out; `incomplete` says what the engines could not know.
    pub fn conclude(mut self, incomplete: Vec<String>) -> Outcome {
        self.look();
        let (now, then) = (self.now.groups(), self.then.groups());
        let mut is_in: BTreeMap<Occurrence, IncidentId> = BTreeMap::new();
        for (id, alerts) in &now {
            is_in.extend(alerts.iter().map(|alert| (*alert, *id)));
        }
        let differ = then.iter().filter_map(|(id, alerts)| {
            let mut from: BTreeMap<IncidentId, usize> = BTreeMap::new();
            for before in alerts.iter().filter_map(|alert| is_in.get(alert)) {
                *from.entry(*before).or_default() += 1;
            }
            let mut from: Vec<(IncidentId, usize)> = from.into_iter().collect();
            from.sort_by_key(|(id, alerts)| (std::cmp::Reverse(*alerts), *id));
            let most = from.first().map_or(0, |(_, alerts)| *alerts);
            let is_alike = from.iter().any(|(id, _)| now[id] == *alerts);
            (!is_alike).then(|| Differs {
                incident: *id,
                title: self.then.titles.get(id).cloned().unwrap_or_default(),
                alerts: alerts.len(),
                moved: alerts.len() - most,
                now: from,
            })
        });
        let alerts: BTreeSet<&Occurrence> = self.now.of.keys().chain(self.then.of.keys()).collect();
        let stages = self.then.feed.engine.stages().into_iter();
        let rules = stages.filter(|row| *row.of == *StageRow::OF_RULE);
        Outcome {
            from: self.first.unwrap_or(self.last),
            to: self.last,
            incomplete,
            inputs: self.inputs,
            left_out: self.left_out,
            alerts: alerts.len(),
            not_compared: self
                .now
                .not_compared
                .len()
                .max(self.then.not_compared.len()),
            incidents_now: now.len(),
            incidents_then: then.len(),
            differ: differ.collect(),
            rules: rules
                .map(|row| Followed {
                    name: row.name,
                    what: row.what,
                    times: row.total,
                })
                .collect(),
        }
    }
}

/// Whether an input means the same to both engines.
fn is_of_both(input: &Input) -> bool {
    match input {
        Input::Signals(_) | Input::Tick | Input::Recalled(_) => true,
        Input::Command { what, .. } => {
            matches!(what, Command::Silence { .. } | Command::Expire { .. })
        }
        Input::Step(_) => false,
    }
}

impl Side {
    fn new(engine: Engine) -> Self {
        Self {
            feed: Feed::new(engine),
            of: BTreeMap::new(),
            merged: BTreeMap::new(),
            titles: BTreeMap::new(),
            not_compared: BTreeSet::new(),
        }
    }

    fn input(&mut self, at: Time, input: Input) {
        self.feed.input(at, input);
        for effect in &self.feed.effects {
            if let Effect::Record(Record::Incident { incident }) = effect
                && let Some(into) = incident.merged_into
            {
                self.merged.insert(incident.id, into);
            }
        }
    }

    /// Notes where alerts are. Where one was last is where it belongs.
    fn look(&mut self) {
        let engine = &self.feed.engine;
        for row in engine.alerts(None, usize::MAX, None) {
            let Some(incident) = row.incident else {
                continue;
            };
            let occurrence = (row.fingerprint, row.starts_at);
            if self.of.len() >= ALERTS_MAX && !self.of.contains_key(&occurrence) {
                self.not_compared.insert(row.fingerprint);
                continue;
            }
            self.of.insert(occurrence, incident);
        }
        for row in engine.incident_rows() {
            self.titles.insert(row.id, row.title.to_string());
        }
    }

    /// Alerts by the incident they are in at the end.
    fn groups(&self) -> BTreeMap<IncidentId, BTreeSet<Occurrence>> {
        let mut groups: BTreeMap<IncidentId, BTreeSet<Occurrence>> = BTreeMap::new();
        for (occurrence, id) in &self.of {
            // An incident is only merged into one that lives, so that there is no circle.
            let homes = std::iter::successors(Some(*id), |id| self.merged.get(id).copied());
            let home = homes.last().unwrap_or(*id);
            groups.entry(home).or_default().insert(*occurrence);
        }
        groups
    }
}
