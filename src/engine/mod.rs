//! The pure core: [`Engine::step`] turns one stamped input into effects.
//!
//! In the order a signal meets them: `intake` (which series and entity), `detect`, `logs`, `traces` and
//! `silence` (is this odd), `findings` (one for each odd thing), `hold` (is it told now), `correlate` (incidents), `case` and
//! `diagnose` (why), `plans` (what to do about it).
//!
//! It never does I/O, reads a clock, starts a thread or draws randomness, and it never iterates a
//! hash map: the same inputs give the same effects, byte for byte.

mod absence;
mod alerts;
mod around;
mod around_changes;
mod arrivals;
#[cfg(test)]
mod backfill_tests;
mod blind_spots;
mod calls;
mod case;
mod changes;
mod checkpoint;
mod clocks;
mod commands;
mod correlate;
mod cusum;
mod deaf;
mod deliveries;
pub mod detect;
pub mod diagnose;
#[cfg(test)]
mod dice;
mod distribution;
mod entities;
mod essentials;
mod explain;
mod feedback;
mod feeds;
mod findings;
mod forecast;
mod gone;
pub mod govern;
mod histograms;
mod history;
mod hold;
mod ingest;
mod intake;
mod judge;
mod lapses;
mod ledger;
pub mod logs;
mod memory;
mod missed;
mod owners;
mod panels;
pub mod plans;
mod pressure;
pub mod propose;
mod ratios;
pub mod raw_lines;
mod recalled;
pub mod recorded;
mod recovery;
mod refusals;
mod requests;
mod restore;
mod retire;
mod roles;
pub mod saga;
mod set_back;
mod signs;
mod silence;
mod slo;
mod speakers;
mod sustained;
mod tell;
mod topology;
mod traces;
mod unheard;
mod why;
mod why_names;
mod why_other;

use std::collections::BTreeSet;

use crate::config::EngineConfig;
use crate::model::{
    Counts, Delta, Diagnosis, Edge, Effect, Entity, EntityHealth, EntityId, Finding, Health,
    Incident, IncidentId, IncidentRow, Input, Plan, PlanId, Process, Provenance, Record, RunId,
    Runbook, Stamped, Time,
};
use alerts::{AlertChange, Alerts, Twins};
use blind_spots::BlindSpots;
use changes::Changes;
use clocks::Clocks;
use correlate::{Correlator, Every};
use diagnose::Witness;
use entities::Entities;
use feedback::Opinions;
use findings::Findings;
use forecast::Forecasts;
use histograms::Histograms;
use hold::Holds;
use intake::Intake;
use judge::Odd;
use logs::LogWatch;
use memory::Memory;
use plans::Plans;
use pressure::Pressure;
use ratios::Ratios;
use refusals::Refusals;
use silence::SilenceWatch;
use slo::Slos;
use speakers::Speakers;
use tell::Told;
use topology::Topology;
use traces::Traces;
use unheard::Senders;

pub use checkpoint::{CHECKPOINT_VERSION, CheckpointCursor, CheckpointError};
pub use essentials::Essentials;
pub use refusals::{Corrected, Refused};
pub use set_back::CLOCK_BACK_MS_MAX;

/// How often an incident is diagnosed that keeps changing, and one that is young.
const DIAGNOSE_EVERY: Every = Every {
    changed_ms: 5_000,
    young_ms: 30_000,
};
/// After this long the signals of a fault are no longer fresh, in milliseconds: baselines and windows
/// have begun to take it for normal, so that evidence fades though nothing changed.
const FRESH_MS: i64 = 10 * 60_000;
/// Incidents diagnosed in one step at most; the others wait for the next tick.
const DIAGNOSED_PER_STEP_MAX: usize = 8;
/// Old changes, examples and incidents are looked for this often, in milliseconds.
const HOUSEKEEPING_MS: i64 = 60_000;

