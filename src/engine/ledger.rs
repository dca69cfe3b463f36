//! The ledger of who should speak: counted when somebody asks, from what is kept anyway.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use super::Engine;
use super::clocks::Clock;
use super::entities::{EntityIx, resolve};
use super::intake::{SeriesRow, SourceIx};
use super::refusals::{Corrected, Refused};
use super::speakers::{Speaker, Voice, Whose, occurred};
use crate::model::{
    Count, ENTITIES_FULL, EntityId, EntityLedger, LEDGER_ENTITIES_MAX, LEDGER_ENTITIES_OF_ONE_MAX,
    LEDGER_METRICS_MAX, LastOf, LastRefusal, Ledger, Lost, RefusedOf, SourceId, SourceLedger,
    Spoke, Time, freshest, median,
};

/// A clock that is ahead by more than this is told, in milliseconds: nothing comes before it is measured.
const AHEAD_MS_MAX: i64 = 2_000;
/// The same of one that is behind the others of its source: senders wait before they send, by turns.
const BEHIND_MS_MAX: i64 = 20_000;
/// What is usual of a source excuses nobody who is late by more than this and that, in milliseconds: with a single sender, or
/// a few, there are no others to tell a clock by.
const USUAL_MS_MAX: i64 = 100_000;
/// A minute, in milliseconds.
const MINUTE_MS: f64 = 60_000.0;
/// Why signals were lost before the engine could take them.
const NO_ROOM: &str = "the queue to the engine was full";

/// One source, summed up.
#[derive(Default)]
struct OfSource<'a> {
    entities: BTreeMap<EntityIx, Sum<'a>>,
    /// Those of whom nothing was ever taken.
    unknown: BTreeMap<EntityId, Sum<'a>>,
    /// The clocks of those who send lines and spans.
    clocks: Vec<(&'a EntityId, Clock)>,
    refused: Vec<Count>,
    unplaced: Vec<Count>,
}

/// What is summed up of an entity as one source tells of it.
#[derive(Clone, Default)]
struct Sum<'a> {
    heard: Time,
    /// Of its series; `None` without any.
    every_ms: Option<u32>,
    per_minute: f64,
    series: u64,
    silent: u64,
    /// Of its series that speak; of a clock, itself.
    lags_ms: Vec<i64>,
    rejected: u64,
    dropped: u64,
    speaker: Option<&'a Speaker>,
    /// Why it was refused, where the speaker does not count it.
    apart: Vec<(&'static str, u64)>,
}

impl Engine {
    /// Who should speak, and does. It looks at every series once: some milliseconds for a hundred thousand.
    /// `lost` found no room on its way here.
    pub fn ledger(&self, lost: &[Lost]) -> Ledger {
        self.ledger_where(|_| true, LEDGER_ENTITIES_MAX, lost)
    }

    /// The same of one source, with many more of the entities it tells of.
    pub fn ledger_of(&self, source: &str, lost: &[Lost]) -> Ledger {
        self.ledger_where(|name| name == source, LEDGER_ENTITIES_OF_ONE_MAX, lost)
    }

    /// How each source spoke so far that was ever heard, also before a restart.
    pub fn spoke(&self) -> impl Iterator<Item = (&SourceId, Spoke)> {
        self.silence.spoke()
    }

    /// What was refused since the start, by reason.
    pub fn refusals(&self) -> impl Iterator<Item = (Refused, u64)> {
        self.refusals.iter()
    }

    /// What was refused of each source since the start; those of which nothing was are left out.
    pub fn refused_by_source(&self) -> impl Iterator<Item = (&SourceId, RefusedOf)> {
        self.speakers.refused().map(|(source, counts, last)| {
            let of = |is_drop: bool| {
                let all = occurred(counts).filter(|(why, _)| why.is_drop() == is_drop);
                all.map(|(_, n)| n).sum()
            };
            let [rejected, dropped] = last.map(|last| {
                let (why, at) = last?;
                let (what, n) = (why.as_str(), counts[why as usize]);
                let why = format!("{what} ({n} so far)").into();
                Some(LastRefusal { at, why })
            });
            let refused = RefusedOf {
                rejected: of(false),
                dropped: of(true),
                last_of: LastOf {
                    rejected,
                    dropped,
                    sent_back: None,
                },
            };
            (self.silence.source(source), refused)
        })
    }

