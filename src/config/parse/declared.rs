//! Names of entities as a file declares them: of a known kind, and not empty.

use std::ops::Range;

use toml::de::DeTable;

use super::{Check, most_like, nth_span, span_of};
use crate::config::Config;
use crate::model::EntityKind;

impl Check<'_> {
    /// Names that could never mean what they say.
    pub(super) fn names(&mut self, config: &Config, root: &DeTable<'_>) {
        if config.environment.trim().is_empty() {
            let why = "`environment` is empty: give it a name, or leave it out for \"local\"";
            self.error(&span_of(root, "environment"), why);
        }
        for (i, edge) in config.engine.dependencies.iter().enumerate() {
            let span = nth_span(root, "dependencies", i);
            self.name(&span, "dependencies.from", &edge.from);
            self.name(&span, "dependencies.to", &edge.to);
        }
        for (i, entity) in config.engine.entities.iter().enumerate() {
            let span = nth_span(root, "entities", i);
            self.name(&span, "entities.name", &entity.name);
            for alias in &entity.aliases {
                self.name(&span, "entities.aliases", alias);
            }
        }
        for (i, slo) in config.engine.slo.iter().enumerate() {
            self.name(&nth_span(root, "slo", i), "slo.entity", &slo.entity);
        }
    }

    fn name(&mut self, span: &Range<usize>, setting: &str, name: &str) {
        let (kind, rest) = match name.split_once('/') {
            Some((kind, rest)) => (Some(kind), rest),
            None => (None, name),
        };
        if rest.trim().is_empty() || kind.is_some_and(|kind| kind.trim().is_empty()) {
            let why = format!("`{setting}` is {name:?}: an entity needs a name");
            return self.error(span, &why);
        }
        let Some(kind) = kind.filter(|kind| EntityKind::ALL.iter().all(|k| k.as_str() != *kind))
        else {
            return;
        };
        let kinds = EntityKind::ALL.map(EntityKind::as_str);
        let near = most_like(kind, kinds.iter().map(|k| ((*k).to_owned(), *k)));
        let near = near.unwrap_or_else(|| "service".to_owned());
        let known = kinds.join(", ");
        let why = format!(
            "`{setting}` is {name:?}, and {kind:?} is no kind of entity ({known}): did you mean \"{near}/{rest}\", or \"service/{name}\"?"
        );
        self.error(span, &why);
    }
}
