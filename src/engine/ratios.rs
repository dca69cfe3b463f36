//! What share of requests fails, from counters: failures against all, matched by name.
//!
//! `http_request_errors_total` counts a part of what `http_requests_total` counts, and so does the series
//! of it with `code="500"`. A share says what neither rate does: that fewer requests come and as many
//! fail, and that more fail because more come. Judged in windows of ten seconds by a Chernoff bound
//! with the overdispersion learned, and summed up as for a series. An odd window teaches nothing; after
//! hours it is accepted.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::detect::{HOLD_MS_MAX, joint};
use super::diagnose::words;
use super::entities::EntityIx;
use super::explain;
use super::findings::{Key, Observation};
use super::intake::{Reading, SeriesIx};
use super::logs::chernoff;
use super::roles;
use super::set_back::SetBack;
use crate::model::{Band, Check, Direction, MetricRole, Time, Unit};

/// Width of a window, in milliseconds.
const WINDOW_MS: i64 = 10_000;
/// Windows with requests before a share is judged.
const WARM_UP_WINDOWS: u32 = 60;
/// Weight of a window in what is usual: an hour of windows.
const WEIGHT_MIN: f64 = 0.002;
/// A share this many times the usual one …
const RATIO_MIN: f64 = 2.0;
/// … and at least this large is odd.
const SHARE_MIN: f64 = 0.01;
/// −log10 of the chance of a window, at most: one window alone opens nothing.
const SURPRISE_MAX: f64 = 4.0;
/// Taken off the sum of surprises for each window; an ordinary one adds less.
const SURPRISE_USUAL: f64 = 1.0;
/// Sum of surprises from which on it is told, as for a series.
const EVIDENCE_MIN: f64 = 6.0;
/// The sum does not grow beyond this.
const EVIDENCE_MAX: f64 = 12.0;
/// Windows in a row as usual that end it.
const CALM_WINDOWS: u32 = 3;
/// Most families; what comes after is judged by its rates alone.
const FAMILIES_MAX: usize = 20_000;
/// Words of a name that say that something failed.
const FAILURE_WORDS: [&str; 14] = [
    "error",
    "fail",
    "failed",
    "failure",
    "exception",
    "5xx",
    "timeout",
    "aborted",
    "rejected",
    "refused",
    "dropped",
    "lost",
    "panic",
    "unsuccessful",
];

/// What a counter counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    /// Requests, whatever became of them.
    All,
    /// Failures that are counted among all elsewhere.
    Failures,
    /// Failures that are a part of all: the series of a status code.
    Both,
}

/// What a series feeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Feed {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// No family.
    Nothing,
    /// A family, with what it counts.
    Family(u32, Part),
}

/// Counters of one kind of request on one entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Family {
    entity: EntityIx,
    stem: Box<str>,
    /// What people call it: the name of the first series without the words of failure.
    name: Box<str>,
    /// Series that feed it; not kept, they say so again.
    #[serde(skip)]
    feeds: u32,
    calls: f64,
    failures: f64,
    share: f64,
    /// How much more failures vary than chance.
    spread: f64,
    windows: u32,
    /// Cumulative sum of surprises (Page 1954).
    evidence: f64,
    /// Since when the sum is not nought.
    rising: Time,
    calm: u32,
    /// Since when it is odd.
    since: Option<Time>,
}

/// Families of counters, and which series feeds which.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Ratios {
    families: BTreeMap<u32, Family>,
    /// Not kept, made of the families.
    #[serde(skip)]
    index: BTreeMap<(EntityIx, Box<str>), u32>,
    /// By place of the series; not kept, told from their names again.
    #[serde(skip)]
    feeds: Vec<Feed>,
    next_id: u32,
    /// Series for whose kind of request there was no room, each time it was looked for.
    #[serde(skip)]
    refused: u64,
    window_end: Time,
}

/// What a window said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Judged {
    Usual,
    Odd { share: f64, high: f64, score: f64 },
    Over,
    Accepted,
}

impl Family {
    fn new(entity: EntityIx, stem: Box<str>, name: Box<str>) -> Self {
        Self {
            entity,
            stem,
            name,
            feeds: 0,
            calls: 0.0,
            failures: 0.0,
            share: 0.0,
            spread: 1.0,
            windows: 0,
            evidence: 0.0,
            rising: Time::ZERO,
            calm: 0,
            since: None,
        }
    }

