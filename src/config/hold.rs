//! What the team declared of alerts: maintenance windows, inhibition, and rules that make several one.

use std::fmt::Write as _;

use chrono::{NaiveTime, Weekday};
use chrono_tz::Tz;
use serde::{Deserialize, Serialize};

use crate::model::{LabelFilter, Time};

/// Days of the week as they are written.
const DAYS: [(&str, Weekday); 7] = [
    ("mon", Weekday::Mon),
    ("tue", Weekday::Tue),
    ("wed", Weekday::Wed),
    ("thu", Weekday::Thu),
    ("fri", Weekday::Fri),
    ("sat", Weekday::Sat),
    ("sun", Weekday::Sun),
];

/// A maintenance window, `[[maintenance]]`: once (`from`, `until`), or every week (`days`, `at`, `minutes`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaintenanceConfig {
    /// Its name, shown.
    pub name: String,
    /// Why, shown.
    pub reason: String,
    /// Matchers; all must fit.
    pub matchers: Vec<String>,
    /// When it opens, once, as RFC 3339.
    pub from: Option<String>,
    /// When it closes, once, as RFC 3339.
    pub until: Option<String>,
    /// Days of the week on which it opens; every day if none are given.
    pub days: Vec<String>,
    /// Time of day at which it opens, `HH:MM`.
    pub at: Option<String>,
    /// How long it is open.
    pub minutes: Option<u32>,
    /// Where that is the time of day.
    pub time_zone: String,
}

/// A rule of inhibition, `[[inhibit]]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct InhibitConfig {
    /// Its name, shown.
    pub name: String,
    /// Matchers of alerts that speak for others.
    pub source: Vec<String>,
    /// Matchers of alerts that need not be told while a source fires.
    pub target: Vec<String>,
    /// Labels in which both must agree.
    pub equal: Vec<String>,
}

/// A rule of correlation, `[[rules]]`: alerts of which the team knows that they are one incident.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuleConfig {
    /// Its name, shown.
    pub name: String,
    /// Matchers of the alerts it is about; all must fit.
    #[serde(rename = "match")]
    pub matchers: Vec<String>,
    /// Labels that must be there, and in which the alerts must agree.
    pub same: Vec<String>,
    /// How far apart their beginnings may be, in seconds.
    pub within_s: u32,
    /// Different entities on which one must have begun within that time; until then nothing is done.
    pub at_least: u32,
    /// Matchers of the alerts that come before them; none: no order is asked for.
    pub after: Vec<String>,
    /// Whether it is applied; `rules try` applies it all the same.
    pub enabled: bool,
}

/// When a window is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Once.
    Once {
        /// From then.
        from: Time,
        /// Until then.
        until: Time,
    },
    /// Every week.
    Weekly {
        /// On these days.
        days: Vec<Weekday>,
        /// At this time of day.
        at: NaiveTime,
        /// For so long.
        minutes: u32,
        /// Where.
        zone: Tz,
    },
}

impl Default for MaintenanceConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            reason: String::new(),
            matchers: Vec::new(),
            from: None,
            until: None,
            days: Vec::new(),
            at: None,
            minutes: None,
            time_zone: "UTC".to_owned(),
        }
    }
}

impl MaintenanceConfig {
    /// Its matchers, or what is wrong with them.
    pub fn matchers(&self) -> Result<Vec<LabelFilter>, String> {
        matchers("matchers", &self.matchers)
    }

