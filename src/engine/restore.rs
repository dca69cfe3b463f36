//! Reading the journal back: incidents as they were last recorded and decided upon, plans with their
//! doubts. The journal is a stream of any length; what is held of it is bounded.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};

use super::commands::cut_note;
use super::correlate::{self, RESOLVED_MAX, next_phase};
use super::{CheckpointError, Engine};
use crate::model::{
    Actor, Command, EntityId, Finding, FindingId, Incident, IncidentId, Lane, Phase, Record,
    TIMELINE_ENTRIES_MAX, TimelineEntry,
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
    /// Highest numbers given.
    last: u64,
    last_finding: u64,
}

impl Engine {
    /// Gives a fresh engine all that a daemon knew when it began, as the daemon does; an error says that
    /// what was learned cannot be read, and the rest was taken.
    pub fn begin_from<'a, R: Borrow<Record>>(
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
    pub fn restore<R: Borrow<Record>>(&mut self, records: impl IntoIterator<Item = R>) {
        let mut remembered = Remembered::default();
        for record in records {
            let record = record.borrow();
            remembered.take(record);
            if let Record::Label { label } = record {
                self.opinions.put((**label).clone());
            }
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
    }

    fn remember_past(&mut self, incident: &Incident) {
        if incident.phase == Phase::Resolved && incident.merged_into.is_none() {
            let plans = self.plans.of_incident(incident.id);
            self.memory.note(incident, plans);
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
    fn take(&mut self, record: &Record) {
        match record {
            Record::Incident { incident } => self.put(incident),
            Record::Decision {
                by,
                what,
                refused: None,
            } => self.decide(by, what),
            Record::Decision { .. }
            | Record::Started { .. }
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

    fn put(&mut self, incident: &Incident) {
        self.last = self.last.max(incident.id.0);
        let findings = incident.findings.iter().map(|finding| finding.id.0);
        self.last_finding = findings.fold(self.last_finding, u64::max);
        self.resolved += usize::from(incident.phase == Phase::Resolved);
        let before = self.incidents.insert(incident.id, incident.clone());
        self.resolved -= usize::from(before.is_some_and(|b| b.phase == Phase::Resolved));
    }

    /// A decision is durable before the incident is recorded as it became: when the journal ends
    /// between the two, it still counts.
    fn decide(&mut self, by: &Actor, what: &Command) {
        if let Command::NameCause { incident, cause } = what {
            self.causes.insert(*incident, cause.clone());
        }
        let (Command::Acknowledge { incident }
        | Command::Assign { incident, .. }
        | Command::Note { incident, .. }
        | Command::Coordinate { incident, .. }
        | Command::Resolve { incident }
        | Command::Reopen { incident }) = what
        else {
            return;
        };
        let Some(incident) = self.incidents.get_mut(incident) else {
            return;
        };
        let was_resolved = incident.phase == Phase::Resolved;
        let at = incident.updated;
        let event = match what {
            Command::Acknowledge { .. } => {
                incident.owner = Some(by.name.clone());
                Some(correlate::Event::Acknowledge)
            }
            Command::Assign { to, .. } => {
                incident.owner = Some(to.clone());
                None
            }
            Command::Note { text, .. } => {
                tell(incident, &format!("{}: {}", by.name, cut_note(text)));
                None
            }
            Command::Coordinate { act, .. } => {
                // What cannot be made was refused, and changed nothing.
                if let Ok(line) = incident.coordination.apply(at, &by.name, act) {
                    tell(incident, &line);
                }
                None
            }
            Command::Resolve { .. } => {
                incident.resolved = Some(at);
                Some(correlate::Event::Resolve)
            }
            Command::Reopen { .. } => {
                incident.resolved = None;
                incident.mitigated = None;
                let owned = incident.owner.is_some();
                Some(correlate::Event::Reopen { owned })
            }
            _ => None,
        };
        if let Some(phase) = event.and_then(|event| next_phase(incident.phase, event)) {
            incident.phase = phase;
        }
        let is_resolved = incident.phase == Phase::Resolved;
        self.resolved = self.resolved + usize::from(is_resolved) - usize::from(was_resolved);
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

fn tell(incident: &mut Incident, text: &str) {
    if incident.timeline.len() >= TIMELINE_ENTRIES_MAX {
        incident.timeline_dropped += 1;
        return;
    }
    incident.timeline.push(TimelineEntry {
        at: incident.updated,
        lane: Lane::Person,
        entity: None,
        text: text.into(),
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::correlate::UNHEARD_MS;
    use crate::model::{
        Alert, Batch, Change, ChangeKind, Coordinate, Duty, Effect, Fingerprint, Input, Labels,
        Recalled, Refusal, Signal, SourceId, Stamped, SuspectKind, Time,
    };

    const START: Time = Time::from_secs(1_768_392_000);

    /// An engine, its clock and its journal.
    struct Life {
        engine: Engine,
        now: Time,
        journal: Vec<Record>,
    }

    impl Life {
        fn begin() -> Self {
            Self {
                engine: Engine::new(EngineConfig::default(), Vec::new()),
                now: START,
                journal: Vec::new(),
            }
        }

        /// Ends, and begins again from the journal alone a minute later.
        fn restart(&mut self) {
            self.engine = Engine::new(EngineConfig::default(), Vec::new());
            self.engine.restore(&self.journal);
            self.now = self.now.plus_ms(60_000);
        }

        /// Ends, and begins again from the journal and what fired, as the daemon does.
        fn restart_with_alerts(&mut self) {
            let alerts = self.engine.firing_alerts(None, usize::MAX);
            self.restart();
            let recalled = Recalled {
                alerts,
                ..Recalled::default()
            };
            self.step(Input::Recalled(Box::new(recalled)));
        }

        fn step(&mut self, input: Input) {
            let at = self.now;
            let mut effects = Vec::new();
            let stamped = Stamped { seq: 1, at, input };
            self.engine.step(&stamped, &mut effects);
            let records = effects.into_iter().filter_map(|effect| match effect {
                Effect::Record(record) => Some(record),
                _ => None,
            });
            self.journal.extend(records);
        }

        fn alert(&mut self) {
            self.alerts(&["cart"]);
        }

        fn alerts(&mut self, services: &[&str]) {
            let alert = |service: &&str| {
                let pairs = [
                    ("alertname", "Down"),
                    ("service", *service),
                    ("severity", "critical"),
                ];
                let labels = Labels::from_pairs(pairs).unwrap();
                Signal::Alert(Box::new(Alert {
                    fingerprint: Fingerprint::of(&labels),
                    labels,
                    annotations: Labels::empty(),
                    starts_at: START,
                    ends_at: self.now.plus_ms(3_600_000),
                    generator_url: None,
                }))
            };
            let signals = services.iter().map(alert).collect();
            let source = SourceId::new("alerts");
            self.step(Input::Signals(Batch { source, signals }));
        }

        fn ticks(&mut self, seconds: i64) {
            for _ in 0..seconds {
                self.now = self.now.plus_ms(1_000);
                self.step(Input::Tick);
            }
        }

        fn only(&self) -> &Incident {
            let mut rows = self.engine.incident_rows();
            let row = rows.next().expect("it was opened");
            assert!(rows.next().is_none(), "it is the only one");
            self.engine.incident(row.id).expect("it has a row")
        }

        fn says(&self, text: &str) -> usize {
            let timeline = self.only().timeline.iter();
            timeline.filter(|entry| entry.text.contains(text)).count()
        }
    }

    #[test]
    fn a_restart_is_no_recovery() {
        let mut life = Life::begin();
        life.alert();
        life.ticks(10);
        assert_eq!(life.only().phase, Phase::Open);
        life.restart();
        life.ticks(UNHEARD_MS / 1_000 - 1);
        assert_eq!(life.only().phase, Phase::Open, "nobody said it is over");
        // Its sender speaks in time: it is the same alert, counted and told once.
        life.alert();
        life.ticks(UNHEARD_MS / 1_000);
        assert_eq!(life.only().phase, Phase::Open);
        assert_eq!(life.only().impact.alerts_total, 1);
        assert_eq!(life.says("fires"), 1);
        // Another restart, and nobody speaks: it ends, and says why.
        life.restart();
        life.ticks(UNHEARD_MS / 1_000 + 60);
        assert_eq!(life.only().phase, Phase::Mitigated);
        assert_eq!(life.says("nothing was heard of it since the restart"), 1);
        assert_eq!(life.says("back to normal"), 0);
    }

    fn change(life: &mut Life, title: &str, after_s: i64) -> Change {
        let change = Change {
            id: title.into(),
            at: START.plus_ms(after_s * 1_000),
            kind: ChangeKind::Deploy,
            entity: EntityId::parse("service/cart"),
            title: title.into(),
            version: None,
            previous_version: None,
            by: None,
            labels: Labels::empty(),
        };
        let signals = vec![Signal::Change(Box::new(change.clone()))];
        let source = SourceId::new("changes");
        life.step(Input::Signals(Batch { source, signals }));
        change
    }

    #[test]
    fn changes_are_told_at_once_and_once_and_the_right_one_is_blamed() {
        let mut life = Life::begin();
        let before = change(&mut life, "cart v9", -2);
        life.alert();
        life.ticks(20);
        // Another one, during the outage.
        let after = change(&mut life, "cart v10", 15);
        let told = |life: &Life| [life.says("cart v9"), life.says("cart v10")];
        assert_eq!(told(&life), [1, 1]);
        life.ticks(90);
        let blamed = |life: &Life| {
            let hypotheses = life.only().diagnosis.hypotheses.iter();
            let causes = hypotheses.filter_map(|hypothesis| match &hypothesis.cause {
                SuspectKind::Change { title, .. } => Some(title.to_string()),
                _ => None,
            });
            causes.collect::<Vec<_>>()
        };
        assert_eq!(blamed(&life), ["cart v9"]);
        life.restart();
        let recalled = Recalled {
            changes: vec![before, after],
            ..Recalled::default()
        };
        life.step(Input::Recalled(Box::new(recalled)));
        life.alert();
        life.ticks(30);
        assert_eq!(told(&life), [1, 1], "{:#?}", life.only().timeline);
        assert_eq!(blamed(&life), ["cart v9"]);
    }

    #[test]
    fn the_first_change_ends_that_none_are_told() {
        let mut life = Life::begin();
        life.alert();
        life.ticks(30);
        let blind = |life: &Life| {
            let mut not_seen = life.only().diagnosis.not_seen.iter();
            not_seen.any(|line| line.starts_with("no feed of changes"))
        };
        assert!(blind(&life));
        change(&mut life, "cart v9", 25);
        life.ticks(60);
        assert!(!blind(&life));
    }

    #[test]
    fn notes_do_not_write_the_incident_again_and_are_kept_all_the_same() {
        let mut life = Life::begin();
        life.alert();
        life.ticks(120);
        let incident = life.only().id;
        let recorded = |life: &Life| {
            let journal = life.journal.iter();
            journal
                .filter(|record| matches!(record, Record::Incident { .. }))
                .count()
        };
        let before = recorded(&life);
        let note = |life: &mut Life, n: usize| {
            let by = Actor {
                name: "mia".to_owned(),
                role: crate::model::Role::Responder,
            };
            let text = format!("note {n}.");
            let what = Command::Note { incident, text };
            life.step(Input::Command { by, what });
        };
        (0..50).for_each(|n| note(&mut life, n));
        assert_eq!(recorded(&life), before);
        life.ticks(60);
        assert_eq!(recorded(&life), before + 1, "once for all of them");
        note(&mut life, 50);
        life.restart();
        let told: Vec<usize> = (0..51).map(|n| life.says(&format!("note {n}."))).collect();
        assert_eq!(told, [1; 51]);
    }

    #[test]
    fn who_does_what_outlives_a_restart_and_what_cannot_be_is_refused() {
        let mut life = Life::begin();
        life.alert();
        life.ticks(10);
        let incident = life.only().id;
        let arrange = |life: &mut Life, act: Coordinate| {
            let by = Actor {
                name: "mia".to_owned(),
                role: crate::model::Role::Responder,
            };
            let what = Command::Coordinate { incident, act };
            life.step(Input::Command { by, what });
        };
        let (duty, who) = (Duty::Scribe, Some("ole".to_owned()));
        arrange(&mut life, Coordinate::Duty { duty, who });
        arrange(&mut life, Coordinate::task("call the vendor @mia in 15m"));
        let (task, done) = (9, true);
        arrange(&mut life, Coordinate::Done { task, done });
        let refused = life.journal.iter().filter(|record| {
            matches!(record, Record::Decision { refused: Some(Refusal::State { why, .. }), .. }
                if why == "there is no task 9")
        });
        assert_eq!(refused.count(), 1);
        let before = life.only().coordination.clone();
        assert_eq!(before.duties[&duty], "ole");
        assert_eq!(before.tasks.len(), 1);
        for _ in 0..2 {
            life.restart();
            let after = &life.only().coordination;
            assert_eq!((&after.duties, after.tasks.len()), (&before.duties, 1));
            assert_eq!(life.says("task 1 for mia: call the vendor"), 1);
            life.ticks(120);
        }
    }

    #[test]
    fn an_alert_that_fires_still_fires_after_a_restart() {
        let mut life = Life::begin();
        life.alert();
        life.ticks(10);
        let told = |life: &Life| -> Vec<_> {
            let mut rows = life.engine.firing_alerts(None, usize::MAX);
            for held in &mut rows {
                held.alert.ends_at = Time::ZERO;
            }
            rows
        };
        let before = told(&life);
        for _ in 0..2 {
            life.restart_with_alerts();
            // Nobody speaks: its sender repeats it every hour.
            life.ticks(UNHEARD_MS / 1_000 + 120);
            assert_eq!(life.only().phase, Phase::Open);
            assert_eq!(life.only().impact.alerts_firing, 1);
            assert_eq!(life.only().impact.alerts_total, 1);
            assert_eq!(life.says("fires"), 1);
            assert_eq!(told(&life), before, "when it came is not forgotten");
        }
        assert_eq!(life.engine.corrections().count(), 0);
        // Its end comes as it was told, an hour after it was sent.
        life.ticks(3_600);
        assert_eq!(life.only().phase, Phase::Resolved);
        assert_eq!(life.says("nothing was heard of it since the restart"), 0);
        // What ended while nobody listened waits for its sender instead.
        life.restart_with_alerts();
        assert_eq!(life.engine.alerts_held(), 0);
    }

    #[test]
    fn the_alerts_of_one_incident_are_one_incident_after_a_restart() {
        let mut life = Life::begin();
        life.alerts(&["cart", "pay"]);
        life.ticks(10);
        life.alerts(&["mail"]);
        life.ticks(60);
        assert_eq!(life.only().impact.alerts_firing, 3);
        for _ in 0..2 {
            life.restart_with_alerts();
            life.ticks(UNHEARD_MS / 1_000 + 120);
            assert_eq!(life.only().impact.alerts_firing, 3);
            assert_eq!(life.only().phase, Phase::Open);
        }
    }

    #[test]
    fn what_was_merged_stays_merged() {
        let opened = |id: u64, entity: &str| {
            let at = START.plus_ms(id as i64);
            Incident::opened(IncidentId(id), EntityId::parse(entity), at, at)
        };
        let merged = Incident {
            phase: Phase::Resolved,
            merged_into: Some(IncidentId(1)),
            ..opened(2, "shop")
        };
        let journal = [opened(1, "cart"), merged].map(|incident| Record::Incident {
            incident: Box::new(incident),
        });
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        engine.restore(&journal);
        let rows: Vec<_> = engine.incident_rows().map(|row| row.id.0).collect();
        assert_eq!(rows, [1]);
        assert_eq!(engine.correlator.home(IncidentId(2)), IncidentId(1));
    }
}
