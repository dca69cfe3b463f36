//! A clock that was ahead and is right again: the engine goes back to it, once and aloud. And one that went on while the
//! engine was away.
//!
//! Engine time is the daemon's clock. It never decreases by little: stamps stand still until the
//! clock has caught up. A clock that steps back by more than [`CLOCK_BACK_MS_MAX`] is followed
//! instead, for an engine ahead of the world refuses everything the world says. What was noted in the
//! time that never was is taken to have happened just now, and what was due then is due as much later
//! from here; nothing is forgotten. No sender's clock can do this, only the stamp of an input.

use super::Engine;
use crate::model::{Delta, Effect, Input, Record, Time};

/// A stamp this much earlier than the one before is believed, in milliseconds.
pub const CLOCK_BACK_MS_MAX: i64 = 30_000;

/// No tick for this long means that the engine itself was away: stopped, restarted, or its machine
/// asleep, in milliseconds. Shorter than any patience with a source or a series.
pub(super) const PAUSE_MS: i64 = 30_000;

/// From which time to which the clock was set back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetBack {
    /// The time that never was.
    pub from: Time,
    /// The time it is.
    pub to: Time,
}

impl SetBack {
    /// Something that happened is not in the future.
    pub fn past(self, at: &mut Time) {
        *at = (*at).min(self.to);
    }

    /// The same, for what may never have happened.
    pub fn past_if(self, at: &mut Option<Time>) {
        if let Some(at) = at {
            self.past(at);
        }
    }

    /// What was to happen after `from` happens as much after `to`.
    pub fn due(self, at: &mut Time) {
        if *at > self.from {
            *at = self.to.plus_ms(at.since(self.from));
        }
    }
}

impl Engine {
    /// Takes the time of an input; follows a clock that was set back by much.
    pub(super) fn take_time(&mut self, at: Time, effects: &mut Vec<Effect>) {
        if self.now.since(at) <= CLOCK_BACK_MS_MAX {
            self.now = self.now.max(at);
            return;
        }
        let back = SetBack {
            from: self.now,
            to: at,
        };
        self.set_back(back, effects);
    }

    /// Notices before the first input after it that the engine was away: nobody could be heard meanwhile, whoever is heard
    /// first. What a restart recalls is of before.
    pub(super) fn notice_absence(&mut self, input: &Input) {
        let is_recalled = matches!(input, Input::Recalled(_));
        let was_away = self.ticked > Time::ZERO && self.now.since(self.ticked) > PAUSE_MS;
        if is_recalled || !was_away {
            return;
        }
        let since = std::mem::replace(&mut self.ticked, self.now);
        self.correlator.leave_out_of_all(since, self.now);
        self.silence.resume(self.now);
        self.speakers.resume_all(self.now);
        self.logs.skip_to(self.now);
        // What has its end behind it could not be sent again.
        let due = self.now.plus_ms(self.alert_timeout_ms());
        self.alerts.resume(due);
    }

