//! What a person needs to know of an incident's plans: which one is next, what became of the last,
//! what of one can be taken back. It never decides: the engine has the last word.

use crate::api::IncidentDetail;
use crate::model::{
    Check, Command, IncidentId, Lane, Outcome, Phase, Plan, PlanId, PlanState, RunPhase, Time,
    TimelineEntry,
};
use crate::tui::link::Request;
use crate::tui::theme::Role;

use super::State;

/// What an operator has proposed and not seen yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposing {
    /// For which incident.
    pub incident: IncidentId,
    /// Rendered from which runbook.
    pub runbook: String,
    /// The last plan of the incident that was there before, if any was.
    pub after: Option<PlanId>,
}

impl Proposing {
    /// What is proposed for an incident that holds these plans, before the answer comes.
    pub fn new(incident: IncidentId, runbook: &str, plans: &[Plan]) -> Self {
        Self {
            incident,
            runbook: runbook.to_owned(),
            after: plans.iter().map(|plan| plan.id).max(),
        }
    }
}

impl State {
    /// Whether this operator has said yes to a plan, which takes the yes of others too.
    pub fn has_approved(&self, plan: &Plan) -> bool {
        let me = self.feed.view.as_ref().map(|view| &view.actor.name);
        let mut given = plan.approvals.iter();
        given.any(|approval| Some(&approval.by) == me)
    }

    /// Notes what is proposed by what is asked for.
    pub fn note_proposing(&mut self, asked: &[Request]) {
        for request in asked {
            if let Request::Command(Command::Propose {
                incident, runbook, ..
            }) = request
            {
                let held = self.details.get(*incident);
                let plans = held.map_or(&[][..], |held| &held.plans[..]);
                self.proposing = Some(Proposing::new(*incident, runbook, plans));
            }
        }
    }

    /// Waits no more for what was refused.
    pub fn forget_proposing(&mut self, refused: &Command) {
        if matches!(refused, Command::Propose { .. }) {
            self.proposing = None;
        }
    }

    /// Where among its plans an incident holds what this operator has just proposed for it: they look at it
    /// next, whatever the cursor was on.
    pub(super) fn proposed(&mut self, detail: &IncidentDetail) -> Option<usize> {
        let wanted = self
            .proposing
            .as_ref()
            .filter(|wanted| wanted.incident == detail.incident.id)?;
        let is_it = |plan: &&Plan| {
            plan.is_chosen() && *plan.runbook == *wanted.runbook && Some(plan.id) > wanted.after
        };
        let at = by_urgency(detail).iter().position(is_it)?;
        self.proposing = None;
        Some(at)
    }
}

/// The plan to show first: one in doubt, one running, one waiting, else the latest that ran.
pub fn headline(detail: &IncidentDetail) -> Option<&Plan> {
    by_urgency(detail).first().copied()
}

/// Plans in the order a person needs them: in doubt, running, waiting, tried, and at the end those
/// that never ran. Among several that wait, what a person chose comes first, the newest before the
/// others, then the engine's first, which is its best. Among those that ran, the last approved
/// matters. What waits for what is healed already comes after that which healed it.
pub fn by_urgency(detail: &IncidentDetail) -> Vec<&Plan> {
    let healed = healed_by(detail);
    let offered = |plan: &Plan| healed.is_none_or(|healer| is_offered(detail, healer, plan));
    let mut ordered: Vec<(u8, i64, &Plan)> = detail
        .plans
        .iter()
        .enumerate()
        .map(|(at, plan)| {
            let at = at as i64;
            match plan.state {
                PlanState::Unknown { .. } => (0, at, plan),
                PlanState::Proposed if !offered(plan) => (5, at, plan),
                PlanState::Proposed if plan.is_chosen() => (2, -at, plan),
                PlanState::Proposed => (3, at, plan),
                _ if plan.state.has_run() => (4, 0, plan),
                PlanState::Rejected { .. } => (6, -at, plan),
                _ if plan.state.is_final() => (7, -at, plan),
                _ => (1, at, plan),
            }
        })
        .collect();
    // The sort is stable, so of two approved at once the later one must come first.
    ordered.reverse();
    ordered.sort_by_key(|(urgency, at, plan)| {
        let tried = if *urgency == 4 { approved(plan) } else { None };
        (*urgency, *at, std::cmp::Reverse(tried))
    });
    ordered.into_iter().map(|(_, _, plan)| plan).collect()
}

