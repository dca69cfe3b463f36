//! What a series does that no single value shows, as findings: it stands still, varies otherwise, creeps
//! away, lost its pattern, or does not do in time what it did again and again. All of it informs.

use super::Engine;
use super::detect::{Beat, Broken, HOLD_MS_MAX, OPEN_EVIDENCE, Stretch, Turn, Verdict};
use super::diagnose::words;
use super::explain;
use super::findings::{Key, Observation};
use super::intake::SeriesIx;
use crate::model::{Band, Check, Direction, Explanation, MetricRole, Time, Unit};

impl Engine {
    /// What lasts becomes a finding, or ends one.
    pub(super) fn note_turn(&mut self, series: SeriesIx, turn: Turn, verdict: &Verdict, at: Time) {
        let key = Key::Sustained(series);
        match turn {
            Turn::Quiet => {}
            Turn::Open(stretch) => self.tell_of_sustained(series, stretch, verdict, at),
            Turn::Over => self.findings.end(key, at),
            Turn::Accepted => {
                let lasted = words::duration(HOLD_MS_MAX);
                let name = explain::subject(&self.intake.row(series).series.name);
                let text = format!("new normal accepted after {lasted}: how {name} behaves");
                self.findings.accept(key, at, text);
            }
        }
    }

    /// A beat that did not come becomes a finding, or one that did ends it.
    pub(super) fn note_beat(&mut self, series: SeriesIx, beat: Beat, at: Time) {
        let key = Key::Rhythm(series);
        match beat {
            Beat::Quiet => {}
            Beat::Broken(broken) => self.tell_of_rhythm(series, broken, at),
            Beat::Back => self.findings.end(key, at),
            Beat::Lost => {
                let name = explain::subject(&self.intake.row(series).series.name);
                let text = format!("new normal accepted: {name} has no rhythm any more");
                self.findings.accept(key, at, text);
            }
        }
    }

    /// It informs: as a symptom it is no metric's own.
    fn tell_of_sustained(
        &mut self,
        series: SeriesIx,
        stretch: Stretch,
        verdict: &Verdict,
        at: Time,
    ) {
        let key = Key::Sustained(series);
        if self.findings.of_key(key).is_some() {
            return;
        }
        let row = self.intake.row(series);
        let Stretch { check, since, .. } = stretch;
        let text = explain::sustained(&row.series.name, check, verdict.seen, row.unit, since);
        let unusual = Explanation {
            unusual: explain::stretch(&stretch).into(),
            ..Explanation::default()
        };
        // The check that tells of it agrees by the stretch, whatever it says of this one value.
        let opinions = row.judge.opinions();
        let opinions = opinions.map(|(title, is_odd)| (title, is_odd || title == stretch.title));
        let explain = unusual.judged_by(opinions).against(Self::baseline_of(row));
        self.observe(Observation {
            key,
            entity: row.entity,
            callee: None,
            sick: row.entity,
            check,
            series: Some(row.series.id),
            subject: row.series.name.as_ref().into(),
            role: MetricRole::Other,
            unit: row.unit,
            since,
            at,
            expected: verdict.expected,
            seen: verdict.seen,
            direction: verdict.direction,
            score: OPEN_EVIDENCE,
            pages: false,
            text,
            explain,
        });
    }

