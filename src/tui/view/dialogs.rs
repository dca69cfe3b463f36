//! What lies over the screen: filter line, palette, help, explanations, notes, and the dialogs.

use ratatui::layout::Rect;
use ratatui::widgets::Widget;

use crate::api::RunbookRow;
use crate::model::{IncidentId, Plan, RunId, RunPhase, SafeText};
use crate::tui::action::Action;
use crate::tui::dialog::{palette_rows, runbook_rows, target};
use crate::tui::field::Field;
use crate::tui::help::{self, HelpRow};
use crate::tui::inert;
use crate::tui::paint::{Canvas, Row, wrap};
use crate::tui::route::Route;
use crate::tui::state::{
    Choice, Confirm, Cursor, Fit, Overlay, Question, Screen, State, Tab, Writing, outcomes,
    together,
};
use crate::tui::theme::Role;

/// Widest dialog, in cells.
pub(super) const WIDTH_MAX: u16 = 98;

/// Cells of the keys, the names of actions and the words in help and palette.
const HELP_KEYS: usize = 13;
const HELP_NAME: usize = 16;
pub(in crate::tui) const HELP_WORD: usize = 17;

/// Cells of the name and the risk of a runbook.
const RUNBOOK_NAME: usize = 24;
const RUNBOOK_RISK: usize = 7;
/// Lines for what is wrong with a filter.
const ADVICE_ROWS_MAX: usize = 4;
/// Lines for what the row under the cursor cuts.
const REASON_ROWS: usize = 2;

/// What a person is told before they say what became of a step.
const LOST: &str = "It was started and its result was lost. It will not be run again blindly. Look at the target, then say:";

/// Draws an overlay.
pub(super) fn draw(state: &State, overlay: &Overlay, canvas: &mut Canvas<'_>) {
    match overlay {
        Overlay::Filter { field } => match state.filter_advice() {
            None => bottom_line(canvas, "/", field, filter_hint(state)),
            Some(advice) => advised(canvas, field, &advice),
        },
        Overlay::Palette { field, cursor, .. } => {
            let rows = palette_rows(field.text());
            let here = Route::here(state);
            let title = format!("Do what? Enter does it, Esc leaves. You are at: {here}");
            palette(state, canvas, (field, cursor), &rows, &title);
        }
        Overlay::Help { field, cursor } => {
            let rows = help::rows(state, field.text());
            let title = "Help: type to search words and keys, Enter does it, Esc leaves";
            palette(state, canvas, (field, cursor), &rows, title);
        }
        Overlay::Why {
            title,
            rows,
            cursor,
            ..
        } => {
            let mut inner = boxed(canvas, title, rows.len() as u16);
            let window = cursor.scroll(rows.len(), room(rows.len(), inner.height()));
            for (y, i) in window.clone().enumerate() {
                inner.row(y, &rows[i]);
            }
            more_below(&mut inner, window.end, rows.len());
        }
        Overlay::Note {
            incident,
            area,
            writing,
        } => {
            let (what, rows) = match writing {
                Writing::Note => (format!("Note on {incident}: Enter saves"), 8),
                Writing::Status => (
                    format!("Status update on {incident}, a draft: Enter keeps it"),
                    16,
                ),
            };
            let title = SafeText::new(&format!("{what}, Alt-Enter breaks the line, Esc leaves"));
            let mut inner = boxed(canvas, &title, rows);
            let (rect, buf) = inner.lend();
            area.as_ref().render(rect, buf);
        }
        Overlay::Prompt { question, field } => match question {
            Question::Reject(plan) => {
                let lead = format!("Reject {plan}, because: ");
                bottom_line_owned(canvas, &lead, field, "Enter rejects, Esc leaves");
            }
            Question::Merge(incidents) => {
                let lead = format!("Make {} part of incident number: ", together(incidents));
                bottom_line_owned(canvas, &lead, field, "Enter merges, Esc leaves");
            }
            Question::Assign(incidents) => {
                let lead = format!("Give {} to: ", together(incidents));
                bottom_line_owned(canvas, &lead, field, "Enter assigns, Esc leaves");
            }
        },
        Overlay::Refused(refused) => refused.draw(canvas),
        Overlay::Approval(dialog) => super::approval::draw(state, dialog, canvas),
        Overlay::Confirm { what, choice, .. } => confirm(state, what, *choice, canvas),
        Overlay::Settle { run, cursor, .. } => settle(state, *run, cursor, canvas),
        Overlay::Silence(dialog) => dialog.draw(canvas),
        Overlay::Silences(list) => list.draw(state, canvas),
        Overlay::Desk(desk) => desk.draw(state, canvas),
        Overlay::Entities(list) => list.draw(canvas),
        Overlay::Links(list) => list.draw(canvas),
        Overlay::Runbooks {
            incident,
            field,
            cursor,
        } => runbooks(state, *incident, (field, cursor), canvas),
    }
}

