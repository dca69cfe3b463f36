//! Findings from first sight until they are over: one for each thing that is odd, however often it
//! is seen.
//!
//! Producers (metrics, logs, traces, silence) hand in observations under a key; the same key updates
//! the same finding. Nothing here decides what is odd.

use std::collections::BTreeMap;

use super::cusum::Judged;
use super::deliveries::Kind;
use super::detect::HOLD_MS_MAX;
use super::diagnose::words;
use super::entities::EntityIx;
use super::intake::{SeriesIx, SourceIx};
use super::set_back::SetBack;
use crate::model::{
    Band, Check, Direction, EntityId, Explanation, Finding, FindingId, IncidentId, MetricRole,
    SeriesId, Time, Unit,
};

/// Most findings open at once; later ones are counted, not kept.
pub const OPEN_MAX: usize = 50_000;

/// What a finding is about: the same key is the same finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A series.
    Series(SeriesIx),
    /// A log template at an entity.
    Log(EntityIx, u64, Check),
    /// Calls from one entity to another.
    Edge(EntityIx, EntityIx, Check),
    /// An entity as a whole.
    Entity(EntityIx, Check),
    /// Those series of an entity that stopped while others of it go on.
    Lapse(EntityIx),
    /// A source.
    Source(SourceIx),
    /// One kind of what a source delivers, while it goes on with others.
    Part(SourceIx, Kind),
    /// A resource that runs out.
    Limit(SeriesIx),
    /// What a series does that no single value shows.
    Sustained(SeriesIx),
    /// How often that happens of which a series tells only then.
    Arrivals(SeriesIx),
    /// When a series beats that does so again and again.
    Rhythm(SeriesIx),
    /// The share of failures of a family of counters.
    Ratio(u32),
    /// How what a histogram counts is spread.
    Histogram(u32),
    /// An objective, by its place in the config, and whether its budget burns fast enough to page.
    Slo(u16, bool),
}

/// What a producer saw.
#[derive(Clone, Debug)]
pub struct Observation {
    /// What it is about.
    pub key: Key,
    /// The entity.
    pub entity: EntityIx,
    /// The other end, when it is about an edge.
    pub callee: Option<EntityIx>,
    /// Who is sick: the entity, or a callee that tells nothing of itself.
    pub sick: EntityIx,
    /// Which check.
    pub check: Check,
    /// The series, when it is a metric.
    pub series: Option<SeriesId>,
    /// Name of the metric, template or edge, untrusted.
    pub subject: Box<str>,
    /// What the subject says of the entity.
    pub role: MetricRole,
    /// Unit of `expected` and `seen`.
    pub unit: Unit,
    /// First abnormal point.
    pub since: Time,
    /// This abnormal point.
    pub at: Time,
    /// What was expected.
    pub expected: Band,
    /// What was seen.
    pub seen: f64,
    /// Which way it moved.
    pub direction: Direction,
    /// How unusual.
    pub score: f32,
    /// Whether it may open an incident by itself.
    pub pages: bool,
    /// The sentence shown.
    pub text: String,
    /// What stands behind it.
    pub explain: Explanation,
}

/// A finding with where it is.
#[derive(Debug)]
pub struct FindingState {
    /// What consoles see.
    pub finding: Finding,
    /// Who is sick.
    pub sick: EntityIx,
    /// The incident it belongs to.
    pub incident: Option<IncidentId>,
    is_changed: bool,
}

/// All findings that last, and those that ended since correlation last looked.
#[derive(Debug, Default)]
pub struct Findings {
    held: BTreeMap<FindingId, FindingState>,
    open: BTreeMap<Key, FindingId>,
    /// New, changed or ended since the last look, in that order.
    changed: Vec<FindingId>,
    last_id: u64,
    refused: u64,
}

impl Findings {
    /// Opens a finding or updates the one of the same key.
    pub fn note(&mut self, seen: Observation, ids: impl Fn(EntityIx) -> EntityId) {
        if let Some(id) = self.open.get(&seen.key).copied() {
            if let Some(state) = self.held.get_mut(&id)
                && state.update(seen)
            {
                self.mark(id);
            }
            return;
        }
        if self.open.len() >= OPEN_MAX {
            self.refused += 1;
            return;
        }
        self.last_id += 1;
        let id = FindingId(self.last_id);
        self.open.insert(seen.key, id);
        self.changed.push(id);
        self.held.insert(id, FindingState::new(id, seen, ids));
    }

    /// Ends the finding of a key at `at`, if there is one.
    pub fn end(&mut self, key: Key, at: Time) {
        let Some(id) = self.open.remove(&key) else {
            return;
        };
        if let Some(state) = self.held.get_mut(&id) {
            state.finding.ended = Some(at);
            self.mark(id);
        }
    }