/// The engine. One instance judges one environment; one thread owns it.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    now: Time,
    seq: u64,
    entities: Entities,
    topology: Topology,
    intake: Intake,
    odd: Odd,
    silence: SilenceWatch,
    blind_spots: BlindSpots,
    slos: Slos,
    forecasts: Forecasts,
    ratios: Ratios,
    histograms: Histograms,
    logs: LogWatch,
    seen_logs: bool,
    traces: Traces,
    /// What requests leave behind.
    witness: Witness,
    alerts: Alerts,
    /// Those that two sources tell.
    twins: Twins,
    /// Who sends them.
    senders: Senders,
    holds: Holds,
    changes: Changes,
    findings: Findings,
    opinions: Opinions,
    correlator: Correlator,
    told: Told,
    /// Incidents that are over.
    memory: Memory,
    plans: Plans,
    /// Incidents whose signals are in motion because of a plan, as of the last tick.
    settling: BTreeSet<IncidentId>,
    refusals: Refusals,
    /// The same, and more, of each entity.
    speakers: Speakers,
    clocks: Clocks,
    pressure: Pressure,
    signals: u64,
    /// Totals as consoles hold them.
    counts: Counts,
    housekept: Time,
    /// Time of the last tick.
    ticked: Time,
    /// When entities without a use were last looked for.
    swept: Time,
    /// Series retired since the start.
    retired: u64,
}

impl Engine {
    /// A fresh engine that knows nothing but what the config declares.
    pub fn new(config: EngineConfig, runbooks: Vec<Runbook>) -> Self {
        let mut entities = Entities::default();
        entities.keep_labels(runbooks.iter().flat_map(Runbook::labels_asked));
        entities.declare(&config.entities);
        let mut topology = Topology::default();
        for edge in &config.dependencies {
            let from = entities.intern(&EntityId::parse(&edge.from));
            let to = entities.intern(&EntityId::parse(&edge.to));
            topology.see(from, to, Provenance::Declared, Time::ZERO);
        }
        Self {
            slos: Slos::new(&config.slo),
            forecasts: Forecasts::default(),
            ratios: Ratios::default(),
            histograms: Histograms::default(),
            plans: Plans::new(config.policy.clone(), runbooks),
            holds: Holds::new(&config),
            correlator: Correlator::new(&config.rules),
            config,
            now: Time::ZERO,
            seq: 0,
            entities,
            topology,
            intake: Intake::default(),
            odd: Odd::default(),
            silence: SilenceWatch::default(),
            blind_spots: BlindSpots::default(),
            logs: LogWatch::new(),
            seen_logs: false,
            traces: Traces::default(),
            witness: Witness::default(),
            alerts: Alerts::default(),
            twins: Twins::default(),
            senders: Senders::default(),
            changes: Changes::default(),
            findings: Findings::default(),
            opinions: Opinions::default(),
            told: Told::default(),
            memory: Memory::default(),
            settling: BTreeSet::new(),
            refusals: Refusals::default(),
            speakers: Speakers::default(),
            clocks: Clocks::default(),
            pressure: Pressure::default(),
            signals: 0,
            counts: Counts::default(),
            housekept: Time::ZERO,
            ticked: Time::ZERO,
            swept: Time::ZERO,
            retired: 0,
        }
    }

    /// Feeds one input; effects are appended to `effects` in the order they must happen.
    pub fn step(&mut self, stamped: &Stamped, effects: &mut Vec<Effect>) {
        self.take_time(stamped.at, effects);
        self.notice_absence(&stamped.input);
        self.seq = stamped.seq;
        let is_tick = matches!(stamped.input, Input::Tick);
        self.correlator.tell_restarted(self.now);
        match &stamped.input {
            Input::Signals(batch) => self.take_batch(batch),
            Input::Command { by, what } => self.on_command(by, what, effects),
            Input::Step(event) => self.on_step_event(event, effects),
            Input::Recalled(recalled) => self.take_recalled(recalled),
            Input::Tick => self.tick(effects),
        }
        self.correlate();
        self.diagnose(is_tick, effects);
        self.tell_of_plans();
        self.publish(is_tick, effects);
    }

    /// The passing of time, one question after the other.
    fn tick(&mut self, effects: &mut Vec<Effect>) {
        let before = std::mem::replace(&mut self.ticked, self.now);
        self.look_at_ends();
        for (fingerprint, firing) in self.alerts.settle(self.now) {
            // One that goes on and off counts as firing already.
            if !firing {
                self.alert_changed(AlertChange::Resolved(fingerprint));
            }
        }
        self.tick_holds(effects);
        let silences = self
            .silence
            .tick(&mut self.intake, &mut self.speakers, self.now);
        for silence in silences {
            self.note_silence(silence);
        }
        self.find_blind_spots();
        self.confirm_losses();
        self.judge_slos();
        self.forecast();
        self.judge_ratios();
        self.judge_histograms();
        let mut from_logs = Vec::new();
        self.logs.tick(self.now, &mut from_logs);
        for found in from_logs {
            self.note_log(found);
        }
        let (topology, witness) = (&mut self.topology, &mut self.witness);
        for judged in self.traces.tick(self.now, topology, witness) {
            self.note_calls(&judged);
        }
        self.correlate();
        let unsettled = self.plans.all_unsettled(self.now);
        self.settling = unsettled.map(|id| self.correlator.home(id)).collect();
        self.leave_out_deaf_time(before);
        self.with_correlator(Correlator::tick);
        self.tick_plans(effects);
        if self.now.since(self.housekept) >= HOUSEKEEPING_MS {
            self.housekept = self.now;
            self.changes.expire(self.now);
            self.note_troubles();
            let conditions = self.correlator.conditions();
            let odd_since = |entity| {
                let odd = conditions.get(entity);
                let odd = odd.filter(|odd| odd.is_active() || odd.incident.is_some());
                odd.map(|odd| odd.onset)
            };
            self.traces.expire(self.now, odd_since);
            self.retire();
        }
        self.tell_of_floods(effects);
    }