    fn set_back(&mut self, back: SetBack, effects: &mut Vec<Effect>) {
        self.now = back.to;
        back.past(&mut self.housekept);
        back.past(&mut self.ticked);
        back.past(&mut self.swept);
        self.entities.set_back(back);
        self.intake.set_back(back);
        self.silence.set_back(back);
        self.speakers.set_back(back);
        self.clocks.forget();
        self.blind_spots.set_back(back);
        self.slos.set_back(back);
        self.logs.set_back(back);
        self.traces.set_back(back);
        self.witness.set_back(back.to);
        self.topology.set_back(back);
        self.alerts.set_back(back);
        self.twins.set_back(back);
        self.senders.set_back(back);
        self.holds.set_back(back);
        self.changes.set_back(back);
        self.findings.set_back(back);
        self.correlator.set_back(back);
        self.pressure.set_back(back);
        self.ratios.set_back(back, |family| family.set_back(back));
        self.histograms.set_back(back, |of| of.set_back(back));
        effects.push(Effect::Record(Record::ClockSetBack {
            from: back.from,
            to: back.to,
        }));
        self.plans.set_back(back, effects);
        let behind_s = back.from.since(back.to) / 1_000;
        effects.push(Effect::Changed(Delta::Banner(self.pressure.note(
            format!("the clock was set back by {behind_s} s: times shown may be off by as much"),
            back.to,
        ))));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::engine::findings::Key;
    use crate::engine::intake::SourceIx;
    use crate::engine::refusals::{Corrected, Refused};
    use crate::engine::{CHECKPOINT_VERSION, CheckpointCursor};
    use crate::model::{
        Alert, Batch, Fingerprint, Labels, LogLine, Phase, Sample, Series, SeriesKind, Signal,
        SourceId, Stamped, Unit,
    };

    const START_S: i64 = 1_768_392_000;
    const JUMP_S: i64 = 7_200;

    /// An engine, and what it told the journal of its clock.
    struct Bench {
        engine: Engine,
        set_back: Vec<(i64, i64)>,
    }

    impl Bench {
        fn new() -> Self {
            Self {
                engine: Engine::new(EngineConfig::default(), Vec::new()),
                set_back: Vec::new(),
            }
        }

        fn step(&mut self, at_s: i64, input: Input) {
            let mut effects = Vec::new();
            let at = Time::from_secs(at_s);
            self.engine
                .step(&Stamped { seq: 1, at, input }, &mut effects);
            for effect in effects {
                if let Effect::Record(Record::ClockSetBack { from, to }) = effect {
                    let seconds = |at: Time| at.ms() / 1_000 - START_S;
                    self.set_back.push((seconds(from), seconds(to)));
                }
            }
        }

        /// A second in which a gauge, a counter, a log line and an alert are told, stamped `ahead_s`
        /// ahead by their sender.
        fn second(&mut self, at_s: i64, ahead_s: i64) {
            let (signals, alert) = Self::said(at_s, ahead_s);
            self.take(at_s, signals.into_iter().chain([alert]).collect());
        }

        /// A source that brings nothing but lines, one in ten seconds; then it is so late.
        fn lines(&mut self, from_s: i64, seconds: i64) -> i64 {
            for at_s in (from_s..from_s + seconds).step_by(10) {
                let line = LogLine {
                    at: Time::from_secs(at_s),
                    labels: Labels::from_pairs([("service", "cart")]).unwrap(),
                    level: None,
                    text: "served".into(),
                    trace: None,
                    span: None,
                };
                self.take(at_s, vec![Signal::Log(Box::new(line))]);
            }
            from_s + seconds
        }

        fn take(&mut self, at_s: i64, signals: Vec<Signal>) {
            let source = SourceId::new("test");
            self.step(at_s, Input::Signals(Batch { source, signals }));
            self.step(at_s, Input::Tick);
        }

        fn said(at_s: i64, ahead_s: i64) -> (Vec<Signal>, Signal) {
            let at = Time::from_secs(at_s + ahead_s);
            let labels =
                |name| Labels::from_pairs([("service", "cart"), ("alertname", name)]).unwrap();
            let sample = |name: &str, kind, value: i64| {
                let series = Arc::new(Series::new(name, labels("none"), kind, Unit::None));
                Signal::Sample(Sample {
                    series,
                    at,
                    value: value as f64,
                })
            };
            let signals = vec![
                sample("temperature", SeriesKind::Gauge, at_s % 7),
                sample("requests_total", SeriesKind::Counter, 100 * at_s),
                Signal::Log(Box::new(LogLine {
                    at,
                    labels: labels("none"),
                    level: None,
                    text: "all is well".into(),
                    trace: None,
                    span: None,
                })),
            ];
            let alert = Signal::Alert(Box::new(Alert {
                fingerprint: Fingerprint::of(&labels("Slow")),
                labels: labels("Slow"),
                annotations: Labels::empty(),
                starts_at: at,
                ends_at: Time::ZERO,
                generator_url: None,
            }));
            (signals, alert)
        }

        fn refused(&self) -> Vec<(Refused, u64)> {
            self.engine.refusals().collect()
        }
    }

    /// The host's clock goes two hours ahead for a minute, and comes back.
    fn jumped() -> Bench {
        let mut bench = Bench::new();
        (0..60).for_each(|s| bench.second(START_S + s, 0));
        (60..120).for_each(|s| bench.second(START_S + JUMP_S + s, 0));
        bench
    }

    #[test]
    fn a_clock_that_jumped_and_came_back_moves_nothing_for_good() {
        let mut bench = jumped();
        (120..420).for_each(|s| bench.second(START_S + s, 0));
        let now = Time::from_secs(START_S + 419);
        assert_eq!(bench.engine.now(), now);
        assert_eq!(bench.set_back, [(JUMP_S + 119, 120)], "told once");
        assert_eq!(bench.refused(), [], "nothing looks late");
        let rows: Vec<_> = bench.engine.incident_rows().collect();
        assert_eq!(rows.len(), 1);
        assert!(rows[0].began <= now && rows[0].updated <= now);
        // The alert is no longer sent: it ends as late as it would have.
        (420..1_200).for_each(|s| bench.take(START_S + s, Bench::said(START_S + s, 0).0));
        assert_eq!(bench.engine.counts().alerts_firing, 0);
        let phase = bench.engine.incident_rows().next().map(|row| row.phase);
        assert_eq!(phase, Some(Phase::Resolved));
    }

    #[test]
    fn a_restart_does_not_bring_the_jump_back() {
        let before = jumped().engine;
        let mut cursor = CheckpointCursor::default();
        let parts: Vec<_> = std::iter::from_fn(|| before.checkpoint_part(&mut cursor)).collect();
        let mut bench = Bench::new();
        let parts = parts.iter().map(Vec::as_slice);
        bench
            .engine
            .restore_checkpoint(CHECKPOINT_VERSION, parts)
            .unwrap();
        (200..260).for_each(|s| bench.second(START_S + s, 0));
        assert_eq!(bench.engine.now(), Time::from_secs(START_S + 259));
        assert_eq!(bench.set_back, [(JUMP_S + 119, 200)]);
        assert_eq!(bench.refused(), []);
    }

    #[test]
    fn a_small_step_back_waits() {
        let mut bench = Bench::new();
        for (s, now_s) in [(0, 0), (20, 20), (10, 20), (19, 20), (21, 21)] {
            bench.step(START_S + s, Input::Tick);
            assert_eq!(bench.engine.now(), Time::from_secs(START_S + now_s), "{s}");
        }
        assert_eq!(bench.set_back, []);
    }

    #[test]
    fn one_sender_with_a_future_clock_is_believed_again_once_it_is_right() {
        let mut bench = Bench::new();
        (0..60).for_each(|s| bench.second(START_S + s, 3_000));
        assert_eq!(bench.engine.now(), Time::from_secs(START_S + 59));
        (60..90).for_each(|s| bench.second(START_S + s, 0));
        assert_eq!(bench.refused(), []);
        let corrected: Vec<_> = bench.engine.corrections().collect();
        let expected = [(Corrected::AlertAhead, 1), (Corrected::SenderClock, 2)];
        assert_eq!(
            corrected, expected,
            "both series went back, and the alert's start"
        );
    }

    #[test]
    fn a_sender_with_a_future_clock_that_falls_silent_is_noticed_in_time() {
        let mut bench = Bench::new();
        let speak = |bench: &mut Bench, s: i64| {
            let labels = Labels::from_pairs([("service", "other")]).unwrap();
            let series = Series::new("load", labels, SeriesKind::Gauge, Unit::None);
            let sample = Sample {
                series: Arc::new(series),
                at: Time::from_secs(START_S + s),
                value: 1.0,
            };
            let signals = vec![Signal::Sample(sample)];
            let source = SourceId::new("test");
            bench.step(START_S + s, Input::Signals(Batch { source, signals }));
        };
        for s in 0..60 {
            bench.second(START_S + s, 3_000);
            speak(&mut bench, s);
        }
        for s in 60..180 {
            speak(&mut bench, s);
            bench.step(START_S + s, Input::Tick);
        }
        assert_eq!(bench.engine.counts().findings_open, 1, "cart is gone");
    }

    /// Its machine slept; telemetry is taken while the sleep of the tick runs out.
    #[test]
    fn an_absence_is_no_pause_of_whoever_is_heard_first_after_it() {
        let mut bench = Bench::new();
        let day_s = bench.lines(START_S, 2 * 3_600);
        let night_s = bench.lines(day_s + 8 * 3_600, 60);
        for second in 0..15 * 60 {
            bench.step(night_s + second, Input::Tick);
        }
        let state = bench.engine.findings.of_key(Key::Source(SourceIx(0)));
        let text = &state.expect("it is quiet").finding.text;
        assert!(
            text.ends_with("its longest pause so far was 10 s"),
            "{text}"
        );
    }
}
