//! A dialog about a plan that the world moved on from: why what it shows can no longer be decided. The
//! engine has the last word all the same; this only keeps a person from deciding about what is gone.

use crate::api::IncidentDetail;
use crate::model::{IncidentId, IncidentRow, Lane, Phase, Plan, PlanId, PlanState, RunId};
use crate::tui::action::Action;
use crate::tui::link::Request;

use super::overlay::{Approval, Deed, Overlay};
use super::{State, plans};

/// Why a yes in a dialog is dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dead {
    /// What was shown is gone.
    TooLate(String),
    /// What was shown may be decided, but not by this operator.
    NotYou(String),
    /// What was shown may be decided, but what else goes on forbids it.
    NotNow(String),
}

impl Dead {
    /// The reason, without a full stop.
    pub fn why(&self) -> &str {
        let (Self::TooLate(why) | Self::NotYou(why) | Self::NotNow(why)) = self;
        why
    }
}

impl State {
    /// Why the yes of a dialog that has one is dead at this moment.
    pub fn dead(&self, dialog: &Approval) -> Option<Dead> {
        let plan = &dialog.plan;
        let too_late = self.overtaken(dialog).map(Dead::TooLate);
        // A brake is never held up.
        if too_late.is_some() || !dialog.is_live() || dialog.is_brake() {
            return too_late;
        }
        let not_you = || self.too_low(plan).map(Dead::NotYou);
        let not_now = || self.barred(plan, dialog.deed).map(Dead::NotNow);
        not_you().or_else(not_now)
    }

    /// Why this operator may not say yes to a plan of this risk, and who may: nobody types a name for nothing.
    pub fn too_low(&self, plan: &Plan) -> Option<String> {
        let me = &self.feed.view.as_ref()?.actor;
        let (has, needed) = (me.role, plan.risk.approver());
        (has < needed).then(|| {
            let (name, has, needed) = (&me.name, has.as_str(), needed.as_str());
            let risk = plan.risk.as_str();
            format!("you are a {has} ({name}); a plan of {risk} risk takes a {needed}")
        })
    }

    /// Why policy would refuse this operator that a plan starts, or is undone, beside what goes on now, as far as
    /// the console knows.
    pub fn barred(&self, plan: &Plan, deed: Deed) -> Option<String> {
        let view = self.feed.view.as_ref()?;
        if self.travel.is_some() {
            return None;
        }
        if let Some(why) = self.too_low(plan) {
            return Some(why);
        }
        if view.automation_stopped {
            let keys = self.keymap.keys(Action::KillSwitch);
            let again = keys.map_or(String::new(), |keys| format!(": {keys} allows it again"));
            return Some(format!("all automation is stopped{again}"));
        }
        // A yes that is not the last one needed starts nothing.
        let given = match deed {
            Deed::Approve => &plan.approvals,
            Deed::RollBack => &plan.undo_approvals,
        };
        if given.len() + 1 < plan.approvals_needed.max(1) as usize {
            return None;
        }
        let mut held = view.incidents.keys().filter_map(|id| self.details.get(*id));
        let acts = |other: &&Plan| {
            other.id != plan.id && other.target == plan.target && plans::is_under_way(other)
        };
        let other = held.find_map(|detail| detail.plans.iter().find(acts))?;
        let target = plan.target.name();
        Some(format!("{} acts on {target}: wait for it", other.id))
    }

    /// The incident that holds a plan by now. A plan moves with the incident it was made in when that is
    /// merged into another; what it was made in is all that a plan says itself.
    pub fn home(&self, plan: &Plan) -> Option<IncidentId> {
        let lives = &self.feed.view.as_ref()?.incidents;
        let told = self.details.holder(plan.id).map(|held| held.incident.id);
        let merged = self.details.home(plan.incident);
        let mut known = told.into_iter().chain([merged]);
        known.find(|id| lives.contains_key(id)).or_else(|| {
            let names =
                |row: &&IncidentRow| row.plan.as_ref().is_some_and(|(id, _)| *id == plan.id);
            lives.values().find(names).map(|row| row.id)
        })
    }

    /// The incident that holds a plan, when it has arrived.
    pub fn detail_of(&self, plan: &Plan) -> Option<&IncidentDetail> {
        let home = self.home(plan).unwrap_or(plan.incident);
        self.details.get(home)
    }

    /// What must be asked for to know which incident holds the plan of an open dialog, and what hurts
    /// there.
    pub fn wanted_of_dialog(&mut self) -> Option<Request> {
        let plan = match self.overlay.as_ref()? {
            Overlay::Approval(dialog) => &dialog.plan,
            Overlay::Settle { plan, .. } => self.details.plan(*plan)?,
            _ => return None,
        };
        // Of one that is in no list any more the daemon says what it became a part of.
        let home = self.home(plan);
        let id = home.unwrap_or_else(|| self.details.home(plan.incident));
        let row = self.feed.view.as_ref()?.incidents.get(&id);
        let held = self.details.get(id).map(|detail| &detail.incident);
        let revision = match (row, held) {
            (Some(row), _) => row.revision,
            (None, Some(held)) if held.phase != Phase::Resolved => held.revision + 1,
            (None, _) => 0,
        };
        self.details.wanted_aside(id, revision, self.now)
    }

