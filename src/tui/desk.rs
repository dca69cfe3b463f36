//! Who does what during an incident: duties, tasks, and what those outside were told, in one dialog.
//!
//! Everything is a command; the dialog shows what the engine then says, and keeps nothing of its own.

use crossterm::event::KeyCode;
use tui_textarea::TextArea;

use crate::api::{IncidentDetail, handover, narrative};
use crate::model::mask::mask_secrets;
use crate::model::{Command, Coordinate, Coordination, Duty, IncidentId, SafeText, Task, Time};

use super::action::Action;
use super::explain;
use super::field::Field;
use super::format;
use super::key::Key;
use super::paint::{Canvas, Row, wrap};
use super::state::{Cursor, Overlay, State, Writing};
use super::theme::Role;
use super::update::{Effects, lay_over};
use super::view::{boxed, cursor_mark, typed};

/// Cells of the name of a duty and of a person.
const DUTY: usize = 16;
const WHO: usize = 12;
/// Widest line of a draft, in cells: mail programs like it.
const DRAFT_CELLS: usize = 72;

/// The dialog.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Of which incident.
    pub incident: IncidentId,
    cursor: Cursor,
    asks: Option<(Ask, Field)>,
}

/// What is being typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    /// Who has a duty.
    Who(Duty),
    /// What is to be done.
    Task,
}

/// A line one can press Enter on.
enum Line<'a> {
    Duty(Duty, Option<&'a str>),
    Task(&'a Task),
    NewTask,
    Status,
    HandOver,
}

impl Desk {
    /// Opens it.
    pub(super) fn new(incident: IncidentId) -> Self {
        Self {
            incident,
            cursor: Cursor::default(),
            asks: None,
        }
    }

    /// Takes a key; `true` when the dialog is left.
    pub(super) fn key(&mut self, state: &mut State, key: Key, effects: &mut Effects) -> bool {
        if let Some((ask, field)) = &mut self.asks {
            match key.code {
                KeyCode::Esc => self.asks = None,
                KeyCode::Enter => {
                    let act = answer(*ask, field.text());
                    self.asks = None;
                    self.give(act, effects);
                }
                _ => {
                    field.key(key);
                }
            }
            return false;
        }
        if let Some(step) = super::dialog::step_of(state, key) {
            self.cursor.step(step);
            return false;
        }
        match key.code {
            KeyCode::Esc => true,
            KeyCode::Enter => self.enter(state, effects),
            _ => false,
        }
    }

    /// Whether a line of it is being typed.
    pub(super) const fn is_typing(&self) -> bool {
        self.asks.is_some()
    }

    /// Takes pasted text.
    pub(super) fn paste(&mut self, text: &str) {
        if let Some((_, field)) = &mut self.asks {
            field.insert(text);
        }
    }

    fn enter(&mut self, state: &mut State, effects: &mut Effects) -> bool {
        let Some(detail) = state.details.get(self.incident) else {
            return false;
        };
        let coordination = &detail.incident.coordination;
        let lines = lines(coordination);
        match lines.get(self.cursor.at(lines.len())) {
            Some(Line::Duty(duty, who)) => {
                // Whoever opens it most often takes it.
                let me = state
                    .feed
                    .view
                    .as_ref()
                    .map_or("", |v| v.actor.name.as_str());
                let field = Field::offering(who.unwrap_or(me));
                self.asks = Some((Ask::Who(*duty), field));
            }
            Some(Line::NewTask) => self.asks = Some((Ask::Task, Field::default())),
            Some(Line::Task(task)) => {
                let act = Coordinate::Done {
                    task: task.id,
                    done: task.done.is_none(),
                };
                self.give(act, effects);
            }
            Some(Line::Status) => {
                write_status(state, self.incident);
                return true;
            }
            Some(Line::HandOver) => {
                tell_over(state, self.incident);
                return true;
            }
            None => {}
        }
        false
    }

    fn give(&self, act: Coordinate, effects: &mut Effects) {
        let incident = self.incident;
        effects.command(Command::Coordinate { incident, act });
    }

    /// Draws it.
    pub(super) fn draw(&self, state: &State, canvas: &mut Canvas<'_>) {
        let title = SafeText::new(&format!(
            "Who does what on {}: Enter changes a line, Esc leaves",
            self.incident
        ));
        let Some(detail) = state.details.get(self.incident) else {
            return;
        };
        let coordination = &detail.incident.coordination;
        let lines = lines(coordination);
        let mut inner = boxed(canvas, &title, lines.len() as u16 + 2);
        let at = self.cursor.at(lines.len());
        let room = inner.height().saturating_sub(1);
        for (y, i) in self.cursor.window(lines.len(), room).enumerate() {
            let row = drawn(state, coordination, &lines[i], i == at);
            inner.row(y, &row);
        }
        let Some((ask, field)) = &self.asks else {
            return;
        };
        let (lead, hint) = match ask {
            Ask::Who(duty) => (
                format!(" {} is: ", duty.as_str()),
                "   Enter says so; empty is nobody",
            ),
            Ask::Task => (" to do: ".to_owned(), "   @name gives it, in 15m is when"),
        };
        let row = Row::new().put(Role::Key, lead).join(typed(field));
        let last = inner.height().saturating_sub(1);
        inner.row(last, &row.put(Role::Muted, hint));
    }
}

fn lines(coordination: &Coordination) -> Vec<Line<'_>> {
    let duties = Duty::ALL.into_iter();
    let duties = duties.map(|d| Line::Duty(d, coordination.duties.get(&d).map(String::as_str)));
    let tasks = coordination.tasks.iter().map(Line::Task);
    let rest = [Line::NewTask, Line::Status, Line::HandOver];
    duties.chain(tasks).chain(rest).collect()
}

