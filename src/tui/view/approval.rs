//! The approval dialog: exactly what will run, where, why now, how it is verified and undone, what
//! policy demands and when it expires. What is approved is the digest of what is shown here.

use ratatui::layout::Rect;

use crate::model::{
    Action, Approval as Given, Diagnosis, ExecutorKind, Hypothesis, Incident, PastRun, Phase, Plan,
    PlanState, SafeText, SuspectKind, Time, command_line,
};
use crate::tui::action::Action as Key;
use crate::tui::explain::{bullet, section};
use crate::tui::format;
use crate::tui::paint::{Canvas, Row, wrap};
use crate::tui::state::{Approval, Dead, Deed, State, to_undo, verified_at};
use crate::tui::theme::Role;

use super::dialogs::{WIDTH_MAX, boxed, buttons, more_below, room, typed};
use super::headline::{expiry, risk};

/// Hex digits of the digest shown; the whole is bound.
const DIGEST_SHOWN: usize = 12;

/// Cells of the words before why a dialog is dead, and the most lines that takes.
const WHY_NOT: usize = 10;
const WHY_NOT_ROWS_MAX: usize = 3;

/// Earlier runs shown, the newest.
const BEFORE_SHOWN_MAX: usize = 3;
/// Sentences of evidence shown, for and against each.
const EVIDENCE_SHOWN_MAX: usize = 2;
/// A confidence lower by this much is said to be less sure.
const LESS_SURE_MIN: f32 = 0.15;
/// A plan for a target less suspected than this was never one for the first suspect.
const LEAD_MIN: f32 = 0.5;

/// Draws the dialog.
pub(super) fn draw(state: &State, dialog: &Approval, canvas: &mut Canvas<'_>) {
    let plan = &dialog.plan;
    let overtaken = state.dead(dialog);
    let live = dialog.is_live() && overtaken.is_none();
    let verb = match dialog.deed {
        _ if !live => "Read",
        Deed::Approve => "Approve",
        Deed::RollBack => "Roll back",
    };
    let title = SafeText::new(&format!("{verb} {}: {}", plan.id, plan.title));
    let width = usize::from(canvas.area().width.saturating_sub(6).min(WIDTH_MAX - 4));
    let body = match dialog.deed {
        Deed::Approve => text(state, plan, width),
        Deed::RollBack => undo_text(state, dialog, width),
    };
    let last = match &overtaken {
        Some(Dead::NotNow(_)) => " Nothing can be decided until then. Esc leaves.",
        Some(Dead::NotYou(_)) => " It is yours to read, and theirs to decide. Esc leaves.",
        _ => " Nothing can be decided here any more. Esc leaves.",
    };
    let overtaken = overtaken.map(|dead| why_not(&dead, width));
    let fixed = match &overtaken {
        Some(lines) => lines.len() + 2,
        None if dialog.wants_name() && live => 3,
        None => 2,
    };
    let mut inner = boxed(canvas, &title, (body.len() + fixed) as u16);
    let height = inner.height();
    let shown = height.saturating_sub(fixed);
    let area = inner.area();
    let mut part = inner.part(Rect {
        height: shown as u16,
        ..area
    });
    let window = dialog.cursor.scroll(body.len(), room(body.len(), shown));
    for (y, i) in window.clone().enumerate() {
        part.row(y, &body[i]);
    }
    more_below(&mut part, window.end, body.len());
    inner.row(shown, &Row::new().put(Role::Warn, dialog.told));
    if let Some(lines) = overtaken {
        for (y, line) in lines.iter().enumerate() {
            inner.row(shown + 1 + y, line);
        }
        let row = Row::new().put(Role::Muted, last);
        return inner.row(height.saturating_sub(1), &row);
    }
    if !live {
        let row = Row::new()
            .put(Role::Body, " It is ")
            .put(Role::Title, plan.state.as_str())
            .put(Role::Muted, ": nothing to approve. Esc leaves.");
        return inner.row(height.saturating_sub(1), &row);
    }
    if dialog.wants_name() {
        let name = if dialog.in_name {
            typed(&dialog.typed)
        } else {
            Row::new().put(Role::Body, SafeText::new(dialog.typed.text()))
        };
        let row = Row::new()
            .put(Role::Danger, " HIGH RISK ")
            .put(Role::Body, " type ")
            .put(Role::Title, &plan.target)
            .put(
                Role::Body,
                if dialog.deed == Deed::Approve {
                    " to approve: "
                } else {
                    " to undo it: "
                },
            )
            .join(name);
        inner.row(height.saturating_sub(2), &row);
    }
    let row = buttons(
        (!dialog.in_name).then_some(dialog.choice),
        &format!("{verb} {}", plan.id),
        dialog.name_is_right(),
    );
    let [how, leave] = how(state, dialog);
    let row = row.put(Role::Body, "   ").join(how);
    let row = row.join_if_fits(leave, inner.width());
    inner.row(height.saturating_sub(1), &row);
}

