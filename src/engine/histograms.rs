//! How what a histogram counts is spread, from its buckets: another shape shows what neither a mean nor a
//! quantile need show, such as a part of the requests that takes ten times as long while the others are
//! quicker.
//!
//! The `_bucket` counters of one name on one entity are one histogram, whatever their other labels: how much
//! each grew is a share of the values. What is learned and judged is `distribution`'s; a mean that is odd
//! itself tells it better. Informs only.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::detect::HOLD_MS_MAX;
use super::diagnose::words;
use super::distribution::{Distribution, Kind, Shift, Standing};
use super::entities::EntityIx;
use super::explain;
use super::findings::{Key, Observation};
use super::intake::{Reading, SeriesIx};
use super::roles;
use super::set_back::SetBack;
use crate::model::{Band, Check, Direction, MetricRole, Time, Unit};

/// Width of a window, in milliseconds.
const WINDOW_MS: i64 = 10_000;
/// A scrape may come in pieces: a histogram that grew so lately, in milliseconds, waits …
const LATENESS_MS: i64 = 2_000;
/// … for so many windows at most.
const WAITS_MAX: u8 = 3;
/// Most histograms; of what comes after, mean and rate alone are judged.
const HISTOGRAMS_MAX: usize = 20_000;
/// Most buckets of one; later ones are not counted.
const BUCKETS_MAX: usize = 64;
/// The last bucket has no end: its values count as so many times the end of the one before.
const BEYOND: f64 = 2.0;
const ENDING: &str = "_bucket";

/// What a series feeds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Feed {
    /// Not looked at yet.
    #[default]
    Unknown,
    /// No histogram.
    Nothing,
    /// A bucket of a histogram, by the bits of its end.
    Bucket(u32, u64),
}

/// The buckets of one name on one entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Histogram {
    entity: EntityIx,
    /// Without `_bucket`.
    name: Box<str>,
    unit: Unit,
    /// Series that feed it; not kept, they say so again.
    #[serde(skip)]
    feeds: u32,
    /// Ends of the buckets in rising order, with how many values up to there came since the last window.
    buckets: Vec<(f64, f64)>,
    grown_at: Time,
    waits: u8,
    distribution: Distribution,
    is_told: bool,
}

/// Histograms, and which series feeds which.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Histograms {
    all: BTreeMap<u32, Histogram>,
    /// Not kept, made of the histograms.
    #[serde(skip)]
    index: BTreeMap<(EntityIx, Box<str>), u32>,
    /// By place of the series; not kept, told from their names again.
    #[serde(skip)]
    feeds: Vec<Feed>,
    next_id: u32,
    /// Buckets for which there was no room, each time it was looked for.
    #[serde(skip)]
    refused: u64,
    window_end: Time,
}

/// What a window said.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Judged {
    Usual,
    Odd(Shift),
    Over,
    Accepted,
}

impl Histogram {
    fn new(entity: EntityIx, name: &str, unit: Unit) -> Self {
        Self {
            entity,
            name: name.into(),
            unit,
            feeds: 0,
            buckets: Vec::new(),
            grown_at: Time::ZERO,
            waits: 0,
            distribution: Distribution::new(Kind::Measure),
            is_told: false,
        }
    }

    /// Adds what the bucket that ends at `end`, and all below it, grew by.
    fn count(&mut self, at: Time, end: f64, grown: f64) {
        match self
            .buckets
            .binary_search_by(|(known, _)| known.total_cmp(&end))
        {
            Ok(place) => self.buckets[place].1 += grown,
            Err(place) if self.buckets.len() < BUCKETS_MAX => {
                self.buckets.insert(place, (end, grown));
            }
            Err(_) => {}
        }
        self.grown_at = at;
    }

    /// Judges what came since the last window; `is_told_better` asks whether something else tells it.
    fn judge(&mut self, at: Time, is_told_better: impl Fn(&Self) -> bool) -> Judged {
        if at.since(self.grown_at) < LATENESS_MS && self.waits < WAITS_MAX {
            self.waits += 1;
            return Judged::Usual;
        }
        self.waits = 0;
        let (mut below, mut last) = (0.0, 0.0);
        for (end, grown) in &mut self.buckets {
            let up_to = std::mem::take(grown);
            let value = if end.is_finite() { *end } else { BEYOND * last };
            self.distribution.add(at, value, up_to - below, 1.0);
            (below, last) = (up_to.max(below), value);
        }
        self.distribution.turn(at);
        let shift = self.distribution.shift().filter(|_| !is_told_better(self));
        let was_told = std::mem::replace(&mut self.is_told, shift.is_some());
        match shift {
            Some(shift) if at.since(shift.since) >= HOLD_MS_MAX => {
                self.distribution.restart();
                self.is_told = false;
                Judged::Accepted
            }
            Some(shift) => Judged::Odd(self.snapped(shift)),
            None if was_told => Judged::Over,
            None => Judged::Usual,
        }
    }

