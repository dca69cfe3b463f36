//! Drives an engine over a simulated scenario at full speed, in virtual time, and says what it concluded.
//!
//! The same inputs in the same order as the live demo: telemetry as it is told, a tick every second,
//! commands of one simulated person, results of simulated actions.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::config::{DeclaredEdge, EngineConfig};
use crate::engine::Engine;
use crate::model::{
    Action, Actor, Batch, Command, Effect, EntityId, ExecutorKind, Incident, IncidentId, Input,
    Outcome, Phase, Plan, PlanId, PlanState, Role, RunId, Runbook, SafeText, Stamped, StepEvent,
    StepEventKind, Time, counted,
};
use crate::sim::{Scenario, Sim, System, Truth};

/// How long the live part lasts when nothing is approved, in milliseconds.
const LIVE_MS: i64 = 10 * 60_000;
/// How long a simulated action takes, in milliseconds.
const ACTION_MS: i64 = 2_000;
/// A person decides this long after the plan was proposed, in milliseconds.
const DECISION_MS: i64 = 15_000;
/// Suspects listed for each incident.
const SUSPECTS_MAX: usize = 5;

/// What the simulated person approves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Approve {
    /// Nothing.
    #[default]
    None,
    /// A plan that heals a fault.
    Right,
    /// A plan that heals nothing; made by hand if none was proposed.
    Wrong,
}

/// What was injected and what was concluded; one JSON object.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Conclusion {
    /// The scenario.
    pub scenario: &'static str,
    /// Its seed.
    pub seed: u64,
    /// What was injected.
    pub truth: Vec<TruthRow>,
    /// What was made of it.
    pub incidents: Vec<IncidentOutcome>,
    /// Inputs fed.
    pub inputs: u64,
    /// Signals fed.
    pub signals: u64,
}

/// One injected fault, and how soon it was noticed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TruthRow {
    /// What was injected.
    #[serde(flatten)]
    pub truth: Truth,
    /// From the fault to the moment the next finding was made, in milliseconds.
    pub first_finding_ms: Option<i64>,
    /// From the fault to the first incident opened after it, in milliseconds.
    pub incident_ms: Option<i64>,
    /// From the fault to the moment since which an incident names the entity at fault first, in
    /// milliseconds; `None` when none does in the end.
    pub suspect_ms: Option<i64>,
    /// Place of the entity at fault among the suspects of the incident that names it best; 1 is first.
    pub rank: Option<usize>,
}

/// One incident as it ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct IncidentOutcome {
    /// Identity.
    pub id: IncidentId,
    /// Title.
    pub title: Box<str>,
    /// The entity most affected.
    pub entity: EntityId,
    /// Where it ended.
    pub phase: Phase,
    /// First abnormal event time.
    pub began: Time,
    /// When it was opened.
    pub opened: Time,
    /// Findings and alerts attached.
    pub findings: u32,
    /// See `findings`.
    pub alerts: u32,
    /// Why its signals are one incident.
    pub grouping: Vec<Box<str>>,
    /// Suspects as last diagnosed before its signals were quiet, best first.
    pub suspects: Vec<Suspect>,
    /// Plans and how they ended.
    pub plans: Vec<PlanOutcome>,
}

/// One suspect.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Suspect {
    /// Who.
    pub entity: EntityId,
    /// What kind of cause.
    pub cause: &'static str,
    /// How sure.
    pub confidence: f32,
}

/// One plan as it ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlanOutcome {
    /// Identity.
    pub id: PlanId,
    /// Its runbook.
    pub runbook: Box<str>,
    /// What it acts upon.
    pub target: EntityId,
    /// How it ended.
    pub state: &'static str,
    /// Whether it would have healed a fault when it was proposed.
    pub right: bool,
}

/// An engine fed by hand: stamps inputs as the daemon does.
pub struct Feed {
    /// The engine.
    pub engine: Engine,
    /// Inputs fed.
    pub seq: u64,
    /// Signals fed.
    pub signals: u64,
    /// Effects of the last input.
    pub effects: Vec<Effect>,
}

