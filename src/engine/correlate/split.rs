//! One incident in which two causes are at work becomes two.
//!
//! Members with a cause of their own ([`super::causes`]) are the roots; every other member goes to the
//! root that explains it at the least cost: steps along dependencies, and time since that root began.
//! The larger part keeps the incident's number. Never looks at more than a bounded number of
//! incidents and members, and leaves alone what a plan is acting upon.

use std::collections::{BTreeMap, BTreeSet};

use super::causes::{Evidence, OwnCause};
use super::held::{AlertNews, Held};
use super::merge::Merger;
use super::shares::{Shares, shares};
use super::{Correlator, World};
use crate::engine::entities::EntityIx;
use crate::model::{FindingId, Fingerprint, IncidentId, Lane, Time, counted};

/// Incidents looked at in one round.
const INCIDENTS_MAX: usize = 64;
/// Incidents older than this are what they are, in milliseconds.
const YOUNG_MS: i64 = 30 * 60_000;
/// An incident is split while one of its causes began within this long, in milliseconds: what was usual
/// before older ones is hardly known any more, and people have read who belongs where.
const NEW_MS: i64 = 10 * 60_000;
/// Members of one incident looked at.
const MEMBERS_MAX: usize = 400;
/// Causes told apart in one incident.
const ROOTS_MAX: usize = 8;
/// A step from a sick dependency up to who depends on it.
const UP_COST: f64 = 1.0;
/// A step down, to who gets other work from a sick caller.
const DOWN_COST: f64 = 2.5;
/// One step's worth of time between a cause and what it explains, in milliseconds.
const LAG_MS: f64 = 10_000.0;
/// Time costs at most this much: cascades are slow.
const LAG_COST_MAX: f64 = 6.0;
/// A cause that explains less of a member's harm than this explains nothing.
const SHARE_MIN: f64 = 0.1;
/// A member changes over to a cause that explains this much of its harm …
const MOVE_SHARE_MIN: f64 = 0.25;
/// … and as many times as much as the cause it is counted to.
const MOVE_TIMES_MIN: f64 = 1.5;
/// What fell sick this much before a cause began is not its doing, in milliseconds.
const EARLIER_MS: i64 = 30_000;

/// A root with the members it explains best.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    root: EntityIx,
    cause: OwnCause,
    members: BTreeSet<EntityIx>,
}

impl Correlator {
    /// Splits young incidents that have more than one cause.
    pub(super) fn split(&mut self, world: &mut World<'_>) {
        let young: Vec<IncidentId> = self
            .book
            .young(world.now.plus_ms(-YOUNG_MS))
            .filter(|held| held.members.len() > 1 && !held.is_pinned)
            .filter(|held| !world.settling.contains(&held.incident.id))
            .take(INCIDENTS_MAX)
            .map(|held| held.incident.id)
            .collect();
        for id in young {
            let Some(parts) = self.parts_of(id, world) else {
                continue;
            };
            let main = parts
                .iter()
                .max_by_key(|part| (part.members.len(), std::cmp::Reverse(part.cause.since)))
                .map(|part| part.root);
            for part in parts {
                if Some(part.root) == main {
                    if let Some(held) = self.book.get_mut(id) {
                        held.root = part.root;
                    }
                } else {
                    self.splits += 1;
                    let why = (&*part.cause.why, Lane::Automation);
                    self.split_off(id, part.root, &part.members, why, world);
                }
            }
        }
    }