    /// Ends the finding of a key because what lasted is normal now, as `text` says.
    pub fn accept(&mut self, key: Key, at: Time, text: String) {
        if let Some(state) = self.open.get(&key).and_then(|id| self.held.get_mut(id)) {
            state.finding.accepted = Some(text.into_boxed_str());
        }
        self.end(key, at);
    }

    /// Ends what is told under a key, or accepts it as the new normal of `what`; gives back what is odd, to be
    /// told.
    pub fn settle<Odd>(
        &mut self,
        key: Key,
        at: Time,
        judged: Judged<Odd>,
        what: impl FnOnce() -> String,
    ) -> Option<Odd> {
        match judged {
            Judged::Usual => {}
            Judged::Over => self.end(key, at),
            Judged::Accepted => {
                let lasted = words::duration(HOLD_MS_MAX);
                let text = format!("new normal accepted after {lasted}: {}", what());
                self.accept(key, at, text);
            }
            Judged::Odd(odd) => return Some(odd),
        }
        None
    }

    /// What an open finding is about.
    pub fn key_of(&self, id: FindingId) -> Option<Key> {
        let mut open = self.open.iter();
        open.find(|(_, open)| **open == id).map(|(key, _)| *key)
    }

    /// Tells every entity it refers to.
    pub fn entities(&self, mark: &mut impl FnMut(EntityIx)) {
        for key in self.open.keys() {
            match *key {
                Key::Log(of, ..) | Key::Entity(of, _) | Key::Lapse(of) => mark(of),
                Key::Edge(from, to, _) => {
                    mark(from);
                    mark(to);
                }
                Key::Series(_)
                | Key::Limit(_)
                | Key::Sustained(_)
                | Key::Arrivals(_)
                | Key::Rhythm(_)
                | Key::Ratio(_)
                | Key::Histogram(_)
                | Key::Source(_)
                | Key::Part(..)
                | Key::Slo(..) => {}
            }
        }
        self.held.values().for_each(|state| mark(state.sick));
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        for state in self.held.values_mut() {
            let finding = &mut state.finding;
            back.past(&mut finding.since);
            back.past(&mut finding.last_seen);
            back.past_if(&mut finding.ended);
        }
    }

    fn mark(&mut self, id: FindingId) {
        if let Some(state) = self.held.get_mut(&id)
            && !state.is_changed
        {
            state.is_changed = true;
            self.changed.push(id);
        }
    }

    /// Findings new, changed or ended since the last call, by id.
    pub fn take_changed(&mut self) -> Vec<FindingId> {
        let mut changed = std::mem::take(&mut self.changed);
        changed.sort_unstable();
        for id in &changed {
            if let Some(state) = self.held.get_mut(id) {
                state.is_changed = false;
            }
        }
        changed
    }

    /// Forgets a finding that ended.
    pub fn forget(&mut self, id: FindingId) {
        self.held.remove(&id);
    }

    /// One finding.
    pub fn get(&self, id: FindingId) -> Option<&FindingState> {
        self.held.get(&id)
    }

    /// The open finding of a key.
    pub fn of_key(&self, key: Key) -> Option<&FindingState> {
        self.held.get(self.open.get(&key)?)
    }

    /// Series of which something is told that no single value shows.
    pub fn sustained(&self) -> impl Iterator<Item = SeriesIx> {
        let first = Key::Sustained(SeriesIx(0));
        let last = Key::Rhythm(SeriesIx(u32::MAX));
        self.open
            .range(first..=last)
            .filter_map(|(key, _)| match key {
                Key::Sustained(series) | Key::Arrivals(series) | Key::Rhythm(series) => {
                    Some(*series)
                }
                _ => None,
            })
    }

    /// Makes a finding part of an incident.
    pub fn attach(&mut self, id: FindingId, incident: IncidentId) {
        if let Some(state) = self.held.get_mut(&id) {
            state.incident = Some(incident);
        }
    }

    /// Findings that last.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// The highest id given; later ones are higher.
    pub fn resume_after(&mut self, id: FindingId) {
        self.last_id = self.last_id.max(id.0);
    }

    /// The highest id given.
    pub fn last_id(&self) -> FindingId {
        FindingId(self.last_id)
    }

