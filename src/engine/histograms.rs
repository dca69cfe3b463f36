//! How what a histogram counts is spread, from its buckets: another shape shows what neither a mean nor a
//! quantile need show, such as a part of the requests that takes ten times as long while the others are
//! quicker.
//!
//! The `_bucket` counters of one name on one entity are one histogram, whatever their other labels: how much
//! each grew is a share of the values. What is learned and judged is `distribution`'s; a mean that is odd
//! itself tells it better. Informs only.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::cusum::Judged;
use super::distribution::{Distribution, Kind, Shift, Standing};
use super::entities::EntityIx;
use super::explain;
use super::feeds::{Feed, Feeds, Group};
use super::findings::{Key, Observation};
use super::intake::{Reading, SeriesIx, SeriesRow};
use super::roles;
use super::set_back::SetBack;
use crate::model::{Band, Check, Direction, MetricRole, SeriesKind, Time, Unit};

/// A scrape may come in pieces: a histogram that grew so lately, in milliseconds, waits …
const LATENESS_MS: i64 = 2_000;
/// … for so many windows at most.
const WAITS_MAX: u8 = 3;
/// Most buckets of one; later ones are not counted.
const BUCKETS_MAX: usize = 64;
/// The last bucket has no end: its values count as so many times the end of the one before.
const BEYOND: f64 = 2.0;
const ENDING: &str = "_bucket";

/// Histograms by their names without `_bucket`, fed by their buckets.
pub type Histograms = Feeds<Histogram, Part>;

/// Which bucket a series is.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    end: f64,
    counts: Counted,
}

/// What the series of a bucket counts.
#[derive(Clone, Copy, Debug)]
enum Counted {
    /// The values of all buckets up to its end, as scraped ones do.
    UpTo,
    /// Its own values, as pushed ones do, whose empty buckets are not told.
    Within,
}

/// Values of one bucket since the last window.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Bucket {
    end: f64,
    up_to: f64,
    within: f64,
}

/// The buckets of one name on one entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Histogram {
    unit: Unit,
    /// In rising order of their ends.
    buckets: Vec<Bucket>,
    grown_at: Time,
    waits: u8,
    distribution: Distribution,
}

impl Part {
    /// The bucket of its own values that ends at `end`.
    #[cfg(test)]
    pub const fn within(end: f64) -> Self {
        let counts = Counted::Within;
        Self { end, counts }
    }
}

impl Histogram {
    /// Of values in this unit; nothing is known of them.
    pub fn new(unit: Unit) -> Self {
        Self {
            unit,
            buckets: Vec::new(),
            grown_at: Time::ZERO,
            waits: 0,
            distribution: Distribution::new(Kind::Measure),
        }
    }

    /// Adds what a bucket grew by. Where there is no room for one more, values count in the next higher one.
    fn count(&mut self, at: Time, part: Part, grown: f64) {
        self.grown_at = at;
        let end = part.end;
        let known = self
            .buckets
            .binary_search_by(|known| known.end.total_cmp(&end));
        let place = match known {
            Err(place) if self.buckets.len() < BUCKETS_MAX => {
                let (up_to, within) = (0.0, 0.0);
                self.buckets.insert(place, Bucket { end, up_to, within });
                place
            }
            // What is counted up to an end between others is counted up to the next one, too.
            Err(place) if place < BUCKETS_MAX && matches!(part.counts, Counted::UpTo) => return,
            Ok(place) | Err(place) => place.min(BUCKETS_MAX - 1),
        };
        let bucket = &mut self.buckets[place];
        bucket.end = bucket.end.max(end);
        match part.counts {
            Counted::UpTo => bucket.up_to += grown,
            Counted::Within => bucket.within += grown,
        }
    }

    /// Judges what came since the last window; `is_told_better` asks whether something else tells it.
    fn judge(&mut self, at: Time, is_told_better: impl FnOnce() -> bool) -> Judged<Shift> {
        if at.since(self.grown_at) < LATENESS_MS && self.waits < WAITS_MAX {
            self.waits += 1;
            return Judged::Usual;
        }
        self.waits = 0;
        let distribution = &mut self.distribution;
        drain(&mut self.buckets, |value, count| {
            distribution.add(at, value, count, 1.0);
        });
        let judged = self.distribution.judge(at, is_told_better);
        judged.map(|shift| self.snapped(shift))
    }

    /// The range between ends of buckets: values are known no better. Edges are kept as `f32`, and 0.01 is less than that of it.
    fn snapped(&self, shift: Shift) -> Shift {
        let end = |edge: f64| {
            let ends = self.buckets.iter().map(|bucket| bucket.end);
            ends.rev().find(|end| *end as f32 <= edge as f32)
        };
        Shift {
            above: shift.above.and_then(end),
            up_to: shift.up_to.and_then(end),
            ..shift
        }
    }

