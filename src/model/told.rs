//! A timeline as it is told: what is said alike of many entities is said once, with how many they are. Nothing is
//! left out of the timeline for that; whoever wants each entry reads those.

use std::collections::{BTreeMap, BTreeSet};

use super::{EntityId, Lane, Time, TimelineEntry, counted};

/// Fewest entries that are told as one: of fewer each says more by itself.
const ALIKE_MIN: usize = 3;
/// Stands for the name of an entity in a sentence about many.
const NAME: &str = "…";
/// Shortest name that is looked for in a sentence, in bytes: a shorter one stands in other words too.
const NAME_BYTES_MIN: usize = 3;

/// An entry, or entries that say the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Told<'a> {
    /// The first of them.
    pub first: &'a TimelineEntry,
    /// Those that follow it, each about another entity.
    pub others: Vec<&'a TimelineEntry>,
}

/// Entries in their order, as they are told. Alerts and anomalies of different entities that differ in nothing but
/// its name and the time become one, where the first stands, as long as nothing of another kind happened between
/// them.
pub fn told<'a>(entries: impl IntoIterator<Item = &'a TimelineEntry>) -> Vec<Told<'a>> {
    let entries: Vec<&TimelineEntry> = entries.into_iter().collect();
    let is_signal = |entry: &TimelineEntry| matches!(entry.lane, Lane::Alert | Lane::Anomaly);
    let stretches = entries.chunk_by(|a, b| is_signal(a) == is_signal(b));
    let tell = |stretch: &[&'a TimelineEntry]| {
        if is_signal(stretch[0]) && stretch.len() >= ALIKE_MIN {
            together(stretch)
        } else {
            stretch.iter().copied().map(Told::of).collect()
        }
    };
    stretches.flat_map(tell).collect()
}

/// Signals with nothing else between them.
fn together<'a>(entries: &[&'a TimelineEntry]) -> Vec<Told<'a>> {
    let mut groups: Vec<Vec<usize>> = Vec::new();
    // The latest group of a sentence, and of whom it tells.
    let mut latest: BTreeMap<(Lane, String), (usize, BTreeSet<&EntityId>)> = BTreeMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let Some(entity) = &entry.entity else {
            groups.push(vec![at]);
            continue;
        };
        let (group, of) = latest
            .entry((entry.lane, sentence(entry, entity)))
            .or_insert_with(|| (usize::MAX, BTreeSet::new()));
        // The same of the same entity is another story: it was over between.
        let is_new = of.insert(entity);
        if let Some(others) = groups.get_mut(*group).filter(|_| is_new) {
            others.push(at);
        } else {
            *group = groups.len();
            *of = BTreeSet::from([entity]);
            groups.push(vec![at]);
        }
    }
    let (alike, few): (Vec<_>, Vec<_>) = groups.into_iter().partition(|g| g.len() >= ALIKE_MIN);
    let alike = alike.into_iter();
    let singles = few.into_iter().flatten().map(|at| vec![at]);
    let mut places: Vec<Vec<usize>> = alike.chain(singles).collect();
    places.sort_unstable();
    let tell = |group: Vec<usize>| Told {
        first: entries[group[0]],
        others: group[1..].iter().map(|at| entries[*at]).collect(),
    };
    places.into_iter().map(tell).collect()
}

/// What an entry says, whomever it says it of.
fn sentence(entry: &TimelineEntry, entity: &EntityId) -> String {
    match entity.name() {
        name if name.len() >= NAME_BYTES_MIN => entry.text.replace(name, NAME),
        _ => entry.text.to_string(),
    }
}

impl<'a> Told<'a> {
    fn of(entry: &'a TimelineEntry) -> Self {
        Self {
            first: entry,
            others: Vec::new(),
        }
    }

    /// Whether it is more than one entry.
    pub const fn is_many(&self) -> bool {
        !self.others.is_empty()
    }

