//! What share of requests fails, from counters: failures against all, matched by name.
//!
//! `http_request_errors_total` counts a part of what `http_requests_total` counts, and so does the series
//! of it with `code="500"`. A share says what neither rate does: that fewer requests come and as many
//! fail, and that more fail because more come. Judged in windows of ten seconds by a Chernoff bound
//! with the overdispersion learned, and summed up as for a series. An odd window teaches nothing; after
//! hours it is accepted.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::cusum::{Cusum, EVIDENCE_MIN, Judged, Oddity};
use super::detect::joint;
use super::diagnose::words;
use super::explain;
use super::feeds::{Feed, Feeds, WINDOW_MS};
use super::findings::{Key, Observation};
use super::intake::{Reading, SeriesIx};
use super::logs::chernoff;
use super::roles;
use super::set_back::SetBack;
use crate::model::{BaselineVersion, Check, Direction, MetricRole, Time, Unit};

/// Windows with requests before a share is judged.
const WARM_UP_WINDOWS: u32 = 60;
/// Weight of a window in what is usual: an hour of windows.
const WEIGHT_MIN: f64 = 0.002;
/// A share this many times the usual one …
const RATIO_MIN: f64 = 2.0;
/// … and at least this large is odd.
const SHARE_MIN: f64 = 0.01;
/// Fewer failures than this share wake nobody by their rate either: an objective says what else matters.
const SHARE_PAGES_MIN: f64 = 0.001;
/// −log10 of the chance of a window, at most: one window alone opens nothing.
const SURPRISE_MAX: f64 = 4.0;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Requests, whatever became of them.
    All,
    /// Failures that are counted among all elsewhere.
    Failures,
    /// Failures that are a part of all: the series of a status code.
    Both,
}

/// Kinds of requests by the stems of their names, fed by what counts all and what counts failures.
pub type Ratios = Feeds<Family, Part>;

/// Counters of one kind of request on an entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Family {
    /// What people call it: the name of the first series without the words of failure.
    name: Box<str>,
    calls: f64,
    failures: f64,
    /// What share failed in the last window with requests.
    latest: f64,
    share: f64,
    /// How much more failures vary than chance.
    spread: f64,
    windows: u32,
    /// Start of the first window learned.
    began: Time,
    odd: Cusum,
}

impl Family {
    fn new(name: Box<str>) -> Self {
        Self {
            name,
            calls: 0.0,
            failures: 0.0,
            latest: 0.0,
            share: 0.0,
            spread: 1.0,
            windows: 0,
            began: Time::ZERO,
            odd: Cusum::default(),
        }
    }

    /// Adds what a counter grew by.
    fn count(&mut self, part: Part, requests: f64) {
        if part != Part::Failures {
            self.calls += requests;
        }
        if part != Part::All {
            self.failures += requests;
        }
    }

    /// Judges the window that ends at `at`, then learns it unless it is odd.
    fn judge(&mut self, at: Time) -> Judged<Oddity> {
        let calls = std::mem::take(&mut self.calls);
        // A scrape may catch a failure before its request is counted.
        let failures = std::mem::take(&mut self.failures).min(calls);
        if calls < 1.0 {
            // Nobody asks any more, so that nothing fails: what was told ends.
            return if self.odd.idle(at) {
                Judged::Over
            } else {
                Judged::Usual
            };
        }
        let expected = calls * self.share + 0.5;
        let share = failures / calls;
        self.latest = share;
        let is_more = share >= SHARE_MIN.max(RATIO_MIN * self.share);
        let surprise = if is_more && self.windows >= WARM_UP_WINDOWS {
            chernoff(failures, expected, expected * self.spread).min(SURPRISE_MAX)
        } else {
            0.0
        };
        let high = (expected + 3.0 * (expected * self.spread).sqrt()) / calls;
        let began = at.plus_ms(-WINDOW_MS);
        let judged = self.odd.judge(began, at, surprise);
        let seen = Oddity::up_to(share, high.min(1.0), self.odd.evidence());
        if judged == Judged::Accepted {
            *self = Self::new(std::mem::take(&mut self.name));
        } else if judged.is_usual() && self.odd.is_quiet() {
            self.learn(began, share, failures, expected);
        }
        judged.map(|()| seen)
    }

    fn learn(&mut self, began: Time, share: f64, failures: f64, expected: f64) {
        if self.windows == 0 {
            self.began = began;
        }
        self.windows = self.windows.saturating_add(1);
        let weight = (1.0 / f64::from(self.windows)).max(WEIGHT_MIN);
        let surprise = (failures - expected).powi(2) / expected;
        // A window teaches little when it is far out, as with every baseline.
        let taught = share.min(2.0 * self.share + 0.05);
        self.share += weight * (taught - self.share);
        self.spread = (self.spread + weight * (surprise.min(16.0) - self.spread)).max(1.0);
    }