/// Why nothing can be decided, where the buttons were.
fn why_not(dead: &Dead, width: usize) -> Vec<Row> {
    let word = match dead {
        Dead::TooLate(_) => " TOO LATE ",
        Dead::NotNow(_) => " NOT NOW ",
        Dead::NotYou(_) => " NOT YOU ",
    };
    let text = SafeText::new(dead.why());
    let lines = wrap(&text, width.saturating_sub(WHY_NOT + 1));
    let lines = lines.into_iter().take(WHY_NOT_ROWS_MAX).enumerate();
    lines
        .map(|(at, line)| {
            let lead = if at == 0 { word } else { "" };
            Row::new()
                .put(Role::Body, " ")
                .column(Role::Danger, lead, WHY_NOT)
                .put(Role::Body, " ")
                .put(Role::Warn, line)
        })
        .collect()
}

/// Which key says yes: the one that opened the dialog, unless it would be a letter of the name typed. And
/// which leaves, where there is room for it.
fn how(state: &State, dialog: &Approval) -> [Row; 2] {
    let (key, again, then) = match dialog.deed {
        Deed::Approve => (
            Key::Approve,
            " again approves it",
            "then Tab and Enter approve",
        ),
        Deed::RollBack => (
            Key::RollBack,
            " again rolls it back",
            "then Tab and Enter roll it back",
        ),
    };
    let how = match state.keymap.keys(key).filter(|_| !dialog.wants_name()) {
        Some(keys) => Row::new().put(Role::Key, keys).put(Role::Body, again),
        None => Row::new().put(Role::Muted, then),
    };
    [how, Row::new().put(Role::Muted, ", Esc leaves")]
}

/// Everything a person must know before taking a plan back.
fn undo_text(state: &State, dialog: &Approval, width: usize) -> Vec<Row> {
    let plan = &dialog.plan;
    let mut rows = vec![whereabouts(state, plan)];
    for words in helped(state, plan) {
        bullet(&mut rows, Role::Warn, &words, width);
    }
    section(&mut rows, "What will be undone, exactly, last step first");
    if dialog.is_brake() {
        let text = "it is stopped first; a step in flight may be half done, and is undone as is whatever else has run by then";
        bullet(&mut rows, Role::Warn, text, width);
    }
    let mut any = false;
    for at in to_undo(plan) {
        any = true;
        if let Some(step) = plan.rollback.get(at).and_then(Option::as_ref) {
            action(&mut rows, "undo", step, width);
        } else {
            let done = plan.steps.get(at).map_or("", |step| &*step.title);
            let text = format!("step {} has no undo and stays done: {done}", at + 1);
            bullet(&mut rows, Role::Warn, &text, width);
        }
    }
    if !any {
        bullet(&mut rows, Role::Body, "no step ran yet", width);
    }
    section(&mut rows, "What it did");
    for (at, step) in plan.steps.iter().enumerate() {
        let ran = to_undo(plan).any(|ran| ran == at);
        action(&mut rows, if ran { "ran" } else { "not run" }, step, width);
    }
    section(&mut rows, "What it takes");
    if dialog.is_brake() {
        bullet(&mut rows, Role::Body, "stopping takes one person", width);
    } else {
        let text = people(plan.approvals_needed, &plan.undo_approvals);
        bullet(&mut rows, Role::Body, &text, width);
        bound(&mut rows, plan, width);
    }
    rows
}

