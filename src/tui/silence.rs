//! Silences: made with a look at what they would hide, and ended.
//!
//! Nothing is sent before the reason is typed, and what is shown as hidden is what the daemon said of
//! exactly the matchers that stand there.

use crossterm::event::KeyCode;

use crate::model::{
    AlertRow, Command, IncidentId, IncidentRow, LabelFilter, SafeText, Severity, Silence,
    SilenceId, SilenceKind, SilencePreview, SilenceSpec, SilenceState, Time, length_ms, spelled,
};

use super::action::Action;
use super::field::Field;
use super::format;
use super::key::Key;
use super::keymap::Lookup;
use super::link::Request;
use super::paint::{Canvas, Row, wrap};
use super::state::{Cursor, State};
use super::theme::Role;
use super::update::Effects;
use super::view::{boxed, cursor_mark, typed};

/// Labels that say what an alert is about; the first of them, beside its name, is offered.
const ABOUT: [&str; 5] = ["service", "job", "namespace", "instance", "host"];
/// Cells of the name of a field.
const NAME: usize = 9;
/// Names of alerts shown; the rest are counted.
const NAMES_MAX: usize = 8;

/// The dialog that makes a silence.
#[derive(Clone, Debug)]
pub struct SilenceDialog {
    fields: [Field; 3],
    here: Line,
    /// Whether it also ends once everything it hides has resolved.
    until_resolved: bool,
    /// What the matchers that were last asked about would hide.
    preview: Option<(Vec<LabelFilter>, SilencePreview)>,
    /// The incident it was opened for, and what was offered before its alerts were known.
    offered: Option<(IncidentId, String)>,
    told: String,
}

/// The list of silences.
#[derive(Clone, Debug, Default)]
pub struct Silences {
    cursor: Cursor,
    /// Enter was pressed once on this one.
    armed: Option<SilenceId>,
}

/// The lines, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    What,
    For,
    Resolved,
    Why,
}

impl Line {
    const ALL: [Self; 4] = [Self::What, Self::For, Self::Resolved, Self::Why];

    /// Its name, and what is typed there.
    const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::What => (
                "what",
                "labels that must fit, as in Alertmanager: service=cart, env!=prod",
            ),
            Self::For => ("for", "how long: 30m, 2h, 1d"),
            Self::Resolved => ("or until", "all it hides has resolved"),
            Self::Why => ("why", "the reason, for those who come after you"),
        }
    }

    /// The field that is typed into.
    const fn field(self) -> Option<usize> {
        match self {
            Self::What => Some(WHAT),
            Self::For => Some(FOR),
            Self::Resolved => None,
            Self::Why => Some(WHY),
        }
    }

    /// The line so many further down, round the ends.
    fn step(self, by: usize) -> Self {
        Self::ALL[(self as usize + by) % Self::ALL.len()]
    }
}

const WHAT: usize = 0;
const FOR: usize = 1;
const WHY: usize = 2;

impl SilenceDialog {
    /// For an alert: its name, and what it is about.
    pub(super) fn of_alert(alert: &AlertRow) -> Self {
        let about = ABOUT.iter().find(|name| alert.labels.get(name).is_some());
        let names = ["alertname"].iter().chain(about);
        let matchers = names.filter_map(|name| Some(matcher(name, alert.labels.get(name)?)));
        Self::new(&matchers.collect::<Vec<_>>().join(", "))
    }

    /// For an incident: everything about the entity that hurts most, until its alerts are known.
    pub(super) fn of_incident(row: &IncidentRow) -> Self {
        let matchers = matcher(row.entity.kind().as_str(), row.entity.name());
        Self {
            offered: Some((row.id, matchers.clone())),
            ..Self::new(&matchers)
        }
    }

    /// Offers what the alerts of its incident that fire have in common, unless something was typed.
    pub(super) fn offer(&mut self, of: IncidentId, alerts: &[AlertRow], effects: &mut Effects) {
        let text = self.fields[WHAT].text();
        if self
            .offered
            .as_ref()
            .is_none_or(|(id, was)| *id != of || was != text)
        {
            return;
        }
        let mut firing = alerts.iter().filter(|alert| alert.firing);
        let Some(first) = firing.next() else { return };
        let others: Vec<&AlertRow> = firing.collect();
        let common = |name: &str| {
            let value = first.labels.get(name)?;
            let same = |alert: &&AlertRow| alert.labels.get(name) == Some(value);
            others.iter().all(same).then(|| matcher(name, value))
        };
        let about = ABOUT.iter().find_map(|name| common(name));
        let matchers: Vec<String> = common("alertname").into_iter().chain(about).collect();
        if !matchers.is_empty() {
            self.fields[WHAT] = Field::new(&matchers.join(", "));
            self.ask(effects);
        }
    }

