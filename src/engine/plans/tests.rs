//! The door of plans: decisions, refusals and their records.

use super::*;
use crate::engine::propose::tests::{
    NOW, change_of, deploy_of, incident, labels, runbook, suspect,
};
use crate::engine::recovery::Recovery;
use crate::model::{
    MatchRule, Outcome, Process, Risk, Role, RunId, RunPhase, StepEvent, StepEventKind,
};

mod again;
mod decided;
mod taken_back;

const INCIDENT: IncidentId = IncidentId(4);

fn person(name: &str, role: Role) -> Actor {
    Actor {
        name: name.to_owned(),
        role,
    }
}

/// Plans, and a world to hold them in.
struct Desk {
    plans: Plans,
    incident: Incident,
    ground: Ground,
    hurts: bool,
    now: Time,
    effects: Vec<Effect>,
}

impl Desk {
    fn new(policy: PolicyConfig, runbooks: Vec<Runbook>) -> Self {
        let mut desk = Self {
            plans: Plans::new(policy, runbooks),
            incident: incident(vec![suspect("checkout", deploy_of("checkout"), 0.8)]),
            ground: Ground::Holds,
            hurts: true,
            now: NOW,
            effects: Vec::new(),
        };
        desk.propose();
        desk
    }

    fn with<T>(
        &mut self,
        act: impl FnOnce(&mut Plans, World<'_>, Time, &mut Vec<Effect>) -> T,
    ) -> T {
        let ground = |_: &Plan| self.ground.clone();
        let found = |id: IncidentId| (id == INCIDENT).then_some(&self.incident);
        let hurts = |_: IncidentId| self.hurts;
        let of_entity = |_: &Incident, _: &EntityId| labels(&[("namespace", "shop")]);
        let world = World {
            ground: &ground,
            hurts: &hurts,
            incident: &found,
            labels: &of_entity,
            change: &change_of,
        };
        act(&mut self.plans, world, self.now, &mut self.effects)
    }

    fn propose(&mut self) {
        let incident = self.incident.clone();
        self.with(|plans, world, now, effects| plans.propose(now, &incident, &[], world, effects));
    }

    fn command(&mut self, by: &Actor, what: &Command) -> Result<(), Refusal> {
        self.with(|plans, world, now, effects| plans.on_command(now, by, what, world, effects))
    }

    fn approve(&mut self, by: &Actor, plan: u64) -> Result<(), Refusal> {
        let plan = PlanId(plan);
        let known = self.plans.get(plan);
        let digest = known.map_or(String::new(), |plan| plan.digest.to_string());
        self.command(by, &Command::Approve { plan, digest })
    }

    /// The wish to undo a plan as it was shown.
    fn undo(&self, plan: u64) -> Command {
        let plan = PlanId(plan);
        let shown = self.plans.get(plan);
        let digest = shown.map(|plan| plan.digest.to_string());
        Command::RollBack { plan, digest }
    }

    fn report(&mut self, plan: u64, kind: StepEventKind) {
        let run = RunId {
            plan: PlanId(plan),
            phase: RunPhase::Forward,
            step: 0,
        };
        let event = StepEvent { run, kind };
        self.with(|plans, _, now, effects| plans.on_step(now, &event, effects));
    }

    fn tick(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
        self.with(|plans, world, now, effects| plans.on_tick(now, world.ground, effects));
    }

    fn end(&mut self, plan: u64, phase: RunPhase, outcome: Outcome) {
        let run = RunId {
            plan: PlanId(plan),
            phase,
            step: 0,
        };
        let kind = StepEventKind::Finished(outcome);
        let event = StepEvent { run, kind };
        self.with(|plans, _, now, effects| plans.on_step(now, &event, effects));
    }

    fn state(&self, plan: u64) -> &'static str {
        let plan = self.plans.get(PlanId(plan));
        plan.map_or("forgotten", |plan| plan.state.as_str())
    }

    /// What happened to plans since the last call.
    fn happenings(&mut self) -> Vec<String> {
        let happened = self.plans.drain_happenings();
        happened.map(|happening| happening.text.into()).collect()
    }

