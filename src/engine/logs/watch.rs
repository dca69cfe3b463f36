//! The live use of the miner: lines of entities in, findings and groups for the console out.
//!
//! Times come as arguments; windows close on [`LogWatch::tick`], never on a clock.

use super::counter::{BUCKET_MS, bucket_of};
pub(in crate::engine) use super::entity::EntityLogs;
use super::entity::{LogStats, Sighting};
use super::finding::LogFinding;
use super::level::level_of;
use super::miner::{Miner, MinerStats, TemplateId};
use crate::engine::set_back::SetBack;
use crate::model::{EntityId, LogGroup, LogLine, Time};
use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;
use serde::{Deserialize, Serialize};

/// Entities whose logs are watched; the one silent longest makes room.
const ENTITIES_MAX: usize = 2_048;
/// Templates counted, over all entities; each entity may have its share of them, within limits.
const COUNTERS_MAX: usize = 32_768;
const COUNTERS_PER_ENTITY_MIN: usize = 16;
const COUNTERS_PER_ENTITY_MAX: usize = 512;
/// How long a window waits for late lines before it is judged.
const LATENESS_MS: i64 = 2_000;
/// Windows judged at once after a gap in time; before that the past is gone anyway.
const CATCH_UP_BUCKETS_MAX: i64 = 60;

/// The miner, the newest bucket judged, the counts: as a checkpoint holds them.
pub(in crate::engine) type SavedRest = (Miner, Option<i64>, LogStats);

/// Log lines of all entities.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LogWatch {
    miner: Miner,
    entities: IndexMap<EntityId, EntityLogs, FxBuildHasher>,
    /// The newest bucket judged; `None` before the first tick.
    closed: Option<i64>,
    stats: LogStats,
}

impl LogWatch {
    /// Nothing learned yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Learn and count one line of an entity, at the engine's time `now`.
    pub fn observe(&mut self, entity: &EntityId, line: &LogLine, now: Time) -> TemplateId {
        let learned = self.miner.learn(&line.text);
        for &(gone, survivor) in self.miner.merges() {
            let rendered = self.miner.template(survivor).unwrap_or_default();
            for logs in self.entities.values_mut() {
                logs.merge(gone, survivor, rendered);
            }
        }
        // A sender's clock far ahead must not open buckets that nobody has reached.
        let at = line.at.min(now);
        let index = self.entities.get_index_of(entity).unwrap_or_else(|| {
            self.make_room();
            self.entities
                .insert_full(entity.clone(), EntityLogs::new(at))
                .0
        });
        let share = COUNTERS_MAX / self.entities.len().max(1);
        let templates_max = share.clamp(COUNTERS_PER_ENTITY_MIN, COUNTERS_PER_ENTITY_MAX);
        let Some((_, logs)) = self.entities.get_index_mut(index) else {
            return learned.template;
        };
        let known_level = logs
            .counters
            .get(&learned.template.0)
            .map(|counter| counter.level);
        let sighting = Sighting {
            template: learned.template,
            rendered: self.miner.template(learned.template).unwrap_or_default(),
            level: line
                .level
                .or(known_level)
                .unwrap_or_else(|| level_of(&line.text)),
            at,
            text: &line.text,
            known_elsewhere: known_level.is_none() && !learned.is_new,
        };
        logs.count(entity, &sighting, templates_max, &mut self.stats);
        let counter = logs.counters.get_mut(&learned.template.0);
        if let Some(counter) = counter
            && counter.wants_values(bucket_of(at))
        {
            let values = self.miner.values(learned.template, &line.text);
            counter.values.add(at, values);
        }
        learned.template
    }

    /// Nobody listened until `now`: windows that were not seen are neither judged nor learned.
    pub fn skip_to(&mut self, now: Time) {
        let due = bucket_of(now.plus_ms(-LATENESS_MS)) - 1;
        self.closed = Some(self.closed.map_or(due, |closed| closed.max(due)));
        self.entities.values_mut().for_each(EntityLogs::lose_sight);
    }

    /// Forgets entities that said nothing since `since`, but for those `is_held`; what was open about
    /// them is over at `now` and returned.
    pub(in crate::engine) fn retire(
        &mut self,
        since: Time,
        now: Time,
        is_held: impl Fn(&EntityId) -> bool,
    ) -> Vec<LogFinding> {
        let mut over = Vec::new();
        self.entities.retain(|id, logs| {
            if logs.last_seen >= since || is_held(id) {
                return true;
            }
            logs.end(now);
            logs.drain(&mut over);
            false
        });
        over
    }

