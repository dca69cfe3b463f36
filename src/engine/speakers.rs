//! Who speaks through each source, entity by entity: what of it was refused, how often it paused, and how it speaks
//! where no series tells.
//!
//! Counted since the start, and no part of a checkpoint: nothing is judged by it. It takes room by the entity and
//! not by the series, and a sample that is taken costs nothing here.

use std::collections::BTreeMap;

use super::entities::{ENTITIES_MAX, Entities, EntityIx};
use super::intake::{Intake, SeriesIx, SourceIx};
use super::refusals::Refused;
use super::set_back::SetBack;
use crate::model::{EntityId, Heaviest, Lags, Time};

/// Pairs of an entity and a source at once; what more there are is counted by its source alone.
const SPEAKERS_MAX: usize = 2 * ENTITIES_MAX;
/// What comes within so long is one delivery, in milliseconds.
const DELIVERY_MS: i64 = 1_000;
/// Deliveries until somebody is expected to go on.
const WARM_UP: u32 = 20;
/// Lines and spans are missed after this many usual pauses …
const GAP_PAUSES: i64 = 12;
/// … and at least so long, in milliseconds: who has nothing to do has nothing to say.
const GAP_MS_MIN: i64 = 10 * 60_000;
/// What the latest weighs in what is usual: one part of this many.
const WEIGHT: i64 = 8;
/// Length of a minute, in milliseconds.
const MINUTE_MS: i64 = 60_000;

/// Whose a signal is that was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Whose {
    /// An entity that is known.
    Known(EntityIx),
    /// One that is not: what is refused makes nobody known.
    Unknown(EntityId),
}

/// What an entity says through a source, beside samples.
#[derive(Clone, Copy, Debug)]
pub enum Said {
    /// Something that was measured or written then, and is told as it happens.
    Then(Time),
    /// Something that is told once it happens: nobody waits for the next.
    Event,
}

/// How often something was refused, by reason.
pub type Counts = [u64; Refused::ALL.len()];

/// One entity, as one source tells of it.
#[derive(Debug)]
pub struct Speaker {
    /// Which source.
    pub source: SourceIx,
    /// Its series that are judged.
    series: u32,
    /// Those of them that are silent.
    silent: u32,
    /// How often it fell silent, while its source went on, and spoke again.
    pub gaps: u32,
    refused: Option<Box<Counts>>,
    voice: Option<Box<Voice>>,
}

/// How lines, spans, alerts and changes of an entity come.
#[derive(Debug)]
pub struct Voice {
    /// How old they are when they come; of what has such an age.
    pub lags: Lags,
    /// When the last of it came.
    pub heard: Time,
    /// Usual time from one delivery to the next, in milliseconds; 0 before the second.
    pub pause_ms: i64,
    deliveries: u32,
    /// When the last delivery began.
    began: Time,
    minute: Time,
    in_minute: u32,
    per_minute: Option<f32>,
}

/// What is counted of a source as a whole.
#[derive(Debug, Default)]
struct OfSource {
    refused: Counts,
    /// What was refused last for what it says, and what for want of room; each with when.
    refused_last: [Option<(Refused, Time)>; 2],
    /// Who is not known, and why it was refused.
    unknown: Heaviest<(EntityId, Refused)>,
    /// When it last brought anything.
    heard: Time,
    /// When it spoke again after a silence of its own: nobody was heard through it before.
    resumed: Time,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Speakers {
    /// By place of the entity.
    rows: Vec<Vec<Speaker>>,
    len: usize,
    sources: BTreeMap<SourceIx, OfSource>,
    /// When the engine itself last came back from a pause.
    resumed: Time,
}

impl Whose {
    /// Whose `id` is.
    pub fn of(id: EntityId, entities: &Entities) -> Self {
        match entities.find(&id) {
            Some(ix) => Self::Known(ix),
            None => Self::Unknown(id),
        }
    }
}

impl Speakers {
    /// An entity has one more series to judge.
    pub fn add_series(&mut self, source: SourceIx, entity: EntityIx) {
        if let Some(speaker) = self.speaker(source, entity) {
            speaker.series += 1;
        }
    }

    /// A series of an entity retired.
    pub fn drop_series(&mut self, source: SourceIx, entity: EntityIx, was_silent: bool) {
        if let Some(speaker) = self.known(source, entity) {
            speaker.series = speaker.series.saturating_sub(1);
            speaker.silent = speaker.silent.saturating_sub(u32::from(was_silent));
        }
    }