    /// The range between ends of buckets: values are known no better.
    fn snapped(&self, shift: Shift) -> Shift {
        let end = |edge: f64| {
            let ends = self.buckets.iter().map(|(end, _)| *end);
            ends.rev().find(|end| *end <= edge)
        };
        Shift {
            above: shift.above.and_then(end),
            up_to: shift.up_to.and_then(end),
            ..shift
        }
    }
}

impl Histograms {
    /// How often there was no room for a bucket.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        self.window_end = self.window_end.min(back.to.plus_ms(WINDOW_MS));
        for histogram in self.all.values_mut() {
            back.past(&mut histogram.grown_at);
            histogram.distribution.set_back(back);
        }
    }

    /// Those called `name`, with or without `_bucket`: which, of whom, and how far they are known.
    pub fn called<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (u32, EntityIx, Standing)> + 'a {
        let name = name.strip_suffix(ENDING).unwrap_or(name);
        let meant = self.all.iter().filter(move |(_, of)| *of.name == *name);
        meant.map(|(id, of)| (*id, of.entity, of.distribution.standing()))
    }

    fn feed(&self, series: SeriesIx) -> Feed {
        let feed = self.feeds.get(series.0 as usize);
        feed.copied().unwrap_or_default()
    }

    /// Notes which bucket a series is. Without room for another histogram it is counted as refused, and
    /// asked again when room returns.
    fn add(&mut self, series: SeriesIx, entity: EntityIx, of: Option<(&str, Unit, f64)>) -> Feed {
        let feed = match of {
            None => Feed::Nothing,
            Some((name, unit, end)) => self
                .histogram(entity, name, unit)
                .map_or(Feed::Unknown, |id| Feed::Bucket(id, end.to_bits())),
        };
        let place = series.0 as usize;
        if self.feeds.len() <= place {
            self.feeds.resize(place + 1, Feed::Unknown);
        }
        self.feeds[place] = feed;
        feed
    }

    fn histogram(&mut self, entity: EntityIx, name: &str, unit: Unit) -> Option<u32> {
        let key = (entity, Box::from(name));
        let id = match self.index.get(&key) {
            Some(id) => *id,
            None if self.all.len() >= HISTOGRAMS_MAX => {
                self.refused = self.refused.saturating_add(1);
                return None;
            }
            None => {
                self.next_id = self.next_id.wrapping_add(1);
                self.all
                    .insert(self.next_id, Histogram::new(entity, name, unit));
                self.index.insert(key, self.next_id);
                self.next_id
            }
        };
        self.all.get_mut(&id)?.feeds += 1;
        Some(id)
    }

    /// Forgets a series; the histogram that was fed by it alone, to end what is told of it.
    fn forget(&mut self, series: SeriesIx) -> Option<u32> {
        let feed = std::mem::take(self.feeds.get_mut(series.0 as usize)?);
        let Feed::Bucket(id, _) = feed else {
            return None;
        };
        let histogram = self.all.get_mut(&id)?;
        histogram.feeds = histogram.feeds.saturating_sub(1);
        if histogram.feeds > 0 {
            return None;
        }
        let histogram = self.all.remove(&id)?;
        self.index.remove(&(histogram.entity, histogram.name));
        Some(id)
    }

    fn index_all(&mut self) {
        let all = self.all.iter();
        let index = all.map(|(id, of)| ((of.entity, of.name.clone()), *id));
        self.index = index.collect();
    }
}

impl Engine {
    /// Counts what a bucket grew by.
    pub(super) fn count_for_histograms(&mut self, reading: &Reading) {
        let feed = match self.histograms.feed(reading.series) {
            Feed::Unknown => self.feed_histogram(reading.series),
            feed => feed,
        };
        if let Feed::Bucket(id, end) = feed
            && let Some(histogram) = self.histograms.all.get_mut(&id)
        {
            histogram.count(self.now, f64::from_bits(end), reading.value);
        }
    }

