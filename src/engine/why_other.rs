//! "Why did you fire, and why did you not?" of what is no series: calls, kinds of log lines, histograms.
//!
//! Of these only what is known now is kept; what was known at another time a recording tells, replayed up
//! to it.

use super::Engine;
use super::diagnose::words;
use super::distribution::Distribution;
use super::entities::EntityIx;
use super::explain;
use super::feeds::Feed;
use super::findings::Key;
use super::intake::SeriesIx;
use super::traces::{Flow, ODD_SCORE, ODD_Z, Rate};
use crate::model::{Check, FindingId, MetricRole, Time, Unit, WhyAnswer, WhyOther};

/// A time further from now than this is another time, in milliseconds.
const NOW_MS: i64 = 60_000;
/// Things answered for at once.
const OTHERS_MAX: usize = 20;

impl Engine {
    /// Answers for `ENTITY requests`, `ENTITY calls [CALLEE]`, `ENTITY logs [WORD …]` and `[ENTITY] HISTOGRAM`.
    pub(super) fn why_other(&self, words: &[&str], at: Option<Time>) -> WhyAnswer {
        let mut others = match words {
            [entity, "requests"] => self.why_requests(entity),
            [entity, "calls", callees @ ..] => self.why_calls(entity, callees),
            [entity, "logs", words @ ..] => self.why_lines(entity, words),
            [name] => self.why_histogram(name, None),
            [entity, name] => self.why_histogram(name, Some(entity)),
            _ => Vec::new(),
        };
        if others.is_empty() {
            others = self.why_unjudged(words);
        }
        if others.is_empty() {
            return self.why_names(words);
        }
        others.truncate(OTHERS_MAX);
        if at.is_some_and(|at| at.since(self.now).abs() > NOW_MS) {
            let text = "what was known of it at another time is not kept here: ask a recording";
            for of in &mut others {
                of.because.insert(0, text.into());
            }
        }
        WhyAnswer::Others(others)
    }

    fn why_requests(&self, entity: &str) -> Vec<WhyOther> {
        let served = self.meant(entity).into_iter().filter_map(|of| {
            let because = self.flow(Flow::Served(of), of)?;
            let of_check = |check| Key::Entity(of, check);
            Some(self.other(of, "requests".into(), FLOW_CHECKS.map(of_check), because))
        });
        let mut others: Vec<WhyOther> = served.collect();
        for of in self.meant(entity) {
            others.extend(self.why_shares(of));
            others.extend(self.why_objectives(of));
        }
        others
    }

    /// What share of the requests that an entity counts fails.
    fn why_shares(&self, of: EntityIx) -> Vec<WhyOther> {
        let groups = self.ratios.iter().filter(|(_, group)| group.entity == of);
        let told = groups.map(|(id, group)| {
            let subject = format!("failing {}", explain::subject(group.of.name()));
            self.other(
                of,
                subject.into(),
                [Key::Ratio(id)],
                vec![group.of.standing()],
            )
        });
        told.collect()
    }

    /// The objectives declared for an entity.
    fn why_objectives(&self, of: EntityIx) -> Vec<WhyOther> {
        let declared = self.slos.of(self.entities.id(of));
        let told = declared.map(|(at, name, because)| {
            let keys = [true, false].map(|pages| Key::Slo(at, pages));
            self.other(of, name.into(), keys, because)
        });
        told.collect()
    }

    fn why_calls(&self, entity: &str, callees: &[&str]) -> Vec<WhyOther> {
        let mut others = Vec::new();
        for from in self.meant(entity) {
            for to in self.topology.callees(from) {
                let (to, id) = (*to, self.entities.id(*to));
                let is_meant = |name: &&str| **name == *id.name() || **name == *id.as_str();
                if !callees.is_empty() && !callees.iter().any(is_meant) {
                    continue;
                }
                if let Some(because) = self.flow(Flow::Called(from, to), to) {
                    let of_check = |check| Key::Edge(from, to, check);
                    let subject = format!("calls to {}", id.name()).into();
                    others.push(self.other(from, subject, FLOW_CHECKS.map(of_check), because));
                }
            }
        }
        others
    }

