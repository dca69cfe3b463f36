//! The recent past of one series, small enough to keep for two hundred thousand of them.
//!
//! ```text
//! | coarse: 40 means of 8 points | recent: 48 points |     about 5 bytes a point, oldest first
//! ```
//!
//! A point holds its value as `f32`, the band as the upper halves of two `f32` (three digits, enough
//! to draw), the distance to the point before it, and the evidence it ended, in quarters; [`pages`] packs
//! them.
//!
//! What a full history takes follows its series: a calm one packs into a few pages; when it turns noisy it takes more, at
//! most [`PAGES_MAX`] (1,536 bytes), and gives them back when it is calm again. Pages are forgotten as a whole, so that a
//! calm one holds up to [`pages::SPARE_POINTS_MAX`] points more in each row than it shows.

mod pages;

use serde::{Deserialize, Serialize};

use super::set_back::SetBack;
use crate::model::{Band, Time};
use pages::{Packed, Trail};

pub use pages::Pages;

/// Points kept as they were.
const RECENT_MAX: usize = 48;
/// Means kept of what is older.
const COARSE_MAX: usize = 40;
/// Points in one mean.
const COARSE_POINTS: u8 = 8;
/// Most pages of one history, whatever it is told.
const PAGES_MAX: usize = pages::trail_pages_max(RECENT_MAX) + pages::trail_pages_max(COARSE_MAX);
const _: () = assert!(PAGES_MAX == 24, "the module says how much that is");
/// Steps evidence is kept in.
const EVIDENCE_STEPS: f32 = 4.0;
/// Unit of the distance between points, in milliseconds.
const TICK_MS: i64 = 100;

/// One point as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Event time.
    pub at: Time,
    /// Value seen, or the mean of several.
    pub value: f32,
    /// Lower end of what was expected.
    pub low: f32,
    /// Upper end of what was expected.
    pub high: f32,
    /// Evidence of the run it was part of; the highest of several.
    pub evidence: f32,
    /// How long it stands for, in milliseconds.
    pub span_ms: i64,
}

