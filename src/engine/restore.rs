//! Reading the journal back: incidents as they were last recorded and decided upon, plans with their
//! doubts. The journal is a stream of any length; what is held of it is bounded.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use super::commands::cut_note;
use super::correlate::{self, RESOLVED_MAX, next_phase, tell_restart};
use super::owners::has_taken;
use super::{CheckpointError, Engine};
use crate::model::{
    ASSIGNED_TO, Actor, Command, Dated, EntityId, Finding, FindingId, Incident, IncidentId, Lane,
    Phase, Record, TAKEN_BY, Time,
};

/// Resolved incidents held before all but the latest are let go.
const RESOLVED_HELD_MAX: usize = 8 * RESOLVED_MAX;

/// Incidents of the part of the journal that was read.
#[derive(Default)]
struct Remembered {
    incidents: BTreeMap<IncidentId, Incident>,
    resolved: usize,
    /// What people found out afterwards.
    causes: BTreeMap<IncidentId, Option<EntityId>>,
    /// Merges and splits of which not all was recorded yet, and who decided them.
    regrouped: Vec<(Actor, Command)>,
    /// Highest numbers given.
    last: u64,
    last_finding: u64,
}

impl Engine {
    /// Gives a fresh engine all that a daemon knew when it began, as the daemon does; an error says that
    /// what was learned cannot be read, and the rest was taken.
    pub fn begin_from<'a, R: Borrow<Dated>>(
        &mut self,
        learned: Option<(u32, impl IntoIterator<Item = &'a [u8]>)>,
        records: impl IntoIterator<Item = R>,
    ) -> Result<(), CheckpointError> {
        let learned = learned.map(|(version, parts)| self.restore_checkpoint(version, parts));
        self.restore(records);
        // The alerts that fired then are the first input.
        learned.transpose().map(|_| ())
    }

    /// Rebuilds incidents and plans from the journal, oldest record first. Runs with an intent and no
    /// result become `Unknown`. Call on a fresh engine, before the first step.
    pub fn restore<R: Borrow<Dated>>(&mut self, records: impl IntoIterator<Item = R>) {
        let mut remembered = Remembered::default();
        for dated in records {
            let Dated { at, record } = dated.borrow();
            remembered.take(*at, record);
            if let Record::Label { label } = record {
                self.opinions.put((**label).clone());
            }
            self.restore_bonds(*at, record);
            if let Record::Silence { silence } = record {
                self.restore_silence(silence);
            }
            for incident in remembered.excess(RESOLVED_HELD_MAX) {
                self.remember_past(&incident);
            }
            self.plans.restore(record);
        }
        // As many as are kept, whatever the journal held besides.
        for incident in remembered.excess(RESOLVED_MAX) {
            self.remember_past(&incident);
        }
        self.plans.restored();
        self.findings
            .resume_after(FindingId(remembered.last_finding));
        self.correlator
            .book
            .resume_after(IncidentId(remembered.last));
        let regrouped = std::mem::take(&mut remembered.regrouped);
        for (_, what) in &regrouped {
            remembered.rejoin(what);
        }
        for incident in remembered.incidents.into_values() {
            if let Some(kept) = incident.merged_into {
                self.correlator.restore_merged(incident.id, kept);
                self.plans.follow(incident.id, kept);
                continue;
            }
            self.remember_past(&incident);
            self.told.restore(&incident);
            self.restore_incident(incident);
        }
        // Also of incidents that had left the book when somebody found out.
        for (incident, cause) in remembered.causes {
            self.memory.label(incident, cause.as_ref());
        }
        self.silences_restored();
        // Decided, and then the journal ended.
        for (by, what) in regrouped {
            if self.may(&by, &what).is_ok() {
                // Whether it may be was asked.
                let _ = self.decide(&by, &what);
            }
        }
    }

    /// What people said of two incidents teaches, also long after both left the view.
    fn restore_bonds(&mut self, at: Time, record: &Record) {
        let bonds = &mut self.correlator.bonds;
        match record {
            Record::Incident { incident } => {
                for said in &incident.regrouped {
                    bonds.learn(incident.id, said);
                }
            }
            Record::Decision {
                by,
                what: Command::Forget { one, other },
                refused: None,
            } => {
                bonds.forget(one, other, &by.name, at);
            }
            _ => {}
        }
    }