    /// Finds out which bucket a series is.
    fn feed_histogram(&mut self, series: SeriesIx) -> Feed {
        let row = self.intake.row(series);
        let (entity, of) = (row.entity, Arc::clone(&row.series));
        let end = of.labels.get("le").and_then(|end| end.parse::<f64>().ok());
        let bucket = of
            .name
            .strip_suffix(ENDING)
            .zip(end.filter(|end| row.is_bucket() && !end.is_nan()));
        let bucket = bucket.map(|(name, end)| (name, roles::unit_of(&of), end));
        self.histograms.add(series, entity, bucket)
    }

    /// Takes back what was learned; which bucket each series is is told from its name again.
    pub(super) fn restore_histograms(&mut self, histograms: Histograms) {
        self.histograms = histograms;
        self.histograms.index_all();
        let buckets = self.intake.iter().filter(|(_, row)| row.is_bucket());
        let buckets: Vec<SeriesIx> = buckets.map(|(series, _)| series).collect();
        for series in buckets {
            self.feed_histogram(series);
        }
        self.histograms
            .all
            .retain(|_, histogram| histogram.feeds > 0);
        self.histograms.index_all();
    }

    /// A series is gone: it is no bucket any more.
    pub(super) fn forget_bucket(&mut self, series: SeriesIx) {
        if let Some(id) = self.histograms.forget(series) {
            self.findings.end(Key::Histogram(id), self.now);
        }
    }

    /// Judges the window when it is over.
    pub(super) fn judge_histograms(&mut self) {
        let now = self.now;
        if now < self.histograms.window_end {
            return;
        }
        self.histograms.window_end = Time::from_ms((now.ms() / WINDOW_MS + 1) * WINDOW_MS);
        let (odd, intake) = (&self.odd, &self.intake);
        // The mean of the same histogram, or a quantile beside it.
        let is_told_better = |of: &Histogram| {
            odd.of_entity(of.entity)
                .any(|series| intake.row(series).series.name.starts_with(&*of.name))
        };
        let all = self.histograms.all.iter_mut();
        let judged: Vec<(u32, Judged)> = all
            .map(|(id, histogram)| (*id, histogram.judge(now, is_told_better)))
            .filter(|(_, judged)| *judged != Judged::Usual)
            .collect();
        for (id, judged) in judged {
            self.tell_of_histogram(id, judged);
        }
    }