/// The plan that was tried last and worked, as long as what it had to heal is calm.
pub fn healed_by(detail: &IncidentDetail) -> Option<&Plan> {
    let last = last_tried(&detail.plans)?;
    let calm = !hurts_since(detail, last, answers_since(detail, last));
    (last.state == PlanState::Succeeded && calm).then_some(last)
}

/// The last that the timeline tells of a plan.
pub fn last_told<'a>(timeline: &'a [TimelineEntry], plan: &Plan) -> Option<&'a TimelineEntry> {
    timeline.iter().rev().find(|entry| names(entry, plan))
}

/// When a plan that worked was seen to have, as long as the timeline tells of it. What people wrote of
/// it since is no news of it.
pub fn verified_at(timeline: &[TimelineEntry], plan: &Plan) -> Option<Time> {
    let is_told = |entry: &&TimelineEntry| entry.lane == Lane::Automation && names(entry, plan);
    timeline.iter().rev().find(is_told).map(|entry| entry.at)
}

fn names(entry: &TimelineEntry, plan: &Plan) -> bool {
    let name = plan.id.to_string();
    let mut after = entry.text.match_indices(&name);
    after.any(|(at, name)| {
        let rest = entry.text[at + name.len()..].chars().next();
        !rest.is_some_and(|c| c.is_ascii_digit())
    })
}

/// From when on a plan that worked answers for what is abnormal.
fn answers_since(detail: &IncidentDetail, plan: &Plan) -> Option<Time> {
    verified_at(&detail.incident.timeline, plan).or_else(|| approved(plan))
}

/// The plan that was tried last and did not help, until another one does.
pub fn did_not_help(plans: &[Plan]) -> Option<&Plan> {
    last_tried(plans).filter(|last| last.state != PlanState::Succeeded)
}

