//! "Why did you fire, and why did you not?", answered for any series from what is kept of it.
//!
//! Of the latest point everything is known; of earlier ones the value, what was expected and the
//! evidence. Whatever is older is in the recording: replayed up to that time, the same question gets
//! the same kind of answer. What is no series is `why_other`'s.

use super::Engine;
use super::arrivals::Arrivals;
use super::detect::{AGREE_SCORE, CHECKS, DETECTOR_VERSION, OPEN_EVIDENCE};
use super::explain;
use super::findings::Key;
use super::history::Point;
use super::intake::{SeriesIx, SeriesRow};
use super::roles;
use crate::model::{
    Band, BaselineVersion, CheckOpinion, FindingId, SeriesId, Time, Unit, Why, WhyAnswer,
};

/// Series named when more than one could be meant.
const SEVERAL_MAX: usize = 20;
/// A time this far from the nearest point has none, in intervals of the series.
const NEAR_INTERVALS: i64 = 3;

impl Engine {
    /// Answers for the series meant by `query` at `at`, or now. A query is an id, a metric's name, or
    /// `entity metric`; label values may follow.
    pub fn why(&self, query: &str, at: Option<Time>) -> WhyAnswer {
        let words: Vec<&str> = query.split_whitespace().collect();
        let mut found: Vec<SeriesIx> = self
            .intake
            .iter()
            .filter(|(_, row)| row.is_judged() && self.is_meant(row, &words))
            .map(|(ix, _)| ix)
            .collect();
        // In order of arrival: to name all of them in order of name would take the engine's time.
        found.truncate(SEVERAL_MAX);
        match found[..] {
            [] => self.why_other(&words, at),
            [one] => WhyAnswer::One(Box::new(self.why_series(one, at))),
            _ => {
                let mut names: Vec<_> = found.iter().map(|ix| self.name_of(*ix).into()).collect();
                names.sort_unstable();
                WhyAnswer::Several(names)
            }
        }
    }

    /// The baseline of a series as it is now.
    pub(super) fn baseline_of(row: &SeriesRow) -> BaselineVersion {
        let detector = row.judge.detector();
        BaselineVersion {
            checks: DETECTOR_VERSION,
            samples: detector.samples(),
            since: detector.since(),
            maturity: detector.maturity().as_str().into(),
            is_seasonal: detector.is_seasonal(),
        }
    }

    pub(super) fn is_meant(&self, row: &SeriesRow, words: &[&str]) -> bool {
        let entity = self.entities.id(row.entity);
        let id = |word: &&str| word.parse() == Ok(row.series.id.0);
        let is_one = |word: &&str| {
            *word == &*row.series.name
                || *word == entity.as_str()
                || *word == entity.name()
                || row.series.labels.iter().any(|(_, value)| value == *word)
                || id(word)
        };
        // At least the metric or the id is named, so that an entity alone does not mean all of it.
        let names_it = |word: &&str| **word == *row.series.name || id(word);
        words.iter().any(names_it) && words.iter().all(is_one)
    }

    fn name_of(&self, ix: SeriesIx) -> String {
        let row = self.intake.row(ix);
        let labels: Vec<String> = row
            .series
            .labels
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let entity = self.entities.id(row.entity);
        let (id, name) = (row.series.id.0, &row.series.name);
        format!("{id} {entity} {name} {{{}}}", labels.join(","))
    }

