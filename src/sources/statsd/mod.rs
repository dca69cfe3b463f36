//! StatsD and DogStatsD over UDP: put together here, handed over every few seconds.
//!
//! Counts become changes since the last time, timers their count, mean and 99th percentile. Events become
//! changes, service checks alerts. What does not fit into the bounded table is counted as rejected.

mod message;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use sketches_ddsketch::{Config, DDSketch};
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

use super::naming::{check_name, unit_by_name};
use super::rhythm::Gaps;
use super::secrets;
use super::udp::{ReadDatagram, Rejected};
use crate::model::{
    Alert, Change, ChangeKind, EntityId, EntityKind, Fingerprint, Labels, Sample, Series,
    SeriesKind, Signal, Time, Unit,
};
use message::{Check, Event, Kind, Message, Metric, Status, Tags};

/// Most metrics held between two times.
const METRICS_MAX: usize = 50_000;
/// Most different values of a set that are told apart.
const MEMBERS_MAX: usize = 10_000;
/// A metric that nobody sent so many times in a row is forgotten; until then a count of it is zero.
const IDLE_FLUSHES_MAX: u32 = 60;
/// After so many times the usual silence …
const UNHEARD_SILENCES: i64 = 3;
/// … and so long at least nobody sends anything any more, in milliseconds.
const UNHEARD_MS_MIN: i64 = 60_000;
/// A service check that is not repeated is over after this long, in milliseconds.
const CHECK_HOLD_MS: i64 = 10 * 60_000;
/// The quantile that is told of timers and histograms.
const QUANTILE: f64 = 0.99;
/// Observations from which on it is another one than the greatest.
const QUANTILE_COUNT_MIN: usize = 100;
/// Tags that say whose event it is, the closer first.
const SERVICE_TAGS: [&str; 3] = ["service", "service.name", "app"];

/// Puts together what datagrams say.
pub(super) struct Aggregator {
    flush_ms: i64,
    flushed_at: Option<Time>,
    /// When anybody sent anything last, and how long nobody does, usually.
    heard_at: Option<Time>,
    gaps: Gaps,
    /// By the hash of type, name and tags.
    held: BTreeMap<u128, Held>,
}

/// One metric with its tags.
struct Held {
    series: Vec<Arc<Series>>,
    value: Value,
    idle_flushes: u32,
    is_fresh: bool,
}

enum Value {
    Count(f64),
    Gauge(f64),
    /// What is told, and how many that stands for.
    Spread(Box<DDSketch>, f64),
    Set(BTreeSet<u64>),
}

impl Aggregator {
    pub(super) fn new(flush_s: u32) -> Self {
        Self {
            flush_ms: i64::from(flush_s) * 1_000,
            flushed_at: None,
            heard_at: None,
            gaps: Gaps::default(),
            held: BTreeMap::new(),
        }
    }

    fn take(&mut self, line: &str, now: Time, signals: &mut Vec<Signal>) -> Result<(), String> {
        match message::read(line)? {
            Message::Metric(metric) => self.add(&metric),
            Message::Event(event) => {
                signals.push(Signal::Change(Box::new(change(&event, now)?)));
                Ok(())
            }
            Message::Check(check) => {
                signals.push(Signal::Alert(Box::new(alert(&check, now)?)));
                Ok(())
            }
        }
    }

    fn hear(&mut self, now: Time) {
        if let Some(before) = self.heard_at.replace(now) {
            self.gaps.add(now.since(before));
        }
    }

    /// Whether anybody sends anything. While nobody does it is not known that nothing happened.
    fn is_heard(&self, now: Time) -> bool {
        let usual_ms = self.gaps.usual_ms().unwrap_or(0);
        let patience_ms = usual_ms.saturating_mul(UNHEARD_SILENCES);
        let silent_ms = self.heard_at.map(|heard| now.since(heard));
        silent_ms.is_some_and(|ms| ms <= patience_ms.max(UNHEARD_MS_MIN))
    }

