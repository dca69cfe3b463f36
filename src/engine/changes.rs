//! Recent changes by entity, bounded: the first thing to look at when something breaks.

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::entities::EntityIx;
use super::set_back::SetBack;
use crate::model::{Change, Time};

/// Changes kept for one entity.
const PER_ENTITY_MAX: usize = 16;
/// Changes are forgotten after this long, in milliseconds.
pub const KEPT_MS: i64 = 2 * 24 * 3_600_000;

/// The changes known.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Changes {
    of: BTreeMap<EntityIx, VecDeque<Change>>,
    seen_any: bool,
}

impl Changes {
    /// Keeps a change; a resend of the same id replaces it. Whether it was new.
    pub fn take(&mut self, entity: EntityIx, change: &Change) -> bool {
        self.seen_any = true;
        let list = self.of.entry(entity).or_default();
        let known = list.iter().position(|held| held.id == change.id);
        if let Some(known) = known {
            list.remove(known);
        } else if list.len() == PER_ENTITY_MAX {
            list.pop_front();
        }
        // Also a resend is put in order: it may tell another time.
        let at = list.partition_point(|held| held.at <= change.at);
        list.insert(at, change.clone());
        known.is_none()
    }

    /// Forgets what is old.
    pub fn expire(&mut self, now: Time) {
        self.of.retain(|_, list| {
            while list.front().is_some_and(|c| now.since(c.at) > KEPT_MS) {
                list.pop_front();
            }
            !list.is_empty()
        });
    }

    /// Follows a clock that was set back: what was told by then has happened.
    pub fn set_back(&mut self, back: SetBack) {
        for change in self.of.values_mut().flatten() {
            back.past(&mut change.at);
        }
    }

    /// Changes to an entity from `from` to `to`, oldest first.
    pub fn between(&self, entity: EntityIx, from: Time, to: Time) -> impl Iterator<Item = &Change> {
        self.of
            .get(&entity)
            .into_iter()
            .flatten()
            .filter(move |change| change.at >= from && change.at <= to)
    }

    /// The entities it refers to.
    pub fn entities(&self) -> impl Iterator<Item = EntityIx> {
        self.of.keys().copied()
    }

    /// Whether any source tells of changes at all.
    pub fn seen_any(&self) -> bool {
        self.seen_any
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChangeKind, EntityId, Labels};

    #[test]
    fn resends_replace_and_old_ones_go() {
        let change = |id: &str, at_s: i64| Change {
            id: id.into(),
            at: Time::from_secs(at_s),
            kind: ChangeKind::Deploy,
            entity: EntityId::parse("cart"),
            title: id.into(),
            version: None,
            previous_version: None,
            by: None,
            labels: Labels::empty(),
        };
        let mut changes = Changes::default();
        let cart = EntityIx(0);
        assert!(changes.take(cart, &change("b", 200)));
        assert!(changes.take(cart, &change("a", 100)));
        assert!(!changes.take(cart, &change("b", 200)));
        let ids = |changes: &Changes| -> Vec<String> {
            changes
                .between(cart, Time::ZERO, Time::from_secs(999))
                .map(|c| c.id.to_string())
                .collect()
        };
        assert_eq!(ids(&changes), ["a", "b"]);
        changes.expire(Time::from_secs(150 + KEPT_MS / 1_000));
        assert_eq!(ids(&changes), ["b"]);
        for i in 0..40 {
            changes.take(cart, &change(&format!("c{i}"), 300 + i));
        }
        assert_eq!(ids(&changes).len(), PER_ENTITY_MAX);
    }
}