    /// Judges the window that ends at `at`, then learns it unless it is odd.
    fn judge(&mut self, at: Time) -> Judged {
        let calls = std::mem::take(&mut self.calls);
        // A scrape may catch a failure before its request is counted.
        let failures = std::mem::take(&mut self.failures).min(calls);
        if calls < 1.0 {
            // Nobody asks any more, so that nothing fails: what was told ends.
            return match self.since {
                Some(_) => self.turn(at, 0.0, Judged::Usual),
                None => Judged::Usual,
            };
        }
        let expected = calls * self.share + 0.5;
        let share = failures / calls;
        let is_more = share >= SHARE_MIN.max(RATIO_MIN * self.share);
        let surprise = if is_more && self.windows >= WARM_UP_WINDOWS {
            chernoff(failures, expected, expected * self.spread).min(SURPRISE_MAX)
        } else {
            0.0
        };
        if self.evidence <= 0.0 {
            self.rising = at.plus_ms(-WINDOW_MS);
        }
        self.evidence = (self.evidence + surprise - SURPRISE_USUAL).clamp(0.0, EVIDENCE_MAX);
        let high = (expected + 3.0 * (expected * self.spread).sqrt()) / calls;
        if self.evidence <= 0.0 && self.since.is_none() {
            self.learn(share, failures, expected);
        }
        let (high, score) = (high.min(1.0), self.evidence);
        self.turn(at, surprise, Judged::Odd { share, high, score })
    }

    /// Opens, goes on, ends: the one place where that is decided.
    fn turn(&mut self, at: Time, surprise: f64, odd: Judged) -> Judged {
        let Some(since) = self.since else {
            if self.evidence < EVIDENCE_MIN {
                return Judged::Usual;
            }
            self.since = Some(self.rising);
            return odd;
        };
        if surprise >= SURPRISE_USUAL {
            self.calm = 0;
            if at.since(since) < HOLD_MS_MAX {
                return odd;
            }
            let fresh = Self::new(self.entity, self.stem.clone(), self.name.clone());
            *self = Self {
                feeds: self.feeds,
                ..fresh
            };
            return Judged::Accepted;
        }
        self.calm += 1;
        if self.calm < CALM_WINDOWS {
            return Judged::Usual;
        }
        (self.since, self.calm, self.evidence) = (None, 0, 0.0);
        Judged::Over
    }

    fn learn(&mut self, share: f64, failures: f64, expected: f64) {
        self.windows = self.windows.saturating_add(1);
        let weight = (1.0 / f64::from(self.windows)).max(WEIGHT_MIN);
        let surprise = (failures - expected).powi(2) / expected;
        // A window teaches little when it is far out, as with every baseline.
        let taught = share.min(2.0 * self.share + 0.05);
        self.share += weight * (taught - self.share);
        self.spread = (self.spread + weight * (surprise.min(16.0) - self.spread)).max(1.0);
    }
}

impl Ratios {
    /// Adds what a counter grew by.
    fn count(&mut self, feed: Feed, requests: f64) {
        let Feed::Family(id, part) = feed else { return };
        let Some(family) = self.families.get_mut(&id) else {
            return;
        };
        if part != Part::Failures {
            family.calls += requests;
        }
        if part != Part::All {
            family.failures += requests;
        }
    }

    fn feed(&self, series: SeriesIx) -> Feed {
        self.feeds
            .get(series.0 as usize)
            .copied()
            .unwrap_or_default()
    }

    /// Notes what a series feeds: a family, or nothing. Where there is no room for another family it is
    /// counted as refused, and asked again when room returns.
    fn add(&mut self, series: SeriesIx, entity: EntityIx, counts: Option<(&str, Part)>) -> Feed {
        let feed = match counts {
            None => Feed::Nothing,
            Some((name, part)) => match self.family(entity, name) {
                Some(id) => Feed::Family(id, part),
                None => Feed::Unknown,
            },
        };
        let place = series.0 as usize;
        if self.feeds.len() <= place {
            self.feeds.resize(place + 1, Feed::Unknown);
        }
        self.feeds[place] = feed;
        feed
    }

