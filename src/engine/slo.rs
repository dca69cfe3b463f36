//! Is a declared objective being missed, and how fast? Several windows and burn rates, after the SRE
//! Workbook (Beyer et al. 2018, chapter 5): a long window says that it matters, a short one that it
//! still goes on.
//!
//! Few requests: one failure of ten is a burn of hundreds and says nothing. So the rate must be above
//! the bar beyond chance (the lower end of Wilson's interval, 1927), with a few failures at least.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::Engine;
use super::diagnose::words;
use super::explain;
use super::findings::{Key, Observation};
use super::intake::Reading;
use super::set_back::SetBack;
use crate::config::SloConfig;
use crate::model::{Band, Check, Direction, EntityId, MetricRole, Series, Time, Unit};

/// Objectives watched at most.
pub const SLOS_MAX: usize = 500;
/// Width of a counting bucket, in milliseconds.
const MINUTE_MS: i64 = 60_000;
/// Buckets kept: the longest window.
const MINUTES_MAX: usize = 3 * 24 * 60;
/// Days a budget is for.
const BUDGET_DAYS: f64 = 30.0;
/// Fewest failures in the long window: below that nothing is said, however bad the share.
const FAILURES_MIN: f64 = 3.0;
/// Standard deviations of certainty that the share is above the bar: one side, one in a hundred.
const CERTAIN_Z: f64 = 2.33;
/// A budget that burns is over when no rule has held for as many minutes.
const CALM_MINUTES: u32 = 3;

/// One row of the Workbook's table: burn of `rate` over both windows, in minutes.
#[derive(Clone, Copy, Debug)]
struct Rule {
    title: &'static str,
    long: usize,
    short: usize,
    rate: f64,
    pages: bool,
}

/// The most urgent first. Of a budget for 30 days they use up 2, 5, 10 and 10 % before they are told.
const RULES: [Rule; 4] = [
    rule("burn in an hour", 60, 5, 14.4, true),
    rule("burn in six hours", 6 * 60, 30, 6.0, true),
    rule("burn in a day", 24 * 60, 2 * 60, 3.0, false),
    rule("burn in three days", 3 * 24 * 60, 6 * 60, 1.0, false),
];

const fn rule(title: &'static str, long: usize, short: usize, rate: f64, pages: bool) -> Rule {
    Rule {
        title,
        long,
        short,
        rate,
        pages,
    }
}

/// Requests counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tally {
    failed: f64,
    total: f64,
}

/// One objective: requests minute by minute, newest last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Minutes {
    /// The minute being counted.
    minute: i64,
    now: Tally,
    past: VecDeque<Tally>,
    /// What pages, and what only informs.
    levels: [Level; 2],
}

/// Whether a budget burns at one urgency, and for how many minutes it has not.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Level {
    burns: bool,
    calm: u32,
}

impl Level {
    /// Takes whether it burned in this minute; whether it was over with it.
    fn next(&mut self, burns: bool) -> bool {
        let was = self.burns;
        self.calm = if burns { 0 } else { self.calm + 1 };
        self.burns = burns || was && self.calm < CALM_MINUTES;
        was && !self.burns
    }
}

/// What a rule found.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Burn {
    rule: usize,
    /// Burn over the long window.
    rate: f64,
    /// Share that failed over the long window.
    share: f64,
}

/// The objectives declared.
#[derive(Debug, Default)]
pub struct Slos {
    declared: Vec<SloConfig>,
    entities: Vec<EntityId>,
    minutes: Vec<Minutes>,
    /// What each series counts for, by its id; asked of every sample.
    feeds: FxHashMap<u64, Vec<(u16, bool)>>,
}

impl Minutes {
    fn count(&mut self, minute: i64, requests: f64, failed: bool) {
        // What is a little late counts where we are; minutes end on the engine's clock.
        if self.minute == 0 {
            self.minute = minute;
        }
        if failed {
            self.now.failed += requests;
        } else {
            self.now.total += requests;
        }
    }

