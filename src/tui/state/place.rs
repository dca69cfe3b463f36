//! Where the operator is: the screen, the pane, how the terminal is divided, and where they were before.

use crate::api::filter::Filter;
use crate::model::IncidentId;
use crate::tui::route::Route;

/// Views remembered.
const HISTORY_MAX: usize = 50;

/// What fills the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Screen {
    /// The list of incidents.
    Incidents,
    /// One incident.
    Incident(IncidentId),
    /// The list of alerts.
    Alerts,
    /// The list of sources.
    Sources,
}

/// A pane of the incident page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Tab {
    /// What happened.
    Timeline,
    /// Suspects and evidence.
    Why,
    /// Who depends on whom.
    Path,
    /// Charts.
    Metrics,
    /// Log groups.
    Logs,
    /// Waterfalls.
    Traces,
    /// Plans.
    Actions,
}

/// How the screen is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// A list and a note: the terminal is too small for more.
    Tiny,
    /// One pane at a time.
    Single,
    /// Two columns.
    Dual,
    /// Three columns and a strip.
    Triple,
}

/// Where the operator is, and where they were.
#[derive(Debug)]
pub struct Place {
    /// What fills the screen.
    pub screen: Screen,
    /// The pane of the incident page.
    pub tab: Tab,
    /// What is looked for within the incident page.
    pub find: Filter,
    trail: Vec<Stop>,
    trail_at: usize,
}

/// A view remembered.
#[derive(Clone, Debug)]
struct Stop {
    screen: Screen,
    tab: Tab,
    /// What was shown of it when it was left.
    shown: Option<Route>,
}

impl Stop {
    const fn new(screen: Screen, tab: Tab) -> Self {
        let shown = None;
        Self { screen, tab, shown }
    }
}

impl Tab {
    /// In the order of their keys.
    pub const ALL: [Self; 7] = [
        Self::Timeline,
        Self::Why,
        Self::Path,
        Self::Metrics,
        Self::Logs,
        Self::Traces,
        Self::Actions,
    ];

    /// The word shown.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeline => "Timeline",
            Self::Why => "Why",
            Self::Path => "Path",
            Self::Metrics => "Metrics",
            Self::Logs => "Logs",
            Self::Traces => "Traces",
            Self::Actions => "Actions",
        }
    }

    /// The tab `delta` further, wrapping around.
    #[must_use]
    pub fn moved(self, delta: isize) -> Self {
        let len = Self::ALL.len() as isize;
        Self::ALL[(self as isize + delta).rem_euclid(len) as usize]
    }

    /// Whether it draws charts, logs or traces.
    pub const fn needs_panels(self) -> bool {
        matches!(self, Self::Metrics | Self::Logs | Self::Traces)
    }
}

impl Layout {
    /// The layout for a terminal of this size.
    pub const fn of((width, height): (u16, u16)) -> Self {
        match (width, height) {
            (190.., 50..) => Self::Triple,
            (120.., 36..) => Self::Dual,
            (80.., 24..) => Self::Single,
            _ => Self::Tiny,
        }
    }
}

impl Place {
    pub(super) fn new() -> Self {
        Self {
            screen: Screen::Incidents,
            tab: Tab::Timeline,
            find: Filter::default(),
            trail: vec![Stop::new(Screen::Incidents, Tab::Timeline)],
            trail_at: 0,
        }
    }

    /// Goes somewhere and remembers it.
    pub fn go(&mut self, screen: Screen, tab: Tab) {
        if (self.screen, self.tab) == (screen, tab) {
            return;
        }
        (self.screen, self.tab) = (screen, tab);
        self.trail.truncate(self.trail_at + 1);
        self.trail.push(Stop::new(screen, tab));
        if self.trail.len() > HISTORY_MAX {
            self.trail.remove(0);
        }
        self.trail_at = self.trail.len() - 1;
    }

    /// Goes back or forth along what is remembered; `false` at its end.
    pub fn along(&mut self, delta: isize) -> bool {
        let Some(at) = self.trail_at.checked_add_signed(delta) else {
            return false;
        };
        let Some(stop) = self.trail.get(at) else {
            return false;
        };
        (self.screen, self.tab) = (stop.screen, stop.tab);
        self.trail_at = at;
        true
    }

    /// Notes what is shown here, for whoever comes back.
    pub fn note(&mut self, shown: Route) {
        self.trail[self.trail_at].shown = Some(shown);
    }

    /// What was shown here before it was left.
    pub fn noted(&self) -> Option<Route> {
        self.trail[self.trail_at].shown.clone()
    }

    /// Goes to the place before this one and makes that the one before.
    pub fn last(&mut self) -> bool {
        let Some(before) = self.trail_at.checked_sub(1) else {
            return false;
        };
        let stop = self.trail[before].clone();
        self.go(stop.screen, stop.tab);
        self.trail[self.trail_at].shown = stop.shown;
        true
    }
}
