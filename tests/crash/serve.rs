//! `stormglass serve`, killed at any moment (SIGKILL): no acknowledged decision is lost, and no
//! command runs twice or without an intent.
//!
//! The daemon is driven over its API by a client that proposes, approves, settles and notes; plans run
//! real commands that write down that they ran.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};
use std::time::Duration;

use stormglass::api::View;
use stormglass::api::client::{Address, Client, IncidentQuery};
use stormglass::model::{Command, IncidentId, Outcome, Phase, Plan, PlanState, Record};
use stormglass::store::recorder::FLUSH_EVERY;

use crate::kept::{self, Random};

/// How often the daemon is killed.
const KILLS: u32 = 50;
/// Latest acknowledgement after which it is killed.
const ACKNOWLEDGED_MAX: u64 = 16;
/// Longest wait for what a daemon does by itself: many times what it takes.
const PATIENCE: Duration = Duration::from_mins(1);
/// Longest wait between an acknowledgement and the kill, in microseconds: within the next decisions.
const JITTER_US_MAX: u64 = 80_000;

#[tokio::test]
async fn a_daemon_killed_at_any_moment_loses_no_acknowledged_decision() {
    let home = tempfile::tempdir().unwrap();
    configure(home.path());
    let mut random = Random(0x0d1e);
    let mut acknowledged = Vec::new();
    for _ in 0..KILLS {
        let after = random.below(ACKNOWLEDGED_MAX) + 1;
        let jitter = Duration::from_micros(random.below(JITTER_US_MAX));
        Served::start(home.path())
            .live(after, jitter, &mut acknowledged)
            .await;
        check_kept(home.path(), &acknowledged);
    }
    let records = kept::records(&journal_of(home.path()));
    let in_state = |state| kept::plans_in(&records, state);
    let settled = acknowledged
        .iter()
        .filter(|said| said.contains("settle"))
        .count();
    println!(
        "{KILLS} kills, {} decisions acknowledged, {} records, {} approvals, {settled} runs settled, \
         {} commands ran, {} plans rolled back",
        acknowledged.len(),
        records.len(),
        acknowledged
            .iter()
            .filter(|said| said.contains("approve"))
            .count(),
        ran(home.path()).len(),
        in_state("rolled back"),
    );
    assert!(ran(home.path()).len() > 10, "plans hardly ever ran");
    assert!(settled > 0, "no kill ever hit a run");
}

