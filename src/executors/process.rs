//! Processes of this machine, told apart from later ones that bear the same number.
//!
//! Read from `/proc`: where there is none, no process is ever known and none is looked after. Nothing
//! here starts anything; what it ends are process groups and processes that it has just recognised.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::io::Errno;
use rustix::param::clock_ticks_per_second;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open, pidfd_send_signal};

use crate::model::{Process, RunId, Time};

/// Looks for processes of a run that left its group, before those still there are said to be out of reach.
const STRAY_LOOKS: usize = 20;
/// Looks in a row that find nobody, before there is nobody: a process that becomes another program (`execve`)
/// shows no environment for an instant.
const CLEAR_LOOKS: usize = 2;
/// Between two of them: the system buries what was killed in its own time.
const STRAY_PAUSE: Duration = Duration::from_millis(50);

/// What of `/proc/PID/stat` is needed; fields as `proc_pid_stat(5)` numbers them.
struct Stat {
    /// Field 3.
    state: char,
    /// Field 5.
    group: u32,
    /// Field 22, in clock ticks since the boot.
    began_ticks: u64,
}

/// What can be said of the process of a run that nobody listens to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It goes on, or its group does.
    Lives(Process),
    /// Nothing of it is left.
    Gone,
    /// This machine does not tell, or something of it is left that cannot be recognised again.
    NotKnown,
}

/// The environment variables that name a run, as `NAME=VALUE`.
pub(super) fn environment(run: RunId, realm: &str) -> [(&'static str, String); 4] {
    let phase = match run.phase {
        crate::model::RunPhase::Precondition => "precondition",
        crate::model::RunPhase::Forward => "forward",
        crate::model::RunPhase::Verify => "verify",
        crate::model::RunPhase::Rollback => "rollback",
    };
    [
        ("STORMGLASS_PLAN", run.plan.0.to_string()),
        ("STORMGLASS_PHASE", phase.to_owned()),
        ("STORMGLASS_STEP", run.step.to_string()),
        ("STORMGLASS_REALM", realm.to_owned()),
    ]
}

/// The process with this number, as it is now.
pub(super) fn of(pid: u32) -> Option<Process> {
    let stat = stat(pid)?;
    let boot = boot()?;
    Some(Process {
        pid,
        mark: format!("{boot}/{}", stat.began_ticks).into(),
        began: began(&stat),
    })
}

/// Whether a process still runs, as far as this machine tells.
pub(super) fn look(process: &Process) -> Found {
    if boot().is_none() || stat(std::process::id()).is_none() {
        return Found::NotKnown;
    }
    if lives(process) {
        Found::Lives(process.clone())
    } else {
        Found::Gone
    }
}

/// Whether a process still runs, or any that it left in its group. It is the same one only if it began
/// at the same instant of the same boot.
pub(super) fn lives(process: &Process) -> bool {
    let Some(boot) = boot() else { return false };
    let is_this_boot = process
        .mark
        .split_once('/')
        .is_some_and(|(of, _)| *of == boot);
    if !is_this_boot {
        return false;
    }
    match stat(process.pid) {
        Some(stat) if format!("{boot}/{}", stat.began_ticks) != *process.mark => false,
        Some(stat) if is_alive(&stat) => true,
        // While any of its group lives, the system gives its number to nobody else.
        _ => pids()
            .any(|pid| stat(pid).is_some_and(|stat| stat.group == process.pid && is_alive(&stat))),
    }
}

/// The process that was started for a run, found by its environment: for a run whose process nobody
/// had the time to write down. The leader of the group is the one that was started.
pub(super) fn find(run: RunId, realm: &str) -> Found {
    if boot().is_none() || stat(std::process::id()).is_none() {
        return Found::NotKnown;
    }
    let names = names(run, realm);
    let group = pids().find_map(|pid| {
        let stat = stat(pid).filter(is_alive)?;
        bears(pid, &names).then_some(stat.group)
    });
    match group.map(of) {
        Some(Some(leader)) => Found::Lives(leader),
        // The leader has ended and left others behind: its number alone proves nothing later on.
        Some(None) => Found::NotKnown,
        None => Found::Gone,
    }
}

/// Sends a signal to the group of a process that [`lives`]; an error means that nobody of it is left,
/// or that it belongs to another user.
pub(super) fn signal(process: &Process, signal: Signal) -> rustix::io::Result<()> {
    let leader = i32::try_from(process.pid).ok().and_then(Pid::from_raw);
    match leader {
        Some(leader) if lives(process) => kill_process_group(leader, signal),
        _ => Err(Errno::SRCH),
    }
}

/// Ends the processes of a run that left its group, as a session of their own does (`setsid`): they bear the
/// names of the run all the same. Gives the numbers of those that live on. One that took other names, or
/// is another user's, is not found.
pub(super) async fn end_strays(run: RunId, realm: &str) -> Vec<u32> {
    // Runs of daemons that keep nothing have no names of their own.
    if realm.is_empty() {
        return Vec::new();
    }
    let names = names(run, realm);
    let mut left = Vec::new();
    let mut clear_looks = 0;
    // The last look may be the first clear one.
    for _ in 0..STRAY_LOOKS + CLEAR_LOOKS - 1 {
        let names = names.clone();
        let hold = |pid| pidfd_open(pid, PidfdFlags::empty());
        match tokio::task::spawn_blocking(move || kill_all(&names, hold)).await {
            Ok(found) => {
                clear_looks = if found.is_empty() { clear_looks + 1 } else { 0 };
                left = found;
            }
            // Nothing was learnt: what the look before found is still what is known.
            Err(error) => {
                clear_looks = 0;
                tracing::warn!("cannot look for what a command left behind: {error}");
            }
        }
        if clear_looks == CLEAR_LOOKS {
            break;
        }
        tokio::time::sleep(STRAY_PAUSE).await;
    }
    left
}

/// Kills every process that bears these names; gives the numbers of all that may live on. `hold` keeps a
/// process's number from coming to mean another.
fn kill_all(names: &Names, hold: impl Fn(Pid) -> rustix::io::Result<OwnedFd>) -> Vec<u32> {
    let is_one = |pid: &u32| bears(*pid, names) && stat(*pid).is_some_and(|stat| is_alive(&stat));
    let all = pids().filter(is_one);
    all.filter(|pid| {
        let Some(number) = i32::try_from(*pid).ok().and_then(Pid::from_raw) else {
            return false;
        };
        match hold(number) {
            // It may have been another's by the time it was held: it is looked at once more.
            Ok(process) if is_one(pid) => {
                // An error means that it has just ended, or that it is not ours to end: the next look tells.
                let _ = pidfd_send_signal(&process, Signal::KILL);
                true
            }
            Ok(_) | Err(Errno::SRCH) => false,
            // An old kernel, a sandbox, no file left to open: it lives and cannot be reached.
            Err(_) => true,
        }
    })
    .collect()
}

/// The names of a run as they stand in an environment.
type Names = [String; 4];

fn names(run: RunId, realm: &str) -> Names {
    environment(run, realm).map(|(name, value)| format!("{name}={value}"))
}

/// Whether a process bears these names. Those of other users cannot be read, and are not ours.
fn bears(pid: u32, names: &Names) -> bool {
    let Ok(bytes) = fs::read(format!("/proc/{pid}/environ")) else {
        return false;
    };
    let has = |name: &String| bytes.split(|b| *b == 0).any(|var| var == name.as_bytes());
    names.iter().all(has)
}

fn stat(pid: u32) -> Option<Stat> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The name, in parentheses, may hold anything; what follows the last one is plain.
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?.chars().next()?;
    let group = fields.nth(1)?.parse().ok()?;
    let began_ticks = fields.nth(16)?.parse().ok()?;
    Some(Stat {
        state,
        group,
        began_ticks,
    })
}

