//! What is normal now: a level, a season by hour of day for working days and for the rest of the week, and spread.
//!
//! Two predictors run side by side; the season is used while it explains clearly more than the
//! level alone, so nobody has to say which series are seasonal. Updates are clipped at
//! [`CLIP_SCALES`] so that an outlier teaches little. It never reads a clock: time is the sample's.

use serde::{Deserialize, Serialize};

use super::week::{Kinds, WORKING, hour_of_week, kind_at_first};
use super::weight;

/// Hours of a day.
const HOURS: usize = 24;
/// Milliseconds in a day.
const DAY_MS: i64 = 86_400_000;
/// Half-life of the level at slow sampling, in samples.
const LEVEL_HALF_LIFE_MIN: f32 = 480.0;
/// Half-life of the level at fast sampling, in samples.
const LEVEL_HALF_LIFE_MAX: f32 = 2_000.0;
/// Half-life of the level in time, where it lies between the two bounds, in seconds.
const LEVEL_HALF_LIFE_S: f32 = 6.0 * 3_600.0;
/// Half-life of the spread, in samples.
const SPREAD_HALF_LIFE: f32 = 500.0;
/// Days over which an hour's mean is taken.
const SEASON_DAYS: f32 = 6.0;
/// A season is used from this age on, in milliseconds: it has been seen once.
const SEASON_AGE_MS: i64 = DAY_MS;
/// The season is taken when its error is below this share of the level's error …
const SEASON_GAIN: f32 = 0.8;
/// … and given up when it is above this one.
const SEASON_LOSS: f32 = 0.9;
/// What an hour teaches at once of its kind, of which that was not thought.
const TAUGHT_SHARE: f32 = 0.8;
/// Strides of samples that the other profile's mean of an hour counts for.
const PROFILE_PRIOR: u8 = 4;
/// Updates are clipped at this many scales.
const CLIP_SCALES: f32 = 4.0;
/// Samples before updates are clipped.
const CLIP_AFTER: u32 = 30;
/// Mean absolute deviation to standard deviation of a normal distribution.
const DEVIATION_TO_SCALE: f32 = 1.25;
/// Spread assumed at least, as a share of the value: less is of no practical importance.
const SCALE_SHARE_MIN: f32 = 1e-3;
/// Spread assumed at least, absolutely.
const SCALE_MIN: f32 = 1e-6;
/// Steps in which the largest deviations are kept, in one scale.
const RECORD_STEPS: f32 = 4.0;
/// Deviations beyond this say no more, in scales.
pub(super) const DEVIATION_MAX: f32 = 40.0;
/// What a sample teaches while a fault is suspected, as a share of what it would teach.
const DOUBT_SHARE: f32 = 0.5;
/// After a change of cadence the spread is learned anew from as many samples.
const RELEARN_FROM: u32 = 12;

/// Level, season and spread of one series, relative to its first value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Baseline {
    first_ms: i64,
    count: u32,
    spread_count: u32,
    level: f32,
    /// Level on top of the season.
    offset: f32,
    level_error: f32,
    season_error: f32,
    seasonal: bool,
    /// The kind of day of the first sample.
    profile: u8,
    /// The hours of that kind of day.
    hours: Hours,
    /// Those of the other kind, and which hours of the week are of which, once a day has passed: many a series does not
    /// live to see it.
    week: Option<Box<Week>>,
}

/// What a series that lives for days learns of the week.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Week {
    /// The hours of the other kind of day than that of the first sample.
    hours: Hours,
    kinds: Kinds,
}

/// The hours of working days, or of weekends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Hours {
    means: [f32; HOURS],
    /// How often each hour was seen, in strides; 0 is never.
    seen: [u8; HOURS],
    /// Largest deviation at each hour outside of excursions, in steps of [`RECORD_STEPS`].
    records: [u8; HOURS],
}