/// What speaks against taking a plan back: that it worked, and what it may bring back.
fn helped(state: &State, plan: &Plan) -> Vec<String> {
    if plan.state != PlanState::Succeeded {
        return Vec::new();
    }
    let incident = state.detail_of(plan).map(|held| &held.incident);
    let felt = plan.verify.watch.name();
    let at = incident.and_then(|incident| verified_at(&incident.timeline, plan));
    let mut said = vec![at.map_or_else(
        || format!("IT HELPED: {felt} came back to normal after it"),
        |at| {
            let ago = format::age(state.engine_now().since(at));
            let at = state.clock.minute(at);
            format!("IT HELPED: {felt} was back to normal at {at}, {ago} ago")
        },
    )];
    let first = incident.and_then(|incident| incident.diagnosis.hypotheses.first());
    let undoes = to_undo(plan).any(|at| plan.rollback.get(at).is_some_and(Option::is_some));
    if let Some(Hypothesis {
        suspect,
        cause: SuspectKind::Change { title, .. },
        ..
    }) = first.filter(|first| undoes && first.suspect == plan.target)
    {
        let name = suspect.name();
        said.push(format!(
            "the first suspect is a change of {name}, {title}: undoing this may bring it back"
        ));
    }
    said
}

/// Everything a person must know before saying yes. The command comes first.
fn text(state: &State, plan: &Plan, width: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    rows.extend(where_and_how_bad(state, plan, width));
    // What the proposal no longer says rightly is never below the first screen.
    let detail = state.detail_of(plan);
    if let Some(words) = detail.and_then(|detail| shifted(plan, &detail.incident.diagnosis)) {
        let age = format::age(state.engine_now().since(plan.created));
        let text = format!("CHANGED since it was proposed {age} ago: {words}");
        bullet(&mut rows, Role::Warn, &text, width);
    }
    section(&mut rows, "What will run, exactly");
    if !plan.preconditions.is_empty() {
        for check in &plan.preconditions {
            action(&mut rows, "first check", check, width);
        }
    }
    for step in &plan.steps {
        action(&mut rows, "run", step, width);
    }
    for assumed in plan.assumed() {
        bullet(&mut rows, Role::Warn, assumed, width);
    }
    section(&mut rows, "How it is verified");
    bullet(&mut rows, Role::Body, &verified(plan), width);
    if let Some(check) = &plan.verify.check {
        action(&mut rows, "and check", check, width);
    }
    section(&mut rows, "How it is undone, if that fails");
    undo(&mut rows, plan, width);
    why_now(&mut rows, state, plan, width);
    section(&mut rows, "What it takes");
    bullet(&mut rows, Role::Body, &needs(plan), width);
    bullet(&mut rows, Role::Body, &record(plan), width);
    for past in plan.before.iter().take(BEFORE_SHOWN_MAX) {
        let (role, text) = went(state, past);
        bullet(&mut rows, role, &text, width);
    }
    let runbook = format!("made by runbook {}", plan.runbook);
    bullet(&mut rows, Role::Muted, &runbook, width);
    let age = format::age(state.engine_now().since(plan.created));
    section(&mut rows, format!("Why it was proposed, {age} ago"));
    for reason in plan.reasons() {
        bullet(&mut rows, Role::Muted, reason, width);
    }
    bound(&mut rows, plan, width);
    rows
}

