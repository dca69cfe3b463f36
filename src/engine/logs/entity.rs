//! The logs of one entity, and what is odd about them.
//!
//! Each check of `checks` looks at a closed window and says how unusual it is; opening, updating and
//! ending findings is the same for all. State is bounded, and what does not fit is
//! counted.

use super::checks::{
    BURST_ERRORS_MIN, Opinions, SCORE_MIN, Said, Verdict, WARM_UP_WINDOWS, Window, values,
};
use super::counter::{BUCKET_MS, Counter, Ring, WINDOW_BUCKETS, bucket_of, time_of};
use super::finding::LogFinding;
use super::miner::TemplateId;
use super::tail::{Baseline, chernoff};
use crate::engine::detect::{Beats, HOLD_MS_MAX};
use crate::engine::diagnose::words;
use crate::engine::explain;
use crate::engine::set_back::SetBack;
use crate::model::{Band, Check, EntityId, LogLevel, Time};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

/// Findings open per entity; a flood of new templates is one event, not a thousand.
const FINDINGS_MAX: usize = 24;
/// An entity is known after this many lines and this long; before, everything is new.
const WARM_UP_LINES: u64 = 200;
const WARM_UP_MS: i64 = 10 * 60_000;
/// Lines a minute and score of a new error template before it may page: one odd error is no
/// incident, and neither is one on an entity that hardly spoke yet.
const NEW_ERRORS_PAGE: u32 = 3;
const NEW_SCORE_PAGES: f32 = 3.5;
/// A new template is news until it was quiet this long, or known this long.
const NEW_QUIET_MS: i64 = 60_000;
const NEW_KNOWN_MS: i64 = 30 * 60_000;
/// Windows below the score before a burst is over.
const CALM_WINDOWS: u32 = 3;
/// Known peaks halve in about three days of windows.
const PEAK_KEPT: f64 = 0.999_973;

/// Counters of what could not be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogStats {
    /// Lines older than the oldest bucket kept.
    pub lines_late: u64,
    /// Templates whose counts were dropped to make room.
    pub counters_evicted: u64,
    /// Entities whose logs were forgotten to make room.
    pub entities_evicted: u64,
    /// Findings not opened because the entity had too many.
    pub findings_suppressed: u64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Open {
    finding: LogFinding,
    calm_windows: u32,
    changed: bool,
}

/// The logs of one entity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in crate::engine) struct EntityLogs {
    pub(super) first_seen: Time,
    pub(super) last_seen: Time,
    pub(super) lines: u64,
    pub(super) counters: IndexMap<u64, Counter, FxBuildHasher>,
    /// Templates seen exactly once: how often the unheard-of happens here (Good and Turing).
    singles: u64,
    all: Ring,
    errors: Ring,
    /// Share of error lines, learned, and how much more it varies than chance.
    error_share: f64,
    error_spread: f64,
    windows: u32,
    open: Vec<Open>,
}

/// What the checks said of one kind of line in one window.
struct Asked<'a> {
    template: TemplateId,
    said: Said,
    /// It is told as a new kind of line.
    is_news: bool,
    last_line: Time,
    window: Window<'a>,
}

/// A line as the entity counts it.
pub(super) struct Sighting<'a> {
    pub template: TemplateId,
    pub rendered: &'a str,
    pub level: LogLevel,
    pub at: Time,
    pub text: &'a str,
    /// The template is known from another entity.
    pub known_elsewhere: bool,
}

impl EntityLogs {
    pub(super) fn new(at: Time) -> Self {
        Self {
            first_seen: at,
            last_seen: at,
            lines: 0,
            counters: IndexMap::default(),
            singles: 0,
            all: Ring::default(),
            errors: Ring::default(),
            error_share: 0.0,
            error_spread: 1.0,
            windows: 0,
            open: Vec::new(),
        }
    }