/// A value to judge and to learn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// Event time.
    pub(super) at_ms: i64,
    /// The value, relative to the first one.
    pub(super) x: f32,
    /// How large the series' values are, for the least spread that matters.
    pub(super) magnitude: f32,
    /// Usual time between samples.
    pub(super) interval_s: f32,
    /// Whether a fault is suspected: then it teaches little.
    pub(super) doubtful: bool,
    /// Whether it counts among the largest deviations so far: one of an excursion does once it is over.
    pub(super) counts: bool,
}

/// One value against the baseline.
#[derive(Clone, Copy, Debug)]
pub(super) struct Residual {
    /// Whether another predictor than before expects it.
    pub(super) switched: bool,
    /// Value expected.
    pub(super) expected: f32,
    /// Spread around it.
    pub(super) scale: f32,
    /// Deviation, in the series' unit.
    pub(super) height: f32,
    /// Deviation in scales.
    pub(super) z: f32,
    /// Spread around the plain level, a steadier unit for long memories.
    pub(super) level_scale: f32,
}

/// Where in the week an instant lies: a profile and two hours with the share of the second.
#[derive(Clone, Copy, Debug)]
struct Phase {
    profile: u8,
    hours: [usize; 2],
    share: f32,
}

impl Baseline {
    /// Reads a word of each of its own cache lines, so that they come while others are worked on.
    pub(super) fn touch(&self) -> u32 {
        let hours = &self.hours;
        let means = hours.means[0] + hours.means[HOURS / 2] + hours.means[HOURS - 1];
        let seen = u32::from(hours.seen[0] ^ hours.records[HOURS - 1]);
        self.level.to_bits() ^ means.to_bits() ^ seen
    }

    /// Judges a value by what was known before, then learns it.
    pub(super) fn step(&mut self, point: &Point) -> Residual {
        if self.count == 0 {
            self.first_ms = point.at_ms;
            self.level = point.x;
            self.profile = kind_at_first(hour_of_week(point.at_ms));
        }
        self.watch(point.at_ms, point.x, point.magnitude);
        let phase = self.phase(point.at_ms);
        let season = self.season(phase);
        let least = least_scale(point.magnitude);
        let switched = self.choose(point.at_ms);
        let expected = if self.seasonal {
            season + self.offset
        } else {
            self.level
        };
        let scale = (self.error() * DEVIATION_TO_SCALE).max(least);
        let residual = Residual {
            switched,
            expected,
            scale,
            height: point.x - expected,
            z: (point.x - expected) / scale,
            level_scale: (self.level_error * DEVIATION_TO_SCALE).max(least),
        };
        self.learn(point, phase, season, &residual);
        if point.counts {
            self.note_record(phase, residual.z);
        }
        residual
    }

    /// What is expected at an instant, and the spread around it.
    pub(super) fn expect(&self, at_ms: i64, magnitude: f32) -> (f32, f32) {
        let expected = if self.seasonal {
            self.season(self.phase(at_ms)) + self.offset
        } else {
            self.level
        };
        let scale = self.error() * DEVIATION_TO_SCALE;
        (expected, scale.max(least_scale(magnitude)))
    }

    /// Takes a value to find out of which kind this hour of the week is, whether or not the value teaches anything else:
    /// what comes every week is no fault.
    pub(super) fn watch(&mut self, at_ms: i64, x: f32, magnitude: f32) {
        if self.age_ms(at_ms) < SEASON_AGE_MS {
            return;
        }
        let week = self.week.get_or_insert_default();
        let Some(seen) = week.kinds.add(hour_of_week(at_ms), x) else {
            return;
        };
        let scale = (self.season_error * DEVIATION_TO_SCALE).max(least_scale(magnitude));
        let [working, other] = if self.profile == WORKING {
            [&mut self.hours, &mut week.hours]
        } else {
            [&mut week.hours, &mut self.hours]
        };
        let at = seen.hour % HOURS;
        let off = |hours: &Hours| {
            let off = (seen.mean - hours.means[at]).abs() / scale;
            (hours.seen[at] > 0).then_some(off)
        };
        let Some(off_working) = off(working) else {
            return;
        };
        week.kinds.judge(seen.hour, off_working, off(other));
        if week.kinds.teaches(seen.hour) {
            other.means[at] += TAUGHT_SHARE * (seen.mean - other.means[at]);
        }
    }

