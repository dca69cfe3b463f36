//! Changes in the timelines of incidents: those of an entity that joins, and those that come later. And alerts
//! that are told in other words, which no timeline tells.
//!
//! A change is told once, however often it is sent or an entity joins again after a restart.

use super::held::Held;
use super::{Correlator, World};
use crate::engine::entities::EntityIx;
use crate::model::{Change, ChangeOf, Fingerprint, IncidentId, Lane};

/// Changes to a member are told in the timeline if they came this long before the incident began.
const CHANGES_TOLD_MS: i64 = 60 * 60_000;
/// A change of the same words this close in time is the same one, sent again with another time.
const SAME_CHANGE_MS: i64 = 5 * 60_000;

impl Correlator {
    /// An alert says something else: the title may have to, and nothing happened that the timeline tells.
    pub(super) fn alert_retold(&mut self, fingerprint: Fingerprint, world: &World<'_>) {
        let alert = world.alerts.get(fingerprint);
        let incident = alert.and_then(|alert| alert.incident);
        if let Some(held) = incident.and_then(|id| self.book.peek_mut(id)) {
            held.pending.summary = true;
        }
    }

    /// A change came: open incidents it is a change of tell it at once, and are diagnosed again, as
    /// are those whose members call what was changed.
    pub fn on_change(&mut self, entity: EntityIx, change: &Change, world: &World<'_>) {
        let callers = world.topology.callers(entity);
        let concerned: Vec<(IncidentId, bool)> = self
            .book
            .iter()
            .filter(|(_, held)| held.is_open())
            .filter_map(|(id, held)| {
                let is_member = held.members.contains(&entity);
                let is_called = || callers.iter().any(|caller| held.members.contains(caller));
                (is_member || is_called()).then_some((id, is_member))
            })
            .collect();
        for (id, is_member) in concerned {
            let Some(held) = self.book.get_mut(id) else {
                continue;
            };
            held.pending.diagnosis = true;
            if is_member && tell_change(held, change) {
                self.book.record_later(id);
            }
        }
    }

    /// Changes are told from now on: what every open incident says of it is out of date.
    pub fn on_first_change(&mut self) {
        let open = self.book.iter().filter(|(_, held)| held.is_open());
        let open: Vec<IncidentId> = open.map(|(id, _)| id).collect();
        for id in open {
            if let Some(held) = self.book.peek_mut(id) {
                held.pending.diagnosis = true;
            }
        }
    }
}

/// Tells the changes of an entity that joins.
pub(super) fn tell_changes(held: &mut Held, entity: EntityIx, world: &World<'_>) {
    let from = held.incident.began.plus_ms(-CHANGES_TOLD_MS);
    for change in world.changes.between(entity, from, world.now) {
        tell_change(held, change);
    }
}

/// Whether it was news.
fn tell_change(held: &mut Held, change: &Change) -> bool {
    if change.at < held.incident.began.plus_ms(-CHANGES_TOLD_MS) {
        return false;
    }
    let text = ChangeOf::from(change).named();
    let is_told = held.incident.timeline.iter().any(|entry| {
        entry.lane == Lane::Change
            && entry.at.since(change.at).abs() <= SAME_CHANGE_MS
            && entry.entity.as_ref() == Some(&change.entity)
            && *entry.text == *text
    });
    if !is_told {
        held.tell(change.at, Lane::Change, Some(change.entity.clone()), &text);
    }
    !is_told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ChangeKind, EntityId, Labels, Time};

    #[test]
    fn the_kind_of_a_change_is_said_once() {
        let cases = [
            ("checkout v812", "deploy: checkout v812"),
            ("deploy checkout v812", "deploy checkout v812"),
            ("Deploy: checkout", "Deploy: checkout"),
            ("deployment of checkout", "deploy: deployment of checkout"),
            ("", "deploy: "),
        ];
        for (title, said) in cases {
            let change = Change {
                id: "1".into(),
                at: Time::ZERO,
                kind: ChangeKind::Deploy,
                entity: EntityId::parse("checkout"),
                title: title.into(),
                version: None,
                previous_version: None,
                by: None,
                labels: Labels::empty(),
            };
            assert_eq!(ChangeOf::from(&change).named(), said);
        }
    }
}
