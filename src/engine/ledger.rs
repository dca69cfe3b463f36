//! The ledger of who should speak: counted when somebody asks, from what is kept anyway.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Engine;
use super::entities::EntityIx;
use super::intake::{SeriesRow, SourceIx};
use crate::model::{
    Count, EntityId, EntityLedger, LEDGER_ENTITIES_MAX, LEDGER_METRICS_MAX, Ledger, SourceLedger,
    Time,
};

/// A clock that is ahead by more than this is told, in milliseconds: nothing comes before it is measured.
const AHEAD_MS_MAX: i64 = 2_000;
/// The same of one that is behind the others of its source: senders wait before they send, by turns.
const BEHIND_MS_MAX: i64 = 20_000;

/// What is summed up of an entity's series from one source.
#[derive(Clone, Copy)]
struct Sum {
    last_at: Time,
    every_ms: u32,
    series: u64,
    silent: u64,
    lag_ms: i64,
}

impl Engine {
    /// Who should speak, and does. It looks at every series once: some milliseconds for a hundred thousand.
    pub fn ledger(&self) -> Ledger {
        let mut sums: BTreeMap<(SourceIx, EntityIx), Sum> = BTreeMap::new();
        for (_, row) in self.intake.iter().filter(|(_, row)| row.is_judged()) {
            let sum = sums.entry((row.source(), row.entity)).or_insert(Sum::NONE);
            sum.add(row);
        }
        let mut of_source: BTreeMap<SourceIx, Vec<(EntityIx, Sum)>> = BTreeMap::new();
        // One all of whose series found no place is told of, too.
        for (source, _) in self.refusals.offenders() {
            of_source.entry(source).or_default();
        }
        for ((source, entity), sum) in sums {
            of_source.entry(source).or_default().push((entity, sum));
        }
        let name = |source| self.silence.source(source).0.to_string();
        let id = |entity| self.entities.id(entity).clone();
        let sources = of_source.into_iter();
        let mut sources: Vec<_> = sources
            .map(|(source, entities)| told(name(source), &entities, id))
            .collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let count = |what: &str, count| Count {
            what: what.to_owned(),
            count,
        };
        for (source, offenders) in self.refusals.offenders() {
            let of = sources.iter_mut().find(|of| of.name == name(source));
            let worst = offenders.into_iter().take(LEDGER_METRICS_MAX);
            if let Some(of) = of {
                of.unplaced = worst.map(|(metric, n)| count(metric, n)).collect();
            }
        }
        let refused = self.refusals();
        let corrected = self.corrections();
        Ledger {
            sources,
            refused: refused.map(|(why, n)| count(why.as_str(), n)).collect(),
            corrected: corrected.map(|(what, n)| count(what.as_str(), n)).collect(),
        }
    }
}

fn told(
    name: String,
    entities: &[(EntityIx, Sum)],
    id: impl Fn(EntityIx) -> EntityId,
) -> SourceLedger {
    let lag_ms = usual_lag_ms(entities);
    let told = |some: Vec<&(EntityIx, Sum)>| {
        let some = some.into_iter().take(LEDGER_ENTITIES_MAX);
        some.map(|(entity, sum)| sum.told(id(*entity))).collect()
    };
    let mut missed: Vec<_> = entities.iter().filter(|(_, of)| of.silent > 0).collect();
    missed.sort_by_key(|(_, of)| (Reverse(of.silent), of.last_at));
    let off_ms = |of: &Sum| of.off_ms(lag_ms.unwrap_or(0));
    let mut odd: Vec<_> = entities.iter().filter(|(_, of)| off_ms(of) > 0).collect();
    odd.sort_by_key(|(_, of)| Reverse(off_ms(of)));
    SourceLedger {
        name,
        entities: entities.len() as u64,
        series: entities.iter().map(|(_, of)| of.series).sum(),
        silent: entities.iter().map(|(_, of)| of.silent).sum(),
        missed: told(missed),
        lag_ms,
        odd_clocks: told(odd),
        unplaced: Vec::new(),
    }
}

/// The lag of the entity in the middle, of those that speak; `None` when none does.
fn usual_lag_ms(entities: &[(EntityIx, Sum)]) -> Option<i64> {
    let speaking = entities.iter().filter(|(_, of)| of.speaks());
    let mut lags: Vec<i64> = speaking.map(|(_, of)| of.lag_ms).collect();
    lags.sort_unstable();
    lags.get(lags.len().checked_sub(1)? / 2).copied()
}

impl Sum {
    const NONE: Self = Self {
        last_at: Time::ZERO,
        every_ms: u32::MAX,
        series: 0,
        silent: 0,
        lag_ms: i64::MAX,
    };

    fn add(&mut self, row: &SeriesRow) {
        self.last_at = self.last_at.max(row.last_at);
        if row.interval_ms > 0 {
            self.every_ms = self.every_ms.min(row.interval_ms);
        }
        self.series += 1;
        self.silent += u64::from(row.is_silent);
        if !row.is_silent {
            self.lag_ms = self.lag_ms.min(row.lag_ms());
        }
    }

    /// Whether any of it is heard of now.
    const fn speaks(&self) -> bool {
        self.silent < self.series
    }