    /// Ends the minutes before `minute`; whether there were any.
    fn turn(&mut self, minute: i64) -> bool {
        if self.minute == 0 || minute <= self.minute {
            return false;
        }
        let passed = (minute - self.minute).min(MINUTES_MAX as i64) as usize;
        for _ in 0..passed {
            if self.past.len() == MINUTES_MAX {
                self.past.pop_front();
            }
            self.past.push_back(std::mem::take(&mut self.now));
        }
        self.minute = minute;
        true
    }

    /// As many of the last `minutes` as there were since the first request was counted.
    fn known(&self, minutes: usize) -> usize {
        minutes.min(self.past.len())
    }

    fn sum(&self, minutes: usize) -> Tally {
        let mut sum = Tally::default();
        for tally in self.past.iter().rev().take(minutes) {
            sum.failed += tally.failed;
            sum.total += tally.total;
        }
        // Failures that no total counts are requests all the same.
        sum.total = sum.total.max(sum.failed);
        sum
    }

    /// How a rule stands, in a sentence.
    fn standing(&self, rule: &Rule, budget: Option<f64>) -> String {
        let budget = budget.unwrap_or(1.0);
        let (long, known) = (self.sum(rule.long), self.known(rule.long) as i64);
        let holds = if self.holds(rule, budget) {
            "it holds"
        } else {
            "it does not hold"
        };
        format!(
            "{}: {holds}; of {:.0} requests in {} {:.0} failed, and it takes a share of {}, for certain and also of late",
            rule.title,
            long.total,
            words::duration(known * MINUTE_MS),
            long.failed,
            words::value((rule.rate * budget).min(1.0), Unit::Ratio)
        )
    }

    /// The most urgent rule that holds for a budget.
    fn burn(&self, budget: f64) -> Option<Burn> {
        let rule = RULES.iter().position(|rule| self.holds(rule, budget))?;
        let long = self.sum(RULES[rule].long);
        let share = long.failed / long.total;
        Some(Burn {
            rule,
            rate: share / budget,
            share,
        })
    }

    fn holds(&self, rule: &Rule, budget: f64) -> bool {
        let (long, short) = (self.sum(rule.long), self.sum(rule.short));
        let bar = (rule.rate * budget).min(1.0);
        long.failed >= FAILURES_MIN
            && at_least(long) >= bar
            && short.total > 0.0
            && short.failed / short.total >= bar
    }
}

/// Lower end of Wilson's interval for the share that fails.
fn at_least(tally: Tally) -> f64 {
    let Tally { failed, total } = tally;
    if total <= 0.0 {
        return 0.0;
    }
    let (share, z2) = (failed / total, CERTAIN_Z * CERTAIN_Z);
    let centre = share + z2 / (2.0 * total);
    let half = CERTAIN_Z * (share * (1.0 - share) / total + z2 / (4.0 * total * total)).sqrt();
    ((centre - half) / (1.0 + z2 / total)).max(0.0)
}

impl Slos {
    /// Watches what is declared; those without a budget or a name are left out, the config said so.
    pub fn new(declared: &[SloConfig]) -> Self {
        let valid = declared.iter().filter(|slo| slo.budget().is_some());
        let declared: Vec<SloConfig> = valid.take(SLOS_MAX).cloned().collect();
        Self {
            entities: declared
                .iter()
                .map(|slo| EntityId::parse(&slo.entity))
                .collect(),
            minutes: vec![Minutes::default(); declared.len()],
            declared,
            feeds: FxHashMap::default(),
        }
    }

    /// The objectives of an entity: by place, with what speaks for and against each rule.
    pub fn of(&self, entity: &EntityId) -> impl Iterator<Item = (u16, &str, Vec<String>)> {
        let all = self.declared.iter().zip(&self.entities).zip(&self.minutes);
        let all = all
            .zip(0_u16..)
            .filter(move |(((_, of), _), _)| *of == entity);
        all.map(|(((slo, _), minutes), at)| {
            let told = RULES
                .iter()
                .map(|rule| minutes.standing(rule, slo.budget()));
            (at, &*slo.name, told.collect())
        })
    }