/// How a plan that did not stay ended, as told in the headline, in notices and of runbooks.
pub enum Ending<'a> {
    /// It helped, and somebody took it back. The words follow "was".
    TakenBack(&'a str),
    /// Somebody stopped it or took it back: no failure of the plan. The words follow "was".
    ByHand(&'a str),
    /// It was undone by itself: all of it ran, and what hurt went on.
    DidNotHelp(&'a str),
    /// It was undone by itself because a step failed or was never started: whether it helps is not known.
    StoppedShort(&'a str),
    /// It failed, and something of it is left.
    Failed(&'a str),
}

/// How it ended, when it did not stay.
pub fn ending(plan: &Plan) -> Option<Ending<'_>> {
    match &plan.state {
        PlanState::RolledBack { reason } if plan.was_taken_back() => {
            Some(Ending::TakenBack(reason))
        }
        PlanState::RolledBack { reason } if plan.by_hand => Some(Ending::ByHand(reason)),
        PlanState::RolledBack { reason } if plan.stopped_short() => {
            Some(Ending::StoppedShort(reason))
        }
        PlanState::RolledBack { reason } => Some(Ending::DidNotHelp(reason)),
        PlanState::Failed { reason } => Some(Ending::Failed(reason)),
        _ => None,
    }
}

/// How much a runbook is worth trying, by this incident's plans: lower is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fit {
    /// The engine proposed it, or it helped.
    Proposed,
    /// Nothing is known of it here.
    Open,
    /// It was tried, and did not help or did not get through.
    TriedInVain,
}

/// How much a runbook is worth trying on an incident with these plans.
pub fn fit(plans: &[Plan], runbook: &str) -> Fit {
    let mut of_it = plans.iter().filter(|plan| *plan.runbook == *runbook);
    let last = of_it
        .clone()
        .filter(|plan| plan.state.has_run())
        .max_by_key(|plan| approved(plan));
    match last.and_then(ending) {
        Some(Ending::DidNotHelp(_) | Ending::StoppedShort(_) | Ending::Failed(_)) => {
            Fit::TriedInVain
        }
        _ if of_it.any(|plan| !plan.is_chosen()) => Fit::Proposed,
        _ => Fit::Open,
    }
}

/// What became of a plan that was under way when the console last looked.
pub(super) fn just_ended(before: &[Plan], after: &[Plan]) -> Option<(Role, String)> {
    let was = |id| before.iter().find(|plan| plan.id == id);
    let mut ended = after.iter().filter(|plan| {
        plan.state.has_run() && was(plan.id).is_some_and(|was| !was.state.has_run())
    });
    let plan = ended.next_back()?;
    let id = plan.id;
    Some(match ending(plan) {
        Some(Ending::TakenBack(how)) => (Role::Info, format!("{id} had helped, and was {how}.")),
        Some(Ending::ByHand(how)) => (Role::Info, format!("{id} was {how}, and undone.")),
        Some(Ending::DidNotHelp(reason)) => (
            Role::Warn,
            format!("{id} did not help and was rolled back: {reason}"),
        ),
        Some(Ending::StoppedShort(reason)) => (
            Role::Warn,
            format!("{id} did not get through and was rolled back: {reason}"),
        ),
        Some(Ending::Failed(reason)) => (Role::Crit, format!("{id} FAILED: {reason}")),
        None => {
            let watched = plan.verify.watch.name();
            let text = format!("{id} helped: {watched} is back to normal, verified.");
            (Role::Ok, text)
        }
    })
}

/// Whether a plan acts on the world now or waits for what its steps did.
pub(super) fn is_under_way(plan: &Plan) -> bool {
    !plan.state.is_final() && plan.state != PlanState::Proposed
}

/// The steps of a plan that ran, or may have, and were not undone yet: the last first.
pub fn to_undo(plan: &Plan) -> impl Iterator<Item = usize> + '_ {
    let ran = |phase, step: usize| {
        plan.results.iter().any(|(run, outcome)| {
            run.phase == phase
                && run.step as usize == step
                && !matches!(outcome, Outcome::NotStarted { .. })
        })
    };
    let in_flight = match plan.state {
        PlanState::Running { step } => Some(step as usize),
        PlanState::Unknown { run } if run.phase == RunPhase::Forward => Some(run.step as usize),
        _ => None,
    };
    (0..plan.steps.len()).rev().filter(move |step| {
        (ran(RunPhase::Forward, *step) || in_flight == Some(*step))
            && !ran(RunPhase::Rollback, *step)
    })
}

/// Whether anything of a plan that is over can still be taken back.
pub fn has_undo(plan: &Plan) -> bool {
    to_undo(plan).any(|step| plan.rollback.get(step).is_some_and(Option::is_some))
}

fn last_tried(plans: &[Plan]) -> Option<&Plan> {
    let ran = plans.iter().filter(|plan| plan.state.has_run());
    ran.max_by_key(|plan| approved(plan))
}

fn approved(plan: &Plan) -> Option<Time> {
    plan.approvals.last().map(|approval| approval.at)
}

/// Whether a waiting plan is the next thing to do although `healer` worked: a person chose it since,
/// or what it is for hurts.
fn is_offered(detail: &IncidentDetail, healer: &Plan, plan: &Plan) -> bool {
    let chosen_since = plan.is_chosen() && Some(plan.created) > approved(healer);
    chosen_since || hurts_since(detail, plan, answers_since(detail, healer))
}

/// Whether what a plan is to heal hurt after `since`. A finding is not over the moment its signal is
/// normal again: what was last abnormal before a plan was verified is what the plan mended, and to
/// offer another plan for it would be to offer one too many.
fn hurts_since(detail: &IncidentDetail, plan: &Plan, since: Option<Time>) -> bool {
    let incident = &detail.incident;
    if matches!(incident.phase, Phase::Mitigated | Phase::Resolved) {
        return false;
    }
    let mut findings = incident.findings.iter();
    findings.any(|finding| {
        finding.entity == plan.verify.watch
            && finding.pages
            && finding.is_open()
            && since.is_none_or(|since| finding.last_seen > since)
            && finding.check != Check::NewTemplate
    })
}
