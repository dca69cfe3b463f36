//! What the console asked the flight recorder for, to draw beside, or instead of, what the engine holds:
//! the same time of an earlier day, how long requests took, a moment that charts no longer reach.
//!
//! Asks only for what is on screen, and again only once it has moved on.

use std::collections::BTreeMap;

use crate::model::{IncidentId, Recorded, RecordedPart, Time};
use crate::tui::link::Request;

/// A stretch that ends later than the one held by this share of it is asked for again.
const MOVED_SHARE: i64 = 30;
/// At least this long between two requests for one purpose, in milliseconds.
const EVERY_MS: i64 = 5_000;

/// What a stretch of the recording is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Purpose {
    /// The charts themselves, from before what the engine holds, or in the time zoomed to.
    Charts,
    /// Beside the charts, as they were so much earlier.
    Before(Back),
    /// How long requests took in the time of the charts.
    Heat,
    /// The charts, logs and traces of a moment in the past.
    Then,
}

/// How much earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Back {
    /// An hour.
    Hour,
    /// A day.
    Day,
    /// A week.
    Week,
}

/// How the metrics pane shows what it shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Metering {
    /// Beside each metric, how it was so much earlier.
    pub before: Option<Back>,
    /// How long requests took, instead of the chart.
    pub heat: bool,
}

/// What was asked for and what came, by purpose.
#[derive(Debug, Default)]
pub struct Records(BTreeMap<Purpose, Held>);

#[derive(Debug)]
struct Held {
    incident: IncidentId,
    asked: (Time, Time),
    in_flight: bool,
    not_before: Time,
    recorded: Option<Box<Recorded>>,
    failed: Option<String>,
}

impl Back {
    /// From the nearest on; then off.
    pub const fn next(back: Option<Self>) -> Option<Self> {
        match back {
            None => Some(Self::Hour),
            Some(Self::Hour) => Some(Self::Day),
            Some(Self::Day) => Some(Self::Week),
            Some(Self::Week) => None,
        }
    }

    /// In milliseconds.
    pub const fn ms(self) -> i64 {
        const HOUR_MS: i64 = 3_600_000;
        match self {
            Self::Hour => HOUR_MS,
            Self::Day => 24 * HOUR_MS,
            Self::Week => 7 * 24 * HOUR_MS,
        }
    }

    /// As the heading of a column.
    pub const fn heading(self) -> &'static str {
        match self {
            Self::Hour => "HOUR BEFORE",
            Self::Day => "DAY BEFORE",
            Self::Week => "WEEK BEFORE",
        }
    }

    /// In a sentence.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hour => "an hour before",
            Self::Day => "a day before",
            Self::Week => "a week before",
        }
    }
}

impl Purpose {
    /// What of the recording it takes.
    pub const fn part(self) -> RecordedPart {
        match self {
            Self::Charts | Self::Before(_) => RecordedPart::Lines,
            Self::Heat => RecordedPart::Heat,
            Self::Then => RecordedPart::Moment,
        }
    }
}

impl Records {
    /// What came for a purpose, of this incident.
    pub fn get(&self, purpose: Purpose, of: IncidentId) -> Option<&Recorded> {
        let held = self.0.get(&purpose).filter(|held| held.incident == of)?;
        held.recorded.as_deref()
    }

    /// Why nothing came, if so.
    pub fn failure(&self, purpose: Purpose, of: IncidentId) -> Option<&str> {
        let held = self.0.get(&purpose).filter(|held| held.incident == of)?;
        held.failed.as_deref()
    }

