//! Programs that behave and misbehave, run for real; and a simulator that answers or does not.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::model::RunPhase;

/// Far beyond what any of these programs needs: reached only when something hangs.
const PATIENCE: Duration = Duration::from_mins(1);
/// No run in these tests is meant to reach its own timeout, except those that set a short one.
const LONG_MS: i64 = 60_000;

/// Of no daemon. Tests run beside each other, and a run that is stopped takes all with it that bears its
/// names: each has its own.
fn realm() -> String {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let n = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("executor test {n} of {}", std::process::id())
}

fn run_id(step: u32) -> RunId {
    RunId {
        plan: PlanId(3),
        phase: RunPhase::Forward,
        step,
    }
}

fn action(executor: ExecutorKind, argv: &[&str], timeout_ms: i64) -> Action {
    Action {
        title: Box::from("test"),
        executor,
        argv: argv.iter().map(|argument| Box::from(*argument)).collect(),
        timeout_ms,
    }
}

/// Runs one command to its end: what it printed and how it ended.
async fn perform(argv: &[&str], timeout_ms: i64) -> (Vec<String>, Outcome) {
    let (reports, mut heard) = mpsc::channel(4);
    let executors = Executors::new(reports, None, &realm());
    executors.run(run_id(0), action(ExecutorKind::Command, argv, timeout_ms));
    let mut printed = Vec::new();
    loop {
        let event = tokio::time::timeout(PATIENCE, heard.recv()).await;
        match event
            .expect("the run ends")
            .expect("the executor lives")
            .kind
        {
            StepEventKind::Output(line) => printed.push(line),
            StepEventKind::Finished(outcome) => return (printed, outcome),
            StepEventKind::Began(_) => {}
            other => panic!("{other:?} of a run of our own"),
        }
    }
}

fn never(why: &str) -> Outcome {
    let why = why.to_owned();
    Outcome::NotStarted { why, alone: true }
}

fn failed(why: &str) -> Outcome {
    let why = why.to_owned();
    Outcome::Failed { why }
}

#[tokio::test]
async fn ends_are_told_apart() {
    let cases: [(&[&str], Outcome); 7] = [
        (&["true"], Outcome::Succeeded),
        (&["/bin/false"], failed("exit code 1")),
        (
            &["sh", "-c", "echo broken >&2; exit 3"],
            failed("exit code 3: broken"),
        ),
        (&["sh", "-c", "kill -9 $$"], failed("killed by signal 9")),
        (
            &["no-such-program"],
            never("cannot start no-such-program: No such file or directory (os error 2)"),
        ),
        (
            &["true\0"],
            never("cannot start true\0: nul byte found in provided data"),
        ),
        (
            &[],
            never("cannot start nothing: the argument vector is empty"),
        ),
    ];
    for (argv, outcome) in cases {
        assert_eq!(perform(argv, LONG_MS).await.1, outcome, "{argv:?}");
    }
}

#[tokio::test]
async fn arguments_reach_the_program_untouched_and_no_shell_sees_them() {
    let (printed, outcome) =
        perform(&["printf", "%s|", "a b", "$HOME", "`id`", "; id"], LONG_MS).await;
    assert_eq!(
        (printed, outcome),
        (vec!["a b|$HOME|`id`|; id|".to_owned()], Outcome::Succeeded)
    );
}

#[tokio::test]
async fn the_environment_is_minimal_and_input_is_empty() {
    let (mut printed, _) = perform(&["sh", "-c", "env | cut -d= -f1; wc -c; pwd"], LONG_MS).await;
    // The shell sets these for itself.
    printed.retain(|line| !["PWD", "SHLVL", "_", "OLDPWD"].contains(&line.as_str()));
    printed.sort();
    printed.retain(|line| line != "LANG" && line != "HOME");
    assert_eq!(
        printed,
        [
            "/",
            "0",
            "PATH",
            "STORMGLASS_PHASE",
            "STORMGLASS_PLAN",
            "STORMGLASS_REALM",
            "STORMGLASS_STEP"
        ]
    );
}

#[tokio::test]
async fn hostile_output_is_bounded_and_cannot_block() {
    let flood = "head -c 3000000 /dev/zero | tr '\\0' 'x'; echo; printf '\\033[31m\\377\\n'; \
                 i=0; while [ $i -lt 500 ]; do echo line $i; i=$((i+1)); done";
    let (printed, outcome) = perform(&["sh", "-c", flood], LONG_MS).await;
    assert_eq!(outcome, Outcome::Succeeded);
    assert_eq!(printed.len() as u64, LINES_MAX + 1);
    assert_eq!(printed[0], "x".repeat(LINE_BYTES_MAX));
    assert_eq!(printed[1], "\u{1b}[31m\u{fffd}");
    assert_eq!(
        printed[LINES_MAX as usize],
        format!(
            "… 302 more lines and {} bytes of long lines not kept",
            3_000_000 - LINE_BYTES_MAX
        )
    );
}

