//! Everything the console knows: a plain value that events change and the views draw.
//!
//! No I/O and no clock here; the time comes with each event.

mod aim;
mod cursor;
mod details;
mod feed;
mod gone;
mod lanes;
mod list;
mod node;
mod overlay;
mod overtaken;
mod place;
mod plans;
mod records;
mod speakers;
mod spots;
mod travel;

use std::collections::{BTreeMap, BTreeSet};

use crate::api::filter::{self, Filter};
use crate::api::{AlertPage, IncidentDetail, Panels, RunbookRow, WatchMessage};
use crate::model::{
    FindingId, IncidentId, IncidentRow, Mode, Opinion, Phase, Plan, SafeText, Time,
};

use super::burst::Burst;
use super::format::{self, Clock};
use super::key::Key;
use super::keymap::Keymap;
use super::layered::Drawn;
use super::link::{Request, Update};
use super::paint::Look;
use super::reach;
use super::route::Route;
use super::rows::Rows;
use super::session::Session;
use super::theme::Role;

pub use aim::Shift;
pub use cursor::{Cursor, Step};
pub use details::{Details, Shown};
pub use feed::Feed;
pub use gone::Gone;
pub use lanes::{Along, Lanes, Way};
pub use list::{List, Sort};
pub use node::Node;
pub use overlay::{
    Approval, Awaited, Choice, Confirm, Deed, Guard, Overlay, Question, Writing, outcomes, together,
};
pub use overtaken::Dead;
pub use place::{Layout, Place, Screen, Tab};
pub use plans::{
    Ending, Fit, Proposing, by_urgency, did_not_help, ending, fit, has_undo, headline, healed_by,
    to_undo, verified_at,
};
pub use records::{Back, Metering, Purpose, Records};
pub use speakers::Speakers;
pub use spots::{Listed, Spot, Spots};
pub use travel::{STEP_MS, Travel};

/// How the program is called where the daemon is the usual one.
pub const PROGRAM: &str = "stormglass";
/// How long a notice stays.
const NOTICE_MS: i64 = 6_000;
/// How long the notice of what changed since the operator last looked stays.
const LOOKED_NOTICE_MS: i64 = 30_000;

/// The list of alerts, page by page.
#[derive(Debug, Default)]
pub struct Alerts {
    /// The pages so far.
    pub page: Option<AlertPage>,
    /// What is shown of them.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// Whether that order is reversed.
    pub reversed: bool,
    /// The row chosen.
    pub cursor: Cursor,
    /// Whether a page is on its way.
    pub in_flight: bool,
    /// Why the last page could not be had, if so.
    pub failed: Option<String>,
}

/// The list of sources.
#[derive(Debug, Default)]
pub struct Sources {
    /// What is shown of them.
    pub filter: Filter,
    /// The row chosen.
    pub cursor: Cursor,
}

/// A line for the operator above the footer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// What.
    pub text: SafeText,
    /// How it looks.
    pub role: Role,
    until: Time,
}