    /// What a series does again and again it did not do, or at a wrong time. It informs. Of a series whose
    /// values are odd that tells it better.
    fn tell_of_rhythm(&mut self, series: SeriesIx, broken: Broken, at: Time) {
        let key = Key::Rhythm(series);
        let row = self.intake.row(series);
        let told = self.findings.of_key(key).map(|state| state.finding.score);
        let score = OPEN_EVIDENCE + f32::from(u8::from(broken.came.is_some()));
        // That it came at another time is news.
        if told.is_some_and(|told| told >= score) || told.is_none() && row.judge.is_odd() {
            return;
        }
        let period_s = broken.period_ms as f64 / 1_000.0;
        let last = broken.due.plus_ms(-broken.period_ms);
        let name = explain::subject(&row.series.name);
        let unusual = Explanation {
            unusual: "it kept time for sixteen beats in a row".into(),
            ..Explanation::default()
        };
        let explain = unusual
            .judged_by([("rhythm", true)])
            .judged_by(row.judge.opinions())
            .against(Self::baseline_of(row));
        self.observe(Observation {
            key,
            entity: row.entity,
            callee: None,
            sick: row.entity,
            check: Check::Periodicity,
            series: Some(row.series.id),
            subject: row.series.name.as_ref().into(),
            role: MetricRole::Other,
            unit: Unit::Seconds,
            since: broken.due,
            at,
            expected: Band {
                low: period_s,
                high: period_s,
            },
            seen: broken.came.unwrap_or(at).since(last) as f64 / 1_000.0,
            direction: Direction::Up,
            score,
            pages: false,
            text: explain::broken(&name, &broken),
            explain,
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::intake::SeriesIx;
    use crate::model::{
        Batch, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped, WhyAnswer,
    };

    /// A Monday, 0:00.
    const START_S: i64 = 1_767_571_200;
    const STEP_S: i64 = 30;

    /// An engine that watched one gauge, the value of which depends on the second.
    fn watched(hours: i64, value: impl Fn(i64) -> f64) -> Engine {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let labels = Labels::from_pairs([("service", "backup")]).unwrap();
        let series = Series::new("queue_items", labels, SeriesKind::Gauge, Unit::None);
        let series = Arc::new(series);
        for second in (0..hours * 3_600).step_by(STEP_S as usize) {
            let at = Time::from_secs(START_S + second);
            let wobble = (second / STEP_S * 7_919 % 101) as f64 / 20.0;
            let sample = Sample {
                series: Arc::clone(&series),
                at,
                value: value(second) + wobble,
            };
            let signals = vec![Signal::Sample(sample)];
            let source = SourceId::new("test");
            for input in [Input::Signals(Batch { source, signals }), Input::Tick] {
                let seq = 1;
                engine.step(&Stamped { seq, at, input }, &mut Vec::new());
            }
        }
        engine
    }

    fn every(minutes: i64) -> impl Fn(i64) -> f64 {
        move |second| {
            if second / 60 % minutes < 3 {
                60.0
            } else {
                10.0
            }
        }
    }

    #[test]
    fn a_job_that_does_not_run_in_time_is_told_and_when_it_is_due_is_known() {
        let rhythm = Key::Rhythm(SeriesIx(0));
        let engine = watched(24, every(60));
        assert!(engine.findings.of_key(rhythm).is_none());
        let WhyAnswer::One(why) = engine.why("queue_items", None) else {
            panic!("it is the only one");
        };
        let known = "it comes every 60 min, next at 00:00";
        assert!(why.because.iter().any(|text| **text == *known), "{why:?}");
        let stops = |second| {
            if second < 24 * 3_600 {
                every(60)(second)
            } else {
                10.0
            }
        };
        let engine = watched(25, stops);
        let finding = &engine.findings.of_key(rhythm).unwrap().finding;
        assert_eq!((finding.check, finding.pages), (Check::Periodicity, false));
        let text = "queue items comes every 60 min: what was due at 00:00";
        assert!(finding.text.starts_with(text), "{}", finding.text);
        assert!(finding.text.ends_with(" did not come"), "{}", finding.text);
    }

    #[test]
    fn a_daily_peak_that_does_not_come_is_told_by_the_season() {
        let peak = |second: i64| {
            let hours = (second % 86_400) as f64 / 3_600.0 - 13.0;
            10.0 + 80.0 * (-hours * hours / 8.0).exp()
        };
        let stops = |second| {
            if second < 4 * 86_400 {
                peak(second)
            } else {
                10.0
            }
        };
        let engine = watched(4 * 24 + 14, stops);
        let state = engine.findings.of_key(Key::Series(SeriesIx(0)));
        let finding = &state.expect("it is lower than at any noon").finding;
        assert_eq!(finding.direction, Direction::Down, "{}", finding.text);
        // It is odd by what is expected at that hour: at any other it would be as usual.
        let hours = (finding.since.ms() / 1_000 - START_S) / 3_600;
        assert!(
            (4 * 24 + 6..4 * 24 + 13).contains(&hours),
            "{}",
            finding.text
        );
    }
}