    fn new(matchers: &str) -> Self {
        Self {
            fields: [Field::new(matchers), Field::new("1h"), Field::default()],
            here: Line::Why,
            until_resolved: false,
            preview: None,
            offered: None,
            told: String::new(),
        }
    }

    /// Asks what it would hide, unless that is known.
    pub(super) fn ask(&mut self, effects: &mut Effects) {
        match LabelFilter::parse_all(self.fields[WHAT].text()) {
            Ok(matchers) if matchers.is_empty() => {}
            Ok(matchers) => {
                if self.preview.as_ref().is_none_or(|(of, _)| *of != matchers) {
                    self.preview = None;
                    effects.requests.push(Request::Preview { matchers });
                }
            }
            Err(why) => {
                self.preview = None;
                self.told = why;
            }
        }
    }

    /// Takes the answer, if it is about what stands there.
    pub(super) fn answered(&mut self, matchers: &[LabelFilter], preview: SilencePreview) {
        let now = LabelFilter::parse_all(self.fields[WHAT].text());
        if now.is_ok_and(|now| now == matchers) {
            self.preview = Some((matchers.to_vec(), preview));
        }
    }

    /// Takes pasted text.
    pub(super) fn paste(&mut self, text: &str) {
        if let Some(at) = self.here.field() {
            self.fields[at].insert(text);
        }
    }

    /// Takes a key; `true` when the dialog is left.
    pub(super) fn key(&mut self, state: &State, key: Key, effects: &mut Effects) -> bool {
        self.told.clear();
        let up = Line::ALL.len() - 1;
        match key.code {
            KeyCode::Esc => return true,
            KeyCode::Tab | KeyCode::Down => self.here = self.here.step(1),
            KeyCode::BackTab | KeyCode::Up => self.here = self.here.step(up),
            KeyCode::Enter if self.here != Line::Why => self.here = self.here.step(1),
            KeyCode::Enter => match self.spec(state) {
                Ok(spec) => {
                    let (spec, twin) = (Box::new(spec), None);
                    effects.command(Command::Silence { spec, twin });
                    return true;
                }
                Err(why) => self.told = why,
            },
            KeyCode::Char(' ') if self.here == Line::Resolved => {
                self.until_resolved = !self.until_resolved;
            }
            _ => {
                if let Some(at) = self.here.field() {
                    self.fields[at].key(key);
                }
            }
        }
        if self.here != Line::What {
            self.ask(effects);
        }
        false
    }

    /// What is asked for, or why it cannot be asked yet.
    fn spec(&self, state: &State) -> Result<SilenceSpec, String> {
        let matchers = LabelFilter::parse_all(self.fields[WHAT].text())?;
        let asked = self.preview.as_ref().is_some_and(|(of, _)| *of == matchers);
        if matchers.is_empty() || !asked {
            return Err("What it would hide is not known yet: wait, or mend what it fits.".into());
        }
        let reason = self.fields[WHY].text().trim().to_owned();
        if reason.is_empty() {
            return Err("Say why: those who come after you will ask.".into());
        }
        let lasts_ms = length_ms(self.fields[FOR].text().trim())
            .filter(|ms| *ms > 0)
            .ok_or("How long? Such as 30m, 2h or 1d.")?;
        let now = state.feed.view.as_ref().map_or(state.now, |view| view.at);
        Ok(SilenceSpec {
            id: None,
            kind: SilenceKind::Silence,
            matchers,
            starts_at: None,
            ends_at: now.plus_ms(lasts_ms),
            until_resolved: self.until_resolved,
            reason,
        })
    }

