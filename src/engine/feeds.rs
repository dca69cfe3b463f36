//! Groups of series that are judged as one, and which series feeds which: the buckets of a histogram, the
//! counters of a kind of request.
//!
//! A series is looked at once; then it is one access by its place. Groups are bounded, and what no series
//! feeds any more is forgotten. What a group counts, and how it is judged, is its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cusum::Judged;
use super::entities::EntityIx;
use super::intake::SeriesIx;
use super::set_back::SetBack;
use crate::model::Time;

/// Width of a window, in milliseconds.
pub const WINDOW_MS: i64 = 10_000;
/// Most groups of a kind; the series of what comes after are judged by themselves alone.
const GROUPS_MAX: usize = 20_000;

/// What a series feeds, and as which part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Feed<Part> {
    /// Not looked at yet, or there was no room.
    #[default]
    Unknown,
    /// No group.
    Nothing,
    /// A group.
    Group(u32, Part),
}

/// What several series of an entity feed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Group<Of> {
    /// Whose.
    pub entity: EntityIx,
    /// What tells it from the others of the entity.
    pub key: Box<str>,
    /// Series that feed it; not kept, they say so again.
    #[serde(skip)]
    feeds: u32,
    /// What is counted and learned.
    pub of: Of,
}

/// All groups of one kind, and which series feeds which.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound(serialize = "Of: Serialize", deserialize = "Of: Deserialize<'de>"))]
pub struct Feeds<Of, Part> {
    groups: BTreeMap<u32, Group<Of>>,
    /// Not kept, made of the groups.
    #[serde(skip)]
    index: BTreeMap<(EntityIx, Box<str>), u32>,
    /// By place of the series; not kept, told from their names again.
    #[serde(skip)]
    by_series: Vec<Feed<Part>>,
    next_id: u32,
    /// Series for whose group there was no room, each time it was looked for.
    #[serde(skip)]
    refused: u64,
    window_end: Time,
}

impl<Of, Part> Default for Feeds<Of, Part> {
    fn default() -> Self {
        Self {
            groups: BTreeMap::new(),
            index: BTreeMap::new(),
            by_series: Vec::new(),
            next_id: 0,
            refused: 0,
            window_end: Time::ZERO,
        }
    }
}

impl<Of, Part: Copy> Feeds<Of, Part> {
    /// What a series feeds.
    pub fn feed(&self, series: SeriesIx) -> Feed<Part> {
        let feed = self.by_series.get(series.0 as usize);
        feed.copied().unwrap_or_default()
    }

    /// What is fed.
    pub fn fed(&mut self, group: u32) -> Option<&mut Of> {
        self.groups.get_mut(&group).map(|group| &mut group.of)
    }

    /// Notes what a series feeds: the group of `key`, made by `make` when it is the first, or nothing. Where there
    /// is no room for another it is counted as refused, and asked again when room returns.
    pub fn add(
        &mut self,
        series: SeriesIx,
        entity: EntityIx,
        of: Option<(Box<str>, Part)>,
        make: impl FnOnce() -> Of,
    ) -> Feed<Part> {
        let feed = match of {
            None => Feed::Nothing,
            Some((key, part)) => self
                .group_of(entity, key, make)
                .map_or(Feed::Unknown, |id| Feed::Group(id, part)),
        };
        let place = series.0 as usize;
        if self.by_series.len() <= place {
            self.by_series.resize(place + 1, Feed::Unknown);
        }
        self.by_series[place] = feed;
        feed
    }

    /// The group of a key, fed by one series more.
    fn group_of(
        &mut self,
        entity: EntityIx,
        key: Box<str>,
        make: impl FnOnce() -> Of,
    ) -> Option<u32> {
        let key = (entity, key);
        let id = match self.index.get(&key) {
            Some(id) => *id,
            None if self.is_full() => {
                self.refused = self.refused.saturating_add(1);
                return None;
            }
            None => {
                self.next_id = self.next_id.wrapping_add(1);
                let group = Group {
                    entity,
                    key: key.1.clone(),
                    feeds: 0,
                    of: make(),
                };
                self.groups.insert(self.next_id, group);
                self.index.insert(key, self.next_id);
                self.next_id
            }
        };
        self.groups.get_mut(&id)?.feeds += 1;
        Some(id)
    }

    /// Forgets a series; the group that was fed by it alone, to end what is told of it.
    pub fn forget(&mut self, series: SeriesIx) -> Option<u32> {
        let feed = std::mem::take(self.by_series.get_mut(series.0 as usize)?);
        let Feed::Group(id, _) = feed else {
            return None;
        };
        let group = self.groups.get_mut(&id)?;
        group.feeds = group.feeds.saturating_sub(1);
        if group.feeds > 0 {
            return None;
        }
        let group = self.groups.remove(&id)?;
        self.index.remove(&(group.entity, group.key));
        Some(id)
    }

    /// Judges every group once the window is over, by `judge`; those of which there is something to tell.
    pub fn judge<Odd>(
        &mut self,
        now: Time,
        judge: impl Fn(&mut Group<Of>) -> Judged<Odd>,
    ) -> Vec<(u32, Judged<Odd>)> {
        if now < self.window_end {
            return Vec::new();
        }
        self.window_end = Time::from_ms((now.ms() / WINDOW_MS + 1) * WINDOW_MS);
        let all = self.groups.iter_mut();
        all.map(|(id, group)| (*id, judge(group)))
            .filter(|(_, judged)| !judged.is_usual())
            .collect()
    }