    /// The causes in an incident with what each explains, when there are two or more.
    fn parts_of(&self, id: IncidentId, world: &World<'_>) -> Option<Vec<Part>> {
        let held = self.book.get(id)?;
        let evidence = self.evidence(world);
        let mut parts: Vec<Part> = Vec::new();
        for &member in held.members.iter().take(MEMBERS_MAX) {
            let Some(cause) = self.causes.get(&member).cloned() else {
                continue;
            };
            if !cause.is_sure(world.now) {
                continue;
            }
            let is_known = cause.change.is_some()
                && parts.iter().any(|part| part.cause.change == cause.change);
            if !is_known {
                let members = BTreeSet::from([member]);
                parts.push(Part {
                    root: member,
                    cause,
                    members,
                });
            }
        }
        parts.sort_by_key(|part| (part.cause.since, part.root));
        parts.truncate(ROOTS_MAX);
        let new = world.now.plus_ms(-NEW_MS);
        if parts.len() < 2 || parts.iter().all(|part| part.cause.since < new) {
            return None;
        }
        let costs: Vec<BTreeMap<EntityIx, f64>> = parts
            .iter()
            .map(|part| costs_from(part, held, evidence))
            .collect();
        let home = parts
            .iter()
            .position(|part| part.root == held.root)
            .unwrap_or(0);
        let roots: BTreeSet<EntityIx> = parts.iter().map(|part| part.root).collect();
        let in_order: Vec<EntityIx> = parts.iter().map(|part| part.root).collect();
        let shares = shares(
            &in_order,
            &held.members,
            parts[0].cause.since,
            world.now,
            evidence,
        );
        for &member in held.members.iter().filter(|member| !roots.contains(member)) {
            let near = costs
                .iter()
                .enumerate()
                .filter_map(|(at, costs)| Some((at, *costs.get(&member)?)))
                .min_by(|a, b| a.1.total_cmp(&b.1))
                .map(|(at, _)| at);
            let owed = shares
                .get(&member)
                .into_iter()
                .flatten()
                .enumerate()
                .filter(|(at, share)| **share >= SHARE_MIN && costs[*at].contains_key(&member))
                .max_by(|a, b| a.1.total_cmp(b.1))
                .map(|(at, _)| at);
            parts[owed.or(near).unwrap_or(home)].members.insert(member);
        }
        Some(parts)
    }

    /// Makes some members of an incident an incident of their own; its id, if there was such a one. Told in
    /// the lane of whose decision it is.
    pub(super) fn split_off(
        &mut self,
        from: IncidentId,
        root: EntityIx,
        members: &BTreeSet<EntityIx>,
        (why, lane): (&str, Lane),
        world: &mut World<'_>,
    ) -> Option<IncidentId> {
        let now = world.now;
        let names = self.book.get(from)?.members.len();
        let began = self.conditions.get(root).map_or(now, |c| c.onset);
        let entity = world.entities.id(root).clone();
        let id = self.book.open(root, entity, began, now);
        for &member in members {
            let reason = if member == root {
                why.to_owned()
            } else {
                let (member, root) = (world.entities.id(member), world.entities.id(root));
                format!("{} fits {} better", member.name(), root.name())
            };
            self.become_member(member, id, &reason, world);
        }
        let split = |other: IncidentId| format!("split from {other}: {why}");
        let text = self.hand_over(from, id, members, why, world);
        if let Some(held) = self.book.get_mut(id) {
            held.tell(now, lane, None, &split(from));
        }
        if let Some(held) = self.book.get_mut(from) {
            let text = format!(
                "{} of {}, {text}",
                members.len(),
                counted(names as u64, "entity", "entities")
            );
            held.tell(now, lane, None, &text);
            held.note_reason(&text);
        }
        self.book.record(from);
        self.book.record(id);
        Some(id)
    }