    fn why_lines(&self, entity: &str, words: &[&str]) -> Vec<WhyOther> {
        const CHECKS: [Check; 4] = [
            Check::NewTemplate,
            Check::LogBurst,
            Check::LogSilence,
            Check::LogValues,
        ];
        let mut others = Vec::new();
        for of in self.meant(entity) {
            let told = self.logs.why(self.entities.id(of), words, self.now);
            for (template, subject, because) in told {
                let of_check = |check| Key::Log(of, template.0, check);
                others.push(self.other(of, subject, CHECKS.map(of_check), because));
            }
        }
        others
    }

    fn why_histogram(&self, name: &str, entity: Option<&str>) -> Vec<WhyOther> {
        let meant = entity.map(|entity| self.meant(entity));
        let called = self.histograms.called(name);
        let called =
            called.filter(|(_, of, _)| meant.as_ref().is_none_or(|meant| meant.contains(of)));
        let told = called.map(|(id, of, standing)| {
            let because = vec![explain::spread("its values", standing)];
            self.other(of, name.into(), [Key::Histogram(id)], because)
        });
        told.collect()
    }

    /// Series that are not judged at all.
    fn why_unjudged(&self, words: &[&str]) -> Vec<WhyOther> {
        let rows = self.intake.iter();
        let rows = rows.filter(|(_, row)| !row.is_judged() && self.is_meant(row, words));
        let told = rows.take(OTHERS_MAX).map(|(series, row)| {
            let subject = row.series.name.as_ref().into();
            if row.is_bucket() {
                return self.why_bucket(series, row.entity, subject);
            }
            let because =
                "it says what something is, or repeats what others say: its values are not judged";
            self.other(row.entity, subject, [], vec![because.to_owned()])
        });
        told.collect()
    }

    /// A bucket is judged with the others of its histogram.
    fn why_bucket(&self, series: SeriesIx, of: EntityIx, subject: Box<str>) -> WhyOther {
        let feed = self.histograms.feed(series);
        let because = match feed {
            Feed::Group(id, _) => {
                let group = self.histograms.get(id);
                let told = group.map(|group| explain::spread("its values", group.of.standing()));
                let because = told.into_iter().collect();
                return self.other(of, subject, [Key::Histogram(id)], because);
            }
            Feed::Nothing => "a bucket without an end belongs to no histogram: it is not judged",
            Feed::Unknown if self.histograms.is_full() => {
                "a bucket is judged with the others of its histogram, for which there was no room"
            }
            Feed::Unknown => {
                "a bucket is judged with the others of its histogram, once it has grown: it has not yet"
            }
        };
        self.other(of, subject, [], vec![because.to_owned()])
    }

    /// The entities called so, by kind and name or name alone.
    pub(super) fn meant(&self, name: &str) -> Vec<EntityIx> {
        let ids = self.entities.iter().map(|(id, _)| id);
        let meant = ids.filter(|id| id.as_str() == name || id.name() == name);
        meant.filter_map(|id| self.entities.find(id)).collect()
    }

    fn other<const N: usize>(
        &self,
        of: EntityIx,
        subject: Box<str>,
        keys: [Key; N],
        because: Vec<String>,
    ) -> WhyOther {
        let told = keys.iter().filter_map(|key| self.findings.of_key(*key));
        let findings: Vec<FindingId> = told.map(|state| state.finding.id).collect();
        WhyOther {
            entity: self.entities.id(of).clone(),
            subject,
            at: self.now,
            findings,
            because: because.into_iter().map(Into::into).collect(),
        }
    }

