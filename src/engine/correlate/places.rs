//! Which entities incidents refer to: their places must not be given to others.

use super::{Conditions, Correlator};
use crate::engine::entities::EntityIx;

impl Correlator {
    /// Forgets the last incident of entities once it left the book.
    pub fn forget_old_places(&mut self) {
        let book = &self.book;
        self.last_incident.retain(|_, id| book.get(*id).is_some());
    }

    /// Tells every entity it refers to.
    pub fn entities(&self, mark: &mut impl FnMut(EntityIx)) {
        self.conditions.entities(mark);
        self.rules.entities(mark);
        self.last_incident.keys().copied().for_each(&mut *mark);
        self.queue.iter().copied().for_each(&mut *mark);
        self.settling.iter().for_each(|(_, entity)| mark(*entity));
        for (_, held) in self.book.iter() {
            mark(held.root);
            held.members.iter().copied().for_each(&mut *mark);
        }
    }
}

impl Conditions {
    fn entities(&self, mark: &mut impl FnMut(EntityIx)) {
        self.iter().for_each(|(entity, _)| mark(entity));
    }
}