#[tokio::test]
async fn an_alert_that_fires_is_known_to_the_next_daemon() {
    let home = tempfile::tempdir().unwrap();
    configure(home.path());
    let mut served = Served::start(home.path());
    // Its sender tells it once; the checkpoint is minutes away.
    served.send(r#", "endsAt": "2100-01-01T00:00:00Z""#).await;
    let firing = |alerts: u64| move |view: &View| view.counts.alerts_firing == alerts;
    served.view_until(firing(1)).await;
    // What a crash may lose of telemetry: the recorder writes every second.
    tokio::time::sleep(FLUSH_EVERY * 2).await;
    for stop in ["-9", "-15"] {
        let id = served.child.0.id().to_string();
        Process::new("kill").args([stop, &id]).status().unwrap();
        served.child.0.wait().unwrap();
        served = Served::start(home.path());
        let view = served.view_until(firing(1)).await;
        let open: Vec<_> = view.incidents.values().map(|row| row.phase).collect();
        assert_eq!(open, [Phase::Open], "after kill {stop}");
    }
    // Nor is its end forgotten.
    served.send(r#", "endsAt": "2001-01-01T00:00:00Z""#).await;
    served.view_until(firing(0)).await;
    tokio::time::sleep(FLUSH_EVERY * 2).await;
    served.kill();
    let mut served = Served::start(home.path());
    served.view_until(firing(0)).await;
    served.kill();
}

#[tokio::test]
async fn a_command_that_outlives_a_killed_daemon_is_told_and_stopped_not_settled() {
    let home = tempfile::tempdir().unwrap();
    configure(home.path());
    let marker = home.path().join("pid").display().to_string();
    let script = format!("echo $$ > {marker}; sleep 300; true");
    one_step(home.path(), &script);
    let mut served = Served::start(home.path());
    served.send_alert().await;
    let plan = served.run_until(|plan| plan.process.is_some()).await;
    let process = plan.process.expect("it has one");
    served.kill();
    let pid = process.pid.to_string();
    assert!(is_alive(&pid), "the command outlives the daemon");

    let mut served = Served::start(home.path());
    let plan = served.run_until(|_| true).await;
    assert!(matches!(plan.state, PlanState::Unknown { .. }), "{plan:?}");
    // When it began is read off the system's clock anew, and may differ by less than a second.
    let told = plan.runs_unheard().map(|told| (told.pid, &told.mark));
    let same = Some((process.pid, &process.mark));
    assert_eq!(told, same, "told from the start");
    for outcome in [Outcome::Succeeded, Outcome::TimedOut] {
        let settle = Command::Settle {
            plan: plan.id,
            outcome,
        };
        let refused = served.client.command(&settle).await.unwrap().refused;
        let why = refused.expect("it still runs").to_string();
        assert!(why.contains("still runs"), "{why}");
    }
    let digest = None;
    let stop = Command::RollBack {
        plan: plan.id,
        digest,
    };
    assert_eq!(served.client.command(&stop).await.unwrap().refused, None);
    let plan = served.run_until(|plan| plan.state.is_final()).await;
    assert!(!is_alive(&pid), "it was stopped: {plan:?}");
    served.kill();
    let stops = kept::records(&journal_of(home.path()));
    let stops = stops.iter().filter(|record| {
        matches!(
            record,
            Record::Decision {
                what: Command::RollBack { .. },
                refused: None,
                ..
            }
        )
    });
    assert_eq!(
        stops.count(),
        1,
        "the decision to stop it is in the journal"
    );
}

/// Replaces the runbook with one whose only step is a script.
fn one_step(home: &Path, script: &str) {
    let runbook = format!(
        r#"
        name = "fix"
        title = "fix {{entity}}"
        description = "runs for long"
        risk = "low"
        match = []
        steps = [{{ title = "one", argv = ["sh", "-c", "{script}"], timeout_s = 600 }}]
        verify = {{ recover_within_s = 1 }}
        "#
    );
    fs::write(home.join("runbooks/fix.toml"), runbook).unwrap();
}

/// Whether a process runs; one that only waits for its parent does not.
fn is_alive(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned());
    state.is_some_and(|state| !state.starts_with(['Z', 'X']))
}

/// A daemon on a folder of its own, with one runbook whose steps note that they ran.
pub fn configure(home: &Path) {
    let at = |name: &str| home.join(name).display().to_string();
    let config = format!(
        "socket = \"{}\"\ndata_dir = \"{}\"\nrunbooks_dir = \"{}\"\nlisten = \"127.0.0.1:0\"\n\
         otlp_listen = \"\"\notlp_grpc_listen = \"\"\n[sources.host]\nenabled = false\n",
        at("s.sock"),
        at("data"),
        at("runbooks"),
    );
    fs::write(home.join("c.toml"), config).unwrap();
    fs::create_dir(home.join("runbooks")).unwrap();
    let note = format!(
        "[\"sh\", \"-c\", \"echo $STORMGLASS_PLAN $STORMGLASS_PHASE $STORMGLASS_STEP >> {}; sleep 0.02\"]",
        at("ran")
    );
    let runbook = format!(
        r#"
        name = "fix"
        title = "fix {{entity}}"
        description = "notes that it ran"
        risk = "low"
        match = []
        preconditions = [{{ title = "look", argv = {note} }}]
        steps = [
            {{ title = "one", argv = {note}, rollback = {note} }},
            {{ title = "two", argv = {note}, rollback = {note} }},
        ]
        verify = {{ recover_within_s = 1 }}
        "#
    );
    fs::write(home.join("runbooks/fix.toml"), runbook).unwrap();
}

/// A test that fails leaves no daemon behind, also when it never was ready.
struct Running(Child);

pub struct Served {
    child: Running,
    pub client: Client,
    listen: String,
}

impl Served {
    pub fn start(home: &Path) -> Self {
        Self::start_under(&[], home)
    }

    /// The same by a program that becomes the daemon, such as one that sets a limit.
    pub fn start_under(wrapper: &[&str], home: &Path) -> Self {
        let config = home.join("c.toml").display().to_string();
        let daemon = [
            env!("CARGO_BIN_EXE_stormglass"),
            "--config",
            &config,
            "serve",
        ];
        let words = [wrapper, &daemon[..]].concat();
        let child = Process::new(words[0])
            .args(&words[1..])
            .env_clear()
            .env("HOME", home)
            .env("PATH", std::env::var_os("PATH").unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut child = Running(child);
        let mut log = BufReader::new(child.0.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let ready = log.by_ref().map(Result::unwrap).find(|line| {
            said.push(line.clone());
            line.contains("ready")
        });
        let ready = ready.unwrap_or_else(|| panic!("the daemon did not start: {said:#?}"));
        std::thread::spawn(move || log.count());
        let (_, after) = ready.split_once("listen=").unwrap();
        let listen = after
            .split_whitespace()
            .next()
            .unwrap()
            .trim_matches('"')
            .to_owned();
        let client = Client::new(Address::Socket(home.join("s.sock"))).unwrap();
        Self {
            child,
            client,
            listen,
        }
    }

    /// Ends it without a word.
    pub fn kill(&mut self) {
        self.child.0.kill().unwrap();
        self.child.0.wait().unwrap();
    }

    /// Decides until it is dead; what was acknowledged is added to `acknowledged`.
    async fn live(mut self, after: u64, jitter: Duration, acknowledged: &mut Vec<String>) {
        self.send_alert().await;
        let id = self.child.0.id().to_string();
        let mut count = 0;
        while let Some(command) = self.next_command(acknowledged.len()).await {
            // No reply: it is dead, and whether it decided is open.
            if self.client.command(&command).await.is_err() {
                break;
            }
            acknowledged.push(serde_json::to_string(&command).unwrap());
            count += 1;
            if count == after {
                let id = id.clone();
                std::thread::spawn(move || {
                    std::thread::sleep(jitter);
                    Process::new("kill").args(["-9", &id]).status().unwrap();
                });
            }
        }
        let status = self.child.0.wait().unwrap();
        assert_eq!(status.code(), None, "it ended by itself: {status}");
        assert!(count >= after, "it died before it was killed");
    }

    /// Looks until `is_so` holds.
    pub async fn view_until(&self, is_so: impl Fn(&View) -> bool) -> View {
        let mut last = None;
        let looks = async {
            loop {
                let view = self.client.view().await.unwrap();
                if is_so(&view) {
                    return view;
                }
                last = Some(view);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let found = tokio::time::timeout(PATIENCE, looks).await;
        found.unwrap_or_else(|_| panic!("in {PATIENCE:?} only this came: {last:#?}"))
    }

    /// Proposes and approves until there is a plan of which `is_so` holds.
    async fn run_until(&self, is_so: impl Fn(&Plan) -> bool) -> Plan {
        let mut last = None;
        let looks = async {
            loop {
                let plans = self.client.plans().await.unwrap();
                let newest = plans.into_iter().next_back();
                match newest {
                    Some(plan) if plan.state != PlanState::Proposed && is_so(&plan) => return plan,
                    Some(plan) if plan.state != PlanState::Proposed => {
                        last = Some(plan);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                    _ => {
                        let command = self.next_command(0).await.unwrap();
                        self.client.command(&command).await.unwrap();
                    }
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, looks).await;
        found.unwrap_or_else(|_| panic!("in {PATIENCE:?} only this came: {last:#?}"))
    }

    pub async fn send_alert(&self) {
        self.send("").await;
    }

    /// Sends the alert with more fields.
    async fn send(&self, more: &str) {
        let body = format!(
            r#"[{{"labels": {{"alertname": "Down", "service": "checkout", "severity": "critical"}}{more}}}]"#
        );
        let answer = reqwest::Client::new()
            .post(format!("http://{}/api/v2/alerts", self.listen))
            .header("content-type", "application/json")
            .body(body)
            .send()
            .await
            .unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Approves what waits, settles what is in doubt, proposes when there is nothing, else notes.
    /// `None` when nobody answers any more.
    async fn next_command(&self, count: usize) -> Option<Command> {
        let plans = self.client.plans().await.ok()?;
        let open = self
            .client
            .incidents(&IncidentQuery::default())
            .await
            .ok()?;
        let open = open.items.first().map(|row| row.id);
        let note = Command::Note {
            incident: open.unwrap_or(IncidentId(1)),
            text: format!("note {count}"),
        };
        let live = |plan: &&Plan| !plan.state.is_final();
        let plan = plans.iter().find(live);
        if let Some(decision) = plan.and_then(kept::decision) {
            return Some(decision);
        }
        Some(match (plan, open) {
            // It is judged within two ticks: whoever writes meanwhile writes at a person's pace.
            (Some(plan), _) if matches!(plan.state, PlanState::Verifying { .. }) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                note
            }
            (None, Some(incident)) => kept::proposal(incident),
            _ => note,
        })
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is left on the disk is right.
fn check_kept(home: &Path, acknowledged: &[String]) {
    kept::check(&journal_of(home), &home.join("ran"), acknowledged);
    let set_aside = home.join("data/db.damaged-1");
    assert!(!set_aside.exists(), "a kill is no damage to the database");
}

fn ran(home: &Path) -> Vec<String> {
    kept::lines(&home.join("ran"))
}

pub fn journal_of(home: &Path) -> PathBuf {
    home.join("data/journal.jsonl")
}