    /// Count one line; opens a finding when this entity never said the like. At most
    /// `templates_max` templates are counted; the one silent longest makes room.
    pub(super) fn count(
        &mut self,
        entity: &EntityId,
        sighting: &Sighting<'_>,
        templates_max: usize,
        stats: &mut LogStats,
    ) {
        let at = sighting.at;
        self.last_seen = self.last_seen.max(at);
        self.lines += 1;
        let bucket = bucket_of(at);
        self.all.add(bucket, 1);
        if sighting.level >= LogLevel::Error {
            self.errors.add(bucket, 1);
        }
        let known = self.counters.contains_key(&sighting.template.0);
        if !known {
            self.make_room(templates_max, stats);
            // Windows before its first line are windows without it.
            let baseline = Baseline::of_zeros(self.windows);
            let counter = Counter::new(sighting.level, at, sighting.text, baseline);
            self.counters.insert(sighting.template.0, counter);
            self.singles += 1;
        }
        let Some(counter) = self.counters.get_mut(&sighting.template.0) else {
            return;
        };
        counter.count += 1;
        counter.level = counter.level.max(sighting.level);
        if counter.count == 2 {
            self.singles = self.singles.saturating_sub(1);
        }
        let silent_buckets = at.since(counter.last_seen) as f64 / BUCKET_MS as f64;
        counter.gap_buckets_max = counter.gap_buckets_max.max(silent_buckets);
        counter.beat(at);
        counter.last_seen = counter.last_seen.max(at);
        if !counter.ring.add(bucket, 1) {
            stats.lines_late += 1;
        }
        if !known {
            self.say_new(entity, sighting, stats);
        }
        self.refresh_new(sighting);
    }

    /// Fold a merged template's counts into the survivor's.
    pub(super) fn merge(&mut self, gone: TemplateId, survivor: TemplateId, rendered: &str) {
        let Some(counter) = self.counters.swap_remove(&gone.0) else {
            return;
        };
        match self.counters.get_mut(&survivor.0) {
            Some(kept) => kept.absorb(&counter),
            None => {
                self.counters.insert(survivor.0, counter);
            }
        }
        let known = self.find(Check::NewTemplate, Some(survivor)).is_some();
        for open in &mut self.open {
            if open.finding.template == Some(gone) {
                if known {
                    open.finding.ended = Some(open.finding.last_seen);
                } else {
                    open.finding.template = Some(survivor);
                    open.finding.subject = rendered.into();
                }
                open.changed = true;
            }
        }
    }

    /// Ends everything that is open.
    pub(super) fn end(&mut self, now: Time) {
        for open in &mut self.open {
            open.finding.ended = Some(now);
            open.changed = true;
        }
    }

    /// Follows a clock that was set back.
    pub(super) fn set_back(&mut self, back: SetBack) {
        back.past(&mut self.first_seen);
        back.past(&mut self.last_seen);
        let newest = bucket_of(back.to);
        self.all.set_back(newest);
        self.errors.set_back(newest);
        for counter in self.counters.values_mut() {
            back.past(&mut counter.first_seen);
            back.past(&mut counter.last_seen);
            counter.ring.set_back(newest);
            counter.values.set_back(back);
            counter.beats.set_back(back.to);
        }
        for open in &mut self.open {
            back.past(&mut open.finding.since);
            back.past(&mut open.finding.last_seen);
        }
    }

    /// Nobody listened for a while.
    pub(super) fn lose_sight(&mut self) {
        let counters = self.counters.values_mut();
        counters.for_each(|counter| counter.beats.lose_sight());
    }

    /// Judge the window that ends with `bucket`.
    pub(super) fn close(
        &mut self,
        entity: &EntityId,
        bucket: i64,
        stats: &mut LogStats,
        render: &dyn Fn(TemplateId) -> Box<str>,
    ) {
        self.windows = self.windows.saturating_add(1);
        let window = Window {
            entity,
            now: time_of(bucket + 1),
            since: time_of(bucket + 1 - WINDOW_BUCKETS as i64),
            level: LogLevel::Error,
            opinions: Opinions::Errors,
            learned: (self.windows, self.first_seen),
        };
        for place in 0..self.counters.len() {
            if let Some(asked) = self.ask(place, bucket, window) {
                self.note(asked, stats, render);
            }
        }
        let errors = self.error_share_verdict(bucket);
        self.judge(&window, Check::LevelShift, None, errors, stats, render);
        self.accept_what_lasts(bucket);
        self.end_old_news(window.now);
    }

