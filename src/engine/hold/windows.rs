//! Maintenance windows of the config: once, or every week at a time of day somewhere.
//!
//! A window is open or not at a given time; nothing here remembers anything but what was said last.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveTime, TimeDelta, TimeZone, Utc, Weekday};
use chrono_tz::Tz;

use super::matching::{MatchIndex, all_fit};
use crate::config::{MaintenanceConfig, Schedule};
use crate::model::{LabelFilter, Labels, MaintenanceRow, Time};

/// A clock is put forward by at most this: a time of day that does not exist is this much later.
const PUT_FORWARD: TimeDelta = TimeDelta::hours(1);
/// The next opening of a weekly window is looked for this many days ahead.
const WEEK_DAYS: u64 = 8;
/// A minute, in milliseconds.
const MINUTE_MS: i64 = 60_000;
/// Minutes of a day.
const DAY_MINUTES: u64 = 24 * 60;

#[derive(Debug)]
struct Window {
    name: Box<str>,
    reason: Box<str>,
    matchers: Vec<LabelFilter>,
    schedule: Schedule,
    /// As of the last tick.
    is_open: bool,
    held_total: u64,
}

/// The windows, by their place in the config.
#[derive(Debug, Default)]
pub struct Windows {
    all: Vec<Window>,
    index: MatchIndex,
}

/// A window that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    /// Its place in the config.
    pub place: u16,
    /// Its name.
    pub name: &'a str,
    /// Why, as the config says.
    pub reason: &'a str,
    /// When it opened.
    pub from: Time,
    /// When it closes.
    pub until: Time,
}

impl Windows {
    /// The windows of the config; what `config::parse` would refuse is never open.
    pub fn new(config: &[MaintenanceConfig]) -> Self {
        let mut windows = Self::default();
        for window in config {
            let (Ok(matchers), Ok(schedule)) = (window.matchers(), window.schedule()) else {
                continue;
            };
            windows.index.add(windows.all.len() as u64, &matchers);
            windows.all.push(Window {
                name: window.name.as_str().into(),
                reason: window.reason.as_str().into(),
                matchers,
                schedule,
                is_open: false,
                held_total: 0,
            });
        }
        windows
    }

    /// The open window that covers `labels`, if one does: the one that closes last.
    pub fn covering(&self, labels: &Labels, now: Time) -> Option<Open<'_>> {
        self.index
            .candidates(labels)
            .filter_map(|place| Some((place, self.all.get(place as usize)?)))
            .filter(|(_, window)| all_fit(&window.matchers, labels))
            .filter_map(|(place, window)| {
                let (from, until) = open_at(&window.schedule, now)?;
                Some(Open {
                    place: place as u16,
                    name: &window.name,
                    reason: &window.reason,
                    from,
                    until,
                })
            })
            .max_by_key(|open| (open.until, open.place))
    }

    /// An alert is held back by a window.
    pub fn note_held(&mut self, place: u16) {
        if let Some(window) = self.all.get_mut(usize::from(place)) {
            window.held_total += 1;
        }
    }

    /// Windows that opened or closed since the last call, each with whether it is open now.
    pub fn tick(&mut self, now: Time) -> Vec<(u16, bool)> {
        let mut turned = Vec::new();
        for (place, window) in (0..).zip(&mut self.all) {
            let is_open = open_until(&window.schedule, now).is_some();
            if std::mem::replace(&mut window.is_open, is_open) != is_open {
                turned.push((place, is_open));
            }
        }
        turned
    }

    /// The matchers of a window.
    pub fn matchers(&self, place: u16) -> &[LabelFilter] {
        let window = self.all.get(usize::from(place));
        window.map_or(&[], |window| window.matchers.as_slice())
    }

    /// The name of a window.
    pub fn name(&self, place: u16) -> &str {
        let window = self.all.get(usize::from(place));
        window.map_or("", |window| &window.name)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// All windows, as rows.
    pub fn rows(&self, now: Time) -> Vec<MaintenanceRow> {
        let row = |window: &Window| MaintenanceRow {
            name: window.name.clone(),
            reason: window.reason.clone(),
            matchers: window.matchers.clone(),
            open_until: open_until(&window.schedule, now),
            next_opening: next_opening(&window.schedule, now),
            held_total: window.held_total,
        };
        self.all.iter().map(row).collect()
    }
}

/// When a schedule that is open closes; `None` when it is not open.
fn open_until(schedule: &Schedule, now: Time) -> Option<Time> {
    open_at(schedule, now).map(|(_, until)| until)
}

/// When a schedule that is open opened and closes.
fn open_at(schedule: &Schedule, now: Time) -> Option<(Time, Time)> {
    match schedule {
        Schedule::Once { from, until } => (*from <= now && now < *until).then_some((*from, *until)),
        Schedule::Weekly { minutes, .. } => {
            let back_days = u64::from(*minutes) / DAY_MINUTES + 1;
            openings(schedule, now, back_days, 0)
                .map(|start| (start, start.plus_ms(i64::from(*minutes) * MINUTE_MS)))
                .filter(|(start, end)| *start <= now && now < *end)
                .max_by_key(|(_, end)| *end)
        }
    }
}

/// When a schedule opens next; `None` when it never does again.
fn next_opening(schedule: &Schedule, now: Time) -> Option<Time> {
    match schedule {
        Schedule::Once { from, .. } => (*from > now).then_some(*from),
        Schedule::Weekly { .. } => openings(schedule, now, 0, WEEK_DAYS).find(|start| *start > now),
    }
}