    fn remember_past(&mut self, incident: &Incident) {
        if incident.phase == Phase::Resolved && incident.merged_into.is_none() {
            let plans = self.plans.of_incident(incident.id);
            self.memory.note(incident, plans);
            self.opinions.note(incident);
        }
    }

    /// Signals are not kept in the journal: whatever was abnormal counts as over until it is seen
    /// again, and then finds its incident by its entity.
    fn restore_incident(&mut self, mut incident: Incident) {
        self.now = self.now.max(incident.updated);
        let updated = incident.updated;
        let mut onsets = BTreeMap::new();
        let speak: BTreeSet<_> = incident.findings.iter().map(|f| f.entity.clone()).collect();
        // What tells nothing of itself has its findings made by those who call it.
        let sick = |finding: &Finding| match &finding.callee {
            Some(callee) if !speak.contains(callee) => callee.clone(),
            _ => finding.entity.clone(),
        };
        let mut members = BTreeSet::new();
        for finding in &mut incident.findings {
            let entity = self.entities.intern(&sick(finding));
            members.insert(entity);
            if finding.is_open() {
                let onset = onsets.entry(entity).or_insert(finding.since);
                *onset = finding.since.min(*onset);
            }
            finding.ended.get_or_insert(updated);
        }
        incident.impact.findings_open = 0;
        incident.impact.alerts_firing = 0;
        let root = self.entities.intern(&incident.entity);
        members.insert(root);
        let recorded = incident.members.iter();
        members.extend(recorded.map(|member| self.entities.intern(member)));
        self.correlator.restore(incident, members, onsets, root);
    }
}

impl Remembered {
    fn take(&mut self, at: Time, record: &Record) {
        match record {
            Record::Incident { incident } => self.put(incident),
            Record::Decision {
                by,
                what,
                refused: None,
            } => self.decide(at, by, what),
            Record::Started { at, found, .. } if found.is_empty() => self.restarted(*at),
            // What a start found is written before the start itself.
            Record::Started { .. }
            | Record::Decision { .. }
            | Record::ClockSetBack { .. }
            | Record::Silence { .. }
            | Record::Plan { .. }
            | Record::Intent { .. }
            | Record::Result { .. } => {}
            // A finding of no incident is named by its label only; its number is taken.
            Record::Label { label } => {
                self.last_finding = self.last_finding.max(label.finding.0);
            }
        }
    }

    /// Gives back what an incident lost to another that was never recorded: it is split again.
    fn rejoin(&mut self, what: &Command) {
        if let Command::Split { incident, entities } = what
            && let Some(incident) = self.incidents.get_mut(incident)
        {
            let members = &mut incident.members;
            let lost = entities.iter().filter(|entity| !members.contains(entity));
            let lost: Vec<EntityId> = lost.cloned().collect();
            members.extend(lost);
        }
    }

    fn put(&mut self, incident: &Incident) {
        self.last = self.last.max(incident.id.0);
        self.regrouped.retain(|(_, what)| match what {
            // What took its members is recorded before it.
            Command::Merge { incident: gone, .. } => {
                *gone != incident.id || incident.merged_into.is_none()
            }
            // It is done when what was split off is recorded: that follows what it was split off.
            Command::Split {
                incident: from,
                entities,
            } => {
                let is_root =
                    |root: &EntityId| incident.entity == *root || incident.members.contains(root);
                incident.id <= *from || !entities.first().is_some_and(is_root)
            }
            _ => true,
        });
        let findings = incident.findings.iter().map(|finding| finding.id.0);
        self.last_finding = findings.fold(self.last_finding, u64::max);
        self.resolved += usize::from(incident.phase == Phase::Resolved);
        let before = self.incidents.insert(incident.id, incident.clone());
        self.resolved -= usize::from(before.is_some_and(|b| b.phase == Phase::Resolved));
    }