    /// Whether so few fail of late that it wakes nobody, however sure it is that they are more than ever.
    fn is_negligible(&self) -> bool {
        let now = self.failures / self.calls.max(1.0);
        self.windows >= WARM_UP_WINDOWS && self.latest.max(now) < SHARE_PAGES_MIN
    }

    /// What people call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far it has come, and what speaks for a larger share, in a sentence.
    pub fn standing(&self) -> String {
        if self.windows < WARM_UP_WINDOWS {
            return format!(
                "what share of them fails is being learned: {} of {WARM_UP_WINDOWS} windows of ten seconds with requests",
                self.windows
            );
        }
        format!(
            "usually {} of them fail; the evidence that more do is {:.1}, and {EVIDENCE_MIN:.1} is needed",
            words::value(self.share, Unit::Ratio),
            self.odd.evidence()
        )
    }

    fn baseline(&self) -> BaselineVersion {
        explain::baseline(self.windows, WARM_UP_WINDOWS, self.began)
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        back.past(&mut self.began);
        self.odd.set_back(back);
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
        if let Feed::Group(id, part) = feed
            && let Some(family) = self.ratios.fed(id)
        {
            let requests = reading.value * f64::from(reading.step_ms) / 1_000.0;
            family.count(part, requests);
        }
    }

    /// Finds out what a series feeds, by what it counts.
    fn feed_ratios(&mut self, series: SeriesIx) -> Feed<Part> {
        let row = self.intake.row(series);
        let part = match row.role {
            _ if !row.counts() => None,
            MetricRole::Traffic => Some(Part::All),
            MetricRole::Errors if roles::fails_by_status(&row.series.labels) => Some(Part::Both),
            MetricRole::Errors => Some(Part::Failures),
            _ => None,
        };
        let (entity, of) = (row.entity, Arc::clone(&row.series));
        let counts = part.map(|part| (stem_of(&of.name), part));
        let make = || Family::new(words_of(&of.name).join("_").into());
        self.ratios.add(series, entity, counts, make)
    }

    /// Whether a rate of failures is known to be a share of requests that wakes nobody: of all of its entity, and of those like it,
    /// for one endpoint of many may fail completely.
    pub(super) fn is_negligible(&self, series: SeriesIx) -> bool {
        match self.ratios.feed(series) {
            Feed::Group(id, Part::Failures | Part::Both) => {
                let group = self.ratios.get(id);
                group.is_some_and(|group| group.of.is_negligible())
                    && self.share_of_the_like(id, series) < SHARE_PAGES_MIN
            }
            Feed::Group(_, Part::All) | Feed::Nothing | Feed::Unknown => false,
        }
    }

    /// How much a rate of failures is of the requests that its labels tell of.
    fn share_of_the_like(&self, family: u32, failing: SeriesIx) -> f64 {
        let failing = self.intake.row(failing);
        let counts_calls = |series: &&SeriesIx| {
            let feed = self.ratios.feed(**series);
            matches!(feed, Feed::Group(id, Part::All | Part::Both) if id == family)
        };
        let series = self.intake.of_entity(failing.entity).iter();
        let calls = series.filter(counts_calls).map(|ix| self.intake.row(*ix));
        let like = calls.filter(|row| {
            !row.is_silent && roles::are_of_the_like(&row.series.labels, &failing.series.labels)
        });
        let rates = like.filter_map(|row| row.latest().map(f64::from));
        failing.latest().map_or(0.0, f64::from) / rates.sum::<f64>()
    }