/// Openings of a weekly schedule between days before and after the day of `now`, in order.
fn openings(
    schedule: &Schedule,
    now: Time,
    back_days: u64,
    ahead_days: u64,
) -> impl Iterator<Item = Time> {
    let (days, at, zone) = match schedule {
        Schedule::Weekly { days, at, zone, .. } => (days.as_slice(), *at, *zone),
        Schedule::Once { .. } => (&[] as &[Weekday], NaiveTime::MIN, Tz::UTC),
    };
    let today = now.to_utc().with_timezone(&zone).date_naive();
    let first = today
        .checked_sub_days(Days::new(back_days))
        .unwrap_or(today);
    first
        .iter_days()
        .take((back_days + ahead_days + 1) as usize)
        .filter(move |date| days.contains(&date.weekday()))
        .filter_map(move |date| instant(date, at, zone))
}

/// A time of day at a place; the first of two when the clock is put back, an hour later when it is put
/// forward over it.
fn instant(date: NaiveDate, at: NaiveTime, zone: Tz) -> Option<Time> {
    let local = date.and_time(at);
    let found: DateTime<Tz> = zone
        .from_local_datetime(&local)
        .earliest()
        .or_else(|| zone.from_local_datetime(&(local + PUT_FORWARD)).earliest())?;
    Some(Time::from_ms(found.with_timezone(&Utc).timestamp_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Time {
        Time::parse_rfc3339(text).unwrap()
    }

    fn weekly(days: &[&str], at: &str, minutes: u32, zone: &str) -> Schedule {
        let config = MaintenanceConfig {
            name: "w".to_owned(),
            matchers: vec!["a=b".to_owned()],
            days: days.iter().map(|day| (*day).to_owned()).collect(),
            at: Some(at.to_owned()),
            minutes: Some(minutes),
            time_zone: zone.to_owned(),
            ..MaintenanceConfig::default()
        };
        config.schedule().unwrap()
    }

    #[test]
    fn a_week_at_a_place() {
        // Saturday night in Berlin, past midnight; in winter UTC+1, in summer UTC+2.
        let night = weekly(&["sat"], "23:00", 180, "Europe/Berlin");
        let every_day = weekly(&[], "02:30", 60, "Europe/Berlin");
        let cases: [(&Schedule, &str, Option<&str>); 10] = [
            (&night, "2026-11-21T21:59:59Z", None),
            (&night, "2026-11-21T22:00:00Z", Some("2026-11-22T01:00:00Z")),
            (&night, "2026-11-22T00:59:59Z", Some("2026-11-22T01:00:00Z")),
            (&night, "2026-11-22T01:00:00Z", None),
            (&night, "2026-07-18T21:00:00Z", Some("2026-07-19T00:00:00Z")),
            (&night, "2026-07-19T21:30:00Z", None),
            (
                &every_day,
                "2026-11-20T01:45:00Z",
                Some("2026-11-20T02:30:00Z"),
            ),
            // The clock is put forward over 02:30: it opens at 03:30.
            (&every_day, "2026-03-29T00:45:00Z", None),
            (
                &every_day,
                "2026-03-29T01:45:00Z",
                Some("2026-03-29T02:30:00Z"),
            ),
            // The clock is put back, 02:30 comes twice: the first counts.
            (
                &every_day,
                "2026-10-25T00:45:00Z",
                Some("2026-10-25T01:30:00Z"),
            ),
        ];
        for (schedule, now, until) in cases {
            assert_eq!(open_until(schedule, time(now)), until.map(time), "{now}");
        }
        assert_eq!(
            next_opening(&night, time("2026-11-22T00:30:00Z")),
            Some(time("2026-11-28T22:00:00Z"))
        );
    }

    #[test]
    fn once_is_once() {
        let once = Schedule::Once {
            from: time("2026-11-22T01:00:00Z"),
            until: time("2026-11-22T03:00:00Z"),
        };
        let cases = [
            ("2026-11-22T00:59:59Z", None, Some("2026-11-22T01:00:00Z")),
            ("2026-11-22T01:00:00Z", Some("2026-11-22T03:00:00Z"), None),
            ("2026-11-22T03:00:00Z", None, None),
        ];
        for (now, until, next) in cases {
            let now = time(now);
            assert_eq!(open_until(&once, now), until.map(time), "{now}");
            assert_eq!(next_opening(&once, now), next.map(time), "{now}");
        }
    }

    #[test]
    fn long_windows_reach_over_days() {
        let weekend = weekly(&["fri"], "18:00", 3 * 24 * 60, "UTC");
        let until = Some(time("2026-11-23T18:00:00Z"));
        assert_eq!(open_until(&weekend, time("2026-11-23T17:59:00Z")), until);
        assert_eq!(open_until(&weekend, time("2026-11-23T18:00:00Z")), None);
    }

    #[test]
    fn turns_are_told_once() {
        let config = MaintenanceConfig {
            name: "backup".to_owned(),
            matchers: vec!["service=db".to_owned()],
            from: Some("2026-11-22T01:00:00Z".to_owned()),
            until: Some("2026-11-22T03:00:00Z".to_owned()),
            ..MaintenanceConfig::default()
        };
        let mut windows = Windows::new(&[config]);
        let labels = Labels::from_pairs([("service", "db")]).unwrap();
        assert_eq!(windows.tick(time("2026-11-22T00:00:00Z")), []);
        assert_eq!(windows.tick(time("2026-11-22T01:00:00Z")), [(0, true)]);
        assert_eq!(windows.tick(time("2026-11-22T02:00:00Z")), []);
        let open = windows
            .covering(&labels, time("2026-11-22T02:00:00Z"))
            .unwrap();
        assert_eq!(
            (open.name, open.until),
            ("backup", time("2026-11-22T03:00:00Z"))
        );
        assert_eq!(
            windows.covering(&Labels::empty(), time("2026-11-22T02:00:00Z")),
            None
        );
        assert_eq!(windows.tick(time("2026-11-22T03:00:00Z")), [(0, false)]);
    }
}