    /// What was taken otherwise than it was told since the start.
    pub fn corrections(&self) -> impl Iterator<Item = (Corrected, u64)> {
        self.refusals.corrections()
    }

    /// The source with the most samples that found no place among the series, and its metric with the most.
    pub fn worst_offender(&self) -> Option<(&str, &str)> {
        let (source, metric) = self.refusals.worst_offender()?;
        Some((&self.silence.source(source).0, metric))
    }

    fn ledger_where(
        &self,
        is_asked: impl Fn(&str) -> bool,
        told_max: usize,
        lost: &[Lost],
    ) -> Ledger {
        let mut sources = BTreeMap::<SourceIx, OfSource<'_>>::new();
        self.sum_series(&mut sources);
        self.sum_speakers(&mut sources);
        let named = sources
            .into_iter()
            .map(|(source, of)| (&*self.silence.source(source).0, of));
        let mut named: BTreeMap<&str, OfSource<'_>> = named.collect();
        self.sum_lost(lost, &mut named);
        let asked = named.into_iter().filter(|(name, _)| is_asked(name));
        let told = asked.map(|(name, of)| self.tell_source(name, &of, told_max));
        let sources = told.collect();
        let refused = self.refusals();
        let refused = refused.map(|(why, n)| count(why.as_str(), n));
        let nameless = Some(self.entities.refused()).filter(|n| *n > 0);
        let nameless = nameless.map(|n| count(ENTITIES_FULL, n));
        let corrected = self.corrections();
        Ledger {
            sources,
            refused: refused.chain(nameless).collect(),
            corrected: corrected.map(|(what, n)| count(what.as_str(), n)).collect(),
        }
    }