    /// The family of a kind of request on an entity, fed by one series more.
    fn family(&mut self, entity: EntityIx, name: &str) -> Option<u32> {
        let key = (entity, stem_of(name));
        let id = match self.index.get(&key) {
            Some(id) => *id,
            None if self.families.len() >= FAMILIES_MAX => {
                self.refused = self.refused.saturating_add(1);
                return None;
            }
            None => {
                self.next_id = self.next_id.wrapping_add(1);
                let family = Family::new(entity, key.1.clone(), words_of(name).join("_").into());
                self.families.insert(self.next_id, family);
                self.index.insert(key, self.next_id);
                self.next_id
            }
        };
        self.families.get_mut(&id)?.feeds += 1;
        Some(id)
    }

    /// How often there was no room for a kind of request.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Forgets a series; the family that was fed by it alone, to end what is told of it.
    fn forget(&mut self, series: SeriesIx) -> Option<u32> {
        let feed = std::mem::take(self.feeds.get_mut(series.0 as usize)?);
        let Feed::Family(id, _) = feed else {
            return None;
        };
        let family = self.families.get_mut(&id)?;
        family.feeds = family.feeds.saturating_sub(1);
        if family.feeds > 0 {
            return None;
        }
        let family = self.families.remove(&id)?;
        self.index.remove(&(family.entity, family.stem));
        Some(id)
    }

    fn knows(&self, entity: EntityIx, name: &str) -> bool {
        self.index.contains_key(&(entity, stem_of(name)))
    }

    fn index_families(&mut self) {
        let families = self.families.iter();
        let index = families.map(|(id, family)| ((family.entity, family.stem.clone()), *id));
        self.index = index.collect();
    }

    /// Forgets families that nothing feeds, after all series have said what they feed.
    fn drop_unfed(&mut self) {
        self.families.retain(|_, family| family.feeds > 0);
        self.index_families();
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        self.window_end = self.window_end.min(back.to.plus_ms(WINDOW_MS));
        for family in self.families.values_mut() {
            back.past_if(&mut family.since);
            back.past(&mut family.rising);
        }
    }
}

/// The words of a name without its unit and without those that say that something failed.
fn words_of(name: &str) -> Vec<&str> {
    let name = name.strip_suffix("_total").unwrap_or(name);
    let name = name.strip_suffix("_count").unwrap_or(name);
    let fails = |word: &&str| {
        let word = word.to_ascii_lowercase();
        let one = word.strip_suffix('s').unwrap_or(&word);
        FAILURE_WORDS.contains(&word.as_str()) || FAILURE_WORDS.contains(&one)
    };
    name.split('_').filter(|word| !fails(word)).collect()
}

/// What two names of one kind of request have in common: `http_request` of `http_requests_total` and
/// `http_request_errors_total`.
fn stem_of(name: &str) -> Box<str> {
    let stem = words_of(name).join("_").to_ascii_lowercase();
    stem.strip_suffix('s').unwrap_or(&stem).into()
}

impl Engine {
    /// Counts what a counter of requests or failures grew by.
    pub(super) fn count_for_ratios(&mut self, reading: &Reading) {
        let feed = match self.ratios.feed(reading.series) {
            Feed::Unknown => self.feed_ratios(reading.series),
            feed => feed,
        };
        let requests = reading.value * f64::from(reading.step_ms) / 1_000.0;
        self.ratios.count(feed, requests);
    }

    /// Finds out what a series feeds, by what it counts.
    fn feed_ratios(&mut self, series: SeriesIx) -> Feed {
        let row = self.intake.row(series);
        let part = match row.role {
            _ if !row.counts() => None,
            MetricRole::Traffic => Some(Part::All),
            MetricRole::Errors if roles::fails_by_status(&row.series.labels) => Some(Part::Both),
            MetricRole::Errors => Some(Part::Failures),
            _ => None,
        };
        let (entity, row) = (row.entity, Arc::clone(&row.series));
        self.ratios
            .add(series, entity, part.map(|part| (row.name.as_ref(), part)))
    }