/// Everything the console knows.
#[derive(Debug)]
pub struct State {
    /// What the daemon told.
    pub feed: Feed,
    /// Where the operator is.
    pub place: Place,
    /// The list of incidents.
    pub list: List,
    /// Single incidents.
    pub details: Details,
    /// The cursor of each pane.
    pub cursors: [Cursor; Tab::ALL.len()],
    /// The incident they are in.
    pub cursors_of: Option<IncidentId>,
    /// Rows to put them on once there is something to show, and in which incident.
    pub sought: Option<(IncidentId, Rows)>,
    /// When one of them last moved, until it rests.
    pub moved_at: Option<Time>,
    /// The list of alerts.
    pub alerts: Alerts,
    /// The list of sources.
    pub sources: Sources,
    /// What the engine knows of them.
    pub speakers: Speakers,
    /// The moment of its past an incident is looked at in, if not now.
    pub travel: Option<Travel>,
    /// What is shown of the timeline, and entries marked on it.
    pub lanes: Lanes,
    /// The one node whose metrics, logs and traces are shown, if not all of an incident's.
    pub node: Option<Node>,
    /// The path on screen in layers, where it is drawn so.
    pub drawn: Option<Drawn>,
    /// How the metrics pane shows what it shows.
    pub metering: Metering,
    /// What the flight recorder told.
    pub records: Records,
    /// Whether the pane with the keys has the whole screen.
    pub whole: bool,
    /// What this operator said of findings since the console began.
    pub opinions: BTreeMap<FindingId, Opinion>,
    /// Runbooks, as last asked for, and for which incident.
    pub runbooks: Option<(IncidentId, Vec<RunbookRow>)>,
    /// What this operator has proposed and no detail has shown yet.
    pub proposing: Option<Proposing>,
    /// What has the keys, if not the screen.
    pub overlay: Option<Overlay>,
    /// What is remembered of keys that came together.
    pub burst: Burst,
    /// When the world last changed what keys act on.
    pub shift: Option<Shift>,
    /// A line for the operator.
    pub notice: Option<Notice>,
    /// Keys of an unfinished sequence.
    pub pending: Vec<Key>,
    /// How the program is called to reach this daemon.
    pub command: String,
    /// Which keys do what.
    pub keymap: Keymap,
    /// How it looks.
    pub look: Look,
    /// How instants are written.
    pub clock: Clock,
    /// Whether the terminal reports the mouse.
    pub mouse: bool,
    /// What can be pointed at where.
    pub spots: Spots,
    /// Where to go once the first view is there.
    pub go_first: Option<String>,
    /// When the operator last looked, by environment.
    pub session: Session,
    /// The operator's time.
    pub now: Time,
    /// Columns and lines.
    pub size: (u16, u16),
}

impl State {
    /// A console that has heard nothing yet.
    pub fn new(look: Look, keymap: Keymap, clock: Clock, size: (u16, u16), now: Time) -> Self {
        Self {
            feed: Feed {
                heard: now,
                ..Feed::default()
            },
            place: Place::new(),
            list: List::default(),
            details: Details::default(),
            cursors: cursors(),
            cursors_of: None,
            sought: None,
            moved_at: None,
            alerts: Alerts::default(),
            sources: Sources::default(),
            speakers: Speakers::default(),
            travel: None,
            lanes: Lanes::default(),
            node: None,
            drawn: None,
            metering: Metering::default(),
            records: Records::default(),
            whole: false,
            opinions: BTreeMap::new(),
            proposing: None,
            runbooks: None,
            overlay: None,
            burst: Burst::default(),
            shift: None,
            notice: None,
            pending: Vec::new(),
            command: PROGRAM.to_owned(),
            keymap,
            look,
            clock,
            mouse: false,
            spots: Spots::default(),
            go_first: None,
            session: Session::default(),
            now,
            size,
        }
    }

    /// How the screen is divided.
    pub fn layout(&self) -> Layout {
        Layout::of(self.size)
    }

    /// Engine time of what is drawn.
    pub fn engine_now(&self) -> Time {
        if let Some(travel) = &self.travel {
            return travel.at;
        }
        self.feed.shown().map_or(self.now, |view| view.at)
    }

    /// Whether what is drawn is the present.
    pub fn mode(&self) -> Mode {
        self.feed.shown().map_or(Mode::Live, |view| view.mode)
    }

    /// What of the screen is shown, by what was typed.
    pub fn filter(&self) -> &Filter {
        match self.place.screen {
            Screen::Incidents => &self.list.filter,
            Screen::Incident(_) => &self.place.find,
            Screen::Alerts => &self.alerts.filter,
            Screen::Sources => &self.sources.filter,
        }
    }

    /// What to say of a filter that names a field that nothing on this screen has.
    pub fn filter_advice(&self) -> Option<String> {
        let filter = self.filter();
        match self.place.screen {
            Screen::Incidents => filter.advice(&filter::INCIDENT_FIELDS),
            Screen::Incident(_) => filter.advice(&filter::TOLD_FIELDS),
            Screen::Sources => filter.advice(&filter::SOURCE_FIELDS),
            Screen::Alerts => {
                let rows = self.alerts.page.iter().flat_map(|page| &page.items);
                let labels = rows.flat_map(|row| row.labels.iter());
                let labels: BTreeSet<&str> = labels.map(|(name, _)| name).collect();
                let fields: Vec<&str> = filter::ALERT_FIELDS.into_iter().chain(labels).collect();
                filter.advice(&fields)
            }
        }
    }

