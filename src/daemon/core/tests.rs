//! What happens to a decision when the journal fails in the very append that holds it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::super::door;
use super::super::learn::Scholar;
use super::*;
use crate::api::{API_VERSION, View};
use crate::config::{EngineConfig, NotifyConfig, parse_runbook};
use crate::daemon::Clock;
use crate::model::{
    Actor, Alert, Counts, EntityId, Fingerprint, IncidentId, Labels, LogLine, Plan, PlanId,
    PlanState, Role, Severity, Signal, SourceHealth, SourceId,
};
use crate::sources::{Rhythm, signal_queue};
use crate::store::db::Db;

/// Appends that work before the journal fails for good.
type Appends = Arc<Mutex<(usize, Vec<Record>)>>;

const PLAN: PlanId = PlanId(1);

/// A daemon's core with an incident, a plan for it, and a journal that may fail.
struct Bench {
    core: Core,
    journal: Appends,
}

impl Bench {
    fn new() -> Self {
        let journal: Appends = Arc::new(Mutex::new((usize::MAX, Vec::new())));
        let of_keeper = Arc::clone(&journal);
        let append = move |entries: &[Entry]| {
            let mut journal = of_keeper.lock().unwrap();
            if journal.0 == 0 {
                return Err("no space left".to_owned());
            }
            journal.0 -= 1;
            let records = entries.iter().map(|entry| entry.record.clone());
            journal.1.extend(records);
            Ok(0)
        };
        let mut bench = Self {
            core: core(Box::new(append)),
            journal,
        };
        let fires = firing(&bench.core, &[]);
        bench.core.input(fires);
        let proposed = bench.give(Command::Propose {
            incident: IncidentId(1),
            runbook: "fix".to_owned(),
            target: EntityId::parse("checkout"),
        });
        assert_eq!(proposed, None);
        bench
    }

    /// Gives a command in a turn of its own; why it was refused.
    fn give(&mut self, what: Command) -> Option<Refusal> {
        self.answer(what).refused
    }

    fn answer(&mut self, what: Command) -> CommandReply {
        let (reply, mut answer) = oneshot::channel();
        let by = Actor {
            name: "mia".to_owned(),
            role: Role::Admin,
        };
        self.core.command(CommandRequest { by, what, reply });
        self.core.finish_turn();
        answer.try_recv().expect("every command is answered")
    }

    fn approve(&mut self) -> Option<Refusal> {
        let digest = self.plan().digest.to_string();
        self.give(Command::Approve { plan: PLAN, digest })
    }

    fn plan(&self) -> &Plan {
        self.core.engine.plan(PLAN).expect("it was proposed")
    }

    /// Lets this many appends work, and no more.
    fn break_after(&self, appends: usize) {
        self.journal.lock().unwrap().0 = appends;
    }

    fn mend(&mut self) {
        self.break_after(usize::MAX);
        for _ in 0..16 {
            self.core.keeper.retry();
        }
    }

    fn kept(&self, wanted: impl Fn(&Record) -> bool) -> usize {
        let journal = self.journal.lock().unwrap();
        journal.1.iter().filter(|record| wanted(record)).count()
    }

    /// An executor's report of the first step.
    fn ended(&mut self, step: u32, outcome: Outcome) {
        let run = RunId {
            plan: PLAN,
            phase: crate::model::RunPhase::Forward,
            step,
        };
        let kind = StepEventKind::Finished(outcome);
        self.core.input(Input::Step(StepEvent { run, kind }));
        self.core.finish_turn();
    }
}

/// An alert on the checkout that fires from now on.
fn firing(core: &Core, more: &[(&str, &str)]) -> Input {
    let labels = [("alertname", "Down"), ("service", "checkout")];
    let labels = Labels::from_pairs(labels.iter().chain(more).copied());
    let labels = labels.expect("few and short");
    Input::Signals(Batch {
        source: SourceId::new("alerts"),
        signals: vec![Signal::Alert(Box::new(Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::empty(),
            starts_at: core.stamper.now(),
            ends_at: Time::from_ms(i64::MAX),
            generator_url: None,
        }))],
    })
}