    fn why_series(&self, ix: SeriesIx, at: Option<Time>) -> Why {
        let row = self.intake.row(ix);
        let points = self.intake.points(row);
        let point = match at {
            None => points.last(),
            Some(at) => points.iter().min_by_key(|point| point.at.since(at).abs()),
        };
        let is_near = |point: &&Point| {
            let near_ms = i64::from(row.interval_ms.max(1)) * NEAR_INTERVALS;
            at.is_none_or(|at| point.at.since(at).abs() <= near_ms.max(point.span_ms))
        };
        let point = point.filter(is_near);
        let is_latest = point.map(|p| p.at) == points.last().map(|p| p.at);
        let raised_by = self.raised_by(row);
        let checks = if is_latest {
            row.judge.scores().map_or_else(Vec::new, opinions)
        } else {
            Vec::new()
        };
        let asked = at.unwrap_or(self.now);
        let mut why = Why {
            series: row.series.id,
            name: row.series.name.as_ref().into(),
            labels: row.series.labels.clone(),
            entity: self.entities.id(row.entity).clone(),
            role: row.role,
            unit: row.unit,
            at: point.map_or(asked, |point| point.at),
            kept_from: points.first().map_or(self.now, |point| point.at),
            seen: point.map(|point| f64::from(point.value)),
            expected: point.map_or_else(|| row.judge.band(asked), Point::band),
            finding: self.finding_at(ix, row.series.id, point.map_or(asked, |point| point.at)),
            evidence: point.map_or(0.0, |point| point.evidence),
            needed: OPEN_EVIDENCE + raised_by,
            raised_by,
            checks,
            baseline: Self::baseline_of(row),
            because: Vec::new(),
        };
        let is_verdict = roles::is_up(&row.series.name, &row.series.labels);
        let sentences = match why.seen {
            Some(seen) if is_verdict => of_verdict(&why, seen, self.is_own_target(row)),
            _ => because(&why, asked),
        };
        why.because = sentences.into_iter().map(Into::into).collect();
        if let Some((period_ms, due)) = row.judge.due() {
            let every = super::diagnose::words::duration(period_ms);
            let text = format!("it comes every {every}, next at {}", explain::about(due));
            why.because.push(text.into());
        }
        if let Some((per_second, evidence, needed)) =
            row.judge.known_arrivals().and_then(Arrivals::standing)
        {
            let usual = super::diagnose::words::value(per_second, Unit::PerSecond);
            let text = format!(
                "it is told only when something happened, usually {usual}: the evidence that it is more is {evidence:.1}, and {needed:.1} is needed"
            );
            why.because.push(text.into());
        }
        if let Some(weeks) = row.judge.odd_each_week(asked) {
            let text = format!(
                "it is like that each week at this time, for {weeks} weeks by now: expected, and not told"
            );
            why.because.push(text.into());
        }
        if let Some(until) = row.judge.held_until() {
            let text = format!(
                "what was normal before it became odd judges until {}; then, or when somebody accepts it, the new level is normal",
                explain::clock(until)
            );
            why.because.push(text.into());
        }
        why
    }

    /// The finding a series was part of at a time, if it is still known.
    fn finding_at(&self, ix: SeriesIx, series: SeriesId, at: Time) -> Option<FindingId> {
        let keys = [
            Key::Series(ix),
            Key::Sustained(ix),
            Key::Arrivals(ix),
            Key::Rhythm(ix),
            Key::Limit(ix),
        ];
        let entity = self.intake.row(ix).entity;
        let has_lapsed = self.silence.lapsed(entity).any(|lapsed| lapsed == ix);
        let lapse = has_lapsed.then_some(Key::Lapse(entity));
        let open = keys
            .into_iter()
            .chain(lapse)
            .filter_map(|key| self.findings.of_key(key));
        let of_incidents = || {
            let mut all = self.correlator.book.iter();
            all.find_map(|(_, held)| {
                let mut findings = held.incident.findings.iter();
                findings.find(|finding| {
                    finding.series == Some(series)
                        && finding.since <= at
                        && finding.ended.is_none_or(|ended| at <= ended)
                })
            })
        };
        let mut open = open.map(|state| &state.finding);
        open.find(|finding| finding.since <= at)
            .or_else(of_incidents)
            .map(|finding| finding.id)
    }
}

fn opinions(scores: [f32; CHECKS.len()]) -> Vec<CheckOpinion> {
    let opinion = |(check, score): (&super::detect::CheckRow, f32)| CheckOpinion {
        title: check.title.into(),
        score,
        bar: AGREE_SCORE,
    };
    CHECKS.iter().zip(scores).map(opinion).collect()
}

/// Of a series that says whether something answers: no baseline judges it, and none is told. `is_own` says whether we ask.
fn of_verdict(why: &Why, seen: f64, is_own: bool) -> Vec<String> {
    let told = match why.finding {
        Some(id) => format!("it is finding {}", id.0),
        None => "no finding".to_owned(),
    };
    let says = if seen > 0.0 {
        "it says that there is an answer"
    } else {
        "it says that there is no answer"
    };
    let never = if is_own {
        "page: it is declared to be watched here"
    } else {
        "inform"
    };
    let rule = format!(
        "no baseline judges it: after an answer, two times in a row without one are a loss; ten times without one answer ever {never}"
    );
    vec![told, says.to_owned(), rule]
}