/// How to write a filter, and what it is for where that is not all of what is seen.
fn filter_hint(state: &State) -> &'static str {
    match (state.place.screen, state.place.tab) {
        (Screen::Incident(_), Tab::Metrics | Tab::Logs) => {
            "substring  !not  ~fuzzy  service:x   Enter keeps"
        }
        (Screen::Incident(_), Tab::Timeline) => {
            "marks what has it, n goes to the next; Enter keeps"
        }
        (Screen::Incident(_), _) => "for 1 Timeline, 4 Metrics, 5 Logs; Enter keeps",
        _ => "substring  !not  ~fuzzy  key:value   Enter keeps",
    }
}

/// Lines for a text or list of `len` lines on `height`: when it does not fit, the last is kept for
/// [`more_below`], so that nothing is drawn over.
pub(super) const fn room(len: usize, height: usize) -> usize {
    if len > height {
        height.saturating_sub(1)
    } else {
        height
    }
}

/// Says at the right of the last line that a text goes on.
pub(super) fn more_below(canvas: &mut Canvas<'_>, shown: usize, len: usize) {
    if shown < len && canvas.height() > 0 {
        let text = format!(" {} more below ", len - shown);
        let x = canvas.width().saturating_sub(text.len());
        let y = canvas.height() - 1;
        canvas.row_at(x, y, &Row::new().put(Role::Selection, text));
    }
}

/// The filter being typed, and over it what is wrong with it.
fn advised(canvas: &mut Canvas<'_>, field: &Field, advice: &str) {
    let text = SafeText::new(&format!("There is {advice}."));
    let lines = wrap(&text, canvas.width().saturating_sub(2));
    let area = canvas.area();
    let height = lines.len().min(ADVICE_ROWS_MAX) as u16;
    let mut part = canvas.part(Rect {
        y: area.bottom().saturating_sub(height + 1),
        height,
        ..area
    });
    part.clear();
    for (y, line) in lines.into_iter().take(ADVICE_ROWS_MAX).enumerate() {
        part.row(y, &Row::new().put(Role::Body, " ").put(Role::Warn, line));
    }
    bottom_line(canvas, "/", field, "looked for as it stands   Enter keeps");
}

fn bottom_line(canvas: &mut Canvas<'_>, lead: &'static str, field: &Field, hint: &'static str) {
    bottom_line_owned(canvas, lead, field, hint);
}

fn bottom_line_owned(canvas: &mut Canvas<'_>, lead: &str, field: &Field, hint: &'static str) {
    let area = canvas.area();
    let mut line = canvas.part(Rect {
        y: area.bottom().saturating_sub(1),
        height: 1,
        ..area
    });
    line.clear();
    let row = Row::new()
        .put(Role::Key, lead.to_owned())
        .join(typed(field))
        .put(Role::Muted, "   ")
        .put(Role::Muted, hint);
    line.row(0, &row);
}

/// A field with its cursor.
pub(in crate::tui) fn typed(field: &Field) -> Row {
    let [before, under, after] = field.parts();
    let row = Row::new().put(Role::Body, before);
    let row = if under.as_str().is_empty() {
        row.put(Role::Selection, " ")
    } else {
        row.put(Role::Selection, under)
    };
    row.put(Role::Body, after)
}

