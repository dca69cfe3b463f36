//! Are these values spread over their range as they usually are? One answer for the values in log lines,
//! the durations of calls and the buckets of histograms.
//!
//! The first values choose eight cells: five around the middle by their quantiles, one at either end for what is usual
//! but rare, one on either side for what is far off. Each window's shares of the cells are then
//! compared with the usual ones by a G-test (Sokal and Rohlf 1994), divided by how much more than chance
//! ordinary windows differ (Williams 1982), bounded as Chernoff (1952) does, and summed up over windows
//! (Page 1954). A change that moves few values is never told, however sure it is, nor one that moves them
//! hardly further than they are known to; an odd window teaches nothing else. Values of several weights count as many as they are worth (Kish 1965).
//!
//! No value is kept but those 32 that choose the cells, and only until they have.

use serde::{Deserialize, Serialize};

use super::cusum::{Cusum, EVIDENCE_MIN, Judged, LAPSES_MS, SURPRISE_USUAL};
use super::detect::HOLD_MS_MAX;
use super::explain;
use super::set_back::SetBack;
use crate::model::{BaselineVersion, Time};

/// Cells the range is divided into.
pub const CELLS: usize = 8;
const EDGES: usize = CELLS - 1;
/// Values that choose the cells, evenly taken over at least so long, in milliseconds.
const GATHERED: usize = 32;
const GATHER_MS: i64 = 10 * 60_000;
/// Windows that are learned before any is judged, over at least so long, in milliseconds.
const LEARN_WINDOWS: u32 = 60;
/// The first of them differ from what nobody knows yet: how much windows differ is learned from the others.
const FIRST_WINDOWS: u32 = 15;
const LEARN_MS: i64 = 30 * 60_000;
/// Values a window has at least.
const WINDOW_VALUES: f64 = 40.0;
/// What is usual is that of so long, in milliseconds, and of so many windows at least.
const MEMORY_MS: f64 = 5_400_000.0;
const MEMORY_WINDOWS: f64 = 30.0;
/// Values a window counts as at most: more of them make small differences certain, which nobody asks for.
const VALUES_MAX: f64 = 200.0;
/// Nobody counts so many values at once: a counter that says so is broken.
const COUNT_MAX: f64 = 1e12;
/// Share that every cell is granted, so that what never happened is not impossible.
const SHARE_MIN: f64 = 0.004;
/// A change moves this share of the values at least, from one cell to another …
const MOVED_MIN: f64 = 0.25;
/// … and this share while it is not known for so long, in milliseconds, how far they move on ordinary days …
const MOVED_YOUNG_MIN: f64 = 0.6;
const YOUNG_MS: i64 = 6 * 3_600_000;
/// … and so many times the furthest of them, of which half is forgotten after so long, in milliseconds.
const BEYOND_KNOWN: f64 = 1.3;
const KNOWN_HALF_LIFE_MS: f64 = 7.0 * 86_400_000.0;
/// −log10 of the chance of a window, at most: one window alone opens nothing.
const SURPRISE_MAX: f64 = 4.0;
/// How much a window may teach of how windows differ, in times of what is known.
const SPREAD_STEP_MAX: f64 = 8.0;
/// Share of values in the outermost cells from which on they were chosen badly: values wander.
const FAR_MAX: f64 = 0.15;
/// Times that cells are chosen before it is given up.
const TRIES_MAX: u8 = 3;
/// Distance of the outermost edges from the next, in logarithms, at least: a factor of 1.4.
const REACH_MIN: f64 = 0.35;
/// Below this, values differ by amounts rather than by factors.
const LOG_UNIT: f64 = 1e-6;
/// Names that differ before it means anything which of them come.
const NAMES_MIN: usize = 8;
/// A whole number of this size that hardly varies is a name: a port, a process.
const NUMBER_NAMES_MIN: f64 = 1_000.0;
const NUMBER_NAMES_MAX: usize = 4;
/// Share of steps upwards from which on numbers count something up.
const RISING_MIN: f64 = 0.75;

/// What the values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Measured: durations, sizes, shares.
    Measure,
    /// Numbers of which nobody says what they are: some are names, some count up.
    Number,
    /// Names, as numbers from 0 to 1 that have nothing to do with each other.
    Name,
}

/// What is asked of the values now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Stage {
    /// Which cells there are; every so many values one is taken.
    Gathering {
        values: Vec<f32>,
        stride: f64,
        owed: f64,
    },
    /// How many values each holds.
    Learning,
    /// Whether that changes.
    Watching,
    /// Nothing: they say nothing about anything.
    Unsuited,
}

