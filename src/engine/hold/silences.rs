//! The table of silences: made, changed and ended by people, begun and ended by time.
//!
//! Never decides about an alert that fires: it says what covers it. Bounded; those over go first.

use std::collections::{BTreeMap, BTreeSet};

use super::matching::{MatchIndex, all_fit};
use crate::engine::set_back::SetBack;
use crate::model::{
    Actor, Delta, LabelFilter, Labels, Refusal, SILENCE_MATCHERS_MAX, Silence, SilenceId,
    SilenceKind, SilenceSpec, SilenceState, SilenceTwin, Time,
};

/// Silences held, those over included.
const SILENCES_MAX: usize = 2_000;
/// A silence warns of its end no sooner than in its last such part.
const WARN_PART: i64 = 4;
/// A silence that is over is shown this long, in milliseconds.
const KEPT_EXPIRED_MS: i64 = 24 * 3_600_000;
/// One that a person ended, and that an Alertmanager may still have: forgotten sooner, it would be taken
/// from there again. In milliseconds.
const KEPT_TWINNED_MS: i64 = 30 * 24 * 3_600_000;
/// An hour, in milliseconds.
const HOUR_MS: i64 = 3_600_000;
/// Alertmanagers that one silence is in.
const TWINS_MAX: usize = 16;

/// What the config says of silences.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Longest silence, in hours.
    pub hours_max: u32,
    /// People are warned this long before one ends that still holds something back, in seconds.
    pub warn_s: u32,
}

/// What the passing of time did to a silence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It holds back from now on.
    Began(SilenceId),
    /// It is over.
    Ended(SilenceId),
}

/// All silences.
#[derive(Debug, Default)]
pub struct Silences {
    held: BTreeMap<SilenceId, Silence>,
    /// Those active.
    index: MatchIndex,
    last: u64,
    changed: BTreeSet<SilenceId>,
    gone: Vec<SilenceId>,
}

impl Silences {
    /// The silence that `spec` asks for, if it may be; nothing is changed.
    pub fn draft(
        &self,
        now: Time,
        by: &Actor,
        spec: &SilenceSpec,
        twin: Option<&SilenceTwin>,
        bounds: Bounds,
    ) -> Result<Silence, Refusal> {
        check_matchers(&spec.matchers)?;
        let before = match spec.id {
            Some(silence) => {
                Some(self.lasting(silence, now, "it changes no more; make a new one")?)
            }
            None if self.held.len() - self.expired().count() >= SILENCES_MAX => {
                return Err(refused(format!("there are {SILENCES_MAX} already")));
            }
            None => None,
        };
        let begun = before.map(|silence| silence.starts_at);
        let asked = spec.starts_at.or(begun).unwrap_or(now);
        // The past is what it was: what has begun goes on, what is new begins now.
        let starts_at = match begun {
            Some(begun) if begun <= now => begun,
            _ => asked.max(now),
        };
        check_times(now, starts_at, spec.ends_at, twin.is_some(), bounds)?;
        let mut twins = before.map_or_else(Vec::new, |silence| silence.twins.clone());
        if let Some(twin) = twin {
            twins.retain(|known| known.alertmanager != twin.alertmanager);
            if twins.len() >= TWINS_MAX {
                return Err(refused(format!(
                    "it is in {TWINS_MAX} Alertmanagers already"
                )));
            }
            twins.push(twin.clone());
        }
        let reason = Silence::cut_reason(&spec.reason);
        let mut silence = Silence {
            id: spec.id.unwrap_or(SilenceId(self.last + 1)),
            kind: spec.kind,
            matchers: spec.matchers.clone(),
            reason: reason.to_owned(),
            author: before.map_or_else(|| by.name.clone(), |silence| silence.author.clone()),
            updated: now,
            starts_at,
            ends_at: spec.ends_at,
            until_resolved: spec.until_resolved,
            twins,
            state: SilenceState::Pending,
            ends_soon: false,
            hides: 0,
            hides_findings: 0,
            hidden_total: 0,
        };
        silence.state = silence.state_at(now);
        Ok(silence)
    }

    /// The silence as it is once somebody ends it now.
    pub fn ended(&self, id: SilenceId, now: Time) -> Result<Silence, Refusal> {
        let silence = self.lasting(id, now, "nothing is left to end")?;
        Ok(Silence {
            ends_at: now,
            starts_at: silence.starts_at.min(now),
            updated: now,
            state: SilenceState::Expired,
            ends_soon: false,
            hides: 0,
            hides_findings: 0,
            hidden_total: 0,
            ..silence.clone()
        })
    }