/// A titled box in the middle, high enough for `rows`; what lies under it recedes.
pub(in crate::tui) fn boxed<'a>(
    canvas: &'a mut Canvas<'_>,
    title: &SafeText,
    rows: u16,
) -> Canvas<'a> {
    canvas.recede();
    let area = canvas.area();
    let width = if area.width <= WIDTH_MAX + 4 {
        area.width
    } else {
        WIDTH_MAX
    };
    let height = (rows + 3).min(area.height.saturating_sub(2));
    let outer = Rect {
        x: area.x + (area.width - width) / 2,
        y: area.y + (area.height - height) / 2,
        width,
        height,
    };
    let mut frame = canvas.part(outer);
    frame.clear();
    let heading = Row::new()
        .put(Role::Header, " ")
        .put(Role::Header, title)
        .fit(usize::from(width))
        .pad_to(usize::from(width))
        .in_role(Role::Selection);
    frame.row(0, &heading);
    let edge = Row::new()
        .pad_to(usize::from(width))
        .in_role(Role::Selection);
    // A terminal of two rows has no room for a dialog; what is left of it may be nothing.
    frame.row(usize::from(height).saturating_sub(1), &edge);
    if width < area.width {
        // Beside other text it needs sides too.
        for y in 1..usize::from(height).saturating_sub(1) {
            frame.tint(0, y, 1, Role::Selection);
            frame.tint(usize::from(width).saturating_sub(1), y, 1, Role::Selection);
        }
    }
    let side = if width < area.width { 2 } else { 1 };
    canvas.part(Rect {
        x: outer.x + side,
        y: outer.y + 1,
        width: width.saturating_sub(2 * side),
        height: height.saturating_sub(2),
    })
}

fn palette(
    state: &State,
    canvas: &mut Canvas<'_>,
    (field, cursor): (&Field, &Cursor),
    rows: &[HelpRow],
    title: &str,
) {
    let mut inner = boxed(canvas, &SafeText::new(title), rows.len().max(1) as u16 + 1);
    let lead = Row::new().put(Role::Key, ": ");
    inner.row(0, &lead.join(typed(field)));
    if rows.is_empty() {
        let words = match Route::parse(field.text()) {
            Some(route) => format!(" Enter goes to: {route}"),
            None => {
                " Nothing has this in it. A view: incident 12 why, incidents sort:age /text".into()
            }
        };
        return inner.row(1, &Row::new().put(Role::Muted, words));
    }
    let at = cursor.at(rows.len());
    let height = room(rows.len(), inner.height().saturating_sub(1));
    let window = cursor.window(rows.len(), height);
    for (y, i) in window.clone().enumerate() {
        let row = match rows[i] {
            HelpRow::Heading(title) => super::cursor_mark(i == at, true).put(Role::Title, title),
            HelpRow::Word(word, meaning) => super::cursor_mark(i == at, true)
                .column(
                    if i == at { Role::Selection } else { Role::Key },
                    word,
                    HELP_WORD,
                )
                .put(Role::Body, " ")
                .put(Role::Body, meaning),
            HelpRow::Key(action) => palette_row(state, action, i == at),
            HelpRow::Theme(name) => theme_row(name, i == at),
        };
        inner.row(y + 1, &row);
    }
    more_below(&mut inner, window.end, rows.len());
}

fn palette_row(state: &State, action: Action, here: bool) -> Row {
    let keys = state.keymap.alternatives(action).join(", ");
    let role = if here { Role::Selection } else { Role::Title };
    let row = super::cursor_mark(here, true)
        .column(Role::Key, keys, HELP_KEYS)
        .put(Role::Body, " ")
        .column(role, action.row().name, HELP_NAME)
        .put(Role::Body, " ");
    match inert::inert(state, action) {
        Some(why) => row.put(Role::Muted, format!("({why})")),
        None => row.put(Role::Body, action.row().doc),
    }
}