    /// The effects since the last call, each as one word.
    fn words(&mut self) -> Vec<&'static str> {
        let word = |effect: Effect| match effect {
            Effect::Record(Record::Decision { refused: None, .. }) => "decision",
            Effect::Record(Record::Decision { .. }) => "refusal",
            Effect::Record(Record::Plan { .. }) => "plan",
            Effect::Record(Record::Intent { .. }) => "intent",
            Effect::Record(Record::Result { .. }) => "result",
            Effect::Run { .. } => "run",
            Effect::Cancel { .. } => "cancel",
            Effect::Changed(Delta::Automation { .. }) => "automation",
            _ => "other",
        };
        self.effects.drain(..).map(word).collect()
    }
}

fn stop(plan: u64) -> Command {
    Command::RollBack {
        plan: PlanId(plan),
        digest: None,
    }
}

/// Plans as the journal would bring them back after these effects.
fn restored(effects: &[Effect]) -> Plans {
    let mut plans = Plans::new(PolicyConfig::default(), vec![any("a", Risk::Medium)]);
    for effect in effects {
        if let Effect::Record(record) = effect {
            plans.restore(record);
        }
    }
    plans.restored();
    plans
}

fn any(name: &str, risk: Risk) -> Runbook {
    Runbook {
        risk,
        ..runbook(name, MatchRule::default())
    }
}

fn desk() -> Desk {
    Desk::new(PolicyConfig::default(), vec![any("a", Risk::Medium)])
}

#[test]
fn an_approved_plan_is_recorded_before_it_runs() {
    let mut desk = desk();
    let mia = person("mia", Role::Responder);
    assert_eq!(desk.words(), ["plan"]);
    assert_eq!(desk.approve(&mia, 1), Ok(()));
    assert_eq!(desk.words(), ["decision", "plan", "intent", "run"]);
    desk.end(1, RunPhase::Forward, Outcome::Succeeded);
    assert_eq!(desk.words(), ["result", "plan"]);
    desk.tick(1_000);
    assert_eq!((desk.state(1), desk.words()), ("verifying", vec![]));
    desk.ground = Ground::Recovered(None);
    desk.tick(1_000);
    assert_eq!((desk.state(1), desk.words()), ("succeeded", vec!["plan"]));
    assert_eq!(
        desk.happenings(),
        [
            "plan 1 proposed: Roll checkout back to v1",
            "plan 1 approved by mia (1 of 1): Roll checkout back to v1",
            "plan 1 verifying: Roll checkout back to v1",
            "plan 1 succeeded: Roll checkout back to v1",
        ]
    );
}

#[test]
fn what_policy_forbids_is_refused_and_recorded() {
    let mia = person("mia", Role::Responder);
    let noor = person("noor", Role::Commander);
    let viewer = person("wall", Role::Viewer);
    let mut desk = Desk::new(
        PolicyConfig {
            approvals_high: 2,
            ..PolicyConfig::default()
        },
        vec![any("a", Risk::High), any("b", Risk::Low)],
    );
    desk.words();
    let needed = |by: &Actor, needed| Refusal::Role {
        name: by.name.clone(),
        has: by.role,
        needed,
    };
    assert_eq!(desk.approve(&mia, 1), Err(needed(&mia, Role::Commander)));
    assert_eq!(
        desk.approve(&viewer, 2),
        Err(needed(&viewer, Role::Responder))
    );
    assert_eq!(
        desk.approve(&mia, 99),
        Err(Refusal::NoPlan { plan: PlanId(99) })
    );
    let other_digest = Command::Approve {
        plan: PlanId(2),
        digest: "not what was shown".to_owned(),
    };
    assert!(matches!(
        desk.command(&mia, &other_digest),
        Err(Refusal::Digest { .. })
    ));
    assert_eq!(desk.approve(&noor, 1), Ok(()));
    let twice = desk.approve(&noor, 1);
    assert!(
        matches!(twice, Err(Refusal::SamePerson { .. })),
        "{twice:?}"
    );
    assert_eq!(
        desk.words(),
        [
            "refusal", "refusal", "refusal", "refusal", "decision", "plan", "refusal"
        ]
    );
    desk.tick(900_000);
    assert_eq!((desk.state(1), desk.state(2)), ("expired", "expired"));
}