    fn tell_of_histogram(&mut self, id: u32, judged: Judged) {
        let key = Key::Histogram(id);
        let Some(histogram) = self.histograms.all.get(&id) else {
            return;
        };
        let subject = explain::subject(&histogram.name);
        let shift = match judged {
            Judged::Usual => return,
            Judged::Over => return self.findings.end(key, self.now),
            Judged::Accepted => {
                let lasted = words::duration(HOLD_MS_MAX);
                let text = format!("new normal accepted after {lasted}: how {subject} is spread");
                return self.findings.accept(key, self.now, text);
            }
            Judged::Odd(shift) => shift,
        };
        let entity = histogram.entity;
        let values = format!("the values of {subject}");
        self.observe(Observation {
            key,
            entity,
            callee: None,
            sick: entity,
            check: Check::Distribution,
            series: None,
            text: explain::shift(&values, &shift, histogram.unit),
            subject: subject.into(),
            // A shape is no symptom that an entity is blamed for.
            role: MetricRole::Other,
            unit: Unit::Ratio,
            since: shift.since,
            at: self.now,
            expected: Band {
                low: 0.0,
                high: shift.high,
            },
            seen: shift.seen,
            direction: Direction::Up,
            score: shift.score as f32,
            pages: false,
            explain: Some(Box::new(explain::rarity(shift.score as f32))),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped, WhyAnswer,
    };

    /// A Wednesday, 12:00.
    const START_S: i64 = 1_768_392_000;
    const ENDS: [&str; 7] = ["0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];

    /// A service that counts how long its requests take.
    struct Bench {
        engine: Engine,
        second: i64,
        dice: u64,
        buckets: [f64; ENDS.len()],
    }

    impl Bench {
        fn new() -> Self {
            Self {
                engine: Engine::new(EngineConfig::default(), Vec::new()),
                second: 0,
                dice: 3,
                buckets: [0.0; ENDS.len()],
            }
        }

        fn unit(&mut self) -> f64 {
            self.dice = self
                .dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (self.dice >> 33) as f64 / f64::from(1_u32 << 31)
        }

        /// Minutes of scrapes every 15 s, with so many requests each, of which a share takes 2 s.
        fn minutes(&mut self, minutes: i64, requests: u32, slow: f64) {
            for _ in 0..minutes * 4 {
                let requests = f64::from(requests) * (0.7 + 0.6 * self.unit());
                for _ in 0..requests as u32 {
                    let took = if self.unit() < slow {
                        1.5 + self.unit()
                    } else {
                        0.04 + 0.2 * self.unit() * self.unit()
                    };
                    for (bucket, end) in self.buckets.iter_mut().zip(ENDS) {
                        *bucket += f64::from(u8::from(took <= end.parse().unwrap()));
                    }
                }
                let at = Time::from_secs(START_S + self.second);
                let signals = ENDS.iter().zip(self.buckets).map(|(end, value)| {
                    let labels = [("service", "cart"), ("le", *end)];
                    let labels = Labels::from_pairs(labels).unwrap();
                    let name = "http_request_duration_seconds_bucket";
                    let series = Series::new(name, labels, SeriesKind::Counter, Unit::None);
                    let series = Arc::new(series);
                    Signal::Sample(Sample { series, at, value })
                });
                let signals = signals.collect();
                let source = SourceId::new("test");
                self.step(at, Input::Signals(Batch { source, signals }));
                for second in [5, 10, 14] {
                    self.step(at.plus_ms(second * 1_000), Input::Tick);
                }
                self.second += 15;
            }
        }

        fn step(&mut self, at: Time, input: Input) {
            let stamped = Stamped { seq: 1, at, input };
            self.engine.step(&stamped, &mut Vec::new());
        }

        fn told(&self) -> Option<String> {
            let finding = &self.engine.findings.of_key(Key::Histogram(1))?.finding;
            assert_eq!((finding.check, finding.pages), (Check::Distribution, false));
            Some(finding.text.to_string())
        }
    }

    #[test]
    fn another_shape_is_told_until_it_is_over() {
        for requests in [20, 150] {
            let mut bench = Bench::new();
            bench.minutes(450, requests, 0.01);
            assert_eq!(bench.told(), None, "{requests}");
            bench.minutes(10, requests, 0.4);
            let text = bench.told().expect("two in five take 2 s");
            let (seen, rest) = text.split_once(' ').unwrap();
            assert!(
                (30.0..50.0).contains(&seen.parse::<f64>().unwrap()),
                "{text}"
            );
            assert!(
                rest.starts_with(
                    "% of the values of http request duration lie above 250 ms since 19:"
                ) || rest.starts_with(
                    "% of the values of http request duration lie above 500 ms since 19:"
                ),
                "{text}"
            );
            bench.minutes(60, requests, 0.4);
            assert!(bench.told().is_some(), "it lasts");
            let WhyAnswer::Others(others) =
                bench.engine.why("cart http_request_duration_seconds", None)
            else {
                panic!("it is no series");
            };
            assert_eq!(
                (others.len(), others[0].findings.len()),
                (1, 1),
                "{others:?}"
            );
            assert!(others[0].because[0].contains("the evidence is 12.0, and 6.0 is needed"));
            bench.minutes(20, requests, 0.01);
            assert_eq!(bench.told(), None);
        }
    }

    #[test]
    fn ordinary_hours_are_quiet_and_what_lasts_for_hours_is_normal() {
        let mut bench = Bench::new();
        for _ in 0..24 {
            bench.minutes(10, 100, 0.05);
            assert_eq!(bench.told(), None);
            bench.minutes(10, 400, 0.05);
            assert_eq!(bench.told(), None, "more requests are no other shape");
        }
        bench.minutes(6 * 60 - 10, 200, 0.5);
        assert!(bench.told().is_some());
        bench.minutes(20, 200, 0.5);
        assert_eq!(bench.told(), None);
        bench.minutes(90, 200, 0.5);
        assert_eq!(bench.told(), None);
    }

    #[test]
    fn what_was_learned_comes_back_and_a_gone_histogram_is_forgotten() {
        let mut bench = Bench::new();
        bench.minutes(450, 60, 0.01);
        let whole = postcard::to_stdvec(&bench.engine.histograms).unwrap();
        let restored = postcard::from_bytes(&whole).unwrap();
        bench.engine.restore_histograms(restored);
        let again = postcard::to_stdvec(&bench.engine.histograms).unwrap();
        assert_eq!(again, whole);
        bench.minutes(10, 60, 0.5);
        assert!(bench.told().is_some(), "each series knows its bucket again");
        for place in 0..ENDS.len() as u32 {
            bench.engine.forget_bucket(SeriesIx(place));
        }
        assert_eq!((bench.told(), bench.engine.histograms.all.len()), (None, 0));
        assert_eq!(
            bench
                .engine
                .why("http_request_duration_seconds_bucket", None),
            WhyAnswer::Unknown
        );
    }
}
