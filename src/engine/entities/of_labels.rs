//! Whose a log line or a span is: remembered by its labels, which repeat line after line.
//!
//! What is remembered must never differ from what reading the labels again would give: whatever changes an entity's
//! name, place or labels moves [`Entities::changes`] on, and what was remembered before then is read again.

use rustc_hash::FxHashMap;

use super::{Entities, EntityIx, resolve};
use crate::model::{EntityId, Labels};

/// Label sets remembered; with more, all of them are read again.
const REMEMBERED_MAX: usize = 4_096;
/// Longest label set that is remembered, in bytes: usual ones are far shorter.
const REMEMBERED_BYTES_MAX: usize = 1_024;

/// What label sets of late said.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    of: FxHashMap<u64, Said>,
}

/// What one of them says.
#[derive(Debug)]
struct Said {
    labels: Labels,
    /// Whose they are.
    entity: EntityId,
    /// The place of that, and how much had changed when the labels were learned last.
    at: EntityIx,
    changes: u64,
}

impl Entities {
    /// The entity that labels speak of, known from now on with what they say of it; `None` when they name none.
    pub fn of_labels(&mut self, labels: &Labels) -> Option<EntityIx> {
        let hash = labels.stable_hash();
        let known = self.remembered.of.get(&hash);
        let known = known.filter(|said| said.labels == *labels);
        if let Some(said) = known.filter(|said| said.changes == self.changes) {
            return Some(said.at);
        }
        let entity = match known {
            Some(said) => said.entity.clone(),
            None => resolve(labels)?.entity,
        };
        let refused = self.refused;
        let at = self.intern(&entity);
        self.learn_labels(at, labels);
        // Each time that there is no place for it is counted.
        if self.refused == refused && labels.heap_bytes() <= REMEMBERED_BYTES_MAX {
            let said = Said {
                labels: labels.clone(),
                entity,
                at,
                changes: self.changes,
            };
            self.remembered.put(hash, said);
        }
        Some(at)
    }
}

impl Remembered {
    fn put(&mut self, hash: u64, said: Said) {
        if self.of.len() >= REMEMBERED_MAX && !self.of.contains_key(&hash) {
            self.of.clear();
        }
        self.of.insert(hash, said);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::Time;

    /// What happens between two lines.
    #[derive(Clone, Debug)]
    enum Event {
        Line(usize),
        Retire(usize),
    }

    fn label_sets() -> Vec<Labels> {
        let sets: [&[(&str, &str)]; 7] = [
            &[("service", "cart"), ("env", "prod")],
            &[("service", "cart"), ("env", "test")],
            &[("service", "cart"), ("zone", "a")],
            &[("service", "orders")],
            &[("app", "orders"), ("version", "2")],
            &[("host", "node-1")],
            &[("colour", "red")],
        ];
        let labels = sets.map(|pairs| Labels::from_pairs(pairs.iter().copied()).unwrap());
        labels.into()
    }

    /// What is read each time.
    fn read_anew(entities: &mut Entities, labels: &Labels) -> Option<EntityIx> {
        let at = entities.intern(&resolve(labels)?.entity);
        entities.learn_labels(at, labels);
        Some(at)
    }

    fn event() -> impl Strategy<Value = Event> {
        let (sets, entities) = (label_sets().len(), 4_usize);
        prop_oneof![
            9 => (0..sets).prop_map(Event::Line),
            1 => (0..entities).prop_map(Event::Retire),
        ]
    }

    proptest! {
        /// Whoever remembers knows what who reads everything anew knows, whatever happens between.
        #[test]
        fn what_is_remembered_is_what_would_be_read(events in prop::collection::vec(event(), 0..60)) {
            let sets = label_sets();
            let (mut remembering, mut reading) = (Entities::default(), Entities::default());
            for entities in [&mut remembering, &mut reading] {
                entities.keep_labels(["env"].into_iter());
            }
            // Each of them long enough after the one before that places are given away again.
            for (hour, event) in (2..).zip(events) {
                match event {
                    Event::Line(which) => {
                        let labels = &sets[which];
                        let place = remembering.of_labels(labels);
                        prop_assert_eq!(place, read_anew(&mut reading, labels));
                    }
                    Event::Retire(which) => {
                        let used: Vec<bool> = (0..reading.places()).map(|at| at != which).collect();
                        for entities in [&mut remembering, &mut reading] {
                            entities.retire(&used, Time::from_secs(3_600 * hour));
                        }
                    }
                }
                let rows = |entities: &Entities| {
                    serde_json::to_value(entities.saved_rows(0, 100)).unwrap()
                };
                prop_assert_eq!(rows(&remembering), rows(&reading));
            }
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut entities = Entities::default();
        for n in 0..3 * REMEMBERED_MAX {
            let name = format!("node-{n}");
            let labels = Labels::from_pairs([("host", &*name)]).unwrap();
            assert_eq!(entities.of_labels(&labels), Some(EntityIx(n as u32)));
            assert!(entities.remembered.of.len() <= REMEMBERED_MAX);
        }
    }
}