    /// When it is open, or what is wrong with that.
    pub fn schedule(&self) -> Result<Schedule, String> {
        let is_weekly = !self.days.is_empty() || self.at.is_some() || self.minutes.is_some();
        match (&self.from, &self.until, &self.at, self.minutes) {
            (Some(from), Some(until), None, None) if !is_weekly => {
                let (from, until) = (instant("from", from)?, instant("until", until)?);
                if until <= from {
                    return Err("`until` is not after `from`".to_owned());
                }
                Ok(Schedule::Once { from, until })
            }
            (None, None, Some(at), Some(minutes)) => Ok(Schedule::Weekly {
                days: self.weekdays()?,
                at: NaiveTime::parse_from_str(at, "%H:%M")
                    .map_err(|_| format!("`at` is {at:?}: write a time of day, such as \"02:30\""))?,
                minutes,
                zone: self.time_zone.parse().map_err(|_| {
                    let zone = &self.time_zone;
                    format!("`time_zone` is {zone:?}: write one such as \"Europe/Berlin\"")
                })?,
            }),
            _ => Err(
                "give `from` and `until` for once, or `at` and `minutes`, and `days`, for every week"
                    .to_owned(),
            ),
        }
    }

    fn weekdays(&self) -> Result<Vec<Weekday>, String> {
        if self.days.is_empty() {
            return Ok(DAYS.iter().map(|(_, day)| *day).collect());
        }
        let each = self.days.iter().map(|word| {
            let found = DAYS.iter().find(|(name, _)| name == word);
            found.map(|(_, day)| *day).ok_or_else(|| {
                let known: Vec<&str> = DAYS.iter().map(|(name, _)| *name).collect();
                format!("`days` holds {word:?}: known are {}", known.join(", "))
            })
        });
        each.collect()
    }
}

impl Default for RuleConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            matchers: Vec::new(),
            same: Vec::new(),
            within_s: 300,
            at_least: 2,
            after: Vec::new(),
            enabled: true,
        }
    }
}

impl RuleConfig {
    /// Matchers of the alerts it is about, or what is wrong with them. Labels that must agree say enough
    /// by themselves.
    pub fn matchers(&self) -> Result<Vec<LabelFilter>, String> {
        let all = read("match", &self.matchers)?;
        if self.same.is_empty() && all.iter().all(LabelFilter::fits_nothing_said) {
            return Err(
                "`match` fits every alert: give a matcher that demands a value, or `same`"
                    .to_owned(),
            );
        }
        Ok(all)
    }

    /// What it says, in words.
    pub fn what(&self) -> String {
        let mut what = match &self.matchers[..] {
            [] => "all alerts".to_owned(),
            some => some.join(", "),
        };
        if !self.same.is_empty() {
            let _ = write!(what, " with the same {}", self.same.join(", "));
        }
        if !self.after.is_empty() {
            let _ = write!(what, ", after {}", self.after.join(", "));
        }
        let _ = match self.within_s {
            s if s.is_multiple_of(60) => write!(what, ", within {} min", s / 60),
            s => write!(what, ", within {s} s"),
        };
        if self.at_least > Self::default().at_least {
            let _ = write!(what, ", on {} entities or more", self.at_least);
        }
        what
    }

    /// Matchers of the alerts that come before, if an order is asked for, or what is wrong with them.
    pub fn leaders(&self) -> Result<Option<Vec<LabelFilter>>, String> {
        if self.after.is_empty() {
            return Ok(None);
        }
        matchers("after", &self.after).map(Some)
    }
}

impl InhibitConfig {
    /// Matchers of those that speak, or what is wrong with them.
    pub fn sources(&self) -> Result<Vec<LabelFilter>, String> {
        matchers("source", &self.source)
    }

    /// Matchers of those that need not be told, or what is wrong with them.
    pub fn targets(&self) -> Result<Vec<LabelFilter>, String> {
        if self.target.is_empty() {
            return Err("`target` is empty: give a matcher".to_owned());
        }
        read("target", &self.target)
    }
}

fn read(setting: &str, texts: &[String]) -> Result<Vec<LabelFilter>, String> {
    let mut all = Vec::new();
    for text in texts {
        let read = LabelFilter::parse_all(text).map_err(|why| format!("`{setting}`: {why}"))?;
        all.extend(read);
    }
    Ok(all)
}

