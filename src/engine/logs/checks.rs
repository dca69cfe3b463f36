//! What each check on a template says about one closed window.

use super::counter::{BUCKET_MS, BUCKET_S, Counter, WINDOW_BUCKETS};
use super::finding::LogFinding;
use super::miner::TemplateId;
use super::values::OddValues;
use crate::engine::detect::{Beat, OPEN_EVIDENCE};
use crate::engine::diagnose::words;
use crate::engine::explain;
use crate::model::{Band, Check, EntityId, LogLevel, Time, Unit};

/// Windows a rate is learned for before a burst or a silence can be said.
pub(super) const WARM_UP_WINDOWS: u32 = 60;
/// From this score on a finding is shown.
pub(super) const SCORE_MIN: f64 = 6.0;
/// From this score on a finding may page.
const SCORE_PAGES: f64 = 8.0;
/// Fewest lines a minute that make a burst, of errors and of other lines.
pub(super) const BURST_ERRORS_MIN: f64 = 5.0;
const BURST_LINES_MIN: f64 = 20.0;
/// A burst is at least this many times the usual rate.
const BURST_RATIO_MIN: f64 = 3.0;
/// Lines expected in a silence before it is said, and how much longer than ever it must be.
const SILENCE_LINES_MIN: f64 = 20.0;
const SILENCE_GAP_RATIO: f64 = 3.0;
/// A silence is as sure as this and no surer: one that lasts is no news each minute.
const SILENCE_SCORE_MAX: f64 = 12.0;

/// The window a verdict is about.
#[derive(Clone, Copy)]
pub(super) struct Window<'a> {
    pub entity: &'a EntityId,
    pub now: Time,
    pub since: Time,
    pub level: LogLevel,
    /// What each check says of it.
    pub opinions: Opinions,
    /// Windows learned, and since when.
    pub learned: (u32, Time),
}

/// What the checks say that are asked of the same lines: those of one kind, or all of an entity.
#[derive(Clone, Copy)]
pub(super) enum Opinions {
    Template([bool; TITLES.len()]),
    Errors,
}

/// The checks on one kind of line, as they are called.
const TITLES: [&str; 5] = [
    "new kind of line",
    "burst",
    "silence",
    "rhythm",
    "spread of values",
];

impl Opinions {
    /// Of a kind of line that was never seen, of which nothing else can be said.
    pub(super) const NEWS: [(&str, bool); 1] = [(TITLES[0], true)];

    /// Titles of the checks, and whether they call it odd.
    fn titles(self) -> Vec<(&'static str, bool)> {
        match self {
            Self::Template(said) => TITLES.into_iter().zip(said).collect(),
            Self::Errors => vec![("share of error lines", true)],
        }
    }
}

/// What the checks say of one kind of line in one window.
pub(super) struct Said {
    pub burst: Option<Verdict>,
    pub silence: Option<Verdict>,
    pub odd: Option<OddValues>,
    missed: bool,
}

impl Said {
    /// Asks them, of a window of so many lines that ends at `now`.
    pub(super) fn of(counter: &mut Counter, lines: f64, now: Time) -> Self {
        let burst = burst(counter, lines);
        let silence = silence(counter, now);
        let missed = match silence {
            Some(_) => None,
            None => missed(counter, now),
        };
        counter.values.turn(now);
        Self {
            burst,
            missed: missed.is_some(),
            silence: silence.or(missed),
            odd: counter.values.odd(),
        }
    }

    pub(super) fn opinions(&self, is_news: bool) -> Opinions {
        let is_odd =
            |verdict: &Option<Verdict>| verdict.as_ref().is_some_and(|v| v.score >= SCORE_MIN);
        Opinions::Template([
            is_news,
            is_odd(&self.burst),
            is_odd(&self.silence) && !self.missed,
            self.missed,
            self.odd.is_some(),
        ])
    }
}

/// What a check says about one window.
pub(super) struct Verdict {
    pub score: f64,
    pub seen: f64,
    pub expected: Band,
    pub text: String,
}

