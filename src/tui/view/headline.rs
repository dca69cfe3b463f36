//! The four lines that stand above every pane of an incident: what broke, since when, how bad; the
//! likely cause and how sure; the next thing to do. Whatever pane is open, the next right thing is on
//! screen.

use super::hidden;
use crate::api::IncidentDetail;
use crate::model::{
    DOWN, Hypothesis, IncidentRow, Phase, Plan, PlanState, Risk, SafeText, SuspectKind, Time,
};
use crate::tui::action::Action;
use crate::tui::desk;
use crate::tui::format;
use crate::tui::glyph;
use crate::tui::inert;
use crate::tui::paint::{Canvas, Row, wrap};
use crate::tui::state::{
    Deed, Ending, State, did_not_help, ending, headline, healed_by, verified_at,
};
use crate::tui::theme::Role;

/// Lines taken without what was tried in vain, and the most that takes.
const ROWS: u16 = 4;
const TRIED_ROWS_MAX: usize = 3;
/// Cells of the word that begins a line.
const LEAD: usize = 10;
/// Begins the line of what to do.
const NEXT: &str = " next     ";
/// Widths from which severity and phase are spelled out.
const WORDY: usize = 76;
const NARROW: usize = 66;
/// Confidence below which there is no suspect worth a name.
const NO_SUSPECT: f32 = 0.05;
/// Confidence below which a suspect is called a guess.
const GUESS: f32 = 0.3;

/// Lines it takes on this width: more when a plan did not help, for the whole reason.
pub(super) fn rows(state: &State, width: u16) -> u16 {
    let tried = tried(state).map_or(0, |plan| in_vain(plan, width.into()).len());
    ROWS + tried as u16
}

/// The plan whose failure must not go unseen: the last one tried, while the incident lasts.
fn tried(state: &State) -> Option<&Plan> {
    let detail = state.detail()?;
    let lasts = matches!(detail.incident.phase, Phase::Open | Phase::Acknowledged);
    did_not_help(&detail.plans).filter(|_| lasts)
}

/// Draws the lines.
pub(super) fn draw(state: &State, canvas: &mut Canvas<'_>) {
    let Some(row) = state.looked_at().and_then(|id| state.headline_row(id)) else {
        return;
    };
    let detail = state.detail();
    let width = canvas.width();
    canvas.row(0, &what(state, row, width));
    let title = Row::new()
        .put(Role::Body, " ")
        .put(Role::Title, summary(row));
    canvas.row(1, &with_pressing(state, row, title, width));
    canvas.row(2, &cause(state, row, detail, width));
    let mut y = 3;
    if let Some(plan) = tried(state) {
        for line in in_vain(plan, width) {
            canvas.row(y, &line);
            y += 1;
        }
    }
    canvas.row(y, &next(state, row, detail, width));
}

/// What people have to do for others, at the right of a line: a status update, tasks. It is never cut.
fn with_pressing(state: &State, row: &IncidentRow, line: Row, width: usize) -> Row {
    let lasts = row.phase != Phase::Resolved;
    let words = state
        .detail()
        .filter(|_| lasts)
        .map_or_else(String::new, |detail| {
            desk::pressing(&detail.incident.coordination, state.engine_now())
        });
    if words.is_empty() {
        return line;
    }
    let words = Row::new().put(Role::Warn, words);
    let room = width.saturating_sub(words.width() + 1);
    let line = line.fit(room.saturating_sub(1)).pad_to(room);
    line.join(words)
}

