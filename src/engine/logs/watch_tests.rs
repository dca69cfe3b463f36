//! The log checks as the engine sees them: lines and ticks in, findings out.

use super::*;
use crate::model::{
    Check, EntityId, EntityKind, Labels, LogLevel, LogLine, MetricRole, Time, Unit,
};

/// Feeds lines on a virtual clock that ticks once a second.
struct Feed {
    watch: LogWatch,
    now_ms: i64,
    findings: Vec<LogFinding>,
}

impl Feed {
    fn new() -> Self {
        Self {
            watch: LogWatch::new(),
            now_ms: 1_700_000_000_000,
            findings: Vec::new(),
        }
    }

    fn entity() -> EntityId {
        EntityId::new(EntityKind::Service, "checkout")
    }

    fn line(&mut self, level: LogLevel, text: &str) {
        let line = LogLine {
            at: Time::from_ms(self.now_ms),
            labels: Labels::empty(),
            level: Some(level),
            text: text.into(),
            trace: None,
            span: None,
        };
        self.watch.observe(&Self::entity(), &line, line.at);
    }

    /// Ordinary traffic for some seconds; `also` writes what is special about a second.
    fn run(&mut self, seconds: i64, mut also: impl FnMut(&mut Self, i64)) {
        for second in 0..seconds {
            self.line(
                LogLevel::Info,
                &format!("handled request id={second} in {}ms", second % 90),
            );
            if second % 7 == 0 {
                self.line(
                    LogLevel::Error,
                    &format!("request {second} failed: timeout"),
                );
            }
            also(self, second);
            self.now_ms += 1_000;
            let now = Time::from_ms(self.now_ms);
            self.watch.tick(now, &mut self.findings);
        }
    }

    /// Checks of the findings so far, each once, in order of first report.
    fn said(&self) -> Vec<(Check, bool)> {
        let mut said: Vec<(Check, bool)> = Vec::new();
        for finding in &self.findings {
            match said.iter_mut().find(|(check, _)| *check == finding.check) {
                Some((_, pages)) => *pages |= finding.pages,
                None => said.push((finding.check, finding.pages)),
            }
        }
        said
    }
}

#[test]
fn ordinary_traffic_is_quiet() {
    let mut feed = Feed::new();
    feed.run(6 * 3_600, |_, _| {});
    assert_eq!(feed.said(), []);
}

#[test]
fn a_new_error_that_repeats_pages() {
    let mut feed = Feed::new();
    feed.run(1_800, |_, _| {});
    feed.run(5, |feed, s| {
        feed.line(
            LogLevel::Error,
            &format!("pool exhausted ({s} of 20 in use)"),
        );
    });
    let last = feed.findings.last().unwrap();
    assert_eq!(feed.said(), [(Check::NewTemplate, true)]);
    assert_eq!(
        (&*last.subject, last.level),
        (
            "pool exhausted (<number> of <number> in use)",
            LogLevel::Error
        )
    );
    assert!(last.score > 3.0, "{}", last.score);
    feed.run(400, |_, _| {});
    let ended = feed
        .findings
        .iter()
        .filter(|finding| finding.ended.is_some())
        .count();
    assert_eq!(ended, 1);
}

#[test]
fn a_new_ordinary_line_informs() {
    let mut feed = Feed::new();
    feed.run(1_800, |_, _| {});
    feed.run(30, |feed, _| {
        feed.line(LogLevel::Info, "feature flag reloaded");
    });
    assert_eq!(feed.said(), [(Check::NewTemplate, false)]);
}

#[test]
fn everything_is_new_to_a_new_entity() {
    let mut feed = Feed::new();
    feed.run(60, |feed, s| {
        feed.line(
            LogLevel::Error,
            &format!("{} boom", "x".repeat(s as usize + 1)),
        );
    });
    assert_eq!(feed.said(), []);
}

#[test]
fn a_burst_of_known_errors_pages_and_ends() {
    let mut feed = Feed::new();
    feed.run(3_600, |_, _| {});
    feed.run(60, |feed, s| {
        (0..10).for_each(|_| feed.line(LogLevel::Error, &format!("request {s} failed: timeout")));
    });
    assert_eq!(
        feed.said(),
        [(Check::LogBurst, true), (Check::LevelShift, true)]
    );
    let first = feed
        .findings
        .iter()
        .find(|finding| finding.check == Check::LogBurst)
        .unwrap();
    assert!(first.expected.high < first.seen);
    feed.run(300, |_, _| {});
    assert_eq!(
        feed.findings
            .iter()
            .filter(|finding| finding.ended.is_some())
            .count(),
        2
    );
}