fn core(append: super::super::keeper::Append) -> Core {
    let runbook = r#"
        name = "fix"
        title = "fix {entity}"
        description = "two steps"
        risk = "low"
        match = []
        steps = [
            { title = "one", argv = ["sleep", "300"], rollback = ["true"] },
            { title = "two", argv = ["sleep", "300"], rollback = ["true"] },
        ]
        verify = { recover_within_s = 60 }
    "#;
    let runbook = parse_runbook(runbook, "fix.toml").expect("a valid runbook");
    let (door, inbox) = door::door();
    let (registry, signals) = signal_queue();
    let view = View {
        version: API_VERSION,
        seq: 0,
        at: Time::ZERO,
        environment: String::new(),
        actor: Actor {
            name: String::new(),
            role: Role::Viewer,
        },
        incidents: BTreeMap::default(),
        entities: BTreeMap::default(),
        counts: Counts::default(),
        sources: BTreeMap::default(),
        silences: BTreeMap::default(),
        home: String::new(),
        closes_after_s: 0,
        automation_stopped: false,
        banner: String::new(),
        mode: Mode::Live,
    };
    let (ledger, _) = Ledger::open(None).expect("nothing is kept");
    Core {
        engine: Engine::new(EngineConfig::default(), vec![runbook]),
        stamper: Stamper::new(Clock::real(), Time::ZERO),
        inbox,
        signals,
        registry,
        keeper: Keeper::new(append),
        recorder: None,
        checkpoints: Checkpoints::default(),
        executors: Executors::new(door.steps(), None, "core tests"),
        notifier: None,
        ledger,
        hub: Arc::new(Hub::new(view)),
        notices: Notices::default(),
        stop_mark: StopMark::default(),
        socket_notice: watch::channel(String::new()).1,
        warnings: watch::channel(Vec::new()).1,
        turn: Turn::default(),
        source_rows: Vec::new(),
        tick_times: Ticks::default(),
        recalled: Vec::new(),
    }
}

/// A crash after the journal has an incident and before anybody was told of it must not keep it from people:
/// at the moment an incident is written down, the outbox has what is to be said.
#[tokio::test]
async fn what_people_must_be_told_is_kept_before_the_journal_has_it() {
    let folder = tempfile::tempdir().unwrap();
    let (db, _) = Db::open(&folder.path().join("db")).unwrap();
    let outbox = db.outbox().unwrap();
    let seen: Arc<Mutex<Vec<(bool, usize)>>> = Arc::default();
    let (of_keeper, kept) = (Arc::clone(&seen), outbox.clone());
    let append = move |entries: &[Entry]| {
        let opens = entries.iter().any(|entry| {
            matches!(&entry.record, Record::Incident { incident } if incident.severity >= Severity::Error)
        });
        of_keeper.lock().unwrap().push((opens, kept.all().count()));
        Ok(0)
    };
    let mut core = core(Box::new(append));
    let pager = NotifyConfig {
        name: "pager".to_owned(),
        // Nobody listens there.
        url: Some("http://127.0.0.1:9/".to_owned()),
        url_env: None,
        token_file: None,
        token_env: None,
        severity: Severity::Error,
    };
    core.notifier = Some(Notifier::start(&[pager], "test", Some(outbox)).unwrap());
    core.input(firing(&core, &[("severity", "critical")]));
    core.finish_turn();
    assert_eq!(*seen.lock().unwrap(), [(true, 1)]);
}

#[tokio::test]
async fn a_plan_for_an_entity_nobody_knows_is_refused_by_name() {
    let mut bench = Bench::new();
    let cases = [
        ("chekout", "is service/checkout meant?"),
        ("host/checkout", "is service/checkout meant?"),
        ("none", "the incident is about service/checkout"),
    ];
    for (text, near) in cases {
        let target = EntityId::parse(text);
        let why = format!("there is no entity {target}: {near}");
        let decisions = bench.kept(is_decision);
        let refused = bench.give(Command::Propose {
            incident: IncidentId(1),
            runbook: "fix".to_owned(),
            target,
        });
        let runbook = "fix".to_owned();
        assert_eq!(refused, Some(Refusal::Runbook { runbook, why }));
        assert_eq!(bench.kept(is_decision), decisions + 1, "it is written down");
    }
    assert_eq!(bench.core.engine.plans().count(), 1);
}

fn a_line() -> Signal {
    Signal::Log(Box::new(LogLine {
        at: Time::ZERO,
        labels: Labels::empty(),
        level: None,
        text: "all is well".into(),
        trace: None,
        span: None,
    }))
}

