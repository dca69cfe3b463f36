//! What lies over the screen and has the keys: boxes to type in, dialogs, lists to choose from.

use tui_textarea::TextArea;

use crate::model::{
    EntityId, IncidentId, Outcome, Plan, PlanId, PlanState, Risk, RunId, SafeText, SeriesId, Time,
};

use super::cursor::Cursor;
use crate::tui::desk::Desk;
use crate::tui::entities::Entities;
use crate::tui::field::Field;
use crate::tui::key::Key;
use crate::tui::node::Links;
use crate::tui::paint::Row;
use crate::tui::refused::Refused;
use crate::tui::silence::{SilenceDialog, Silences};
use crate::tui::theme::Theme;

/// Approving keys are ignored until no key was pressed for this long: a held key, a burst of pasted
/// keys and fingers still in flight when the dialog opened cannot approve.
pub const QUIET_MS: i64 = 500;
/// Keys closer together than this are a burst, not a person.
const BURST_MS: i64 = 20;
/// Incidents named in a phrase about several; the rest are counted.
const NAMED_MAX: usize = 4;

/// What has the keys.
#[derive(Debug)]
pub enum Overlay {
    /// Typing a filter.
    Filter {
        /// What is typed.
        field: Field,
    },
    /// Choosing an action or a theme by name.
    Palette {
        /// What is typed.
        field: Field,
        /// The row chosen.
        cursor: Cursor,
        /// The theme before: one under the cursor is looked at, not yet taken.
        before: Box<Theme>,
    },
    /// Reading the keys.
    Help {
        /// What is searched for.
        field: Field,
        /// The row chosen.
        cursor: Cursor,
    },
    /// Reading an explanation.
    Why {
        /// Of what.
        title: SafeText,
        /// The explanation.
        rows: Vec<Row>,
        /// What the daemon was asked for, until it has come.
        asked: Option<Awaited>,
        /// The first line shown.
        cursor: Cursor,
    },
    /// Writing a note.
    Note {
        /// On which incident.
        incident: IncidentId,
        /// What is written.
        area: Box<TextArea<'static>>,
        /// What becomes of it.
        writing: Writing,
    },
    /// Answering a question with a line of text.
    Prompt {
        /// The question.
        question: Question,
        /// What is typed.
        field: Field,
    },
    /// Typing what an action would have taken, had it not been refused.
    Refused(Refused),
    /// Reading a plan in order to approve or to undo it.
    Approval(Approval),
    /// Saying yes or no to something.
    Confirm {
        /// What.
        what: Confirm,
        /// Guards against accidents.
        guard: Guard,
        /// The button chosen.
        choice: Choice,
    },
    /// Saying what became of a step whose result is not known.
    Settle {
        /// Which plan.
        plan: PlanId,
        /// Which run.
        run: RunId,
        /// Guards against accidents.
        guard: Guard,
        /// The row chosen.
        cursor: Cursor,
    },
    /// Making a silence.
    Silence(Box<SilenceDialog>),
    /// Reading what is silenced.
    Silences(Silences),
    /// Arranging who does what.
    Desk(Desk),
    /// Choosing among the entities of an incident.
    Entities(Entities),
    /// Choosing a page about a node.
    Links(Links),
    /// Choosing a runbook to render.
    Runbooks {
        /// For which incident.
        incident: IncidentId,
        /// What is searched for.
        field: Field,
        /// The row chosen.
        cursor: Cursor,
    },
}

/// What a text waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// How a series is judged, which goes below.
    Judgement(SeriesId),
    /// The log lines of a template at an entity, which take its place.
    Lines(EntityId, Box<str>),
    /// Who depends on a node of the path, which takes the place of what the incident alone tells.
    Dependence(EntityId),
}

/// What a longer text is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    /// A note on the timeline.
    Note,
    /// What those outside are told.
    Status,
}

/// A question answered with a line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Why is the plan rejected?
    Reject(PlanId),
    /// Who takes the incidents?
    Assign(Vec<IncidentId>),
    /// Which incident are they part of?
    Merge(Vec<IncidentId>),
}

/// Something to say yes or no to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confirm {
    /// Stop (or allow) all automation.
    KillSwitch {
        /// Whether it will be stopped.
        on: bool,
    },
    /// Declare incidents over.
    Resolve(Vec<IncidentId>),
}

/// A button of a dialog. Dialogs open on `Cancel`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    /// Do nothing.
    #[default]
    Cancel,
    /// Do it.
    Proceed,
}

/// Tells a decision from an accident by the time between keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    quiet_since: Time,
    last_key: Time,
}

/// What is said yes to in the dialog of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// That it runs.
    Approve,
    /// That it is stopped if it runs, and what it did is undone.
    RollBack,
}

/// The dialog of a plan: to approve it, or to undo it.
#[derive(Debug)]
pub struct Approval {
    /// What is said yes to.
    pub deed: Deed,
    /// The plan as it was shown: what is approved is its digest, never that of a later one.
    pub plan: Box<Plan>,
    /// Guards against accidents.
    pub guard: Guard,
    /// The button chosen.
    pub choice: Choice,
    /// Whether the field of the name has the keys, and no button.
    pub in_name: bool,
    /// The target's name, typed for a high risk.
    pub typed: Field,
    /// The first line shown.
    pub cursor: Cursor,
    /// Why the last key did nothing.
    pub told: &'static str,
}

impl Choice {
    /// The other button.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::Cancel => Self::Proceed,
            Self::Proceed => Self::Cancel,
        }
    }
}

impl Guard {
    /// From the moment a dialog opens.
    pub const fn new(opened: Time) -> Self {
        Self {
            quiet_since: opened,
            last_key: opened,
        }
    }

