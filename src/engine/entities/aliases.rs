//! Other names of what is in the catalogue: those the team gives it, and the plain one that labels have for it.
//!
//! Never takes two things of the catalogue for one, nor a machine for what runs on it.

use std::collections::{BTreeMap, BTreeSet};

use super::Entities;
use crate::model::{EntityId, EntityKind};

impl Entities {
    /// An alert says `service="paydb"` of a database as well: where the catalogue knows one thing of that name and it
    /// is no service, the alert is about that.
    pub(super) fn add_plain_names(&mut self) {
        let all = self.catalogue.iter();
        let all = all.flat_map(|(id, card)| {
            let names = std::iter::once(id).chain(&card.aliases);
            names.map(move |name| (name, id))
        });
        let mut services: BTreeSet<EntityId> = BTreeSet::new();
        let mut called: BTreeMap<EntityId, BTreeSet<EntityId>> = BTreeMap::new();
        for (name, id) in all {
            let plain = EntityId::new(EntityKind::Service, name.name());
            match name.kind() {
                EntityKind::Service => {
                    services.insert(plain);
                }
                EntityKind::Database | EntityKind::Queue | EntityKind::External => {
                    called.entry(plain).or_default().insert(id.clone());
                }
                EntityKind::Host | EntityKind::Pod => {}
            }
        }
        for (plain, of) in called {
            if services.contains(&plain) || of.len() > 1 {
                continue;
            }
            let card = of.first().and_then(|id| self.catalogue.get_mut(id));
            if let Some(card) = card {
                card.aliases.push(plain);
            }
        }
    }

    /// Makes every alias find the entity it is another name of, also one that had a row of its own.
    pub(super) fn index_aliases(&mut self) {
        self.changes += 1;
        let catalogue = std::mem::take(&mut self.catalogue);
        for (id, card) in &catalogue {
            let ix = self.intern(id);
            for alias in &card.aliases {
                self.index.insert(alias.clone(), ix);
                self.sorted.remove(alias);
            }
        }
        self.catalogue = catalogue;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{DeclaredEntity, EngineConfig};
    use crate::engine::Engine;
    use crate::model::{Alert, Batch, Fingerprint, Input, Labels, Signal, SourceId, Stamped, Time};

    fn declared(names: &[(&str, &[&str])]) -> Vec<DeclaredEntity> {
        let entity = |(name, aliases): &(&str, &[&str])| DeclaredEntity {
            name: (*name).to_owned(),
            aliases: aliases.iter().map(|alias| (*alias).to_owned()).collect(),
            ..DeclaredEntity::default()
        };
        names.iter().map(entity).collect()
    }

    #[test]
    fn a_plain_name_is_that_of_the_only_thing_called_so() {
        type Case<'a> = (&'a [(&'a str, &'a [&'a str])], Option<&'a str>);
        let cases: [Case<'_>; 7] = [
            (&[("database/paydb", &[])], Some("database/paydb")),
            (&[("queue/paydb", &[])], Some("queue/paydb")),
            (&[("database/pg", &["database/paydb"])], Some("database/pg")),
            (
                &[("database/paydb", &["queue/paydb"])],
                Some("database/paydb"),
            ),
            (&[("database/paydb", &[]), ("queue/paydb", &[])], None),
            (
                &[("database/paydb", &[]), ("pay", &["paydb"])],
                Some("service/pay"),
            ),
            (&[("host/paydb", &[])], None),
        ];
        for (names, expected) in cases {
            let mut entities = Entities::default();
            entities.declare(&declared(names));
            let found = entities.find(&EntityId::parse("service/paydb"));
            let found = found.map(|ix| entities.id(ix).as_str());
            assert_eq!(found, expected, "{names:?}");
        }
    }

    #[test]
    fn an_alert_that_calls_a_database_a_service_makes_no_second_place() {
        let config = EngineConfig {
            entities: declared(&[("database/paydb", &[])]),
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, Vec::new());
        let at = Time::from_secs(1_768_392_000);
        let alert = |name, label| {
            let labels = [
                ("alertname", name),
                (label, "paydb"),
                ("severity", "critical"),
            ];
            let labels = Labels::from_pairs(labels).unwrap();
            Signal::Alert(Box::new(Alert {
                fingerprint: Fingerprint::of(&labels),
                labels,
                annotations: Labels::empty(),
                starts_at: at,
                ends_at: at.plus_ms(3_600_000),
                generator_url: None,
            }))
        };
        let signals = vec![alert("Full", "database"), alert("Slow", "service")];
        let source = SourceId::new("test");
        let batch = Input::Signals(Batch { source, signals });
        for (seq, input) in (1..).zip([batch, Input::Tick, Input::Tick]) {
            engine.step(&Stamped { seq, at, input }, &mut Vec::new());
        }
        let rows = engine.incident_rows();
        let rows: Vec<_> = rows
            .map(|row| (row.entity.to_string(), row.alerts))
            .collect();
        assert_eq!(rows, [("database/paydb".to_owned(), 2)]);
        assert_eq!(engine.entities.iter().count(), 1);
    }
}
