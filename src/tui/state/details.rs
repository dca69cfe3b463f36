//! What the console knows about single incidents, and what it must ask for next.

use std::collections::BTreeMap;

use crate::api::{IncidentDetail, Panels};
use crate::model::{Finding, FindingId, IncidentId, Plan, PlanId, Time};
use crate::tui::link::Request;

/// Incidents kept in detail; the one looked at longest ago makes room.
const DETAILS_MAX: usize = 16;
/// A changed incident is asked for again at most this often, so that a storm of changes does not
/// become a storm of requests.
const DETAIL_EVERY_MS: i64 = 250;
/// Charts on screen are renewed about this often: with the news, which come as often, if there are any.
const PANELS_EVERY_MS: i64 = 5_000;
/// A path on screen is renewed this often although nothing else changed: what it says of how lately a call
/// was seen grows old. With whatever wakes the console, never by itself.
const PATH_EVERY_MS: i64 = 60_000;
/// After a failed request, how long until it is tried again.
const RETRY_MS: i64 = 2_000;

/// Incidents in detail.
#[derive(Debug, Default)]
pub struct Details {
    held: BTreeMap<IncidentId, Held>,
    fresh: bool,
    /// When what is looked at may be asked for again, if there is cause to.
    due_at: Option<Time>,
}

#[derive(Debug, Default)]
struct Held {
    detail: Option<Box<IncidentDetail>>,
    panels: Option<Box<Panels>>,
    panels_revision: u64,
    looked_at: Time,
    detail_asked: Time,
    detail_due: Due,
    panels_due: Due,
    failed: Option<String>,
}

/// When something may be asked for again.
#[derive(Debug, Default)]
struct Due {
    in_flight: bool,
    not_before: Time,
    /// With whatever wakes the console before; by itself then.
    at_last: Time,
}

impl Due {
    fn may_ask(&self, now: Time) -> bool {
        !self.in_flight && now >= self.not_before
    }

    /// When it may, if it is for time alone to pass.
    fn waits_until(&self) -> Option<Time> {
        (!self.in_flight).then_some(self.at_last)
    }

    fn asked(&mut self, now: Time, every_ms: i64) {
        self.in_flight = true;
        self.not_before = now.plus_ms(every_ms - every_ms / 5);
        self.at_last = now.plus_ms(every_ms + every_ms / 5);
    }

    fn failed(&mut self, now: Time) {
        self.in_flight = false;
        self.not_before = now.plus_ms(RETRY_MS);
        self.at_last = self.not_before;
    }
}

/// What of an incident is on screen.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// Its charts, logs or traces.
    pub panels: bool,
    /// Its path.
    pub path: bool,
}

impl Details {
    /// An incident in detail.
    pub fn get(&self, id: IncidentId) -> Option<&IncidentDetail> {
        self.held.get(&id)?.detail.as_deref()
    }

    /// The charts, logs and traces of an incident.
    pub fn panels(&self, id: IncidentId) -> Option<&Panels> {
        self.held.get(&id)?.panels.as_deref()
    }

    /// Why its details could not be had, if so.
    pub fn failure(&self, id: IncidentId) -> Option<&str> {
        self.held.get(&id)?.failed.as_deref()
    }

    /// A plan of any incident held, as it is told latest.
    pub fn plan(&self, id: PlanId) -> Option<&Plan> {
        let plans = &self.holder(id)?.plans;
        plans.iter().find(|plan| plan.id == id)
    }

    /// The incident that is told to hold a plan. Of one that was merged into another an older word may
    /// still be here: it does not count.
    pub fn holder(&self, id: PlanId) -> Option<&IncidentDetail> {
        let details = self.held.values().filter_map(|h| h.detail.as_deref());
        let holding = details.filter_map(|detail| {
            let plan = detail.plans.iter().find(|plan| plan.id == id)?;
            Some((plan, detail))
        });
        let latest = holding.max_by_key(|(plan, detail)| {
            let incident = &detail.incident;
            let has_moved_here = plan.incident != incident.id;
            let is_whole = incident.merged_into.is_none();
            (is_whole, has_moved_here, incident.updated)
        });
        Some(latest?.1)
    }

    /// What an incident is part of by now, as far as is known; itself if it is not.
    pub fn home(&self, id: IncidentId) -> IncidentId {
        // One is only merged into one that lives, so that there is no circle; a broken answer may say
        // anything.
        let into = |id: &IncidentId| self.get(*id)?.incident.merged_into;
        let homes = std::iter::successors(Some(id), into);
        homes.take(DETAILS_MAX).last().unwrap_or(id)
    }

