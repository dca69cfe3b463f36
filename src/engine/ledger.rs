//! The ledger of who should speak: counted when somebody asks, from what is kept anyway.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::Engine;
use super::entities::EntityIx;
use super::intake::{SeriesRow, SourceIx};
use crate::model::{
    Count, EntityId, EntityLedger, LEDGER_ENTITIES_MAX, Ledger, SourceLedger, Time,
};

/// What is summed up of an entity's series from one source.
#[derive(Clone, Copy)]
struct Sum {
    last_at: Time,
    every_ms: u32,
    series: u64,
    silent: u64,
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
        for ((source, entity), sum) in sums {
            of_source.entry(source).or_default().push((entity, sum));
        }
        let name = |source| self.silence.source(source).0.to_string();
        let id = |entity| self.entities.id(entity).clone();
        let sources = of_source.into_iter();
        let mut sources: Vec<_> = sources
            .map(|(source, entities)| told(name(source), entities, id))
            .collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let count = |what: &str, count| Count {
            what: what.to_owned(),
            count,
        };
        let refused = self.refusals();
        let corrected = self.corrections();
        Ledger {
            sources,
            refused: refused.map(|(why, n)| count(why.as_str(), n)).collect(),
            corrected: corrected.map(|(what, n)| count(what.as_str(), n)).collect(),
            worst_metric: self.worst_metric().map(str::to_owned),
        }
    }
}

fn told(
    name: String,
    mut entities: Vec<(EntityIx, Sum)>,
    id: impl Fn(EntityIx) -> EntityId,
) -> SourceLedger {
    let mut ledger = SourceLedger {
        name,
        entities: entities.len() as u64,
        ..SourceLedger::default()
    };
    for (_, sum) in &entities {
        ledger.series += sum.series;
        ledger.silent += sum.silent;
    }
    entities.retain(|(_, sum)| sum.silent > 0);
    entities.sort_by_key(|(_, sum)| (Reverse(sum.silent), sum.last_at));
    entities.truncate(LEDGER_ENTITIES_MAX);
    let missed = entities.into_iter().map(|(entity, sum)| EntityLedger {
        entity: id(entity),
        last_seen: sum.last_at,
        every_ms: if sum.every_ms == u32::MAX {
            0
        } else {
            sum.every_ms
        },
        series: sum.series,
        silent: sum.silent,
    });
    ledger.missed = missed.collect();
    ledger
}

impl Sum {
    const NONE: Self = Self {
        last_at: Time::ZERO,
        every_ms: u32::MAX,
        series: 0,
        silent: 0,
    };

    fn add(&mut self, row: &SeriesRow) {
        self.last_at = self.last_at.max(row.last_at);
        if row.interval_ms > 0 {
            self.every_ms = self.every_ms.min(row.interval_ms);
        }
        self.series += 1;
        self.silent += u64::from(row.is_silent);
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
        };
        let expected = SourceLedger {
            name: "remote_write".to_owned(),
            entities: 2,
            series: 4,
            silent: 2,
            missed: vec![cart],
        };
        assert_eq!(engine.ledger().sources, [expected]);
    }
}