    /// All of them, in their order.
    pub fn entries(&self) -> impl Iterator<Item = &'a TimelineEntry> {
        std::iter::once(self.first).chain(self.others.iter().copied())
    }

    /// When the last of them happened.
    pub fn until(&self) -> Time {
        self.others.last().map_or(self.first.at, |last| last.at)
    }

    /// Of how many it is told, or of whom; nothing for an entry about nobody.
    pub fn whom(&self) -> String {
        let entity = self.first.entity.as_ref();
        if self.is_many() {
            return counted(self.others.len() as u64 + 1, "entity", "entities");
        }
        entity.map_or_else(String::new, |entity| entity.as_str().to_owned())
    }

    /// What is said of all of them.
    pub fn text(&self) -> String {
        let alike = |other: &&TimelineEntry| other.text == self.first.text;
        match &self.first.entity {
            Some(entity) if !self.others.iter().all(alike) => sentence(self.first, entity),
            _ => self.first.text.to_string(),
        }
    }

    /// The names of so many of whom it tells, and how many more they are.
    pub fn names(&self, most: usize) -> String {
        let entities = self.entries().filter_map(|entry| entry.entity.as_ref());
        let named: Vec<&str> = entities.take(most).map(EntityId::name).collect();
        let more = (self.others.len() + 1).saturating_sub(named.len());
        let listed = named.join(", ");
        if more > 0 {
            format!("{listed} and {more} more")
        } else {
            listed
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(s: i64, lane: Lane, entity: &str, text: &str) -> TimelineEntry {
        TimelineEntry {
            at: Time::from_secs(s),
            lane,
            entity: (!entity.is_empty()).then(|| EntityId::parse(entity)),
            text: text.into(),
        }
    }

    /// When, of whom and what, with the end of a group.
    fn shown(entries: &[TimelineEntry]) -> Vec<String> {
        let line = |told: &Told<'_>| {
            let (from, to) = (told.first.at.ms() / 1_000, told.until().ms() / 1_000);
            format!("{from}-{to} {}: {}", told.whom(), told.text())
        };
        told(entries).iter().map(line).collect()
    }

    #[test]
    fn four_hundred_alike_are_one_line_with_their_number() {
        let storm = (0..400).map(|n| {
            let name = format!("s{n:03}");
            entry(
                n,
                Lane::Alert,
                &name,
                &format!("Storm fires: no answer of {name}"),
            )
        });
        let other = entry(200, Lane::Alert, "gateway", "HighLatency fires");
        let mut entries: Vec<TimelineEntry> = storm.collect();
        entries.insert(200, other);
        let lines = shown(&entries);
        assert_eq!(
            lines,
            [
                "0-399 400 entities: Storm fires: no answer of …",
                "200-200 service/gateway: HighLatency fires"
            ]
        );
        let told = told(&entries);
        assert_eq!(told[0].names(2), "s000, s001 and 398 more");
        let of = told.iter().flat_map(Told::entries).count();
        assert_eq!(of, entries.len(), "none is lost");
    }

    #[test]
    fn what_differs_stands_by_itself() {
        let a = |s, entity| entry(s, Lane::Alert, entity, "Down fires");
        let over = |s, entity| entry(s, Lane::Alert, entity, "Down resolved");
        let deed = |s| entry(s, Lane::Person, "", "taken by mia");
        let cases: [(Vec<TimelineEntry>, &[usize]); 6] = [
            (vec![a(1, "s01"), a(2, "s02")], &[1, 1]),
            (vec![a(1, "s01"), a(2, "s02"), a(3, "s03")], &[3]),
            // Somebody did something between.
            (
                vec![a(1, "s01"), a(2, "s02"), deed(2), a(3, "s03")],
                &[1, 1, 1, 1],
            ),
            // It was over and began again.
            (
                vec![a(1, "s01"), a(2, "s02"), over(3, "s01"), a(4, "s01")],
                &[1, 1, 1, 1],
            ),
            (
                vec![a(1, "s01"), a(2, "s02"), a(3, "s03"), a(4, "s01")],
                &[3, 1],
            ),
            // What people write alike, they wrote each time.
            (vec![deed(1), deed(2), deed(3)], &[1, 1, 1]),
        ];
        for (entries, sizes) in cases {
            let told = told(&entries);
            let of: Vec<usize> = told.iter().map(|told| told.entries().count()).collect();
            assert_eq!(of, sizes, "{entries:?}");
        }
    }
}