/// Values since the last window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Window {
    cells: [f32; CELLS],
    /// Sum of the squares of the weights.
    squares: f64,
    /// When its first value came; until then, when the one before it ended.
    began: Time,
    /// When its last value came, likewise.
    last: Time,
}

/// How values are distributed, usually and of late. See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distribution {
    kind: Kind,
    stage: Stage,
    /// When the stage began.
    began: Time,
    /// Start of the first window learned.
    learned_from: Time,
    tries: u8,
    /// A value up to and including an edge lies below it.
    edges: [f32; EDGES],
    usual: [f32; CELLS],
    /// How much more than chance windows differ.
    spread: f64,
    windows: u32,
    window: Window,
    evidence: Cusum,
    /// Values of the windows that are evidence.
    odd: [f32; CELLS],
    /// The evidence was enough, and they moved further than is known of ordinary days.
    is_told: bool,
    /// And that was what [`Self::judge`] said last.
    is_announced: bool,
    /// The furthest that values moved, now …
    far: f64,
    /// … and before, as of `known_at`.
    known: f64,
    known_at: Time,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Standing {
    /// The ranges are not chosen yet.
    Gathering,
    /// So many windows are learned, of those it takes.
    Learning(u32, u32),
    /// Evidence so far, and what it takes to be told.
    Watching(f64, f64),
    /// The values say nothing.
    Unsuited,
}

/// A range of values that holds more of them than usual.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shift {
    /// Its lower end; `None` when it has none.
    pub above: Option<f64>,
    /// Its upper end, inclusive.
    pub up_to: Option<f64>,
    /// Share of the values in it since then, from 0 to 1 …
    pub seen: f64,
    /// … and usually …
    pub usual: f64,
    /// … and at most, in an ordinary window.
    pub high: f64,
    /// Start of the first odd window.
    pub since: Time,
    /// −log10 of the chance.
    pub score: f64,
}

