//! Runs a program from an argument vector, in its own process group, and reads what it prints.
//!
//! There is never a shell, an inherited environment, an inherited input or an unbounded line. Whatever
//! happens, the whole process group is gone when a run has timed out or was stopped, and so is what left the
//! group for a session of its own; what cannot be ended is named.

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::process;
use crate::model::{Action, Outcome, RunId, StepEvent, StepEventKind};

/// Longest line reported, in bytes; the rest of the line is dropped and counted.
pub const LINE_BYTES_MAX: usize = 512;
/// Most lines reported of one run; later ones are counted in one last line.
pub const LINES_MAX: u64 = 200;

/// Between asking a process group to end and ending it.
pub(super) const KILL_AFTER: Duration = Duration::from_secs(2);
/// How long output may keep coming after the program itself ended: grandchildren hold the pipe.
const DRAIN: Duration = Duration::from_millis(500);
/// Read at a time.
const CHUNK_BYTES: usize = 8 * 1024;
/// Of the environment, only these are passed on.
const ENVIRONMENT: [&str; 3] = ["PATH", "HOME", "LANG"];
/// Where programs are looked for when the environment does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs `action` to its end, its timeout or the wish to stop.
pub(super) async fn perform(
    run: RunId,
    action: &Action,
    realm: &str,
    cancelled: &Notify,
    reports: mpsc::Sender<StepEvent>,
) -> Outcome {
    let mut child = match command(run, action, realm).and_then(|mut command| command.spawn()) {
        Ok(child) => child,
        Err(error) => {
            let program = action.argv.first().map_or("nothing", |program| program);
            return Outcome::NotStarted {
                why: format!("cannot start {program}: {error}"),
                alone: true,
            };
        }
    };
    let group = Group::of(&child);
    let output = Output::new(run, reports);
    if let Some(process) = child.id().and_then(process::of) {
        output.report(StepEventKind::Began(process)).await;
    }
    let readers = [
        child.stdout.take().map(|pipe| output.read(pipe)),
        child.stderr.take().map(|pipe| output.read(pipe)),
    ];
    let timeout = Duration::from_millis(action.timeout_ms.unsigned_abs());
    let ended = tokio::select! {
        status = child.wait() => Ended::ByItself(status),
        () = tokio::time::sleep(timeout) => Ended::TimedOut,
        () = cancelled.notified() => Ended::Stopped,
    };
    if !matches!(ended, Ended::ByItself(_)) {
        group.end(&mut child).await;
    }
    let last_line = drain(readers, &group).await;
    group.let_go();
    let mut outlived = None;
    if !matches!(ended, Ended::ByItself(_)) {
        outlived = outlives(&process::end_strays(run, realm).await);
    }
    output.tell_rest().await;
    if let Some(outlived) = &outlived {
        output.send(outlived.clone()).await;
    }
    ended.outcome(last_line, outlived)
}

/// Says of processes that live on after their run was to end; `None` when there are none.
pub(super) fn outlives(left: &[u32]) -> Option<String> {
    let numbers: Vec<String> = left.iter().map(u32::to_string).collect();
    let pids = match left {
        [] => return None,
        [_] => "pid",
        _ => "pids",
    };
    let numbers = numbers.join(", ");
    Some(format!("{pids} {numbers} cannot be ended: end by hand"))
}

/// Where a program is found, as `run` would find it.
pub fn find_program(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|path| path.is_file());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| DEFAULT_PATH.into());
    std::env::split_paths(&path)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

/// The process to be, not started yet.
fn command(run: RunId, action: &Action, realm: &str) -> std::io::Result<Command> {
    let (program, arguments) = action.argv.split_first().ok_or_else(|| {
        std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "the argument vector is empty",
        )
    })?;
    let mut command = Command::new(&**program);
    command
        .args(arguments.iter().map(|argument| &**argument))
        .env_clear()
        .env("PATH", DEFAULT_PATH)
        .envs(
            ENVIRONMENT
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .envs(process::environment(run, realm))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    Ok(command)
}

/// What is said of a run that was stopped.
pub(super) fn stopped(outlived: Option<String>) -> String {
    let outlived = outlived.map_or_else(String::new, |outlived| format!("; {outlived}"));
    format!("stopped on request{outlived}")
}

/// Why waiting for the program ended.
enum Ended {
    ByItself(std::io::Result<ExitStatus>),
    TimedOut,
    Stopped,
}

