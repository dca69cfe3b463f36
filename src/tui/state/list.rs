//! The list of incidents: order, filter, marks and the incident under the cursor.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::api::View;
use crate::model::{AlertRow, IncidentId, IncidentRow, Time};

use super::cursor::{Cursor, Step};
use crate::api::filter::Filter;

/// How long the cursor must rest on an incident before its details are fetched and drawn, so that
/// moving the cursor costs one small write and no request.
pub(super) const SETTLE_MS: i64 = 120;

/// What the list is sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Open before over, then the worst, then the newest.
    #[default]
    Urgency,
    /// The youngest first.
    Age,
    /// By name.
    Service,
    /// The latest change first.
    Updated,
}

/// The list of incidents.
#[derive(Clone, Debug, Default)]
pub struct List {
    /// What is shown.
    pub filter: Filter,
    /// In which order.
    pub sort: Sort,
    /// Whether that order is reversed.
    pub reversed: bool,
    /// Incidents marked.
    pub marks: BTreeSet<IncidentId>,
    /// The window drawn; its position is not used, `selected` is.
    pub cursor: Cursor,
    order: Vec<IncidentId>,
    selected: Option<IncidentId>,
    settled: Option<IncidentId>,
    moved_at: Option<Time>,
    last_mark: Option<IncidentId>,
    held: bool,
    /// Incidents that changed since the operator last looked, and were not opened since.
    pub unseen: BTreeSet<IncidentId>,
}

impl Sort {
    /// In the order of their key.
    pub const ALL: [Self; 4] = [Self::Urgency, Self::Age, Self::Service, Self::Updated];

    /// Those that alerts have.
    pub const OF_ALERTS: [Self; 3] = [Self::Urgency, Self::Age, Self::Service];

    /// The next one of these, wrapping around.
    #[must_use]
    pub fn next(self, of: &[Self]) -> Self {
        let here = of.iter().position(|sort| *sort == self);
        let next = here.map_or(0, |here| (here + 1) % of.len());
        of.get(next).copied().unwrap_or_default()
    }

    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgency => "urgency",
            Self::Age => "age",
            Self::Service => "service",
            Self::Updated => "updated",
        }
    }

    /// Which of two alerts comes first.
    pub fn of_alerts(self, a: &AlertRow, b: &AlertRow) -> Ordering {
        let order = match self {
            Self::Urgency => Ordering::Equal,
            Self::Age | Self::Updated => b.starts_at.cmp(&a.starts_at),
            Self::Service => a.entity.name().cmp(b.entity.name()),
        };
        order.then_with(|| a.place().cmp(&b.place()))
    }

    fn compare(self, a: &IncidentRow, b: &IncidentRow) -> Ordering {
        let order = match self {
            Self::Urgency => return a.by_urgency(b),
            Self::Age => b.began.cmp(&a.began),
            Self::Service => a.entity.name().cmp(b.entity.name()),
            Self::Updated => b.updated.cmp(&a.updated),
        };
        order.then(b.id.cmp(&a.id))
    }
}

impl List {
    /// Incidents shown, in order.
    pub fn order(&self) -> &[IncidentId] {
        &self.order
    }

    /// The incident under the cursor.
    pub fn selected(&self) -> Option<IncidentId> {
        self.selected
    }

    /// The incident the cursor rests on.
    pub fn settled(&self) -> Option<IncidentId> {
        self.settled
    }

    /// Index of the incident under the cursor.
    pub fn position(&self) -> usize {
        let at = |id| self.order.iter().position(|other| *other == id);
        self.selected.and_then(at).unwrap_or(0)
    }

    /// Keeps the cursor on its incident from now on: somebody is at the keys, and what they are about
    /// to act on must not change under their fingers. Until then it follows the first row, so that the
    /// worst incident is the one shown to whoever comes to the screen.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Sorts and filters again. A held cursor stays on its incident, or else on its row.
    pub fn refresh(&mut self, view: &View) {
        let row = self.position();
        let mut rows: Vec<&IncidentRow> = view
            .incidents
            .values()
            .filter(|row| self.filter.incident(row))
            .collect();
        rows.sort_by(|a, b| self.sort.compare(a, b));
        if self.reversed {
            rows.reverse();
        }
        self.order.clear();
        self.order.extend(rows.iter().map(|row| row.id));
        self.marks.retain(|id| view.incidents.contains_key(id));
        self.unseen.retain(|id| view.incidents.contains_key(id));
        if !self.held {
            self.selected = self.order.first().copied();
            self.settled = self.selected;
        } else if !self.selected.is_some_and(|id| self.order.contains(&id)) {
            self.selected = self.order.get(row).or(self.order.last()).copied();
            self.settled = self.selected;
        }
    }

    /// Moves the cursor.
    pub fn step(&mut self, step: Step, now: Time) {
        let to = self.cursor.target(step, self.position(), self.order.len());
        self.point(to, now);
    }

    /// Puts the cursor on a row.
    pub fn point(&mut self, at: usize, now: Time) {
        let Some(id) = self.order.get(at).copied() else {
            return;
        };
        if self.selected != Some(id) {
            self.selected = Some(id);
            self.moved_at = Some(now);
        }
    }

    /// Puts the cursor on an incident, at rest.
    pub fn select(&mut self, id: IncidentId) {
        self.unseen.remove(&id);
        self.selected = Some(id);
        self.settled = Some(id);
        self.moved_at = None;
    }

    /// When the cursor will have come to rest.
    pub fn settles_at(&self) -> Option<Time> {
        self.moved_at.map(|at| at.plus_ms(SETTLE_MS))
    }

    /// Notes that time passed; `true` when the cursor came to rest.
    pub fn settle(&mut self, now: Time) -> bool {
        if self.settles_at().is_some_and(|at| at <= now) {
            self.moved_at = None;
            self.settled = self.selected;
            return true;
        }
        false
    }

    /// Marks or unmarks the incident under the cursor.
    pub fn toggle_mark(&mut self) {
        let Some(id) = self.selected else { return };
        if !self.marks.remove(&id) {
            self.marks.insert(id);
        }
        self.last_mark = Some(id);
    }

    /// Marks from the last mark to the cursor.
    pub fn mark_range(&mut self) {
        let here = self.position();
        let from = self
            .last_mark
            .and_then(|id| self.order.iter().position(|other| *other == id))
            .unwrap_or(here);
        let range = from.min(here)..=from.max(here);
        if let Some(ids) = self.order.get(range) {
            self.marks.extend(ids);
        }
    }
}