    /// Draws it.
    pub(super) fn draw(&self, canvas: &mut Canvas<'_>) {
        let title = "Silence: Tab goes to the next line, Enter on the last makes it, Esc leaves";
        let mut inner = boxed(canvas, &SafeText::new(title), 12);
        let width = inner.width().saturating_sub(2);
        for (y, line) in Line::ALL.into_iter().enumerate() {
            inner.row(y, &self.drawn(line));
        }
        let mut rows = vec![Row::new()];
        let mut say = |role: Role, text: &str| {
            let lines = wrap(&SafeText::new(text), width).into_iter();
            rows.extend(lines.map(|line| Row::new().put(Role::Body, " ").put(role, line)));
        };
        match &self.preview {
            Some((_, preview)) => hides(preview, &mut say),
            None => say(Role::Muted, "Asking what it would hide..."),
        }
        if !self.told.is_empty() {
            say(Role::Warn, &self.told);
        }
        for (y, row) in rows.iter().enumerate() {
            inner.row(Line::ALL.len() + y, row);
        }
    }

    fn drawn(&self, line: Line) -> Row {
        let here = line == self.here;
        let (name, doc) = line.words();
        let row = cursor_mark(here, true).column(Role::Key, name, NAME);
        let Some(field) = line.field().map(|at| &self.fields[at]) else {
            let sign = if self.until_resolved { "[x] " } else { "[ ] " };
            let hint = if here { " (Space)" } else { "" };
            return row
                .put(Role::Body, sign)
                .put(Role::Body, doc)
                .put(Role::Muted, hint);
        };
        match (here, field.text().is_empty()) {
            (true, _) => row.join(typed(field)),
            (false, true) => row.put(Role::Muted, doc),
            (false, false) => row.put(Role::Body, field.text().to_owned()),
        }
    }
}

/// What is hidden now, and would have been, in sentences.
fn hides(preview: &SilencePreview, say: &mut impl FnMut(Role, &str)) {
    let total = |alerts: &[(Severity, u32)]| -> u64 {
        alerts.iter().map(|(_, count)| u64::from(*count)).sum()
    };
    let critical = |alerts: &[(Severity, u32)]| {
        let of = |(severity, count): &(Severity, u32)| {
            (*severity == Severity::Critical).then_some(*count)
        };
        alerts.iter().find_map(of).unwrap_or(0)
    };
    let now = format::counted(total(&preview.now), "alert", "alerts");
    let past = format::counted(total(&preview.past), "alert", "alerts");
    let back = spelled(preview.looked_back_ms);
    // What fires now is not of the past, however long it has fired.
    match (total(&preview.now), total(&preview.past)) {
        (0, 0) if preview.findings_now + preview.findings_past == 0 => say(
            Role::Warn,
            &format!("It would hide NOTHING: no alert fits it, now or in the last {back}."),
        ),
        (0, 0) => say(
            Role::Body,
            &format!("It hides no alert, now or in the last {back}."),
        ),
        (_, 0) => say(
            Role::Body,
            &format!("It hides {now} now, and none besides in the last {back}."),
        ),
        (0, _) => say(
            Role::Warn,
            &format!("It hides nothing now; in the last {back} it would have hidden {past}."),
        ),
        _ => say(
            Role::Body,
            &format!("It hides {now} now; in the last {back} it would have hidden {past}."),
        ),
    }
    let bad = critical(&preview.now) + critical(&preview.past);
    if bad > 0 {
        let alerts = format::counted(u64::from(bad), "critical alert", "critical alerts");
        let words = format!("it hides {alerts}, now or in hindsight");
        say(Role::Warn, &format!("Take care: {words}."));
    }
    if preview.findings_now > 0 || preview.findings_past > 0 {
        let [now, past] = [preview.findings_now, preview.findings_past].map(u64::from);
        let now = format::counted(now, "finding", "findings");
        say(
            Role::Warn,
            &format!("It keeps {now} from opening incidents now, {past} in the last {back}."),
        );
    }
    if preview.incidents > 0 {
        let many = u64::from(preview.incidents);
        let incidents = format::counted(many, "open incident", "open incidents");
        say(
            Role::Warn,
            &format!("It hides all that is known of {incidents}."),
        );
    }
    let names: Vec<&str> = preview.names.iter().take(NAMES_MAX).map(|n| &**n).collect();
    if !names.is_empty() {
        let more = preview.names.len() - names.len();
        let more = if more > 0 {
            format!(" and {more} more")
        } else {
            String::new()
        };
        say(Role::Muted, &format!("Alerts: {}{more}", names.join(", ")));
    }
}