    /// What is known of a flow, sentence by sentence; `sick` is who is ill if it is odd.
    fn flow(&self, flow: Flow, sick: EntityIx) -> Option<Vec<String>> {
        let state = self.traces.flow(flow)?;
        let mut told = Vec::new();
        let sides = [
            (MetricRole::Latency, "how long its requests take", "slow"),
            (MetricRole::Errors, "how many of them fail", "failing"),
            (MetricRole::Traffic, "how many come", "more or fewer"),
        ];
        let name = self.entities.id(sick).name();
        let is_told_there = matches!(flow, Flow::Called(..)) && self.traces.serves(sick);
        if is_told_there {
            told.push(format!(
                "{name} tells of the requests it serves itself: what is odd of them is told of it, not of calls to it"
            ));
        }
        let measured = |role: &MetricRole| !is_told_there && self.measures(sick, *role);
        for (_, what, how) in sides.into_iter().filter(|(role, ..)| measured(role)) {
            told.push(format!(
                "{name} measures {what}: its calls are not told to be {how}"
            ));
        }
        let usual = state.usual();
        let Some((seconds, factor, failing)) = usual.normal() else {
            told.push(format!(
                "what is usual is being learned: {} calls",
                usual.calls()
            ));
            return Some(told);
        };
        let value = |seconds| words::value(seconds, Unit::Seconds);
        told.push(format!(
            "usually {} to {}, {} of them failing",
            value(seconds / factor),
            value(seconds * factor),
            words::value(failing, Unit::Ratio)
        ));
        if let Some((at, window)) = state.latest() {
            told.push(format!(
                "the last ten seconds with calls, to {}: slower by {:.1} deviations, odd from {ODD_Z:.1}; failures of a chance of one in 10^{:.1}, odd from {ODD_SCORE:.1}",
                explain::clock(at),
                usual.z(window),
                usual.failing_score(window)
            ));
        }
        told.push(match state.rate().map(Rate::standing) {
            None => "nobody says what is kept of them: how many there are is not judged".to_owned(),
            Some(None) => "how many there are is being learned".to_owned(),
            Some(Some((usual, evidence, needed))) => format!(
                "usually {}: the evidence for more or fewer is {evidence:.1}, and {needed:.1} is needed",
                words::value(usual, Unit::PerSecond)
            ),
        });
        let shape = state.shape().map(Distribution::standing);
        told.extend(shape.map(|standing| explain::spread("their durations", standing)));
        Some(told)
    }
}