/// What was tried, that it did not help, and why not.
fn in_vain(plan: &Plan, width: usize) -> Vec<Row> {
    let (role, words, reason) = match ending(plan) {
        Some(Ending::TakenBack(how)) => (Role::Warn, "helped, and was", how),
        Some(Ending::ByHand(how)) => (Role::Warn, "was", how),
        Some(Ending::DidNotHelp(reason)) => {
            (Role::Warn, "did not help: rolled back, because", reason)
        }
        Some(Ending::StoppedShort(reason)) => {
            let words = "did not get through: rolled back, because";
            (Role::Warn, words, reason)
        }
        Some(Ending::Failed(reason)) => (Role::Crit, "FAILED and is not undone:", reason),
        None => (Role::Warn, "did not help", ""),
    };
    let said = format!("{} {words}", plan.id);
    let text = SafeText::new(&format!("{said} {reason}"));
    let lines = wrap(&text, width.saturating_sub(LEAD)).into_iter();
    let rows = lines.take(TRIED_ROWS_MAX).enumerate().map(|(at, line)| {
        let lead = if at == 0 { " tried" } else { "" };
        let row = Row::new().column(Role::Muted, lead, LEAD);
        match line.as_str().strip_prefix(&said) {
            Some(rest) if at == 0 => row.put(role, said.clone()).put(Role::Body, rest.to_owned()),
            _ => row.put(Role::Body, line),
        }
    });
    rows.collect()
}

fn what(state: &State, row: &IncidentRow, width: usize) -> Row {
    let (mark, priority, role) = glyph::severity(row.severity);
    let (phase, phase_role) = glyph::standing(row);
    // The owner is told on the smallest screen; words that the glyphs repeat give way.
    let severity = if width < WORDY || reopened(row).is_some() {
        ""
    } else {
        row.severity.as_str()
    };
    let phase = if width < NARROW {
        phase
    } else {
        row.state_word()
    };
    let mut line = Row::new()
        .put(Role::Body, " ")
        .put(Role::Title, row.id.to_string())
        .put(Role::Body, " ")
        .put(role, priority)
        .put(role, mark)
        .put(role, " ")
        .put(role, severity)
        .put(Role::Body, if severity.is_empty() { "" } else { "  " })
        .put(Role::Title, &row.entity)
        .put(Role::Body, "  ")
        .put(phase_role, phase)
        .put(Role::Body, stood(state, row));
    line.push(Role::Muted, "  owner ");
    match &row.owner {
        Some(owner) => line.push(Role::Person, owner.clone()),
        None => line.push(Role::Warn, "nobody"),
    }
    let reach = [
        began(state, row),
        format!("  entities {}", row.entities),
        of_them(row.alerts, row.alerts_firing, "alert", "firing"),
        stale(row),
        of_them(row.findings, row.findings_open, "finding", "open"),
    ];
    reach.into_iter().fold(line, |line, words| {
        line.join_if_fits(Row::new().put(Role::Muted, words), width)
    })
}

/// How many of its alerts nobody vouches for any more; nothing of none.
fn stale(row: &IncidentRow) -> String {
    match row.alerts_unheard {
        0 => String::new(),
        count => format!(" ({count} stale)"),
    }
}

/// Since when its phase is what it is, and how long that is; what is over says how long it was.
fn stood(state: &State, row: &IncidentRow) -> String {
    let now = state.engine_now();
    let since = |at| (state.clock.minute(at), state.age(now.since(at)));
    if let Some(held) = row.hidden() {
        return hidden::since(state, held);
    }
    match (row.phase, row.mitigated, row.resolved) {
        (Phase::Resolved, _, Some(at)) => {
            let ((at, ago), lasted) = (since(at), format::lasted(row.lasted_ms(now)));
            format!("  at {at} ({ago} ago) after {lasted}")
        }
        (Phase::Mitigated, Some(at), _) => {
            let (at, age) = since(at);
            format!("  since {at} ({age})")
        }
        _ => {
            if let Some(again) = reopened(row) {
                let (at, age) = since(again);
                return format!(" again {at} ({age})");
            }
            let (at, age) = since(row.began);
            let (before, over) = bounded(row);
            format!("  since {before}{at} ({over}{age})")
        }
    }
}