    /// How far its clock is ahead of ours, or behind those of the others, in milliseconds; 0 when that is no more
    /// than clocks and senders differ.
    fn off_ms(&self, usual_ms: i64) -> i64 {
        let behind_ms = self.lag_ms.saturating_sub(usual_ms.max(0));
        match self.lag_ms {
            _ if !self.speaks() => 0,
            lag_ms if lag_ms < -AHEAD_MS_MAX => -lag_ms,
            _ if behind_ms > BEHIND_MS_MAX => behind_ms,
            _ => 0,
        }
    }

    fn told(&self, entity: EntityId) -> EntityLedger {
        EntityLedger {
            entity,
            last_seen: self.last_at,
            every_ms: if self.every_ms == u32::MAX {
                0
            } else {
                self.every_ms
            },
            series: self.series,
            silent: self.silent,
            lag_ms: if self.speaks() { self.lag_ms } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped, Unit,
    };

    #[test]
    fn who_is_missed_is_named_with_its_source() {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let start_s = 1_768_392_000;
        for s in (0..600).step_by(10) {
            let at = Time::from_secs(start_s + s);
            // The cart stops after five minutes; its neighbour goes on.
            let speaking: &[&str] = if s < 300 {
                &["cart", "shop"]
            } else {
                &["shop"]
            };
            let sample = |service: &&str, name: &str| {
                let labels = Labels::from_pairs([("service", *service)]).unwrap();
                let series = Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None));
                let value = 1.0;
                Signal::Sample(Sample { series, at, value })
            };
            let signals = speaking
                .iter()
                .flat_map(|name| [sample(name, "a"), sample(name, "b")]);
            let batch = Batch {
                source: SourceId::new("remote_write"),
                signals: signals.collect(),
            };
            for input in [Input::Signals(batch), Input::Tick] {
                engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
        }
        let cart = EntityLedger {
            entity: EntityId::parse("cart"),
            last_seen: Time::from_secs(start_s + 290),
            every_ms: 10_000,
            series: 2,
            silent: 2,
            lag_ms: 0,
        };
        let expected = SourceLedger {
            name: "remote_write".to_owned(),
            entities: 2,
            series: 4,
            silent: 2,
            missed: vec![cart],
            lag_ms: Some(0),
            odd_clocks: Vec::new(),
            unplaced: Vec::new(),
        };
        assert_eq!(engine.ledger().sources, [expected]);
    }

    /// A sample of a service, of so many milliseconds before it comes.
    fn sample(service: &str, name: &str, now: Time, lag_ms: i64) -> Signal {
        let labels = Labels::from_pairs([("service", service)]).unwrap();
        let series = Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None));
        let (at, value) = (now.plus_ms(-lag_ms), 1.0);
        Signal::Sample(Sample { series, at, value })
    }

    fn send(engine: &mut Engine, source: &str, at: Time, signals: Vec<Signal>) {
        let source = SourceId::new(source);
        let input = Input::Signals(Batch { source, signals });
        engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
    }

    #[test]
    fn clocks_that_are_off_are_named_by_how_far() {
        let lags = [
            ("cart", 3_000),
            ("shop", 4_000),
            ("mail", 24_000),
            ("slow", 95_000),
            ("early", -1_900),
            ("ahead", -312_000),
            ("tape", 3_500),
        ];
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let now = Time::from_secs(1_768_392_000);
        // Of two series the one that comes first says how late an entity is.
        let signals = lags.iter().flat_map(|(service, lag_ms)| {
            [("a", *lag_ms), ("b", lag_ms + 7_000)]
                .map(|(name, lag_ms)| sample(service, name, now, lag_ms))
        });
        send(&mut engine, "remote_write", now, signals.collect());
        let ledger = engine.ledger();
        let [source] = &ledger.sources[..] else {
            panic!("{ledger:?}");
        };
        let odd = source.odd_clocks.iter();
        let odd: Vec<_> = odd.map(|of| (of.entity.name(), of.lag_ms)).collect();
        assert_eq!(source.lag_ms, Some(3_500));
        assert_eq!(
            odd,
            [("ahead", -312_000), ("slow", 95_000), ("mail", 24_000)]
        );
    }

    #[test]
    fn a_flood_of_one_source_leaves_room_for_the_others_and_is_named() {
        let config = EngineConfig {
            series_max: 20,
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, Vec::new());
        let now = Time::from_secs(1_768_392_000);
        let flood = (0..40).map(|n| sample(&format!("s{n}"), "flood", now, 0));
        let few = (0..3).map(|n| sample(&format!("t{n}"), "few", now, 0));
        send(&mut engine, "statsd", now, flood.chain(few).collect());
        let calm = vec![
            sample("cart", "calm", now, 0),
            sample("cart", "quiet", now, 0),
        ];
        send(&mut engine, "otlp", now, calm);
        let more = vec![sample("cart", "more", now, 0)];
        send(&mut engine, "otlp", now, more);

        let ledger = engine.ledger();
        let count = |what: &str, count| Count {
            what: what.to_owned(),
            count,
        };
        let told = ledger.sources.iter();
        let told: Vec<_> = told
            .map(|of| (&*of.name, of.series, &of.unplaced))
            .collect();
        let of_statsd = vec![count("flood", 22), count("few", 3)];
        let of_otlp = vec![count("more", 1)];
        assert_eq!(told, [("otlp", 2, &of_otlp), ("statsd", 18, &of_statsd)]);
        let refused = [
            count("too many series", 1),
            count("too many series of one source", 25),
        ];
        assert_eq!(ledger.refused, refused);
    }
}