    /// The incident that actions are about: the one opened, or the one under the cursor.
    pub fn chosen(&self) -> Option<IncidentId> {
        match self.place.screen {
            Screen::Incident(id) => Some(id),
            Screen::Incidents => self.list.selected(),
            Screen::Alerts | Screen::Sources => None,
        }
    }

    /// The incident whose panes are drawn: as `chosen`, but only once the cursor rests.
    pub fn looked_at(&self) -> Option<IncidentId> {
        match self.place.screen {
            Screen::Incidents => self.list.settled(),
            _ => self.chosen(),
        }
    }

    /// A row of the view drawn.
    pub fn row(&self, id: IncidentId) -> Option<&IncidentRow> {
        self.feed.shown()?.incidents.get(&id)
    }

    /// The incident drawn, in detail, when it has arrived.
    pub fn detail(&self) -> Option<&IncidentDetail> {
        let id = self.looked_at()?;
        match self.travelled(id) {
            Some(travel) => Some(travel.detail()),
            None => self.details.get(id),
        }
    }

    /// The past in which an incident is looked at.
    fn travelled(&self, id: IncidentId) -> Option<&Travel> {
        self.travel.as_ref().filter(|travel| travel.incident == id)
    }

    /// A row as it is drawn above the panes: of the present, or of the past looked at.
    pub fn headline_row(&self, id: IncidentId) -> Option<&IncidentRow> {
        let then = self.travelled(id).and_then(Travel::row);
        then.or_else(|| self.row(id))
    }

    /// Looks at the incident on screen as it was at a moment, as far as one can go.
    pub fn travel_to(&mut self, at: Time) {
        let Some(id) = self.chosen() else { return };
        let Some(detail) = self.details.get(id) else {
            return;
        };
        let present = self.feed.shown().map_or(self.now, |view| view.at);
        let (first, last) = travel::extent(&detail.incident, present);
        let at = at.clamp(first, last);
        let mut travel = Travel::to(at, detail, self.details.panels(id), self.row(id));
        if let (true, Some(recorded), Some(now)) = (
            travel.is_beyond(self.details.panels(id)),
            self.records.get(Purpose::Then, id),
            self.details.panels(id),
        ) {
            travel.take_recorded(recorded, now);
        }
        self.travel = Some(travel);
    }

    /// To the next moment at which something happened, or the previous one.
    pub fn travel_by(&mut self, way: Way) {
        let Some(travel) = &self.travel else { return };
        let Some(detail) = self.details.get(travel.incident) else {
            return;
        };
        let (at, moments) = (travel.at, travel::moments(&detail.incident));
        let to = match way {
            Way::On => moments.into_iter().find(|moment| *moment > at),
            Way::Back => moments.into_iter().rfind(|moment| *moment < at),
        };
        match (to, way) {
            (Some(to), _) => self.travel_to(to),
            (None, Way::On) => self.travel = None,
            (None, Way::Back) => self.tell(Role::Muted, "Nothing is told of before this."),
        }
    }

    /// Its charts, logs and traces, when they have arrived.
    pub fn panels(&self) -> Option<&Panels> {
        let id = self.looked_at()?;
        match self.travelled(id) {
            Some(travel) => travel.panels(),
            None => match self.narrowed() {
                Some(node) => node.panels.as_deref(),
                None => self.details.panels(id),
            },
        }
    }

