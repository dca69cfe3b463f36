//! One alert that two senders tell with labels that are not quite the same: a relay adds a team, drops a
//! receiver, words the severity its own way.
//!
//! Two are one if they come from different sources, began at about the same time, and agree in every label that
//! says what they are about. Labels that only describe may differ. Must never make one of two that one source
//! tells, and remembers a bounded number of alerts.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Alerts, Times};
use crate::engine::intake::SourceIx;
use crate::model::{Alert, Fingerprint, Labels, Time};

/// Labels that describe an alert, or who told of it, and say nothing of what it is about.
const DESCRIBES: [&str; 24] = [
    "alert_rule_uid",
    "alertmanager",
    "component",
    "dashboard",
    "datasource_uid",
    "dedup_key",
    "folder",
    "grafana_folder",
    "group",
    "incident_key",
    "integration",
    "level",
    "monitor",
    "owner",
    "priority",
    "prometheus",
    "prometheus_replica",
    "receiver",
    "ref_id",
    "replica",
    "runbook_url",
    "severity",
    "source",
    "team",
];
/// Alerts that began further apart than this are two, in milliseconds: relays are late by minutes.
const APART_MS: i64 = 10 * 60_000;
/// Things remembered that alerts are about; of more, alerts are not compared until others are over.
const KNOWN_MAX: usize = 50_000;
/// Alerts about the same that are looked at: one for each severity and source.
const ALIKE_MAX: usize = 16;

/// An alert that fires, by what it is about.
#[derive(Clone, Debug)]
struct Known {
    alert: Fingerprint,
    /// Who tells of it, the first one first.
    sources: Vec<SourceIx>,
    since: Time,
}

/// Alerts that are told twice.
#[derive(Debug, Default)]
pub struct Twins {
    /// By a hash of what they are about.
    about: BTreeMap<u64, Vec<Known>>,
    /// What another sender calls an alert.
    of: BTreeMap<Fingerprint, Fingerprint>,
    total: u64,
}

/// An alert is another one's twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    /// The alert it is.
    pub of: Fingerprint,
    /// Whether that was not known so far, and why they are one.
    pub news: Option<String>,
}

impl Twins {
    /// The alert that `told` is, if another source tells of that already.
    pub fn find(
        &mut self,
        told: &Alert,
        source: SourceIx,
        times: Times,
        now: Time,
        alerts: &Alerts,
    ) -> Option<Twin> {
        if let Some(of) = self.of.get(&told.fingerprint).copied() {
            // Its end may still be told after the other's, and is none of its own.
            if alerts.fires(of) || times.ends_at <= now {
                return Some(Twin { of, news: None });
            }
            self.of.remove(&told.fingerprint);
        }
        if times.ends_at <= now || alerts.get(told.fingerprint).is_some() {
            return None;
        }
        let about = about(&told.labels);
        let severity = |labels: &Labels| labels.get("severity").map(str::to_ascii_lowercase);
        let as_grave = |known: &Known| {
            let state = alerts.get(known.alert);
            state.is_some_and(|state| severity(&state.labels) == severity(&told.labels))
        };
        let known = self.about.get_mut(&about).into_iter().flatten();
        let mut alike: Vec<&mut Known> = known
            .filter(|known| alerts.fires(known.alert) && !known.sources.contains(&source))
            .filter(|known| times.onset.since(known.since).abs() <= APART_MS)
            .collect();
        // Of several that differ in how grave they are, the one that is as grave, or none.
        if alike.len() > 1 {
            alike.retain(|known| as_grave(known));
        }
        let Some(twin) = alike.into_iter().next() else {
            self.know(about, told.fingerprint, source, times.onset, alerts);
            return None;
        };
        twin.sources.push(source);
        let of = twin.alert;
        self.of.insert(told.fingerprint, of);
        self.total += 1;
        let other = alerts.get(of).map(|state| &state.labels);
        let news = other.map(|other| why(other, &told.labels));
        Some(Twin { of, news })
    }

    fn know(
        &mut self,
        about: u64,
        alert: Fingerprint,
        source: SourceIx,
        since: Time,
        alerts: &Alerts,
    ) {
        if self.about.len() >= KNOWN_MAX && !self.about.contains_key(&about) {
            return;
        }
        let of_it = self.about.entry(about).or_default();
        of_it.retain(|known| alerts.fires(known.alert) && known.alert != alert);
        if of_it.len() < ALIKE_MAX {
            of_it.push(Known {
                alert,
                sources: vec![source],
                since,
            });
        }
    }

    /// Forgets what does not fire any more; about once a minute.
    pub fn forget(&mut self, alerts: &Alerts) {
        self.about.retain(|_, of_it| {
            of_it.retain(|known| alerts.fires(known.alert));
            !of_it.is_empty()
        });
        self.of.retain(|_, of| alerts.get(*of).is_some());
    }

    /// Alerts that turned out to be told by another source already, since the start.
    pub fn total(&self) -> u64 {
        self.total
    }
}

/// What an alert is about, whoever tells of it.
fn about(labels: &Labels) -> u64 {
    let named = labels.iter().filter(|(name, _)| !describes(name));
    named.fold(0, |sum, (name, value)| {
        let sum = xxh3_64_with_seed(name.as_bytes(), sum);
        xxh3_64_with_seed(value.as_bytes(), sum)
    })
}