    fn add(&mut self, metric: &Metric<'_>) -> Result<(), String> {
        let is_full = self.held.len() >= METRICS_MAX;
        // Nothing is held of a line that cannot be used.
        let values = numbers(metric)?;
        let held = match self.held.entry(key(metric)) {
            Entry::Occupied(held) => held.into_mut(),
            Entry::Vacant(_) if is_full => {
                let name = metric.name;
                return Err(format!(
                    "more than {METRICS_MAX} metrics: {name:?} is one too many"
                ));
            }
            Entry::Vacant(place) => place.insert(Held::new(metric)?),
        };
        held.is_fresh = true;
        held.idle_flushes = 0;
        held.value.add(metric, &values);
        Ok(())
    }
}

impl ReadDatagram for Aggregator {
    fn read(
        &mut self,
        datagram: &[u8],
        _peer: IpAddr,
        now: Time,
        signals: &mut Vec<Signal>,
    ) -> Result<(), Rejected> {
        let text = std::str::from_utf8(datagram);
        let text = text.map_err(|_| Rejected::whole("a datagram is not UTF-8"))?;
        let (mut refused, mut why_last) = (0, String::new());
        let mut is_heard = false;
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            // A line that cannot be read does not cost those beside it.
            match self.take(line, now, signals) {
                Ok(()) => is_heard = true,
                Err(why) => (refused, why_last) = (refused + 1, why),
            }
        }
        if is_heard {
            self.hear(now);
        }
        match refused {
            0 => Ok(()),
            count => Err(Rejected {
                count,
                why: why_last,
                is_part: is_heard,
            }),
        }
    }

    fn tick(&mut self, now: Time) -> Vec<Signal> {
        let flushed_at = *self.flushed_at.get_or_insert(now);
        if now.since(flushed_at) < self.flush_ms {
            return Vec::new();
        }
        self.flushed_at = Some(now);
        let is_heard = self.is_heard(now);
        let mut signals = Vec::new();
        self.held.retain(|_, held| {
            held.flush(now, is_heard, &mut signals);
            held.idle_flushes += u32::from(!std::mem::take(&mut held.is_fresh));
            held.idle_flushes <= IDLE_FLUSHES_MAX
        });
        signals
    }
}

impl Held {
    fn new(metric: &Metric<'_>) -> Result<Self, String> {
        let labels = Labels::from_pairs(metric.tags.iter().copied()).map_err(|e| e.to_string())?;
        let name = metric.name;
        check_name(name)?;
        let unit = match metric.kind {
            Kind::Time => Unit::Milliseconds,
            _ => unit_by_name(name),
        };
        let series = |suffix: &str, kind, unit| {
            Arc::new(secrets::series(
                &format!("{name}{suffix}"),
                labels.clone(),
                kind,
                unit,
            ))
        };
        let (series, value) = match metric.kind {
            Kind::Count => (vec![series("", SeriesKind::Delta, unit)], Value::Count(0.0)),
            Kind::Gauge => (vec![series("", SeriesKind::Gauge, unit)], Value::Gauge(0.0)),
            Kind::Set => {
                let set = Value::Set(BTreeSet::new());
                (vec![series("", SeriesKind::Gauge, Unit::None)], set)
            }
            Kind::Time | Kind::Histogram => (
                vec![
                    series("_count", SeriesKind::Delta, Unit::None),
                    series("_mean", SeriesKind::Gauge, unit),
                    series("_p99", SeriesKind::Gauge, unit),
                ],
                Value::spread(),
            ),
        };
        Ok(Self {
            series,
            value,
            idle_flushes: 0,
            is_fresh: false,
        })
    }