/// What a yes is bound to.
fn bound(rows: &mut Vec<Row>, plan: &Plan, width: usize) {
    rows.push(Row::new());
    let digest: String = plan.digest.chars().take(DIGEST_SHOWN).collect();
    let text = format!("your yes binds digest {digest}: exactly the above, nothing else");
    bullet(rows, Role::Muted, &text, width);
}

/// What is suspected and what hurts at this moment.
fn why_now(rows: &mut Vec<Row>, state: &State, plan: &Plan, width: usize) {
    let clock = state.clock.second(state.engine_now());
    section(rows, format!("Why now, as of {clock}"));
    let Some(detail) = state.detail_of(plan) else {
        return bullet(rows, Role::Warn, "not known: it is being fetched", width);
    };
    let (incident, now) = (&detail.incident, state.engine_now());
    bullet(rows, Role::Body, &hurts(incident, now), width);
    let suspect = of_target(plan, &incident.diagnosis);
    let Some(suspect) = suspect else {
        let text = format!("nothing points at {} now", plan.target.name());
        return bullet(rows, Role::Warn, &text, width);
    };
    let text = format!(
        "{} is suspected, confidence {:.2} now{}",
        plan.target.name(),
        suspect.confidence,
        plan.suspicion
            .as_ref()
            .map_or(String::new(), |then| format!(
                ", {:.2} when it was proposed",
                then.confidence
            ))
    );
    bullet(rows, Role::Body, &text, width);
    let pro = suspect.evidence_for.iter().take(EVIDENCE_SHOWN_MAX);
    let con = suspect.evidence_against.iter().take(EVIDENCE_SHOWN_MAX);
    let pro = pro.map(|evidence| ("for: ", evidence));
    for (word, evidence) in pro.chain(con.map(|evidence| ("against: ", evidence))) {
        bullet(rows, Role::Body, &format!("{word}{}", evidence.text), width);
    }
}

/// How far the plan's target is suspected now, where that is not how it was when the plan was made: its reasons
/// are of then.
pub(super) fn sureness(plan: &Plan, diagnosis: &Diagnosis) -> Option<String> {
    let then = plan.suspicion.as_ref()?.confidence;
    let target = plan.target.name();
    let Some(now) = of_target(plan, diagnosis) else {
        return Some(format!("by now nothing points at {target}; {then:.2} then"));
    };
    let [now, then] = [now.confidence, then].map(|sure| format!("{sure:.2}"));
    (now != then)
        .then(|| format!("by now {target} is suspected with confidence {now}; {then} then"))
}

/// The suspicion of the plan's target as it is now; of several, the one the plan was made for.
fn of_target<'a>(plan: &Plan, diagnosis: &'a Diagnosis) -> Option<&'a Hypothesis> {
    let mut of_it = diagnosis
        .hypotheses
        .iter()
        .filter(|h| h.suspect == plan.target);
    let same = |h: &&Hypothesis| plan.suspicion.as_ref().is_some_and(|s| s.cause == h.cause);
    of_it.clone().find(same).or_else(|| of_it.next())
}

/// What the diagnosis says now that it did not say when the plan was proposed.
fn shifted(plan: &Plan, diagnosis: &Diagnosis) -> Option<String> {
    let then = plan.suspicion.as_ref()?;
    let target = plan.target.name();
    let Some(now) = of_target(plan, diagnosis) else {
        return Some(format!(
            "{target} is no longer suspected ({:.2} then)",
            then.confidence
        ));
    };
    let first = diagnosis.hypotheses.first();
    if let Some(first) = first.filter(|first| {
        first.suspect != plan.target
            && first.confidence > now.confidence
            && then.confidence >= LEAD_MIN
    }) {
        return Some(format!(
            "the first suspect is now {} ({:.2}); {target} {:.2}, {:.2} then",
            first.suspect.name(),
            first.confidence,
            now.confidence,
            then.confidence
        ));
    }
    if now.cause != then.cause {
        return Some(format!("another cause is suspected at {target}"));
    }
    (now.confidence <= then.confidence - LESS_SURE_MIN).then(|| {
        format!(
            "less sure: {target} {:.2}, {:.2} then",
            now.confidence, then.confidence
        )
    })
}