    /// Takes what was noticed to incidents.
    fn correlate(&mut self) {
        for id in self.findings.take_changed() {
            self.with_correlator(|correlator, world| correlator.on_finding(id, world));
        }
        self.with_correlator(Correlator::settle);
        for (merged, kept) in self.correlator.take_merges() {
            self.plans.follow(merged, kept);
        }
    }

    /// Diagnoses incidents that are new, or changed since a while, and proposes what fits.
    fn diagnose(&mut self, is_tick: bool, effects: &mut Vec<Effect>) {
        let due = self
            .correlator
            .book
            .undiagnosed(self.now, DIAGNOSE_EVERY, is_tick);
        let settled = |id: &IncidentId| !self.plans.unsettled(*id, self.now);
        let due: Vec<IncidentId> = due.into_iter().filter(settled).collect();
        for id in due.into_iter().take(DIAGNOSED_PER_STEP_MAX) {
            let Some(case) = self.case_of(id) else {
                continue;
            };
            let mut diagnosis = diagnose::diagnose(&case);
            if let Some(incident) = self.incident(id) {
                self.memory.recall(incident, &mut diagnosis);
            }
            let helped = self.plans.helped_at(id);
            let since = match helped {
                Some(helped) => self.began_anew(id, helped),
                None => self.incident(id).map(|incident| incident.opened),
            };
            // What another incident holds explains that one; it takes no place of a cause that was mended.
            let first = diagnosis.hypotheses.first();
            let first = first.and_then(|hypothesis| case.find(&hypothesis.suspect));
            let is_told_elsewhere =
                helped.is_some() && first.is_some_and(|at| case.subjects[at].told_in.is_some());
            let is_fresh = since.is_some_and(|since| self.now.since(since) < FRESH_MS);
            let mut is_news = false;
            if let Some(held) = self.correlator.book.peek_mut(id)
                && !is_proved(helped, since)
                && (is_fresh || is_as_sure(&diagnosis, &held.incident.diagnosis))
                && !is_told_elsewhere
            {
                is_news = held.incident.diagnosis != diagnosis;
                held.incident.diagnosis = diagnosis;
            }
            self.list_changes(id);
            self.correlator.book.note_diagnosed(id, self.now, is_news);
            self.propose(id, effects);
        }
    }

    fn began_anew(&self, id: IncidentId, helped: Time) -> Option<Time> {
        let incident = self.incident(id)?;
        let alerts = incident.alerts.iter();
        let alerts = alerts.filter_map(|fingerprint| self.alerts.get(*fingerprint));
        began_anew(incident.findings.iter(), alerts, helped)
    }