/// When an incident that hurts was opened again, if it was over before.
fn reopened(row: &IncidentRow) -> Option<Time> {
    let hurts = matches!(row.phase, Phase::Open | Phase::Acknowledged);
    row.reopened.filter(|_| hurts)
}

/// When it began, where that does not stand beside its phase.
fn began(state: &State, row: &IncidentRow) -> String {
    let hurts = matches!(row.phase, Phase::Open | Phase::Acknowledged);
    if hurts && reopened(row).is_none() {
        return String::new();
    }
    let (before, _) = bounded(row);
    format!("  began {before}{}", state.clock.minute(row.began))
}

/// What stands before when it began and how long ago that is, when it began longer ago than is believed.
fn bounded(row: &IncidentRow) -> (&'static str, &'static str) {
    if row.began_before {
        ("before ", "over ")
    } else {
        ("", "")
    }
}

/// `13 alerts, none firing`: how many there ever were, and how many of them are so now.
fn of_them(total: u32, now: u32, noun: &'static str, so: &str) -> String {
    let total_words = format::counted(total.into(), noun, &format!("{noun}s"));
    match now {
        _ if total == 0 => String::new(),
        0 => format!("  {total_words}, none {so}"),
        now if now >= total => format!("  {total_words} {so}"),
        now => format!("  {total_words}, {now} {so}"),
    }
}

/// The title without the name of the entity, which stands beside it already.
pub(in crate::tui) fn summary(row: &IncidentRow) -> String {
    let mut rest: &str = &row.title;
    let named = |text: &'_ str| -> Option<usize> {
        let after = text.strip_prefix(row.entity.name())?.strip_prefix(": ")?;
        Some(text.len() - after.len())
    };
    while let Some(at) = named(rest) {
        rest = &rest[at..];
    }
    rest.to_owned()
}

fn cause(state: &State, row: &IncidentRow, detail: Option<&IncidentDetail>, width: usize) -> Row {
    let line = Row::new().put(Role::Muted, " suspect  ");
    let first = detail.and_then(|d| d.incident.diagnosis.hypotheses.first());
    let Some(first) = first.filter(|first| first.confidence >= NO_SUSPECT) else {
        return match &row.suspect {
            Some((entity, confidence)) if *confidence >= NO_SUSPECT => line
                .put(Role::Suspect, entity)
                .put(Role::Body, format!("  confidence {confidence:.2}")),
            _ => line.put(Role::Body, "none: the evidence does not point at one cause"),
        };
    };
    let evidence = format!(
        ": {} for, {} against",
        first.evidence_for.len(),
        first.evidence_against.len()
    );
    let line = line
        .put(Role::Suspect, &first.suspect)
        .put(Role::Body, "  ")
        .join(cause_words(state, first));
    // How sure is never what is cut.
    let sure = format!("  confidence {:.2}", first.confidence);
    let (sure, line) = if line.width() + sure.len() <= width {
        (sure, line)
    } else {
        let sure = format!("  {:.2}", first.confidence);
        let room = width.saturating_sub(sure.len());
        (sure, line.fit(room))
    };
    let line = line
        .put(Role::Body, sure)
        .join_if_fits(Row::new().put(Role::Muted, evidence), width);
    if first.confidence < GUESS {
        line.put(Role::Warn, "  a guess: see 2 Why")
    } else {
        line
    }
}

/// The kind of a cause in words.
pub(super) fn cause_words(state: &State, suspected: &Hypothesis) -> Row {
    let row = Row::new();
    match &suspected.cause {
        SuspectKind::Change { title, at, .. } => row
            .put(Role::Change, change_words(title, suspected.suspect.name()))
            .put(Role::Muted, " at ")
            .put(Role::Muted, state.clock.minute(*at)),
        SuspectKind::Resource { metric } if **metric == *DOWN => row.put(Role::Body, "is down"),
        SuspectKind::Resource { metric } => row
            .put(Role::Body, "limited by ")
            .put(Role::Body, metric.to_string()),
        SuspectKind::Traffic => row.put(Role::Body, "more work than usual"),
        SuspectKind::InstanceLoss => row.put(Role::Body, "an instance is gone"),
        SuspectKind::Dependency => row.put(Role::Body, "slow or failing by itself"),
        SuspectKind::Unknown => row.put(Role::Body, "for a reason not known"),
    }
}

