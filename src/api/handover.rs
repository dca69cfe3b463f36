//! What whoever takes over an incident must know: what it is, what is decided and what waits, who does what,
//! what those outside know, and what people wrote last. Secrets are masked.
//!
//! The same incident gives the same words. They hold text from telemetry: callers show them as `SafeText` only.

use crate::model::mask::mask_secrets;
use crate::model::{Coordination, Duty, Incident, Lane, Plan, PlanState, Time};

use super::IncidentDetail;
use super::narrative::{WriteTime, narrative};

/// Entries of people told, the latest.
const NOTES_TOLD_MAX: usize = 5;
/// Plans that wait or run told one by one; the rest are counted.
const PLANS_TOLD_MAX: usize = 4;

/// A part of a hand-over: a heading and its sentences.
pub type Part = (&'static str, Vec<String>);

/// The parts, in the order a person asks.
pub fn handover(detail: &IncidentDetail, now: Time, clock: WriteTime<'_>) -> Vec<Part> {
    let incident = &detail.incident;
    let parts = [
        ("What it is", narrative(incident, &detail.plans, clock)),
        ("What waits or runs", plans(&detail.plans, clock)),
        ("Who does what", people(incident, now, clock)),
        (
            "What those outside know",
            outside(&incident.coordination, now, clock),
        ),
        ("What people wrote last", notes(incident, clock)),
        ("What cannot be seen", unseen(incident)),
    ];
    let masked = |said: Vec<String>| said.iter().map(|text| mask_secrets(text).into()).collect();
    let parts = parts.into_iter().filter(|(_, said)| !said.is_empty());
    parts
        .map(|(heading, said)| (heading, masked(said)))
        .collect()
}

/// Plans on which something may still happen.
fn plans(plans: &[Plan], clock: WriteTime<'_>) -> Vec<String> {
    let open: Vec<&Plan> = plans.iter().filter(|plan| !plan.state.is_final()).collect();
    let mut told: Vec<String> = open
        .iter()
        .take(PLANS_TOLD_MAX)
        .map(|plan| {
            let until = match plan.state {
                PlanState::Proposed => format!(", until {}", clock(plan.expires)),
                _ => String::new(),
            };
            let (state, risk) = (plan.state.as_str(), plan.risk.as_str());
            format!(
                "{} is {state}{until}: {} ({risk} risk).",
                plan.id, plan.title
            )
        })
        .collect();
    if open.len() > PLANS_TOLD_MAX {
        told.push(format!("And {} more.", open.len() - PLANS_TOLD_MAX));
    }
    told
}

/// Duties, and tasks that are not done.
fn people(incident: &Incident, now: Time, clock: WriteTime<'_>) -> Vec<String> {
    let held = &incident.coordination;
    let who = |duty: Duty| held.duties.get(&duty).map_or("nobody", String::as_str);
    let duties = Duty::ALL.map(|duty| format!("{} {}", duty.as_str(), who(duty)));
    let owner = incident.owner.as_deref().unwrap_or("nobody");
    let mut told = vec![format!("Owner {owner}, {}.", duties.join(", "))];
    for task in held.tasks.iter().filter(|task| task.done.is_none()) {
        let owner = task.owner.as_deref().unwrap_or("nobody has it");
        let due = match task.due {
            Some(due) if due <= now => format!(", OVERDUE since {}", clock(due)),
            Some(due) => format!(", due {}", clock(due)),
            None => String::new(),
        };
        told.push(format!("To do, {}: {} ({owner}{due}).", task.id, task.text));
    }
    told
}

/// The last status update, and when the next is due.
fn outside(held: &Coordination, now: Time, clock: WriteTime<'_>) -> Vec<String> {
    let last = match &held.status {
        Some(last) => format!("Told at {} by {}: {}", clock(last.at), last.by, last.text),
        None => "Nothing was told yet.".to_owned(),
    };
    let next = held.status_due.map(|due| {
        if due <= now {
            format!("The next update was due at {}.", clock(due))
        } else {
            format!("The next update is due at {}.", clock(due))
        }
    });
    [Some(last), next].into_iter().flatten().collect()
}

/// What people did and wrote last, oldest first.
fn notes(incident: &Incident, clock: WriteTime<'_>) -> Vec<String> {
    let of_people = incident
        .timeline
        .iter()
        .filter(|entry| entry.lane == Lane::Person);
    let of_people: Vec<_> = of_people.collect();
    let latest = of_people.len().saturating_sub(NOTES_TOLD_MAX);
    let told = of_people[latest..].iter();
    told.map(|entry| format!("{} {}", clock(entry.at), entry.text))
        .collect()
}

fn unseen(incident: &Incident) -> Vec<String> {
    let unseen = incident.diagnosis.not_seen.iter();
    unseen.map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Coordinate, EntityId, IncidentId, StatusUpdate, TimelineEntry};

    #[test]
    fn whoever_takes_over_is_told_what_is_open() {
        let at = |minutes| Time::from_secs(minutes * 60);
        let clock = |at: Time| at.to_utc().format("%H:%M").to_string();
        let mut incident =
            Incident::opened(IncidentId(4), EntityId::parse("gateway"), at(0), at(1));
        incident.title = "gateway: errors reached 8/s".into();
        incident.diagnosis.not_seen = vec!["no traces from db-2".into()];
        let held = &mut incident.coordination;
        held.duties.insert(Duty::Commander, "mia".to_owned());
        for typed in [
            "call the vendor @ole in 10m",
            "done already",
            "look at db-2 in 40m",
        ] {
            let task = Coordinate::task(typed);
            held.apply(at(0), "mia", &task).expect("room for a task");
        }
        let (task, done) = (2, true);
        let done = Coordinate::Done { task, done };
        held.apply(at(5), "mia", &done).expect("the task is there");
        held.status = Some(StatusUpdate {
            at: at(2),
            by: "ole".to_owned(),
            text: "We are on it; password=hunter2".into(),
        });
        held.status_due = Some(at(32));
        incident.timeline = (0..7_i64)
            .map(|n| TimelineEntry {
                at: at(n),
                lane: if n == 6 { Lane::Alert } else { Lane::Person },
                entity: None,
                text: format!("mia: note {n}").into(),
            })
            .collect();
        let plans = Vec::new();
        let parts = handover(&IncidentDetail { incident, plans }, at(20), &clock);
        let headings: Vec<&str> = parts.iter().map(|(heading, _)| *heading).collect();
        let wanted = [
            "What it is",
            "Who does what",
            "What those outside know",
            "What people wrote last",
            "What cannot be seen",
        ];
        assert_eq!(headings, wanted);
        let people = [
            "Owner nobody, commander mia, operations nobody, communications nobody, scribe nobody.",
            "To do, 1: call the vendor (ole, OVERDUE since 00:10).",
            "To do, 3: look at db-2 (nobody has it, due 00:40).",
        ];
        assert_eq!(parts[1].1, people);
        assert!(
            parts[2].1[0].starts_with("Told at 00:02 by ole: We are on it;"),
            "{:?}",
            parts[2]
        );
        assert!(!parts[2].1[0].contains("hunter2"), "{:?}", parts[2]);
        assert_eq!(parts[2].1[1], "The next update is due at 00:32.");
        let notes: Vec<String> = (1..6).map(|n| format!("00:0{n} mia: note {n}")).collect();
        assert_eq!(parts[3].1, notes);
    }
}