fn theme_row(name: &'static str, here: bool) -> Row {
    let role = if here { Role::Selection } else { Role::Title };
    super::cursor_mark(here, true)
        .column(Role::Muted, "theme", HELP_KEYS)
        .put(Role::Body, " ")
        .column(role, name, HELP_NAME)
        .put(Role::Body, " ")
        .put(Role::Body, "Shown at once; Enter keeps it, Esc goes back")
}

/// Both buttons, `Cancel` first; none is chosen while a field has the keys.
pub(super) fn buttons(choice: Option<Choice>, yes: &str, live: bool) -> Row {
    let (cancel, proceed) = match choice {
        Some(Choice::Cancel) => (Role::Selection, Role::Body),
        Some(Choice::Proceed) => (Role::Body, Role::Danger),
        None => (Role::Body, Role::Body),
    };
    let proceed = if live { proceed } else { Role::Muted };
    Row::new()
        .put(Role::Body, " ")
        .put(cancel, "[ Cancel ]")
        .put(Role::Body, "   ")
        .put(proceed, "[ ")
        .put(proceed, yes.to_owned())
        .put(proceed, " ]")
}

fn confirm(state: &State, what: &Confirm, choice: Choice, canvas: &mut Canvas<'_>) {
    let (title, text, yes): (String, String, &'static str) = match what {
        Confirm::KillSwitch { on: true } => (
            "Stop all automation?".to_owned(),
            "No step will start until somebody allows it again; a running step is finished. Detection goes on.".to_owned(),
            "Stop automation",
        ),
        Confirm::KillSwitch { on: false } => (
            "Allow automation again?".to_owned(),
            "Approved plans may run again.".to_owned(),
            "Allow automation",
        ),
        Confirm::Resolve(incidents) => (
            format!("Declare {} over?", together(incidents)),
            "Signals that still last will be kept and will not open it again by themselves.".to_owned(),
            "Declare over",
        ),
    };
    let mut inner = boxed(canvas, &SafeText::new(&title), 5);
    let lines = wrap(&SafeText::new(&text), inner.width().saturating_sub(2));
    for (y, line) in lines.into_iter().enumerate() {
        inner.row(y, &Row::new().put(Role::Body, " ").put(Role::Body, line));
    }
    let last = inner.height().saturating_sub(1);
    let buttons = buttons(Some(choice), yes, true).put(Role::Body, "   ");
    let row = match what {
        Confirm::KillSwitch { .. } => {
            let keys = state.keymap.keys(Action::KillSwitch).unwrap_or_default();
            buttons
                .put(Role::Key, keys)
                .put(Role::Body, " again does it")
                .put(Role::Muted, ", Esc leaves")
        }
        Confirm::Resolve(_) => buttons.put(Role::Muted, "Tab chooses, Enter does it, Esc leaves"),
    };
    inner.row(last, &row);
}

fn settle(state: &State, run: RunId, cursor: &Cursor, canvas: &mut Canvas<'_>) {
    let title = SafeText::new(&format!("{}: what became of this step?", run.plan));
    let width = usize::from(canvas.area().width.min(WIDTH_MAX)).saturating_sub(4);
    let known = state.is_settled(run.plan, run);
    let told = |role, text: &str| -> Vec<Row> {
        let lines = wrap(&SafeText::new(text), width).into_iter();
        let lead = || Row::new().put(Role::Body, " ");
        lines.map(|line| lead().put(role, line)).collect()
    };
    let mut below = vec![Row::new()];
    let mut above = if let Some(why) = &known {
        below.extend(told(
            Role::Warn,
            &format!("Nothing to decide: {why}. Enter or Esc leaves this question first."),
        ));
        Vec::new()
    } else {
        below.extend(said_of_it(cursor));
        told(Role::Body, LOST)
    };
    if let Some(action) = state
        .details
        .plan(run.plan)
        .and_then(|plan| in_doubt(plan, run))
    {
        above.extend(told(Role::Title, &action.title));
        above.extend(super::approval::command(action, width));
    }
    let mut inner = boxed(canvas, &title, (above.len() + below.len() - 1) as u16);
    // What can be said is never what is cut.
    let height = inner.height().saturating_sub(below.len());
    let shown = room(above.len(), height);
    let area = inner.area();
    let mut part = inner.part(Rect {
        height: height as u16,
        ..area
    });
    for (y, row) in above.iter().take(shown).enumerate() {
        part.row(y, row);
    }
    more_below(&mut part, shown, above.len());
    for (y, row) in below.iter().enumerate() {
        inner.row(height + y, row);
    }
}

