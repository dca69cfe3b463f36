//! When will it run out? Growth of a resource towards the limit it has, as far as it can be foreseen.
//!
//! Each resource is looked at once a minute, by what is kept of it. It must be half full, its growth
//! beyond chance ([`mod@line`]), and it is never foreseen further than a few times what was seen. Where
//! a day's season is known, only what is above it counts: a morning is no leak. What is told is an
//! interval, and it is told anew when it has changed.

mod limit;
mod line;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::detect::Maturity;
use super::diagnose::words;
use super::explain;
use super::findings::{Key, Observation};
use super::history::Point;
use super::intake::{SeriesIx, SeriesRow};
use crate::model::{Band, Check, MetricRole, Time, Unit};
use limit::Limit;
use line::{Ahead, Growth};

/// Part of the series looked at in one tick: each once a minute.
const PARTS: usize = 60;
/// −log10 of the chance of a growth like this where there is none.
const SCORE_MIN: f64 = 6.0;
/// Highest score told.
const SCORE_MAX: f64 = 12.0;
/// Nothing is foreseen further than so many times what was seen …
const FAR: f64 = 4.0;
/// … nor further than this, in milliseconds.
const FAR_MS_MAX: f64 = 24.0 * 3_600_000.0;
/// What is less full than this share is not near anything.
const FULL_MIN: f64 = 0.5;
/// At this share of its limit it has run out, as far as a gauge that wavers can say.
const RUN_OUT: f64 = 0.99;
/// Pages when it is at least this full …
const FULL_PAGES: f64 = 0.8;
/// … and ends within this, in milliseconds.
const PAGES_MS: f64 = 30.0 * 60_000.0;
/// Told anew when what was told of the time left is off by more than this share …
const OFF_SHARE: f64 = 0.2;
/// … and by more than this, in milliseconds.
const OFF_MS: f64 = 60_000.0;
/// Looks without growth until it is over.
const CALM_LOOKS: u8 = 3;

/// Resources that run out.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Forecasts {
    /// Told again after a restart: the findings are not kept.
    #[serde(skip)]
    open: BTreeMap<SeriesIx, Told>,
    /// Those that were seen to grow until nothing was left, and since when nothing is: no growth tells that after a
    /// restart, and a volume that is always full ran out of nothing.
    full: BTreeMap<SeriesIx, Time>,
    next_part: usize,
}

/// What was told of one.
#[derive(Clone, Copy, Debug)]
struct Told {
    /// Time left, in milliseconds.
    left_ms: f64,
    pages: bool,
    /// Looks in a row at which it did not grow.
    calm: u8,
}

/// What is foreseen of a resource.
#[derive(Clone, Copy, Debug)]
struct Foreseen {
    limit: Limit,
    growth: Growth,
    ahead: Ahead,
    first: Point,
    newest: Point,
    pages: bool,
}

impl Foreseen {
    /// How much is in use now.
    fn in_use(&self) -> f64 {
        self.limit.in_use(f64::from(self.newest.value))
    }

    /// `84 % of 100 %, full in 2 h (1.8 to 2.3 h) at this pace`.
    fn words(&self, unit: Unit) -> String {
        let duration = |ms: f64| words::duration(ms as i64);
        let late = if self.ahead.late_ms <= FAR_MS_MAX {
            duration(self.ahead.late_ms)
        } else {
            "much later".to_owned()
        };
        format!(
            "{} of {} in use, full in {} ({} to {late}) at this pace",
            words::value(self.in_use(), unit),
            words::value(self.limit.most, unit),
            duration(self.ahead.likely_ms),
            duration(self.ahead.early_ms),
        )
    }
}

