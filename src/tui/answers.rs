//! What became of commands that were given together, told in one notice: a success must not cover a refusal,
//! and whoever marked five incidents must read of all five.

use crate::model::{Command, FindingId, IncidentId, Opinion};

use super::state::{State, Tab, together};
use super::theme::Role;

/// What became of the commands that were under way at the same time.
#[derive(Debug, Default)]
pub struct Answers {
    done: Vec<Command>,
    /// Done, but for what is said here.
    warned: Vec<String>,
    /// Not done, and why.
    failed: Vec<String>,
}

impl Answers {
    /// Forgets them: something else is asked for.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// Notes that a command did what it says.
    pub fn done(&mut self, command: Command) {
        self.done.push(command);
    }

    /// Notes what was said of a command that was done.
    pub fn warn(&mut self, notice: String) {
        self.warned.push(notice);
    }

    /// Notes that a command was not done, or that nobody knows.
    pub fn fail(&mut self, why: String) {
        self.failed.push(why);
    }
}

/// Tells the operator of all of them; what went wrong comes first.
pub(super) fn tell(state: &mut State) {
    let Answers {
        done,
        warned,
        failed,
    } = &state.feed.answers;
    let role = match (failed.is_empty(), warned.is_empty()) {
        (false, _) => Role::Crit,
        (true, false) => Role::Warn,
        (true, true) => Role::Ok,
    };
    let said = failed.iter().chain(warned).cloned();
    let text: Vec<String> = said.chain(sentences(state, done)).collect();
    state.tell(role, &text.join(" "));
}

/// A sentence for each command; one for those that did the same to several incidents.
fn sentences(state: &State, done: &[Command]) -> Vec<String> {
    let alike = done.chunk_by(is_same_act);
    alike.map(|alike| sentence(state, alike)).collect()
}

/// Whether two commands differ in the incident alone.
fn is_same_act(one: &Command, other: &Command) -> bool {
    match (one, other) {
        (Command::Acknowledge { .. }, Command::Acknowledge { .. })
        | (Command::Resolve { .. }, Command::Resolve { .. })
        | (Command::Reopen { .. }, Command::Reopen { .. }) => true,
        (Command::Assign { to, .. }, Command::Assign { to: other, .. }) => to == other,
        (Command::Merge { into, .. }, Command::Merge { into: other, .. }) => into == other,
        _ => false,
    }
}

/// The incident of a command that is given for several at once.
const fn incident_of(command: &Command) -> Option<IncidentId> {
    match command {
        Command::Acknowledge { incident }
        | Command::Resolve { incident }
        | Command::Reopen { incident }
        | Command::Assign { incident, .. }
        | Command::Merge { incident, .. } => Some(*incident),
        _ => None,
    }
}

/// What commands that did the same did; never called without one.
fn sentence(state: &State, alike: &[Command]) -> String {
    let incidents: Vec<IncidentId> = alike.iter().filter_map(incident_of).collect();
    let of = together(&incidents);
    let is = if incidents.len() == 1 { "is" } else { "are" };
    match &alike[0] {
        Command::Acknowledge { .. } => format!("You have {of}."),
        Command::Assign { to, .. } => format!("{of} {is} given to {to}."),
        Command::Resolve { .. } => format!("{of} {is} declared over."),
        Command::Reopen { .. } => format!("{of} {is} open again."),
        Command::Merge { into, .. } => format!("{of} {is} part of {into} now."),
        Command::Note { incident, .. } => format!("Noted on {incident}."),
        Command::Mark { finding, opinion } => judged(state, *finding, *opinion),
        Command::Accept { finding } => format!("Finding {} is normal from now on.", finding.0),
        Command::Split { incident, .. } => format!("{incident} is split."),
        Command::Forget { one, other } => {
            format!(
                "{} and {} are grouped by evidence alone again.",
                one.name(),
                other.name()
            )
        }
        Command::NameCause { incident, .. } => format!("The cause of {incident} is kept."),
        Command::Coordinate { incident, act } => format!("Done: {} on {incident}.", act.phrase()),
        // There it is under the cursor.
        Command::Propose { runbook, .. } if state.place.tab == Tab::Actions => {
            format!("{runbook} is proposed.")
        }
        Command::Propose { runbook, .. } => format!("{runbook} is proposed: see Actions (7)."),
        Command::Approve { plan, .. } => format!("Your approval of {plan} is recorded."),
        Command::Reject { plan, .. } => format!("{plan} is rejected."),
        Command::RollBack { plan, .. } => format!("{plan} is being rolled back."),
        Command::Settle { plan, .. } => format!("{plan} goes on."),
        Command::Silence { spec, .. } => {
            format!("Silenced until {}.", state.clock.minute(spec.ends_at))
        }
        Command::Expire { silence } => format!("{silence} is over."),
        Command::KillSwitch { on: true } => "All automation is stopped.".to_owned(),
        Command::KillSwitch { on: false } => "Automation is allowed again.".to_owned(),
    }
}

/// What somebody said of a finding.
fn judged(state: &State, finding: FindingId, opinion: Option<Opinion>) -> String {
    let about = state.details.finding(finding);
    let about = about.map_or_else(|| format!("finding {}", finding.0), |f| f.text.to_string());
    match opinion {
        Some(Opinion::Noise) => format!("Noise: {about}. It takes more to tell it again."),
        Some(Opinion::Useful) => format!("Useful: {about}."),
        None => format!("No longer judged: {about}."),
    }
}
