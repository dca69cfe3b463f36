//! Floods: who brings more series or log templates than there is room for, in one line for the banner.
//!
//! Memory is bounded elsewhere; this only names the worst offender, so that somebody can go and talk
//! to it. It never drops anything, and says nothing that changes with every line.

use super::Engine;
use super::refusals::Refused;
use super::set_back::SetBack;
use crate::model::{Delta, Effect, Time};

/// Looked at this often, in milliseconds.
const LOOK_MS: i64 = 60_000;
/// Log forms evicted between two looks that make a flood; an odd statement now and then is none.
const FORMS_EVICTED_MIN: u64 = 1_000;
/// A flood is told this long after it was seen last, in milliseconds.
const TOLD_MS: i64 = 10 * 60_000;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub struct Pressure {
    looked: Time,
    series: Flood,
    source_series: Flood,
    forms: Flood,
    told: String,
    /// Something else to say for a while: since when.
    note: Option<(Time, String)>,
}

/// One kind of flood.
#[derive(Debug, Default)]
struct Flood {
    /// Refused or evicted since the start.
    total: u64,
    seen: Option<Time>,
}

impl Flood {
    /// Takes the present total; whether this is a flood, or was one a while ago.
    fn look(&mut self, total: u64, least: u64, now: Time) -> bool {
        if total.saturating_sub(self.total) >= least {
            self.seen = Some(now);
        }
        self.total = total;
        self.seen.is_some_and(|seen| now.since(seen) < TOLD_MS)
    }
}

impl Pressure {
    /// Says `text` for a while, before everything else; returns the banner.
    pub fn note(&mut self, text: String, now: Time) -> String {
        self.told.clone_from(&text);
        self.note = Some((now, text.clone()));
        text
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        back.past(&mut self.looked);
        back.past_if(&mut self.series.seen);
        back.past_if(&mut self.source_series.seen);
        back.past_if(&mut self.forms.seen);
    }
}

impl Engine {
    /// Names whoever floods, once; takes it back when the flood is over.
    pub(super) fn tell_of_floods(&mut self, effects: &mut Vec<Effect>) {
        if self.now.since(self.pressure.looked) < LOOK_MS {
            return;
        }
        self.pressure.looked = self.now;
        let mut texts = Vec::new();
        let (all, of_source) = (
            self.config.series_max as usize,
            self.config.source_series_max(),
        );
        let refused = |reason| self.refusals.of(reason);
        let (of_all, of_one) = (
            refused(Refused::SeriesMax),
            refused(Refused::SourceSeriesMax),
        );
        let pressure = &mut self.pressure;
        let is_all = pressure.series.look(of_all, 1, self.now);
        let is_source = pressure.source_series.look(of_one, 1, self.now);
        if is_all || is_source {
            let (source, metric) = self
                .worst_offender()
                .unwrap_or(("senders", "of many names"));
            let whose = if is_all {
                format!("more than {all} series: what is new is not watched")
            } else {
                format!(
                    "more than {of_source} series of {source}: what is new of it is not watched"
                )
            };
            texts.push(format!("{whose}, most of it is {metric}"));
        }
        let miner = self.logs.miner();
        let evicted = miner.stats().forms_evicted;
        if self
            .pressure
            .forms
            .look(evicted, FORMS_EVICTED_MIN, self.now)
        {
            let worst = miner.worst_offender().map_or("", |(name, _)| name);
            texts.push(format!(
                "too many kinds of log line: old ones are forgotten, most new ones are like \"{worst}\""
            ));
        }
        let now = self.now;
        self.pressure
            .note
            .take_if(|(since, _)| now.since(*since) >= TOLD_MS);
        texts.extend(self.pressure.note.as_ref().map(|(_, text)| text.clone()));
        let text = texts.join(" · ");
        if text != self.pressure.told {
            self.pressure.told.clone_from(&text);
            effects.push(Effect::Changed(Delta::Banner(text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, Input, Labels, LogLine, Sample, Series, SeriesKind, Signal, SourceId, Stamped, Unit,
    };

    const START: Time = Time::from_secs(1_768_392_000);

    struct Bench {
        engine: Engine,
        now: Time,
    }

    impl Bench {
        fn new() -> Self {
            let config = EngineConfig {
                series_max: 3,
                ..EngineConfig::default()
            };
            Self {
                engine: Engine::new(config, Vec::new()),
                now: START,
            }
        }

        /// Feeds signals, then lets a minute pass; the banners told.
        fn minute(&mut self, signals: Vec<Signal>) -> Vec<String> {
            let batch = Batch {
                source: SourceId::new("test"),
                signals,
            };
            let mut effects = Vec::new();
            let mut step = |at, input| {
                let stamped = Stamped { seq: 0, at, input };
                self.engine.step(&stamped, &mut effects);
            };
            step(self.now, Input::Signals(batch));
            self.now = self.now.plus_ms(LOOK_MS);
            step(self.now, Input::Tick);
            effects
                .into_iter()
                .filter_map(|effect| match effect {
                    Effect::Changed(Delta::Banner(text)) => Some(text),
                    _ => None,
                })
                .collect()
        }

        /// `count` statements that never came before.
        fn lines(&self, count: u32) -> Vec<Signal> {
            let word = |n: u32| -> String {
                let letter = |place| char::from(b'a' + (n / 26_u32.pow(place) % 26) as u8);
                (0..5).map(letter).collect()
            };
            let salt = (self.now.since(START) / LOOK_MS) as u32 * 20_000;
            let line = |n: u32| LogLine {
                at: self.now,
                labels: Labels::from_pairs([("service", "chatty")]).expect("short"),
                level: None,
                text: format!("flood {} {}", word(salt + n), word(7_919 * (salt + n))).into(),
                trace: None,
                span: None,
            };
            (0..count).map(|n| Signal::Log(Box::new(line(n)))).collect()
        }

        fn samples(&self, names: &[&str]) -> Vec<Signal> {
            let sample = |name: &&str| {
                let labels = Labels::from_pairs([("service", "shop")]).expect("short");
                Signal::Sample(Sample {
                    series: Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None)),
                    at: self.now,
                    value: 1.0,
                })
            };
            names.iter().map(sample).collect()
        }
    }

    #[test]
    fn a_flood_of_log_templates_names_the_worst_and_ends() {
        let mut bench = Bench::new();
        let few = bench.lines(200);
        assert_eq!(bench.minute(few), [""; 0]);
        let flood = bench.lines(8_000);
        let told = bench.minute(flood);
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("most new ones are like \"flood "),
            "{told:?}"
        );
        for _ in 1..TOLD_MS / LOOK_MS {
            assert_eq!(bench.minute(Vec::new()), [""; 0], "told once");
        }
        assert_eq!(bench.minute(Vec::new()), [""], "and taken back");
    }

    #[test]
    fn too_many_series_name_the_worst_metric() {
        let mut bench = Bench::new();
        let fits = bench.samples(&["a", "b", "c"]);
        assert_eq!(bench.minute(fits), [""; 0]);
        let too_many = bench.samples(&["a", "b", "c", "exploding"]);
        assert_eq!(
            bench.minute(too_many),
            ["more than 3 series: what is new is not watched, most of it is exploding"]
        );
    }
}