    /// Takes back what was learned; what each series feeds is told from its name again.
    pub(super) fn restore_ratios(&mut self, ratios: Ratios) {
        self.ratios = ratios;
        self.ratios.index_all();
        let living: Vec<SeriesIx> = self.intake.iter().map(|(series, _)| series).collect();
        for series in living {
            let row = self.intake.row(series);
            if self.ratios.knows(row.entity, stem_of(&row.series.name)) {
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
        for (id, judged) in self.ratios.judge(now, |group| group.of.judge(now)) {
            self.tell_of_ratio(id, judged);
        }
    }

    fn tell_of_ratio(&mut self, id: u32, judged: Judged<Oddity>) {
        let key = Key::Ratio(id);
        let what = || "the share of failures".to_owned();
        let Some(odd) = self.findings.settle(key, self.now, judged, what) else {
            return;
        };
        let Some(group) = self.ratios.get(id) else {
            return;
        };
        let (entity, family) = (group.entity, &group.of);
        let since = family.odd.since();
        let subject = format!("failing {}", explain::subject(&family.name));
        let score = odd.score as f32;
        let explain = explain::rarity(score)
            .judged_by([("share of failures", true)])
            .against(family.baseline());
        self.observe(Observation {
            key,
            entity,
            callee: None,
            sick: entity,
            check: Check::ErrorRatio,
            series: None,
            text: explain::metric(&subject, odd.seen, odd.expected, Unit::Ratio, since),
            subject: subject.into(),
            role: MetricRole::Errors,
            unit: Unit::Ratio,
            since,
            at: self.now,
            expected: odd.expected,
            seen: odd.seen,
            direction: Direction::Up,
            score,
            pages: score >= joint::PAGE_SCORE,
            explain,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::dice::Dice;
    use crate::model::{
        Batch, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped,
    };

    /// A Wednesday, 12:00.
    const START_S: i64 = 1_768_392_000;

    /// A service that counts its requests, and those that fail.
    struct Bench {
        engine: Engine,
        second: i64,
        dice: Dice,
        totals: [f64; 2],
        /// Name and status of what counts all, and what counts failures.
        counters: [(&'static str, &'static str); 2],
        /// Seconds between two scrapes.
        every_s: i64,
    }

    impl Bench {
        fn new(counters: [(&'static str, &'static str); 2]) -> Self {
            Self {
                engine: Engine::new(EngineConfig::default(), Vec::new()),
                second: 0,
                dice: Dice(3),
                totals: [0.0; 2],
                counters,
                every_s: 10,
            }
        }

        /// Minutes with so many requests a second, of which a share fails.
        fn minutes(&mut self, minutes: i64, rate: f64, share: f64) {
            for _ in 0..minutes * 6 {
                let calls = (10.0 * rate * (0.9 + 0.2 * self.dice.unit())).round();
                let failing = (0..calls as u32)
                    .filter(|_| self.dice.unit() < share)
                    .count() as f64;
                let at = Time::from_secs(START_S + self.second);
                self.second += 10;
                let grown = [calls - failing, failing];
                let is_status = !self.counters[1].1.is_empty();
                self.totals[0] += if is_status { grown[0] } else { calls };
                self.totals[1] += grown[1];
                self.step(at, Input::Tick);
                if self.second % self.every_s != 0 {
                    continue;
                }
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
                self.step(at, Input::Signals(Batch { source, signals }));
            }
        }

        fn step(&mut self, at: Time, input: Input) {
            let stamped = Stamped { seq: 1, at, input };
            self.engine.step(&stamped, &mut Vec::new());
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
    fn scraped_each_minute_it_is_told_as_long_as_it_lasts() {
        let mut bench = Bench::new(BY_NAME);
        bench.every_s = 60;
        bench.minutes(90, 40.0, 0.01);
        assert_eq!(bench.told(), None);
        bench.minutes(4, 40.0, 0.2);
        for minute in 4..40 {
            assert!(bench.told().is_some(), "after {minute} minutes");
            bench.minutes(1, 40.0, 0.2);
        }
        bench.minutes(5, 40.0, 0.01);
        assert_eq!(bench.told(), None);
    }

    #[test]
    fn a_few_failures_in_a_million_wake_nobody() {
        let mut bench = Bench::new(BY_STATUS);
        let incidents = |bench: &Bench| bench.engine.incident_rows().count();
        bench.minutes(60, 100.0, 0.0);
        for _ in 0..12 {
            bench.totals[1] += 1.0;
            bench.totals[0] += 99_999.0;
            bench.minutes(1, 100.0, 0.0);
            assert_eq!(incidents(&bench), 0);
        }
        bench.minutes(3, 100.0, 0.1);
        assert!(incidents(&bench) > 0, "one in ten does");
    }

    /// Of 100,000 requests a second each payment failed, and nobody was woken.
    #[test]
    fn one_endpoint_that_fails_completely_is_no_small_share() {
        let mut bench = Bench::new(BY_STATUS);
        let mut totals = [0.0; 3];
        let mut live = |bench: &mut Bench, minutes: i64, failing: f64| {
            for _ in 0..minutes * 6 {
                let at = Time::from_secs(START_S + bench.second);
                bench.second += 10;
                let payments = 500.0 * (0.9 + 0.2 * bench.dice.unit());
                let home = 1e6 * (0.9 + 0.2 * bench.dice.unit());
                let grown = [home, payments * (1.0 - failing), payments * failing];
                let of = [("/", "200"), ("/pay", "200"), ("/pay", "500")];
                let mut signals = Vec::new();
                for ((total, grown), (route, status)) in totals.iter_mut().zip(grown).zip(of) {
                    *total += grown;
                    let labels = [("service", "cart"), ("route", route), ("status", status)];
                    let labels = Labels::from_pairs(labels).unwrap();
                    let name = "http_requests_total";
                    let series = Series::new(name, labels, SeriesKind::Counter, Unit::None);
                    let (series, value) = (Arc::new(series), *total);
                    signals.push(Signal::Sample(Sample { series, at, value }));
                }
                bench.step(at, Input::Tick);
                let source = SourceId::new("test");
                bench.step(at, Input::Signals(Batch { source, signals }));
            }
        };
        live(&mut bench, 60, 0.0);
        assert_eq!(bench.engine.incident_rows().count(), 0);
        live(&mut bench, 5, 1.0);
        assert!(bench.engine.incident_rows().count() > 0);
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