impl Ended {
    fn outcome(self, last_line: Option<String>, outlived: Option<String>) -> Outcome {
        let said = last_line.map_or(String::new(), |line| format!(": {line}"));
        match self {
            Self::TimedOut => Outcome::TimedOut,
            Self::Stopped => Outcome::Failed {
                why: stopped(outlived),
            },
            Self::ByItself(Ok(status)) if status.success() => Outcome::Succeeded,
            Self::ByItself(Ok(status)) => Outcome::Failed {
                why: match (status.code(), status.signal()) {
                    (Some(code), _) => format!("exit code {code}{said}"),
                    (None, Some(signal)) => format!("killed by signal {signal}{said}"),
                    (None, None) => format!("ended without a code{said}"),
                },
            },
            // It was started, and the system does not tell how it ended.
            Self::ByItself(Err(_)) => Outcome::Unknown,
        }
    }
}

/// The process group of a run; ended with it, also when the run is dropped half-way.
struct Group {
    leader: Option<Pid>,
}

impl Group {
    fn of(child: &Child) -> Self {
        let id = child.id().and_then(|id| i32::try_from(id).ok());
        Self {
            leader: id.and_then(Pid::from_raw),
        }
    }

    /// Asks the group to end, and ends it.
    async fn end(&self, child: &mut Child) {
        self.signal(Signal::TERM);
        if tokio::time::timeout(KILL_AFTER, child.wait())
            .await
            .is_err()
        {
            self.signal(Signal::KILL);
            let _ = child.wait().await;
        }
        // The leader obeyed; its children may not have.
        self.signal(Signal::KILL);
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // An error means that nobody of the group is left.
            let _ = kill_process_group(leader, signal);
        }
    }

    /// The run is over: the number may soon name somebody else's group.
    fn let_go(mut self) {
        self.leader = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::KILL);
    }
}

/// Waits for the rest of the output; a group that keeps the pipe open is ended. Gives the last line
/// of the error output, or of the ordinary output.
async fn drain(readers: [Option<JoinHandle<Option<String>>>; 2], group: &Group) -> Option<String> {
    let mut last = None;
    for mut reader in readers.into_iter().flatten() {
        let mut read = tokio::time::timeout(DRAIN, &mut reader).await;
        if read.is_err() {
            group.signal(Signal::KILL);
            read = tokio::time::timeout(DRAIN, &mut reader).await;
        }
        let Ok(read) = read else {
            // Somebody outside the group holds the pipe: let go of it.
            reader.abort();
            continue;
        };
        last = read.ok().flatten().or(last);
    }
    last
}

/// What a run prints, counted over both pipes.
#[derive(Clone)]
struct Output {
    run: RunId,
    reports: mpsc::Sender<StepEvent>,
    lines: Arc<AtomicU64>,
    bytes_cut: Arc<AtomicU64>,
}

impl Output {
    fn new(run: RunId, reports: mpsc::Sender<StepEvent>) -> Self {
        Self {
            run,
            reports,
            lines: Arc::default(),
            bytes_cut: Arc::default(),
        }
    }

    /// Reads a pipe to its end in the background; gives its last line.
    fn read(
        &self,
        mut pipe: impl AsyncRead + Unpin + Send + 'static,
    ) -> JoinHandle<Option<String>> {
        let this = self.clone();
        tokio::spawn(async move {
            let mut chunk = vec![0; CHUNK_BYTES];
            let mut line = Vec::with_capacity(LINE_BYTES_MAX);
            let mut last = None;
            loop {
                let read = pipe.read(&mut chunk).await.unwrap_or(0);
                for &byte in &chunk[..read] {
                    match byte {
                        b'\n' | b'\r' => this.end_line(&mut line, &mut last).await,
                        _ if line.len() < LINE_BYTES_MAX => line.push(byte),
                        _ => {
                            this.bytes_cut.fetch_add(1, Ordering::Relaxed);
                        }
                    }
                }
                if read == 0 {
                    this.end_line(&mut line, &mut last).await;
                    return last;
                }
            }
        })
    }

    async fn end_line(&self, line: &mut Vec<u8>, last: &mut Option<String>) {
        if line.is_empty() {
            return;
        }
        let text = String::from_utf8_lossy(line).into_owned();
        line.clear();
        if self.lines.fetch_add(1, Ordering::Relaxed) < LINES_MAX {
            self.send(text.clone()).await;
        }
        *last = Some(text);
    }

    /// Says how much was not reported.
    async fn tell_rest(&self) {
        let lines = self.lines.load(Ordering::Relaxed).saturating_sub(LINES_MAX);
        let bytes = self.bytes_cut.load(Ordering::Relaxed);
        if lines > 0 || bytes > 0 {
            self.send(format!(
                "… {lines} more lines and {bytes} bytes of long lines not kept"
            ))
            .await;
        }
    }

    async fn send(&self, text: String) {
        self.report(StepEventKind::Output(text)).await;
    }

    async fn report(&self, kind: StepEventKind) {
        let run = self.run;
        // The receiver is gone only when the daemon ends.
        let _ = self.reports.send(StepEvent { run, kind }).await;
    }
}