    /// Why the plan of a dialog can no longer be decided as it was shown, if it was there to be decided.
    pub fn overtaken(&self, dialog: &Approval) -> Option<String> {
        if !dialog.is_live() {
            return None;
        }
        let shown = &dialog.plan;
        let held = self.details.plan(shown.id);
        if let Some(now) = held.filter(|now| dialog.is_outdated(now)) {
            return Some(became(now, shown));
        }
        // Without a view nothing is known; a screen held still says what is true all the same.
        let view = self.feed.view.as_ref()?;
        let Some(row) = self.home(shown).and_then(|id| view.incidents.get(&id)) else {
            let born = shown.incident;
            return Some(format!("{born} is no incident of its own any more"));
        };
        if dialog.deed != Deed::Approve {
            return None;
        }
        let waits = PlanState::Proposed.as_str();
        if let Some((_, word)) = row
            .plan
            .as_ref()
            .filter(|(id, word)| *id == shown.id && **word != *waits)
        {
            return Some(format!("{} is {word} now", shown.id));
        }
        if shown.expires <= view.at {
            return Some(format!("{} has expired", shown.id));
        }
        let gave = |plan: &Plan| plan.approvals.iter().any(|a| a.by == view.actor.name);
        (!gave(shown) && held.is_some_and(gave))
            .then(|| "you approved it from elsewhere already; it takes another person".to_owned())
    }

    /// That the command of a step in doubt goes on, and what can be done about it; `None` when it has ended,
    /// or nobody knows.
    pub fn still_runs(&self, plan: &Plan) -> Option<String> {
        let process = plan.runs_unheard()?;
        let since = self.clock.second(process.began);
        let keys = self.keymap.keys(Action::RollBack);
        let stop = keys.map_or(String::new(), |keys| format!(", or {keys} stops it"));
        let pid = process.pid;
        Some(format!(
            "its command still runs, pid {pid} since {since}: wait{stop}"
        ))
    }

    /// Why nobody need say what became of a run, or nobody can say it yet.
    pub fn is_settled(&self, plan: PlanId, run: RunId) -> Option<String> {
        let now = self.details.plan(plan)?;
        let by = || {
            let told = &self.detail_of(now)?.incident.timeline;
            let said = told.iter().rev().find(|entry| entry.lane == Lane::Person);
            said.map(|entry| entry.text.to_string())
        };
        match &now.state {
            PlanState::Unknown { run: doubted } if *doubted == run => {
                self.still_runs(now).or_else(|| self.too_low(now))
            }
            PlanState::Unknown { .. } => Some("another step of it is in doubt now".to_owned()),
            state => {
                let word = state.as_str();
                let by = by().filter(|said| said.starts_with(&format!("{plan} ")));
                Some(by.map_or_else(
                    || format!("settled meanwhile: {plan} is {word}: its end is known by now"),
                    |said| format!("settled meanwhile: {plan} is {word}; {said}"),
                ))
            }
        }
    }

    /// Shows in an open dialog what became of its plan meanwhile: who else has approved, or how far what is to be
    /// stopped went. What is bound to the yes stays as shown, and a brake undoes whatever has run by then.
    pub fn renew_dialog(&mut self) {
        let Some(Overlay::Approval(dialog)) = &mut self.overlay else {
            return;
        };
        let now = self.details.plan(dialog.plan.id);
        let Some(now) = now.filter(|now| !dialog.is_outdated(now)) else {
            return;
        };
        match dialog.deed {
            Deed::Approve => {
                let mine = self.feed.view.as_ref().map(|view| &view.actor.name);
                let others = now.approvals.iter().filter(|a| Some(&a.by) != mine);
                dialog.plan.approvals = others.cloned().collect();
            }
            Deed::RollBack => *dialog.plan = now.clone(),
        }
    }
}

/// What became of a plan since it was shown.
fn became(now: &Plan, shown: &Plan) -> String {
    let id = now.id;
    if now.digest != shown.digest {
        return format!("{id} is another than the one shown: read it again");
    }
    match &now.state {
        PlanState::Void { reason } => format!("{id} is void: {reason}"),
        PlanState::Rejected { by, reason } => format!("{by} rejected {id}: {reason}"),
        PlanState::Expired => format!("{id} has expired"),
        state if plans::is_under_way(now) => {
            let by = now.approvals.last().map_or("somebody", |given| &given.by);
            format!("{by} approved {id} meanwhile: it is {}", state.as_str())
        }
        state => format!("{id} has ended meanwhile: it is {}", state.as_str()),
    }
}