    /// What a checkpoint keeps: each objective by its name, so that the config may change.
    pub fn saved(&self) -> Vec<(&str, &Minutes)> {
        let names = self.declared.iter().map(|slo| slo.name.as_str());
        names.zip(&self.minutes).collect()
    }

    /// Puts back what [`Self::saved`] gave.
    pub fn restore(&mut self, saved: Vec<(String, Minutes)>) {
        for (name, minutes) in saved {
            if let Some(at) = self.declared.iter().position(|slo| slo.name == name) {
                // What burns is told again.
                self.minutes[at] = Minutes {
                    levels: [Level::default(); 2],
                    ..minutes
                };
            }
        }
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        for minutes in &mut self.minutes {
            minutes.minute = minutes.minute.min(back.to.ms() / MINUTE_MS);
        }
    }

    /// A series is gone.
    pub fn forget(&mut self, series: u64) {
        self.feeds.remove(&series);
    }

    /// Finds out, once, which objectives a series counts for.
    fn learn_feeds(&mut self, series: &Series, entity: &EntityId) {
        let (declared, entities) = (&self.declared, &self.entities);
        self.feeds.entry(series.id.0).or_insert_with(|| {
            let mut feeds = Vec::new();
            for (at, slo) in declared.iter().enumerate() {
                if entities[at] != *entity {
                    continue;
                }
                let at = at as u16;
                feeds.extend((*slo.failed == *series.name).then_some((at, true)));
                feeds.extend((*slo.total == *series.name).then_some((at, false)));
            }
            feeds
        });
    }

    fn count(&mut self, series: u64, minute: i64, requests: f64) {
        let Self { feeds, minutes, .. } = self;
        for (at, failed) in feeds.get(&series).into_iter().flatten() {
            minutes[usize::from(*at)].count(minute, requests, *failed);
        }
    }
}

impl Engine {
    /// Counts requests for the objectives a series feeds.
    pub(super) fn count_for_slos(&mut self, reading: &Reading) {
        if self.slos.declared.is_empty() {
            return;
        }
        let row = self.intake.row(reading.series);
        let entity = self.entities.id(row.entity);
        let requests = reading.value * f64::from(reading.step_ms) / 1_000.0;
        let minute = self.now.ms() / MINUTE_MS;
        self.slos.learn_feeds(&row.series, entity);
        self.slos.count(row.series.id.0, minute, requests);
    }

    /// Judges the objectives whose minute is over.
    pub(super) fn judge_slos(&mut self) {
        let minute = self.now.ms() / MINUTE_MS;
        for at in 0..self.slos.declared.len() {
            let minutes = &mut self.slos.minutes[at];
            if !minutes.turn(minute) {
                continue;
            }
            let budget = self.slos.declared[at].budget().unwrap_or(1.0);
            let burn = minutes.burn(budget);
            for (level, pages) in [true, false].into_iter().enumerate() {
                // What is urgent is told as that; a slower rule that holds as well says less.
                let burn = burn.filter(|burn| RULES[burn.rule].pages == pages);
                let is_over = self.slos.minutes[at].levels[level].next(burn.is_some());
                if let Some(burn) = burn {
                    self.tell_of_burn(at, budget, burn);
                } else if is_over {
                    self.findings.end(Key::Slo(at as u16, pages), self.now);
                }
            }
        }
    }