#[tokio::test]
async fn who_gave_a_command_is_answered_at_once_and_a_flood_of_them_keeps_nothing_out() {
    let mut bench = Bench::new();
    let sender = bench.core.registry.source("logs", Rhythm::Sporadic, "");
    for _ in 0..3 {
        sender.try_send(vec![a_line()]).expect("there is room");
    }
    // Commands that come faster than turns: one waits at each.
    for waiting in [3, 2, 2, 1] {
        let (reply, mut answer) = oneshot::channel();
        let by = Actor {
            name: "mia".to_owned(),
            role: Role::Admin,
        };
        let what = Command::Note {
            incident: IncidentId(1),
            text: "seen".to_owned(),
        };
        bench.core.command(CommandRequest { by, what, reply });
        bench.core.work_through_queues();
        assert_eq!(bench.core.signals.len(), waiting);
        bench.core.finish_turn();
        let answer = answer.try_recv().expect("it is answered with the turn");
        assert_eq!(answer.refused, None);
    }
    bench.core.work_through_queues();
    assert_eq!(bench.core.signals.len(), 0, "nobody waits any more");
}

fn is_decision(record: &Record) -> bool {
    matches!(record, Record::Decision { .. })
}

#[tokio::test]
async fn a_decision_in_the_append_that_fails_has_no_effect_at_all() {
    let mut bench = Bench::new();
    let decisions = bench.kept(is_decision);
    bench.break_after(0);
    let refused = bench.approve();
    assert!(
        matches!(refused, Some(Refusal::NotDurable { .. })),
        "{refused:?}"
    );
    assert_eq!(bench.plan().state, PlanState::Proposed);
    assert_eq!(bench.plan().approvals, []);
    let note = bench.give(Command::Note {
        incident: IncidentId(1),
        text: "seen".to_owned(),
    });
    assert!(matches!(note, Some(Refusal::NotDurable { .. })), "{note:?}");
    assert_eq!(bench.core.executors.in_flight(), 0);

    // Nothing of it comes back with the journal, and the plan was not used up.
    bench.mend();
    assert_eq!(bench.kept(is_decision), decisions);
    assert_eq!(bench.approve(), None);
    assert_eq!(bench.kept(is_decision), decisions + 1);
    assert_eq!(bench.plan().state, PlanState::Running { step: 0 });
    assert_eq!(bench.core.executors.in_flight(), 1);
}

#[tokio::test]
async fn a_decision_is_durable_once_before_it_acts() {
    let mut bench = Bench::new();
    // The decision itself is written; what follows from it is not.
    bench.break_after(1);
    assert_eq!(bench.approve(), None);
    assert_eq!(bench.core.executors.in_flight(), 1, "its intent is durable");
    bench.mend();
    let approvals = |record: &Record| {
        matches!(
            record,
            Record::Decision {
                what: Command::Approve { .. },
                ..
            }
        )
    };
    assert_eq!(bench.kept(approvals), 1);
    assert_eq!(
        bench.kept(|record| matches!(record, Record::Intent { .. })),
        1
    );
}

#[tokio::test]
async fn a_step_that_could_not_be_started_is_not_undone() {
    let mut bench = Bench::new();
    assert_eq!(bench.approve(), None);
    bench.break_after(0);
    bench.ended(0, Outcome::Succeeded);
    let state = bench.plan().state.clone();
    assert!(
        matches!(&state, PlanState::Failed { reason } if reason.contains("not started")),
        "{state:?}"
    );
    // The brake works all the same, and says that it is not on disk.
    let brake = bench.answer(Command::KillSwitch { on: true });
    assert_eq!(brake.refused, None);
    let notice = brake.notice.unwrap_or_default();
    assert!(notice.contains("not written down yet"), "{notice}");
    assert!(bench.core.engine.automation_stopped());
    assert_eq!(
        bench
            .give(Command::KillSwitch { on: false })
            .map(|r| matches!(r, Refusal::NotDurable { .. })),
        Some(true)
    );
    assert!(
        bench.core.engine.automation_stopped(),
        "releasing it is no brake"
    );
    bench.mend();
    assert_eq!(bench.give(Command::KillSwitch { on: false }), None);
    let digest = Some(bench.plan().digest.to_string());
    assert_eq!(bench.give(Command::RollBack { plan: PLAN, digest }), None);
    assert!(matches!(
        bench.plan().state,
        PlanState::RollingBack { step: 0, .. }
    ));
}