    /// A series of an entity fell silent, while its source goes on.
    pub fn fell_silent(&mut self, source: SourceIx, entity: EntityIx) {
        if let Some(speaker) = self.known(source, entity) {
            speaker.silent += 1;
        }
    }

    /// A series that had fallen silent speaks again; with the first of them the whole entity does.
    pub fn woke(&mut self, source: SourceIx, entity: EntityIx) {
        if let Some(speaker) = self.known(source, entity) {
            speaker.gaps += u32::from(speaker.silent > 0 && speaker.silent >= speaker.series);
            speaker.silent = speaker.silent.saturating_sub(1);
        }
    }

    /// A source brought something, of whatever kind: before a silence of its own is over, nobody can be heard
    /// through it.
    pub fn delivered(&mut self, source: SourceIx, now: Time) {
        let of = self.sources.entry(source).or_default();
        if now.since(of.heard) > GAP_MS_MIN {
            of.resumed = now;
        }
        of.heard = now;
    }

    /// Something other than a sample came of an entity.
    pub fn heard(&mut self, source: SourceIx, entity: EntityIx, said: Said, now: Time) {
        let resumed = self
            .sources
            .get(&source)
            .map_or(Time::ZERO, |of| of.resumed);
        let resumed = resumed.max(self.resumed);
        if let Some(speaker) = self.speaker(source, entity) {
            let voice = speaker
                .voice
                .get_or_insert_with(|| Box::new(Voice::new(now)));
            speaker.gaps += u32::from(voice.hear(said, now, resumed));
        }
    }

    /// A signal was not taken.
    pub fn refuse(&mut self, reason: Refused, source: SourceIx, whose: Whose, now: Time) {
        self.refuse_of_nobody(reason, source, now);
        match whose {
            Whose::Known(entity) => {
                if let Some(speaker) = self.speaker(source, entity) {
                    speaker.refused.get_or_insert_default()[reason as usize] += 1;
                }
            }
            Whose::Unknown(id) => {
                let of = self.sources.entry(source).or_default();
                of.unknown.count(&(id, reason), Clone::clone);
            }
        }
    }

    /// A signal was not taken that names no entity: it counts for its source.
    pub fn refuse_of_nobody(&mut self, reason: Refused, source: SourceIx, now: Time) {
        let of = self.sources.entry(source).or_default();
        of.refused[reason as usize] += 1;
        of.refused_last[usize::from(reason.is_drop())] = Some((reason, now));
    }

    /// A source was blind until now: the silence was its own, and nobody's of whom it tells.
    pub fn resume(&mut self, source: SourceIx, now: Time) {
        self.sources.entry(source).or_default().resumed = now;
    }

    /// The engine itself was away until now: nobody was silent, nobody was heard.
    pub fn resume_all(&mut self, now: Time) {
        self.resumed = now;
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        let voices = self.rows.iter_mut().flatten();
        for voice in voices.filter_map(|speaker| speaker.voice.as_mut()) {
            for at in [&mut voice.began, &mut voice.heard, &mut voice.minute] {
                back.past(at);
            }
        }
        for of in self.sources.values_mut() {
            back.past(&mut of.heard);
            back.past(&mut of.resumed);
            for (_, at) in of.refused_last.iter_mut().flatten() {
                back.past(at);
            }
        }
        self.resumed = back.to;
    }

    /// Forgets entities whose places are not marked in `used`.
    pub fn retire(&mut self, used: &[bool]) {
        for (row, _) in self.rows.iter_mut().zip(used).filter(|(_, used)| !**used) {
            self.len -= row.len();
            *row = Vec::new();
        }
    }

    /// Counts the series of a checkpoint, and those that are silent.
    pub fn restored<'a>(intake: &Intake, silent: impl Iterator<Item = &'a SeriesIx>) -> Self {
        let mut speakers = Self::default();
        for (_, row) in intake.iter().filter(|(_, row)| row.is_judged()) {
            speakers.add_series(row.source(), row.entity);
        }
        for row in silent.map(|ix| intake.row(*ix)) {
            speakers.fell_silent(row.source(), row.entity);
        }
        speakers
    }