    /// Members whose harm another young incident's cause explains go there: whoever fell sick before
    /// that cause was seen was counted to another. An incident without a cause of its own that is mostly
    /// explained so is part of the other one.
    pub(super) fn change_over(&mut self, world: &mut World<'_>) {
        let mut homes: Vec<(EntityIx, IncidentId)> = Vec::new();
        let mut members: BTreeSet<EntityIx> = BTreeSet::new();
        let mut began = world.now;
        let young = self.book.young(world.now.plus_ms(-YOUNG_MS));
        for held in young
            .filter(|held| held.is_open() && !held.is_pinned)
            .filter(|held| !world.settling.contains(&held.incident.id))
            .take(INCIDENTS_MAX)
        {
            members.extend(held.members.iter().take(MEMBERS_MAX));
            let sure = |member: &EntityIx| {
                let cause = self.causes.get(member)?;
                cause.is_sure(world.now).then_some((*member, cause))
            };
            let cause = sure(&held.root).or_else(|| {
                let members = held.members.iter().take(MEMBERS_MAX).filter_map(sure);
                members.min_by_key(|(member, cause)| (cause.since, *member))
            });
            if let Some((root, cause)) = cause
                && homes.len() < ROOTS_MAX
            {
                homes.push((root, held.incident.id));
                began = began.min(cause.since);
            }
        }
        if homes.is_empty() {
            return;
        }
        let roots: Vec<EntityIx> = homes.iter().map(|(root, _)| *root).collect();
        let shares = shares(&roots, &members, began, world.now, self.evidence(world));
        for ((from, to), moved) in self.misplaced(&homes, &shares) {
            if self.keeps_apart(from, to, world.entities) {
                continue;
            }
            let (Some(source), Some(target)) = (self.book.get(from), self.book.get(to)) else {
                continue;
            };
            let (size, root) = (source.members.len(), target.root);
            let has_a_cause = source
                .members
                .iter()
                .any(|member| self.is_cause(*member, world.now));
            let why = format!("{} explains them better", world.entities.id(root).name());
            if homes.iter().any(|(_, id)| *id == from) {
                self.move_over(from, to, &moved, &why, world);
            } else if 2 * moved.len() > size && !source.is_pinned && !has_a_cause {
                let (kept, merged) = (from.min(to), from.max(to));
                self.merge(kept, merged, root, Merger::OneCause, world);
            }
        }
    }

    /// Whether an entity surely has a cause of its own.
    fn is_cause(&self, entity: EntityIx, now: Time) -> bool {
        let cause = self.causes.get(&entity);
        cause.is_some_and(|cause| cause.is_sure(now))
    }

    fn move_over(
        &mut self,
        from: IncidentId,
        to: IncidentId,
        moved: &BTreeSet<EntityIx>,
        why: &str,
        world: &mut World<'_>,
    ) {
        for &member in moved {
            self.become_member(member, to, why, world);
        }
        let text = self.hand_over(from, to, moved, why, world);
        if let Some(held) = self.book.get_mut(from) {
            let entities = counted(moved.len() as u64, "entity", "entities");
            held.note_reason(&format!("{entities}, {text}"));
        }
        self.book.record(from);
        self.book.record(to);
    }

    /// Members that owe their harm to the cause of another incident, by where they are and belong.
    fn misplaced(
        &self,
        homes: &[(EntityIx, IncidentId)],
        shares: &Shares,
    ) -> BTreeMap<(IncidentId, IncidentId), BTreeSet<EntityIx>> {
        let mut misplaced: BTreeMap<(IncidentId, IncidentId), BTreeSet<EntityIx>> = BTreeMap::new();
        for (member, shares) in shares {
            let Some(from) = self.conditions.get(*member).and_then(|c| c.incident) else {
                continue;
            };
            let best = shares.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
            let Some((best, share)) = best else {
                continue;
            };
            let (_, to) = homes[best];
            let at_home = homes.iter().position(|(_, id)| *id == from);
            let owed_at_home = at_home.map_or(0.0, |home| shares[home]);
            let is_surer = *share >= MOVE_SHARE_MIN && *share >= MOVE_TIMES_MIN * owed_at_home;
            let is_root = homes.iter().any(|(root, _)| root == member);
            if to != from && is_surer && !is_root {
                misplaced.entry((from, to)).or_default().insert(*member);
            }
        }
        misplaced
    }

    /// Findings and alerts of members go with them; says so.
    fn hand_over(
        &mut self,
        from: IncidentId,
        to: IncidentId,
        members: &BTreeSet<EntityIx>,
        why: &str,
        world: &mut World<'_>,
    ) -> String {
        let findings = self.move_findings(from, to, members, world);
        let alerts = self.move_alerts(from, to, members, world);
        if let Some(held) = self.book.get_mut(from) {
            held.leave(members);
        }
        let findings = counted(findings as u64, "finding", "findings");
        let alerts = counted(alerts as u64, "alert", "alerts");
        format!("{findings} and {alerts} belong to {to} now: {why}")
    }