impl Engine {
    /// Looks at a part of the resources.
    pub(super) fn forecast(&mut self) {
        let places = self.intake.places();
        let part = places.div_ceil(PARTS);
        let from = self.forecasts.next_part * part;
        self.forecasts.next_part = (self.forecasts.next_part + 1) % PARTS;
        for at in from..(from + part).min(places) {
            let series = SeriesIx(at as u32);
            match self.foresee(series) {
                // A gauge that wavers just below its limit foresees nothing any more.
                _ if self.forecasts.full.contains_key(&series) && self.has_run_out(series) => {
                    self.tell_run_out(series);
                }
                Some(foreseen) => {
                    self.forecasts.full.remove(&series);
                    self.tell_forecast(series, &foreseen);
                }
                // What was told has come true: full, it grows no more, and nothing is over.
                None if self.has_run_out(series) => self.tell_run_out(series),
                None => self.note_no_growth(series),
            }
        }
    }

    /// A series is gone: nothing of it runs out any more.
    pub(super) fn forget_forecast(&mut self, series: SeriesIx) {
        self.forecasts.full.remove(&series);
        if self.forecasts.open.remove(&series).is_some() {
            self.findings.end(Key::Limit(series), self.now);
        }
    }

    fn note_no_growth(&mut self, series: SeriesIx) {
        // A restart forgot what was told of it, and by now there is room again.
        if !self.forecasts.open.contains_key(&series) && !self.intake.row(series).is_silent {
            self.forecasts.full.remove(&series);
        }
        let Some(told) = self.forecasts.open.get_mut(&series) else {
            return;
        };
        told.calm += 1;
        if told.calm >= CALM_LOOKS {
            self.forget_forecast(series);
        }
    }

    /// Whether a resource that still tells of itself has nothing left.
    fn has_run_out(&self, series: SeriesIx) -> bool {
        let row = self.intake.row(series);
        let was_foreseen =
            self.forecasts.open.contains_key(&series) || self.forecasts.full.contains_key(&series);
        if row.is_silent || !was_foreseen {
            return false;
        }
        let Some(limit) = Limit::of(row, &self.intake) else {
            return false;
        };
        let latest = row.latest();
        latest.is_some_and(|latest| limit.in_use(f64::from(latest)) >= RUN_OUT * limit.most)
    }

    /// What is foreseen of a series, if it is a resource that runs out.
    fn foresee(&self, series: SeriesIx) -> Option<Foreseen> {
        let row = self.intake.row(series);
        if !row.is_judged() || row.is_silent {
            return None;
        }
        let limit = Limit::of(row, &self.intake)?;
        // Cheap first: hardly anything is half full.
        let latest = limit.in_use(f64::from(row.latest()?));
        if latest < FULL_MIN * limit.most || latest >= limit.most {
            return None;
        }
        let points = self.intake.points(row);
        let (first, newest) = (*points.first()?, *points.last()?);
        if row.judge.detector().is_seasonal() && is_as_usual(limit, &newest) {
            return None;
        }
        let pairs: Vec<(f64, f64)> = points
            .iter()
            .map(|p| {
                (
                    p.at.since(first.at) as f64,
                    limit.in_use(f64::from(p.value)),
                )
            })
            .collect();
        let growth = Growth::of(&pairs).filter(|growth| growth.score >= SCORE_MIN)?;
        let ahead = growth.ahead(limit.most)?;
        if ahead.likely_ms > FAR_MS_MAX.min(FAR * growth.span_ms) {
            return None;
        }
        let is_mature = row.judge.detector().maturity() == Maturity::Mature;
        Some(Foreseen {
            limit,
            growth,
            ahead,
            first,
            newest,
            pages: is_mature && ahead.likely_ms <= PAGES_MS && latest >= FULL_PAGES * limit.most,
        })
    }

    /// Tells that nothing is left of it, unless that was told already.
    fn tell_run_out(&mut self, series: SeriesIx) {
        const NOTHING_LEFT: Told = Told {
            left_ms: 0.0,
            pages: true,
            calm: 0,
        };
        let row = self.intake.row(series);
        let Some(limit) = Limit::of(row, &self.intake) else {
            return;
        };
        let before = self.forecasts.open.get_mut(&series);
        if let Some(before) = before
            && before.left_ms == NOTHING_LEFT.left_ms
        {
            before.calm = 0;
            return;
        }
        let at = row.last_at;
        let since = *self.forecasts.full.entry(series).or_insert(at);
        self.forecasts.open.insert(series, NOTHING_LEFT);
        let seen = run_out(series, self.intake.row(series), limit, since);
        self.observe(seen);
    }