    /// Whether a key that acts is to be believed now. One that is not starts the wait again.
    pub fn believes(&mut self, now: Time) -> bool {
        let calm = now.since(self.quiet_since) >= QUIET_MS && now.since(self.last_key) >= BURST_MS;
        self.last_key = now;
        if !calm {
            self.quiet_since = now;
        }
        calm
    }

    /// Notes a key that does not act.
    pub fn saw_key(&mut self, now: Time) {
        self.last_key = now;
    }

    /// Notes a key that means nothing here. A letter is part of a word that was meant for something else, so that
    /// what follows is not believed either.
    pub fn saw_stray(&mut self, key: Key, now: Time) {
        self.last_key = now;
        if key.typed().is_some() {
            self.quiet_since = now;
        }
    }
}

impl Approval {
    /// Opens on `Cancel`, or where the name is typed.
    pub fn new(deed: Deed, plan: Plan, now: Time) -> Self {
        let mut dialog = Self {
            deed,
            plan: Box::new(plan),
            guard: Guard::new(now),
            choice: Choice::Cancel,
            in_name: false,
            typed: Field::default(),
            cursor: Cursor::default(),
            told: "",
        };
        dialog.in_name = dialog.wants_name();
        dialog
    }

    /// Whether there is something to say yes to, rather than only to read.
    pub fn is_live(&self) -> bool {
        self.deed == Deed::RollBack || self.plan.state == PlanState::Proposed
    }

    /// Whether the plan runs, so that undoing it is first of all an emergency brake.
    pub fn is_brake(&self) -> bool {
        self.deed == Deed::RollBack && !self.plan.state.is_final()
    }

    /// Whether the target's name must be typed. A brake is not held up by typing.
    pub fn wants_name(&self) -> bool {
        self.plan.risk == Risk::High && !self.is_brake()
    }

    /// Whether a key begins no name that would be right, while nothing is typed yet.
    pub fn is_no_start(&self, key: crate::tui::key::Key) -> bool {
        let starts = |typed: char| self.plan.target.name().starts_with(typed);
        self.typed.text().is_empty() && !key.typed().is_some_and(starts)
    }

    /// Whether the plan, as it is `now`, is no longer what was shown: another content, or, where what was
    /// to be decided depends on it, another state.
    pub fn is_outdated(&self, now: &Plan) -> bool {
        let moved = match self.deed {
            Deed::Approve => now.state != PlanState::Proposed,
            // What was to be stopped has ended meanwhile: undoing it is another question.
            Deed::RollBack => now.state.is_final() != self.plan.state.is_final(),
        };
        moved || now.digest != self.plan.digest
    }

    /// The keys go to the field of the name.
    pub fn ask_name(&mut self) {
        (self.in_name, self.choice) = (true, Choice::Cancel);
    }

    /// The keys go to the button that says yes.
    pub fn ask_yes(&mut self) {
        (self.in_name, self.choice) = (false, Choice::Proceed);
    }

    /// After a key that moved between the buttons of a dialog that wants a name: from the field to the
    /// yes, from there to `Cancel`, and back to the field.
    pub fn turn(&mut self) {
        match (self.in_name, self.choice) {
            (true, _) => self.ask_yes(),
            (false, Choice::Proceed) => self.ask_name(),
            (false, Choice::Cancel) => {}
        }
    }

    /// What is said while the name is not the target's.
    pub fn asks_name(&self) -> &'static str {
        if self.typed.text().is_empty() {
            "High risk: type the target's name first."
        } else {
            "That is not the target's name: type it as it stands there."
        }
    }

    /// Whether the target's name was typed, or need not be.
    pub fn name_is_right(&self) -> bool {
        !self.wants_name() || self.typed.text() == self.plan.target.name()
    }
}

/// What may have become of a run, as offered, with what to tell the engine.
pub fn outcomes() -> [(&'static str, Outcome); 2] {
    [
        ("It ran and succeeded: go on", Outcome::Succeeded),
        (
            "It did not run, or failed: stop and undo",
            Outcome::Failed {
                why: "settled by a person".to_owned(),
            },
        ),
    ]
}

/// Incidents as a phrase.
pub fn together(incidents: &[IncidentId]) -> String {
    let list = |some: &[IncidentId]| {
        let names: Vec<String> = some.iter().map(ToString::to_string).collect();
        names.join(", ")
    };
    match incidents {
        [] => "no incident".to_owned(),
        [one] => one.to_string(),
        [first @ .., end] if first.len() < NAMED_MAX => format!("{} and {end}", list(first)),
        many => {
            let more = many.len() - NAMED_MAX;
            format!("{} and {more} more", list(&many[..NAMED_MAX]))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_acts_on_several_reads_which() {
        let of = |ids: &[u64]| together(&ids.iter().map(|id| IncidentId(*id)).collect::<Vec<_>>());
        assert_eq!(of(&[1]), "#1");
        assert_eq!(of(&[1, 2]), "#1 and #2");
        assert_eq!(of(&[1, 2, 3, 4]), "#1, #2, #3 and #4");
        assert_eq!(of(&[1, 2, 3, 4, 5, 6]), "#1, #2, #3, #4 and 2 more");
    }

    #[test]
    fn the_guard_wants_half_a_second_of_quiet() {
        let at = Time::from_ms;
        let mut held_key = Guard::new(at(0));
        for ms in (30..3_000).step_by(30) {
            assert!(!held_key.believes(at(ms)), "{ms}");
        }
        assert!(held_key.believes(at(3_500)));

        let mut burst = Guard::new(at(0));
        burst.saw_key(at(900));
        assert!(!burst.believes(at(901)), "a burst of pasted keys");
        let mut person = Guard::new(at(0));
        person.saw_key(at(200));
        assert!(person.believes(at(600)));
    }
}