#[tokio::test]
async fn a_timeout_ends_the_whole_group() {
    // The child ignores the polite signal, and its own child keeps the pipe open.
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pids");
    let script = format!(
        "trap '' TERM; sleep 300 & echo $! > {0}; echo $$ >> {0}; wait; sleep 300",
        file.display()
    );
    let (_, outcome) = perform(&["sh", "-c", &script], 300).await;
    assert_eq!(outcome, Outcome::TimedOut);
    for pid in std::fs::read_to_string(&file).unwrap().lines() {
        // A grandchild is killed by now, but it is the system that buries it, in its own time.
        let buried = async {
            while is_running(pid) {
                tokio::task::yield_now().await;
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, buried).await;
        in_time.unwrap_or_else(|_| panic!("process {pid} outlived its run"));
    }
}

#[tokio::test]
async fn what_left_the_group_for_a_session_of_its_own_is_ended_too() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pid");
    let script = format!(
        "setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 300' >/dev/null 2>&1 &
         while [ ! -e {0} ]; do sleep 0.01; done; ",
        file.display()
    );
    // Timed out; and over by itself, where a program that goes on may be what was wanted.
    let waits = script.clone() + "sleep 300";
    let (_, outcome) = perform(&["sh", "-c", &waits], 2_000).await;
    assert_eq!(outcome, Outcome::TimedOut);
    let pid = std::fs::read_to_string(&file).expect("it has begun");
    assert!(!is_running(pid.trim()), "it outlived its run");
    std::fs::remove_file(&file).unwrap();

    let (_, outcome) = perform(&["sh", "-c", &script], LONG_MS).await;
    assert_eq!(outcome, Outcome::Succeeded);
    let pid = std::fs::read_to_string(&file).expect("it has begun");
    assert!(is_running(pid.trim()), "a step may start a daemon");
    let number = pid
        .trim()
        .parse()
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let number = number.expect("a process has a number");
    rustix::process::kill_process(number, rustix::process::Signal::KILL).unwrap();
}

#[test]
fn what_cannot_be_ended_is_named() {
    use super::command::{outlives, stopped};
    let said = |left: &[u32]| stopped(outlives(left));
    assert_eq!(said(&[]), "stopped on request");
    let one = "stopped on request; pid 7 cannot be ended: end by hand";
    assert_eq!(said(&[7]), one);
    let two = "stopped on request; pids 7, 8 cannot be ended: end by hand";
    assert_eq!(said(&[7, 8]), two);
}

/// Whether a process runs; a zombie waiting for its parent does not.
fn is_running(pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !stat
            .rsplit(')')
            .next()
            .unwrap_or("")
            .trim_start()
            .starts_with('Z')
    })
}

#[tokio::test]
async fn a_run_can_be_stopped_and_is_never_repeated() {
    let (reports, mut heard) = mpsc::channel(4);
    let executors = Executors::new(reports, None, &realm());
    let sleep = || action(ExecutorKind::Command, &["sleep", "300"], LONG_MS);
    executors.run(run_id(0), sleep());
    executors.run(run_id(0), sleep());
    assert_eq!(executors.in_flight(), 1);
    executors.cancel(run_id(0));
    executors.cancel(run_id(0));
    let end = |step, outcome| StepEvent {
        run: run_id(step),
        kind: StepEventKind::Finished(outcome),
    };
    let began = heard.recv().await.map(|event| event.kind);
    assert!(matches!(began, Some(StepEventKind::Began(_))), "{began:?}");
    assert_eq!(
        heard.recv().await,
        Some(end(0, failed("stopped on request")))
    );
    executors.run(run_id(0), sleep());
    executors.run(run_id(1), action(ExecutorKind::Command, &["true"], LONG_MS));
    let began = heard.recv().await.map(|event| event.run);
    assert_eq!(began, Some(run_id(1)));
    assert_eq!(heard.recv().await, Some(end(1, Outcome::Succeeded)));
    assert_eq!(executors.in_flight(), 0);
    drop(executors);
    assert_eq!(heard.recv().await, None, "one end for each run, no more");
}

#[tokio::test]
async fn the_simulator_answers_or_is_missed() {
    let ask = action(ExecutorKind::Sim, &["restart", "checkout"], LONG_MS);
    let (reports, mut heard) = mpsc::channel(4);
    let mut next = async || match heard.recv().await.map(|event: StepEvent| event.kind) {
        Some(StepEventKind::Finished(outcome)) => outcome,
        other => panic!("{other:?}"),
    };
    let nobody = Executors::new(reports.clone(), None, &realm());
    nobody.run(run_id(0), ask.clone());
    assert_eq!(next().await, failed("there is no simulator here"));

    let (requests, mut asked) = mpsc::channel(1);
    let executors = Executors::new(reports, Some(SimHandle::new(requests)), &realm());
    executors.run(run_id(0), ask.clone());
    let request = asked.recv().await.unwrap();
    assert_eq!((request.run, &request.action), (run_id(0), &ask));
    request.reply.send(Outcome::Succeeded).unwrap();
    assert_eq!(next().await, Outcome::Succeeded);

    executors.run(run_id(1), ask.clone());
    drop(asked.recv().await);
    assert_eq!(next().await, Outcome::Unknown);

    drop(asked);
    executors.run(run_id(2), ask);
    assert_eq!(next().await, failed("the simulator is gone"));
}

