//! What `?` shows: the keys and the words of the screen it was asked on, then every other key. All of
//! it is searchable, and Enter on a key does what the key does.
//!
//! The words are the reference for what the views print; a word that a view invents belongs here.

use super::action::{ACTIONS, Action, Scope};
use super::dialog::palette_rows;
use super::state::{Screen, State, Tab};
use super::view::hints;

/// A line of the help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HelpRow {
    /// A title.
    Heading(&'static str),
    /// A word of the screen, and what it means.
    Word(&'static str, &'static str),
    /// Something to do.
    Key(Action),
    /// A theme to change to.
    Theme(&'static str),
}

/// A word and its meaning.
type Word = (&'static str, &'static str);

/// Words on every screen.
const EVERYWHERE: [Word; 18] = [
    (
        "INC 3 open",
        "incidents that are not over; P1:1 counts each severity",
    ),
    ("P1 critical", "users are hurt now"),
    ("P2 error", "users notice, or soon will"),
    ("P3 warning", "worth a look today"),
    ("P4 info", "worth knowing"),
    ("LIVE 12:04", "data is fresh; the clock is the engine's"),
    (
        "rtt 200ms",
        "the daemon answers that late; ages are coarse meanwhile",
    ),
    (
        "LEARNING 12:04",
        "goes through history first: nothing is watched yet",
    ),
    (
        "REPLAY 12:04:10",
        "a recording: nothing can be decided in it",
    ),
    (
        "AS OF 12:03:20",
        "the past of this incident; t comes back to now",
    ),
    (
        "STALE, LOST",
        "nothing was heard for so long; what you see is old",
    ),
    (
        "FROZEN, 3 new",
        "f holds the screen still; so much has changed since",
    ),
    (
        "2 BLIND",
        "sources that should speak and do not; g s lists them",
    ),
    ("1 FAILED", "sources that cannot work; g s says why"),
    (
        "finding",
        "what the engine noticed: w on an incident lists its own",
    ),
    (
        "w",
        "why, of any row: what was noticed, each check's verdict",
    ),
    (
        "3 held",
        "alerts held back; `silence ends`: soon; g z lists them",
    ),
    ("~", "cut here; w or Enter shows all of it"),
];

const INCIDENTS: [Word; 14] = [
    ("+", "marked with Space; a, A, x and X act on all marked"),
    (
        "*",
        "changed since you last looked; opening it takes it away",
    ),
    ("NEW", "nobody has taken it: a takes it"),
    ("ACK", "somebody has taken it"),
    (
        "MIT",
        "signals are normal again; watched before it is called over",
    ),
    (
        "SIL",
        "what fires of it is silenced: not over; w says by whom",
    ),
    ("MNT", "the same, by a maintenance window"),
    ("HELD", "the same, by another stage that holds alerts back"),
    ("DONE", "over"),
    (
        "AGE",
        "since the first abnormal sample, not since the alert",
    ),
    (
        "expected",
        "what it does when all is well, learned from its past",
    ),
    (
        "suspect",
        "the machine's best guess at the cause; people confirm",
    ),
    (
        "confidence",
        "0 to 1, how far the evidence points at the suspect",
    ),
    (
        "for, against",
        "pieces of evidence; 2 Why lists each with its weight",
    ),
];

const TIMELINE: [Word; 8] = [
    (
        "change",
        "somebody deployed, configured or scaled something",
    ),
    ("anomaly", "the engine saw something it did not expect"),
    (
        "alert",
        "a rule of another system, such as Prometheus, fires",
    ),
    ("person", "what an operator did or wrote"),
    ("automation", "what the engine and the plans did"),
    (
        "v on the lanes",
        "where the entry under the cursor is in time",
    ),
    ("4 of 9", "only a part of the time is shown; Esc shows all"),
    (
        "+",
        "an entry you marked with m; ' goes from one to the next",
    ),
];

const WHY: [Word; 8] = [
    ("+ 0.90", "speaks for the suspect, and how strongly"),
    ("- 0.30", "speaks against it, and how strongly"),
    ("trigger", "what set the incident off"),
    (
        "first symptom",
        "where it showed first; the cause may lie elsewhere",
    ),
    (
        "hurt by it",
        "suffers from the suspect, and is not the cause",
    ),
    (
        "84 % alike",
        "a past incident with the same signs, and what helped",
    ),
    (
        "change: 5 of 6",
        "how often such a first suspect was the cause",
    ),
    (
        "Could not be seen",
        "what is missing that would have settled doubts",
    ),
];

const PATH: [Word; 8] = [
    (
        "callers below",
        "an indented line calls the one above: may be hurt by it",
    ),
    ("ok, odd, bad", "as expected; not as expected; hurting"),
    ("blind", "nothing is heard of it: neither well nor ill"),
    ("CAUSE", "confidence that it is the cause"),
    ("traced 5m", "the call was seen in traces, last so long ago"),
    ("declared", "the config says so"),
    (
        "left to right",
        "on a large pane: each calls those right of it",
    ),
    ("inferred", "guessed from signals that move together"),
];

const METRICS: [Word; 9] = [
    (
        "\u{25b4} 4.2s",
        "outside what was expected; on a chart, from here on",
    ),
    ("EXPECTED", "the band learned from the past of this series"),
    ("dotted area", "that band over time"),
    ("odd since", "when the line left its band"),
    (
        "vertical line",
        "a change; the last is named under the chart",
    ),
    ("TREND", "the whole time shown, in a few cells"),
    (
        "WEEK BEFORE",
        "the value at this time then; the dashes on the chart",
    ),
    (
        "heatmap",
        "how many requests took how long: slow ones above",
    ),
    (
        "recording",
        "older than the engine holds; without what was expected",
    ),
];

const LOGS: [Word; 5] = [
    (
        "TEMPLATE",
        "lines that differ only in numbers, ids and names, as one",
    ),
    ("<number>, <*>", "the part that differs"),
    ("NEW", "never seen before this incident"),
    ("LINES, TREND", "how many in the time shown, and when"),
    (
        "lines",
        "Enter: each as it came, secrets masked, newest first",
    ),
];

const TRACES: [Word; 4] = [
    ("slowest, error", "why this trace was kept as an example"),
    ("bar", "when the span ran, within the whole trace"),
    ("!", "on the critical path: what the whole trace waited for"),
    ("error", "the span failed"),
];

const PLANS: [Word; 11] = [
    ("plan", "a runbook filled in; nothing runs unapproved"),
    ("proposed", "waits for approval: Y shows all of it first"),
    ("checking", "runs what must hold before the first step"),
    ("verifying", "has run; the engine watches whether it helped"),
    ("succeeded", "verified: what hurt is back to normal"),
    ("rolled back", "it did not help, or failed, and was undone"),
    (
        "unknown",
        "the result was lost: look at the target; Y says what it was",
    ),
    (
        "void",
        "the ground shifted: what was shown is no longer right",
    ),
    ("expired", "nobody approved it in time"),
    ("sim$", "runs in the simulated system of the demo"),
    ("!", "the kill switch: nothing starts until it is lifted"),
];

const ALERTS: [Word; 4] = [
    ("held", "silenced or said already by another; w says why"),
    ("fires, over", "what the system that raised it says"),
    ("#4821", "the incident it belongs to: Enter opens it"),
    ("shown", "alerts come page by page; the rest are counted"),
];

const SOURCES: [Word; 7] = [
    ("live", "spoke within its rhythm"),
    ("waiting", "has not spoken yet"),
    (
        "BLIND",
        "should have spoken and did not: what it watched is unseen",
    ),
    ("FAILED", "cannot work; the line below says why"),
    (
        "Enter",
        "all that is known of a source, and whom it tells of",
    ),
    ("REJECTED", "signals that were malformed"),
    ("DROPPED", "signals lost because a queue was full"),
];

/// The words of the view on screen.
fn words(state: &State) -> &'static [Word] {
    match (state.place.screen, state.place.tab) {
        (Screen::Incidents, _) => &INCIDENTS,
        (Screen::Alerts, _) => &ALERTS,
        (Screen::Sources, _) => &SOURCES,
        (_, Tab::Timeline) => &TIMELINE,
        (_, Tab::Why) => &WHY,
        (_, Tab::Path) => &PATH,
        (_, Tab::Metrics) => &METRICS,
        (_, Tab::Logs) => &LOGS,
        (_, Tab::Traces) => &TRACES,
        (_, Tab::Actions) => &PLANS,
    }
}