/// What still hurts, or that nothing does.
fn hurts(incident: &Incident, now: Time) -> String {
    let since = |at: Time| format::age(now.since(at));
    if let Some(held) = incident.hidden() {
        let fires = format::counted(incident.fires().into(), "alert fires", "alerts fire");
        return format!("{fires}, {} since {}", held.as_str(), since(held.since));
    }
    match (incident.phase, incident.mitigated, incident.resolved) {
        (Phase::Resolved, _, Some(at)) => format!("it is over since {}", since(at)),
        (Phase::Mitigated, Some(at), _) => {
            format!(
                "signals are back to normal since {}: it may not be needed",
                since(at)
            )
        }
        _ if incident.impact.findings_open == 0 && incident.impact.alerts_firing == 0 => {
            "nothing fires or lasts of it now: it may not be needed".to_owned()
        }
        _ => {
            let impact = incident.impact;
            format!(
                "{} still hurt: {} open, {}, since {}",
                format::counted(impact.entities.into(), "entity", "entities"),
                format::counted(impact.findings_open.into(), "finding", "findings"),
                format::counted(impact.alerts_firing.into(), "alert fires", "alerts fire"),
                since(incident.began)
            )
        }
    }
}

/// How it is verified, as a sentence.
pub(super) fn verified(plan: &Plan) -> String {
    format!(
        "{} must be back to normal within {}",
        watched(plan),
        format::duration(plan.verify.recover_within_ms)
    )
}

/// What is looked at to verify it.
fn watched(plan: &Plan) -> String {
    let felt = plan.verify.watch.name();
    if plan.target == plan.verify.watch {
        return format!("{felt} and the incident's first suspect");
    }
    let target = plan.target.name();
    format!("{felt}, {target} and the incident's first suspect")
}

/// How it went now, and the last times, as a sentence.
pub(super) fn record(plan: &Plan) -> String {
    let now = match &plan.state {
        PlanState::Succeeded => "tried now, and it worked; ",
        PlanState::RolledBack { .. } if plan.was_taken_back() => {
            "tried now, it helped and was undone by a person; "
        }
        PlanState::RolledBack { .. } => "tried now, did not work and was undone; ",
        PlanState::Failed { .. } => "tried now, and it failed; ",
        PlanState::Running { .. } | PlanState::Verifying { .. } => "being tried now; ",
        PlanState::RollingBack { .. } => "tried now, and being undone; ",
        PlanState::Unknown { .. } if plan.runs_unheard().is_some() => "its command still runs; ",
        PlanState::Unknown { .. } => "tried now, with an unknown end; ",
        _ => "",
    };
    now.to_owned() + &record_before(plan)
}

fn record_before(plan: &Plan) -> String {
    match plan.tried {
        0 => format!("never tried on {} before", plan.target.name()),
        1 => format!(
            "tried once on {} before, {}",
            plan.target.name(),
            if plan.worked > 0 {
                "and it worked"
            } else {
                "and it did not work"
            }
        ),
        tried => format!(
            "tried {tried} times on {} before, {} of them worked",
            plan.target.name(),
            plan.worked
        ),
    }
}

/// How an earlier plan of the same runbook went.
fn went(state: &State, past: &PastRun) -> (Role, String) {
    let age = format::age(state.engine_now().since(past.at));
    let (plan, target, ended) = (past.plan, past.target.name(), &past.ended);
    match &past.why {
        None => (Role::Ok, format!("{age} ago {plan} on {target} {ended}")),
        Some(why) => {
            let text = format!("{age} ago {plan} on {target}: {ended}, {why}");
            (Role::Warn, text)
        }
    }
}