    fn sum_series<'a>(&'a self, sources: &mut BTreeMap<SourceIx, OfSource<'a>>) {
        for (_, row) in self.intake.iter().filter(|(_, row)| row.is_judged()) {
            let of = sources.entry(row.source()).or_default();
            of.entities.entry(row.entity).or_default().add(row);
        }
        // One all of whose series found no place is told of, too.
        for (source, offenders) in self.refusals.offenders() {
            let worst = offenders.into_iter().take(LEDGER_METRICS_MAX);
            let worst = worst.map(|(metric, n)| count(metric, n));
            sources.entry(source).or_default().unplaced = worst.collect();
        }
    }

    fn sum_speakers<'a>(&'a self, sources: &mut BTreeMap<SourceIx, OfSource<'a>>) {
        for (entity, speaker) in self.speakers.iter() {
            let of = sources.entry(speaker.source).or_default();
            of.entities.entry(entity).or_default().hear(speaker);
        }
        for (source, counts, unknown) in self.speakers.sources() {
            let of = sources.entry(source).or_default();
            of.refused = occurred(counts)
                .map(|(why, n)| count(why.as_str(), n))
                .collect();
            for ((id, why), n) in unknown.iter() {
                let whose = Whose::of(id.clone(), &self.entities);
                of.sum_of(whose).refuse(why.as_str(), why.is_drop(), n);
            }
        }
        for (source, sender, clock) in self.clocks.of_late(self.now) {
            let of = sources.entry(source).or_default();
            of.clocks.push((sender, clock));
        }
    }

    /// Also of a source of which nothing was ever taken.
    fn sum_lost<'a>(&self, lost: &'a [Lost], sources: &mut BTreeMap<&'a str, OfSource<'a>>) {
        for lost in lost {
            if let Some(resolved) = resolve(&lost.labels) {
                let whose = Whose::of(resolved.entity, &self.entities);
                let of = sources.entry(&lost.source).or_default();
                of.sum_of(whose).refuse(NO_ROOM, true, lost.count);
            }
        }
    }

    fn tell_source(&self, name: &str, of: &OfSource<'_>, told_max: usize) -> SourceLedger {
        let known = of.entities.iter();
        let known = known.map(|(ix, sum)| (self.entities.id(*ix), sum));
        let entities: Vec<_> = known.chain(of.unknown.iter()).collect();
        let senders: Vec<(&EntityId, Sum<'_>)> = self.senders(of);
        let senders = senders.iter().map(|(id, sum)| (*id, sum));
        let timed: Vec<_> = entities.iter().copied().chain(senders).collect();
        let lag_ms = usual_lag_ms(&timed);
        let off_ms = |sum: &Sum<'_>| sum.off_ms(lag_ms.unwrap_or(0));
        let odd = timed.into_iter().filter(|(_, sum)| off_ms(sum) > 0);
        let missed = entities.iter().copied().filter(|(_, sum)| sum.silent > 0);
        SourceLedger {
            name: name.to_owned(),
            entities: entities.len() as u64,
            series: entities.iter().map(|(_, sum)| sum.series).sum(),
            silent: entities.iter().map(|(_, sum)| sum.silent).sum(),
            missed: first(missed.collect(), LEDGER_ENTITIES_MAX, |(_, a), (_, b)| {
                b.silent.cmp(&a.silent).then(a.heard.cmp(&b.heard))
            }),
            lag_ms,
            odd_clocks: first(odd.collect(), LEDGER_ENTITIES_MAX, |(_, a), (_, b)| {
                off_ms(b).cmp(&off_ms(a))
            }),
            told: first(entities, told_max, |(a_id, a), (b_id, b)| {
                a.trouble().cmp(&b.trouble()).then_with(|| a_id.cmp(b_id))
            }),
            refused: of.refused.clone(),
            unplaced: of.unplaced.clone(),
        }
    }

    /// Who sends lines and spans, as far as no series tells of its clock.
    fn senders<'a>(&self, of: &OfSource<'a>) -> Vec<(&'a EntityId, Sum<'a>)> {
        let is_told = |sender: &EntityId| {
            let known = self.entities.find(sender);
            let sum = known.and_then(|ix| of.entities.get(&ix));
            sum.is_some_and(|sum| !sum.lags_ms.is_empty())
        };
        let senders = of.clocks.iter().filter(|(sender, _)| !is_told(sender));
        let summed = senders.map(|(sender, clock)| {
            let sum = Sum {
                heard: clock.heard,
                lags_ms: vec![clock.lag_ms],
                ..Sum::default()
            };
            (*sender, sum)
        });
        summed.collect()
    }
}

fn count(what: &str, count: u64) -> Count {
    Count {
        what: what.to_owned(),
        count,
    }
}

/// The first few in an order, told.
fn first<'a>(
    mut all: Vec<(&EntityId, &Sum<'a>)>,
    told_max: usize,
    order: impl Fn(&(&EntityId, &Sum<'a>), &(&EntityId, &Sum<'a>)) -> Ordering,
) -> Vec<EntityLedger> {
    if all.len() > told_max {
        all.select_nth_unstable_by(told_max, &order);
        all.truncate(told_max);
    }
    all.sort_by(order);
    let told = all.into_iter().map(|(id, sum)| sum.told(id.clone()));
    told.collect()
}