#[test]
fn only_one_plan_acts_at_a_time_and_on_a_target() {
    let mut desk = Desk::new(
        PolicyConfig::default(),
        vec![any("a", Risk::Low), any("b", Risk::Low)],
    );
    let mia = person("mia", Role::Responder);
    desk.approve(&mia, 1).unwrap();
    let same_target = Refusal::Policy {
        why: "plan 1 acts on service/checkout already".to_owned(),
    };
    assert_eq!(desk.approve(&mia, 2), Err(same_target));
    let elsewhere = Command::Propose {
        incident: INCIDENT,
        runbook: "b".to_owned(),
        target: EntityId::parse("cart"),
    };
    desk.command(&mia, &elsewhere).unwrap();
    let too_many = Refusal::Policy {
        why: "at most 1 plans may act at the same time (concurrent_plans_max)".to_owned(),
    };
    assert_eq!(desk.approve(&mia, 3), Err(too_many));
}

#[test]
fn a_plan_is_void_when_the_ground_shifts() {
    let mia = person("mia", Role::Responder);
    let mut desk = desk();
    desk.words();
    desk.ground = Ground::Shifted(Box::from("newer deploy"));
    let void = Refusal::State {
        what: "plan 1".to_owned(),
        state: "void".to_owned(),
        why: "newer deploy".to_owned(),
    };
    assert_eq!(desk.approve(&mia, 1), Err(void));
    assert_eq!(
        (desk.state(1), desk.words()),
        ("void", vec!["refusal", "plan"])
    );
}

#[test]
fn the_kill_switch_stops_and_a_commander_releases_it() {
    let mia = person("mia", Role::Responder);
    let noor = person("noor", Role::Commander);
    let mut desk = desk();
    desk.approve(&mia, 1).unwrap();
    desk.words();
    desk.command(&mia, &Command::KillSwitch { on: true })
        .unwrap();
    assert_eq!(desk.words(), ["decision", "automation", "cancel"]);
    let why = "exit 143".to_owned();
    desk.end(1, RunPhase::Forward, Outcome::Failed { why });
    assert_eq!(
        (desk.state(1), desk.words()),
        ("failed", vec!["result", "plan"])
    );
    let undo = desk.undo(1);
    assert_eq!(desk.command(&noor, &undo), Err(Refusal::KillSwitch));
    let release = Command::KillSwitch { on: false };
    assert!(matches!(
        desk.command(&mia, &release),
        Err(Refusal::Role { .. })
    ));
    desk.command(&noor, &release).unwrap();
    desk.command(&noor, &undo).unwrap();
    assert_eq!(desk.state(1), "rolling back");
}

#[test]
fn proposals_follow_the_diagnosis() {
    let names = ["a", "b", "c", "d"];
    let runbooks = names.map(|name| any(name, Risk::Low)).to_vec();
    let mut desk = Desk::new(PolicyConfig::default(), runbooks);
    let waiting = |desk: &Desk| -> Vec<(String, String)> {
        desk.plans
            .of_incident(INCIDENT)
            .filter(|plan| plan.state == PlanState::Proposed)
            .map(|plan| (plan.runbook.to_string(), plan.target.name().to_owned()))
            .collect()
    };
    let at = |runbook: &str, target: &str| (runbook.to_owned(), target.to_owned());
    let first = ["a", "b", "c"].map(|name| at(name, "checkout"));
    assert_eq!(waiting(&desk), first);
    desk.propose();
    assert_eq!(waiting(&desk), first, "proposing again changes nothing");

    let mia = person("mia", Role::Responder);
    let reason = "not today".to_owned();
    let plan = PlanId(1);
    desk.command(&mia, &Command::Reject { plan, reason })
        .unwrap();
    desk.propose();
    let next = ["b", "c", "d"].map(|name| at(name, "checkout"));
    assert_eq!(
        waiting(&desk),
        next,
        "what was rejected is not offered again"
    );

    let by_hand = Command::Propose {
        incident: INCIDENT,
        runbook: "a".to_owned(),
        target: EntityId::parse("gateway"),
    };
    desk.command(&mia, &by_hand).unwrap();
    desk.incident = incident(vec![suspect("cart", deploy_of("cart"), 0.9)]);
    desk.propose();
    assert_eq!(
        waiting(&desk),
        [
            at("a", "gateway"),
            at("a", "cart"),
            at("b", "cart"),
            at("c", "cart")
        ],
        "only a person's own proposal outlives the diagnosis"
    );
}