    /// Where in the week an instant lies, by what is known of its hours.
    fn phase(&self, at_ms: i64) -> Phase {
        let hour = hour_of_week(at_ms);
        let profile = match &self.week {
            Some(week) => week.kinds.of(hour),
            None => kind_at_first(hour),
        };
        Phase::of(at_ms, profile)
    }

    /// The first sample came at `to_ms` at the latest.
    pub(super) fn set_back(&mut self, to_ms: i64) {
        self.first_ms = self.first_ms.min(to_ms);
    }

    /// The largest deviation so far at this hour of this kind of day, in scales, if there was such an hour before.
    pub(super) fn record(&self, at_ms: i64) -> Option<f32> {
        let phase = self.phase(at_ms);
        let hour = phase.nearest();
        let hours = self.hours_of(phase.profile)?;
        (hours.seen[hour] > 0).then(|| f32::from(hours.records[hour]) / RECORD_STEPS)
    }

    /// An excursion is over: how far it went is known from now on.
    pub(super) fn note_past(&mut self, at_ms: i64, deviation: f32) {
        self.note_record(self.phase(at_ms), deviation);
    }

    fn note_record(&mut self, phase: Phase, deviation: f32) {
        let record = &mut self.hours_mut(phase.profile).records[phase.nearest()];
        let steps = (deviation.abs().min(DEVIATION_MAX) * RECORD_STEPS) as u8;
        *record = (*record).max(steps);
    }

    /// When the first sample came, in milliseconds.
    pub(super) fn first_ms(&self) -> i64 {
        self.first_ms
    }

    /// Whether the daily season is in use.
    pub(super) fn is_seasonal(&self) -> bool {
        self.seasonal
    }

    /// Whether it follows the time of day, or is too young for that to be known.
    pub(super) fn may_be_seasonal(&self, at_ms: i64) -> bool {
        self.seasonal || self.age_ms(at_ms) < 2 * SEASON_AGE_MS
    }

    /// Time since the first sample, in milliseconds.
    pub(super) fn age_ms(&self, at_ms: i64) -> i64 {
        at_ms.saturating_sub(self.first_ms)
    }

    /// The plain level.
    pub(super) fn level(&self) -> f32 {
        self.level
    }

    /// Moves by `height` as a whole, with a spread of at least `scatter` around it: the hours keep their
    /// differences.
    pub(super) fn shift(&mut self, height: f32, scatter: f32) {
        self.level += height;
        self.offset += height;
        self.level_error = self.level_error.max(scatter);
        self.season_error = self.season_error.max(scatter);
    }

    /// Learns the spread anew: samples come at another pace, so they average over another time.
    pub(super) fn relearn_spread(&mut self) {
        self.spread_count = self.spread_count.min(RELEARN_FROM);
    }

    /// Takes the predictor that explains more, with hysteresis; whether that changed.
    fn choose(&mut self, at_ms: i64) -> bool {
        let most = if self.seasonal {
            SEASON_LOSS
        } else {
            SEASON_GAIN
        };
        let before = self.seasonal;
        self.seasonal =
            self.age_ms(at_ms) > SEASON_AGE_MS && self.season_error < most * self.level_error;
        self.seasonal != before
    }

    /// Mean absolute error of the predictor in use.
    fn error(&self) -> f32 {
        if self.seasonal {
            self.season_error
        } else {
            self.level_error
        }
    }

    fn season(&self, phase: Phase) -> f32 {
        let [a, b] = phase.hours.map(|h| self.hour(phase.profile, h));
        a + phase.share * (b - a)
    }

    /// Mean of an hour; that of the other profile, or the level, while it was never seen.
    fn hour(&self, profile: u8, hour: usize) -> f32 {
        let known = self.known_hour(profile, hour);
        known
            .or_else(|| self.known_hour(1 - profile, hour))
            .unwrap_or(self.level)
    }

    fn known_hour(&self, profile: u8, hour: usize) -> Option<f32> {
        let hours = self.hours_of(profile)?;
        (hours.seen[hour] > 0).then(|| hours.means[hour])
    }