/// The lag of the one in the middle, of those that speak; `None` when none does.
fn usual_lag_ms(entities: &[(&EntityId, &Sum<'_>)]) -> Option<i64> {
    let mut lags: Vec<i64> = entities.iter().filter_map(|(_, of)| of.skew_ms()).collect();
    median(&mut lags)
}

impl<'a> OfSource<'a> {
    fn sum_of(&mut self, whose: Whose) -> &mut Sum<'a> {
        match whose {
            Whose::Known(ix) => self.entities.entry(ix).or_default(),
            Whose::Unknown(id) => self.unknown.entry(id).or_default(),
        }
    }
}

impl<'a> Sum<'a> {
    fn add(&mut self, row: &SeriesRow) {
        self.heard = self.heard.max(row.heard_at());
        if row.interval_ms > 0 {
            let every_ms = self.every_ms.unwrap_or(u32::MAX);
            self.every_ms = Some(every_ms.min(row.interval_ms));
            self.per_minute += MINUTE_MS / f64::from(row.interval_ms);
        }
        self.series += 1;
        self.silent += u64::from(row.is_silent);
        if !row.is_silent {
            self.lags_ms.push(row.lag_ms());
        }
    }

    fn hear(&mut self, speaker: &'a Speaker) {
        self.speaker = Some(speaker);
        for (why, n) in speaker.refused() {
            self.add_refused(why.is_drop(), n);
        }
        if let Some(voice) = speaker.voice() {
            self.heard = self.heard.max(voice.heard);
            self.per_minute += voice.per_minute();
        }
    }

    fn refuse(&mut self, why: &'static str, is_drop: bool, n: u64) {
        self.add_refused(is_drop, n);
        self.apart.push((why, n));
    }

    fn add_refused(&mut self, is_drop: bool, n: u64) {
        if is_drop {
            self.dropped += n;
        } else {
            self.rejected += n;
        }
    }

    fn voice(&self) -> Option<&'a Voice> {
        self.speaker?.voice()
    }

    fn gaps(&self) -> u32 {
        self.speaker.map_or(0, |speaker| speaker.gaps)
    }

    /// Those with most of it come first.
    fn trouble(&self) -> Reverse<(u64, u64, u32, u64)> {
        Reverse((self.dropped, self.rejected, self.gaps(), self.silent))
    }

    /// By how much its clock is behind at most, or ahead at least, in milliseconds, if its series tell.
    fn skew_ms(&self) -> Option<i64> {
        freshest(&mut self.lags_ms.clone())
    }

    /// How far its clock is ahead of ours, or behind those of the others, in milliseconds; 0 when that is no more
    /// than clocks and senders differ.
    fn off_ms(&self, usual_ms: i64) -> i64 {
        match self.skew_ms() {
            Some(lag_ms) if lag_ms < -AHEAD_MS_MAX => -lag_ms,
            Some(lag_ms) => {
                let behind_ms = lag_ms.saturating_sub(usual_ms.clamp(0, USUAL_MS_MAX));
                if behind_ms > BEHIND_MS_MAX {
                    behind_ms
                } else {
                    0
                }
            }
            None => 0,
        }
    }

    fn told(&self, entity: EntityId) -> EntityLedger {
        let of_voice = self.voice().map(|voice| voice.pause_ms);
        let pause_ms = of_voice.and_then(|ms| u32::try_from(ms).ok());
        let of_voice = self.voice().map(|voice| voice.lags);
        let lag_of_voice = of_voice.and_then(|lags| lags.middle_ms());
        let skew_of_voice = of_voice.and_then(|lags| lags.fresh_ms());
        let lag_ms = median(&mut self.lags_ms.clone());
        EntityLedger {
            entity,
            last_seen: self.heard,
            every_ms: self.every_ms.or(pause_ms).unwrap_or(0),
            per_minute: self.per_minute.round() as u64,
            series: self.series,
            silent: self.silent,
            lag_ms: lag_ms.or(lag_of_voice),
            skew_ms: self.skew_ms().or(skew_of_voice),
            gaps: u64::from(self.gaps()),
            rejected: self.rejected,
            dropped: self.dropped,
            refused: self.reasons(),
        }
    }

    /// Why it was refused, the most frequent first.
    fn reasons(&self) -> Vec<Count> {
        let counted = self.speaker.into_iter().flat_map(Speaker::refused);
        let mut reasons: BTreeMap<&'static str, u64> = counted
            .map(|(why, n): (Refused, u64)| (why.as_str(), n))
            .collect();
        for (why, n) in &self.apart {
            *reasons.entry(why).or_default() += n;
        }
        let mut reasons: Vec<Count> = reasons.into_iter().map(|(why, n)| count(why, n)).collect();
        reasons.sort_by_key(|why| Reverse(why.count));
        reasons
    }
}

#[cfg(test)]
mod tests;