/// A change, beside the name of what was changed: `change v438` instead of that name once more.
fn change_words(title: &str, entity: &str) -> String {
    let rest = title
        .strip_prefix(entity)
        .and_then(|rest| rest.strip_prefix(' '));
    rest.map_or_else(|| title.to_owned(), |rest| format!("change {rest}"))
}

fn next(state: &State, row: &IncidentRow, detail: Option<&IncidentDetail>, width: usize) -> Row {
    let line = Row::new().put(Role::Muted, NEXT);
    // Where nothing can be decided no key is promised.
    let view = state.feed.shown();
    let reads = view.is_some_and(|view| inert::only_reads(state, view).is_some());
    // Until it is here, nothing wrong is said of a plan that the row tells of.
    if let (None, Some((plan, standing))) = (detail, &row.plan) {
        let text = format!("{plan} {standing}: being fetched");
        return line.put(Role::Automation, text);
    }
    let Some((detail, plan)) = detail.and_then(|detail| Some((detail, headline(detail)?))) else {
        return if reads {
            nobody_asks(state, row, line)
        } else {
            without_plan(state, row, line, false)
        };
    };
    match &plan.state {
        PlanState::Proposed => proposed(state, detail, plan, reads, width),
        PlanState::Unknown { .. } if !reads && plan.runs_unheard().is_some() => {
            still_running(state, plan, line, width)
        }
        PlanState::Unknown { .. } if !reads => {
            key(state, line, Action::Approve, "says what became of: ")
                .put(Role::Danger, plan.title.to_string())
        }
        // What is over is not the next thing; what a person can do comes first. That a plan never ran
        // is no news, and what did not help stands above.
        PlanState::Succeeded => {
            let is_open = matches!(row.phase, Phase::Open | Phase::Acknowledged);
            let calm = healed_by(detail).is_some();
            let line = if calm && is_open {
                line.put(Role::Ok, format!("wait: {}", awaited(state, detail)))
            } else if reads {
                nobody_asks(state, row, line)
            } else {
                without_plan(state, row, line, true)
            };
            let title = Row::new()
                .put(Role::Muted, ": ")
                .put(Role::Title, plan.title.to_string());
            let [long, short] = last(state, calm, detail, plan);
            let fits = line.width() + long.width() <= width;
            line.join(if fits { long } else { short })
                .join_if_fits(title, width)
        }
        _ if plan.state.is_final() => {
            let line = if reads {
                nobody_asks(state, row, line)
            } else {
                without_plan(state, row, line, true)
            };
            // While it lasts that stands above.
            match ending(plan).filter(|_| tried(state).is_none()) {
                Some(Ending::TakenBack(how)) => {
                    let taken_back = format!("; {} helped, and was {how}", plan.id);
                    line.join_if_fits(Row::new().put(Role::Warn, taken_back), width)
                }
                Some(Ending::ByHand(how)) => {
                    let taken_back = format!("; {} was {how}", plan.id);
                    line.join_if_fits(Row::new().put(Role::Warn, taken_back), width)
                }
                _ => line,
            }
        }
        _ => {
            let (role, words) = standing(state, plan);
            line.put(role, words)
                .put(Role::Body, ": ")
                .put(Role::Title, plan.title.to_string())
        }
    }
}

/// A plan whose command nobody hears of any more goes on: its end is nothing that a person could tell.
fn still_running(state: &State, plan: &Plan, line: Row, width: usize) -> Row {
    let pid = plan.runs_unheard().map_or(0, |process| process.pid);
    key(state, line, Action::RollBack, "stops ")
        .put(Role::Title, plan.id.to_string())
        .put(Role::Danger, format!(": its command still runs, pid {pid}"))
        .join_if_fits(Row::new().put(Role::Body, "; or wait for its end"), width)
}