    /// One group.
    pub fn get(&self, group: u32) -> Option<&Group<Of>> {
        self.groups.get(&group)
    }

    /// All groups.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Group<Of>)> {
        self.groups.iter().map(|(id, group)| (*id, group))
    }

    /// Whether there is a group of this key.
    pub fn knows(&self, entity: EntityIx, key: Box<str>) -> bool {
        self.index.contains_key(&(entity, key))
    }

    /// Whether there is no room for another group.
    pub fn is_full(&self) -> bool {
        self.groups.len() >= GROUPS_MAX
    }

    /// How often there was no room for a group.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// Finds groups by their keys again, after they were put back.
    pub fn index_all(&mut self) {
        let all = self.groups.iter();
        let index = all.map(|(id, group)| ((group.entity, group.key.clone()), *id));
        self.index = index.collect();
    }

    /// Forgets groups that nothing feeds, after all series have said what they feed.
    pub fn drop_unfed(&mut self) {
        self.groups.retain(|_, group| group.feeds > 0);
        self.index_all();
    }

    /// Follows a clock that was set back, as `each` does for what is counted.
    pub fn set_back(&mut self, back: SetBack, each: impl Fn(&mut Of)) {
        self.window_end = self.window_end.min(back.to.plus_ms(WINDOW_MS));
        self.groups
            .values_mut()
            .for_each(|group| each(&mut group.of));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CART: EntityIx = EntityIx(0);
    const WEB: EntityIx = EntityIx(1);

    fn add(feeds: &mut Feeds<u32, u8>, series: u32, entity: EntityIx, key: &str) -> Feed<u8> {
        feeds.add(SeriesIx(series), entity, Some((key.into(), 7)), || series)
    }

    #[test]
    fn series_of_one_key_and_entity_feed_one_group_until_the_last_is_gone() {
        let mut feeds = Feeds::default();
        assert_eq!(feeds.feed(SeriesIx(3)), Feed::Unknown);
        assert_eq!(add(&mut feeds, 3, CART, "took"), Feed::Group(1, 7));
        assert_eq!(add(&mut feeds, 4, CART, "took"), Feed::Group(1, 7));
        assert_eq!(add(&mut feeds, 5, WEB, "took"), Feed::Group(2, 7));
        assert_eq!(feeds.add(SeriesIx(6), WEB, None, || 6), Feed::Nothing);
        assert_eq!(feeds.fed(1), Some(&mut 3), "made by the first");
        assert_eq!(feeds.forget(SeriesIx(3)), None);
        assert_eq!(feeds.forget(SeriesIx(3)), None, "it feeds nothing any more");
        assert_eq!(feeds.forget(SeriesIx(4)), Some(1));
        assert!(feeds.get(1).is_none() && !feeds.knows(CART, "took".into()));
        assert_eq!(feeds.forget(SeriesIx(6)), None);
        assert_eq!(add(&mut feeds, 4, CART, "took"), Feed::Group(3, 7));
    }

    #[test]
    fn groups_are_bounded_and_room_that_returns_is_used() {
        let mut feeds = Feeds::default();
        for series in 0..GROUPS_MAX as u32 {
            add(&mut feeds, series, CART, &series.to_string());
        }
        let late = GROUPS_MAX as u32;
        assert_eq!(add(&mut feeds, late, CART, "late"), Feed::Unknown);
        assert_eq!((feeds.refused(), feeds.iter().count()), (1, GROUPS_MAX));
        assert_eq!(feeds.forget(SeriesIx(0)), Some(1));
        assert_eq!(
            add(&mut feeds, late, CART, "late"),
            Feed::Group(late + 1, 7)
        );
    }

    #[test]
    fn every_group_is_judged_once_a_window() {
        let mut feeds = Feeds::default();
        add(&mut feeds, 0, CART, "a");
        add(&mut feeds, 1, CART, "b");
        let judge = |group: &mut Group<u32>| match group.of {
            0 => Judged::Usual,
            of => Judged::Odd(of),
        };
        let told = |feeds: &mut Feeds<u32, u8>, ms| feeds.judge(Time::from_ms(ms), judge);
        assert_eq!(told(&mut feeds, 12_000), [(2, Judged::Odd(1))]);
        assert_eq!(told(&mut feeds, 19_999), []);
        assert_eq!(told(&mut feeds, 20_000), [(2, Judged::Odd(1))]);
    }

    #[test]
    fn what_was_put_back_is_fed_again_or_forgotten() {
        let mut feeds = Feeds::default();
        add(&mut feeds, 0, CART, "a");
        add(&mut feeds, 1, WEB, "b");
        let kept = postcard::to_stdvec(&feeds).unwrap();
        let mut again: Feeds<u32, u8> = postcard::from_bytes(&kept).unwrap();
        again.index_all();
        assert_eq!(again.feed(SeriesIx(0)), Feed::Unknown);
        assert_eq!(add(&mut again, 8, WEB, "b"), Feed::Group(2, 7));
        again.drop_unfed();
        let left: Vec<u32> = again.iter().map(|(id, _)| id).collect();
        assert_eq!((left, again.fed(2)), (vec![2], Some(&mut 1)));
    }
}