fn describes(name: &str) -> bool {
    name.starts_with("__") || DESCRIBES.binary_search(&name).is_ok()
}

/// Why two are one: in which labels they differ, if they do; a key may be another for the same labels.
fn why(other: &Labels, told: &Labels) -> String {
    let sides = [(other, told), (told, other)];
    let differ = sides.iter().flat_map(|(from, to)| {
        let names = from
            .iter()
            .filter(|(name, value)| to.get(name) != Some(*value));
        names.map(|(name, _)| name)
    });
    let mut differ: Vec<&str> = differ.collect();
    differ.sort_unstable();
    differ.dedup();
    if differ.is_empty() {
        return "as well".to_owned();
    }
    format!("as well: the same but for {}", differ.join(", "))
}

#[cfg(test)]
mod tests {
    use super::DESCRIBES;
    use crate::config::EngineConfig;
    use crate::engine::Engine;
    use crate::model::{Alert, Batch, Fingerprint, Input, Labels, Signal, SourceId, Stamped, Time};

    const NOON: Time = Time::from_secs(1_768_392_000);

    struct Desk {
        engine: Engine,
        now: Time,
    }

    impl Desk {
        fn new() -> Self {
            let engine = Engine::new(EngineConfig::default(), Vec::new());
            Self { engine, now: NOON }
        }

        /// A source tells of an alert, `name=value` separated by spaces.
        fn told(&mut self, source: &str, labels: &str, fires: bool) {
            let pairs = labels.split(' ').filter_map(|pair| pair.split_once('='));
            let labels = Labels::from_pairs(pairs).unwrap();
            let alert = Signal::Alert(Box::new(Alert {
                fingerprint: Fingerprint::of(&labels),
                labels,
                annotations: Labels::empty(),
                starts_at: self.now,
                ends_at: if fires {
                    self.now.plus_ms(3_600_000)
                } else {
                    self.now
                },
                generator_url: None,
            }));
            let (source, signals) = (SourceId::new(source), vec![alert]);
            self.step(Input::Signals(Batch { source, signals }));
        }

        fn step(&mut self, input: Input) {
            let at = self.now;
            let stamped = Stamped { seq: 1, at, input };
            self.engine.step(&stamped, &mut Vec::new());
            self.now = self.now.plus_ms(1_000);
        }

        fn firing(&self) -> u64 {
            self.engine.alerts.firing()
        }
    }

    #[test]
    fn the_names_are_in_order() {
        assert!(DESCRIBES.is_sorted());
    }

    #[test]
    fn what_two_sources_tell_alike_is_one_alert() {
        const FIRST: &str = "alertname=Slow service=cart severity=critical";
        let cases = [
            // Only what describes it differs.
            (
                "relay",
                "alertname=Slow service=cart severity=P1 team=shop",
                1,
            ),
            ("relay", "alertname=Slow service=cart", 1),
            // What it is about differs, or there is more of that.
            ("relay", "alertname=Slow service=pay severity=critical", 2),
            ("relay", "alertname=Slow service=cart instance=cart-1", 2),
            ("relay", "alertname=Down service=cart severity=critical", 2),
            ("relay", "alertname=Slow service=cart cluster=eu", 2),
            // One source means two by two.
            ("first", "alertname=Slow service=cart severity=warning", 2),
        ];
        for (source, labels, expected) in cases {
            let mut desk = Desk::new();
            desk.told("first", FIRST, true);
            desk.told(source, labels, true);
            assert_eq!(desk.firing(), expected, "{labels}");
        }
    }

    #[test]
    fn a_twin_is_counted_told_once_and_ends_with_the_alert() {
        let (first, second) = (
            "alertname=Slow service=cart",
            "alertname=Slow service=cart team=shop",
        );
        let mut desk = Desk::new();
        desk.told("first", first, true);
        desk.told("relay", second, true);
        desk.told("relay", second, true);
        desk.step(Input::Tick);
        let stages = desk.engine.stages();
        let mut rows = stages.iter().filter(|row| &*row.name == "one alert");
        assert_eq!(rows.next().map(|row| row.total), Some(1));
        let id = desk.engine.incident_rows().next().unwrap().id;
        let timeline = &desk.engine.incident(id).unwrap().timeline;
        let told = timeline.iter().filter(|entry| entry.text.contains("relay"));
        let told: Vec<&str> = told.map(|entry| &*entry.text).collect();
        assert_eq!(
            told,
            ["Slow is told by relay as well: the same but for team"]
        );
        desk.told("relay", second, false);
        assert_eq!(desk.firing(), 0);
        // Told again by the relay alone, it is an alert of its own.
        desk.told("relay", second, true);
        assert_eq!(desk.firing(), 1);
    }

    #[test]
    fn what_began_long_after_is_another_one() {
        let mut desk = Desk::new();
        desk.told("first", "alertname=Slow service=cart", true);
        desk.now = desk.now.plus_ms(20 * 60_000);
        desk.told("relay", "alertname=Slow service=cart team=shop", true);
        assert_eq!(desk.firing(), 2);
    }
}