#[test]
fn errors_that_last_stay_odd_for_hours_and_are_accepted_then() {
    let mut feed = Feed::new();
    feed.run(3_600, |_, _| {});
    let fails = |feed: &mut Feed, s: i64| {
        (0..2).for_each(|_| feed.line(LogLevel::Error, &format!("request {s} failed: timeout")));
    };
    let latest = |feed: &Feed, check: Check| {
        let mut findings = feed.findings.iter().rev();
        findings
            .find(|found| found.check == check)
            .cloned()
            .unwrap()
    };
    feed.run(5 * 3_600 + 1_800, fails);
    for check in [Check::LogBurst, Check::LevelShift] {
        assert_eq!(latest(&feed, check).ended, None, "{check:?}");
    }
    feed.run(3_600, fails);
    for check in [Check::LogBurst, Check::LevelShift] {
        let found = latest(&feed, check);
        let accepted = found.accepted.unwrap_or_default();
        assert!(
            accepted.starts_with("new normal accepted after 6"),
            "{accepted}"
        );
    }
    feed.findings.clear();
    feed.run(3_600, fails);
    assert_eq!(feed.said(), [], "it is normal now");
    // Back to little is no news; the same rise again is.
    feed.run(10 * 3_600, |_, _| {});
    feed.run(300, fails);
    assert!(
        feed.said().contains(&(Check::LogBurst, true)),
        "{:?}",
        feed.said()
    );
}

#[test]
fn a_template_that_stops_is_missed() {
    let mut feed = Feed::new();
    let beat = |feed: &mut Feed, s: i64| {
        if s % 2 == 0 {
            feed.line(LogLevel::Info, "heartbeat sent to scheduler");
        }
    };
    feed.run(3_600, beat);
    assert_eq!(feed.said(), []);
    feed.run(300, |_, _| {});
    assert_eq!(feed.said(), [(Check::LogSilence, false)]);
}

#[test]
fn groups_show_new_templates_first_with_masked_samples() {
    let mut feed = Feed::new();
    feed.run(1_000, |_, _| {});
    let since = Time::from_ms(feed.now_ms);
    feed.run(3, |feed, _| {
        feed.line(LogLevel::Warn, "retry login password=hunter2 now");
    });
    let groups = feed
        .watch
        .groups(&Feed::entity(), since, Time::from_ms(feed.now_ms), 10);
    let shown: Vec<_> = groups
        .iter()
        .map(|g| (&*g.template, g.is_new, g.level, &*g.sample))
        .collect();
    assert_eq!(
        shown,
        [
            (
                "retry login password=<secret> now",
                true,
                LogLevel::Warn,
                "retry login password=<secret> now"
            ),
            (
                "request <number> failed: timeout",
                false,
                LogLevel::Error,
                "request 0 failed: timeout"
            ),
            (
                "handled request id=<number> in <duration>",
                false,
                LogLevel::Info,
                "handled request id=0 in 0ms"
            ),
        ]
    );
    assert_eq!(groups[0].buckets.iter().sum::<u32>(), 3);
}

#[test]
fn a_flood_of_templates_is_bounded_and_counted() {
    let mut feed = Feed::new();
    feed.run(1_000, |_, _| {});
    let word = |mut n: u64| -> String {
        (0..6)
            .map(|_| {
                let c = (b'a' + (n % 26) as u8) as char;
                n /= 26;
                c
            })
            .collect()
    };
    for n in 0..3_000 {
        let n = n * 7_919;
        feed.line(
            LogLevel::Warn,
            &format!("{} went {} again", word(n), word(n * 31)),
        );
    }
    let (stats, miner) = feed.watch.stats();
    assert!(
        stats.findings_suppressed > 2_000 && stats.counters_evicted > 2_000,
        "{stats:?}"
    );
    assert_eq!(miner.forms_evicted, 0);
    assert!(serde_json::to_string(&feed.watch).unwrap().len() < 4_000_000);
}

#[test]
fn a_checkpoint_goes_on_as_if_nothing_happened() {
    let mut feed = Feed::new();
    feed.run(1_500, |_, _| {});
    let saved = serde_json::to_string(&feed.watch).unwrap();
    let mut restored = Feed {
        watch: serde_json::from_str(&saved).unwrap(),
        now_ms: feed.now_ms,
        findings: Vec::new(),
    };
    let after =
        |feed: &mut Feed, s: i64| feed.line(LogLevel::Error, &format!("pool exhausted by {s}"));
    feed.run(60, after);
    restored.run(60, after);
    assert_eq!(feed.findings, restored.findings);
    assert_eq!(
        serde_json::to_string(&feed.watch).unwrap(),
        serde_json::to_string(&restored.watch).unwrap()
    );
}