    /// Tells what came since the last time. A count that did not is zero, if anybody is heard; others are left out.
    fn flush(&mut self, at: Time, is_heard: bool, signals: &mut Vec<Signal>) {
        let values = match &mut self.value {
            Value::Count(_) if !self.is_fresh && !is_heard => Vec::new(),
            Value::Count(count) => vec![std::mem::take(count)],
            _ if !self.is_fresh => Vec::new(),
            Value::Gauge(value) => vec![*value],
            Value::Set(members) => vec![std::mem::take(members).len() as f64],
            Value::Spread(sketch, count) => {
                let mean = sketch.sum().unwrap_or(0.0) / sketch.count().max(1) as f64;
                // Of fewer than a hundred, it is the greatest.
                let p99 = if sketch.count() < QUANTILE_COUNT_MIN {
                    sketch.max()
                } else {
                    sketch.quantile(QUANTILE).ok().flatten()
                };
                let p99 = p99.unwrap_or(mean);
                let told = vec![*count, mean, p99];
                self.value = Value::spread();
                told
            }
        };
        signals.extend(self.series.iter().zip(values).map(|(series, value)| {
            let series = Arc::clone(series);
            Signal::Sample(Sample { series, at, value })
        }));
    }
}

impl Value {
    fn spread() -> Self {
        Self::Spread(Box::new(DDSketch::new(Config::defaults())), 0.0)
    }

    fn add(&mut self, metric: &Metric<'_>, values: &[f64]) {
        match self {
            Self::Count(count) => *count += values.iter().sum::<f64>() / metric.rate,
            Self::Gauge(held) => {
                for (text, value) in metric.values.iter().zip(values) {
                    let is_change = text.starts_with(['+', '-']);
                    *held = if is_change { *held + value } else { *value };
                }
            }
            Self::Set(members) => {
                for member in metric
                    .values
                    .iter()
                    .take(MEMBERS_MAX.saturating_sub(members.len()))
                {
                    members.insert(xxh3_64(member.as_bytes()));
                }
            }
            Self::Spread(sketch, count) => {
                for value in values {
                    sketch.add(*value);
                }
                *count += values.len() as f64 / metric.rate;
            }
        }
    }
}

/// The numbers of a metric; none of a set, whose members may be anything.
fn numbers(metric: &Metric<'_>) -> Result<Vec<f64>, String> {
    if metric.kind == Kind::Set {
        return Ok(Vec::new());
    }
    let numbers = metric.values.iter().map(|text| {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| format!("value {text:?} is no number"))
    });
    numbers.collect()
}

fn key(metric: &Metric<'_>) -> u128 {
    let mut bytes = vec![metric.kind as u8];
    bytes.extend_from_slice(metric.name.as_bytes());
    for (name, value) in &metric.tags {
        for part in [name, value] {
            bytes.push(0);
            bytes.extend_from_slice(part.as_bytes());
        }
    }
    xxh3_128(&bytes)
}

fn time(at_s: Option<i64>, now: Time) -> Time {
    at_s.map_or(now, |at_s| Time::from_ms(at_s.saturating_mul(1_000)))
}

/// Whose event it is: the service, else the host, by its tags.
fn entity(tags: &Tags<'_>) -> Result<EntityId, String> {
    let tag = |name: &str| tags.iter().find(|(n, v)| *n == name && !v.is_empty());
    let service = SERVICE_TAGS.iter().find_map(|name| tag(name));
    if let Some((_, service)) = service {
        return Ok(EntityId::new(EntityKind::Service, service));
    }
    let (_, host) = tag("host").ok_or("an event needs a tag `service` or `host`")?;
    Ok(EntityId::new(EntityKind::Host, host))
}

/// An event is something that somebody did or saw: a change, until more is known.
fn change(event: &Event<'_>, now: Time) -> Result<Change, String> {
    let at = time(event.at_s, now);
    let content = format!(
        "{}\u{1f}{}\u{1f}{}",
        event.title,
        event.text,
        at.ms() / 60_000
    );
    Ok(Change {
        id: format!("statsd-{:016x}", xxh3_64(content.as_bytes())).into(),
        at,
        kind: ChangeKind::Other,
        entity: entity(&event.tags)?,
        title: event.title.into(),
        version: event
            .tags
            .iter()
            .find(|(n, _)| *n == "version")
            .map(|(_, v)| (*v).into()),
        previous_version: None,
        by: None,
        labels: Labels::from_pairs(event.tags.iter().copied()).map_err(|e| e.to_string())?,
    })
}

