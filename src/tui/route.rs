//! A view as a string: `incidents sort:age /checkout`, `incident 4821 why`, `alerts /pool`, `sources`.
//! What is on screen can be written down, sent to somebody, typed after `:` and given to `--view`.

use crate::model::IncidentId;

use super::state::{Screen, Sort, State, Tab};
use super::theme::Role;
use super::update::{Effects, fetch_alerts, refresh};
use crate::api::filter::Filter;

/// A place, and what is shown of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    screen: Screen,
    tab: Option<Tab>,
    sort: Option<Sort>,
    reversed: bool,
    filter: String,
}

impl Route {
    /// Reads one; `None` when it is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // The filter is the rest of the line: it may hold blanks.
        let (head, filter) = match text.split_once('/') {
            Some((head, filter)) => (head, filter.trim_end()),
            None => (text, ""),
        };
        let mut words = head.split_whitespace();
        let screen = match words.next()? {
            "incidents" => Screen::Incidents,
            "incident" => Screen::Incident(incident(words.next()?)?),
            "alerts" => Screen::Alerts,
            "sources" => Screen::Sources,
            _ => return None,
        };
        let mut route = Self {
            screen,
            tab: None,
            sort: None,
            reversed: false,
            filter: filter.to_owned(),
        };
        if orders(screen).is_some() {
            route.take_sort_from_filter();
        }
        for word in words {
            match (screen, word) {
                (Screen::Incidents | Screen::Alerts, "reversed") => route.reversed = true,
                (Screen::Incidents | Screen::Alerts, _) => {
                    route.sort = Some(sort(screen, word)?);
                }
                (Screen::Incident(_), _) => {
                    let named = |tab: &Tab| tab.as_str().eq_ignore_ascii_case(word);
                    route.tab = Some(Tab::ALL.into_iter().find(named)?);
                }
                (Screen::Sources, _) => return None,
            }
        }
        Some(route)
    }

    /// `incidents /checkout sort:age` says the same as `incidents sort:age /checkout`: no field has that name.
    fn take_sort_from_filter(&mut self) {
        let words = self.filter.split_whitespace();
        let screen = self.screen;
        let Some(found) = words.clone().find_map(|word| sort(screen, word)) else {
            return;
        };
        let rest: Vec<&str> = words.filter(|word| sort(screen, word).is_none()).collect();
        (self.sort, self.filter) = (Some(found), rest.join(" "));
    }

    /// The one on screen.
    pub(super) fn here(state: &State) -> Self {
        let screen = state.place.screen;
        let (sort, reversed) = match screen {
            Screen::Incidents => (Some(state.list.sort), state.list.reversed),
            Screen::Alerts => (Some(state.alerts.sort), state.alerts.reversed),
            Screen::Incident(_) | Screen::Sources => (None, false),
        };
        Self {
            tab: matches!(screen, Screen::Incident(_)).then_some(state.place.tab),
            sort,
            reversed,
            filter: state.filter().text().to_owned(),
            ..Self::bare(screen)
        }
    }

    fn bare(screen: Screen) -> Self {
        Self {
            screen,
            tab: None,
            sort: None,
            reversed: false,
            filter: String::new(),
        }
    }

    /// Filters and sorts as it says, wherever one is.
    pub(super) fn show(&self, state: &mut State) {
        let filter = Filter::parse(&self.filter);
        match self.screen {
            Screen::Incident(_) => state.place.find = filter,
            Screen::Incidents => {
                state.list.filter = filter;
                state.list.sort = self.sort.unwrap_or_default();
                state.list.reversed = self.reversed;
                refresh(state);
            }
            Screen::Alerts => {
                state.alerts.filter = filter;
                state.alerts.sort = self.sort.unwrap_or_default();
                state.alerts.reversed = self.reversed;
            }
            Screen::Sources => state.sources.filter = filter,
        }
    }

    /// Why one cannot go there, in words.
    pub(super) fn is_nowhere(&self) -> String {
        match self.screen {
            Screen::Incident(id) => format!("There is no such incident: {id}."),
            _ => format!("There is no view {self}."),
        }
    }

    /// Goes there; `false` when there is no such incident.
    pub(super) fn go(&self, state: &mut State, effects: &mut Effects) -> bool {
        match self.screen {
            // One that is in no list has a page that says why: the newest may be part of an older one.
            Screen::Incident(IncidentId(0)) => return false,
            Screen::Incident(id) => state.list.select(id),
            Screen::Alerts => fetch_alerts(state, true, effects),
            Screen::Incidents | Screen::Sources => {}
        }
        self.show(state);
        state
            .place
            .go(self.screen, self.tab.unwrap_or(state.place.tab));
        if let Some(advice) = state.filter_advice() {
            state.tell(Role::Warn, &format!("There is {advice}."));
        }
        true
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.screen {
            Screen::Incidents => f.write_str("incidents")?,
            Screen::Incident(id) => write!(f, "incident {}", id.0)?,
            Screen::Alerts => f.write_str("alerts")?,
            Screen::Sources => f.write_str("sources")?,
        }
        if let Some(tab) = self.tab {
            write!(f, " {}", tab.as_str().to_ascii_lowercase())?;
        }
        if let Some(sort) = self.sort.filter(|sort| *sort != Sort::default()) {
            write!(f, " sort:{}", sort.as_str())?;
        }
        if self.reversed {
            f.write_str(" reversed")?;
        }
        if self.filter.is_empty() {
            Ok(())
        } else {
            write!(f, " /{}", self.filter)
        }
    }
}

/// The orders that the rows of a screen have, if they have any.
pub(super) const fn orders(screen: Screen) -> Option<&'static [Sort]> {
    match screen {
        Screen::Incidents => Some(&Sort::ALL),
        Screen::Alerts => Some(&Sort::OF_ALERTS),
        Screen::Incident(_) | Screen::Sources => None,
    }
}

/// The order of a screen that a word names.
fn sort(screen: Screen, word: &str) -> Option<Sort> {
    let name = word.strip_prefix("sort:")?;
    let mut orders = orders(screen)?.iter().copied();
    orders.find(|sort| sort.as_str() == name)
}

fn incident(word: &str) -> Option<IncidentId> {
    word.trim_start_matches('#').parse().ok().map(IncidentId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_round_trip() {
        for text in [
            "incidents",
            "incidents sort:age reversed /!owner:mia checkout",
            "incident 4821 why",
            "incident 4821 logs /pool timeout",
            "alerts /severity:critical",
            "alerts sort:age reversed /pool",
            "sources",
            "sources /state:blind",
        ] {
            let route = Route::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(route.to_string(), text);
        }
    }

    #[test]
    fn an_order_may_stand_behind_the_filter() {
        let route = Route::parse("incidents /!owner:mia sort:age checkout").expect("a view");
        assert_eq!(route.to_string(), "incidents sort:age /!owner:mia checkout");
        let searched = Route::parse("incidents /sort:luck").expect("a view");
        assert_eq!(searched.to_string(), "incidents /sort:luck");
    }

    #[test]
    fn what_is_no_view_is_not_taken_for_one() {
        for text in [
            "",
            "incident",
            "incident x",
            "incidents sort:luck",
            "alerts now",
            "alerts sort:updated",
            "sources sort:age",
            "approve",
        ] {
            assert_eq!(Route::parse(text), None, "{text}");
        }
    }
}