#[test]
fn the_journal_brings_plans_back_in_doubt() {
    let mia = person("mia", Role::Responder);
    let mut desk = desk();
    desk.approve(&mia, 1).unwrap();
    let state = |plans: &Plans| plans.get(PlanId(1)).map(|plan| plan.state.as_str());
    assert_eq!(state(&restored(&desk.effects)), Some("unknown"));
    desk.end(1, RunPhase::Forward, Outcome::Succeeded);
    assert_eq!(state(&restored(&desk.effects)), Some("verifying"));
    desk.ground = Ground::Recovered(None);
    desk.tick(1_000);
    let plans = restored(&desk.effects);
    assert_eq!(plans.get(PlanId(1)), desk.plans.get(PlanId(1)));
    assert_eq!(plans.last_id, 1);

    // In doubt, settled, and started again: what was settled is no doubt any more.
    let mut settled = self::desk();
    settled.approve(&mia, 1).unwrap();
    settled.plans = restored(&settled.effects);
    let settle = Command::Settle {
        plan: PlanId(1),
        outcome: Outcome::Succeeded,
    };
    settled.command(&mia, &settle).unwrap();
    assert_eq!(settled.state(1), "verifying");
    assert_eq!(state(&restored(&settled.effects)), Some("verifying"));

    // Stopped by a person, then a crash: a late success must lead backwards.
    let mut stopped = self::desk();
    stopped.approve(&mia, 1).unwrap();
    stopped.command(&mia, &stop(1)).unwrap();
    let mut plans = restored(&stopped.effects);
    assert_eq!(state(&plans), Some("unknown"));
    stopped.plans = std::mem::replace(&mut plans, Plans::new(PolicyConfig::default(), vec![]));
    stopped.end(1, RunPhase::Forward, Outcome::Succeeded);
    assert_eq!(stopped.state(1), "rolling back");
}

#[test]
fn strays_are_counted_not_believed() {
    let mut desk = desk();
    desk.words();
    desk.end(77, RunPhase::Forward, Outcome::Succeeded);
    assert_eq!(desk.words(), Vec::<&str>::new());
    desk.end(1, RunPhase::Forward, Outcome::Succeeded);
    assert_eq!((desk.state(1), desk.words()), ("proposed", vec!["result"]));
    assert_eq!(desk.plans.stale_reports(), 2);
}

/// A desk whose plan 1 ran and is being verified.
fn verifying() -> Desk {
    let mut desk = desk();
    let mia = person("mia", Role::Responder);
    assert_eq!(desk.approve(&mia, 1), Ok(()));
    desk.end(1, RunPhase::Forward, Outcome::Succeeded);
    desk
}

#[test]
fn only_its_signals_verify_a_plan() {
    let desk = verifying();
    let plan = desk.plans.get(PlanId(1)).expect("it was proposed");
    let resolved = Incident {
        phase: Phase::Resolved,
        ..desk.incident.clone()
    };
    let calm = Recovery::default();
    let hurting = Recovery {
        hurting: Some(Box::from("service/cart")),
        ..Recovery::default()
    };
    let elsewhere = Recovery {
        excused: Some(Box::from("service/gateway still hurts, which #4 explains")),
        ..Recovery::default()
    };
    let hurts = Ground::Hurts(Box::from("service/cart"));
    let cases = [
        (Some(&desk.incident), &calm, Ground::Recovered(None)),
        (Some(&desk.incident), &hurting, hurts.clone()),
        (
            Some(&desk.incident),
            &elsewhere,
            Ground::Recovered(elsewhere.excused.clone()),
        ),
        // Somebody closed it while it hurts.
        (Some(&resolved), &hurting, hurts),
        // It is not known any more.
        (None, &calm, Ground::Holds),
    ];
    for (incident, recovery, expected) in cases {
        let scene = govern::Scene {
            incident,
            recovery,
            newest_change: None,
        };
        assert_eq!(govern::ground(plan, scene), expected);
    }
}

#[test]
fn what_hurts_or_is_excused_is_told() {
    let excused = Ground::Recovered(Some(Box::from("gateway still hurts, which #4 explains")));
    let hurts = Ground::Hurts(Box::from("service/cart"));
    let cases = [
        (excused, "; gateway still hurts, which #4 explains"),
        (hurts, "service/cart did not recover within 120 s"),
    ];
    for (ground, expected) in cases {
        let mut desk = verifying();
        desk.ground = ground;
        desk.tick(600_000);
        let told = desk.happenings();
        assert!(told.iter().any(|t| t.contains(expected)), "{told:?}");
    }
}