    /// Asks every check about the kind of line at `place`, which then learns the window unless it is odd.
    fn ask<'a>(&mut self, place: usize, bucket: i64, window: Window<'a>) -> Option<Asked<'a>> {
        let template = TemplateId(*self.counters.get_index(place)?.0);
        let is_held = self.is_held(Some(template));
        let is_news = self.find(Check::NewTemplate, Some(template)).is_some();
        let (_, counter) = self.counters.get_index_mut(place)?;
        let lines = f64::from(counter.ring.window(bucket));
        let said = Said::of(counter, lines, window.now);
        let learned = counter.baseline.updates();
        if !is_held {
            counter.baseline.learn(lines);
            counter.peak = (counter.peak * PEAK_KEPT).max(lines);
        }
        Some(Asked {
            template,
            is_news,
            last_line: counter.last_seen,
            window: Window {
                level: counter.level,
                opinions: said.opinions(is_news),
                learned: (learned, self.first_seen),
                ..window
            },
            said,
        })
    }

    /// Notes what the checks said, each since when it is so.
    fn note(
        &mut self,
        asked: Asked<'_>,
        stats: &mut LogStats,
        render: &dyn Fn(TemplateId) -> Box<str>,
    ) {
        let Asked {
            template,
            said,
            window,
            ..
        } = asked;
        // What is news already need not be said twice.
        let burst = said.burst.filter(|_| !asked.is_news);
        let since_last = Window {
            since: asked.last_line,
            ..window
        };
        let since_odd = said.odd.map_or(window, |odd| Window {
            since: odd.shift.since,
            learned: odd.learned,
            ..window
        });
        let values = said.odd.map(|odd| values(&odd));
        let verdicts = [
            (Check::LogBurst, window, burst),
            (Check::LogSilence, since_last, said.silence),
            (Check::LogValues, since_odd, values),
        ];
        for (check, window, verdict) in verdicts {
            self.judge(&window, check, Some(template), verdict, stats, render);
        }
    }

    /// Whether how often a template comes, or the share of errors, is odd now: what is seen then teaches
    /// nothing, so that it does not become normal.
    fn is_held(&self, template: Option<TemplateId>) -> bool {
        self.open.iter().any(|open| {
            open.finding.template == template
                && !matches!(open.finding.check, Check::NewTemplate | Check::LogValues)
                && open.finding.ended.is_none()
        })
    }

    /// What has lasted for hours is normal from now on, and is learned anew; told as that, not as over.
    fn accept_what_lasts(&mut self, bucket: i64) {
        let now = time_of(bucket + 1);
        for open in &mut self.open {
            let finding = &mut open.finding;
            let lasted_ms = now.since(finding.since);
            if finding.check == Check::NewTemplate
                || finding.ended.is_some()
                || lasted_ms < HOLD_MS_MAX
            {
                continue;
            }
            let how_long = words::duration(lasted_ms);
            let text = format!("new normal accepted after {how_long}: {}", finding.text);
            finding.accepted = Some(text.into());
            finding.ended = Some(now);
            open.changed = true;
            match finding
                .template
                .map(|template| self.counters.get_mut(&template.0))
            {
                Some(Some(counter)) if finding.check == Check::LogValues => counter.values.accept(),
                Some(Some(counter)) => {
                    counter.baseline = Baseline::default();
                    counter.beats = Beats::default();
                    counter.peak = f64::from(counter.ring.window(bucket));
                }
                Some(None) => {}
                None => {
                    let lines = f64::from(self.all.window(bucket)).max(1.0);
                    self.error_share = f64::from(self.errors.window(bucket)) / lines;
                }
            }
        }
    }

    /// What is open is told once more, as after a restart.
    pub(super) fn tell_again(&mut self) {
        for open in &mut self.open {
            open.changed = true;
        }
    }

    /// Findings that changed since the last call.
    pub(super) fn drain(&mut self, out: &mut Vec<LogFinding>) {
        for open in &mut self.open {
            if std::mem::take(&mut open.changed) {
                out.push(open.finding.clone());
            }
        }
        self.open.retain(|open| open.finding.ended.is_none());
    }

    fn is_known(&self, at: Time) -> bool {
        self.lines > WARM_UP_LINES && at.since(self.first_seen) >= WARM_UP_MS
    }

    fn find(&self, check: Check, template: Option<TemplateId>) -> Option<usize> {
        self.open
            .iter()
            .position(|open| open.finding.check == check && open.finding.template == template)
    }

    fn push(&mut self, finding: LogFinding, stats: &mut LogStats) {
        if self.open.len() < FINDINGS_MAX {
            self.open.push(Open {
                finding,
                calm_windows: 0,
                changed: true,
            });
        } else {
            stats.findings_suppressed += 1;
        }
    }

    fn make_room(&mut self, templates_max: usize, stats: &mut LogStats) {
        // The allowance shrinks as entities come; two at a time let an old one shrink with it.
        for _ in 0..2 {
            if self.counters.len() < templates_max {
                return;
            }
            let counters = self.counters.values().enumerate();
            let oldest = counters
                .min_by_key(|(_, counter)| counter.last_seen)
                .map(|(at, _)| at);
            if let Some((_, counter)) = oldest.and_then(|at| self.counters.swap_remove_index(at)) {
                self.singles = self.singles.saturating_sub(u64::from(counter.count == 1));
                stats.counters_evicted += 1;
            }
        }
    }

    /// A template this entity never wrote before.
    fn say_new(&mut self, entity: &EntityId, sighting: &Sighting<'_>, stats: &mut LogStats) {
        if !self.is_known(sighting.at) {
            return;
        }
        if self.open.len() >= FINDINGS_MAX {
            stats.findings_suppressed += 1;
            return;
        }
        let chance = (self.singles as f64 + 1.0) / (self.lines as f64 + 2.0);
        let weight = match sighting.level {
            LogLevel::Fatal => 3.0,
            LogLevel::Error => 2.0,
            LogLevel::Warn => 1.0,
            _ => 0.0,
        };
        let elsewhere = if sighting.known_elsewhere { 1.0 } else { 0.0 };
        let hours = sighting.at.since(self.first_seen) as f64 / 3_600_000.0;
        let text = format!(
            "new {} \"{}\", never in {} lines over {hours:.1} h",
            words::line_of(sighting.level),
            words::in_plain(sighting.rendered),
            self.lines - 1
        );
        let score = (weight - elsewhere - chance.log10()).max(0.0) as f32;
        let unusual = format!(
            "one line in {:.0} is the first of its kind here",
            1.0 / chance
        );
        let lines = u32::try_from(self.lines - 1).unwrap_or(u32::MAX);
        let baseline = explain::baseline(lines, WARM_UP_LINES as u32, self.first_seen);
        let finding = LogFinding {
            explain: explain::told(unusual)
                .judged_by(Opinions::NEWS)
                .against(baseline),
            entity: entity.clone(),
            check: Check::NewTemplate,
            template: Some(sighting.template),
            subject: sighting.rendered.into(),
            level: sighting.level,
            since: sighting.at,
            last_seen: sighting.at,
            ended: None,
            expected: Band {
                low: 0.0,
                high: 0.0,
            },
            seen: 0.0,
            score,
            pages: false,
            text: text.into(),
            accepted: None,
        };
        self.push(finding, stats);
    }

    /// Another line of a template that is news: errors that repeat may page.
    fn refresh_new(&mut self, sighting: &Sighting<'_>) {
        if self.open.is_empty() {
            return;
        }
        let Some(at) = self.find(Check::NewTemplate, Some(sighting.template)) else {
            return;
        };
        let open = &mut self.open[at];
        open.finding.seen += 1.0;
        open.finding.last_seen = open.finding.last_seen.max(sighting.at);
        open.changed = true;
        let lines_needed = match open.finding.level {
            LogLevel::Fatal => 1,
            LogLevel::Error => NEW_ERRORS_PAGE,
            _ => return,
        };
        let lines = self.counters.get(&sighting.template.0);
        let lines = lines.map_or(0, |counter| counter.ring.window(bucket_of(sighting.at)));
        open.finding.pages |= lines >= lines_needed && open.finding.score >= NEW_SCORE_PAGES;
    }

    /// New templates stop being news.
    fn end_old_news(&mut self, now: Time) {
        for open in &mut self.open {
            let finding = &mut open.finding;
            let old = now.since(finding.last_seen) >= NEW_QUIET_MS
                || now.since(finding.since) >= NEW_KNOWN_MS;
            if finding.check == Check::NewTemplate && finding.ended.is_none() && old {
                finding.ended = Some(now);
                open.changed = true;
            }
        }
    }

    /// Whether the share of error lines rose.
    fn error_share_verdict(&mut self, bucket: i64) -> Option<Verdict> {
        let (lines, errors) = (
            f64::from(self.all.window(bucket)),
            f64::from(self.errors.window(bucket)),
        );
        if lines <= 0.0 {
            return None;
        }
        let expected = lines * self.error_share + 0.5;
        let score = chernoff(errors, expected, expected * self.error_spread);
        let share = self.error_share;
        let warm = self.windows > WARM_UP_WINDOWS;
        let high = (expected + 3.0 * (expected * self.error_spread).sqrt()) / lines;
        if !self.is_held(None) {
            self.learn_error_share(lines, errors, expected);
        }
        let odd = warm && errors >= BURST_ERRORS_MIN && errors / lines >= 2.0 * share;
        odd.then(|| Verdict {
            score,
            seen: errors / lines,
            expected: Band { low: 0.0, high: high.min(1.0) },
            text: format!(
                "{:.1} % of lines are errors, usually {:.2} % ({errors:.0} of {lines:.0} in a minute)",
                100.0 * errors / lines,
                100.0 * share
            ),
        })
    }

    fn learn_error_share(&mut self, lines: f64, errors: f64, expected: f64) {
        let surprise = (errors - expected) * (errors - expected) / expected;
        let weight = (1.0 / f64::from(self.windows)).max(0.002);
        // A window teaches little when it is far out, as with every baseline.
        let taught = (errors / lines).min(self.error_share * 2.0 + 0.05);
        self.error_share += weight * (taught - self.error_share);
        self.error_spread =
            (self.error_spread + weight * (surprise.min(16.0) - self.error_spread)).max(1.0);
    }

    /// Open, update or end the finding of one check after one window.
    fn judge(
        &mut self,
        window: &Window<'_>,
        check: Check,
        template: Option<TemplateId>,
        verdict: Option<Verdict>,
        stats: &mut LogStats,
        render: &dyn Fn(TemplateId) -> Box<str>,
    ) {
        let verdict = verdict.filter(|verdict| verdict.score >= SCORE_MIN);
        if verdict.is_none() && self.open.is_empty() {
            return;
        }
        let at = self.find(check, template);
        match (verdict, at) {
            (None, None) => {}
            (None, Some(at)) => {
                let open = &mut self.open[at];
                open.calm_windows += 1;
                if open.calm_windows >= CALM_WINDOWS && open.finding.ended.is_none() {
                    open.finding.ended = Some(window.now);
                    open.changed = true;
                    let counter = template.and_then(|of| self.counters.get_mut(&of.0));
                    if let Some(counter) = counter.filter(|_| check == Check::LogBurst) {
                        counter.peak = counter.peak.max(open.finding.seen);
                    }
                }
            }
            (Some(verdict), None) => {
                let subject = template.map_or_else(|| "share of error lines".into(), render);
                self.push(verdict.finding(window, check, template, subject), stats);
            }
            (Some(verdict), Some(at)) => {
                let subject = self.open[at].finding.subject.clone();
                self.open[at].update(verdict.finding(window, check, template, subject));
            }
        }
    }
}

impl Open {
    /// The same finding, one window later.
    fn update(&mut self, latest: LogFinding) {
        self.calm_windows = 0;
        self.changed = true;
        let finding = &mut self.finding;
        finding.last_seen = finding.last_seen.max(latest.last_seen);
        finding.pages |= latest.pages;
        if latest.score >= finding.score {
            finding.score = latest.score;
            finding.seen = latest.seen;
            finding.expected = latest.expected;
            finding.text = latest.text;
            finding.explain = latest.explain;
        }
    }
}