impl Silences {
    /// Takes a key; `true` when the list is left.
    pub(super) fn key(&mut self, state: &mut State, key: Key, effects: &mut Effects) -> bool {
        if let Some(step) = super::dialog::step_of(state, key) {
            self.cursor.step(step);
            self.armed = None;
            return false;
        }
        match key.code {
            KeyCode::Esc => return true,
            KeyCode::Enter => {
                let rows = rows(state);
                let at = self.cursor.at(rows.len());
                let Some(silence) = rows.get(at).map(|silence| silence.id) else {
                    return false;
                };
                if self.armed.take() == Some(silence) {
                    effects.command(Command::Expire { silence });
                } else {
                    self.armed = Some(silence);
                    let text = format!(
                        "Enter again ends {silence}: people are told of its alerts that still fire."
                    );
                    state.tell(Role::Warn, &text);
                }
            }
            _ if state.keymap.lookup(&[key]) == Lookup::Action(Action::Silence) => {
                super::act::perform(state, Action::Silence, effects);
                return true;
            }
            _ => self.armed = None,
        }
        false
    }

    /// Draws it.
    pub(super) fn draw(&self, state: &State, canvas: &mut Canvas<'_>) {
        let rows = rows(state);
        let title = "Silences: Enter ends one, Esc leaves; z makes one";
        let mut inner = boxed(canvas, &SafeText::new(title), rows.len().max(1) as u16 * 2);
        if rows.is_empty() {
            return inner.row(0, &Row::new().put(Role::Muted, " Nothing is silenced."));
        }
        let at = self.cursor.at(rows.len());
        let now = state.feed.shown().map_or(state.now, |view| view.at);
        for (y, i) in self
            .cursor
            .window(rows.len(), inner.height() / 2)
            .enumerate()
        {
            let [what, why] = drawn(rows[i], i == at, now);
            inner.row(2 * y, &what);
            inner.row(2 * y + 1, &why);
        }
    }
}

/// Those that hold something back or will, the first to end first.
fn rows(state: &State) -> Vec<&Silence> {
    let all = state.feed.shown().map(|view| view.silences.values());
    let lasting = |silence: &&Silence| silence.state != SilenceState::Expired;
    let mut rows: Vec<&Silence> = all.into_iter().flatten().filter(lasting).collect();
    rows.sort_by_key(|silence| (silence.ends_at, silence.id));
    rows
}

fn drawn(silence: &Silence, here: bool, now: Time) -> [Row; 2] {
    let role = if here { Role::Selection } else { Role::Title };
    let left = format::age(silence.ends_at.since(now));
    let (state, state_role) = match silence.state {
        SilenceState::Pending => (
            format!("begins in {}", format::age(silence.starts_at.since(now))),
            Role::Muted,
        ),
        _ if silence.ends_soon => (format!("ENDS in {left}, still hides"), Role::Warn),
        _ if silence.until_resolved => (
            format!("ends in {left} or once resolved, hides"),
            Role::Body,
        ),
        _ => (format!("ends in {left}, hides"), Role::Body),
    };
    let matchers: Vec<String> = silence.matchers.iter().map(ToString::to_string).collect();
    let what = cursor_mark(here, true)
        .put(role, format!(" {}", silence.id))
        .put(Role::Body, "  ")
        .put(state_role, format!("{state} {}", hidden(silence)))
        .put(Role::Body, "  ")
        .put(Role::Body, matchers.join(", "));
    let why = Row::new()
        .pad_to(4)
        .put(Role::Person, silence.author.clone())
        .put(Role::Muted, ": ")
        .put(Role::Muted, silence.reason.clone());
    [what, why]
}

/// What it hides now: alerts, and findings that would open incidents.
fn hidden(silence: &Silence) -> String {
    match silence.hides_findings {
        0 => silence.hides.to_string(),
        findings => {
            let findings = format::counted(u64::from(findings), "finding", "findings");
            format!("{} and {findings}", silence.hides)
        }
    }
}

/// A matcher as people write it; quoted, so that no sign in a value is read as anything else.
fn matcher(name: &str, value: &str) -> String {
    format!("{name}={value:?}")
}