impl Feed {
    /// Around a fresh engine.
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            seq: 0,
            signals: 0,
            effects: Vec::new(),
        }
    }

    /// Feeds one input; its effects replace those of the last.
    pub fn input(&mut self, at: Time, input: Input) {
        self.seq += 1;
        self.effects.clear();
        self.engine.step(
            &Stamped {
                seq: self.seq,
                at,
                input,
            },
            &mut self.effects,
        );
    }

    /// Feeds telemetry.
    pub fn signals(&mut self, at: Time, batch: Batch) {
        self.signals += batch.signals.len() as u64;
        self.input(at, Input::Signals(batch));
    }

    /// Lets time pass.
    pub fn tick(&mut self, at: Time) {
        self.input(at, Input::Tick);
    }
}

/// An engine being driven over a scenario, and the notes taken on the way.
struct Driver {
    sim: Sim,
    feed: Feed,
    running: BTreeMap<RunId, (Time, Action)>,
    opened: BTreeMap<IncidentId, Time>,
    right: BTreeMap<PlanId, bool>,
    suspects: BTreeMap<IncidentId, Vec<Suspect>>,
    /// Per incident: its first suspect, and since when it is that.
    first_since: BTreeMap<IncidentId, (EntityId, Time)>,
    findings_open: u64,
    noticed: Vec<Time>,
    /// One for each incident: a second one would say nothing about the first.
    approved: BTreeMap<IncidentId, PlanId>,
}

/// Settings of an engine that watches a simulated system: the shipped ones, with the placement of
/// services on hosts declared, as a scheduler or a catalogue would tell.
pub fn placed_config(system: &System) -> EngineConfig {
    let placed = |(service, host): (&str, &str)| DeclaredEdge {
        from: service.to_owned(),
        to: format!("host/{host}"),
    };
    EngineConfig {
        dependencies: system.placements().map(placed).collect(),
        ..EngineConfig::default()
    }
}

/// Runs a scenario from its history to its end.
pub fn run(
    scenario: Scenario,
    seed: u64,
    start: Time,
    runbooks: Vec<Runbook>,
    approve: Approve,
) -> Conclusion {
    let sim = Sim::new(scenario, seed, start);
    let mut driver = Driver {
        feed: Feed::new(Engine::new(placed_config(sim.system()), runbooks)),
        sim,
        running: BTreeMap::new(),
        opened: BTreeMap::new(),
        right: BTreeMap::new(),
        suspects: BTreeMap::new(),
        first_since: BTreeMap::new(),
        findings_open: 0,
        noticed: Vec::new(),
        approved: BTreeMap::new(),
    };
    driver.history(start);
    driver.live(start, start.plus_ms(LIVE_MS), approve);
    driver.conclude(scenario, seed)
}

impl Driver {
    /// Feeds the history, stamped with its own time.
    fn history(&mut self, start: Time) {
        while let Some(batches) = self.sim.advance(start) {
            let at = self.sim.now();
            for batch in batches {
                self.feed.signals(at, batch);
            }
            self.feed.tick(at);
        }
    }

    fn live(&mut self, from: Time, to: Time, approve: Approve) {
        let mut now = from;
        while now < to {
            now = now.plus_ms(1_000);
            while let Some(batches) = self.sim.advance(now) {
                for batch in batches {
                    self.feed.signals(now, batch);
                }
            }
            self.finish_actions(now);
            self.act(now, Input::Tick);
            self.note(now);
            self.decide(now, approve);
        }
    }

    /// Feeds an input that may start or stop actions.
    fn act(&mut self, at: Time, input: Input) {
        self.feed.input(at, input);
        for effect in &self.feed.effects {
            match effect {
                Effect::Run { run, action } if action.executor == ExecutorKind::Sim => {
                    self.running
                        .insert(*run, (at.plus_ms(ACTION_MS), action.clone()));
                }
                Effect::Cancel { run } => {
                    self.running.remove(run);
                }
                _ => {}
            }
        }
    }

    fn finish_actions(&mut self, now: Time) {
        let due: Vec<RunId> = self
            .running
            .iter()
            .filter(|(_, (at, _))| *at <= now)
            .map(|(run, _)| *run)
            .collect();
        for run in due {
            let Some((_, action)) = self.running.remove(&run) else {
                continue;
            };
            let outcome = match self.sim.act(&action.argv) {
                Ok(_) => Outcome::Succeeded,
                Err(error) => Outcome::Failed {
                    why: error.to_string(),
                },
            };
            self.act(
                now,
                Input::Step(StepEvent {
                    run,
                    kind: StepEventKind::Finished(outcome),
                }),
            );
        }
    }