impl Distribution {
    /// Of values of this kind; nothing is known of them.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            stage: gathering(),
            began: Time::ZERO,
            learned_from: Time::ZERO,
            tries: 0,
            edges: [0.0; EDGES],
            usual: [0.0; CELLS],
            spread: 1.0,
            windows: 0,
            window: Window::default(),
            evidence: Cusum::default(),
            odd: [0.0; CELLS],
            is_told: false,
            is_announced: false,
            far: 0.0,
            known: 0.0,
            known_at: Time::ZERO,
        }
    }

    /// How far it has come.
    pub fn standing(&self) -> Standing {
        match self.stage {
            Stage::Gathering { .. } => Standing::Gathering,
            Stage::Learning => Standing::Learning(self.windows, LEARN_WINDOWS),
            Stage::Watching => Standing::Watching(self.evidence.evidence(), EVIDENCE_MIN),
            Stage::Unsuited => Standing::Unsuited,
        }
    }

    /// What judges: the windows learned.
    pub fn baseline(&self) -> BaselineVersion {
        let (windows, since) = self.learned();
        explain::baseline(windows, LEARN_WINDOWS, since)
    }

    /// The windows learned, and since when.
    pub const fn learned(&self) -> (u32, Time) {
        (self.windows, self.learned_from)
    }

    /// Whether anything will ever be said about these values.
    pub fn is_suited(&self) -> bool {
        self.stage != Stage::Unsuited
    }

    /// Adds `count` times `value`, each worth `weight` values, at `at`.
    pub fn add(&mut self, at: Time, value: f64, count: f64, weight: f64) {
        let is_countable = value.is_finite() && count > 0.0 && count <= COUNT_MAX && weight > 0.0;
        if !is_countable {
            return;
        }
        if self.began == Time::ZERO {
            self.began = at;
        }
        let value = value as f32;
        match &mut self.stage {
            Stage::Gathering {
                values,
                stride,
                owed,
            } => {
                *owed += count;
                while *owed >= *stride {
                    *owed -= *stride;
                    values.push(value);
                    if values.len() >= 2 * GATHERED {
                        let mut nth = 0;
                        values.retain(|_| {
                            nth += 1;
                            nth % 2 == 0
                        });
                        *stride *= 2.0;
                    }
                }
            }
            Stage::Learning | Stage::Watching => {
                let window = &mut self.window;
                if window.squares <= 0.0 {
                    window.began = at;
                }
                window.last = at;
                let cell = self.edges.partition_point(|edge| *edge < value);
                window.cells[cell] += (count * weight) as f32;
                window.squares += count * weight * weight;
            }
            Stage::Unsuited => {}
        }
    }

    /// Judges what came since the last window, when that is enough, and learns it unless it is odd.
    pub fn turn(&mut self, at: Time) {
        match &self.stage {
            Stage::Gathering { values, .. } => {
                if values.len() >= GATHERED && at.since(self.began) >= GATHER_MS {
                    self.choose(at);
                }
            }
            Stage::Learning | Stage::Watching => {
                if self.window.values() >= WINDOW_VALUES {
                    let window = std::mem::take(&mut self.window);
                    (self.window.began, self.window.last) = (at, at);
                    self.take(at, &window);
                } else if at.since(self.window.last) >= LAPSES_MS {
                    self.pass_over(at);
                }
            }
            Stage::Unsuited => {}
        }
    }

    /// Does [`Self::turn`] and says what is to be told of it, unless `is_told_better` by something else. What lasts
    /// for hours is usual from then on.
    pub fn judge(&mut self, at: Time, is_told_better: impl FnOnce() -> bool) -> Judged<Shift> {
        self.turn(at);
        let shift = self.shift().filter(|_| !is_told_better());
        let was_announced = std::mem::replace(&mut self.is_announced, shift.is_some());
        match shift {
            Some(shift) if at.since(shift.since) >= HOLD_MS_MAX => {
                self.restart();
                Judged::Accepted
            }
            Some(shift) => Judged::Odd(shift),
            None if was_announced => Judged::Over,
            None => Judged::Usual,
        }
    }

    /// No more values come: what was odd about them is over, and they are learned anew.
    pub fn end(&mut self) -> Judged<Shift> {
        let was_announced = std::mem::take(&mut self.is_announced);
        if self.is_told {
            self.restart();
        }
        if was_announced {
            Judged::Over
        } else {
            Judged::Usual
        }
    }

    /// What has changed, while it has.
    pub fn shift(&self) -> Option<Shift> {
        if !self.is_told {
            return None;
        }
        let (seen, usual) = (shares(&self.odd), shares(&self.usual));
        let (from, to) = match self.kind {
            // Cells of names are no neighbours: only one is worth telling.
            Kind::Name => largest(&seen, &usual),
            Kind::Measure | Kind::Number => richest(&seen, &usual),
        };
        let share = |of: &[f64; CELLS]| of[from..=to].iter().sum::<f64>();
        let (seen, usual) = (share(&seen), share(&usual));
        let chance = usual * (1.0 - usual) * self.spread / WINDOW_VALUES;
        Some(Shift {
            above: from.checked_sub(1).map(|edge| f64::from(self.edges[edge])),
            up_to: self.edges.get(to).map(|edge| f64::from(*edge)),
            seen,
            usual,
            high: (usual + 3.0 * chance.sqrt()).min(seen),
            since: self.evidence.since(),
            score: self.evidence.evidence().max(EVIDENCE_MIN),
        })
    }

    /// What is seen now is usual from now on.
    pub fn restart(&mut self) {
        *self = Self::new(self.kind);
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        back.past(&mut self.began);
        back.past(&mut self.learned_from);
        back.past(&mut self.window.began);
        back.past(&mut self.window.last);
        self.evidence.set_back(back);
        back.past(&mut self.known_at);
    }

    /// Chooses the cells by what was gathered.
    fn choose(&mut self, at: Time) {
        let Stage::Gathering { values, .. } = std::mem::replace(&mut self.stage, Stage::Unsuited)
        else {
            return;
        };
        let edges = match self.kind {
            Kind::Name => even(values),
            Kind::Number if says_nothing(&values) => None,
            Kind::Measure | Kind::Number => Some(around(values)),
        };
        if let Some(edges) = edges {
            self.edges = edges;
            self.spread = 1.0;
            self.begin_learning(at);
        }
    }

    fn begin_learning(&mut self, at: Time) {
        (self.stage, self.began, self.learned_from) = (Stage::Learning, at, at);
        (self.usual, self.windows) = ([0.0; CELLS], 0);
    }

    /// Takes a whole window.
    fn take(&mut self, at: Time, window: &Window) {
        let seen = shares(&window.cells);
        let expected = shares(&self.usual).map(granted);
        let values = window.values().min(VALUES_MAX);
        let differs = 2.0 * values * divergence(&seen, &expected) / EDGES as f64;
        if self.stage == Stage::Learning {
            self.learn(at, window, differs);
            if self.windows >= LEARN_WINDOWS && at.since(self.began) >= LEARN_MS {
                self.end_learning(at);
            }
            return;
        }
        let is_much = moved(&seen, &expected) >= MOVED_MIN;
        let surprise = if is_much {
            score(differs / self.spread).min(SURPRISE_MAX)
        } else {
            0.0
        };
        self.sum_up(at, window, surprise);
        if self.evidence.is_quiet() {
            self.learn(at, window, differs.min(SPREAD_STEP_MAX * self.spread));
        }
    }

    /// Cells that turn out to be badly chosen are chosen again.
    fn end_learning(&mut self, at: Time) {
        let usual = shares(&self.usual);
        let is_good = self.kind == Kind::Name || usual[0] + usual[EDGES] <= FAR_MAX;
        self.tries += u8::from(!is_good);
        self.stage = match (is_good, self.tries < TRIES_MAX) {
            (true, _) => Stage::Watching,
            (false, true) => gathering(),
            (false, false) => Stage::Unsuited,
        };
        self.began = at;
    }

    /// Nothing came for hours: what was odd before says nothing about what comes.
    fn pass_over(&mut self, at: Time) {
        self.window = Window {
            began: at,
            last: at,
            ..Window::default()
        };
        if self.evidence.idle(at) {
            self.is_told = false;
            self.note_known(at);
        }
    }

    /// Adds the surprise of a window to the others: opens, goes on, ends.
    fn sum_up(&mut self, at: Time, window: &Window, surprise: f64) {
        self.evidence.lapse(window.began);
        if self.evidence.is_quiet() {
            (self.odd, self.far) = ([0.0; CELLS], 0.0);
        }
        let judged = self.evidence.judge(window.began, at, surprise);
        if surprise >= SURPRISE_USUAL {
            let cells = self.odd.iter_mut().zip(window.cells);
            cells.for_each(|(odd, cell)| *odd += cell);
            if self.evidence.is_open() {
                self.far = moved(&shares(&self.odd), &shares(&self.usual)).max(self.far);
                self.is_told |= self.far >= self.bar(at);
            }
        }
        match judged {
            Judged::Over => {
                self.is_told = false;
                self.note_known(at);
            }
            // Nothing that was told: it is learned anew, and how far it went is known.
            Judged::Accepted if !self.is_told => {
                self.note_known(at);
                self.evidence = Cusum::default();
                self.begin_learning(at);
            }
            Judged::Usual | Judged::Odd(()) | Judged::Accepted => {}
        }
    }

    /// So far they move on ordinary days.
    fn note_known(&mut self, at: Time) {
        (self.known, self.known_at) = (self.known(at).max(self.far), at);
    }

    /// How far values must move now to be told of.
    fn bar(&self, at: Time) -> f64 {
        let is_young = at.since(self.began) < YOUNG_MS;
        let least = if is_young { MOVED_YOUNG_MIN } else { MOVED_MIN };
        (BEYOND_KNOWN * self.known(at)).max(least)
    }

    /// How far they are known to have moved on ordinary days.
    fn known(&self, at: Time) -> f64 {
        let age_ms = at.since(self.known_at).max(0) as f64;
        self.known * (-age_ms / KNOWN_HALF_LIFE_MS).exp2()
    }

    fn learn(&mut self, at: Time, window: &Window, differs: f64) {
        self.windows = self.windows.saturating_add(1);
        let least = (at.since(window.began) as f64 / MEMORY_MS).clamp(0.0, 1.0 / MEMORY_WINDOWS);
        let weight = |windows: u32| (1.0 / f64::from(windows)).max(least);
        for (usual, seen) in self.usual.iter_mut().zip(shares(&window.cells)) {
            let step = weight(self.windows) * (seen - f64::from(*usual));
            *usual += step as f32;
        }
        if self.windows > FIRST_WINDOWS {
            let step = weight(self.windows - FIRST_WINDOWS) * (differs - self.spread);
            self.spread = (self.spread + step).max(1.0);
        }
    }
}