    /// Findings refused because too many are open.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl FindingState {
    fn new(id: FindingId, seen: Observation, ids: impl Fn(EntityIx) -> EntityId) -> Self {
        Self {
            sick: seen.sick,
            incident: None,
            is_changed: true,
            finding: Finding {
                id,
                entity: ids(seen.entity),
                callee: seen.callee.map(&ids),
                check: seen.check,
                series: seen.series,
                subject: seen.subject,
                role: seen.role,
                unit: seen.unit,
                since: seen.since,
                last_seen: seen.at,
                ended: None,
                expected: seen.expected,
                seen: seen.seen,
                direction: seen.direction,
                score: seen.score,
                pages: seen.pages,
                text: seen.text.into_boxed_str(),
                explain: Some(Box::new(seen.explain)),
                accepted: None,
            },
        }
    }

    /// Takes in another observation; the worst point is the one shown, and of what runs out the latest.
    /// Whether anything a person would notice changed.
    fn update(&mut self, seen: Observation) -> bool {
        let finding = &mut self.finding;
        finding.last_seen = finding.last_seen.max(seen.at);
        let pages_now = seen.pages && !finding.pages;
        finding.pages |= seen.pages;
        if matches!(seen.key, Key::Lapse(_)) {
            // What came back is not told of any more, though fewer are missed then.
            (finding.subject, finding.series) = (seen.subject, seen.series);
        } else if seen.score <= finding.score && !matches!(seen.key, Key::Limit(_)) {
            return pages_now;
        }
        if matches!(seen.key, Key::Series(_))
            && finding.direction == seen.direction
            && beyond(finding.seen, finding.expected) > beyond(seen.seen, seen.expected)
        {
            // Many values are surer than one and need not be further out: the furthest is told.
            finding.score = seen.score;
            return true;
        }
        finding.check = seen.check;
        finding.expected = seen.expected;
        finding.seen = seen.seen;
        finding.direction = seen.direction;
        finding.score = seen.score;
        finding.text = seen.text.into_boxed_str();
        finding.explain = Some(Box::new(seen.explain));
        true
    }
}

/// How far a value lies outside a band; below 0 inside it.
fn beyond(value: f64, band: Band) -> f64 {
    (value - band.high).max(band.low - value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(score: f32, pages: bool) -> Observation {
        Observation {
            key: Key::Series(SeriesIx(0)),
            entity: EntityIx(0),
            callee: None,
            sick: EntityIx(0),
            check: Check::Spike,
            series: None,
            subject: "p99".into(),
            role: MetricRole::Latency,
            unit: Unit::Seconds,
            since: Time::from_secs(10),
            at: Time::from_secs(20),
            expected: Band {
                low: 0.0,
                high: 1.0,
            },
            seen: f64::from(score),
            direction: Direction::Up,
            score,
            pages,
            text: format!("score {score}"),
            explain: Explanation::default(),
        }
    }

    #[test]
    fn the_furthest_value_is_told_with_what_was_expected_of_it() {
        let mut findings = Findings::default();
        let ids = |_| EntityId::parse("cart");
        let at = |score: f32, value: f64, high: f64| Observation {
            expected: Band { low: 0.0, high },
            seen: value,
            text: format!("{value}"),
            ..seen(score, false)
        };
        let mut told = |observed: Observation| {
            findings.note(observed, ids);
            let finding = &findings.get(FindingId(1)).unwrap().finding;
            let told = (finding.seen, finding.expected.high, finding.score);
            (told, finding.text.to_string())
        };
        let first = ((4.8, 5.31, 3.0), "4.8".to_owned());
        assert_eq!(told(at(3.0, 4.8, 5.31)), first, "many such came before");
        let furthest = |score| ((7.8, 5.0, score), "7.8".to_owned());
        assert_eq!(told(at(5.0, 7.8, 5.0)), furthest(5.0));
        assert_eq!(told(at(9.0, 4.8, 5.31)), furthest(9.0), "surer, not worse");
    }

    #[test]
    fn one_finding_from_first_sight_to_end() {
        let mut findings = Findings::default();
        let ids = |_| EntityId::parse("cart");
        findings.note(seen(3.0, false), ids);
        assert_eq!(findings.take_changed(), [FindingId(1)]);
        findings.note(seen(2.0, false), ids);
        assert_eq!(
            findings.take_changed(),
            [],
            "a lesser point says nothing new"
        );
        findings.note(seen(5.0, true), ids);
        findings.end(Key::Series(SeriesIx(0)), Time::from_secs(30));
        assert_eq!(findings.take_changed(), [FindingId(1)]);
        let finding = &findings.get(FindingId(1)).unwrap().finding;
        assert_eq!((finding.score, finding.pages), (5.0, true));
        assert_eq!(finding.ended, Some(Time::from_secs(30)));
        assert_eq!(findings.open_count(), 0);
        findings.note(seen(3.0, true), ids);
        assert_eq!(findings.take_changed(), [FindingId(2)]);
    }
}
