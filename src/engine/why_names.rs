//! What can be asked of, for whoever named nothing that is known: the series of an entity, and the names that are most
//! like what was asked.
//!
//! It never answers for a name that is only near: a slip of the pen must be seen.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::entities::EntityIx;
use crate::model::{Count, WhyAnswer, WhySeries};

/// Metrics named of one entity.
const METRICS_MAX: usize = 50;
/// Entities of one name that are told of.
const ENTITIES_MAX: usize = 5;
/// Names that are near, at most.
const NEAR_MAX: usize = 5;
/// How like a name must be to be near, by Jaro and Winkler.
const LIKENESS_MIN: f64 = 0.85;
/// What has a word in it is as like as this at least, from so many letters on.
const LIKENESS_WITHIN: f64 = 0.9;
const WITHIN_LETTERS_MIN: usize = 3;
/// Words after an entity that ask of no series.
const OTHERS: [&str; 3] = ["requests", "calls", "logs"];

impl Engine {
    /// What to ask instead of words by which nothing is called.
    pub(super) fn why_names(&self, words: &[&str]) -> WhyAnswer {
        if words.get(1).is_some_and(|word| OTHERS.contains(word)) {
            return WhyAnswer::Unknown;
        }
        let named = words.iter().map(|word| self.meant(word));
        let (entities, rest): (Vec<_>, Vec<_>) = named
            .zip(words)
            .partition(|(entities, _)| !entities.is_empty());
        let mut entities: Vec<EntityIx> = entities.into_iter().flat_map(|(of, _)| of).collect();
        entities.truncate(ENTITIES_MAX);
        let wanted: Vec<&str> = rest.into_iter().map(|(_, word)| *word).collect();
        let near = if entities.is_empty() {
            let metrics = self.intake.iter().filter(|(_, row)| row.is_judged());
            let metrics = metrics.map(|(_, row)| &*row.series.name);
            let entities = self.entities.iter().map(|(id, _)| id.name());
            most_like(&wanted, metrics.chain(entities).collect())
        } else {
            let metrics = entities.iter().flat_map(|of| self.metrics_of(*of));
            most_like(&wanted, metrics.map(|(name, _)| name).collect())
        };
        if !near.is_empty() {
            return WhyAnswer::Near(near);
        }
        let told: Vec<WhySeries> = entities.into_iter().map(|of| self.series_of(of)).collect();
        if told.is_empty() {
            return WhyAnswer::Unknown;
        }
        WhyAnswer::Of(told)
    }

    /// The metrics of an entity that are judged, with how many series each has.
    fn metrics_of(&self, of: EntityIx) -> BTreeMap<&str, u64> {
        let mut metrics = BTreeMap::new();
        for ix in self.intake.of_entity(of) {
            let row = self.intake.row(*ix);
            if row.is_judged() {
                *metrics.entry(&*row.series.name).or_default() += 1;
            }
        }
        metrics
    }

    fn series_of(&self, of: EntityIx) -> WhySeries {
        let metrics = self.metrics_of(of);
        let more = metrics.len().saturating_sub(METRICS_MAX) as u64;
        let told = metrics.into_iter().take(METRICS_MAX);
        let told = told.map(|(name, count)| Count {
            what: name.to_owned(),
            count,
        });
        WhySeries {
            entity: self.entities.id(of).clone(),
            metrics: told.collect(),
            more,
        }
    }
}

/// Of these names those that are most like any of the words, the likest first.
fn most_like(words: &[&str], names: BTreeSet<&str>) -> Vec<Box<str>> {
    let likeness = |name: &str| {
        let of_word = words.iter().map(|word| {
            let is_within = word.len() >= WITHIN_LETTERS_MIN && name.contains(word);
            let within = if is_within { LIKENESS_WITHIN } else { 0.0 };
            strsim::jaro_winkler(word, name).max(within)
        });
        of_word.fold(0.0, f64::max)
    };
    let near = names.into_iter().map(|name| (likeness(name), name));
    let mut near: Vec<(f64, &str)> = near.filter(|(like, _)| *like >= LIKENESS_MIN).collect();
    near.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(b.1)));
    near.truncate(NEAR_MAX);
    near.into_iter().map(|(_, name)| name.into()).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, Input, Labels, Sample, Series, SeriesKind, Signal, SourceId, Stamped, Time, Unit,
    };

    fn told() -> Engine {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let at = Time::from_secs(1_768_392_000);
        let sample = |service: String, pod: &str, name: &str| {
            let labels = Labels::from_pairs([("service", &*service), ("queue", pod)]).unwrap();
            let series = Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None));
            Signal::Sample(Sample {
                series,
                at,
                value: 1.0,
            })
        };
        let mut signals = vec![
            sample("cart".to_owned(), "a", "queue_depth"),
            sample("cart".to_owned(), "b", "queue_depth"),
            sample("cart".to_owned(), "a", "memory_bytes"),
        ];
        signals.extend((0..60).map(|n| sample("wide".to_owned(), "a", &format!("m{n:02}"))));
        let source = SourceId::new("test");
        let input = Input::Signals(Batch { source, signals });
        engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
        engine
    }

    #[test]
    fn an_entity_alone_is_answered_with_its_series_and_no_more_than_can_be_read() {
        let engine = told();
        let WhyAnswer::Of(cart) = engine.why("cart", None) else {
            panic!("it has series");
        };
        let named: Vec<_> = cart[0]
            .metrics
            .iter()
            .map(|m| (&*m.what, m.count))
            .collect();
        assert_eq!(named, [("memory_bytes", 1), ("queue_depth", 2)]);
        let WhyAnswer::Of(wide) = engine.why("service/wide", None) else {
            panic!("it has series");
        };
        assert_eq!((wide[0].metrics.len(), wide[0].more), (METRICS_MAX, 10));
    }

    #[test]
    fn a_near_miss_is_answered_with_the_nearest_names() {
        let engine = told();
        let near = |names: &[&str]| WhyAnswer::Near(names.iter().map(|n| (*n).into()).collect());
        let cases = [
            ("queue_dpeth", near(&["queue_depth"])),
            ("cart queue_depht", near(&["queue_depth"])),
            ("depth", near(&["queue_depth"])),
            ("carts", near(&["cart"])),
            ("zzz", WhyAnswer::Unknown),
            ("cart requests", WhyAnswer::Unknown),
        ];
        for (asked, expected) in cases {
            assert_eq!(engine.why(asked, None), expected, "{asked}");
        }
        // Of what it has nothing is near: here is all of it.
        assert!(matches!(engine.why("cart zzz", None), WhyAnswer::Of(_)));
    }
}