#[test]
fn forgetting_old_runs_never_allows_a_repetition() {
    let mut runs = Runs::default();
    let run = |plan| RunId {
        plan: PlanId(plan),
        phase: RunPhase::Forward,
        step: 0,
    };
    for plan in 0..(RUNS_REMEMBERED_MAX as u64 + 10) {
        assert!(runs.begin(run(plan), Arc::default()));
        runs.cancel.clear();
    }
    assert_eq!(runs.started.len(), RUNS_REMEMBERED_MAX);
    for plan in [0, 9, 10, RUNS_REMEMBERED_MAX as u64 + 9] {
        assert!(!runs.begin(run(plan), Arc::default()), "plan {plan}");
    }
}

/// A command as a daemon that is dead now left it: in its own group, with the names of its run.
fn orphan(run: RunId, realm: &str, script: &str) -> std::process::Child {
    use std::os::unix::process::CommandExt;
    std::process::Command::new("sh")
        .args(["-c", script])
        .envs(process::environment(run, realm))
        .process_group(0)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn an_orphan_is_found_watched_and_stopped_but_never_started_again() {
    let (reports, mut heard) = mpsc::channel(4);
    let realm = format!("orphans of {}", std::process::id());
    let executors = Executors::new(reports, None, &realm);
    let mut next = async || {
        let event = tokio::time::timeout(PATIENCE, heard.recv()).await;
        event.expect("it is reported").expect("the executor lives")
    };
    let event = |step, kind| StepEvent {
        run: run_id(step),
        kind,
    };
    // Nothing of it is left.
    assert_eq!(
        executors.adopt(run_id(0), None),
        event(0, StepEventKind::Gone)
    );

    // Written down, and it ends by itself.
    let mut child = orphan(run_id(1), &realm, "read line < /dev/tty0 || exec sleep 300");
    let known = process::of(child.id()).unwrap();
    let lives = StepEventKind::Lives(known.clone());
    assert_eq!(executors.adopt(run_id(1), Some(&known)), event(1, lives));
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(next().await, event(1, StepEventKind::Gone));

    // Nobody had the time to write it down, and it does not listen to the polite signal. That it was not
    // found at first keeps nobody from looking after it.
    assert_eq!(
        executors.adopt(run_id(2), None),
        event(2, StepEventKind::Gone)
    );
    let mut child = orphan(run_id(2), &realm, "trap '' TERM; while :; do sleep 1; done");
    let kind = loop {
        // Between fork and exec it has no name yet.
        match executors.adopt(run_id(2), None).kind {
            StepEventKind::Gone => tokio::task::yield_now().await,
            kind => break kind,
        }
    };
    let StepEventKind::Lives(found) = kind else {
        panic!("{kind:?}");
    };
    assert_eq!(found.pid, child.id());
    executors.run(run_id(2), action(ExecutorKind::Command, &["true"], LONG_MS));
    executors.cancel(run_id(2));
    let stopped = StepEventKind::Finished(failed("stopped on request"));
    assert_eq!(next().await, event(2, stopped));
    child.wait().unwrap();
}

#[tokio::test]
async fn what_outlives_its_leader_is_not_said_to_have_ended() {
    let (reports, _heard) = mpsc::channel(4);
    let realm = format!("leaderless of {}", std::process::id());
    let executors = Executors::new(reports, None, &realm);
    // The leader ends at once and is waited for; what it left in its group goes on.
    let mut leader = orphan(run_id(0), &realm, "sleep 300 & echo $!");
    let group = leader.id();
    leader.wait().unwrap();
    assert_eq!(
        executors.adopt(run_id(0), None).kind,
        StepEventKind::NotKnown
    );
    let group = i32::try_from(group)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    let group = group.expect("a process has a number");
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
}

#[tokio::test]
async fn an_adopted_run_is_asked_to_stop_as_often_as_wanted() {
    let (reports, _heard) = mpsc::channel(4);
    let executors = Executors::new(reports, None, &realm());
    let cancelled = Arc::new(Notify::new());
    let first = executors.lock().begin(run_id(77), Arc::clone(&cancelled));
    assert!(first);
    for _ in 0..2 {
        executors.cancel(run_id(77));
        let asked = tokio::time::timeout(PATIENCE, cancelled.notified()).await;
        asked.expect("each wish is heard");
        assert_eq!(executors.in_flight(), 1, "it goes on until it has ended");
    }
}