impl Point {
    /// What was expected.
    pub fn band(&self) -> Band {
        Band {
            low: f64::from(self.low),
            high: f64::from(self.high),
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub struct History {
    recent: Trail,
    coarse: Trail,
    /// Time of the newest recent point and of the newest mean.
    last: Time,
    coarse_last: Time,
    sum: f32,
    count: u8,
    /// Highest evidence of the points summed.
    evidence: u8,
}

/// A history taken out, for a checkpoint; points oldest first.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct SavedHistory {
    recent: Vec<Packed>,
    coarse: Vec<Packed>,
    last: Time,
    coarse_last: Time,
    sum: f32,
    count: u8,
    evidence: u8,
}

impl History {
    /// Reads a word of what the next point changes, so that it comes while others are worked on.
    pub fn touch(&self, pages: &Pages) -> u32 {
        self.recent.touch(pages) ^ u32::from(self.count)
    }

    /// Adds a point; times ascend.
    pub fn push(&mut self, at: Time, value: f64, expected: Band, evidence: f32, pages: &mut Pages) {
        let value = value as f32;
        let point = Packed {
            value: value.to_bits(),
            low: upper_half(expected.low),
            high: upper_half(expected.high),
            gap: gap_ticks(at, self.last),
            evidence: (evidence * EVIDENCE_STEPS).clamp(0.0, 255.0) as u8,
        };
        self.recent.push(point, RECENT_MAX, pages);
        self.last = at;
        self.sum += value;
        self.evidence = self.evidence.max(point.evidence);
        self.count += 1;
        if self.count == COARSE_POINTS {
            let mean = Packed {
                value: (self.sum / f32::from(COARSE_POINTS)).to_bits(),
                gap: gap_ticks(at, self.coarse_last),
                evidence: self.evidence,
                ..point
            };
            self.coarse.push(mean, COARSE_MAX, pages);
            self.coarse_last = at;
            (self.sum, self.count, self.evidence) = (0.0, 0, 0);
        }
    }

    /// Follows a clock that was set back: the newest point is no later than now.
    pub fn set_back(&mut self, back: SetBack) {
        back.past(&mut self.last);
        back.past(&mut self.coarse_last);
    }

    /// The newest value.
    pub fn latest(&self) -> Option<f32> {
        let newest = self.recent.newest();
        newest.map(|point| f32::from_bits(point.value))
    }

    /// Everything kept, oldest first; means only of times before the recent points.
    pub fn points(&self, pages: &Pages) -> Vec<Point> {
        let recent = self.recent.newest_first(RECENT_MAX, pages);
        let coarse = self.coarse.newest_first(COARSE_MAX, pages);
        let mut points: Vec<Point> = walk(&recent, self.last).collect();
        let oldest = points.last().map_or(self.last, |point| point.at);
        points.extend(walk(&coarse, self.coarse_last).filter(|point| point.at < oldest));
        points.reverse();
        points
    }

    /// Since when every point is kept, and not only means; `None` while there is none.
    pub fn fine_since(&self, pages: &Pages) -> Option<Time> {
        let recent = self.recent.newest_first(RECENT_MAX, pages);
        walk(&recent, self.last).last().map(|point| point.at)
    }

    /// Forgets everything, and gives its pages back.
    pub fn clear(&mut self, pages: &mut Pages) {
        self.recent.clear(pages);
        self.coarse.clear(pages);
        *self = Self::default();
    }

    /// What is kept, for a checkpoint.
    pub fn saved(&self, pages: &Pages) -> SavedHistory {
        let oldest_first = |trail: &Trail, max| {
            let mut points = trail.newest_first(max, pages);
            points.reverse();
            points
        };
        SavedHistory {
            recent: oldest_first(&self.recent, RECENT_MAX),
            coarse: oldest_first(&self.coarse, COARSE_MAX),
            last: self.last,
            coarse_last: self.coarse_last,
            sum: self.sum,
            count: self.count,
            evidence: self.evidence,
        }
    }

    /// Puts back what [`Self::saved`] gave.
    pub fn restored(saved: &SavedHistory, pages: &mut Pages) -> Self {
        let mut history = Self {
            last: saved.last,
            coarse_last: saved.coarse_last,
            sum: saved.sum,
            // A checkpoint is outside of our hands: the next mean is due in time whatever it says.
            count: saved.count.min(COARSE_POINTS - 1),
            evidence: saved.evidence,
            ..Self::default()
        };
        for (trail, points, max) in [
            (&mut history.recent, &saved.recent, RECENT_MAX),
            (&mut history.coarse, &saved.coarse, COARSE_MAX),
        ] {
            for point in points {
                trail.push(*point, max, pages);
            }
        }
        history
    }
}

fn walk(newest_first: &[Packed], last: Time) -> impl Iterator<Item = Point> {
    let mut at = last;
    newest_first.iter().map(move |packed| {
        let point = Point {
            at,
            value: f32::from_bits(packed.value),
            low: widened(packed.low),
            high: widened(packed.high),
            evidence: f32::from(packed.evidence) / EVIDENCE_STEPS,
            span_ms: i64::from(packed.gap) * TICK_MS,
        };
        at = at.plus_ms(-i64::from(packed.gap) * TICK_MS);
        point
    })
}

fn gap_ticks(at: Time, last: Time) -> u16 {
    u16::try_from(at.since(last).max(0) / TICK_MS).unwrap_or(u16::MAX)
}

/// The sign, the exponent and seven digits of the fraction, rounded to nearest.
fn upper_half(value: f64) -> u16 {
    let bits = (value as f32).to_bits();
    if value.is_finite() {
        (bits.saturating_add(0x8000) >> 16) as u16
    } else {
        (bits >> 16) as u16
    }
}

fn widened(half: u16) -> f32 {
    f32::from_bits(u32::from(half) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_recent_points_and_means_of_older_ones() {
        let mut pages = Pages::default();
        let mut history = History::default();
        for i in 0..1_000_i64 {
            history.push(
                Time::from_secs(10_000 + 5 * i),
                i as f64,
                Band {
                    low: i as f64 - 1.0,
                    high: i as f64 + 1.0,
                },
                2.5,
                &mut pages,
            );
        }
        let points = history.points(&pages);
        assert!(points.windows(2).all(|pair| pair[0].at < pair[1].at));
        let last = points.last().unwrap();
        assert_eq!(
            (last.at, last.value),
            (Time::from_secs(10_000 + 5 * 999), 999.0)
        );
        assert_eq!(history.latest(), Some(999.0));
        assert!(points.iter().all(|p| (p.evidence - 2.5).abs() < 0.01));
        assert!((last.low - 998.0).abs() < 5.0 && (last.high - 1_000.0).abs() < 5.0);
        let span_ms = last.at.since(points[0].at);
        assert_eq!(
            points.len(),
            RECENT_MAX + COARSE_MAX - RECENT_MAX / usize::from(COARSE_POINTS)
        );
        assert!(span_ms >= 40 * 39 * 1_000, "{span_ms}");

        let saved = history.saved(&pages);
        let mut other = Pages::default();
        let again = History::restored(&saved, &mut other);
        assert_eq!(again.points(&other), points);
        history.clear(&mut pages);
        assert_eq!((history.points(&pages), history.latest()), (vec![], None));
    }

    #[test]
    fn a_history_never_takes_more_pages_than_it_may_and_gives_them_back() {
        let (mut pages, mut history) = (Pages::default(), History::default());
        let mut held = Vec::new();
        for phase in ["calm", "noisy", "calm"] {
            let mut most = 0;
            for i in 0..2_000_u32 {
                // Every byte of a point differs from that of the one before, or none does.
                let n = if phase == "calm" { 0 } else { i % 2 };
                let value = f32::from_bits([0x4142_4344, 0x3132_3334][n as usize]);
                let half = f64::from(f32::from_bits([0x4142_0000, 0x3132_0000][n as usize]));
                let band = Band {
                    low: half,
                    high: half,
                };
                let at = history.last.plus_ms([15_000, 70_000][n as usize]);
                history.push(
                    at,
                    f64::from(value),
                    band,
                    [0.0, 9.0][n as usize],
                    &mut pages,
                );
                most = most.max(pages.in_use());
            }
            held.push((most, pages.in_use()));
        }
        let [(_, calm), (noisiest, _), (_, again)] = held[..] else {
            panic!("three phases")
        };
        assert!(calm <= 6, "{held:?}");
        assert!((PAGES_MAX / 2..=PAGES_MAX).contains(&noisiest), "{held:?}");
        assert!(again <= calm + 1, "{held:?}");
        assert_eq!(pages.held(), noisiest, "kept for other histories");
        history.clear(&mut pages);
        assert_eq!(pages.in_use(), 0);
    }
}