#[tokio::test]
async fn undoing_is_a_brake_only_while_something_runs() {
    let mut bench = Bench::new();
    assert_eq!(bench.approve(), None);
    bench.break_after(0);
    let digest = Some(bench.plan().digest.to_string());
    let undo = Command::RollBack { plan: PLAN, digest };
    let stopped = bench.answer(undo.clone());
    assert_eq!(stopped.refused, None);
    assert_eq!(stopped.notice.as_deref(), Some(RUN_STOPPED_UNWRITTEN));

    let mut bench = Bench::new();
    assert_eq!(bench.approve(), None);
    bench.ended(0, Outcome::Succeeded);
    bench.ended(1, Outcome::Succeeded);
    let verifying = bench.plan().state.clone();
    assert!(
        matches!(verifying, PlanState::Verifying { .. }),
        "{verifying:?}"
    );
    bench.break_after(0);
    let refused = bench.give(undo);
    assert!(
        matches!(refused, Some(Refusal::NotDurable { .. })),
        "{refused:?}"
    );
    assert_eq!(bench.plan().state, verifying);
}

#[tokio::test]
async fn a_stop_that_cannot_be_written_down_outlives_a_crash() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("stormglass.sock");
    let mut bench = Bench::new();
    bench.core.stop_mark = StopMark::beside(&socket);
    bench.break_after(0);
    assert_eq!(bench.give(Command::KillSwitch { on: true }), None);
    assert!(bench.core.notices.banner().contains("not written down"));
    drop(bench);

    // Nothing of it is in the journal of the next one.
    let mut bench = Bench::new();
    bench.core.stop_mark = StopMark::beside(&socket);
    bench.core.honour_mark();
    assert!(bench.core.engine.automation_stopped());
    assert!(bench.core.notices.banner().contains("stopped"));
    let halts = |record: &Record| {
        matches!(
            record,
            Record::Decision {
                what: Command::KillSwitch { on: true },
                ..
            }
        )
    };
    assert_eq!(bench.kept(halts), 1, "now it is written down");
    assert_eq!(bench.give(Command::KillSwitch { on: false }), None);
    assert_eq!(bench.core.notices.banner(), "");
    assert!(!StopMark::beside(&socket).found());
}

#[tokio::test]
async fn no_number_is_given_twice_when_the_append_of_a_decision_fails() {
    let mut bench = Bench::new();
    let action = bench.plan().steps[0].clone();
    let run = RunId {
        plan: PLAN,
        phase: crate::model::RunPhase::Forward,
        step: 0,
    };
    bench.core.turn.runs.push(PendingRun::Start(run, action));
    bench.break_after(0);
    let before = bench.core.stamper.stamp(Input::Tick).seq;
    let note = Command::Note {
        incident: IncidentId(1),
        text: "seen".to_owned(),
    };
    assert!(bench.give(note).is_some());
    // The run was refused under the number that the note would have had; the note has none.
    let after = bench.core.stamper.stamp(Input::Tick).seq;
    assert_eq!(after, before + 2);
}

#[tokio::test]
async fn what_a_clock_that_was_set_back_voids_is_not_written_down_as_approved() {
    let mut bench = Bench::new();
    let now = bench.core.stamper.at();
    let before = now.plus_ms(-3_600_000);
    bench.core.stamper = Stamper::new(Clock::scaled(before, 1e-9), now);
    let refused = bench.approve();
    let approved = |record: &Record| {
        matches!(
            record,
            Record::Decision {
                what: Command::Approve { .. },
                refused: None,
                ..
            }
        )
    };
    // The answer, the journal and the plan agree.
    let counts = (usize::from(refused.is_none()), bench.kept(approved));
    let approvals = bench.plan().approvals.len();
    assert_eq!(counts, (approvals, approvals), "{:?}", bench.plan().state);
}

/// A past that a server promises and never tells.
async fn endless_past() -> (Past, tokio::net::TcpListener) {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = silent.local_addr().unwrap();
    let text = format!("[[sources.promql]]\nurl = \"http://{at}\"\nselect = [\"up\"]\n");
    let (config, _) = crate::config::parse(&text, "it.toml").unwrap();
    let (registry, _queue) = signal_queue();
    let clock = Arc::new(|| Clock::real().now());
    let config = Arc::new(config);
    let sources = crate::sources::Sources::new(Arc::clone(&config), &registry, clock);
    let history = sources.history(Time::ZERO).expect("days of it");
    let scholar = Scholar::new(&config, None);
    (
        Past::Learning(Box::new(Learning { history, scholar })),
        silent,
    )
}

