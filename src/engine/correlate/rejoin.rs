//! Causes are often seen last: young incidents are asked again where their roots belong.
//!
//! Never splits, and never looks at more than a bounded number of incidents.

use super::bonds::AS_PEOPLE_SAID;
use super::causes::OwnCause;
use super::condition::Condition;
use super::merge::Merger;
use super::stages::{Candidate, Place, STAGES, Scene};
use super::{Correlator, World};
use crate::engine::entities::EntityIx;
use crate::model::{IncidentId, Time};

/// Whether young incidents belong together is asked again this often …
const REJOIN_EVERY_MS: i64 = 5_000;
/// … while they are younger than this …
const YOUNG_MS: i64 = 10 * 60_000;
/// … for this many at a time: a storm of alerts is grouped as it comes.
const YOUNG_MAX: usize = 64;

impl Correlator {
    /// Merges young incidents whose root would have been placed elsewhere, had it been seen later.
    pub(super) fn rejoin(&mut self, world: &mut World<'_>) {
        if world.now.since(self.rejoined) < REJOIN_EVERY_MS {
            return;
        }
        self.rejoined = world.now;
        self.find_causes(world);
        self.split(world);
        self.change_over(world);
        let young: Vec<(IncidentId, EntityIx)> = self
            .book
            .young(world.now.plus_ms(-YOUNG_MS))
            .take(YOUNG_MAX)
            .map(|held| (held.incident.id, held.root))
            .collect();
        for (id, root) in young {
            let Some((stage, place)) = self.place_again(id, root, world) else {
                continue;
            };
            if self.keeps_apart(id, place.incident, world.entities) {
                continue;
            }
            let Some(other) = self.book.get(place.incident) else {
                continue;
            };
            let cause = if place.is_root { root } else { other.root };
            let (kept, merged) = (id.min(place.incident), id.max(place.incident));
            if let Some(held) = self.book.get_mut(kept) {
                held.note_reason(&place.why);
            }
            let by = match stage {
                AS_PEOPLE_SAID => Merger::Learned(&place.why),
                _ => Merger::OneCause,
            };
            self.merge(kept, merged, cause, by, world);
        }
    }

    /// The cause in an entity itself, once it is sure.
    pub fn own_cause(&self, entity: EntityIx, now: Time) -> Option<&OwnCause> {
        let cause = self.causes.get(&entity)?;
        cause.is_sure(now).then_some(cause)
    }

    /// Who has a cause of its own now, and since when it has been one at every look. One that is sure stays
    /// one while anything is odd: a full disk that was emptied is still why the rest is sick, and what comes
    /// later explains no beginning.
    fn find_causes(&mut self, world: &World<'_>) {
        let known = std::mem::take(&mut self.causes);
        self.causes = self.evidence(world).causes();
        for (entity, cause) in known {
            if let Some(again) = self.causes.get_mut(&entity) {
                again.noticed = cause.noticed;
                continue;
            }
            let is_active = self
                .conditions
                .get(entity)
                .is_some_and(Condition::is_active);
            if cause.is_sure(world.now) && is_active {
                self.causes.insert(entity, cause);
            }
        }
    }

    /// Where the root of an incident belongs as things are known now, if not where it is; and the stage that
    /// says so.
    fn place_again(
        &mut self,
        id: IncidentId,
        root: EntityIx,
        world: &World<'_>,
    ) -> Option<(&'static str, Place)> {
        self.book.get(id)?;
        let scene = Scene {
            but: Some(id),
            ..self.scene(world)
        };
        let candidate = Candidate {
            entity: root,
            condition: self.conditions.get(root).filter(|c| c.is_active())?,
            alert: None,
            last_incident: None,
        };
        let (stage, place) = STAGES
            .iter()
            .enumerate()
            .filter(|(_, stage)| stage.is_asked_again)
            .find_map(|(at, stage)| Some((at, (stage.place)(&scene, &candidate)?)))?;
        self.placed_by[stage] += 1;
        Some((STAGES[stage].name, place))
    }
}
