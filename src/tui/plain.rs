//! `--plain`: the console as lines that are only ever appended, for screen readers, pipes and logs.
//! It never moves the cursor, colours nothing and takes no keys; deciding is done with the commands
//! that each line names.

use std::io::{self, Write};

use tokio::signal::unix::{SignalKind, signal};

use crate::api::client::Client;
use crate::api::{View, WatchMessage};
use crate::model::{IncidentRow, Mode, Phase, SafeText, SourceHealth, SourceRow};

use super::app::{TuiError, TuiOptions};
use super::format::{self, Clock};
use super::link::{Link, Request, Update};
use super::terminal::is_gone;
use super::transport;

/// Confidence below which a suspect is not worth a line.
const SUSPECT_MIN: f32 = 0.3;

/// Prints what happens until it is interrupted or nobody reads any more. `command` is how the program is called to
/// reach this daemon: lines name commands to be copied.
pub async fn run(options: TuiOptions) -> Result<(), TuiError> {
    let client = Client::new(options.address.clone())?;
    let clock = Clock::local(options.utc);
    let (mut link, far) = Link::pair();
    let server = tokio::spawn(transport::serve(client, far));
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut held = Held::new(options.command);
    let mut out = io::stdout();
    loop {
        let told = tokio::select! {
            _ = interrupt.recv() => break,
            _ = terminate.recv() => break,
            _ = hang_up.recv() => break,
            told = link.updates.recv() => told,
        };
        let Some(told) = told else { break };
        let (lines, gap) = held.take(told, clock);
        if gap {
            // A full queue means that one is asked for already.
            let _ = link.requests.try_send(Request::Snapshot);
        }
        for line in lines {
            match writeln!(out, "{}", SafeText::new(&line)) {
                Err(error) if is_gone(&error) => return Ok(()),
                other => other?,
            }
        }
        match out.flush() {
            Err(error) if is_gone(&error) => return Ok(()),
            other => other?,
        }
    }
    server.abort();
    Ok(())
}

/// What was told so far.
struct Held {
    view: Option<View>,
    lost: bool,
    /// How the program is called to reach this daemon.
    command: String,
}

impl Held {
    const fn new(command: String) -> Self {
        Self {
            view: None,
            lost: false,
            command,
        }
    }

    /// Takes an update; gives the lines it is worth, and whether something was missed.
    fn take(&mut self, told: Update, clock: Clock) -> (Vec<String>, bool) {
        let message = match told {
            Update::Watch(message) => message,
            Update::Lost { why } if !self.lost => {
                self.lost = true;
                let line = format!("connection lost: {why}; trying again");
                return (vec![line], false);
            }
            _ => return (Vec::new(), false),
        };
        let mut lines = Vec::new();
        if std::mem::take(&mut self.lost) {
            lines.push("connected again".to_owned());
        }
        match message {
            WatchMessage::Snapshot(view) => {
                lines.extend(changes(self.view.as_ref(), &view, clock, &self.command));
                self.view = Some(*view);
            }
            WatchMessage::Deltas { seq, at, deltas } => {
                let Some(view) = &mut self.view else {
                    return (lines, true);
                };
                let before = view.clone();
                if view.apply(seq, at, &deltas).is_err() {
                    return (lines, true);
                }
                lines.extend(changes(Some(&before), view, clock, &self.command));
            }
            WatchMessage::Heartbeat { .. } => {}
        }
        (lines, false)
    }
}

/// What is different, a line each; without a view before, what there is.
fn changes(before: Option<&View>, after: &View, clock: Clock, command: &str) -> Vec<String> {
    let mut lines = Vec::new();
    if before.is_none() {
        let open: u32 = after.counts.open_by_priority.iter().sum();
        let environment = &after.environment;
        let open = format::counted(open.into(), "incident", "incidents");
        lines.push(format!("watching {environment}: {open} open"));
    }
    if before.map(|before| before.mode) != Some(after.mode) {
        lines.extend(mode_line(after.mode, before.is_some(), clock));
    }
    if before.is_some_and(|before| before.banner != after.banner) && !after.banner.is_empty() {
        lines.push(after.banner.clone());
    }
    let stopped = before.is_some_and(|before| before.automation_stopped);
    match (stopped, after.automation_stopped) {
        (false, true) => lines.push("all automation is stopped".to_owned()),
        (true, false) => lines.push("automation is allowed again".to_owned()),
        _ => {}
    }
    for source in after.sources.values() {
        let was = before.and_then(|before| before.sources.get(&source.name));
        lines.extend(source_line(was, source));
    }
    for row in after.incidents.values() {
        let was = before.and_then(|before| before.incidents.get(&row.id));
        if was.is_some() || row.phase != Phase::Resolved {
            lines.extend(incident_lines(was, row, command));
        }
    }
    let at = clock.second(after.at);
    lines.iter().map(|line| format!("{at} {line}")).collect()
}