#[test]
fn a_flood_of_entities_is_bounded_and_counted() {
    let mut watch = LogWatch::new();
    let at = Time::from_ms(1_700_000_000_000);
    for n in 0..3_000 {
        let entity = EntityId::new(EntityKind::Pod, &format!("p{n}"));
        for text in ["up", "down", "going up"] {
            let line = LogLine {
                at,
                labels: Labels::empty(),
                level: None,
                text: text.into(),
                trace: None,
                span: None,
            };
            watch.observe(&entity, &line, at);
        }
    }
    let (stats, _) = watch.stats();
    assert_eq!((stats.entities_evicted, stats.counters_evicted), (952, 0));
}

/// Minutes until it is known how far the values of a template move on ordinary days.
const KNOWN_MINUTES: i64 = 450;

/// Minutes of requests, two a second, of which so many in ten take `slow_ms`.
fn requests(feed: &mut Feed, minutes: i64, slow_in: i64, slow_ms: i64) {
    feed.run(60 * minutes, |feed, second| {
        for n in 0..2 {
            let dice = (second * 2 + n) * 7_919 % 1_009;
            let ms = if dice % 10 < slow_in {
                slow_ms
            } else {
                20 + dice % 60
            };
            feed.line(LogLevel::Info, &format!("charged order-{dice} in {ms}ms"));
        }
    });
}

#[test]
fn values_that_are_spread_otherwise_inform_until_they_are_as_usual() {
    let mut feed = Feed::new();
    requests(&mut feed, KNOWN_MINUTES, 0, 0);
    assert_eq!(feed.said(), []);
    requests(&mut feed, 5, 6, 2_400);
    assert_eq!(feed.said(), [(Check::LogValues, false)]);
    let told = feed.findings.last().unwrap();
    assert_eq!(told.ended, None);
    assert!(told.seen > 0.5 && told.expected.high < 0.2, "{told:?}");
    assert!(
        told.text.contains(" of its durations (value 2) lie above ")
            && told.text.contains(" since 05:4")
            && told.text.contains(", usually ")
            && told.text.ends_with(": \"charged … in …\""),
        "{}",
        told.text
    );
    assert_eq!((told.unit(), told.role()), (Unit::Ratio, MetricRole::Other));
    requests(&mut feed, 5, 0, 0);
    assert!(feed.findings.last().unwrap().ended.is_some());
}

#[test]
fn one_id_that_takes_over_informs() {
    let mut feed = Feed::new();
    requests(&mut feed, KNOWN_MINUTES, 0, 0);
    feed.run(240, |feed, second| {
        for n in 0..2 {
            let dice = (second * 2 + n) * 7_919 % 1_009;
            let id = if dice % 10 < 7 { 17 } else { dice };
            feed.line(
                LogLevel::Info,
                &format!("charged order-{id} in {}ms", 20 + dice % 60),
            );
        }
    });
    assert_eq!(feed.said(), [(Check::LogValues, false)]);
    let text = &feed.findings.last().unwrap().text;
    let expected = "one part in eight of its ids (value 1) is in ";
    assert!(text.starts_with(expected), "{text}");
}

#[test]
fn what_values_are_now_is_normal_after_hours() {
    let mut feed = Feed::new();
    requests(&mut feed, KNOWN_MINUTES, 0, 0);
    requests(&mut feed, 6 * 60 + 5, 6, 2_400);
    let accepted = feed
        .findings
        .iter()
        .filter(|finding| finding.accepted.is_some());
    assert_eq!(accepted.count(), 1);
    feed.findings.clear();
    requests(&mut feed, 60, 6, 2_400);
    assert_eq!(feed.said(), []);
}

#[test]
fn a_job_whose_line_does_not_come_is_told_and_a_line_now_and_then_is_not() {
    let mut feed = Feed::new();
    let job = |feed: &mut Feed, second: i64| {
        if second % 1_200 == 7 {
            feed.line(LogLevel::Info, "nightly export finished");
            feed.line(LogLevel::Info, "temporary files removed");
        }
        if second * second % 1_999 == 4 {
            feed.line(LogLevel::Info, "cache trimmed");
        }
    };
    feed.run(20 * 1_200, job);
    feed.findings.clear();
    feed.run(1_200, |_, _| {});
    let told: Vec<_> = feed.findings.iter().map(|f| (f.check, f.pages)).collect();
    assert!(!told.is_empty() && told.iter().all(|told| *told == (Check::LogSilence, false)));
    let text = &feed.findings[0].text;
    assert!(
        text.starts_with("it comes every 20 min: what was due at ")
            && text.contains(" did not come: \"nightly export finished\""),
        "{text}"
    );
    feed.run(3 * 1_200, job);
    let over = feed
        .findings
        .iter()
        .filter(|finding| finding.ended.is_some());
    assert_eq!(over.count(), 2, "both lines come again");
}