impl Window {
    /// How many values of equal weight it is worth.
    fn values(&self) -> f64 {
        let sum = sum(&self.cells);
        if sum > 0.0 {
            sum * sum / self.squares
        } else {
            0.0
        }
    }
}

const fn gathering() -> Stage {
    Stage::Gathering {
        values: Vec::new(),
        stride: 1.0,
        owed: 0.0,
    }
}

/// Whether numbers are names, or count something up.
fn says_nothing(values: &[f32]) -> bool {
    let mut several: Vec<f32> = values.to_vec();
    several.sort_unstable_by(f32::total_cmp);
    several.dedup();
    let is_name = |value: &f32| value.fract() == 0.0 && f64::from(*value) >= NUMBER_NAMES_MIN;
    let names = several.len() <= NUMBER_NAMES_MAX && several.iter().all(is_name);
    let rises = values.windows(2).filter(|pair| pair[0] < pair[1]).count();
    let rising = rises as f64 / values.len().saturating_sub(1).max(1) as f64;
    names || rising >= RISING_MIN
}

/// Cells of one size, if there are enough names for that.
fn even(mut values: Vec<f32>) -> Option<[f32; EDGES]> {
    values.sort_unstable_by(f32::total_cmp);
    values.dedup();
    let edge = |at: usize| (at + 1) as f32 / CELLS as f32;
    (values.len() >= NAMES_MIN).then(|| std::array::from_fn(edge))
}