    /// Tells the journal and the consoles what is different, each thing once.
    fn publish(&mut self, is_tick: bool, effects: &mut Vec<Effect>) {
        let due = self.correlator.book.unsummed(self.now, is_tick);
        for id in due {
            self.with_correlator(|correlator, world| correlator.sum_up(id, world));
        }
        if is_tick {
            self.correlator.book.record_due(self.now);
        }
        let changed = self.correlator.book.take_changed(self.now);
        let any_changed = !changed.is_empty();
        for (id, to_record) in &changed {
            let plan = self
                .plans
                .foremost(*id)
                .map(|plan| (plan.id, plan.state.as_str().into()));
            let Some(held) = self.correlator.book.peek_mut(*id) else {
                continue;
            };
            held.plan = plan;
            if *to_record && !held.is_open() {
                self.memory
                    .note(&held.incident, self.plans.of_incident(*id));
                self.opinions.note(&held.incident);
            }
            if *to_record {
                effects.push(Effect::Record(Record::Incident {
                    incident: Box::new(held.snapshot(&self.entities)),
                }));
            }
        }
        // After those that took their members: whatever of this the journal holds, nobody is lost.
        for incident in self.correlator.book.take_farewells() {
            effects.push(Effect::Record(Record::Incident {
                incident: Box::new(incident),
            }));
        }
        for ix in self.entities.take_changed() {
            effects.push(Effect::Changed(Delta::Entity(EntityHealth {
                entity: self.entities.id(ix).clone(),
                health: self.entities.health(ix),
            })));
        }
        for id in self.entities.take_gone() {
            effects.push(Effect::Changed(Delta::EntityGone(id)));
        }
        for id in self.correlator.book.take_gone() {
            self.told.forget(id);
            effects.push(Effect::Changed(Delta::IncidentGone(id)));
        }
        for (id, _) in changed {
            let Some(held) = self.correlator.book.get(id) else {
                continue;
            };
            effects.push(Effect::Changed(Delta::Incident(held.row(&self.entities))));
            let news = self.told.news(&held.incident);
            effects.extend(news.map(Effect::Notify));
        }
        self.publish_silences(effects);
        self.publish_counts(is_tick, any_changed, effects);
    }

    fn publish_counts(&mut self, is_tick: bool, any_changed: bool, effects: &mut Vec<Effect>) {
        if !is_tick && !any_changed {
            return;
        }
        let mut counts = Counts {
            alerts_firing: self.alerts.firing(),
            alerts_held: self.holds.len(),
            alerts_unheard: self.alerts.unheard() as u64,
            findings_open: self.findings.open_count() as u64,
            entities: self.entities.len() as u64,
            series: self.intake.len() as u64,
            templates: self.logs.miner().templates().len() as u64,
            signals: self.signals,
            refused: self.refused_total(),
            retired: self.retired,
            corrected: self.corrections().map(|(_, count)| count).sum(),
            ..Counts::default()
        };
        for (_, held) in self.correlator.book.iter().filter(|(_, h)| h.is_open()) {
            let priority = held.incident.severity.priority();
            counts.open_by_priority[usize::from(priority) - 1] += 1;
        }
        if counts != self.counts {
            self.counts = counts;
            effects.push(Effect::Changed(Delta::Counts(counts)));
        }
    }

    /// Time of the last input.
    pub fn now(&self) -> Time {
        self.now
    }

    /// Sequence number of the last input.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Settings in force.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Runbooks loaded.
    pub fn runbooks(&self) -> &[Runbook] {
        self.plans.runbooks()
    }

    /// Totals, as last told.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Whether the kill switch is on.
    pub fn automation_stopped(&self) -> bool {
        self.plans.automation_stopped()
    }

    /// Rows of incidents that are open or were resolved of late, by id.
    pub fn incident_rows(&self) -> impl Iterator<Item = IncidentRow> {
        let held = self.correlator.book.iter();
        held.map(|(_, held)| held.row(&self.entities))
    }

    /// One incident.
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        Some(&self.correlator.book.get(id)?.incident)
    }

    /// The incident that one is part of by now; itself if it was never merged.
    pub fn home(&self, id: IncidentId) -> IncidentId {
        self.correlator.home(id)
    }

    /// Plans, by id.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter()
    }

    /// One plan.
    pub fn plan(&self, id: PlanId) -> Option<&Plan> {
        self.plans.get(id)
    }

    /// Runs whose end nobody heard of, for an executor to look after.
    pub fn runs_in_doubt(&self) -> impl Iterator<Item = (RunId, Option<&Process>)> {
        self.plans.in_doubt()
    }

    /// Entities and how they are, by id.
    pub fn entities(&self) -> impl Iterator<Item = (&EntityId, Health)> {
        self.entities.iter()
    }

    /// One entity with what is known about it.
    pub fn entity(&self, id: &EntityId) -> Option<Entity> {
        Some(self.entities.entity(self.entities.find(id)?))
    }

    /// The dependencies known, in a fixed order.
    pub fn edges(&self) -> impl Iterator<Item = Edge> {
        self.topology.iter().map(|(from, to, edge)| Edge {
            from: self.entities.id(from).clone(),
            to: self.entities.id(to).clone(),
            provenance: edge.provenance,
            last_seen: edge.last_seen,
            confidence: edge.provenance.confidence_at(edge.last_seen, self.now) as f32,
        })
    }

    /// Alerts held, resolved ones included until they are forgotten.
    pub fn alerts_held(&self) -> usize {
        self.alerts.len()
    }

    /// How many entities each stage of correlation placed, in order of the stages.
    pub fn placed_by(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.correlator.placed_by()
    }

    fn refused_total(&self) -> u64 {
        self.refusals.total()
            + self.entities.refused()
            + self.topology.refused()
            + self.traces.refused()
            + self.findings.refused()
            + self.plans.stale_reports()
            + self.ratios.refused()
            + self.histograms.refused()
            + self.senders.refused()
    }
}