/// A plan that waits for approval: what the key does, how bad it may be, until when.
fn proposed(state: &State, detail: &IncidentDetail, plan: &Plan, reads: bool, width: usize) -> Row {
    // The key acts on the plan under the cursor, which may be another.
    let is_over = plan.expires <= state.engine_now();
    let acted = state.plan().is_none_or(|acted| acted.id == plan.id);
    let barred = state
        .barred(plan, Deed::Approve)
        .filter(|_| !reads && !is_over);
    let acts = !reads && acted && !is_over && barred.is_none();
    let line = Row::new().put(Role::Muted, NEXT);
    let approves = |words| key(state, line.clone(), Action::Approve, words);
    let lead = if acts {
        approves("approves ")
    } else {
        line.clone()
    };
    if !reads && !is_over && state.has_approved(plan) {
        let (role, words) = standing(state, plan);
        let title = Row::new().put(Role::Muted, "; ");
        let title = title.put(Role::Title, plan.title.to_string());
        return line
            .put(Role::Title, plan.id.to_string())
            .put(Role::Body, " ")
            .put(role, words)
            .join_if_fits(title, width);
    }
    if let Some(why) = barred {
        let rest = Row::new()
            .put(Role::Muted, "; ")
            .put(Role::Title, plan.title.to_string())
            .put(Role::Body, "  ")
            .join(risk(plan));
        return lead
            .put(Role::Title, plan.id.to_string())
            .put(Role::Body, " waits: ")
            .put(Role::Warn, why)
            .join_if_fits(rest, width);
    }
    // The risk is never what is cut.
    let risk = Row::new().put(Role::Body, "  ").join(risk(plan));
    let risk = if is_for_another(detail, plan) {
        risk.put(Role::Warn, ", not the suspect")
    } else {
        risk
    };
    let title = Row::new().put(Role::Title, plan.title.to_string());
    let named = Row::new().put(Role::Title, plan.id.to_string()).put(
        Role::Body,
        match (acts, is_over) {
            (true, _) => ": ",
            (false, true) => " has expired: ",
            (false, false) => " waits: ",
        },
    );
    // Where it is tight, what the key does says more than the number, which the footer names too.
    let all = lead.width() + named.width() + title.width() + risk.width();
    let line = if acts && all > width {
        approves("approves: ")
    } else {
        lead.join(named)
    };
    let room = width.saturating_sub(line.width() + risk.width());
    let expiry = if is_over {
        Row::new()
    } else {
        Row::new().put(Role::Muted, expiry(plan, state.engine_now()))
    };
    line.join(title.fit(room))
        .join(risk)
        .join_if_fits(expiry, width)
}

/// Whether the engine proposed a plan for another than it suspects first by now, and suspects enough.
fn is_for_another(detail: &IncidentDetail, plan: &Plan) -> bool {
    let first = detail.incident.diagnosis.hypotheses.first();
    let first = first.filter(|first| first.confidence >= GUESS && !plan.is_chosen());
    first.is_some_and(|first| first.suspect != plan.target)
}

/// What of an incident is not over, in few words: others' rules first; empty when all of it is.
fn still_lasts(detail: &IncidentDetail) -> String {
    let impact = &detail.incident.impact;
    let heard = impact.alerts_firing.saturating_sub(impact.alerts_unheard);
    let told = [
        (heard, "alert still fires", "alerts still fire"),
        (
            impact.findings_open,
            "finding still lasts",
            "findings still last",
        ),
        (
            impact.alerts_unheard,
            "alert is not heard of",
            "alerts are not heard of",
        ),
        (
            impact.alerts_held,
            "alert fires held back",
            "alerts fire held back",
        ),
    ];
    let told = told.into_iter().find(|(count, ..)| *count > 0);
    told.map_or_else(String::new, |(count, one, many)| {
        format::counted(count.into(), one, many)
    })
}