/// A zombie has ended; only its parent has not asked how.
fn is_alive(stat: &Stat) -> bool {
    !matches!(stat.state, 'Z' | 'X' | 'x')
}

/// When it began, to the second the boot is known by: at the latest, so that nothing is told to have begun
/// before it was asked for, and never later than now.
fn began(stat: &Stat) -> Time {
    let text = fs::read_to_string("/proc/stat").unwrap_or_default();
    let boot_s = text
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|seconds| seconds.trim().parse::<i64>().ok())
        .unwrap_or(0);
    let after_ms = stat.began_ticks.saturating_mul(1_000) / clock_ticks_per_second().max(1);
    // The boot is told without its fraction of a second.
    let latest = Time::from_secs(boot_s + 1).plus_ms(after_ms as i64);
    latest.min(now())
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    Time::from_ms(since.map_or(0, |since| since.as_millis() as i64))
}

fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PlanId, RunPhase};

    #[test]
    fn what_cannot_be_held_is_left_and_what_ended_is_not() {
        let run = RunId {
            plan: PlanId(1),
            phase: RunPhase::Forward,
            step: 0,
        };
        let realm = format!("strays of {}", std::process::id());
        let names = names(run, &realm);
        let mut child = std::process::Command::new("sleep")
            .arg("300")
            .envs(environment(run, &realm))
            .spawn()
            .unwrap();
        // It shows no environment before it has become `sleep`, and `spawn` may return before that.
        for look in 0.. {
            if bears(child.id(), &names) {
                break;
            }
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            assert!(look < 1_000_000, "/proc never shows its environment");
            std::thread::yield_now();
        }
        for errno in [Errno::NOSYS, Errno::PERM, Errno::MFILE] {
            assert_eq!(kill_all(&names, |_| Err(errno)), [child.id()], "{errno}");
        }
        assert!(kill_all(&names, |_| Err(Errno::SRCH)).is_empty());
        let hold = |pid| pidfd_open(pid, PidfdFlags::empty());
        assert_eq!(kill_all(&names, hold), [child.id()]);
        assert!(!child.wait().unwrap().success());
        assert!(kill_all(&names, hold).is_empty());
    }

    #[test]
    fn a_name_cannot_pass_for_the_fields_behind_it() {
        let tail = "S 1 77 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 4242 0 0";
        for name in ["sh", "a b", ") Z 1 (", "x) S 9 9 9"] {
            let stat = parse(&format!("12 ({name}) {tail}")).unwrap();
            assert_eq!((stat.state, stat.group, stat.began_ticks), ('S', 77, 4242));
        }
        assert!(parse("12 (sh) S 1").is_none());
    }

    #[test]
    fn no_process_began_before_it_was_asked_for() {
        let asked = now();
        let mut child = std::process::Command::new("sleep")
            .arg("300")
            .spawn()
            .unwrap();
        let began = of(child.id()).unwrap().began;
        let heard = now();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(asked <= began && began <= heard, "{asked} {began} {heard}");
    }

    #[test]
    fn a_number_used_again_is_another_process() {
        let me = of(std::process::id()).unwrap();
        assert!(lives(&me));
        let (boot, ticks) = me.mark.split_once('/').unwrap();
        for mark in [format!("{boot}/1{ticks}"), format!("other/{ticks}")] {
            let mark = mark.into();
            assert!(!lives(&Process { mark, ..me.clone() }));
        }
    }
}
