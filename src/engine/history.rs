//! The recent past of one series, small enough to keep for two hundred thousand of them.
//!
//! ```text
//! | coarse: 40 means of 8 points | recent: 48 points |     12 bytes a point, oldest first
//! ```
//!
//! A point holds its value as `f32`, the band as the upper halves of two `f32` (three digits, enough
//! to draw), the distance to the point before it, and the evidence it ended, in quarters. Never grows once full.

use serde::{Deserialize, Serialize};

use super::set_back::SetBack;
use crate::model::{Band, Time};

/// Points kept as they were.
const RECENT_MAX: usize = 48;
/// Means kept of what is older.
const COARSE_MAX: usize = 40;
/// Points in one mean.
const COARSE_POINTS: u32 = 8;
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

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Packed {
    value: f32,
    low: u16,
    high: u16,
    /// Ticks since the point before.
    gap: u16,
    /// Evidence, in quarters.
    evidence: u8,
}

/// A ring of points, oldest overwritten.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Ring {
    points: Vec<Packed>,
    next: u32,
}

/// See the module.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct History {
    recent: Ring,
    coarse: Ring,
    /// Time of the newest recent point and of the newest mean.
    last: Time,
    coarse_last: Time,
    sum: f32,
    count: u32,
    /// Highest evidence of the points summed.
    evidence: u8,
}

impl Ring {
    fn push(&mut self, point: Packed, max: usize) {
        if self.points.len() < max {
            // Once and for all: rings that grow leave holes in the heap worth a fifth of a series.
            if self.points.capacity() == 0 {
                self.points.reserve_exact(max);
            }
            self.points.push(point);
        } else {
            self.points[self.next as usize] = point;
            self.next = (self.next + 1) % max as u32;
        }
    }

    /// Newest first.
    fn newest_first(&self) -> impl Iterator<Item = &Packed> {
        let (newer, older) = self.points.split_at(self.next as usize);
        newer.iter().rev().chain(older.iter().rev())
    }
}

impl History {
    /// Gives rings read from a checkpoint the room of those that grew here.
    pub fn make_room(&mut self) {
        for (ring, max) in [
            (&mut self.recent, RECENT_MAX),
            (&mut self.coarse, COARSE_MAX),
        ] {
            if !ring.points.is_empty() {
                ring.points
                    .reserve_exact(max.saturating_sub(ring.points.len()));
            }
        }
    }

    /// Adds a point; times ascend.
    pub fn push(&mut self, at: Time, value: f64, expected: Band, evidence: f32) {
        let point = Packed {
            value: value as f32,
            low: upper_half(expected.low),
            high: upper_half(expected.high),
            gap: gap_ticks(at, self.last),
            evidence: (evidence * EVIDENCE_STEPS).clamp(0.0, 255.0) as u8,
        };
        self.recent.push(point, RECENT_MAX);
        self.last = at;
        self.sum += point.value;
        self.evidence = self.evidence.max(point.evidence);
        self.count += 1;
        if self.count == COARSE_POINTS {
            let mean = Packed {
                value: self.sum / COARSE_POINTS as f32,
                gap: gap_ticks(at, self.coarse_last),
                evidence: self.evidence,
                ..point
            };
            self.coarse.push(mean, COARSE_MAX);
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
        self.recent.newest_first().next().map(|point| point.value)
    }

    /// Everything kept, oldest first; means only of times before the recent points.
    pub fn points(&self) -> Vec<Point> {
        let mut points: Vec<Point> = walk(&self.recent, self.last).collect();
        let oldest = points.last().map_or(self.last, |point| point.at);
        points.extend(walk(&self.coarse, self.coarse_last).filter(|point| point.at < oldest));
        points.reverse();
        points
    }
}

fn walk(ring: &Ring, last: Time) -> impl Iterator<Item = Point> {
    let mut at = last;
    ring.newest_first().map(move |packed| {
        let point = Point {
            at,
            value: packed.value,
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
            );
        }
        let points = history.points();
        assert!(points.windows(2).all(|pair| pair[0].at < pair[1].at));
        let last = points.last().unwrap();
        assert_eq!(
            (last.at, last.value),
            (Time::from_secs(10_000 + 5 * 999), 999.0)
        );
        assert!(points.iter().all(|p| (p.evidence - 2.5).abs() < 0.01));
        assert!((last.low - 998.0).abs() < 5.0 && (last.high - 1_000.0).abs() < 5.0);
        let span_ms = last.at.since(points[0].at);
        assert_eq!(
            points.len(),
            RECENT_MAX + COARSE_MAX - RECENT_MAX / COARSE_POINTS as usize
        );
        assert!(span_ms >= 40 * 39 * 1_000, "{span_ms}");
        let heap_bytes = (history.recent.points.capacity() + history.coarse.points.capacity())
            * size_of::<Packed>();
        assert!(heap_bytes <= 1_100, "{heap_bytes}");
    }
}