/// The answer in sentences, the decisive one first.
fn because(why: &Why, asked: Time) -> Vec<String> {
    let mut told = Vec::new();
    let Some(seen) = why.seen else {
        told.push(if asked < why.kept_from {
            format!(
                "what was seen before {} is no longer kept here: ask a recording",
                why.kept_from
            )
        } else {
            format!("no value came around {}", explain::clock(asked))
        });
        return told;
    };
    let Band { low, high } = why.expected;
    match (why.finding, why.evidence >= why.needed) {
        (Some(id), _) => told.push(format!("it is finding {}", id.0)),
        (None, true) => told.push("the evidence was enough; its finding is over".to_owned()),
        (None, false) => told.push(format!(
            "no finding: the evidence was {:.1}, and {:.1} is needed",
            why.evidence, why.needed
        )),
    }
    let band = explain::band(why.expected, why.unit);
    let value = super::diagnose::words::value(seen, why.unit);
    if seen >= low && seen <= high {
        told.push(format!("{value} lies within what was expected, {band}"));
    } else {
        // Of what was told nothing more is needed.
        let needs = if why.finding.is_none() {
            "; a value like that must last or go further"
        } else {
            ""
        };
        told.push(format!(
            "{value} lies outside what was expected, {band}{needs}"
        ));
    }
    if &*why.baseline.maturity != "mature" {
        told.push(format!(
            "its baseline is {} ({} values): it may inform, it does not page",
            why.baseline.maturity, why.baseline.samples
        ));
    }
    if why.raised_by > 0.0 {
        told.push(format!(
            "people called the like noise: the bar is raised by {:.1}",
            why.raised_by
        ));
    }
    let odd = why.checks.iter().filter(|c| c.score >= c.bar);
    let odd: Vec<&str> = odd.map(|check| &*check.title).collect();
    if !why.checks.is_empty() {
        let odd = if odd.is_empty() {
            "none".to_owned()
        } else {
            odd.join(", ")
        };
        told.push(format!("checks that call the latest value odd: {odd}"));
    }
    told
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped,
    };

    #[test]
    fn of_a_target_that_never_answered_no_baseline_is_told() {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let labels = Labels::from_pairs([("job", "node"), ("instance", "127.0.0.1:9100")]).unwrap();
        let up = Arc::new(Series::new("up", labels, SeriesKind::Gauge, Unit::None));
        for scrape in 0..20 {
            let at = Time::from_secs(START_S + scrape * 15);
            let series = Arc::clone(&up);
            let sample = Signal::Sample(Sample {
                series,
                at,
                value: 0.0,
            });
            let batch = Batch {
                source: SourceId::new("scrape node"),
                signals: vec![sample],
            };
            let seq = scrape as u64 + 1;
            for input in [Input::Signals(batch), Input::Tick] {
                engine.step(&Stamped { seq, at, input }, &mut Vec::new());
            }
        }
        let titles: Vec<_> = engine.incident_rows().map(|row| row.title).collect();
        let [title] = &titles[..] else {
            panic!("one incident: {titles:?}");
        };
        let told = "node at 127.0.0.1:9100 never answered since we began to ask, ";
        assert!(title.contains(told), "{title}");
        let WhyAnswer::One(why) = engine.why("up", None) else {
            panic!("one series");
        };
        assert!(
            why.because[0].starts_with("it is finding "),
            "{:?}",
            why.because
        );
        assert_eq!(&*why.because[1], "it says that there is no answer");
        assert_eq!(why.because.len(), 3, "{:?}", why.because);
        let rule = &why.because[2];
        assert!(
            rule.ends_with(
                "ten times without one answer ever page: it is declared to be watched here"
            ),
            "{rule}"
        );
    }

    /// A Monday.
    const START_S: i64 = 1_767_571_200;
    const MINUTE_S: i64 = 60;

    /// Three days of minutes of the latency of two pods; that of pod `a` is so many times slower.
    fn lived(slower: impl Fn(i64) -> f64) -> Engine {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        for minute in 0..3 * 1_440 {
            let at = Time::from_secs(START_S + minute * MINUTE_S);
            let wobble = ((minute * 7_919) % 101) as f64 / 1_000.0;
            let sample = |pod: &str| {
                let labels = Labels::from_pairs([("service", "cart"), ("instance", pod)]).unwrap();
                let name = "request_duration_p99_seconds";
                let slow = if pod == "a" { slower(minute) } else { 1.0 };
                Signal::Sample(Sample {
                    series: Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::Seconds)),
                    at,
                    value: slow * (0.3 + wobble),
                })
            };
            let signals = vec![sample("a"), sample("b")];
            let source = SourceId::new("test");
            for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
        }
        engine
    }

    fn one(answer: WhyAnswer) -> Why {
        match answer {
            WhyAnswer::One(why) => *why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn says_why_not() {
        let engine = lived(|_| 1.0);
        let why = one(engine.why("cart request_duration_p99_seconds a", None));
        assert_eq!((why.finding, why.needed, why.raised_by), (None, 6.0, 0.0));
        assert!(
            why.because[0].starts_with("no finding: the evidence was "),
            "{why:?}"
        );
        assert!(
            why.because[1].contains("lies within what was expected"),
            "{why:?}"
        );
        assert_eq!(why.checks.len(), CHECKS.len());
        assert_eq!(&*why.baseline.maturity, "mature");
        assert_eq!(why.baseline.since, Time::from_secs(START_S));
        // At a time that is kept, and at one that is not.
        let earlier = engine.now().plus_ms(-20 * MINUTE_S * 1_000);
        let why = one(engine.why(&why.series.0.to_string(), Some(earlier)));
        assert_eq!(
            (why.at, why.checks.len(), why.seen.is_some()),
            (earlier, 0, true)
        );
        let long_ago = Time::from_secs(START_S + 60);
        let why = one(engine.why(&why.series.0.to_string(), Some(long_ago)));
        assert_eq!(why.seen, None);
        assert!(why.because[0].contains("ask a recording"), "{why:?}");
    }

    #[test]
    fn names_what_could_be_meant() {
        let engine = lived(|_| 1.0);
        assert_eq!(engine.why("no_such_metric", None), WhyAnswer::Unknown);
        let WhyAnswer::Of(_) = engine.why("cart", None) else {
            panic!("an entity is no series, and has some");
        };
        let WhyAnswer::Several(names) = engine.why("request_duration_p99_seconds", None) else {
            panic!("two pods have it");
        };
        assert_eq!(names.len(), 2);
        for name in names {
            let id = name.split(' ').next().unwrap();
            one(engine.why(id, None));
        }
    }

    #[test]
    fn says_why_and_the_finding_says_what_stands_behind_it() {
        let engine = lived(|minute| if minute < 3 * 1_440 - 10 { 1.0 } else { 10.0 });
        let why = one(engine.why("request_duration_p99_seconds a", None));
        let finding = engine.finding(why.finding.unwrap()).unwrap();
        assert_eq!(*why.because[0], format!("it is finding {}", finding.id.0));
        assert!(why.evidence >= why.needed);
        let explain = finding.explain.as_ref().unwrap();
        let expected = "higher, against what is expected, than on any working day around 23:00 in 2 days; \
                        further from normal than any of the last ";
        assert!(explain.unusual.starts_with(expected), "{explain:?}");
        assert!(
            explain.agreed.iter().any(|title| &**title == "spike"),
            "{explain:?}"
        );
        assert!(!explain.disagreed.is_empty());
        let all = explain.agreed.len() + explain.disagreed.len();
        assert_eq!(all, CHECKS.len() + 1, "and the run of values");
        let baseline = explain.baseline.as_ref().unwrap();
        assert_eq!(
            (&*baseline.maturity, baseline.checks),
            ("mature", DETECTOR_VERSION)
        );
    }

    #[test]
    fn what_happened_before_is_not_higher_than_ever() {
        let evening = |day: i64| day * 1_440 + 1_430..day * 1_440 + 1_440;
        let engine = lived(|minute| match minute {
            minute if evening(1).contains(&minute) => 20.0,
            minute if evening(2).contains(&minute) => 4.0,
            _ => 1.0,
        });
        let why = one(engine.why("request_duration_p99_seconds a", None));
        let finding = engine.finding(why.finding.unwrap()).unwrap();
        let unusual = &finding.explain.as_ref().unwrap().unusual;
        assert!(!unusual.contains("working day"), "{unusual}");
    }
}