/// Whether a diagnosis may take the place of an older one. Fading evidence must not unlearn a cause: once
/// the signals are no longer fresh, only a diagnosis that is as sure does.
fn is_as_sure(fresh: &Diagnosis, known: &Diagnosis) -> bool {
    let sure = |diagnosis: &Diagnosis| diagnosis.hypotheses.first().map_or(0.0, |h| h.confidence);
    sure(fresh) >= sure(known)
}

/// Whether what is known of the cause was proved by a plan that helped, with nothing new since: what only fades
/// names whatever fades last.
const fn is_proved(helped: Option<Time>, began_anew: Option<Time>) -> bool {
    helped.is_some() && began_anew.is_none()
}

/// When the last of an incident's signals began that page and began after `helped`: what was there
/// before fades, and says nothing new.
fn began_anew<'a>(
    findings: impl Iterator<Item = &'a Finding>,
    alerts: impl Iterator<Item = &'a alerts::AlertState>,
    helped: Time,
) -> Option<Time> {
    let findings = findings.filter(|f| f.pages && f.is_open()).map(|f| f.since);
    let alerts = alerts.filter(|a| a.firing).map(|a| a.onset);
    findings.chain(alerts).filter(|at| *at >= helped).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::propose::tests::{NOW, deploy_of, incident, suspect};
    use crate::model::{Band, Check, Direction, FindingId, MetricRole, Unit};

    #[test]
    fn what_helped_proves_the_cause_until_something_begins_anew() {
        let at = Some(Time::ZERO);
        let cases = [
            (None, None, false),
            (None, at, false),
            (at, None, true),
            (at, at, false),
        ];
        for (helped, began_anew, proved) in cases {
            assert_eq!(is_proved(helped, began_anew), proved);
        }
    }

    fn paging(since: Time) -> Finding {
        Finding {
            id: FindingId(1),
            entity: EntityId::parse("cart"),
            callee: None,
            check: Check::LevelShift,
            series: None,
            subject: "p99".into(),
            role: MetricRole::Latency,
            unit: Unit::Seconds,
            since,
            last_seen: since,
            ended: None,
            expected: Band {
                low: 0.0,
                high: 1.0,
            },
            seen: 9.0,
            direction: Direction::Up,
            score: 8.0,
            pages: true,
            text: "cart is slow".into(),
            explain: None,
            accepted: None,
        }
    }

    #[test]
    fn an_old_diagnosis_only_gives_way_to_one_as_sure() {
        let sure =
            |confidence| incident(vec![suspect("cart", deploy_of("cart"), confidence)]).diagnosis;
        let nothing = Diagnosis::default;
        let cases = [
            ("faded signals do not unlearn", sure(0.2), sure(0.9), false),
            ("nor forget", nothing(), sure(0.9), false),
            ("as sure is newer", sure(0.5), sure(0.5), true),
            ("surer", sure(0.8), sure(0.5), true),
            ("nothing for nothing", nothing(), nothing(), true),
        ];
        for (name, fresh, known, expected) in cases {
            assert_eq!(is_as_sure(&fresh, &known), expected, "{name}");
        }
    }

    #[test]
    fn after_a_plan_helped_only_what_pages_anew_is_news() {
        let helped = NOW;
        let at = |ms| helped.plus_ms(ms);
        let ended = |finding: Finding| Finding {
            ended: Some(at(9)),
            ..finding
        };
        let informing = |finding: Finding| Finding {
            pages: false,
            ..finding
        };
        let cases = [
            ("nothing is odd", vec![], None),
            ("it was there before", vec![paging(at(-1))], None),
            ("it is over", vec![ended(paging(at(2)))], None),
            ("it only informs", vec![informing(paging(at(2)))], None),
            (
                "it began anew",
                vec![paging(at(-1)), paging(at(2))],
                Some(at(2)),
            ),
            (
                "the last counts",
                vec![paging(at(7)), paging(at(2))],
                Some(at(7)),
            ),
        ];
        for (name, findings, expected) in cases {
            let began = began_anew(findings.iter(), std::iter::empty(), helped);
            assert_eq!(began, expected, "{name}");
        }
    }
}