    /// What to ask the flight recorder for, so that what is on screen is complete.
    pub fn recorded_wanted(&mut self, id: IncidentId) -> Vec<Request> {
        let Some(panels) = self.details.panels(id) else {
            return Vec::new();
        };
        let mut wanted: Vec<(Purpose, (Time, Time))> = Vec::new();
        let travel = self.travelled(id);
        if let Some(travel) = travel.filter(|t| t.is_beyond(Some(panels))) {
            wanted.push((Purpose::Then, travel.stretch()));
        }
        let mut shown = match travel {
            Some(travel) => travel.panels().and_then(extent),
            None => extent(panels),
        };
        let detail = self.details.get(id).filter(|_| travel.is_none());
        if let (Some(detail), Some((from, to))) = (detail, shown) {
            let range = self.lanes.range;
            let read = reach::stretch(&detail.incident, from, range);
            if let Some(read) = read.filter(|_| self.shows(Tab::Metrics)) {
                wanted.push((Purpose::Charts, read));
                let is_one = read.1 >= from;
                shown = range.or(Some((if is_one { read.0 } else { from }, to)));
            }
        }
        if let (true, Some((from, to))) = (self.shows(Tab::Metrics), shown) {
            let Metering { before, heat } = self.metering;
            if let Some(back) = before {
                let earlier = |at: Time| at.plus_ms(-back.ms());
                wanted.push((Purpose::Before(back), (earlier(from), earlier(to))));
            }
            if heat {
                wanted.push((Purpose::Heat, (from, to)));
            }
        }
        let now = self.now;
        let ask = |(purpose, stretch)| self.records.wanted(purpose, id, stretch, now);
        wanted.into_iter().filter_map(ask).collect()
    }

    /// Whether a pane is on screen.
    pub fn shows(&self, tab: Tab) -> bool {
        match (self.place.screen, self.layout()) {
            (Screen::Alerts | Screen::Sources, _) | (Screen::Incidents, Layout::Tiny) => false,
            (_, Layout::Triple) => true,
            (_, Layout::Dual) => tab == self.place.tab || !matches!(tab, Tab::Logs | Tab::Traces),
            (_, Layout::Single | Layout::Tiny) => tab == self.place.tab,
        }
    }

    /// The plan that keys act on: the one under the cursor of the actions pane when that has the
    /// keys, else the most urgent one. The actions pane marks it, and the footer names it.
    pub fn plan(&self) -> Option<&Plan> {
        let id = self.chosen()?;
        let detail = match self.travelled(id) {
            Some(travel) => travel.detail(),
            None => self.details.get(id)?,
        };
        if self.place.tab == Tab::Actions && matches!(self.place.screen, Screen::Incident(_)) {
            let at = self.cursor(Tab::Actions).at(detail.plans.len());
            return by_urgency(detail).get(at).copied();
        }
        headline(detail)
    }

    /// Takes an incident's details. The cursor stays on its plan when their order changes. On the first
    /// row it stays there, where the next thing to do is, unless the plan there is under way: nobody
    /// finds another plan under the cursor the moment their own has ended.
    pub fn take_detail(&mut self, detail: Box<IncidentDetail>) {
        let at = self.cursor(Tab::Actions).at(usize::MAX);
        let here = self.looked_at() == Some(detail.incident.id);
        let focused =
            self.place.tab == Tab::Actions && matches!(self.place.screen, Screen::Incident(_));
        let held = self.details.get(detail.incident.id).filter(|_| here);
        let chosen = held
            .and_then(|held| by_urgency(held).get(at).copied())
            .filter(|plan| at > 0 || (focused && plans::is_under_way(plan)))
            .map(|plan| plan.id);
        let kept = chosen.and_then(|chosen| {
            by_urgency(&detail)
                .iter()
                .position(|plan| plan.id == chosen)
        });
        let ended = self
            .details
            .get(detail.incident.id)
            .and_then(|held| plans::just_ended(&held.plans, &detail.plans));
        if let Some((role, text)) = ended {
            self.tell(role, &text);
        }
        let kept = self.proposed(&detail).or(kept);
        self.details.put(detail);
        if let Some(at) = kept {
            self.cursor_mut(Tab::Actions).set(at);
        }
    }

    /// Puts every cursor where it belongs in an incident that was not looked at before.
    pub fn rest_cursors(&mut self) {
        let looked_at = self.looked_at();
        if looked_at.is_some() && looked_at != self.cursors_of {
            self.cursors = cursors();
            (self.cursors_of, self.node) = (looked_at, None);
            if self.lanes.from.is_some() {
                self.notice = None;
            }
            (self.lanes.range, self.lanes.from, self.lanes.along) = (None, None, None);
        }
    }

    /// Lets the cursors of panes rest that were not moved for a while; `true` when one did.
    pub fn settle_cursors(&mut self) -> bool {
        let has_settled = self.cursors_settle_at().is_some_and(|at| at <= self.now);
        if has_settled {
            self.moved_at = None;
            let panes = self.cursors.iter_mut();
            panes
                .chain([&mut self.sources.cursor])
                .for_each(Cursor::rest);
        }
        has_settled
    }