/// What is shown from now on; that it is the present needs no word unless it was not.
fn mode_line(mode: Mode, turned: bool, clock: Clock) -> Option<String> {
    match mode {
        Mode::Live if turned => Some("live from now on".to_owned()),
        Mode::Live => None,
        Mode::Learning => Some("learning from history what is normal".to_owned()),
        Mode::Replay { until } => {
            let until = clock.second(until);
            Some(format!(
                "this is a replay until {until}: nothing can be decided in it"
            ))
        }
    }
}

fn source_line(was: Option<&SourceRow>, row: &SourceRow) -> Option<String> {
    let before = was.map_or(SourceHealth::Waiting, |was| was.health);
    let name = &row.name;
    match row.health {
        health if health == before => None,
        SourceHealth::Blind => Some(format!("source {name} is BLIND: {}", row.detail)),
        SourceHealth::Failed => Some(format!("source {name} FAILED: {}", row.detail)),
        SourceHealth::Live if before == SourceHealth::Silent => None,
        SourceHealth::Live => Some(format!("source {name} is live")),
        SourceHealth::Rejecting => Some(format!("source {name} can take nothing it is sent")),
        SourceHealth::Silent if matches!(before, SourceHealth::Failed | SourceHealth::Blind) => {
            Some(format!("source {name} works again, and is quiet so far"))
        }
        SourceHealth::Waiting | SourceHealth::Silent => None,
    }
}

fn incident_lines(was: Option<&IncidentRow>, row: &IncidentRow, command: &str) -> Vec<String> {
    let (id, entity) = (row.id, row.entity.name());
    let mut lines = Vec::new();
    match was {
        None => lines.push(format!(
            "{id} {} {entity}: {}; {command} show {}",
            row.severity.as_str(),
            super::view::summary(row),
            id.0
        )),
        Some(was) if was.severity != row.severity => {
            lines.push(format!("{id} {entity} is now {}", row.severity.as_str()));
        }
        Some(_) => {}
    }
    let phase = was.map_or(Phase::Open.as_str(), IncidentRow::state_word);
    if phase != row.state_word() {
        lines.push(format!("{id} {entity} {}", phase_words(was.is_some(), row)));
    }
    lines.extend(stale_line(was, row, command));
    if was.and_then(|was| was.owner.as_ref()) != row.owner.as_ref()
        && let Some(owner) = &row.owner
    {
        lines.push(format!("{id} {entity} is taken by {owner}"));
    }
    let suspected = |row: &IncidentRow| {
        let (entity, confidence) = row.suspect.clone()?;
        (confidence >= SUSPECT_MIN).then_some((entity, confidence))
    };
    if let Some((suspect, confidence)) = suspected(row)
        && was
            .and_then(suspected)
            .is_none_or(|(was, _)| was != suspect)
    {
        let suspect = suspect.name();
        lines.push(format!(
            "{id} suspect {suspect}, confidence {confidence:.2}"
        ));
    }
    if was.and_then(|was| was.plan.as_ref()) != row.plan.as_ref()
        && let Some((plan, word)) = &row.plan
    {
        let hint = if &**word == "proposed" {
            format!("; {command} approve {}", plan.0)
        } else {
            String::new()
        };
        lines.push(format!("{id} {plan} {word}{hint}"));
    }
    lines
}

/// How many of its alerts nobody vouches for any more, once there are some, more, or none again.
fn stale_line(was: Option<&IncidentRow>, row: &IncidentRow, command: &str) -> Option<String> {
    let (id, entity) = (row.id, row.entity.name());
    let before = was.map_or(0, |was| was.alerts_unheard);
    match row.alerts_unheard {
        0 if before > 0 && row.phase != Phase::Resolved => {
            Some(format!("{id} {entity}: no alert is stale any more"))
        }
        count if count > before => {
            let alerts = format::counted(count.into(), "alert is", "alerts are");
            Some(format!(
                "{id} {entity}: {alerts} STALE: not sent any more, and not said to be over; {command} show {}",
                id.0
            ))
        }
        _ => None,
    }
}