    fn tell_of_burn(&mut self, at: usize, budget: f64, burn: Burn) {
        let entity = self.entities.intern(&self.slos.entities[at]);
        let name = self.slos.declared[at].name.clone();
        let rule = RULES[burn.rule];
        let minutes = &self.slos.minutes[at];
        let long_ms = minutes.known(rule.long) as i64 * MINUTE_MS;
        let left = BUDGET_DAYS * 86_400_000.0 / burn.rate;
        let text = format!(
            "{name}: {:.2} % of requests failed in {}, {:.2} % may: the budget of 30 days would last {}",
            100.0 * burn.share,
            words::duration(long_ms),
            100.0 * budget,
            words::duration(left as i64)
        );
        let since: Time = self.now.plus_ms(-(rule.short as i64) * MINUTE_MS);
        let rules = RULES.map(|rule| (rule.title, minutes.holds(&rule, budget)));
        let unusual = format!(
            "the budget burns {:.1} times as fast as it may; with what may fail failing, less than one look in 100 finds so many by chance",
            burn.rate
        );
        let explain = explain::told(unusual).judged_by(rules);
        self.observe(Observation {
            key: Key::Slo(at as u16, rule.pages),
            entity,
            callee: None,
            sick: entity,
            check: Check::BurnRate,
            series: None,
            subject: name.into(),
            role: MetricRole::Errors,
            unit: Unit::Ratio,
            since,
            at: self.now,
            expected: Band {
                low: 0.0,
                high: budget,
            },
            seen: burn.share,
            direction: Direction::Up,
            // The rarer rule outranks the others, so that its words replace theirs.
            score: 12.0 - burn.rule as f32,
            pages: rule.pages,
            text,
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
    use crate::model::{Batch, Input, Labels, Sample, SeriesKind, Signal, SourceId, Stamped};

    /// Minutes of so many requests and failures each, oldest first, judged for an objective of 99.9 %.
    fn judged(story: &[(usize, f64, f64)]) -> Option<usize> {
        let mut minutes = Minutes::default();
        let mut minute = 1_000;
        for (count, total, failed) in story {
            for _ in 0..*count {
                minutes.count(minute, *total, false);
                minutes.count(minute, *failed, true);
                minute += 1;
                minutes.turn(minute);
            }
        }
        minutes.burn(0.001).map(|burn| burn.rule)
    }

    #[test]
    fn a_share_of_a_strict_objective_is_not_nothing() {
        let told = Minutes::default().standing(&RULES[3], Some(0.000_01));
        assert!(
            told.contains("it takes a share of 0.001 %, for certain"),
            "{told}"
        );
    }

    #[test]
    fn each_rule_fires_at_its_rate_and_not_below() {
        type Case<'a> = (&'a str, &'a [(usize, f64, f64)], Option<usize>);
        let day = 24 * 60;
        let calm = (3 * day, 1_000.0, 0.5);
        let cases: [Case<'_>; 8] = [
            ("as ever", &[calm], None),
            (
                "a fifth fails since five minutes",
                &[calm, (5, 1_000.0, 200.0)],
                Some(0),
            ),
            (
                "20 times the budget for an hour",
                &[calm, (60, 1_000.0, 20.0)],
                Some(0),
            ),
            ("10 times for an hour", &[calm, (60, 1_000.0, 10.0)], None),
            (
                "10 times for six hours",
                &[calm, (360, 1_000.0, 10.0)],
                Some(1),
            ),
            ("4 times for a day", &[calm, (day, 1_000.0, 4.0)], Some(2)),
            (
                "1.5 times for three days",
                &[(3 * day, 1_000.0, 1.5)],
                Some(3),
            ),
            (
                "it was bad and is over",
                &[calm, (60, 1_000.0, 20.0), (10, 1_000.0, 0.5)],
                None,
            ),
        ];
        for (name, story, expected) in cases {
            let rule = judged(story);
            // A slower rule may hold as well once a faster one is over.
            let urgent = rule.filter(|rule| RULES[*rule].pages);
            let expected_urgent = expected.filter(|rule| RULES[*rule].pages);
            assert_eq!(urgent, expected_urgent, "{name}: {rule:?}");
            if expected.is_some() {
                assert_eq!(rule, expected, "{name}");
            }
        }
    }

    #[test]
    fn few_requests_say_little() {
        // Ten requests an hour: one failure is a burn of a hundred, and no reason to wake anybody.
        let quiet = (24 * 60, 1.0 / 6.0, 0.0);
        assert_eq!(judged(&[quiet, (1, 1.0, 1.0)]), None);
        assert_eq!(judged(&[quiet, (1, 1.0, 2.0)]), None, "nor are two");
        // When most fail, it is one, however few they are.
        assert_eq!(judged(&[quiet, (30, 1.0 / 6.0, 1.0 / 6.0)]), Some(0));
    }

    /// How many of rare things happen, by Knuth's product of uniform numbers.
    fn poisson(dice: &mut Dice, mean: f64) -> f64 {
        let (least, mut product, mut count) = ((-mean).exp(), dice.unit(), 0.0);
        while product > least {
            product *= dice.unit();
            count += 1.0;
        }
        count
    }

    #[test]
    fn chance_alone_hardly_ever_fires() {
        // Failures at exactly the budget, drawn: 200 services for three days, looked at every hour.
        let mut dice = Dice(7);
        let mut fired = 0;
        for service in 0..200 {
            let per_minute = [1.0, 10.0, 100.0, 1_000.0][service % 4];
            let mut minutes = Minutes::default();
            for minute in 1..=3 * 24 * 60 {
                let failed = poisson(&mut dice, per_minute * 0.001);
                minutes.count(minute, per_minute, false);
                minutes.count(minute, failed, true);
                minutes.turn(minute + 1);
                if minute % 60 == 0 {
                    fired += u32::from(minutes.burn(0.001).is_some_and(|b| RULES[b.rule].pages));
                }
            }
        }
        assert!(fired <= 2, "{fired} pages in 14,400 looks");
    }

    #[test]
    fn a_declared_objective_that_burns_opens_an_incident_and_ends() {
        let slo = SloConfig {
            name: "checkout answers".to_owned(),
            entity: "shop".to_owned(),
            objective: "99.9".to_owned(),
            failed: "http_failed_total".to_owned(),
            total: "http_requests_total".to_owned(),
        };
        let config = EngineConfig {
            slo: vec![slo],
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, Vec::new());
        let (mut requests, mut failures) = (0.0, 0.0);
        let mut burned: Vec<i64> = Vec::new();
        for tick in 0..3 * 360_i64 {
            let at = Time::from_secs(1_768_392_000 + 10 * tick);
            let is_bad = (360..540).contains(&tick);
            requests += 100.0;
            failures += if is_bad { 5.0 } else { 0.0 };
            let sample = |name: &str, value: f64| {
                let labels = Labels::from_pairs([("service", "shop")]).unwrap();
                let series = Series::new(name, labels, SeriesKind::Counter, Unit::None);
                let series = Arc::new(series);
                Signal::Sample(Sample { series, at, value })
            };
            let signals = vec![
                sample("http_requests_total", requests),
                sample("http_failed_total", failures),
            ];
            let source = SourceId::new("test");
            for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
            if let Some(state) = engine.findings.of_key(Key::Slo(0, true)) {
                assert!(
                    state.finding.text.contains("of requests failed"),
                    "{}",
                    state.finding.text
                );
                burned.push(tick / 6);
            }
        }
        let (first, last) = (burned[0], burned[burned.len() - 1]);
        assert!((62..75).contains(&first), "told in minute {first}");
        assert!((90..125).contains(&last), "over in minute {last}");
        let about = |row: &crate::model::IncidentRow| {
            let held = engine.correlator.book.get(row.id);
            held.is_some_and(|held| {
                held.incident
                    .findings
                    .iter()
                    .any(|f| f.check == Check::BurnRate)
            })
        };
        assert!(engine.incident_rows().any(|row| about(&row)));
    }
}