/// What ends an incident in which nothing hurts any more. An open incident beside a plan that worked
/// looks like a contradiction unless it is said what it waits for.
fn awaited(state: &State, detail: &IncidentDetail) -> String {
    let incident = &detail.incident;
    if let Some(held) = incident.hidden() {
        return hidden::not_over(state, held);
    }
    let quiet_ms = state.feed.shown().map_or(0, |view| view.closes_after_s);
    let quiet_ms = i64::from(quiet_ms) * 1_000;
    let quiet = match quiet_ms {
        0 => "it stays quiet".to_owned(),
        ms => format!("quiet for {}", format::duration(ms)),
    };
    match (incident.phase, incident.mitigated) {
        (Phase::Resolved, _) => "it is over".to_owned(),
        (Phase::Mitigated, Some(at)) if quiet_ms > 0 => {
            let at = state.clock.minute(at.plus_ms(quiet_ms));
            format!("closes at {at} if quiet")
        }
        _ => match still_lasts(detail) {
            lasts if lasts.is_empty() => format!("closes when {quiet}"),
            lasts if quiet_ms == 0 => format!("{lasts}, then quiet"),
            lasts => {
                let quiet = format::duration(quiet_ms);
                format!("{lasts}, then {quiet} of quiet")
            }
        },
    }
}

/// When a plan was seen to have worked, and what its incident still waits for.
pub(super) fn verified(state: &State, detail: &IncidentDetail, plan: &Plan) -> String {
    let (rest, at) = (
        awaited(state, detail),
        at_verified(state, detail, plan, " at "),
    );
    format!("worked, verified{at}; the incident: {rest}")
}

/// `12:11` after `lead`, if the timeline still tells of it.
fn at_verified(state: &State, detail: &IncidentDetail, plan: &Plan, lead: &'static str) -> String {
    let at = verified_at(&detail.incident.timeline, plan);
    at.map_or_else(String::new, |at| {
        format!("{lead}{}", state.clock.minute(at))
    })
}

/// The plan that helped last, in more words and in fewer. While what it healed hurts again, that it was verified is not the whole
/// truth.
fn last(state: &State, calm: bool, detail: &IncidentDetail, plan: &Plan) -> [Row; 2] {
    let [at, bare] = [" at ", " "].map(|lead| at_verified(state, detail, plan, lead));
    let (role, words) = if calm {
        let words = [format!("worked, verified{at}"), format!("verified{bare}")];
        (Role::Ok, words)
    } else {
        let hurt = plan.verify.watch.name();
        let words = [
            format!("helped{at}, but {hurt} hurts again"),
            format!("helped, but {hurt} hurts again"),
        ];
        (Role::Warn, words)
    };
    words.map(|words| {
        Row::new()
            .put(Role::Muted, "; ")
            .put(role, format!("{} {words}", plan.id))
    })
}

/// Where it stands when no plan waits or runs, for those who only read.
fn nobody_asks(state: &State, row: &IncidentRow, line: Row) -> Row {
    if let Some(held) = row.hidden() {
        return hidden::hidden(state, row, held, line);
    }
    match row.phase {
        Phase::Open => line.put(Role::Warn, "nobody has taken it"),
        Phase::Acknowledged => line.put(Role::Body, "somebody has taken it"),
        Phase::Mitigated => line.put(Role::Ok, back_to_normal(state)),
        Phase::Resolved => hidden::over(row, line),
    }
}

/// An incident whose signals are calm: what is left to wait for.
fn back_to_normal(state: &State) -> String {
    let rest = state.detail().map_or_else(
        || "being watched".to_owned(),
        |detail| awaited(state, detail),
    );
    format!("normal again; {rest}")
}