    /// Findings that last go with their entities; how many.
    fn move_findings(
        &mut self,
        from: IncidentId,
        to: IncidentId,
        members: &BTreeSet<EntityIx>,
        world: &mut World<'_>,
    ) -> usize {
        let moved: Vec<FindingId> = members
            .iter()
            .filter_map(|member| self.conditions.get(*member))
            .flat_map(|condition| condition.findings.iter().copied())
            .collect();
        for &finding in &moved {
            world.findings.attach(finding, to);
            self.update_finding(to, finding, world);
        }
        if let Some(held) = self.book.get_mut(from) {
            held.give_findings(&moved);
        }
        moved.len()
    }

    /// Alerts go with their entities; how many.
    fn move_alerts(
        &mut self,
        from: IncidentId,
        to: IncidentId,
        members: &BTreeSet<EntityIx>,
        world: &mut World<'_>,
    ) -> usize {
        let of_members: Vec<Fingerprint> = world
            .alerts
            .of_incident(from, None)
            .filter(|fingerprint| {
                let alert = world.alerts.get(*fingerprint);
                alert.is_some_and(|alert| members.contains(&alert.entity))
            })
            .collect();
        for &fingerprint in &of_members {
            let counts = world.alerts.counts_as_firing(fingerprint);
            let Some(alert) = world.alerts.get(fingerprint) else {
                continue;
            };
            let (name, entity) = (alert.name(), world.entities.id(alert.entity).clone());
            if let Some(held) = self.book.get_mut(from) {
                held.give_alert(fingerprint, counts);
            }
            if let Some(held) = self.book.get_mut(to) {
                let news = AlertNews {
                    is_new: true,
                    name,
                    summary: &alert.summary,
                    entity: entity.clone(),
                    severity: alert.severity,
                    since: alert.onset,
                    began_before: alert.starts_at < alert.onset,
                    came: alert.came(),
                };
                held.put_alert(fingerprint, news, world.now);
                if !counts {
                    held.end_alert(name, entity, alert.ends_at);
                }
            }
            world.alerts.attach(fingerprint, to);
        }
        of_members.len()
    }
}

/// What it costs to explain each member of an incident by the root of a part.
fn costs_from(part: &Part, held: &Held, evidence: Evidence<'_>) -> BTreeMap<EntityIx, f64> {
    let mut costs: BTreeMap<EntityIx, f64> = BTreeMap::new();
    // Bounded and small: the nearest node is looked for among those reached, not kept in a heap.
    let mut open: BTreeMap<EntityIx, f64> = BTreeMap::from([(part.root, 0.0)]);
    while let Some((&at, &cost)) = open.iter().min_by(|a, b| a.1.total_cmp(b.1)) {
        open.remove(&at);
        costs.insert(at, cost);
        let up = evidence
            .topology
            .callers(at)
            .iter()
            .map(|to| (*to, UP_COST));
        let down = evidence
            .topology
            .callees(at)
            .iter()
            .map(|to| (*to, DOWN_COST));
        for (next, step) in up.chain(down) {
            let may_pass = held.members.contains(&next) || !evidence.entities.has_series(next);
            let is_new = !costs.contains_key(&next);
            if may_pass && is_new && costs.len() + open.len() < 2 * MEMBERS_MAX {
                let known = open.entry(next).or_insert(f64::INFINITY);
                *known = known.min(cost + step);
            }
        }
    }
    costs.retain(|member, cost| {
        let Some(condition) = evidence.conditions.get(*member) else {
            return false;
        };
        let lag_ms = condition.onset.since(part.cause.since);
        *cost += lag_cost(lag_ms);
        lag_ms >= -EARLIER_MS
    });
    costs
}

/// Late is dear, and too early as well: the nearest cause in time explains best.
fn lag_cost(lag_ms: i64) -> f64 {
    let steps = lag_ms.abs() as f64 / LAG_MS;
    if lag_ms < 0 {
        2.0 * steps
    } else {
        steps.min(LAG_COST_MAX)
    }
}