    /// Writes down what is new: incidents, suspects, whether a fresh plan is right.
    fn note(&mut self, now: Time) {
        let open: Vec<IncidentId> = self.feed.engine.incident_rows().map(|row| row.id).collect();
        for id in open {
            let Some(incident) = self.feed.engine.incident(id) else {
                continue;
            };
            self.opened.entry(id).or_insert(incident.opened);
            if incident.phase >= Phase::Mitigated {
                continue;
            }
            let Some(first) = incident.diagnosis.hypotheses.first() else {
                self.first_since.remove(&id);
                continue;
            };
            self.suspects.insert(id, suspects(incident));
            let since = self.first_since.get(&id);
            if since.is_none_or(|(entity, _)| *entity != first.suspect) {
                self.first_since.insert(id, (first.suspect.clone(), now));
            }
        }
        for plan in self.feed.engine.plans() {
            self.right.entry(plan.id).or_insert_with(|| {
                plan.steps
                    .iter()
                    .any(|step| self.sim.would_heal(&step.argv))
            });
        }
        let findings_open = self.feed.engine.counts().findings_open;
        if findings_open > self.findings_open {
            self.noticed.push(now);
        }
        self.findings_open = findings_open;
    }

    /// The simulated person: approves one plan of each incident, once it has been on screen for a while.
    fn decide(&mut self, now: Time, approve: Approve) {
        if approve == Approve::None {
            return;
        }
        let wanted = approve == Approve::Right;
        let chosen = self
            .feed
            .engine
            .plans()
            .filter(|plan| {
                plan.state == PlanState::Proposed
                    && now.since(plan.created) >= DECISION_MS
                    && !self.approved.contains_key(&plan.incident)
            })
            .find(|plan| self.right.get(&plan.id) == Some(&wanted))
            .map(|plan| (plan.incident, plan.id, plan.digest.to_string()));
        match chosen {
            Some((incident, plan, digest)) => {
                self.command(now, Command::Approve { plan, digest });
                // Refused while another plan acts: asked again a second later.
                let state = self.feed.engine.plan(plan).map(|plan| &plan.state);
                if state != Some(&PlanState::Proposed) {
                    self.approved.insert(incident, plan);
                }
            }
            None if approve == Approve::Wrong => self.propose_wrong(now),
            None => {}
        }
    }

    /// Makes a plan that heals nothing: a restart of the incident's own entity, or of any other.
    fn propose_wrong(&mut self, now: Time) {
        // One that is void waits for nobody.
        let waits = |plan: &Plan| {
            self.right.get(&plan.id) == Some(&false) && plan.state == PlanState::Proposed
        };
        let waiting = !self.approved.is_empty() || self.feed.engine.plans().any(waits);
        let Some(row) = self
            .feed
            .engine
            .incident_rows()
            .find(|row| row.phase == Phase::Open)
        else {
            return;
        };
        if waiting || now.since(row.began) < 2 * DECISION_MS {
            return;
        }
        let restart = |name: &str| [Box::from("restart"), Box::from(name)];
        let target = ["search", "catalogue"]
            .into_iter()
            .find(|name| !self.sim.would_heal(&restart(name)))
            .unwrap_or("cart");
        self.command(
            now,
            Command::Propose {
                incident: row.id,
                runbook: "demo-restart".to_owned(),
                target: EntityId::parse(target),
            },
        );
    }

    fn command(&mut self, now: Time, what: Command) {
        let by = Actor {
            name: "demo".to_owned(),
            role: Role::Commander,
        };
        self.act(now, Input::Command { by, what });
    }

    fn conclude(self, scenario: Scenario, seed: u64) -> Conclusion {
        let incidents: Vec<IncidentOutcome> = self
            .opened
            .keys()
            .filter_map(|id| self.feed.engine.incident(*id))
            .map(|incident| self.outcome(incident))
            .collect();
        let truth = self
            .sim
            .truth()
            .into_iter()
            .map(|t| self.truth_row(t, &incidents))
            .collect();
        Conclusion {
            scenario: scenario.as_str(),
            seed,
            truth,
            incidents,
            inputs: self.feed.seq,
            signals: self.feed.signals,
        }
    }