/// What a person can do when no plan waits or runs; `tried` when one was there.
fn without_plan(state: &State, row: &IncidentRow, line: Row, tried: bool) -> Row {
    if let Some(held) = row.hidden() {
        return hidden::hidden(state, row, held, line);
    }
    let takes = if tried {
        "takes it; "
    } else {
        "takes it; no plan fits: "
    };
    match row.phase {
        Phase::Open => key(state, line, Action::Acknowledge, takes).join(key(
            state,
            Row::new(),
            Action::Propose,
            "chooses a runbook",
        )),
        Phase::Acknowledged if tried => key(state, line, Action::Propose, "chooses a runbook"),
        Phase::Acknowledged => key(state, line, Action::Propose, "chooses a runbook; ").join(key(
            state,
            Row::new(),
            Action::Note,
            "writes down what you try",
        )),
        Phase::Mitigated => line.put(Role::Ok, back_to_normal(state)),
        Phase::Resolved => hidden::over(row, line),
    }
}

fn key(state: &State, line: Row, action: Action, words: &'static str) -> Row {
    let keys = state.keymap.keys(action).unwrap_or_default();
    line.put(Role::Key, keys)
        .put(Role::Body, " ")
        .put(Role::Body, words)
}

/// Risk in words.
pub(super) fn risk(plan: &Plan) -> Row {
    let role = risk_role(plan.risk);
    Row::new().put(role, plan.risk.as_str()).put(role, " risk")
}

/// How a risk looks.
pub(super) const fn risk_role(risk: Risk) -> Role {
    match risk {
        Risk::Low => Role::Ok,
        Risk::Medium => Role::Warn,
        Risk::High => Role::Crit,
    }
}

/// When it stops being approvable, in words.
pub(super) fn expiry(plan: &Plan, now: Time) -> String {
    let left_ms = plan.expires.since(now);
    if left_ms > 0 {
        format!("  expires in {}", format::age(left_ms))
    } else {
        "  expired".to_owned()
    }
}

/// Where a plan is, in words, and how they look.
pub(super) fn standing(state: &State, plan: &Plan) -> (Role, String) {
    let of = |word: &str, step: u32, of: usize| format!("{word} {} of {of}", step + 1);
    let because = |reason: &str| format!("{}: {reason}", plan.state.as_str());
    match &plan.state {
        PlanState::Proposed if plan.approvals.is_empty() => {
            (Role::Automation, "waits for approval".to_owned())
        }
        PlanState::Proposed => {
            let (given, needed) = (plan.approvals.len(), plan.approvals_needed);
            let words = format!("waits for another person: {given} of {needed} approved");
            (Role::Automation, words)
        }
        PlanState::Checking { step } => {
            let words = of("checks precondition", *step, plan.preconditions.len());
            (Role::Automation, words)
        }
        PlanState::Running { step } => (Role::Automation, of("runs step", *step, plan.steps.len())),
        PlanState::Verifying { until } if *until < state.engine_now() => {
            let words = "ran; verifying once its signals are heard again";
            (Role::Automation, words.to_owned())
        }
        PlanState::Verifying { until } => {
            let until = state.clock.second(*until);
            (Role::Automation, format!("ran; verifying until {until}"))
        }
        PlanState::Succeeded => (Role::Ok, "worked, verified".to_owned()),
        PlanState::RollingBack { reason, .. } | PlanState::RolledBack { reason } => {
            (Role::Warn, because(reason))
        }
        PlanState::Failed { reason } => (Role::Crit, because(reason)),
        PlanState::Unknown { .. } => {
            let lost = || "result unknown: a person must say what became of it".to_owned();
            (Role::Danger, state.still_runs(plan).unwrap_or_else(lost))
        }
        PlanState::Rejected { by, reason } => (Role::Muted, because(&format!("{reason} ({by})"))),
        PlanState::Expired => (
            Role::Muted,
            "expired: nobody approved it in time".to_owned(),
        ),
        PlanState::Void { reason } => (Role::Muted, because(reason)),
    }
}