#[test]
fn signals_settle_after_a_plan_before_they_are_news() {
    let mut desk = desk();
    assert!(!desk.plans.unsettled(INCIDENT, desk.now));
    desk = verifying();
    assert!(desk.plans.unsettled(INCIDENT, desk.now));
    desk.ground = Ground::Recovered(None);
    desk.tick(1_000);
    assert_eq!(desk.state(1), "succeeded");
    let helped = desk.now;
    assert!(
        desk.plans
            .unsettled(INCIDENT, helped.plus_ms(settle::SETTLE_MS - 1))
    );
    assert!(
        !desk
            .plans
            .unsettled(INCIDENT, helped.plus_ms(settle::SETTLE_MS))
    );
    // Its incident became part of another: the settling goes with it.
    desk.plans.follow(INCIDENT, IncidentId(5));
    assert!(!desk.plans.unsettled(INCIDENT, helped));
    assert!(desk.plans.unsettled(IncidentId(5), helped));
}

fn process() -> Process {
    Process {
        pid: 4_242,
        mark: Box::from("boot/77"),
        began: NOW,
    }
}

#[test]
fn a_command_that_outlives_the_daemon_is_neither_settled_nor_forgotten() {
    let mia = person("mia", Role::Responder);
    let mut desk = desk();
    desk.approve(&mia, 1).unwrap();
    desk.report(1, StepEventKind::Began(process()));
    desk.plans = restored(&desk.effects);
    desk.words();
    let run = RunId {
        plan: PlanId(1),
        phase: RunPhase::Forward,
        step: 0,
    };
    let known = process();
    let in_doubt: Vec<_> = desk.plans.in_doubt().collect();
    assert_eq!(in_doubt, [(run, Some(&known))], "before anybody looked");
    let why = "it did nothing".to_owned();
    let settle = Command::Settle {
        plan: PlanId(1),
        outcome: Outcome::Failed { why },
    };
    let refused = desk.command(&mia, &settle);
    assert!(
        matches!(&refused, Err(Refusal::State { why, .. }) if why.contains("still runs")),
        "{refused:?}"
    );
    desk.report(1, StepEventKind::Lives(process()));
    assert!(desk.command(&mia, &settle).is_err());
    desk.words();
    desk.command(&mia, &stop(1)).unwrap();
    assert_eq!(desk.words(), ["decision", "cancel"]);
    assert_eq!(desk.state(1), "unknown", "until it has ended");
    let mut ended = desk.plans.clone();

    // It obeyed.
    let why = "stopped on request".to_owned();
    desk.end(1, RunPhase::Forward, Outcome::Failed { why });
    assert_eq!(desk.state(1), "rolling back");
    let told: Vec<String> = desk
        .plans
        .drain_happenings()
        .map(|happening| happening.text.into())
        .collect();
    assert!(
        told[0].contains("its command still runs (pid 4242 since "),
        "{told:?}"
    );

    // It had just ended: a person says how, and what was asked still leads backwards.
    std::mem::swap(&mut desk.plans, &mut ended);
    desk.report(1, StepEventKind::Gone);
    let settle = Command::Settle {
        plan: PlanId(1),
        outcome: Outcome::Succeeded,
    };
    desk.command(&mia, &settle).unwrap();
    assert_eq!(desk.state(1), "rolling back");
}

#[test]
fn the_kill_switch_is_remembered_by_what_acted_then() {
    let mia = person("mia", Role::Responder);
    let noor = person("noor", Role::Commander);
    let halt = Command::KillSwitch { on: true };
    let release = Command::KillSwitch { on: false };
    let settle = Command::Settle {
        plan: PlanId(1),
        outcome: Outcome::Succeeded,
    };
    // The switch is turned before the crash, after it, or both times around it.
    for (before, after) in [(true, false), (false, true), (true, true)] {
        let mut desk = desk();
        desk.approve(&mia, 1).unwrap();
        if before {
            desk.command(&mia, &halt).unwrap();
        }
        desk.plans = restored(&desk.effects);
        if after {
            desk.command(&mia, &halt).unwrap();
            desk.plans = restored(&desk.effects);
        }
        desk.command(&noor, &release).unwrap();
        desk.command(&mia, &settle).unwrap();
        assert_eq!(desk.state(1), "rolling back", "{before} {after}");
    }
}