    fn truth_row(&self, truth: Truth, incidents: &[IncidentOutcome]) -> TruthRow {
        let first_finding = self.noticed.iter().copied().find(|at| *at >= truth.at);
        let opened = incidents
            .iter()
            .map(|i| i.opened)
            .filter(|at| *at >= truth.at)
            .min();
        let rank = incidents
            .iter()
            .filter(|i| i.opened >= truth.at || i.phase != Phase::Resolved)
            .filter_map(|i| {
                i.suspects
                    .iter()
                    .position(|s| s.entity.name() == truth.entity.name())
            })
            .min()
            .map(|place| place + 1);
        let named = incidents.iter().filter_map(|i| self.first_since.get(&i.id));
        let named =
            named.filter(|(entity, at)| entity.name() == truth.entity.name() && *at >= truth.at);
        let named_since = named.map(|(_, since)| *since).min();
        TruthRow {
            suspect_ms: named_since.map(|at| at.since(truth.at)),
            first_finding_ms: first_finding.map(|at| at.since(truth.at)),
            incident_ms: opened.map(|at| at.since(truth.at)),
            rank,
            truth,
        }
    }

    fn outcome(&self, incident: &Incident) -> IncidentOutcome {
        IncidentOutcome {
            id: incident.id,
            title: incident.title.clone(),
            entity: incident.entity.clone(),
            phase: incident.phase,
            began: incident.began,
            opened: incident.opened,
            findings: incident.impact.findings_total,
            alerts: incident.impact.alerts_total,
            grouping: incident.grouping.clone(),
            suspects: self.suspects.get(&incident.id).cloned().unwrap_or_default(),
            plans: incident
                .plans
                .iter()
                .filter_map(|id| self.feed.engine.plan(*id))
                .map(|p| self.plan(p))
                .collect(),
        }
    }

    fn plan(&self, plan: &Plan) -> PlanOutcome {
        PlanOutcome {
            id: plan.id,
            runbook: plan.runbook.clone(),
            target: plan.target.clone(),
            state: plan.state.as_str(),
            right: self.right.get(&plan.id).copied().unwrap_or(false),
        }
    }
}

impl fmt::Display for Conclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds =
            |ms: Option<i64>| ms.map_or("never".to_owned(), |ms| format!("{} s", ms / 1_000));
        writeln!(
            f,
            "{} (seed {}), {} signals",
            self.scenario, self.seed, self.signals
        )?;
        for row in &self.truth {
            writeln!(
                f,
                "injected   {:?} at {}, {}; first finding after {}, incident after {}, suspect #{}",
                row.truth.kind,
                row.truth.entity,
                row.truth.at,
                seconds(row.first_finding_ms),
                seconds(row.incident_ms),
                row.rank.map_or("-".to_owned(), |rank| rank.to_string()),
            )?;
        }
        for incident in &self.incidents {
            writeln!(
                f,
                "incident   {} {}, {}: {} ({}, {})",
                incident.id,
                incident.entity,
                incident.phase.as_str(),
                SafeText::new(&incident.title),
                counted(incident.findings.into(), "finding", "findings"),
                counted(incident.alerts.into(), "alert", "alerts"),
            )?;
            for suspect in &incident.suspects {
                writeln!(
                    f,
                    "  suspect  {} {} {:.2}",
                    suspect.entity, suspect.cause, suspect.confidence
                )?;
            }
            for plan in &incident.plans {
                let right = if plan.right { "heals" } else { "does not heal" };
                writeln!(
                    f,
                    "  plan     {} {} on {}, {right}: {}",
                    plan.id.0, plan.runbook, plan.target, plan.state
                )?;
            }
        }
        Ok(())
    }
}

fn suspects(incident: &Incident) -> Vec<Suspect> {
    incident
        .diagnosis
        .hypotheses
        .iter()
        .take(SUSPECTS_MAX)
        .map(|h| Suspect {
            entity: h.suspect.clone(),
            cause: h.cause.as_str(),
            confidence: h.confidence,
        })
        .collect()
}