/// What an incident is now; after how long only where that is known. When somebody took it is not: a row
/// says when anything of it changed last.
fn phase_words(turned: bool, row: &IncidentRow) -> String {
    let lasted = |until| format::lasted(row.lasted_ms(until));
    let phase = row.phase.as_str();
    if let Some(held) = row.hidden() {
        return format!("is {}: {}", held.as_str(), held.why);
    }
    match (row.phase, row.mitigated, row.resolved) {
        (Phase::Open, ..) if turned || row.reopened.is_some() => "is open again".to_owned(),
        (Phase::Mitigated, Some(at), _) | (Phase::Resolved, _, Some(at)) => {
            format!("{phase} after {}", lasted(at))
        }
        _ if turned => phase.to_owned(),
        _ => format!("is {phase}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        Actor, Delta, EntityId, EntityKind, IncidentId, PlanId, Role, Severity, Time,
    };

    const CLOCK: Clock = Clock::local(true);

    fn row() -> IncidentRow {
        IncidentRow {
            id: IncidentId(7),
            revision: 1,
            phase: Phase::Open,
            severity: Severity::Critical,
            entity: EntityId::new(EntityKind::Service, "checkout"),
            title: "checkout: p99 4.2 s\u{1b}[2J".into(),
            began: Time::from_secs(0),
            began_before: false,
            updated: Time::from_secs(0),
            mitigated: None,
            resolved: None,
            reopened: None,
            owner: None,
            suspect: None,
            entities: 1,
            members: Vec::new(),
            alerts: 0,
            alerts_firing: 0,
            alerts_unheard: 0,
            alerts_held: 0,
            held: None,
            findings: 1,
            findings_open: 1,
            plan: None,
        }
    }

    fn snapshot() -> Update {
        let mia = Actor {
            name: "mia".to_owned(),
            role: Role::Responder,
        };
        Update::Watch(WatchMessage::Snapshot(Box::new(View {
            seq: 1,
            ..View::empty("prod", mia, Time::from_secs(0))
        })))
    }

    fn deltas(seq: u64, row: IncidentRow) -> Update {
        Update::Watch(WatchMessage::Deltas {
            seq,
            at: Time::from_secs(60 * seq as i64),
            deltas: vec![Delta::Incident(row)],
        })
    }

    #[test]
    fn each_change_is_a_line_and_nothing_else_is() {
        let mut held = Held::new("stormglass --socket /tmp/sg".to_owned());
        let mut row = row();
        let told = |held: &mut Held, update| held.take(update, CLOCK);
        let said = |lines: &[&str]| (lines.iter().map(|l| (*l).to_owned()).collect(), false);
        assert_eq!(
            told(&mut held, snapshot()),
            said(&["00:00:00Z watching prod: 0 incidents open"])
        );
        assert_eq!(
            told(&mut held, deltas(2, row.clone())),
            said(&[
                "00:02:00Z #7 critical checkout: p99 4.2 s\u{1b}[2J; stormglass --socket /tmp/sg show 7"
            ])
        );
        row.findings = 9;
        row.suspect = Some((row.entity.clone(), 0.1));
        assert_eq!(told(&mut held, deltas(3, row.clone())), said(&[]));
        row.owner = Some("ole".to_owned());
        row.suspect = Some((row.entity.clone(), 0.9));
        row.plan = Some((PlanId(3), "proposed".into()));
        assert_eq!(
            told(&mut held, deltas(4, row.clone())),
            said(&[
                "00:04:00Z #7 checkout is taken by ole",
                "00:04:00Z #7 suspect checkout, confidence 0.90",
                "00:04:00Z #7 plan 3 proposed; stormglass --socket /tmp/sg approve 3",
            ])
        );
        row.phase = Phase::Resolved;
        (row.resolved, row.updated) = (Some(Time::from_secs(600)), Time::from_secs(900));
        assert_eq!(
            told(&mut held, deltas(5, row.clone())),
            said(&["00:05:00Z #7 checkout resolved after 10m"])
        );
        assert_eq!(told(&mut held, deltas(9, row)), (Vec::new(), true));
    }

    #[test]
    fn alerts_nobody_vouches_for_are_told() {
        let stale = |count| IncidentRow {
            alerts_unheard: count,
            ..row()
        };
        let one = "#7 checkout: 1 alert is STALE: not sent any more, and not said to be over; stormglass show 7";
        let three = "#7 checkout: 3 alerts are STALE: not sent any more, and not said to be over; stormglass show 7";
        let cases = [
            (Some(0), 0, None),
            (None, 1, Some(one)),
            (Some(1), 1, None),
            (Some(1), 3, Some(three)),
            (Some(3), 1, None),
            (Some(1), 0, Some("#7 checkout: no alert is stale any more")),
        ];
        for (before, now, told) in cases {
            let before = before.map(stale);
            let lines = incident_lines(before.as_ref(), &stale(now), "stormglass");
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            let of_it = |line: &&str| line.to_lowercase().contains("stale");
            assert_eq!(lines.iter().copied().find(of_it), told);
        }
    }

    #[test]
    fn a_phase_says_after_how_long_only_where_that_is_known() {
        let at = Time::from_secs;
        let cases = [
            (
                Phase::Acknowledged,
                None,
                None,
                ["is acknowledged", "acknowledged"],
            ),
            (
                Phase::Mitigated,
                Some(at(300)),
                None,
                ["mitigated after 5m"; 2],
            ),
            (
                Phase::Resolved,
                Some(at(300)),
                Some(at(600)),
                ["resolved after 10m"; 2],
            ),
            (Phase::Open, None, None, ["is open", "is open again"]),
        ];
        for (phase, mitigated, resolved, words) in cases {
            let row = IncidentRow {
                phase,
                mitigated,
                resolved,
                updated: at(7_200),
                ..row()
            };
            assert_eq!([false, true].map(|turned| phase_words(turned, &row)), words);
        }
    }
}
