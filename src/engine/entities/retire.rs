//! Places of entities that nothing refers to, given to others after a while.

use super::{Entities, EntityIx, OVERFLOW};
use crate::engine::set_back::SetBack;
use crate::model::{EntityId, Labels, Time};

/// A place is given to another this long after it became free, in milliseconds: longer than the writing
/// of a checkpoint takes.
const WAITING_MS: i64 = 60 * 60_000;

impl Entities {
    /// Retires every entity whose place is not marked in `used`; places wait before they are given away.
    pub fn retire(&mut self, used: &[bool], now: Time) {
        while let Some((since, ix)) = self.waiting.front().copied()
            && now.since(since) >= WAITING_MS
        {
            self.waiting.pop_front();
            self.free.insert(ix);
            self.rows[ix.0 as usize].retired = Some(Time::ZERO);
        }
        let catalogue = &self.catalogue;
        let is_declared = |id: &EntityId| id.name() == OVERFLOW || catalogue.contains_key(id);
        for (at, is_used) in used.iter().enumerate() {
            let row = &mut self.rows[at];
            if *is_used || row.retired.is_some() || is_declared(&row.id) {
                continue;
            }
            self.changes += 1;
            row.retired = Some(now);
            row.series = 0;
            row.labels = Labels::empty();
            row.many = Vec::new();
            let ix = EntityIx(at as u32);
            // Its name may be an alias of another by now.
            if self.index.get(&row.id) == Some(&ix) {
                self.index.remove(&row.id);
            }
            self.sorted.remove(&row.id);
            self.gone.push(row.id.clone());
            self.waiting.push_back((now, ix));
        }
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        for (since, ix) in &mut self.waiting {
            back.past(since);
            self.rows[ix.0 as usize].retired = Some(*since);
        }
    }

    /// Entities retired since the last call.
    pub fn take_gone(&mut self) -> Vec<EntityId> {
        std::mem::take(&mut self.gone)
    }

    /// How many places there are, free ones included.
    pub fn places(&self) -> usize {
        self.rows.len()
    }
}
