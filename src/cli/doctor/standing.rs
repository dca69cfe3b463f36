//! How the daemon itself stands: its flight recorder, those it should tell, and the programs of its runbooks.

use std::path::Path;

use super::{Checked, broken, warn, well};
use crate::config::shipped_runbooks;
use crate::model::{ReceiverReach, ReceiverStats, RecorderStats, Runbook, Stats, counted};
use crate::store::recorder::bytes_in_words;

/// What is recorded, and who cannot be told.
pub(super) fn of(stats: &Stats, reached: &[ReceiverReach]) -> Vec<Checked> {
    let recorder = stats.recorder.iter().map(recorder);
    let receivers = stats.receivers.iter().map(|of| {
        let reached = reached.iter().find(|reached| reached.name == of.name);
        receiver(of, reached.and_then(|reached| reached.why_not.as_deref()))
    });
    recorder.chain(receivers).collect()
}

fn recorder(recorder: &RecorderStats) -> Checked {
    let lost = (recorder.lost_inputs > 0).then(|| {
        let inputs = counted(recorder.lost_inputs, "input is", "inputs are");
        format!("{inputs} missing since the daemon was started")
    });
    match (&recorder.failing, lost) {
        (Some(why), lost) => {
            let lost = lost.map_or_else(String::new, |lost| format!("; {lost}"));
            let found = format!("nothing is recorded: {why}{lost}");
            broken(
                "recorder",
                &found,
                "it goes on by itself once there is room: free some of the disk, or lower `recorder.bytes_max`",
            )
        }
        (None, Some(lost)) => warn(
            "recorder",
            &lost,
            "the disk was full or could not follow: replay and `record` have a gap there",
        ),
        (None, None) => {
            let segments = counted(recorder.segments, "segment", "segments");
            let [bytes, bytes_max] = [recorder.bytes, recorder.bytes_max].map(bytes_in_words);
            well("recorder", &format!("{bytes} of {bytes_max} in {segments}"))
        }
    }
}

/// A receiver, and why nothing answers there now, if so: one that nobody had to tell yet is tried all the same.
fn receiver(receiver: &ReceiverStats, why_not: Option<&str>) -> Checked {
    let subject = format!("notify {}", receiver.name);
    let sent = counted(receiver.sent, "notification was", "notifications were");
    let waiting = counted(receiver.waiting, "notification waits", "notifications wait");
    let lost = counted(receiver.lost, "notification was", "notifications were");
    if let Some(why) = receiver.failing.as_deref().or(why_not) {
        let found = format!("it cannot be told: {why}; {waiting}");
        let advice = "it is tried again by itself: see whether the receiver runs and can be reached from the daemon's machine";
        return broken(&subject, &found, advice);
    }
    if receiver.lost > 0 {
        let found = format!("{lost} refused or given up since the daemon was started");
        return warn(&subject, &found, "the log of the daemon says why");
    }
    let tried = match receiver.sent {
        0 => "it answers; nothing was to be told since the daemon was started".to_owned(),
        _ => format!("it answers; {sent} taken"),
    };
    well(&subject, &tried)
}

/// Whether the programs are there that the team's runbooks would run. Those shipped are proposed where they fit, and
/// what they need is no trouble of a team that has no such thing.
pub(super) fn programs(runbooks: &[Runbook]) -> Vec<Checked> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<_> = std::env::split_paths(&path).collect();
    let is_there = |program: &str| {
        Path::new(program).is_absolute() && Path::new(program).is_file()
            || folders.iter().any(|folder| folder.join(program).is_file())
    };
    judged(runbooks, &shipped_runbooks(), is_there)
}