#[test]
fn what_is_over_is_undone_as_carefully_as_it_was_started() {
    let noor = person("noor", Role::Commander);
    let olu = person("olu", Role::Commander);
    let policy = PolicyConfig {
        approvals_high: 2,
        concurrent_plans_max: 1,
        ..PolicyConfig::default()
    };
    let runbooks = vec![any("a", Risk::High), any("b", Risk::High)];
    let mut desk = Desk::new(policy, runbooks);
    for by in [&noor, &olu] {
        desk.approve(by, 1).unwrap();
    }
    desk.end(1, RunPhase::Forward, Outcome::Succeeded);
    desk.ground = Ground::Recovered(None);
    desk.tick(1_000);
    assert_eq!(desk.state(1), "succeeded");
    let undo = desk.undo(1);
    let blind = desk.command(&noor, &stop(1));
    assert!(matches!(blind, Err(Refusal::Policy { .. })), "{blind:?}");
    let other = Command::RollBack {
        plan: PlanId(1),
        digest: Some("not what was shown".to_owned()),
    };
    let other = desk.command(&noor, &other);
    assert!(matches!(other, Err(Refusal::Digest { .. })), "{other:?}");
    assert_eq!(desk.command(&noor, &undo), Ok(()));
    assert_eq!(desk.state(1), "succeeded", "one of two people");
    let twice = desk.command(&noor, &undo);
    assert!(
        matches!(twice, Err(Refusal::SamePerson { .. })),
        "{twice:?}"
    );

    // Another plan acts meanwhile.
    desk.ground = Ground::Holds;
    for by in [&noor, &olu] {
        desk.approve(by, 2).unwrap();
    }
    assert_eq!(desk.state(2), "running");
    let busy = desk.command(&olu, &undo);
    assert!(matches!(busy, Err(Refusal::Policy { .. })), "{busy:?}");
    desk.end(2, RunPhase::Forward, Outcome::Succeeded);
    desk.ground = Ground::Recovered(None);
    desk.tick(1_000);
    assert_eq!(desk.command(&olu, &undo), Ok(()));
    assert_eq!(desk.state(1), "rolling back");

    // A wish as old as an approval would have expired does not count any more.
    let why = "exit 1".to_owned();
    desk.end(2, RunPhase::Rollback, Outcome::Failed { why });
    let undo = desk.undo(2);
    desk.end(1, RunPhase::Rollback, Outcome::Succeeded);
    assert_eq!(desk.command(&noor, &undo), Ok(()));
    desk.now = desk.now.plus_ms(24 * 3_600_000);
    assert_eq!(desk.command(&olu, &undo), Ok(()));
    assert_eq!(desk.state(2), "succeeded");
}

#[test]
fn a_runbook_may_ask_for_more_people_and_tells_how_it_went() {
    let two = Runbook {
        approvals: Some(2),
        ..any("a", Risk::Low)
    };
    let mut desk = Desk::new(PolicyConfig::default(), vec![two]);
    let mia = person("mia", Role::Responder);
    let noor = person("noor", Role::Responder);
    desk.approve(&mia, 1).unwrap();
    assert_eq!(desk.state(1), "proposed");
    desk.approve(&noor, 1).unwrap();
    assert_eq!(desk.state(1), "running");
    let approved = desk.now;
    desk.end(1, RunPhase::Forward, Outcome::TimedOut);
    desk.end(1, RunPhase::Rollback, Outcome::Succeeded);
    assert_eq!(desk.state(1), "rolled back");
    let again = Command::Propose {
        incident: INCIDENT,
        runbook: "a".to_owned(),
        target: EntityId::parse("cart"),
    };
    desk.command(&mia, &again).unwrap();
    let plan = desk.plans.get(PlanId(2)).expect("it was proposed");
    let before: Vec<_> = plan
        .before
        .iter()
        .map(|past| (past.plan, past.at, &*past.ended))
        .collect();
    assert_eq!(before, [(PlanId(1), approved, "rolled back")]);
    let why = plan.before[0].why.as_deref().unwrap_or_default();
    assert!(why.contains("timed out"), "{why}");
}
