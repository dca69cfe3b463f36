//! The pure core: [`Engine::step`] turns one stamped input into effects.
//!
//! It never does I/O, reads a clock, starts a thread or draws randomness, and it never iterates a
//! hash map: the same inputs give the same effects, byte for byte.

pub mod diagnose;
pub mod govern;
pub mod logs;
pub mod plans;
pub mod propose;
pub mod saga;

use crate::config::EngineConfig;
use crate::model::{
    AlertRow, Chart, Counts, Effect, EntityId, Fingerprint, Health, Incident, IncidentId,
    IncidentRow, LogGroup, Plan, PlanId, Record, Runbook, Stamped, Time, TraceView,
};

/// The engine. One instance judges one environment; one thread owns it.
#[derive(Debug)]
pub struct Engine {
    config: EngineConfig,
    runbooks: Vec<Runbook>,
    now: Time,
    seq: u64,
}

impl Engine {
    /// A fresh engine that knows nothing.
    pub fn new(config: EngineConfig, runbooks: Vec<Runbook>) -> Self {
        Self {
            config,
            runbooks,
            now: Time::ZERO,
            seq: 0,
        }
    }

    /// Feeds one input; effects are appended to `effects` in the order they must happen.
    pub fn step(&mut self, stamped: &Stamped, effects: &mut Vec<Effect>) {
        self.now = stamped.at;
        self.seq = stamped.seq;
        let _ = effects;
    }

    /// Rebuilds incidents and plans from the journal. Runs with an intent and no result become
    /// `Unknown`. Call on a fresh engine, before the first step.
    pub fn restore<'a>(&mut self, records: impl IntoIterator<Item = &'a Record>) {
        let _ = records.into_iter().count();
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
        &self.runbooks
    }

    /// Totals.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }

    /// Whether the kill switch is on.
    pub fn automation_stopped(&self) -> bool {
        false
    }

    /// Rows of incidents that are open or were resolved of late, by id.
    pub fn incident_rows(&self) -> impl Iterator<Item = IncidentRow> {
        std::iter::empty()
    }

    /// One incident.
    pub fn incident(&self, id: IncidentId) -> Option<&Incident> {
        let _ = id;
        None
    }

    /// Plans, by id.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        std::iter::empty()
    }

    /// One plan.
    pub fn plan(&self, id: PlanId) -> Option<&Plan> {
        let _ = id;
        None
    }

    /// Entities and how they are, by id.
    pub fn entities(&self) -> impl Iterator<Item = (&EntityId, Health)> {
        std::iter::empty()
    }

    /// Alerts after `after` in order of fingerprint, at most `limit`, of one incident if given.
    pub fn alerts(
        &self,
        after: Option<Fingerprint>,
        limit: usize,
        incident: Option<IncidentId>,
    ) -> Vec<AlertRow> {
        let _ = (after, limit, incident);
        Vec::new()
    }

    /// Charts of the series behind an incident, the most unusual first, at most `limit`; of one
    /// entity if given.
    pub fn charts(&self, id: IncidentId, entity: Option<&EntityId>, limit: usize) -> Vec<Chart> {
        let _ = (id, entity, limit);
        Vec::new()
    }

    /// Log groups of the entities of an incident, new ones first, at most `limit`.
    pub fn logs(&self, id: IncidentId, entity: Option<&EntityId>, limit: usize) -> Vec<LogGroup> {
        let _ = (id, entity, limit);
        Vec::new()
    }

    /// Exemplar traces of an incident, at most `limit`.
    pub fn traces(&self, id: IncidentId, limit: usize) -> Vec<TraceView> {
        let _ = (id, limit);
        Vec::new()
    }
}