/// The same, but not for everything.
fn matchers(setting: &str, texts: &[String]) -> Result<Vec<LabelFilter>, String> {
    let all = read(setting, texts)?;
    if all.iter().all(LabelFilter::fits_nothing_said) {
        return Err(format!(
            "`{setting}` fits every alert: give a matcher that demands a value"
        ));
    }
    Ok(all)
}

fn instant(setting: &str, text: &str) -> Result<Time, String> {
    Time::parse_rfc3339(text).ok_or_else(|| {
        format!("`{setting}` is {text:?}: write an instant such as \"2026-11-22T01:00:00+01:00\"")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weekly() -> MaintenanceConfig {
        MaintenanceConfig {
            name: "backup".to_owned(),
            matchers: vec!["service=db".to_owned()],
            days: vec!["sat".to_owned()],
            at: Some("02:00".to_owned()),
            minutes: Some(60),
            time_zone: "Europe/Berlin".to_owned(),
            ..MaintenanceConfig::default()
        }
    }

    #[test]
    fn what_is_wrong_with_a_rule_is_told() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let rule = |matchers: &[&str], same: &[&str], after: &[&str]| RuleConfig {
            matchers: texts(matchers),
            same: texts(same),
            after: texts(after),
            ..RuleConfig::default()
        };
        let all = Some("`match` fits every alert: give a matcher that demands a value, or `same`");
        let before = Some("`after` fits every alert: give a matcher that demands a value");
        let no_matcher = Some("`match`: \"disk\" is no matcher: it has no = or !=");
        let cases = [
            (rule(&["job=disk"], &[], &[]), None, None),
            (rule(&[], &["cluster"], &[]), None, None),
            (rule(&[], &[], &[]), all, None),
            (rule(&["job=~\".*\""], &[], &[]), all, None),
            (rule(&["disk"], &["cluster"], &[]), no_matcher, None),
            (rule(&["job=disk"], &[], &["job!=net"]), None, before),
            (rule(&["job=disk"], &[], &["job=net"]), None, None),
        ];
        for (rule, matchers, after) in cases {
            assert_eq!(rule.matchers().err().as_deref(), matchers, "{rule:?}");
            assert_eq!(rule.leaders().err().as_deref(), after, "{rule:?}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_window_is_told() {
        let text = |text: &str| Some(text.to_owned());
        let (from, until) = (text("2026-11-22T01:00:00Z"), text("2026-11-22T00:00:00Z"));
        let which =
            "give `from` and `until` for once, or `at` and `minutes`, and `days`, for every week";
        let cases = [
            (weekly(), None),
            (
                MaintenanceConfig {
                    at: None,
                    ..weekly()
                },
                Some(which),
            ),
            (
                MaintenanceConfig {
                    from: from.clone(),
                    until: until.clone(),
                    ..weekly()
                },
                Some(which),
            ),
            (
                MaintenanceConfig {
                    at: text("2 am"),
                    ..weekly()
                },
                Some("`at` is \"2 am\": write a time of day, such as \"02:30\""),
            ),
            (
                MaintenanceConfig {
                    time_zone: "Mars".to_owned(),
                    ..weekly()
                },
                Some("`time_zone` is \"Mars\": write one such as \"Europe/Berlin\""),
            ),
            (
                MaintenanceConfig {
                    days: vec!["Saturday".to_owned()],
                    ..weekly()
                },
                Some("`days` holds \"Saturday\": known are mon, tue, wed, thu, fri, sat, sun"),
            ),
            (
                MaintenanceConfig {
                    from,
                    until,
                    days: Vec::new(),
                    at: None,
                    minutes: None,
                    ..weekly()
                },
                Some("`until` is not after `from`"),
            ),
        ];
        for (config, why) in cases {
            assert_eq!(config.schedule().err().as_deref(), why, "{config:?}");
        }
        let everything = MaintenanceConfig {
            matchers: vec!["service=~\".*\"".to_owned()],
            ..weekly()
        };
        assert_eq!(
            everything.matchers(),
            Err("`matchers` fits every alert: give a matcher that demands a value".to_owned())
        );
    }
}