    /// One that is not over; of one that is, why nothing can be done to it.
    fn lasting(&self, silence: SilenceId, now: Time, why: &str) -> Result<&Silence, Refusal> {
        let held = self
            .held
            .get(&silence)
            .ok_or(Refusal::NoSilence { silence })?;
        if held.state_at(now) == SilenceState::Expired {
            return Err(Refusal::State {
                what: silence.to_string(),
                state: "over already".to_owned(),
                why: why.to_owned(),
            });
        }
        Ok(held)
    }

    /// Puts a silence in force as it was decided.
    pub fn put(&mut self, mut silence: Silence) {
        let id = silence.id;
        self.last = self.last.max(id.0);
        if let Some(before) = self.held.get(&id) {
            (silence.hides, silence.hidden_total) = (before.hides, before.hidden_total);
            silence.hides_findings = before.hides_findings;
        }
        self.held.insert(id, silence);
        self.changed.insert(id);
        while self.held.len() > SILENCES_MAX
            && let Some(oldest) = self.expired().min().map(|(_, id)| id)
        {
            self.forget(oldest);
        }
        self.reindex();
    }

    /// Takes a silence that the journal holds; [`Self::restored`] puts all of them in force at once.
    pub fn restore(&mut self, silence: &Silence) {
        self.last = self.last.max(silence.id.0);
        self.held.insert(silence.id, silence.clone());
        if self.held.len() > 2 * SILENCES_MAX {
            self.drop_over(silence.updated);
        }
    }

    /// The journal is read: what is long over is not taken, the rest is in force.
    pub fn restored(&mut self, now: Time) {
        let latest = self.held.values().map(|silence| silence.updated).max();
        self.drop_over(latest.map_or(now, |latest| latest.max(now)));
        self.changed = self.held.keys().copied().collect();
        self.reindex();
    }

    /// Drops those that nobody was shown since the start and that are over for long, or too many.
    fn drop_over(&mut self, now: Time) {
        self.held
            .retain(|_, silence| silence.ends_at.since(now) >= -kept_ms(silence));
        let over = self.held.values();
        let over = over.filter(|silence| silence.state_at(now) == SilenceState::Expired);
        let mut over: Vec<(Time, SilenceId)> = over.map(|s| (s.ends_at, s.id)).collect();
        over.sort_unstable();
        let excess = self.held.len().saturating_sub(SILENCES_MAX);
        for (_, id) in over.into_iter().take(excess) {
            self.held.remove(&id);
        }
    }

    /// Those over, with their ends.
    fn expired(&self) -> impl Iterator<Item = (Time, SilenceId)> {
        self.held
            .values()
            .filter(|silence| silence.state == SilenceState::Expired)
            .map(|silence| (silence.ends_at, silence.id))
    }

    fn forget(&mut self, id: SilenceId) {
        self.held.remove(&id);
        self.changed.remove(&id);
        self.gone.push(id);
    }

    fn reindex(&mut self) {
        self.index = MatchIndex::default();
        for silence in self.held.values() {
            if silence.state == SilenceState::Active {
                self.index.add(silence.id.0, &silence.matchers);
            }
        }
    }

    /// The silence of this kind that covers `labels`, the one that lasts longest.
    pub fn covering(&self, labels: &Labels, kind: SilenceKind) -> Option<&Silence> {
        self.index
            .candidates(labels)
            .filter_map(|key| self.held.get(&SilenceId(key)))
            .filter(|silence| silence.kind == kind && all_fit(&silence.matchers, labels))
            .max_by_key(|silence| (silence.ends_at, silence.id))
    }

    /// Whether any holds anything back.
    pub fn any_active(&self) -> bool {
        let mut all = self.held.values();
        all.any(|silence| silence.state == SilenceState::Active)
    }

