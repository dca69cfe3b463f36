//! One alert that two senders tell with labels that are not quite the same: a relay adds a team, drops a
//! receiver, words the severity its own way.
//!
//! Two are one if they come from different sources, began at about the same time, and agree in every label that
//! says what they are about. Labels that only describe may differ, but not in how grave they are. One is over when
//! the last of those who tell of it says so. Must never make one of two that one source tells, and remembers a
//! bounded number of alerts.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{Alerts, Times, severity_told};
use crate::engine::intake::SourceIx;
use crate::engine::set_back::SetBack;
use crate::model::{Alert, Fingerprint, Labels, Time};

/// Labels that describe an alert, or who told of it, and say nothing of what it is about.
const DESCRIBES: [&str; 20] = [
    "alert_rule_uid",
    "alertmanager",
    "dashboard",
    "datasource_uid",
    "dedup_key",
    "folder",
    "grafana_folder",
    "incident_key",
    "integration",
    "level",
    "owner",
    "priority",
    "prometheus",
    "prometheus_replica",
    "receiver",
    "ref_id",
    "replica",
    "runbook_url",
    "severity",
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
    /// Who said that an alert is over that another goes on to tell of.
    left: BTreeSet<(Fingerprint, SourceIx)>,
    total: u64,
}

/// An alert is another one's twin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twin {
    /// The alert it is.
    pub of: Fingerprint,
    /// What is to be told of that.
    pub news: News,
}

/// What is new about an alert that several sources tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    None,
    /// That it is told by another as well, and why it is the same.
    Joined(String),
    /// One says that it is over, for the first time or again, while another goes on: it is not.
    Left {
        /// Whether it said so before.
        again: bool,
    },
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
        let is_end = times.ends_at <= now;
        if let Some(of) = self.of.get(&told.fingerprint).copied() {
            // Its end may still be told after the other's, and is none of its own.
            if is_end {
                let news = self.leave(of, told, source, alerts);
                return Some(Twin { of, news });
            }
            if alerts.fires(of) {
                self.come_back(of, told, source);
                let news = News::None;
                return Some(Twin { of, news });
            }
            self.of.remove(&told.fingerprint);
        }
        if is_end {
            let of = told.fingerprint;
            let news = self.leave(of, told, source, alerts);
            return (news != News::None).then_some(Twin { of, news });
        }
        if alerts.fires(told.fingerprint) {
            self.come_back(told.fingerprint, told, source);
            return None;
        }
        let about = about(&told.labels);
        let is_as_grave = |known: &Known| {
            let held = alerts.get(known.alert);
            let held = held.and_then(|held| severity_told(&held.labels));
            let told = severity_told(&told.labels);
            held.zip(told).is_none_or(|(held, told)| held == told)
        };
        let known = self.about.get_mut(&about).into_iter().flatten();
        let mut alike: Vec<&mut Known> = known
            .filter(|known| alerts.fires(known.alert) && !known.sources.contains(&source))
            .filter(|known| times.onset.since(known.since).abs() <= APART_MS)
            .filter(|known| is_as_grave(known))
            .collect();
        // Of several that differ in how grave they are, one that says nothing of that is none.
        if alike.len() > 1 && severity_told(&told.labels).is_none() {
            alike.clear();
        }
        let Some(twin) = alike.into_iter().next() else {
            self.know(about, told.fingerprint, Some(source), times.onset, alerts);
            return None;
        };
        twin.sources.push(source);
        let of = twin.alert;
        self.of.insert(told.fingerprint, of);
        self.total += 1;
        let other = alerts.get(of).map(|state| &state.labels);
        let news = other.map_or(News::None, |other| News::Joined(why(other, &told.labels)));
        Some(Twin { of, news })
    }

    /// A source says that an alert is over; whether another goes on to tell of it.
    fn leave(&mut self, of: Fingerprint, told: &Alert, source: SourceIx, alerts: &Alerts) -> News {
        let Some(known) = self.known(of, told) else {
            return News::None;
        };
        let told_by = known.sources.len();
        known.sources.retain(|known| *known != source);
        let (is_told_on, has_left) = (!known.sources.is_empty(), known.sources.len() < told_by);
        let again = self.left.contains(&(of, source));
        if !(is_told_on && (has_left || again) && alerts.fires(of)) {
            return News::None;
        }
        self.left.insert((of, source));
        News::Left { again }
    }

    /// A source that said that an alert is over tells of it again.
    fn come_back(&mut self, of: Fingerprint, told: &Alert, source: SourceIx) {
        // Resends of what fires are most of what comes.
        if self.left.is_empty() || !self.left.remove(&(of, source)) {
            return;
        }
        if let Some(known) = self.known(of, told) {
            known.sources.push(source);
        }
    }

    /// What is known of an alert that is told with these labels, or with those of its twin.
    fn known(&mut self, alert: Fingerprint, told: &Alert) -> Option<&mut Known> {
        let of_it = self.about.get_mut(&about(&told.labels))?;
        of_it.iter_mut().find(|known| known.alert == alert)
    }

    /// Knows an alert again that fired before a restart, by whoever told of it last.
    pub fn know_again(
        &mut self,
        alert: &Alert,
        source: Option<SourceIx>,
        since: Time,
        alerts: &Alerts,
    ) {
        let about = about(&alert.labels);
        self.know(about, alert.fingerprint, source, since, alerts);
    }

    fn know(
        &mut self,
        about: u64,
        alert: Fingerprint,
        source: Option<SourceIx>,
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
                sources: source.into_iter().collect(),
                since,
            });
        }
    }

    /// Forgets what does not fire any more; every ten minutes.
    pub fn forget(&mut self, alerts: &Alerts) {
        self.about.retain(|_, of_it| {
            of_it.retain(|known| alerts.fires(known.alert));
            !of_it.is_empty()
        });
        self.of.retain(|_, of| alerts.get(*of).is_some());
        self.left.retain(|(of, _)| alerts.fires(*of));
    }

    /// Alerts that turned out to be told by another source already, since the start.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        for known in self.about.values_mut().flatten() {
            back.past(&mut known.since);
        }
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
            // How grave it is differs, or what it is about, or there is more of that.
            ("relay", "alertname=Slow service=cart severity=warning", 2),
            ("relay", "alertname=Slow service=cart component=api", 2),
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
    fn a_twin_is_counted_told_once_and_ends_with_the_last_who_tells_of_it() {
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
        assert_eq!(desk.firing(), 1, "the first goes on");
        desk.told("first", first, false);
        assert_eq!(desk.firing(), 0);
        // The other way round, and each end told twice.
        desk.told("first", first, true);
        desk.told("relay", second, true);
        assert_eq!(desk.firing(), 1, "it came again, and so did its twin");
        desk.told("first", first, false);
        desk.told("first", first, false);
        assert_eq!(desk.firing(), 1, "the relay goes on");
        desk.told("first", first, true);
        desk.told("relay", second, false);
        assert_eq!(desk.firing(), 1, "the first tells of it again");
        desk.told("first", first, false);
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