/// Cells between the quantiles, and one far off on either side.
fn around(mut values: Vec<f32>) -> [f32; EDGES] {
    values.sort_unstable_by(f32::total_cmp);
    let at = |share: f64| values[((values.len() - 1) as f64 * share).round() as usize];
    let inner = [0.1, 0.25, 0.5, 0.75, 0.9].map(at);
    let log = |value: f32| (f64::from(value) / LOG_UNIT).asinh();
    let value = |log: f64| (log.sinh() * LOG_UNIT) as f32;
    let (low, middle, high) = (log(inner[0]), log(inner[2]), log(inner[4]));
    let below = value(low - (middle - low).max(REACH_MIN));
    let above = value(high + (high - middle).max(REACH_MIN));
    let mut edges = [below; EDGES];
    edges[1..EDGES - 1].copy_from_slice(&inner);
    edges[EDGES - 1] = above;
    edges
}

fn sum(cells: &[f32; CELLS]) -> f64 {
    cells.iter().map(|cell| f64::from(*cell)).sum()
}

fn shares(cells: &[f32; CELLS]) -> [f64; CELLS] {
    let sum = sum(cells).max(f64::MIN_POSITIVE);
    cells.map(|cell| f64::from(cell) / sum)
}

fn granted(share: f64) -> f64 {
    SHARE_MIN + (1.0 - CELLS as f64 * SHARE_MIN) * share
}

/// The share of values that lie in another cell than expected.
fn moved(seen: &[f64; CELLS], expected: &[f64; CELLS]) -> f64 {
    let off = |(seen, expected): (&f64, &f64)| (seen - expected).abs();
    seen.iter().zip(expected).map(off).sum::<f64>() / 2.0
}

/// How far the shares seen lie from those expected (Kullback and Leibler 1951), in nats.
fn divergence(seen: &[f64; CELLS], expected: &[f64; CELLS]) -> f64 {
    let cells = seen.iter().zip(expected).filter(|(seen, _)| **seen > 0.0);
    let sum: f64 = cells
        .map(|(seen, expected)| seen * (seen / expected).ln())
        .sum();
    sum.max(0.0)
}

/// −log10 of the Chernoff bound on a χ² with as many degrees of freedom as there are edges, at `ratio`
/// times its mean.
fn score(ratio: f64) -> f64 {
    if ratio <= 1.0 {
        return 0.0;
    }
    EDGES as f64 / 2.0 * (ratio - 1.0 - ratio.ln()) / std::f64::consts::LN_10
}

/// The cells in a row that hold most beyond what they usually do.
fn richest(seen: &[f64; CELLS], usual: &[f64; CELLS]) -> (usize, usize) {
    let (mut best, mut most) = ((0, 0), f64::MIN);
    for from in 0..CELLS {
        let mut excess = 0.0;
        for (to, (seen, usual)) in seen.iter().zip(usual).enumerate().skip(from) {
            excess += seen - usual;
            if excess > most {
                (best, most) = ((from, to), excess);
            }
        }
    }
    best
}

/// The cell that holds most beyond what it usually does.
fn largest(seen: &[f64; CELLS], usual: &[f64; CELLS]) -> (usize, usize) {
    let excess = |cell: &usize| seen[*cell] - usual[*cell];
    let cell = (0..CELLS).max_by(|a, b| excess(a).total_cmp(&excess(b)));
    cell.map_or((0, 0), |cell| (cell, cell))
}

#[cfg(test)]
#[path = "distribution_tests.rs"]
mod tests;