    fn hours_of(&self, profile: u8) -> Option<&Hours> {
        if profile == self.profile {
            Some(&self.hours)
        } else {
            self.week.as_deref().map(|week| &week.hours)
        }
    }

    fn hours_mut(&mut self, profile: u8) -> &mut Hours {
        if profile == self.profile {
            &mut self.hours
        } else {
            &mut self.week.get_or_insert_default().hours
        }
    }

    fn learn(&mut self, point: &Point, phase: Phase, season: f32, residual: &Residual) {
        self.count = self.count.saturating_add(1);
        self.spread_count = self.spread_count.saturating_add(1);
        let clips = self.count > CLIP_AFTER;
        let clip = |delta: f32, scale: f32| {
            let most = CLIP_SCALES * scale;
            if clips {
                delta.clamp(-most, most)
            } else {
                delta
            }
        };
        let season_scale =
            (self.season_error * DEVIATION_TO_SCALE).max(least_scale(point.magnitude));
        let by_level = clip(point.x - self.level, residual.level_scale);
        let by_season = clip(point.x - season - self.offset, season_scale);

        let trust = if point.doubtful { DOUBT_SHARE } else { 1.0 };
        let half_life =
            (LEVEL_HALF_LIFE_S / point.interval_s).clamp(LEVEL_HALF_LIFE_MIN, LEVEL_HALF_LIFE_MAX);
        let level = trust * weight(self.count, half_life);
        self.level += level * by_level;
        self.offset += level * by_season;

        let spread = trust * weight(self.spread_count, SPREAD_HALF_LIFE);
        self.level_error += spread * (by_level.abs() - self.level_error);
        self.season_error += spread * (by_season.abs() - self.season_error);

        // The season's memory is long, so it needs a wider clip to find its way at all.
        let most = if clips {
            2.0 * CLIP_SCALES * season_scale
        } else {
            f32::MAX
        };
        self.learn_hours(point, phase, trust, most);
    }

    fn learn_hours(&mut self, point: &Point, phase: Phase, trust: f32, most: f32) {
        let per_hour = (3_600.0 / point.interval_s).max(1.0);
        // A count of 8 bits covers the days remembered when it counts strides of samples.
        let stride = (per_hour * SEASON_DAYS / 250.0).ceil().max(1.0);
        let counts = self.count.is_multiple_of(stride as u32);
        let least = 1.0 / (SEASON_DAYS * per_hour);
        let shares = [1.0 - phase.share, phase.share];
        for (hour, share) in phase.hours.into_iter().zip(shares) {
            let known = self.hour(phase.profile, hour);
            let is_prior = self.known_hour(1 - phase.profile, hour).is_some();
            let hours = self.hours_mut(phase.profile);
            let (seen, mean) = (&mut hours.seen[hour], &mut hours.means[hour]);
            if *seen == 0 {
                *seen = if is_prior { PROFILE_PRIOR } else { 1 };
                *mean = known;
            } else if counts && share >= 0.5 {
                *seen = seen.saturating_add(1);
            }
            let weight = trust * share * (1.0 / (f32::from(*seen) * stride)).max(least);
            *mean += weight * (point.x - *mean).clamp(-most, most);
        }
    }
}

fn least_scale(magnitude: f32) -> f32 {
    SCALE_MIN.max(SCALE_SHARE_MIN * magnitude)
}

impl Phase {
    /// The hour it lies in.
    fn nearest(self) -> usize {
        self.hours[usize::from(self.share >= 0.5)]
    }

    /// Of an instant in an hour of that kind.
    fn of(at_ms: i64, profile: u8) -> Self {
        // Hour means sit at the middle of their hour.
        let hours = at_ms.rem_euclid(DAY_MS) as f32 / 3_600_000.0 - 0.5;
        let first = hours.floor();
        let hour = (first as i32).rem_euclid(HOURS as i32) as usize;
        Self {
            profile,
            hours: [hour, (hour + 1) % HOURS],
            share: hours - first,
        }
    }
}