    /// How far it is known.
    pub fn standing(&self) -> Standing {
        self.distribution.standing()
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        back.past(&mut self.grown_at);
        self.distribution.set_back(back);
    }
}

/// Takes the values since the last window out of the buckets: `each` gets what those of one bucket count as, and
/// how many there are.
fn drain(buckets: &mut [Bucket], mut each: impl FnMut(f64, f64)) {
    let (mut below, mut last) = (0.0, 0.0);
    for bucket in buckets {
        let up_to = std::mem::take(&mut bucket.up_to);
        let within = std::mem::take(&mut bucket.within);
        let value = if bucket.end.is_finite() {
            bucket.end
        } else {
            BEYOND * last
        };
        each(value, (up_to - below).max(0.0) + within);
        (below, last) = (up_to.max(below), value);
    }
}

impl Histograms {
    /// Those called `name`, with or without `_bucket`: which, of whom, and how far they are known.
    pub fn called<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (u32, EntityIx, Standing)> + 'a {
        let name = name.strip_suffix(ENDING).unwrap_or(name);
        let meant = self.iter().filter(move |(_, group)| *group.key == *name);
        meant.map(|(id, group)| (id, group.entity, group.of.standing()))
    }
}

impl Engine {
    /// Counts what a bucket grew by.
    pub(super) fn count_for_histograms(&mut self, reading: &Reading) {
        let feed = match self.histograms.feed(reading.series) {
            Feed::Unknown => self.feed_histogram(reading.series),
            feed => feed,
        };
        if let Feed::Group(id, part) = feed
            && let Some(histogram) = self.histograms.fed(id)
        {
            histogram.count(self.now, part, reading.value);
        }
    }

    /// Finds out which bucket a series is.
    fn feed_histogram(&mut self, series: SeriesIx) -> Feed<Part> {
        let row = self.intake.row(series);
        let (entity, of) = (row.entity, Arc::clone(&row.series));
        let end = of.labels.get("le").and_then(|end| end.parse::<f64>().ok());
        let bucket = of
            .name
            .strip_suffix(ENDING)
            .zip(end.filter(|end| row.is_bucket() && !end.is_nan()));
        let counts = match of.kind {
            SeriesKind::Delta => Counted::Within,
            SeriesKind::Counter | SeriesKind::Gauge => Counted::UpTo,
        };
        let bucket = bucket.map(|(name, end)| (name.into(), Part { end, counts }));
        let make = || Histogram::new(roles::unit_of(&of));
        self.histograms.add(series, entity, bucket, make)
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
        self.histograms.drop_unfed();
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
        let (odd, intake) = (&self.odd, &self.intake);
        let judged = self.histograms.judge(now, |group: &mut Group<Histogram>| {
            let Group {
                entity, key, of, ..
            } = group;
            of.judge(now, || {
                let mut odd = odd.of_entity(*entity);
                odd.any(|series| is_beside(intake.row(series), key))
            })
        });
        for (id, judged) in judged {
            self.tell_of_histogram(id, judged);
        }
    }

    /// Whether a mean or a quantile of the same is odd; `None` when there is none.
    fn is_odd_beside(&self, entity: EntityIx, key: &str) -> Option<bool> {
        let all = self.intake.of_entity(entity).iter();
        let beside = all.filter(|series| is_beside(self.intake.row(**series), key));
        let odd = |series: &SeriesIx| self.odd.of_entity(entity).any(|odd| odd == *series);
        beside.map(odd).reduce(|any, one| any || one)
    }

    fn tell_of_histogram(&mut self, id: u32, judged: Judged<Shift>) {
        let key = Key::Histogram(id);
        let Some(group) = self.histograms.get(id) else {
            return;
        };
        let subject = explain::subject(&group.key);
        let what = || format!("how {subject} is spread");
        let Some(shift) = self.findings.settle(key, self.now, judged, what) else {
            return;
        };
        let entity = group.entity;
        let beside = self.is_odd_beside(entity, &group.key);
        let values = format!("the values of {subject}");
        let explain = explain::rarity(shift.score as f32)
            .judged_by([("spread of values", true)])
            .judged_by(beside.map(|is_odd| ("mean and quantiles", is_odd)))
            .against(group.of.distribution.baseline());
        self.observe(Observation {
            key,
            entity,
            callee: None,
            sick: entity,
            check: Check::Distribution,
            series: None,
            text: explain::shift(&values, &shift, group.of.unit),
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
            explain,
        });
    }
}