/// What one can say of a step in doubt, and the mark at what is chosen.
fn said_of_it(cursor: &Cursor) -> Vec<Row> {
    let choices =
        std::iter::once("Not sure yet: decide later").chain(outcomes().map(|(words, _)| words));
    let len = outcomes().len() + 1;
    let at = cursor.at(len);
    let _ = cursor.window(len, len);
    let rows = choices.enumerate().map(|(i, words)| {
        let role = if i == at { Role::Selection } else { Role::Body };
        super::cursor_mark(i == at, true)
            .put(role, " ")
            .put(role, words)
    });
    rows.collect()
}

/// What a run of a plan does.
fn in_doubt(plan: &Plan, run: RunId) -> Option<&crate::model::Action> {
    match run.phase {
        RunPhase::Precondition => plan.preconditions.get(run.step as usize),
        RunPhase::Forward => plan.steps.get(run.step as usize),
        RunPhase::Verify => plan.verify.check.as_ref(),
        RunPhase::Rollback => plan.rollback.get(run.step as usize)?.as_ref(),
    }
}

fn runbooks(
    state: &State,
    incident: IncidentId,
    (field, cursor): (&Field, &Cursor),
    canvas: &mut Canvas<'_>,
) {
    let target = state.row(incident).map(target);
    let target = target.as_ref().map_or("it", |target| target.name());
    let title =
        format!("Which runbook for {target}? Type to search, Enter renders it; nothing runs yet");
    let all = state.runbooks.as_ref().map_or(0, |(_, rows)| rows.len());
    let mut inner = boxed(
        canvas,
        &SafeText::new(&title),
        (all + 1 + REASON_ROWS) as u16,
    );
    inner.row(0, &Row::new().put(Role::Key, "> ").join(typed(field)));
    if state.runbooks.is_none() {
        return inner.row(1, &Row::new().put(Role::Muted, " Fetching..."));
    }
    let rows = runbook_rows(state, incident, field.text());
    if rows.is_empty() {
        return inner.row(
            1,
            &Row::new().put(Role::Muted, " No runbook has this in it."),
        );
    }
    let at = cursor.at(rows.len());
    let (width, height) = (inner.width(), inner.height());
    let listed = height.saturating_sub(1 + REASON_ROWS);
    let window = cursor.window(rows.len(), listed);
    for (y, i) in window.enumerate() {
        inner.row(y + 1, &runbook(rows[i], i == at));
    }
    // The whole of what the row under the cursor cuts.
    let (role, words) = match &rows[at].1.refused {
        Some(why) => (Role::Warn, format!("not here: {why}")),
        None => (Role::Body, rows[at].1.description.clone()),
    };
    let lines = wrap(&SafeText::new(&words), width.saturating_sub(2));
    for (y, line) in lines.into_iter().take(REASON_ROWS).enumerate() {
        let below = height.saturating_sub(REASON_ROWS) + y;
        inner.row(below, &Row::new().put(Role::Body, " ").put(role, line));
    }
}

fn runbook((fit, row): (Fit, &RunbookRow), here: bool) -> Row {
    let role = match (here, &row.refused) {
        (true, _) => Role::Selection,
        (false, None) => Role::Title,
        (false, Some(_)) => Role::Muted,
    };
    let line = super::cursor_mark(here, true)
        .column(role, row.name.clone(), RUNBOOK_NAME)
        .put(Role::Body, " ")
        .column(Role::Muted, row.risk.as_str(), RUNBOOK_RISK);
    match &row.refused {
        Some(why) => line.put(Role::Muted, format!("not here: {why}")),
        None if fit == Fit::TriedInVain => line
            .put(Role::Warn, "tried in vain: ")
            .put(Role::Body, row.title.clone()),
        None => line.put(Role::Body, row.title.clone()),
    }
}