fn judged(
    runbooks: &[Runbook],
    shipped: &[Runbook],
    is_there: impl Fn(&str) -> bool,
) -> Vec<Checked> {
    let own: Vec<&Runbook> = runbooks.iter().filter(|of| !shipped.contains(of)).collect();
    let mut missing: Vec<(&str, &Runbook)> = Vec::new();
    for runbook in &own {
        let programs = runbook.steps.iter().filter_map(|step| step.argv.first());
        // What is filled in from the incident is not known yet.
        for program in programs.filter(|program| !program.contains('{')) {
            let is_known = missing.iter().any(|(known, _)| known == program);
            if !is_known && !is_there(program) {
                missing.push((program, runbook));
            }
        }
    }
    if missing.is_empty() {
        let all = counted(runbooks.len() as u64, "runbook", "runbooks");
        let of_own = match own.len() as u64 {
            0 => "none of them the team's own".to_owned(),
            own => format!("{own} of them the team's own, with all their programs"),
        };
        return vec![well("runbooks", &format!("{all}, {of_own}"))];
    }
    let told = missing.into_iter().map(|(program, runbook)| {
        let found = format!(
            "{program} is not on this machine, and {} runs it",
            runbook.name
        );
        let advice = "install it where the daemon runs, or leave such plans alone";
        warn("runbooks", &found, advice)
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Verdict;

    #[test]
    fn a_receiver_that_cannot_be_told_is_broken_and_so_is_a_recorder_without_room() {
        let receiver = |sent, lost, failing: Option<&str>| ReceiverStats {
            name: "pager".to_owned(),
            sent,
            lost,
            waiting: 2,
            failing: failing.map(str::to_owned),
            ..ReceiverStats::default()
        };
        let recorder = |lost_inputs, failing: Option<&str>| RecorderStats {
            lost_inputs,
            failing: failing.map(str::to_owned),
            ..RecorderStats::default()
        };
        // It is looked up by its name, among others.
        let told_of = |stats: ReceiverStats, why_not: Option<&str>| {
            let reached = ["other", "pager"].map(|name| ReceiverReach {
                name: name.to_owned(),
                why_not: why_not.filter(|_| name == "pager").map(str::to_owned),
            });
            let stats = Stats {
                receivers: vec![stats],
                ..Stats::default()
            };
            of(&stats, &reached).remove(0)
        };
        let refused = "connection refused; 2 notifications wait";
        let told = [
            (
                told_of(receiver(0, 0, Some("connection refused")), None),
                Verdict::Broken,
                refused,
            ),
            (
                told_of(receiver(0, 0, None), Some("connection refused")),
                Verdict::Broken,
                refused,
            ),
            (
                told_of(receiver(3, 1, None), None),
                Verdict::Warning,
                "1 notification was refused",
            ),
            (
                told_of(receiver(3, 0, None), None),
                Verdict::Well,
                "3 notifications were taken",
            ),
            (
                told_of(receiver(0, 0, None), None),
                Verdict::Well,
                "nothing was to be told",
            ),
            (
                super::recorder(&recorder(4, Some("full"))),
                Verdict::Broken,
                "full; 4 inputs are missing",
            ),
            (
                super::recorder(&recorder(4, None)),
                Verdict::Warning,
                "4 inputs are missing",
            ),
            (
                super::recorder(&recorder(0, None)),
                Verdict::Well,
                "0 segments",
            ),
        ];
        for (checked, verdict, found) in told {
            assert_eq!(checked.verdict, verdict, "{checked:?}");
            assert!(checked.found.contains(found), "{checked:?}");
        }
    }

    #[test]
    fn what_shipped_runbooks_run_is_missed_by_nobody_who_declared_nothing() {
        let shipped = shipped_runbooks();
        let nothing_there = |_: &str| false;
        let [checked] = &judged(&shipped, &shipped, nothing_there)[..] else {
            panic!("one line is enough");
        };
        assert_eq!(checked.verdict, Verdict::Well);
        assert!(
            checked.found.ends_with("none of them the team's own"),
            "{checked:?}"
        );
        let mut own = shipped[0].clone();
        own.name = "ours".to_owned();
        own.steps[0].argv = vec!["redis-cli".to_owned()];
        let all = [&*shipped, &[own]].concat();
        let told = judged(&all, &shipped, nothing_there);
        assert!(
            told.iter().all(|told| told.found.contains("ours")),
            "{told:?}"
        );
        // What a shipped one runs too is missed all the same.
        assert!(
            told.iter().any(|told| told.found.contains("redis-cli")),
            "{told:?}"
        );
        let [well] = &judged(&all, &shipped, |_| true)[..] else {
            panic!("one line is enough");
        };
        assert!(
            well.found
                .ends_with("1 of them the team's own, with all their programs")
        );
    }
}