fn drawn(state: &State, coordination: &Coordination, line: &Line<'_>, here: bool) -> Row {
    let role = if here { Role::Selection } else { Role::Title };
    let row = cursor_mark(here, true).put(Role::Body, " ");
    match line {
        Line::Duty(duty, who) => {
            let row = row.column(role, duty.as_str(), DUTY).put(Role::Body, " ");
            match who {
                Some(who) => row.put(Role::Person, (*who).to_owned()),
                None => row.put(Role::Muted, "nobody"),
            }
        }
        Line::Task(task) => {
            let row = row
                .put(role, if task.done.is_some() { "[x] " } else { "[ ] " })
                .put(Role::Body, format!("{} ", task.id));
            let row = match &task.owner {
                Some(owner) => row.column(Role::Person, owner.clone(), WHO),
                None => row.column(Role::Muted, "nobody", WHO),
            };
            let row = row
                .put(Role::Body, " ")
                .put(Role::Body, task.text.to_string());
            match (task.done, task.due) {
                (None, Some(due)) if due <= state.engine_now() => {
                    let late = format::age(state.engine_now().since(due));
                    row.put(Role::Warn, format!("  OVERDUE by {late}"))
                }
                (None, Some(due)) => {
                    row.put(Role::Muted, format!("  due {}", state.clock.minute(due)))
                }
                _ => row,
            }
        }
        Line::NewTask => row.put(role, "add a task"),
        Line::HandOver => row
            .put(role, "hand over")
            .put(Role::Muted, "  what whoever takes over must know"),
        Line::Status => {
            let row = row.put(role, "write a status update").put(Role::Body, "  ");
            let told = match &coordination.status {
                Some(last) => format!("last {} by {}", state.clock.minute(last.at), last.by),
                None => "nobody outside was told yet".to_owned(),
            };
            let row = row.put(Role::Muted, told);
            match coordination.status_due {
                Some(due) if due <= state.engine_now() => row.put(Role::Warn, ", DUE now"),
                Some(due) => row.put(Role::Muted, format!(", next {}", state.clock.minute(due))),
                None => row,
            }
        }
    }
}

/// What is asked for by what was typed.
fn answer(ask: Ask, typed: &str) -> Coordinate {
    let typed = typed.trim();
    match ask {
        Ask::Task => Coordinate::task(typed),
        Ask::Who(duty) => Coordinate::Duty {
            duty,
            who: (!typed.is_empty()).then(|| typed.to_owned()),
        },
    }
}

/// A status update to begin from: the incident in words, secrets masked, and when the next follows.
fn draft(state: &State, detail: &IncidentDetail) -> Vec<String> {
    let clock = |at: Time| at.to_utc().format("%H:%M UTC").to_string();
    let next = state.engine_now().plus_ms(crate::model::STATUS_EVERY_MS);
    let told = narrative(&detail.incident, &detail.plans, &clock);
    let next = format!("Next update by {}.", clock(next));
    let sentences = told.into_iter().chain([next]);
    sentences
        .flat_map(|text| wrap(&SafeText::new(&mask_secrets(&text)), DRAFT_CELLS))
        .map(|line| line.to_string())
        .collect()
}

/// Opens a status update that begins with a draft.
pub(super) fn write_status(state: &mut State, incident: IncidentId) {
    let Some(detail) = state.details.get(incident) else {
        return;
    };
    let draft = draft(state, detail);
    let overlay = Overlay::Note {
        incident,
        area: Box::new(TextArea::new(draft)),
        writing: Writing::Status,
    };
    lay_over(state, overlay);
}

/// Tells what whoever takes over the incident chosen must know.
pub(super) fn hand_over(state: &mut State) {
    match state.chosen() {
        None => state.tell(Role::Muted, "No incident is chosen."),
        Some(id) if state.details.get(id).is_none() => {
            state.tell(Role::Muted, "It is being fetched.");
        }
        Some(id) => tell_over(state, id),
    }
}

/// Lays what whoever takes over must know over the screen, to be read or copied.
fn tell_over(state: &mut State, incident: IncidentId) {
    let Some(detail) = state.details.get(incident) else {
        return;
    };
    let clock = |at: Time| at.to_utc().format("%H:%M UTC").to_string();
    let now = state.engine_now();
    let width = explain::width(state);
    let mut rows = Vec::new();
    for (heading, said) in handover(detail, now, &clock) {
        explain::section(&mut rows, heading);
        for sentence in said {
            explain::bullet(&mut rows, Role::Body, &sentence, width);
        }
    }
    let title = format!("Hand-over of {incident}, {}", clock(now));
    let copies = state.keymap.keys(Action::Copy);
    let copies = copies.map_or_else(String::new, |keys| format!(": {keys} copies it"));
    let overlay = Overlay::Why {
        title: SafeText::new(&format!("{title}{copies}, Esc leaves")),
        rows,
        asked: None,
        cursor: Cursor::default(),
    };
    lay_over(state, overlay);
}

/// What of it needs somebody now, in few words; empty when nothing does.
pub(super) fn pressing(coordination: &Coordination, now: Time) -> String {
    let late = |task: &&Task| task.done.is_none() && task.due.is_some_and(|due| due <= now);
    let late = coordination.tasks.iter().filter(late).count();
    let mut words = Vec::new();
    if coordination.is_status_due(now) {
        words.push("status update DUE".to_owned());
    }
    if late > 0 {
        words.push(format::counted(
            late as u64,
            "task overdue",
            "tasks overdue",
        ));
    }
    words.join(", ")
}