/// Whether a series is the mean of the histogram `key`, or a quantile beside it; how many values it counts is neither.
fn is_beside(row: &SeriesRow, key: &str) -> bool {
    row.is_judged() && row.role != MetricRole::Traffic && row.series.name.starts_with(key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::dice::Dice;
    use crate::model::{
        Batch, EntityId, Input, Labels, Sample, Series, Signal, SourceId, Stamped, WhyAnswer,
    };

    /// A Wednesday, 12:00.
    const START_S: i64 = 1_768_392_000;
    const ENDS: [&str; 7] = ["0.05", "0.1", "0.25", "0.5", "1", "2.5", "+Inf"];

    /// A service that counts how long its requests take.
    struct Bench {
        engine: Engine,
        second: i64,
        dice: Dice,
        buckets: [f64; ENDS.len()],
        /// Whether buckets say what they hold, or what they grew by, if they did.
        kind: SeriesKind,
        /// Whether their sum and their number are told beside them.
        has_sum: bool,
        sum: f64,
    }

    impl Bench {
        fn new(kind: SeriesKind) -> Self {
            Self {
                kind,
                engine: Engine::new(EngineConfig::default(), Vec::new()),
                second: 0,
                dice: Dice(3),
                buckets: [0.0; ENDS.len()],
                has_sum: false,
                sum: 0.0,
            }
        }

        /// Minutes of scrapes every 15 s, with so many requests each, of which a share takes 2 s.
        fn minutes(&mut self, minutes: i64, requests: u32, slow: f64) {
            for _ in 0..minutes * 4 {
                let before = self.buckets;
                let requests = f64::from(requests) * (0.7 + 0.6 * self.dice.unit());
                for _ in 0..requests as u32 {
                    let took = if self.dice.unit() < slow {
                        1.5 + self.dice.unit()
                    } else {
                        0.04 + 0.2 * self.dice.unit() * self.dice.unit()
                    };
                    self.sum += took;
                    for (bucket, end) in self.buckets.iter_mut().zip(ENDS) {
                        *bucket += f64::from(u8::from(took <= end.parse().unwrap()));
                    }
                }
                let at = Time::from_secs(START_S + self.second);
                let (kind, mut below) = (self.kind, 0.0);
                let buckets = ENDS.iter().zip(self.buckets.into_iter().zip(before));
                let signals = buckets.filter_map(|(end, (value, before))| {
                    let up_to = value - before;
                    let own = up_to - std::mem::replace(&mut below, up_to);
                    let value = match kind {
                        SeriesKind::Delta => (own > 0.0).then_some(own)?,
                        SeriesKind::Counter | SeriesKind::Gauge => value,
                    };
                    let labels = [("service", "cart"), ("le", *end)];
                    let labels = Labels::from_pairs(labels).unwrap();
                    let name = "http_request_duration_seconds_bucket";
                    let series = Arc::new(Series::new(name, labels, kind, Unit::None));
                    Some(Signal::Sample(Sample { series, at, value }))
                });
                let mut signals: Vec<Signal> = signals.collect();
                let count = self.buckets[ENDS.len() - 1];
                let beside = [("_sum", self.sum), ("_count", count)];
                for (ending, value) in beside.into_iter().filter(|_| self.has_sum) {
                    let labels = Labels::from_pairs([("service", "cart")]).unwrap();
                    let name = format!("http_request_duration_seconds{ending}");
                    let series = Arc::new(Series::new(&name, labels, kind, Unit::None));
                    signals.push(Signal::Sample(Sample { series, at, value }));
                }
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
    fn what_several_push_adds_up_and_what_was_scraped_is_taken_apart() {
        let within = Part::within;
        let up_to = |end| Part {
            end,
            counts: Counted::UpTo,
        };
        let pushed = [
            (within(0.1), 100.0),
            // Another sender, one half of whose requests are slow; empty buckets are not told.
            (within(0.1), 50.0),
            (within(1.0), 0.0),
            (within(f64::INFINITY), 50.0),
        ];
        let scraped = [
            (up_to(0.1), 100.0),
            (up_to(1.0), 100.0),
            (up_to(f64::INFINITY), 150.0),
            (up_to(0.1), 50.0),
            (up_to(1.0), 50.0),
            (up_to(f64::INFINITY), 50.0),
        ];
        for told in [&pushed[..], &scraped] {
            let mut histogram = Histogram::new(Unit::Seconds);
            for (part, grown) in told {
                histogram.count(Time::from_secs(1), *part, *grown);
            }
            let mut values = Vec::new();
            drain(&mut histogram.buckets, |value, count| {
                values.push((value, count));
            });
            assert_eq!(values, [(0.1, 150.0), (1.0, 0.0), (2.0, 50.0)]);
        }
    }

    #[test]
    fn more_buckets_than_there_is_room_for_lose_no_value() {
        let mut histogram = Histogram::new(Unit::Seconds);
        let ends = (1..=BUCKETS_MAX + 9).map(|end| end as f64);
        for end in ends.chain([f64::INFINITY]) {
            histogram.count(Time::from_secs(1), Part::within(end), 1.0);
        }
        let mut sum = 0;
        drain(&mut histogram.buckets, |_, count| sum += count as usize);
        assert_eq!(histogram.buckets.len(), BUCKETS_MAX);
        assert_eq!(sum, BUCKETS_MAX + 10);
    }

    #[test]
    fn another_shape_is_told_until_it_is_over() {
        let (scraped, pushed) = (SeriesKind::Counter, SeriesKind::Delta);
        for (kind, requests) in [(scraped, 20), (scraped, 150), (pushed, 150)] {
            let mut bench = Bench::new(kind);
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
    fn a_range_is_told_by_the_ends_it_lies_between() {
        for (above, up_to) in [(0.005, 0.01), (0.1, 0.25), (0.7, 1.1)] {
            let mut histogram = Histogram::new(Unit::Seconds);
            for end in [above, up_to, 9.0] {
                histogram.count(Time::from_secs(1), Part::within(end), 1.0);
            }
            let shift = Shift {
                above: Some(f64::from(above as f32)),
                up_to: Some(f64::from(up_to as f32)),
                seen: 0.5,
                usual: 0.1,
                high: 0.2,
                since: Time::ZERO,
                score: 9.0,
            };
            let told = histogram.snapped(shift);
            assert_eq!((told.above, told.up_to), (Some(above), Some(up_to)));
        }
    }

    /// A rate of requests that is odd withheld that they take longer, as if it said that.
    #[test]
    fn how_many_values_there_are_tells_nothing_of_how_they_are_spread() {
        let mut bench = Bench::new(SeriesKind::Counter);
        bench.has_sum = true;
        bench.minutes(450, 60, 0.01);
        let key = "http_request_duration_seconds";
        let entity = bench.engine.entities.find(&EntityId::parse("service/cart"));
        let entity = entity.expect("it is known");
        let series = bench.engine.intake.of_entity(entity).iter();
        let rows = series.map(|ix| bench.engine.intake.row(*ix));
        let rows: Vec<&SeriesRow> = rows.filter(|row| row.is_judged()).collect();
        let all = rows.iter().filter(|row| row.series.name.starts_with(key));
        assert_eq!(all.count(), 2, "the mean, and how many");
        let beside = rows.iter().filter(|row| is_beside(row, key));
        let names: Vec<&str> = beside.map(|row| &*row.series.name).collect();
        assert_eq!(names, ["http_request_duration_seconds_sum"]);
    }

    #[test]
    fn a_mean_is_asked_where_there_is_one() {
        for has_mean in [false, true] {
            let mut bench = Bench::new(SeriesKind::Counter);
            bench.minutes(450, 60, 0.01);
            if has_mean {
                let at = Time::from_secs(START_S + bench.second);
                let labels = Labels::from_pairs([("service", "cart")]).unwrap();
                let name = "http_request_duration_seconds_p99";
                let series = Series::new(name, labels, SeriesKind::Gauge, Unit::Seconds);
                let sample = Sample {
                    series: Arc::new(series),
                    at,
                    value: 0.2,
                };
                let (source, signals) = (SourceId::new("test"), vec![Signal::Sample(sample)]);
                bench.step(at, Input::Signals(Batch { source, signals }));
            }
            bench.minutes(10, 60, 0.4);
            let state = bench.engine.findings.of_key(Key::Histogram(1)).unwrap();
            let explain = state.finding.explain.as_ref().unwrap();
            let asked: &[Box<str>] = if has_mean {
                &["mean and quantiles".into()]
            } else {
                &[]
            };
            assert_eq!(
                (&explain.agreed[..], &explain.disagreed[..]),
                (&["spread of values".into()][..], asked)
            );
        }
    }

    #[test]
    fn ordinary_hours_are_quiet_and_what_lasts_for_hours_is_normal() {
        let mut bench = Bench::new(SeriesKind::Counter);
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
        let mut bench = Bench::new(SeriesKind::Counter);
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
        assert_eq!(
            (bench.told(), bench.engine.histograms.iter().count()),
            (None, 0)
        );
        let called = bench
            .engine
            .histograms
            .called("http_request_duration_seconds_bucket");
        assert_eq!(called.count(), 0);
    }
}