    /// Takes back what was learned; what each series feeds is told from its name again.
    pub(super) fn restore_ratios(&mut self, ratios: Ratios) {
        self.ratios = ratios;
        self.ratios.index_families();
        let living: Vec<SeriesIx> = self.intake.iter().map(|(series, _)| series).collect();
        for series in living {
            let row = self.intake.row(series);
            if self.ratios.knows(row.entity, &row.series.name) {
                self.feed_ratios(series);
            }
        }
        self.ratios.drop_unfed();
    }

    /// A series is gone: it feeds nothing any more.
    pub(super) fn forget_ratio(&mut self, series: SeriesIx) {
        if let Some(family) = self.ratios.forget(series) {
            self.findings.end(Key::Ratio(family), self.now);
        }
    }

    /// Judges the window when it is over.
    pub(super) fn judge_ratios(&mut self) {
        let now = self.now;
        if now < self.ratios.window_end {
            return;
        }
        self.ratios.window_end = Time::from_ms((now.ms() / WINDOW_MS + 1) * WINDOW_MS);
        let families = self.ratios.families.iter_mut();
        let judged: Vec<(u32, Judged)> = families
            .map(|(id, family)| (*id, family.judge(now)))
            .filter(|(_, judged)| *judged != Judged::Usual)
            .collect();
        for (id, judged) in judged {
            self.tell_of_ratio(id, judged);
        }
    }

    fn tell_of_ratio(&mut self, id: u32, judged: Judged) {
        let key = Key::Ratio(id);
        let (share, high, score) = match judged {
            Judged::Usual => return,
            Judged::Over => return self.findings.end(key, self.now),
            Judged::Accepted => {
                let lasted = words::duration(HOLD_MS_MAX);
                let text = format!("new normal accepted after {lasted}: the share of failures");
                return self.findings.accept(key, self.now, text);
            }
            Judged::Odd { share, high, score } => (share, high, score),
        };
        let Some(family) = self.ratios.families.get(&id) else {
            return;
        };
        let since = family.since.unwrap_or(self.now);
        let subject = format!("failing {}", explain::subject(&family.name));
        let expected = Band { low: 0.0, high };
        let entity = family.entity;
        self.observe(Observation {
            key,
            entity,
            callee: None,
            sick: entity,
            check: Check::ErrorRatio,
            series: None,
            text: explain::metric(&subject, share, expected, Unit::Ratio, since),
            subject: subject.into(),
            role: MetricRole::Errors,
            unit: Unit::Ratio,
            since,
            at: self.now,
            expected,
            seen: share,
            direction: Direction::Up,
            score: score as f32,
            pages: score >= f64::from(joint::PAGE_SCORE),
            explain: Some(Box::new(explain::rarity(score as f32))),
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped,
    };

    /// A Wednesday, 12:00.
    const START_S: i64 = 1_768_392_000;

    /// A service that counts its requests, and those that fail.
    struct Bench {
        engine: Engine,
        second: i64,
        dice: u64,
        totals: [f64; 2],
        /// Name and status of what counts all, and what counts failures.
        counters: [(&'static str, &'static str); 2],
    }

    impl Bench {
        fn new(counters: [(&'static str, &'static str); 2]) -> Self {
            Self {
                engine: Engine::new(EngineConfig::default(), Vec::new()),
                second: 0,
                dice: 3,
                totals: [0.0; 2],
                counters,
            }
        }

        fn unit(&mut self) -> f64 {
            self.dice = self
                .dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.dice >> 33) as f64 / f64::from(1_u32 << 31)
        }

        /// Minutes with so many requests a second, of which a share fails.
        fn minutes(&mut self, minutes: i64, rate: f64, share: f64) {
            for _ in 0..minutes * 6 {
                let calls = (10.0 * rate * (0.9 + 0.2 * self.unit())).round();
                let failing = (0..calls as u32).filter(|_| self.unit() < share).count() as f64;
                let at = Time::from_secs(START_S + self.second);
                let grown = [calls - failing, failing];
                let is_status = !self.counters[1].1.is_empty();
                self.totals[0] += if is_status { grown[0] } else { calls };
                self.totals[1] += grown[1];
                let signals = self
                    .counters
                    .iter()
                    .zip(self.totals)
                    .map(|((name, status), value)| {
                        let labels = [("service", "cart"), ("status", *status)];
                        let labels = Labels::from_pairs(labels).unwrap();
                        let series = Series::new(name, labels, SeriesKind::Counter, Unit::None);
                        let series = Arc::new(series);
                        Signal::Sample(Sample { series, at, value })
                    })
                    .collect();
                let source = SourceId::new("test");
                for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                    let stamped = Stamped { seq: 1, at, input };
                    self.engine.step(&stamped, &mut Vec::new());
                }
                self.second += 10;
            }
        }

        fn told(&self) -> Option<(String, bool)> {
            let finding = &self.engine.findings.of_key(Key::Ratio(1))?.finding;
            assert_eq!(finding.check, Check::ErrorRatio);
            Some((finding.text.to_string(), finding.pages))
        }
    }