    /// One silence.
    pub fn get(&self, id: SilenceId) -> Option<&Silence> {
        self.held.get(&id)
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = &Silence> {
        self.held.values()
    }

    /// An alert is held back by it.
    pub fn note_hidden(&mut self, id: SilenceId) {
        if let Some(silence) = self.held.get_mut(&id) {
            silence.hides += 1;
            self.changed.insert(id);
        }
    }

    /// An alert that it did not hold back before is held back by it.
    pub fn count_hidden(&mut self, id: SilenceId) {
        if let Some(silence) = self.held.get_mut(&id) {
            silence.hidden_total += 1;
        }
    }

    /// An alert is not held back by it any more.
    pub fn note_freed(&mut self, id: SilenceId) {
        if let Some(silence) = self.held.get_mut(&id) {
            silence.hides = silence.hides.saturating_sub(1);
            self.changed.insert(id);
        }
    }

    /// A finding is kept from opening an incident by it.
    pub fn note_finding_hidden(&mut self, id: SilenceId) {
        if let Some(silence) = self.held.get_mut(&id) {
            silence.hides_findings += 1;
            silence.hidden_total += 1;
            self.changed.insert(id);
        }
    }

    /// A finding is not kept from that by it any more.
    pub fn note_finding_freed(&mut self, id: SilenceId) {
        if let Some(silence) = self.held.get_mut(&id) {
            silence.hides_findings = silence.hides_findings.saturating_sub(1);
            self.changed.insert(id);
        }
    }

    /// Whether it ends once all is resolved, and holds nothing back any more.
    pub fn waits_for_nothing(&self, id: SilenceId) -> bool {
        self.held.get(&id).is_some_and(|silence| {
            let is_empty = silence.hides == 0 && silence.hides_findings == 0;
            silence.until_resolved && is_empty && silence.state == SilenceState::Active
        })
    }

    /// Begins and ends what is due, and warns.
    pub fn tick(&mut self, now: Time, bounds: Bounds) -> Vec<Turn> {
        let mut turns = Vec::new();
        let mut forgotten = Vec::new();
        for silence in self.held.values_mut() {
            let state = silence.state_at(now);
            if state != silence.state {
                silence.state = state;
                silence.ends_soon = false;
                self.changed.insert(silence.id);
                turns.push(match state {
                    SilenceState::Expired => Turn::Ended(silence.id),
                    _ => Turn::Began(silence.id),
                });
            }
            let left_ms = silence.ends_at.since(now);
            let ends_soon = state == SilenceState::Active
                && (silence.hides > 0 || silence.hides_findings > 0)
                && left_ms <= warn_ms(silence, bounds);
            if ends_soon != silence.ends_soon {
                silence.ends_soon = ends_soon;
                self.changed.insert(silence.id);
            }
            if state == SilenceState::Expired && left_ms < -kept_ms(silence) {
                forgotten.push(silence.id);
            }
        }
        for id in forgotten {
            self.forget(id);
        }
        if !turns.is_empty() {
            self.reindex();
        }
        turns
    }

    /// What consoles hold otherwise since the last call.
    pub fn take_deltas(&mut self) -> Vec<Delta> {
        let gone = std::mem::take(&mut self.gone);
        let changed = std::mem::take(&mut self.changed);
        let rows = changed.iter().filter_map(|id| self.held.get(id));
        let rows = rows.map(|silence| Delta::Silence(Box::new(silence.clone())));
        gone.into_iter()
            .map(Delta::SilenceGone)
            .chain(rows)
            .collect()
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        for silence in self.held.values_mut() {
            back.past(&mut silence.updated);
            match silence.state {
                SilenceState::Pending => back.due(&mut silence.starts_at),
                _ => back.past(&mut silence.starts_at),
            }
            match silence.state {
                SilenceState::Expired => back.past(&mut silence.ends_at),
                _ => back.due(&mut silence.ends_at),
            }
            self.changed.insert(silence.id);
        }
    }
}

/// How long before its end people are warned of a silence, in milliseconds: a short one is not about to end when it begins.
fn warn_ms(silence: &Silence, bounds: Bounds) -> i64 {
    let length_ms = silence.ends_at.since(silence.starts_at);
    (i64::from(bounds.warn_s) * 1_000).min(length_ms / WARN_PART)
}

/// How long a silence that is over is kept, in milliseconds. One that ran out here ran out there as well.
fn kept_ms(silence: &Silence) -> i64 {
    let was_ended = silence.updated >= silence.ends_at;
    if was_ended && !silence.twins.is_empty() {
        KEPT_TWINNED_MS
    } else {
        KEPT_EXPIRED_MS
    }
}

fn check_matchers(matchers: &[LabelFilter]) -> Result<(), Refusal> {
    if matchers.len() > SILENCE_MATCHERS_MAX {
        return Err(refused(format!(
            "more than {SILENCE_MATCHERS_MAX} matchers"
        )));
    }
    if matchers.iter().all(LabelFilter::fits_nothing_said) {
        let why =
            "it would hide everything: give a matcher that demands a value, such as service=cart";
        return Err(refused(why.to_owned()));
    }
    Ok(())
}

fn check_times(
    now: Time,
    starts_at: Time,
    ends_at: Time,
    is_foreign: bool,
    bounds: Bounds,
) -> Result<(), Refusal> {
    if ends_at <= now {
        return Err(refused(format!("it has ended already, at {ends_at}")));
    }
    if ends_at <= starts_at {
        return Err(refused(format!(
            "it would end at {ends_at}, before it begins"
        )));
    }
    let hours_max = i64::from(bounds.hours_max);
    // What an Alertmanager took is in force there: to hide it here would not make it shorter.
    if !is_foreign && ends_at.since(starts_at.max(now)) > hours_max * HOUR_MS {
        let why = format!("it may last {hours_max} hours at most (`engine.silence_hours_max`)");
        return Err(refused(why));
    }
    Ok(())
}

fn refused(why: String) -> Refusal {
    Refusal::Silence { why }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Role;

    const NOW: Time = Time::from_secs(1_000_000);
    const BOUNDS: Bounds = Bounds {
        hours_max: 24,
        warn_s: 600,
    };

    fn mia() -> Actor {
        Actor {
            name: "mia".to_owned(),
            role: Role::Responder,
        }
    }

    fn spec(matchers: &str, minutes: i64) -> SilenceSpec {
        SilenceSpec {
            id: None,
            kind: SilenceKind::Silence,
            matchers: LabelFilter::parse_all(matchers).unwrap(),
            starts_at: None,
            ends_at: NOW.plus_ms(minutes * 60_000),
            until_resolved: false,
            reason: "a deploy".to_owned(),
        }
    }

    fn put(silences: &mut Silences, spec: &SilenceSpec) -> Silence {
        let silence = silences.draft(NOW, &mia(), spec, None, BOUNDS).unwrap();
        silences.put(silence.clone());
        silence
    }

    #[test]
    fn what_cannot_be_is_refused_with_a_reason() {
        let mut silences = Silences::default();
        put(&mut silences, &spec("a=b", 60));
        let ended = silences.ended(SilenceId(1), NOW).unwrap();
        silences.put(ended);
        let draft = |spec| {
            let draft = silences.draft(NOW, &mia(), &spec, None, BOUNDS);
            draft.map_err(|refusal| refusal.to_string()).unwrap_err()
        };
        let everything = "cannot silence: it would hide everything: give a matcher that demands a value, such as service=cart";
        let cases = [
            (spec("{}", 60), everything),
            (spec("a=~\".*\",b=\"\",c!=d", 60), everything),
            (
                spec("a=b", -1),
                "cannot silence: it has ended already, at 1970-01-12T13:45:40.000Z",
            ),
            (
                spec("a=b", 24 * 60 + 1),
                "cannot silence: it may last 24 hours at most (`engine.silence_hours_max`)",
            ),
            (
                SilenceSpec {
                    id: Some(SilenceId(1)),
                    ..spec("a=b", 60)
                },
                "silence 1 is over already: it changes no more; make a new one",
            ),
            (
                SilenceSpec {
                    id: Some(SilenceId(9)),
                    ..spec("a=b", 60)
                },
                "there is no silence 9",
            ),
        ];
        for (spec, why) in cases {
            assert_eq!(draft(spec), why);
        }
        assert!(
            silences
                .draft(
                    NOW,
                    &mia(),
                    &spec("a=b", 24 * 60 + 1),
                    Some(&SilenceTwin {
                        alertmanager: "main".to_owned(),
                        id: "x".to_owned()
                    }),
                    BOUNDS
                )
                .is_ok(),
            "what another took is as long as it is"
        );
    }

    #[test]
    fn a_short_silence_does_not_end_soon_from_the_beginning() {
        let mut silences = Silences::default();
        let id = put(&mut silences, &spec("a=b", 10)).id;
        silences.note_hidden(id);
        let mut ends_soon = |minutes: i64| {
            silences.tick(NOW.plus_ms(minutes * 60_000), BOUNDS);
            silences.get(id).unwrap().ends_soon
        };
        assert!(!ends_soon(1));
        assert!(!ends_soon(7));
        assert!(ends_soon(8));
    }

    #[test]
    fn time_begins_warns_and_ends() {
        let mut silences = Silences::default();
        let later = SilenceSpec {
            starts_at: Some(NOW.plus_ms(60_000)),
            ..spec("a=b", 30)
        };
        assert_eq!(put(&mut silences, &later).state, SilenceState::Pending);
        let id = SilenceId(1);
        let labels = Labels::from_pairs([("a", "b")]).unwrap();
        let at = |minutes: i64| NOW.plus_ms(minutes * 60_000);
        assert_eq!(silences.covering(&labels, SilenceKind::Silence), None);
        assert_eq!(silences.tick(at(1), BOUNDS), [Turn::Began(id)]);
        assert!(silences.covering(&labels, SilenceKind::Silence).is_some());
        assert_eq!(silences.covering(&labels, SilenceKind::Maintenance), None);
        assert_eq!(silences.tick(at(25), BOUNDS), []);
        assert!(!silences.get(id).unwrap().ends_soon, "it hides nothing");
        silences.note_hidden(id);
        assert_eq!(silences.tick(at(26), BOUNDS), []);
        assert!(silences.get(id).unwrap().ends_soon);
        assert_eq!(silences.tick(at(30), BOUNDS), [Turn::Ended(id)]);
        assert_eq!(silences.covering(&labels, SilenceKind::Silence), None);
        silences.take_deltas();
        silences.tick(at(30 + 24 * 60 + 1), BOUNDS);
        assert_eq!(silences.take_deltas(), [Delta::SilenceGone(id)]);
    }

    #[test]
    fn a_change_keeps_its_author_and_its_beginning() {
        let mut silences = Silences::default();
        put(&mut silences, &spec("a=b", 60));
        let tom = Actor {
            name: "tom".to_owned(),
            role: Role::Responder,
        };
        let changed = SilenceSpec {
            id: Some(SilenceId(1)),
            ..spec("a=b,c=d", 90)
        };
        let later = NOW.plus_ms(60_000);
        let silence = silences.draft(later, &tom, &changed, None, BOUNDS).unwrap();
        assert_eq!(
            (silence.author.as_str(), silence.starts_at, silence.updated),
            ("mia", NOW, later)
        );
        assert_eq!(silence.matchers.len(), 2);
    }

    #[test]
    fn the_longest_of_many_covers() {
        let mut silences = Silences::default();
        for minutes in [10, 30, 20] {
            put(&mut silences, &spec("a=b", minutes));
        }
        let labels = Labels::from_pairs([("a", "b")]).unwrap();
        let covering = silences.covering(&labels, SilenceKind::Silence).unwrap();
        assert_eq!(covering.id, SilenceId(2));
    }

    #[test]
    fn what_a_person_ended_is_known_while_an_alertmanager_may_have_it() {
        let day_ms = 24 * 3_600_000;
        for (twins, kept_days) in [(0, 1), (1, 30)] {
            let mut silences = Silences::default();
            let mut silence = put(&mut silences, &spec("a=b", 60));
            silence.twins = (0..twins).map(twin).collect();
            silences.put(silence);
            let ended = silences.ended(SilenceId(1), NOW).unwrap();
            silences.put(ended);
            silences.tick(NOW.plus_ms(kept_days * day_ms), BOUNDS);
            assert!(silences.get(SilenceId(1)).is_some(), "{twins} twins");
            silences.tick(NOW.plus_ms(kept_days * day_ms + 1), BOUNDS);
            assert_eq!(silences.get(SilenceId(1)), None, "{twins} twins");
        }
    }

    fn twin(nth: usize) -> SilenceTwin {
        SilenceTwin {
            alertmanager: format!("am{nth}"),
            id: "x".to_owned(),
        }
    }

    #[test]
    fn twins_are_bounded() {
        let mut silences = Silences::default();
        let mut silence = put(&mut silences, &spec("a=b", 60));
        silence.twins = (0..TWINS_MAX).map(twin).collect();
        silences.put(silence);
        let again = SilenceSpec {
            id: Some(SilenceId(1)),
            ..spec("a=b", 60)
        };
        let draft = |nth| silences.draft(NOW, &mia(), &again, Some(&twin(nth)), BOUNDS);
        assert!(draft(0).is_ok(), "one that is known changes");
        let why = "cannot silence: it is in 16 Alertmanagers already";
        assert_eq!(draft(TWINS_MAX).unwrap_err().to_string(), why);
    }

    #[test]
    fn what_is_long_over_is_not_restored() {
        let mut made = Silences::default();
        let old = put(&mut made, &spec("a=b", 60));
        let new = put(&mut made, &spec("c=d", 24 * 60));
        let mut silences = Silences::default();
        silences.restore(&old);
        silences.restore(&new);
        silences.restored(NOW.plus_ms(26 * 3_600_000));
        assert_eq!(silences.iter().collect::<Vec<_>>(), [&new]);
        let labels = Labels::from_pairs([("c", "d")]).unwrap();
        assert!(silences.covering(&labels, SilenceKind::Silence).is_some());
        assert_eq!(put(&mut silences, &spec("e=f", 1)).id, SilenceId(3));
    }
}