    /// The sources that told anything of an entity.
    pub fn of(&self, entity: EntityIx) -> impl Iterator<Item = SourceIx> {
        let row = self.rows.get(entity.0 as usize);
        row.into_iter().flatten().map(|speaker| speaker.source)
    }

    /// Everybody, in order of place.
    pub fn iter(&self) -> impl Iterator<Item = (EntityIx, &Speaker)> {
        let rows = self.rows.iter().enumerate();
        rows.flat_map(|(at, row)| row.iter().map(move |of| (EntityIx(at as u32), of)))
    }

    /// What was refused of each source, and of whom of those that are not known.
    pub fn sources(
        &self,
    ) -> impl Iterator<Item = (SourceIx, &Counts, &Heaviest<(EntityId, Refused)>)> {
        let sources = self.sources.iter();
        sources.map(|(source, of)| (*source, &of.refused, &of.unknown))
    }

    /// Sources of which something was refused: how often for which reason, and what was last for what it says, and for
    /// want of room, each with when.
    pub fn refused(
        &self,
    ) -> impl Iterator<Item = (SourceIx, &Counts, [Option<(Refused, Time)>; 2])> {
        let sources = self.sources.iter();
        let refused = sources.filter(|(_, of)| of.refused_last.iter().any(Option::is_some));
        refused.map(|(source, of)| (*source, &of.refused, of.refused_last))
    }

    /// The row of an entity told of by a source, if it has one: what is told of somebody else makes none.
    fn known(&mut self, source: SourceIx, entity: EntityIx) -> Option<&mut Speaker> {
        let row = self.rows.get_mut(entity.0 as usize)?;
        row.iter_mut().find(|speaker| speaker.source == source)
    }

    /// The place of an entity told of by a source; `None` when there is none left.
    fn speaker(&mut self, source: SourceIx, entity: EntityIx) -> Option<&mut Speaker> {
        let at = entity.0 as usize;
        if self.rows.len() <= at {
            self.rows.resize_with(at + 1, Vec::new);
        }
        let row = &mut self.rows[at];
        if let Some(held) = row.iter().position(|speaker| speaker.source == source) {
            return row.get_mut(held);
        }
        if self.len >= SPEAKERS_MAX {
            return None;
        }
        self.len += 1;
        // Most are told of by one source alone.
        row.reserve_exact(1);
        row.push(Speaker::new(source));
        row.last_mut()
    }
}

impl Speaker {
    const fn new(source: SourceIx) -> Self {
        Self {
            source,
            series: 0,
            silent: 0,
            gaps: 0,
            refused: None,
            voice: None,
        }
    }

    /// How often it was refused, by reason; those that occurred.
    pub fn refused(&self) -> impl Iterator<Item = (Refused, u64)> {
        let counts = self.refused.as_deref().into_iter();
        counts.flat_map(occurred)
    }

    /// How it speaks beside samples, if it does.
    pub fn voice(&self) -> Option<&Voice> {
        self.voice.as_deref()
    }
}

/// The reasons that occurred, and how often.
pub fn occurred(counts: &Counts) -> impl Iterator<Item = (Refused, u64)> {
    let counts = Refused::ALL.into_iter().zip(counts.iter().copied());
    counts.filter(|(_, count)| *count > 0)
}

impl Voice {
    const fn new(now: Time) -> Self {
        Self {
            lags: Lags::new(),
            heard: now,
            pause_ms: 0,
            deliveries: 0,
            began: now,
            minute: now,
            in_minute: 0,
            per_minute: None,
        }
    }

    /// Signals in a minute, usually; 0 before the first minute is over.
    pub fn per_minute(&self) -> f64 {
        f64::from(self.per_minute.unwrap_or(0.0))
    }

    /// Takes one signal; whether it ends a silence that was longer than usual. Before `resumed` nobody was heard.
    fn hear(&mut self, said: Said, now: Time, resumed: Time) -> bool {
        self.count(now);
        let before = std::mem::replace(&mut self.heard, now);
        let Said::Then(at) = said else {
            return false;
        };
        self.lags.hear(now.since(at));
        let silent_ms = now.since(before.max(resumed));
        let patience_ms = (self.pause_ms * GAP_PAUSES).max(GAP_MS_MIN);
        let was_missed = self.deliveries >= WARM_UP && silent_ms > patience_ms;
        self.note_delivery(now, patience_ms);
        was_missed
    }