fn where_and_how_bad(state: &State, plan: &Plan, width: usize) -> Vec<Row> {
    let row = whereabouts(state, plan);
    // What was decided has nothing left to expire.
    if plan.state != PlanState::Proposed {
        return vec![row];
    }
    let expiry = Row::new().put(Role::Warn, expiry(plan, state.engine_now()));
    // On a small screen it takes a line of its own rather than be cut.
    if row.width() + expiry.width() <= width {
        vec![row.join(expiry)]
    } else {
        vec![row, expiry]
    }
}

fn whereabouts(state: &State, plan: &Plan) -> Row {
    let environment = state
        .feed
        .view
        .as_ref()
        .map_or(String::new(), |view| view.environment.clone());
    Row::new()
        .put(Role::Muted, "on ")
        .put(Role::Title, SafeText::new(plan.target.as_str()))
        .put(Role::Muted, " in ")
        .put(Role::Danger, format!(" {environment} "))
        .put(Role::Body, "  ")
        .join(risk(plan))
}

fn action(rows: &mut Vec<Row>, word: &'static str, action: &Action, width: usize) {
    let by = match action.executor {
        ExecutorKind::Command => "",
        ExecutorKind::Sim => "  (simulated system)",
    };
    // The undo of a step carries the title of the step: it must not read as if that were done.
    let (word, title) = match action.title.strip_prefix("undo: ") {
        Some(deed) => ("undo of", deed),
        None => (word, &*action.title),
    };
    let limit = format::duration(action.timeout_ms);
    let limit = format!("{by}  (stopped after {limit})");
    let lead = 2 + word.len() + 2;
    let titles = wrap(&SafeText::new(title), width.saturating_sub(lead));
    let last = titles.len() - 1;
    for (at, title) in titles.into_iter().enumerate() {
        let row = if at == 0 {
            Row::new()
                .put(Role::Muted, "- ")
                .put(Role::Muted, word)
                .put(Role::Muted, ": ")
        } else {
            Row::new().pad_to(lead)
        };
        let row = row.put(Role::Body, title);
        if at < last {
            rows.push(row);
        } else if row.width() + limit.len() <= width {
            rows.push(row.put(Role::Muted, limit.clone()));
        } else {
            // How long it may take is never cut.
            rows.push(row);
            rows.push(Row::new().put(Role::Muted, format!("  {limit}")));
        }
    }
    rows.extend(command(action, width));
}

/// A command as it is typed: the prompt stands before it once, however many lines it takes.
pub(super) fn command(action: &Action, width: usize) -> impl Iterator<Item = Row> + use<> {
    let command = SafeText::new(&command_line(&action.argv));
    let lines = wrap(&command, width.saturating_sub(6)).into_iter();
    lines.enumerate().map(|(at, line)| {
        let lead = if at == 0 { "    $ " } else { "      " };
        Row::new().put(Role::Muted, lead).put(Role::Title, line)
    })
}

fn undo(rows: &mut Vec<Row>, plan: &Plan, width: usize) {
    let mut any = false;
    for (at, step) in plan.rollback.iter().enumerate().rev() {
        if let Some(step) = step {
            action(rows, "undo", step, width);
        } else {
            let text = format!("step {} has no undo", at + 1);
            bullet(rows, Role::Warn, &text, width);
        }
        any = true;
    }
    if !any {
        bullet(rows, Role::Warn, "there is no undo", width);
    }
}

fn needs(plan: &Plan) -> String {
    let people = people(plan.approvals_needed, &plan.approvals);
    format!("{people}; role {}", plan.risk.approver().as_str())
}

/// How many people must agree, and who did.
fn people(needed: u32, given: &[Given]) -> String {
    let by: Vec<&str> = given.iter().map(|given| given.by.as_str()).collect();
    let people = if needed <= 1 {
        "1 approval".to_owned()
    } else {
        format!("{needed} approvals by different people")
    };
    if by.is_empty() {
        format!("{people}, none given yet")
    } else {
        format!("{people}, given by {}", by.join(", "))
    }
}