    /// What to ask for so that the stretch from `from` to `to` is there.
    pub fn wanted(
        &mut self,
        purpose: Purpose,
        incident: IncidentId,
        (from, to): (Time, Time),
        now: Time,
    ) -> Option<Request> {
        let held = self.0.get_mut(&purpose);
        let is_fresh = held.is_some_and(|held| {
            let moved_ms = (to.since(held.asked.1))
                .abs()
                .max(from.since(held.asked.0).abs());
            let is_near = moved_ms <= to.since(from) / MOVED_SHARE && held.failed.is_none();
            let waits = held.in_flight || now < held.not_before;
            held.incident == incident && (is_near || waits)
        });
        if is_fresh {
            return None;
        }
        // What is shown meanwhile stays, of the same incident.
        let before = self.0.remove(&purpose);
        let before = before.filter(|held| held.incident == incident);
        let held = Held {
            incident,
            asked: (from, to),
            in_flight: true,
            not_before: now.plus_ms(EVERY_MS),
            recorded: before.and_then(|held| held.recorded),
            failed: None,
        };
        self.0.insert(purpose, held);
        Some(Request::Recorded {
            incident,
            purpose,
            from,
            to,
        })
    }

    /// When what failed may be asked for again, if that lies ahead.
    pub fn due_at(&self, now: Time) -> Option<Time> {
        let failed = self.0.values().filter(|held| held.failed.is_some());
        let due = failed.map(|held| held.not_before);
        due.filter(|due| *due > now).min()
    }

    /// Takes an answer.
    pub fn put(&mut self, purpose: Purpose, incident: IncidentId, recorded: Box<Recorded>) {
        let held = self.0.get_mut(&purpose);
        if let Some(held) = held.filter(|held| held.incident == incident) {
            held.in_flight = false;
            held.recorded = Some(recorded);
        }
    }

    /// Takes the failure of a request.
    pub fn fail(&mut self, purpose: Purpose, why: String) {
        if let Some(held) = self.0.get_mut(&purpose) {
            held.in_flight = false;
            held.failed = Some(why);
        }
    }

    /// Forgets what was asked for: the connection it was asked on is gone.
    pub fn reconnect(&mut self) {
        for held in self.0.values_mut() {
            held.in_flight = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_is_asked_for_once_until_it_has_moved_on() {
        let (mut records, id) = (Records::default(), IncidentId(7));
        let at = |s: i64| Time::from_secs(s);
        let mut ask = |from: i64, to: i64, now: i64| {
            let request = records.wanted(Purpose::Heat, id, (at(from), at(to)), at(now));
            let asked = request.is_some();
            if asked {
                records.put(Purpose::Heat, id, Box::default());
            }
            asked
        };
        assert!(ask(0, 3_000, 0));
        assert!(!ask(0, 3_000, 100), "it is there");
        assert!(!ask(50, 3_050, 100), "it moved by little");
        assert!(ask(200, 3_200, 100));
        assert!(!ask(900, 3_900, 101), "asked a moment ago");
        assert!(ask(900, 3_900, 106));
    }

    #[test]
    fn what_failed_is_asked_for_again_and_of_another_incident_nothing_is_shown() {
        let (mut records, now) = (Records::default(), Time::from_secs(100));
        let stretch = (Time::from_secs(0), Time::from_secs(60));
        let purpose = Purpose::Before(Back::Week);
        let (one, other) = (IncidentId(1), IncidentId(2));
        assert!(records.wanted(purpose, one, stretch, now).is_some());
        records.fail(purpose, "busy".to_owned());
        assert_eq!(records.failure(purpose, one), Some("busy"));
        let later = now.plus_ms(EVERY_MS);
        assert_eq!(records.due_at(now), Some(later), "the console wakes then");
        assert_eq!(records.due_at(later), None, "it is asked for at once");
        assert!(records.wanted(purpose, one, stretch, later).is_some());
        records.put(purpose, one, Box::default());
        assert!(records.get(purpose, one).is_some() && records.get(purpose, other).is_none());
        assert!(records.wanted(purpose, other, stretch, later).is_some());
        records.put(purpose, one, Box::default());
        assert!(
            records.get(purpose, other).is_none(),
            "the answer came too late"
        );
    }
}