/// What is told of calls.
const FLOW_CHECKS: [Check; 4] = [
    Check::TraceDuration,
    Check::TraceErrors,
    Check::TraceRate,
    Check::Distribution,
];

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::histograms::{Histogram, Part};
    use crate::model::{
        Batch, Input, Labels, LogLine, Sample, Series, SeriesKind, Signal, SourceId, Span, SpanId,
        SpanKind, Stamped, TraceId,
    };

    /// An hour and a half of requests to `web`, which calls `db`, each with a line; one in four is kept, and
    /// in the last minutes half of them take ten times as long.
    fn lived() -> Engine {
        const START: Time = Time::from_secs(1_768_392_000);
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let resource = Labels::from_pairs([("service.name", "web")]).unwrap();
        for second in 0..5_400_u64 {
            let at = START.plus_ms(second as i64 * 1_000);
            let mut signals = Vec::new();
            for n in 0..8_u64 {
                let dice = (second * 8 + n) * 7_919 % 1_009;
                let slow = if second > 5_100 && dice % 2 == 0 {
                    10
                } else {
                    1
                };
                let duration_us = slow * (20_000 + 60 * dice);
                let span = |id: u64, parent: Option<u64>, kind| {
                    Signal::Span(Box::new(Span {
                        trace: TraceId(u128::from(second * 8 + n) + 1),
                        id: SpanId(id),
                        parent: parent.map(SpanId),
                        resource: resource.clone(),
                        name: "GET /".into(),
                        kind,
                        start: at,
                        duration_us,
                        error: false,
                        peer: parent.map(|_| Arc::from("database/db")),
                        weight: Some(4.0),
                    }))
                };
                signals.push(span(1, None, SpanKind::Server));
                signals.push(span(2, Some(1), SpanKind::Client));
            }
            signals.push(Signal::Log(Box::new(LogLine {
                at,
                labels: resource.clone(),
                level: None,
                text: format!("served {second} in {}ms", 20 + second * 7 % 60).into(),
                trace: None,
                span: None,
            })));
            let source = SourceId::new("test");
            for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
        }
        engine
    }

    #[test]
    fn says_of_series_that_are_not_judged_that_they_are_not() {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let at = Time::from_secs(1_768_392_000);
        let labels = Labels::from_pairs([("service", "web")]).unwrap();
        let series = Series::new("build_info", labels, SeriesKind::Gauge, Unit::None);
        let series = Arc::new(series);
        let signals = vec![Signal::Sample(Sample {
            series,
            at,
            value: 1.0,
        })];
        let source = SourceId::new("test");
        let input = Input::Signals(Batch { source, signals });
        engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
        for query in ["build_info", "web build_info"] {
            let WhyAnswer::Others(others) = engine.why(query, None) else {
                panic!("{query} is there");
            };
            assert!(others[0].because[0].ends_with("its values are not judged"));
        }
    }

    /// What `why` answers of the only bucket of a histogram, which says this of its end.
    fn of_bucket(engine: &Engine, name: &str) -> String {
        let WhyAnswer::Others(others) = engine.why(&format!("web {name}"), None) else {
            panic!("{name} is there");
        };
        others[0].because[0].to_string()
    }

    #[test]
    fn says_of_a_bucket_how_far_its_histogram_is() {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let step = |engine: &mut Engine, name: &str, end: &str, second: i64| {
            let at = Time::from_secs(1_768_392_000 + second);
            let labels = Labels::from_pairs([("service", "web"), ("le", end)]).unwrap();
            let series = Series::new(name, labels, SeriesKind::Counter, Unit::None);
            let value = second as f64;
            let series = Arc::new(series);
            let signals = vec![Signal::Sample(Sample { series, at, value })];
            let source = SourceId::new("test");
            let input = Input::Signals(Batch { source, signals });
            engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
        };
        step(&mut engine, "took_bucket", "1", 0);
        let told = of_bucket(&engine, "took_bucket");
        assert!(
            told.ends_with("once it has grown: it has not yet"),
            "{told}"
        );
        step(&mut engine, "took_bucket", "1", 15);
        let told = of_bucket(&engine, "took_bucket");
        assert_eq!(told, "how its values are spread is not known yet");
        // By a label of it, it is no histogram that is called, but this bucket.
        let WhyAnswer::Others(others) = engine.why("web took_bucket 1", None) else {
            panic!("it is there");
        };
        assert_eq!(*others[0].because[0], *told);
        let mut next = 100;
        while !engine.histograms.is_full() {
            next += 1;
            let bucket = Some((next.to_string().into(), Part::within(1.0)));
            let make = || Histogram::new(Unit::None);
            engine
                .histograms
                .add(SeriesIx(next), EntityIx(0), bucket, make);
        }
        step(&mut engine, "late_bucket", "1", 30);
        step(&mut engine, "late_bucket", "1", 45);
        let told = of_bucket(&engine, "late_bucket");
        assert!(told.ends_with("for which there was no room"), "{told}");
    }

    #[test]
    fn says_what_is_measured_and_so_not_told_of_calls() {
        let mut engine = lived();
        let labels = Labels::from_pairs([("service", "web")]).unwrap();
        let name = "http_requests_total";
        let series = Arc::new(Series::new(name, labels, SeriesKind::Counter, Unit::None));
        for second in 1..=900 {
            let at = engine.now().plus_ms(1_000);
            let (series, value) = (Arc::clone(&series), f64::from(second * 8));
            let signals = vec![Signal::Sample(Sample { series, at, value })];
            let source = SourceId::new("test");
            for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
        }
        let WhyAnswer::Others(others) = engine.why("web requests", None) else {
            panic!("requests are known");
        };
        let said = "web measures how many come: its calls are not told to be more or fewer";
        let told = &others[0].because;
        assert!(told.iter().any(|text| **text == *said), "{told:?}");
    }

    #[test]
    fn says_of_calls_and_lines_why_they_are_told_of_or_not() {
        let engine = lived();
        let asked = |query: &str, at| match engine.why(query, at) {
            WhyAnswer::Others(others) => others,
            other => panic!("{query}: {other:?}"),
        };
        let [requests] = &asked("web requests", None)[..] else {
            panic!("one entity is called so");
        };
        let told = requests.because.join("\n");
        assert!(
            told.contains("usually 3.2/s") || told.contains("usually 32/s"),
            "{told}"
        );
        assert!(!requests.findings.is_empty(), "{told}");
        let calls = asked("service/web calls db", None);
        assert_eq!((calls.len(), &*calls[0].subject), (1, "calls to db"));
        let lines = asked("web logs served", Some(engine.now().plus_ms(-3_600_000)));
        let told = lines[0].because.join("\n");
        assert!(
            told.starts_with("what was known of it at another time is not kept here"),
            "{told}"
        );
        assert!(
            told.contains(" lines in the last minute, at most "),
            "{told}"
        );
        assert!(
            told.contains("its durations (value 2) are spread otherwise"),
            "{told}"
        );
        assert_eq!(lines[0].findings, []);
        for query in ["web calls cache", "web logs nothing", "db requests"] {
            assert_eq!(engine.why(query, None), WhyAnswer::Unknown, "{query}");
        }
        let WhyAnswer::Of(web) = engine.why("web", None) else {
            panic!("it is known");
        };
        assert!(web[0].metrics.is_empty(), "it has no series: {web:?}");
    }
}