    /// Learns the usual pause; one long silence must not teach patience with all later ones.
    fn note_delivery(&mut self, now: Time, patience_ms: i64) {
        let pause_ms = now.since(self.began).min(patience_ms);
        if self.deliveries > 0 && pause_ms < DELIVERY_MS {
            return;
        }
        self.pause_ms = match (self.deliveries, self.pause_ms) {
            (0, _) => 0,
            (_, 0) => pause_ms,
            (_, usual_ms) => usual_ms + (pause_ms - usual_ms) / WEIGHT,
        };
        self.deliveries = self.deliveries.saturating_add(1);
        self.began = now;
    }

    fn count(&mut self, now: Time) {
        let passed_ms = now.since(self.minute);
        if passed_ms >= MINUTE_MS {
            let seen = self.in_minute as f32 * MINUTE_MS as f32 / passed_ms as f32;
            let before = self.per_minute.unwrap_or(seen);
            self.per_minute = Some(before + (seen - before) / WEIGHT as f32);
            (self.minute, self.in_minute) = (now, 0);
        }
        self.in_minute = self.in_minute.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_of_entities_is_bounded_and_goes_with_them() {
        let mut speakers = Speakers::default();
        let entities = || (0..ENTITIES_MAX).map(|at| EntityIx(at as u32));
        for source in [0, 1, 2].map(SourceIx) {
            entities().for_each(|entity| speakers.add_series(source, entity));
        }
        assert_eq!(speakers.iter().count(), SPEAKERS_MAX);
        let whose = || Whose::Known(EntityIx(7));
        speakers.refuse(Refused::Late, SourceIx(2), whose(), Time::ZERO);
        let of_last = |speakers: &Speakers| speakers.sources().last().map(|(_, of, _)| *of);
        let counted = of_last(&speakers).unwrap()[Refused::Late as usize];
        assert_eq!(counted, 1, "of its source, where the entity has no place");

        let used: Vec<bool> = entities().map(|ix| ix.0 % 2 == 0).collect();
        speakers.retire(&used);
        assert_eq!(speakers.iter().count(), SPEAKERS_MAX / 2);
        // Room now, but nothing was ever counted of this one: a part would be told as the whole.
        speakers.fell_silent(SourceIx(2), EntityIx(7));
        speakers.woke(SourceIx(2), EntityIx(7));
        speakers.drop_series(SourceIx(2), EntityIx(7), true);
        assert_eq!(speakers.iter().count(), SPEAKERS_MAX / 2);
        speakers.refuse(Refused::Late, SourceIx(2), whose(), Time::ZERO);
        let late = speakers
            .iter()
            .flat_map(|(ix, of)| of.refused().map(move |why| (ix, why)));
        let late: Vec<_> = late.collect();
        assert_eq!(late, [(EntityIx(7), (Refused::Late, 1))]);
    }

    #[test]
    fn a_pause_is_a_gap_only_when_it_is_longer_than_usual_and_nobodys_else() {
        const START: Time = Time::from_secs(1_768_392_000);
        // A line every so many seconds, then a pause of so many minutes; how many gaps that is.
        let cases = [
            (5, 9, 0),
            (5, 11, 1),
            (60, 11, 0),
            (60, 13, 1),
            (600, 100, 0),
            (600, 121, 1),
        ];
        for (every_s, pause_min, gaps) in cases {
            for (goes_on, gaps) in [(true, gaps), (false, 0)] {
                let mut speakers = Speakers::default();
                let (source, entity) = (SourceIx(0), EntityIx(0));
                let hear = |speakers: &mut Speakers, s: i64| {
                    let now = START.plus_ms(s * 1_000);
                    speakers.delivered(source, now);
                    speakers.heard(source, entity, Said::Then(now), now);
                    speakers.iter().map(|(_, of)| of.gaps).sum::<u32>()
                };
                let before = (0..40).map(|n| hear(&mut speakers, n * every_s)).last();
                assert_eq!(before, Some(0));
                let until_s = 39 * every_s + pause_min * 60 + every_s;
                let others = (39 * every_s..until_s).step_by(60).skip(1);
                for s in others.filter(|_| goes_on) {
                    speakers.delivered(source, START.plus_ms(s * 1_000));
                }
                let after = hear(&mut speakers, until_s);
                assert_eq!(after, gaps, "{every_s} s, {pause_min} min, {goes_on}");
            }
        }
    }
}