impl Verdict {
    pub(super) fn finding(
        self,
        window: &Window<'_>,
        check: Check,
        template: Option<TemplateId>,
        subject: Box<str>,
    ) -> LogFinding {
        let about = if template.is_some() {
            format!("{}: \"{}\"", self.text, words::in_plain(&subject))
        } else {
            self.text
        };
        let (windows, since) = window.learned;
        let baseline = explain::baseline(windows, WARM_UP_WINDOWS, since);
        let explain = explain::rarity(self.score as f32)
            .judged_by(window.opinions.titles())
            .against(baseline);
        LogFinding {
            explain,
            entity: window.entity.clone(),
            check,
            template,
            level: window.level,
            since: window.since,
            last_seen: window.now,
            ended: None,
            expected: self.expected,
            seen: self.seen,
            score: self.score as f32,
            pages: window.level >= LogLevel::Error
                && !matches!(check, Check::LogSilence | Check::LogValues)
                && self.score >= SCORE_PAGES,
            text: about.into(),
            accepted: None,
            subject,
        }
    }
}

/// Values that are spread otherwise than usual.
pub(super) fn values(odd: &OddValues) -> Verdict {
    let (shift, noun) = (&odd.shift, odd.noun());
    let text = match odd.unit() {
        Some(unit) => explain::shift(&format!("its {noun} (value {})", odd.ordinal), shift, unit),
        None => format!(
            "one part in eight of its {noun} (value {}) is in {} of the lines {}",
            odd.ordinal,
            words::value(shift.seen, Unit::Ratio),
            explain::usually(shift)
        ),
    };
    Verdict {
        score: shift.score,
        seen: shift.seen,
        expected: Band {
            low: 0.0,
            high: shift.high,
        },
        text,
    }
}

/// More lines a minute than the rate learned explains.
fn burst(counter: &Counter, lines: f64) -> Option<Verdict> {
    let baseline = &counter.baseline;
    let is_error = counter.level >= LogLevel::Error;
    let enough = if is_error {
        BURST_ERRORS_MIN
    } else {
        BURST_LINES_MIN
    };
    let usual = baseline.mean_high();
    // A nightly job's lines are known after the first night; errors are never excused by a past.
    let known = !is_error && lines <= 1.2 * counter.peak;
    if baseline.updates() < WARM_UP_WINDOWS
        || lines < enough
        || lines < BURST_RATIO_MIN * usual
        || known
    {
        return None;
    }
    let high = baseline.high();
    Some(Verdict {
        score: baseline.score_high(lines),
        seen: lines,
        expected: Band { low: 0.0, high },
        text: format!("{lines:.0} lines a minute, at most {high:.1} expected"),
    })
}

/// A template that comes regularly, now and then, and did not.
fn missed(counter: &mut Counter, now: Time) -> Option<Verdict> {
    let beat = counter.beats.look(now, BUCKET_S);
    let Beat::Broken(broken) = beat else {
        return None;
    };
    // Errors that do not come are good news.
    (counter.level <= LogLevel::Warn).then(|| Verdict {
        score: f64::from(OPEN_EVIDENCE),
        seen: 0.0,
        expected: Band {
            low: 1.0,
            high: counter.baseline.high().max(1.0),
        },
        text: explain::broken("it", &broken),
    })
}

/// A template that used to come steadily and stopped.
fn silence(counter: &Counter, now: Time) -> Option<Verdict> {
    let baseline = &counter.baseline;
    if baseline.updates() < WARM_UP_WINDOWS || counter.level > LogLevel::Warn {
        return None; // errors that stop are good news
    }
    let silent_ms = now.since(counter.last_seen);
    let silent_buckets = silent_ms as f64 / BUCKET_MS as f64;
    if silent_buckets < SILENCE_GAP_RATIO * counter.gap_buckets_max.max(2.0) {
        return None;
    }
    let usual = counter.peak.min(baseline.mean().max(0.0));
    let missed = usual * silent_buckets / WINDOW_BUCKETS as f64;
    let minutes = silent_ms as f64 / 60_000.0;
    (missed >= SILENCE_LINES_MIN).then(|| Verdict {
        score: (missed / std::f64::consts::LN_10).min(SILENCE_SCORE_MAX),
        seen: 0.0,
        expected: Band {
            low: 1.0,
            high: baseline.high(),
        },
        text: format!(
            "silent for {minutes:.0} min, never longer than {:.1} before",
            counter.gap_buckets_max * BUCKET_MS as f64 / 60_000.0
        ),
    })
}