/// The lines of the help that fit what was typed.
pub(super) fn rows(state: &State, typed: &str) -> Vec<HelpRow> {
    let word = |(word, meaning): &Word| HelpRow::Word(word, meaning);
    let typed = typed.to_lowercase();
    if !typed.is_empty() {
        let fits = |(word, meaning): &&Word| {
            word.to_lowercase().contains(&typed) || meaning.to_lowercase().contains(&typed)
        };
        let keys = palette_rows(&typed).into_iter();
        // Help is read, not tried on.
        let keys = keys.filter(|row| matches!(row, HelpRow::Key(_)));
        let mut words: Vec<HelpRow> = Vec::new();
        for found in every_word().filter(fits).map(word) {
            if !words.contains(&found) {
                words.push(found);
            }
        }
        return keys.chain(words).collect();
    }
    let mut rows = vec![HelpRow::Heading("Here")];
    rows.extend(hints(state).iter().copied().map(HelpRow::Key));
    rows.push(HelpRow::Heading("Words of this view"));
    rows.extend(words(state).iter().map(word));
    rows.push(HelpRow::Heading("Words on every screen"));
    rows.extend(EVERYWHERE.iter().map(word));
    let mut scope: Option<Scope> = None;
    for row in &ACTIONS {
        if scope != Some(row.scope) {
            scope = Some(row.scope);
            rows.push(HelpRow::Heading(row.scope.as_str()));
        }
        rows.push(HelpRow::Key(row.action));
    }
    rows
}

fn every_word() -> impl Iterator<Item = &'static Word> {
    let views: [&'static [Word]; 11] = [
        &EVERYWHERE,
        &INCIDENTS,
        &TIMELINE,
        &WHY,
        &PATH,
        &METRICS,
        &LOGS,
        &TRACES,
        &PLANS,
        &ALERTS,
        &SOURCES,
    ];
    views.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use unicode_width::UnicodeWidthStr;

    /// Cells a meaning has on the smallest terminal with panes.
    const MEANING_CELLS: usize = 59;

    #[test]
    fn no_word_is_cut_on_a_small_terminal() {
        for (word, meaning) in every_word() {
            assert!(word.width() <= super::super::view::HELP_WORD, "{word}");
            assert!(meaning.width() <= MEANING_CELLS, "{meaning}");
        }
    }

    #[test]
    fn no_doc_is_cut_on_a_small_terminal() {
        for row in &ACTIONS {
            assert!(row.doc.len() <= 45, "{}: {}", row.name, row.doc);
        }
    }
}