    /// Time of an entity's latest line.
    pub(in crate::engine) fn last_seen(&self, entity: &EntityId) -> Option<Time> {
        self.entities.get(entity).map(|logs| logs.last_seen)
    }

    /// The logs of an entity.
    pub(super) fn logs_of(&self, entity: &EntityId) -> Option<&EntityLogs> {
        self.entities.get(entity)
    }

    /// The entities that log.
    pub(in crate::engine) fn entities(&self) -> impl Iterator<Item = &EntityId> {
        self.entities.keys()
    }

    /// Follows a clock that was set back: counts of a time that never was are forgotten.
    pub(in crate::engine) fn set_back(&mut self, back: SetBack) {
        let due = bucket_of(back.to.plus_ms(-LATENESS_MS)) - 1;
        self.closed = self.closed.map(|closed| closed.min(due));
        for logs in self.entities.values_mut() {
            logs.set_back(back);
        }
    }

    /// At most `max` entities from position `from` on, for a checkpoint.
    pub(in crate::engine) fn saved_entities(
        &self,
        from: usize,
        max: usize,
    ) -> Vec<(&EntityId, &EntityLogs)> {
        self.entities.iter().skip(from).take(max).collect()
    }

    /// Everything but the entities, for a checkpoint.
    pub(in crate::engine) fn saved_rest(&self) -> impl Serialize + '_ {
        (&self.miner, self.closed, self.stats)
    }

    /// Puts back what [`Self::saved_entities`] and [`Self::saved_rest`] gave. What was odd is told
    /// again.
    pub(in crate::engine) fn restored(
        entities: Vec<(EntityId, EntityLogs)>,
        (miner, closed, stats): SavedRest,
    ) -> Self {
        let mut entities: IndexMap<_, _, _> = entities.into_iter().collect();
        entities.values_mut().for_each(EntityLogs::tell_again);
        Self {
            miner,
            entities,
            closed,
            stats,
        }
    }

    /// Judge every window that is over at `now`; findings that opened, changed or ended are
    /// appended in order of entity and age.
    pub fn tick(&mut self, now: Time, out: &mut Vec<LogFinding>) {
        let due = bucket_of(now.plus_ms(-LATENESS_MS)) - 1;
        let first = self
            .closed
            .map_or(due, |closed| closed + 1)
            .max(due - CATCH_UP_BUCKETS_MAX + 1);
        for bucket in first..=due {
            for (entity, logs) in &mut self.entities {
                let render = |template| self.miner.template(template).unwrap_or_default().into();
                logs.close(entity, bucket, &mut self.stats, &render);
            }
        }
        self.closed = Some(self.closed.map_or(due, |closed| closed.max(due)));
        for logs in self.entities.values_mut() {
            logs.drain(out);
        }
    }

    /// What an entity logged of late, grouped by template: new since `since` first, then the most
    /// severe, then the most frequent; at most `limit`.
    pub fn groups(&self, entity: &EntityId, since: Time, now: Time, limit: usize) -> Vec<LogGroup> {
        let Some(logs) = self.entities.get(entity) else {
            return Vec::new();
        };
        let group = |(&template, counter): (&u64, &super::counter::Counter)| LogGroup {
            entity: entity.clone(),
            template: self
                .miner
                .template(TemplateId(template))
                .unwrap_or(&counter.sample)
                .into(),
            level: counter.level,
            is_new: counter.first_seen >= since && logs.first_seen < since,
            first_seen: counter.first_seen,
            last_seen: counter.last_seen,
            count: counter.count,
            buckets: counter.ring.series(bucket_of(now)),
            bucket_ms: BUCKET_MS,
            sample: counter.sample.clone(),
        };
        let mut groups: Vec<LogGroup> = logs.counters.iter().map(group).collect();
        groups.sort_by(|a, b| {
            let key = |g: &LogGroup| (g.is_new, g.level, g.count);
            key(b)
                .cmp(&key(a))
                .then_with(|| a.template.cmp(&b.template))
        });
        groups.truncate(limit);
        groups
    }

    /// The miner, for templates by id.
    pub const fn miner(&self) -> &Miner {
        &self.miner
    }

    /// What could not be kept.
    pub const fn stats(&self) -> (LogStats, MinerStats) {
        (self.stats, self.miner.stats())
    }

    fn make_room(&mut self) {
        if self.entities.len() < ENTITIES_MAX {
            return;
        }
        let oldest = self
            .entities
            .values()
            .enumerate()
            .min_by_key(|(_, logs)| logs.last_seen)
            .map(|(at, _)| at);
        if let Some(at) = oldest {
            self.entities.swap_remove_index(at);
            self.stats.entities_evicted += 1;
        }
    }
}