    /// Tells it, unless that was told already.
    fn tell_forecast(&mut self, series: SeriesIx, foreseen: &Foreseen) {
        let told = Told {
            left_ms: foreseen.ahead.likely_ms,
            pages: foreseen.pages,
            calm: 0,
        };
        if let Some(before) = self.forecasts.open.get_mut(&series) {
            before.calm = 0;
            let off_ms = (told.left_ms - before.left_ms).abs();
            let is_news =
                told.pages && !before.pages || off_ms > OFF_MS.max(OFF_SHARE * before.left_ms);
            if !is_news {
                return;
            }
        }
        self.forecasts.open.insert(series, told);
        let seen = running_out(series, self.intake.row(series), foreseen);
        self.observe(seen);
    }
}

/// Whether it is as full as it usually is at this hour.
fn is_as_usual(limit: Limit, point: &Point) -> bool {
    if limit.is_left {
        point.value >= point.low
    } else {
        point.value <= point.high
    }
}

/// `disk used ran out: 100 % of 100 % in use`.
fn run_out(series: SeriesIx, row: &SeriesRow, limit: Limit, since: Time) -> Observation {
    let subject = &row.series.name;
    let latest = f64::from(row.latest().unwrap_or_default());
    let in_use = words::value(limit.in_use(latest), row.unit);
    let most = words::value(limit.most, row.unit);
    let mut explain = explain::rarity(SCORE_MAX as f32);
    explain.unusual = "it grew until nothing was left".into();
    let explain = explain
        .judged_by([("growth towards a limit", true)])
        .judged_by(row.judge.opinions())
        .against(Engine::baseline_of(row));
    let enough = RUN_OUT * limit.most;
    Observation {
        key: Key::Limit(series),
        entity: row.entity,
        callee: None,
        sick: row.entity,
        check: Check::Saturation,
        series: Some(row.series.id),
        subject: subject.as_ref().into(),
        role: MetricRole::Saturation,
        unit: row.unit,
        since,
        at: row.last_at,
        expected: Band {
            low: if limit.is_left {
                limit.in_use(enough)
            } else {
                0.0
            },
            high: if limit.is_left { limit.most } else { enough },
        },
        seen: latest,
        direction: limit.direction(),
        score: SCORE_MAX as f32,
        pages: true,
        text: format!(
            "{} ran out: {in_use} of {most} in use",
            explain::subject(subject)
        ),
        explain,
    }
}

fn running_out(series: SeriesIx, row: &SeriesRow, foreseen: &Foreseen) -> Observation {
    let Foreseen {
        limit,
        first,
        newest,
        ..
    } = *foreseen;
    let subject = &row.series.name;
    let score = foreseen.growth.score.min(SCORE_MAX) as f32;
    let words = foreseen.words(row.unit);
    let mut explain = explain::rarity(score);
    explain.unusual = format!("growth like this, where there is none: {}", explain.unusual).into();
    let explain = explain
        .judged_by([("growth towards a limit", true)])
        .judged_by(row.judge.opinions())
        .against(Engine::baseline_of(row));
    Observation {
        key: Key::Limit(series),
        entity: row.entity,
        callee: None,
        sick: row.entity,
        check: Check::Saturation,
        series: Some(row.series.id),
        subject: subject.as_ref().into(),
        role: MetricRole::Saturation,
        unit: row.unit,
        since: first.at,
        at: newest.at,
        expected: Band {
            low: f64::from(first.low),
            high: f64::from(first.high),
        },
        seen: f64::from(newest.value),
        direction: limit.direction(),
        score,
        pages: foreseen.pages,
        text: format!("{} runs out: {words}", explain::subject(subject)),
        explain,
    }
}