    const BY_NAME: [(&str, &str); 2] = [
        ("http_requests_total", ""),
        ("http_request_errors_total", ""),
    ];
    const BY_STATUS: [(&str, &str); 2] = [
        ("http_requests_total", "200"),
        ("http_requests_total", "503"),
    ];

    #[test]
    fn a_larger_share_of_failures_is_told_until_it_is_over() {
        for counters in [BY_NAME, BY_STATUS] {
            let mut bench = Bench::new(counters);
            bench.minutes(30, 40.0, 0.01);
            assert_eq!(bench.told(), None, "{counters:?}");
            bench.minutes(2, 40.0, 0.2);
            let (text, pages) = bench.told().unwrap();
            assert!(
                pages && text.starts_with("failing http requests "),
                "{text}"
            );
            bench.minutes(120, 40.0, 0.2);
            assert!(bench.told().is_some(), "it lasts");
            bench.minutes(2, 40.0, 0.01);
            assert_eq!(bench.told(), None, "{counters:?}");
        }
    }

    #[test]
    fn it_is_over_when_nobody_asks_any_more() {
        let mut bench = Bench::new(BY_NAME);
        bench.minutes(30, 40.0, 0.01);
        bench.minutes(2, 40.0, 0.2);
        assert!(bench.told().is_some());
        bench.minutes(2, 0.0, 0.0);
        assert_eq!(bench.told(), None);
    }

    #[test]
    fn more_requests_with_as_many_failing_of_them_are_no_news() {
        let mut bench = Bench::new(BY_NAME);
        bench.minutes(30, 40.0, 0.02);
        bench.minutes(10, 200.0, 0.02);
        assert_eq!(bench.told(), None);
        // Fewer requests with as many failures are: no rate of failures says so.
        bench.minutes(5, 8.0, 0.1);
        assert!(bench.told().is_some());
    }

    #[test]
    fn hours_of_it_are_the_new_normal() {
        let mut bench = Bench::new(BY_NAME);
        bench.minutes(30, 10.0, 0.01);
        bench.minutes(5 * 60 + 50, 10.0, 0.2);
        assert!(bench.told().is_some());
        bench.minutes(20, 10.0, 0.2);
        assert_eq!(bench.told(), None);
        bench.minutes(60, 10.0, 0.2);
        assert_eq!(bench.told(), None);
    }

    #[test]
    fn ordinary_windows_are_not_odd_whatever_the_traffic() {
        for (rate, share) in [
            (0.2, 0.05),
            (2.0, 0.0),
            (2.0, 0.3),
            (40.0, 0.001),
            (100.0, 0.02),
        ] {
            let mut bench = Bench::new(BY_NAME);
            for _ in 0..120 {
                bench.minutes(2, rate, share);
                assert_eq!(bench.told(), None, "{rate} a second, {share}");
            }
        }
    }

    #[test]
    fn counters_belong_together_by_name() {
        let cases = [
            ("http_requests_total", "http_request"),
            ("http_request_errors_total", "http_request"),
            ("http_requests_failed_total", "http_request"),
            ("store_operation_errors_total", "store_operation"),
            ("store_operations_total", "store_operation"),
            ("errors_total", ""),
            ("dns_requests_total", "dns_request"),
            ("https_requests_total", "https_request"),
        ];
        for (name, stem) in cases {
            assert_eq!(&*stem_of(name), stem, "{name}");
        }
    }
}