/// A service check that is not well is an alert, for as long as it is repeated.
fn alert(check: &Check<'_>, now: Time) -> Result<Alert, String> {
    let identity = [("alertname", check.name)]
        .into_iter()
        .chain(check.tags.iter().copied());
    let identity = Labels::from_pairs(identity).map_err(|e| e.to_string())?;
    let severity = match check.status {
        Status::Critical => "critical",
        Status::Ok | Status::Warning | Status::Unknown => "warning",
    };
    let labels = identity.iter().chain([("severity", severity)]);
    let at = time(check.at_s, now);
    let ends_at = match check.status {
        Status::Ok => now,
        Status::Warning | Status::Critical | Status::Unknown => now.plus_ms(CHECK_HOLD_MS),
    };
    let annotations = Labels::from_pairs([("summary", check.text)]).map_err(|e| e.to_string())?;
    Ok(Alert {
        fingerprint: Fingerprint::of(&identity),
        labels: Labels::from_pairs(labels).map_err(|e| e.to_string())?,
        annotations,
        starts_at: at.min(ends_at),
        ends_at,
        generator_url: None,
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn read(aggregator: &mut Aggregator, text: &str) -> (Vec<Signal>, Result<(), Rejected>) {
        let mut signals = Vec::new();
        let read = aggregator.read(text.as_bytes(), PEER, Time::from_secs(100), &mut signals);
        (signals, read)
    }

    /// What is told at a time: name, how it accumulates, value.
    fn told(aggregator: &mut Aggregator, at_s: i64) -> Vec<(String, SeriesKind, f64)> {
        let signals = aggregator.tick(Time::from_secs(at_s)).into_iter();
        let mut told: Vec<_> = signals
            .map(|signal| match signal {
                Signal::Sample(s) => {
                    let tags: Vec<_> = s
                        .series
                        .labels
                        .iter()
                        .map(|(n, v)| format!("{n}={v}"))
                        .collect();
                    let name = format!("{}{}", s.series.name, tags.join(","));
                    (name, s.series.kind, (s.value * 100.0).round() / 100.0)
                }
                other => panic!("not a sample: {other:?}"),
            })
            .collect();
        told.sort_by(|a, b| a.0.cmp(&b.0));
        told
    }

    #[test]
    fn metrics_are_put_together_and_told_in_time() {
        let mut aggregator = Aggregator::new(10);
        assert_eq!(told(&mut aggregator, 100), []);
        let text = "hits:1|c|#env:a\nhits:2|c|@0.5|#env:a\nhits:1|c\nfuel:10|g\nfuel:-4|g\nfuel:+1|g\n\
                    wait:10:20:30|ms|@0.1\nwho:a|s\nwho:b|s\nwho:a|s\n";
        assert_eq!(read(&mut aggregator, text), (vec![], Ok(())));
        assert_eq!(told(&mut aggregator, 109), [], "not yet");
        let first = told(&mut aggregator, 110);
        let p99 = first
            .iter()
            .find(|(name, ..)| name == "wait_p99")
            .expect("it is told")
            .2;
        assert!((p99 - 30.0).abs() < 0.7, "{p99}");
        let (delta, gauge) = (SeriesKind::Delta, SeriesKind::Gauge);
        let expected = [
            ("fuel", gauge, 7.0),
            ("hits", delta, 1.0),
            ("hitsenv=a", delta, 5.0),
            ("wait_count", delta, 30.0),
            ("wait_mean", gauge, 20.0),
            ("wait_p99", gauge, p99),
            ("who", gauge, 2.0),
        ];
        let expected = expected.map(|(name, kind, value)| (name.to_owned(), kind, value));
        assert_eq!(first, expected);
        // Silence is no hits; of the others nothing is known.
        let idle = [("hits", delta, 0.0), ("hitsenv=a", delta, 0.0)];
        let idle = idle.map(|(name, kind, value)| (name.to_owned(), kind, value));
        assert_eq!(told(&mut aggregator, 120), idle);
        for n in 0..=i64::from(IDLE_FLUSHES_MAX) {
            told(&mut aggregator, 130 + 10 * n);
        }
        assert_eq!(aggregator.held.len(), 0, "forgotten");
    }

    #[test]
    fn while_nobody_is_heard_it_is_not_known_that_nothing_happened() {
        let mut aggregator = Aggregator::new(10);
        let send = |aggregator: &mut Aggregator, at_s: i64| {
            let (peer, mut signals) = (IpAddr::from([127, 0, 0, 1]), Vec::new());
            let now = Time::from_secs(at_s);
            let read = aggregator.read(b"hits:1|c", peer, now, &mut signals);
            assert_eq!(read, Ok(()));
        };
        told(&mut aggregator, 0);
        (0..30).for_each(|n| send(&mut aggregator, 10 * n));
        // Whether anything is told at each time, so many seconds after the last datagram.
        let mut tells = |after_s: i64| !told(&mut aggregator, 290 + after_s).is_empty();
        let after = [10, 60, 70, 200].map(&mut tells);
        assert_eq!(after, [true, true, false, false]);
        send(&mut aggregator, 500);
        assert_eq!(
            told(&mut aggregator, 510).len(),
            1,
            "somebody is heard again"
        );
        // One that is usually silent for three minutes is heard for three times as long.
        let mut rare = Aggregator::new(10);
        told(&mut rare, 0);
        (0..30).for_each(|n| send(&mut rare, 180 * n));
        let mut tells = |after_s: i64| !told(&mut rare, 180 * 29 + after_s).is_empty();
        let after = [10, 60, 500, 800].map(&mut tells);
        assert_eq!(after, [true, true, true, false]);
    }

    #[test]
    fn a_bad_line_does_not_cost_those_beside_it() {
        let mut aggregator = Aggregator::new(1);
        let (_, read) = read(&mut aggregator, "a:1|c\nb:|c\nb:x|c\nc:1|c\n");
        let why = "value \"x\" is no number".to_owned();
        let (count, is_part) = (2, true);
        let rejected = Rejected {
            count,
            why,
            is_part,
        };
        assert_eq!(read, Err(rejected), "each is counted");
        told(&mut aggregator, 1);
        assert_eq!(told(&mut aggregator, 2).len(), 2);
    }

    #[test]
    fn the_table_is_bounded() {
        let mut aggregator = Aggregator::new(1);
        for n in 0..METRICS_MAX {
            let (_, taken) = read(&mut aggregator, &format!("m{n}:1|c"));
            assert_eq!(taken, Ok(()));
        }
        let (_, refused) = read(&mut aggregator, "more:1|c");
        assert!(refused.is_err_and(|rejected| rejected.why.contains("\"more\" is one too many")));
        assert_eq!(read(&mut aggregator, "m7:1|c").1, Ok(()));
    }

    #[test]
    fn events_are_changes_and_service_checks_alerts() {
        let mut aggregator = Aggregator::new(1);
        let (signals, read_all) = read(
            &mut aggregator,
            "_e{6,4}:deploy|v812|d:90|#service:cart,version:v812\n_sc|redis|2|#host:n1|m:refused\n_sc|redis|0|#host:n1\n",
        );
        assert_eq!(read_all, Ok(()));
        match signals.as_slice() {
            [
                Signal::Change(change),
                Signal::Alert(begun),
                Signal::Alert(over),
            ] => {
                let now = Time::from_secs(100);
                assert_eq!(change.entity, EntityId::parse("service/cart"));
                assert_eq!(
                    (change.at, change.version.as_deref()),
                    (Time::from_secs(90), Some("v812"))
                );
                assert_eq!(begun.fingerprint, over.fingerprint);
                assert_eq!(begun.labels.get("severity"), Some("critical"));
                assert_eq!((begun.is_firing(now), over.is_firing(now)), (true, false));
            }
            other => panic!("not a change and two alerts: {other:?}"),
        }
        let (_, ownerless) = read(&mut aggregator, "_e{1,1}:a|b");
        assert_eq!(
            ownerless,
            Err(Rejected::whole("an event needs a tag `service` or `host`"))
        );
    }
}