#[tokio::test]
async fn a_brake_ends_learning_and_is_obeyed() {
    let (door, inbox) = door::door();
    let mut core = Bench::new().core;
    core.inbox = inbox;
    let (past, _silent) = endless_past().await;
    let (stop, stopping) = watch::channel(false);
    let people = async {
        let give = |role, what| {
            let name = "mia".to_owned();
            door.command(Actor { name, role }, what)
        };
        let incident = IncidentId(1);
        let other = give(Role::Admin, Command::Acknowledge { incident }).await;
        assert_eq!(other.unwrap().refused, Some(Refusal::Learning));
        let brake = Command::KillSwitch { on: true };
        let nobody = give(Role::Viewer, brake.clone()).await.unwrap().refused;
        assert!(
            !matches!(nobody, None | Some(Refusal::Learning)),
            "{nobody:?}"
        );
        assert_eq!(give(Role::Admin, brake).await.unwrap().refused, None);
        let is_stopped = door.query(Engine::automation_stopped).await;
        assert!(is_stopped.unwrap());
        stop.send_replace(true);
    };
    tokio::join!(Box::pin(core.run(past, stopping)), people);
}

#[tokio::test]
async fn what_the_engine_refuses_is_in_the_row_of_its_source() {
    let mut bench = Bench::new();
    let now = bench.core.stamper.now();
    let line = |service: Option<&str>, at: Time| {
        let labels = service.map(|of| ("service", of));
        Signal::Log(Box::new(LogLine {
            at,
            labels: Labels::from_pairs(labels).unwrap(),
            level: None,
            text: "served".into(),
            trace: None,
            span: None,
        }))
    };
    let ancient = now.plus_ms(-400 * 86_400_000);
    let sender = bench.core.registry.source("loki", Rhythm::Sporadic, "here");
    let mut row_after = |lines: Vec<Signal>| {
        sender.try_send(lines).unwrap();
        let queued = bench.core.signals.try_recv().unwrap();
        bench.core.telemetry(queued);
        bench.core.note_sources(bench.core.stamper.now());
        let row = bench.core.source_rows.iter().find(|row| row.name == "loki");
        let row = row.unwrap();
        let why = row.last_refusal.as_ref().map(|last| last.why.to_string());
        (row.health, row.taken, row.rejected, why.unwrap_or_default())
    };
    let nameless = "labels name no entity (2 so far)".to_owned();
    assert_eq!(
        row_after(vec![line(None, now), line(None, now)]),
        (SourceHealth::Rejecting, 0, 2, nameless)
    );
    let old = "time too far from the clock (1 so far)".to_owned();
    assert_eq!(
        row_after(vec![line(Some("web"), now), line(Some("web"), ancient)]),
        (SourceHealth::Live, 1, 3, old)
    );
}

#[tokio::test]
async fn a_run_whose_records_are_lost_with_it_has_not_ended_in_order() {
    for (appends, is_failing) in [(usize::MAX, false), (0, true)] {
        let folder = tempfile::tempdir().unwrap();
        let open = || Ledger::open(Some(folder.path())).unwrap().0;
        let mut bench = Bench::new();
        bench.core.ledger = open();
        bench.break_after(appends);
        let (_stop, stopping) = watch::channel(true);
        Box::pin(bench.core.run(Past::None, stopping)).await;
        assert_eq!(open().begin_run(), is_failing, "{appends} appends worked");
    }
}

#[tokio::test]
async fn who_is_stopped_while_learning_keeps_what_fires_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let mut core = Bench::new().core;
    core.checkpoints = Checkpoints::new(Some(folder.path())).unwrap();
    let now = core.stamper.now();
    let labels = Labels::from_pairs([("alertname", "Down")]).unwrap();
    let fires = crate::model::FiringAlert {
        alert: Alert {
            fingerprint: Fingerprint::of(&labels),
            labels,
            annotations: Labels::from_pairs([("summary", "down")]).unwrap(),
            starts_at: now.plus_ms(-7_200_000),
            ends_at: now.plus_ms(7_200_000),
            generator_url: None,
        },
        came: now.plus_ms(-3_600_000),
        source: None,
        told_at: Some(now.plus_ms(-3_600_000)),
        unheard: None,
    };
    core.recalled = vec![Input::Recalled(Box::new(crate::model::Recalled {
        alerts: vec![fires.clone()],
        ..Default::default()
    }))];
    let (past, _silent) = endless_past().await;
    let (stop, stopping) = watch::channel(true);
    Box::pin(core.run(past, stopping)).await;
    drop(stop);
    let mut again = Engine::new(EngineConfig::default(), Vec::new());
    let restored = super::super::checkpoints::restore(&mut again, folder.path());
    let restored = restored.unwrap().expect("it was written");
    assert_eq!(restored.alerts, [fires]);
    assert!(
        restored.at >= now,
        "of the time it was written at: {}",
        restored.at
    );
    assert_eq!(again.now(), Time::ZERO, "nothing was learned");
}