    fn cursors_settle_at(&self) -> Option<Time> {
        self.moved_at.map(|at| at.plus_ms(list::SETTLE_MS))
    }

    /// The cursor of a pane.
    pub fn cursor(&self, tab: Tab) -> &Cursor {
        &self.cursors[tab as usize]
    }

    /// The cursor of a pane.
    pub fn cursor_mut(&mut self, tab: Tab) -> &mut Cursor {
        &mut self.cursors[tab as usize]
    }

    /// How long ago something was, as it is written while it grows on the screen: in fewer steps where each
    /// costs bytes that are dear.
    pub fn age(&self, ms: i64) -> String {
        if self.feed.is_slow() {
            format::coarse_age(ms)
        } else {
            format::age(ms)
        }
    }

    /// Tells the operator something.
    pub fn tell(&mut self, role: Role, text: &str) {
        self.notice = Some(Notice {
            text: SafeText::new(text),
            role,
            until: self.now.plus_ms(NOTICE_MS),
        });
    }

    /// Takes away a notice that was there long enough; `true` when it did.
    pub fn expire_notice(&mut self) -> bool {
        let over = self.notice.as_ref().is_some_and(|n| n.until <= self.now);
        if over {
            self.notice = None;
        }
        over
    }

    /// With the first view: marks what changed since the operator last looked, and says how much.
    pub fn since_looked(&mut self, looked: Time) {
        let Some(view) = &self.feed.view else { return };
        let (mut opened, mut changed, mut over) = (0, 0, 0);
        for row in view.incidents.values().filter(|row| row.updated > looked) {
            match row.phase {
                Phase::Resolved => over += 1,
                _ if row.began > looked => opened += 1,
                _ => changed += 1,
            }
            self.list.unseen.insert(row.id);
        }
        let age = format::age(view.at.since(looked));
        let text = if self.list.unseen.is_empty() {
            format!("Nothing changed since you looked, {age} ago.")
        } else {
            format!(
                "Since you looked, {age} ago: {opened} opened, {changed} changed, {over} over; * marks them."
            )
        };
        self.tell(Role::Info, &text);
        if let Some(notice) = &mut self.notice {
            notice.until = self.now.plus_ms(LOOKED_NOTICE_MS);
        }
    }

    /// What is on screen, as it is written after `:`.
    pub fn view_string(&self) -> String {
        Route::here(self).to_string()
    }

    /// Whether an update only says that the world moved on, so that nobody waits for it.
    pub fn is_news(&self, told: &Update) -> bool {
        match told {
            // A first view, or one after a lost connection, is waited for.
            Update::Watch(WatchMessage::Snapshot(_)) => {
                self.feed.view.is_some() && self.feed.lost.is_none()
            }
            Update::Watch(_) => true,
            Update::Detail(detail) => self.details.get(detail.incident.id).is_some(),
            Update::Panels { incident, .. } => self.details.panels(*incident).is_some(),
            _ => false,
        }
    }

    /// When time alone will change something next: until then, or until something happens, a console
    /// sleeps.
    pub fn deadline(&self) -> Option<Time> {
        let notice = self.notice.as_ref().map(|notice| notice.until);
        let deadlines = [
            self.list.settles_at(),
            self.cursors_settle_at(),
            notice,
            self.details.due_at(),
            self.records.due_at(self.now),
            self.feed.tells_staleness_at(self.now),
            self.feed.tells_of_waiting_at(self.now),
        ];
        deadlines.into_iter().flatten().min()
    }
}

/// The time that charts cover.
pub fn extent(panels: &Panels) -> Option<(Time, Time)> {
    let firsts = panels.charts.iter().filter_map(|chart| chart.times.first());
    let lasts = panels.charts.iter().filter_map(|chart| chart.times.last());
    let (from, to) = (*firsts.min()?, *lasts.max()?);
    (to > from).then_some((from, to))
}

/// Cursors of an incident just opened: the timeline follows its end.
fn cursors() -> [Cursor; Tab::ALL.len()] {
    let mut cursors: [Cursor; Tab::ALL.len()] = Default::default();
    cursors[Tab::Timeline as usize] = Cursor::at_end();
    cursors
}