    /// A finding of any incident held.
    pub fn finding(&self, id: FindingId) -> Option<&Finding> {
        self.held
            .values()
            .filter_map(|held| held.detail.as_deref())
            .flat_map(|detail| &detail.incident.findings)
            .find(|finding| finding.id == id)
    }

    /// Takes an answer.
    pub fn put(&mut self, detail: Box<IncidentDetail>) {
        let held = self.held.entry(detail.incident.id).or_default();
        held.detail_due.in_flight = false;
        held.failed = None;
        held.detail = Some(detail);
        self.fresh = true;
    }

    /// Whether something came since [`Self::seen`].
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// Notes that what came was taken account of.
    pub fn seen(&mut self) {
        self.fresh = false;
    }

    /// Takes an answer; `true` when it says anything new.
    pub fn put_panels(&mut self, id: IncidentId, panels: Box<Panels>) -> bool {
        let held = self.held.entry(id).or_default();
        held.panels_due.in_flight = false;
        if held.panels.as_ref() == Some(&panels) {
            return false;
        }
        held.panels = Some(panels);
        self.fresh = true;
        true
    }

    /// Takes the failure of a request.
    pub fn fail(&mut self, request: &Request, why: String, now: Time) {
        match request {
            Request::Detail(id) => {
                let held = self.held.entry(*id).or_default();
                held.detail_due.failed(now);
                held.failed = Some(why);
            }
            Request::Panels { incident, .. } => {
                let held = self.held.entry(*incident).or_default();
                held.panels_due.failed(now);
                held.failed = Some(why);
            }
            _ => {}
        }
    }

    /// Forgets what was asked for: the connection it was asked on is gone.
    pub fn reconnect(&mut self) {
        for held in self.held.values_mut() {
            held.detail_due = Due::default();
            held.panels_due = Due::default();
        }
    }

    /// What to ask for so that the incident looked at, now of `revision`, is complete. `lasting` says
    /// whether what moves in it still does.
    pub fn wanted(
        &mut self,
        id: IncidentId,
        revision: u64,
        Shown { panels, path }: Shown,
        lasting: bool,
        now: Time,
    ) -> Vec<Request> {
        self.make_room(id);
        let held = self.held.entry(id).or_default();
        held.looked_at = now;
        let mut requests = Vec::new();
        let known = held.detail.as_ref().map(|detail| detail.incident.revision);
        let detail = known.is_none_or(|known| known < revision);
        let is_old = path && lasting && now.since(held.detail_asked) >= PATH_EVERY_MS;
        if (detail || is_old) && held.detail_due.may_ask(now) {
            held.detail_asked = now;
            held.detail_due.asked(now, DETAIL_EVERY_MS);
            requests.push(Request::Detail(id));
        }
        let outdated = held.panels.is_none() || lasting || held.panels_revision != revision;
        let panels = panels && outdated;
        if panels && held.panels_due.may_ask(now) {
            held.panels_due.asked(now, PANELS_EVERY_MS);
            held.panels_revision = revision;
            requests.push(Request::Panels {
                incident: id,
                entity: None,
            });
        }
        let waits = [(detail, &held.detail_due), (panels, &held.panels_due)];
        let waits = waits.into_iter().filter(|(wanted, _)| *wanted);
        self.due_at = waits.filter_map(|(_, due)| due.waits_until()).min();
        requests
    }

    /// What to ask for so that an incident a dialog is about, now of `revision`, is known.
    pub fn wanted_aside(&mut self, id: IncidentId, revision: u64, now: Time) -> Option<Request> {
        self.make_room(id);
        let held = self.held.entry(id).or_default();
        held.looked_at = now;
        let known = held.detail.as_ref().map(|detail| detail.incident.revision);
        let wanted = known.is_none_or(|known| known < revision) && held.detail_due.may_ask(now);
        wanted.then(|| {
            held.detail_asked = now;
            held.detail_due.asked(now, DETAIL_EVERY_MS);
            Request::Detail(id)
        })
    }

    /// Nothing is looked at, so that nothing will be asked for.
    pub fn rest(&mut self) {
        self.due_at = None;
    }

    /// When time alone lets something be asked for.
    pub fn due_at(&self) -> Option<Time> {
        self.due_at
    }

    fn make_room(&mut self, keep: IncidentId) {
        while self.held.len() >= DETAILS_MAX && !self.held.contains_key(&keep) {
            let oldest = self.held.iter().min_by_key(|(_, held)| held.looked_at);
            let Some(id) = oldest.map(|(id, _)| *id) else {
                return;
            };
            self.held.remove(&id);
        }
    }
}