    /// A decision is durable before the incident is recorded as it became: when the journal ends
    /// between the two, it still counts.
    fn decide(&mut self, at: Time, by: &Actor, what: &Command) {
        if let Command::NameCause {
            incident, cause, ..
        } = what
        {
            self.causes.insert(*incident, cause.clone());
        }
        if matches!(what, Command::Merge { .. } | Command::Split { .. }) {
            self.regrouped.push((by.clone(), what.clone()));
        }
        let (Command::Acknowledge { incident }
        | Command::Assign { incident, .. }
        | Command::Note { incident, .. }
        | Command::Coordinate { incident, .. }
        | Command::NameCause { incident, .. }
        | Command::Resolve { incident }
        | Command::Reopen { incident }) = what
        else {
            return;
        };
        let Some(incident) = self.incidents.get_mut(incident) else {
            return;
        };
        let was_resolved = incident.phase == Phase::Resolved;
        // Old recordings do not tell when.
        let at = if at == Time::ZERO {
            incident.updated
        } else {
            at
        };
        // What was theirs already did not change.
        if matches!(what, Command::Acknowledge { .. }) && has_taken(incident, by) {
            return;
        }
        let (event, line) = done_again(incident, at, &by.name, what);
        if let Some(line) = line {
            incident.tell(at, Lane::Person, None, &line);
        }
        incident.updated = incident.updated.max(at);
        if let Some(phase) = event.and_then(|event| next_phase(incident.phase, event)) {
            incident.phase = phase;
        }
        let is_resolved = incident.phase == Phase::Resolved;
        self.resolved = self.resolved + usize::from(is_resolved) - usize::from(was_resolved);
    }

    /// A daemon started, and wrote no incident again since.
    fn restarted(&mut self, at: Time) {
        let is_awaited = |incident: &&mut Incident| {
            matches!(incident.phase, Phase::Open | Phase::Acknowledged)
                && incident.merged_into.is_none()
        };
        for incident in self.incidents.values_mut().filter(is_awaited) {
            tell_restart(incident, at);
        }
    }

    /// Resolved incidents beyond those that the engine keeps, once there are many; the journal keeps all.
    fn excess(&mut self, held_max: usize) -> Vec<Incident> {
        if self.resolved <= held_max {
            return Vec::new();
        }
        let resolved = self.incidents.values();
        let mut resolved: Vec<_> = resolved
            .filter(|incident| incident.phase == Phase::Resolved)
            .map(|incident| (incident.resolved, incident.id))
            .collect();
        resolved.sort_unstable();
        let excess = resolved.len().saturating_sub(RESOLVED_MAX);
        self.resolved -= excess;
        let oldest = resolved[..excess].iter();
        oldest
            .filter_map(|(_, id)| self.incidents.remove(id))
            .collect()
    }
}

/// Does to an incident what a person had decided about it, but for its phase: what moves that, and the line
/// of the timeline.
fn done_again(
    incident: &mut Incident,
    at: Time,
    name: &str,
    what: &Command,
) -> (Option<correlate::Event>, Option<String>) {
    match what {
        Command::Acknowledge { .. } => {
            incident.give(name, at);
            let line = format!("{TAKEN_BY}{name}");
            (Some(correlate::Event::Acknowledge), Some(line))
        }
        Command::Assign { to, .. } => {
            incident.give(to, at);
            (None, Some(format!("{name}{ASSIGNED_TO}{to}")))
        }
        Command::Note { text, .. } => (None, Some(format!("{name}: {}", cut_note(text)))),
        Command::Coordinate { act, .. } => {
            // What cannot be made was refused, and changed nothing.
            (None, incident.coordination.apply(at, name, act).ok())
        }
        Command::NameCause { cause, change, .. } => {
            let line = incident.find_cause(at, name, cause.as_ref(), change.as_deref());
            (None, Some(line))
        }
        Command::Resolve { .. } => {
            incident.resolved = Some(at);
            let line = format!("resolved by {name}");
            (Some(correlate::Event::Resolve), Some(line))
        }
        Command::Reopen { .. } => {
            incident.lasts_again(at);
            let owned = incident.owner.is_some();
            let line = format!("reopened by {name}");
            (Some(correlate::Event::Reopen { owned }), Some(line))
        }
        _ => (None, None),
    }
}

#[cfg(test)]
mod regrouped_tests;
#[cfg(test)]
mod tests;
