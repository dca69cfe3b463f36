//! The ledger of who should speak: counted when somebody asks, from what is kept anyway.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use super::Engine;
use super::clocks::Clock;
use super::entities::{EntityIx, resolve};
use super::intake::{SeriesRow, SourceIx};
use super::refusals::Refused;
use super::speakers::{Speaker, Voice, Whose, occurred};
use crate::model::{
    Count, EntityId, EntityLedger, LEDGER_ENTITIES_MAX, LEDGER_ENTITIES_OF_ONE_MAX,
    LEDGER_METRICS_MAX, Ledger, Lost, SourceLedger, Time,
};

/// A clock that is ahead by more than this is told, in milliseconds: nothing comes before it is measured.
const AHEAD_MS_MAX: i64 = 2_000;
/// The same of one that is behind the others of its source: senders wait before they send, by turns.
const BEHIND_MS_MAX: i64 = 20_000;
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
    last_at: Time,
    /// Of its series; `None` without any.
    every_ms: Option<u32>,
    per_minute: f64,
    series: u64,
    silent: u64,
    /// Of its series that speak, the freshest.
    lag_ms: Option<i64>,
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

    fn ledger_where(
        &self,
        is_asked: impl Fn(&str) -> bool,
        told_max: usize,
        lost: &[Lost],
    ) -> Ledger {
        let mut sources = BTreeMap::<SourceIx, OfSource<'_>>::new();
        self.sum_series(&mut sources);
        self.sum_speakers(&mut sources);
        self.sum_lost(lost, &mut sources);
        let name = |source| &*self.silence.source(source).0;
        let asked = sources
            .into_iter()
            .filter(|(source, _)| is_asked(name(*source)));
        let told = asked.map(|(source, of)| self.tell_source(name(source), &of, told_max));
        let mut sources: Vec<_> = told.collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let refused = self.refusals();
        let corrected = self.corrections();
        Ledger {
            sources,
            refused: refused.map(|(why, n)| count(why.as_str(), n)).collect(),
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

    /// A source of which nothing was ever taken has its own row alone.
    fn sum_lost(&self, lost: &[Lost], sources: &mut BTreeMap<SourceIx, OfSource<'_>>) {
        for (source, of) in sources {
            let name = &self.silence.source(*source).0;
            for lost in lost.iter().filter(|lost| *lost.source == **name) {
                if let Some(resolved) = resolve(&lost.labels) {
                    let whose = Whose::of(resolved.entity, &self.entities);
                    of.sum_of(whose).refuse(NO_ROOM, true, lost.count);
                }
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
                b.silent.cmp(&a.silent).then(a.last_at.cmp(&b.last_at))
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
            sum.is_some_and(|sum| sum.lag_ms.is_some())
        };
        let senders = of.clocks.iter().filter(|(sender, _)| !is_told(sender));
        let summed = senders.map(|(sender, clock)| {
            let sum = Sum {
                last_at: clock.last_at,
                lag_ms: Some(clock.lag_ms),
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
    let mut lags: Vec<i64> = entities.iter().filter_map(|(_, of)| of.lag_ms).collect();
    lags.sort_unstable();
    lags.get(lags.len().checked_sub(1)? / 2).copied()
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
        self.last_at = self.last_at.max(row.last_at);
        if row.interval_ms > 0 {
            let every_ms = self.every_ms.unwrap_or(u32::MAX);
            self.every_ms = Some(every_ms.min(row.interval_ms));
            self.per_minute += MINUTE_MS / f64::from(row.interval_ms);
        }
        self.series += 1;
        self.silent += u64::from(row.is_silent);
        if !row.is_silent {
            let lag_ms = self.lag_ms.unwrap_or(i64::MAX);
            self.lag_ms = Some(lag_ms.min(row.lag_ms()));
        }
    }

    fn hear(&mut self, speaker: &'a Speaker) {
        self.speaker = Some(speaker);
        for (why, n) in speaker.refused() {
            self.add_refused(why.is_drop(), n);
        }
        if let Some(voice) = speaker.voice() {
            self.last_at = self.last_at.max(voice.last_at);
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

    /// How far its clock is ahead of ours, or behind those of the others, in milliseconds; 0 when that is no more
    /// than clocks and senders differ.
    fn off_ms(&self, usual_ms: i64) -> i64 {
        match self.lag_ms {
            Some(lag_ms) if lag_ms < -AHEAD_MS_MAX => -lag_ms,
            Some(lag_ms) => {
                let behind_ms = lag_ms.saturating_sub(usual_ms.max(0));
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
        let lag_of_voice = self.voice().and_then(|voice| voice.lag_ms);
        EntityLedger {
            entity,
            last_seen: self.last_at,
            every_ms: self.every_ms.or(pause_ms).unwrap_or(0),
            per_minute: self.per_minute.round() as u64,
            series: self.series,
            silent: self.silent,
            lag_ms: self.lag_ms.or(lag_of_voice).unwrap_or(0),
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
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::EngineConfig;
    use crate::model::{
        Batch, Input, Labels, LogLine, Sample, Series, SeriesKind, Signal, SourceId, Stamped, Unit,
    };

    #[test]
    fn who_is_missed_is_named_with_its_source() {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let start_s = 1_768_392_000;
        for s in (0..600).step_by(10) {
            let at = Time::from_secs(start_s + s);
            // The cart stops after five minutes; its neighbour goes on.
            let speaking: &[&str] = if s < 300 {
                &["cart", "shop"]
            } else {
                &["shop"]
            };
            let sample = |service: &&str, name: &str| {
                let labels = Labels::from_pairs([("service", *service)]).unwrap();
                let series = Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None));
                let value = 1.0;
                Signal::Sample(Sample { series, at, value })
            };
            let signals = speaking
                .iter()
                .flat_map(|name| [sample(name, "a"), sample(name, "b")]);
            let batch = Batch {
                source: SourceId::new("remote_write"),
                signals: signals.collect(),
            };
            for input in [Input::Signals(batch), Input::Tick] {
                engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
            }
        }
        let cart = EntityLedger {
            last_seen: Time::from_secs(start_s + 290),
            every_ms: 10_000,
            per_minute: 12,
            series: 2,
            silent: 2,
            ..EntityLedger::unheard(EntityId::parse("cart"))
        };
        let shop = EntityLedger {
            entity: EntityId::parse("shop"),
            last_seen: Time::from_secs(start_s + 590),
            silent: 0,
            ..cart.clone()
        };
        let expected = SourceLedger {
            name: "remote_write".to_owned(),
            entities: 2,
            told: vec![cart.clone(), shop],
            series: 4,
            silent: 2,
            missed: vec![cart],
            lag_ms: Some(0),
            ..SourceLedger::default()
        };
        assert_eq!(engine.ledger(&[]).sources, [expected]);
        assert_eq!(engine.ledger_of("otlp", &[]).sources, []);
    }

    /// A sample of a service, of so many milliseconds before it comes.
    fn sample(service: &str, name: &str, now: Time, lag_ms: i64) -> Signal {
        let labels = Labels::from_pairs([("service", service)]).unwrap();
        let series = Arc::new(Series::new(name, labels, SeriesKind::Gauge, Unit::None));
        let (at, value) = (now.plus_ms(-lag_ms), 1.0);
        Signal::Sample(Sample { series, at, value })
    }

    fn send(engine: &mut Engine, source: &str, at: Time, signals: Vec<Signal>) {
        let source = SourceId::new(source);
        let input = Input::Signals(Batch { source, signals });
        engine.step(&Stamped { seq: 1, at, input }, &mut Vec::new());
    }

    #[test]
    fn clocks_that_are_off_are_named_by_how_far() {
        let lags = [
            ("cart", 3_000),
            ("shop", 4_000),
            ("mail", 24_000),
            ("slow", 95_000),
            ("early", -1_900),
            ("ahead", -312_000),
            ("tape", 3_500),
        ];
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let now = Time::from_secs(1_768_392_000);
        // Of two series the one that comes first says how late an entity is.
        let signals = lags.iter().flat_map(|(service, lag_ms)| {
            [("a", *lag_ms), ("b", lag_ms + 7_000)]
                .map(|(name, lag_ms)| sample(service, name, now, lag_ms))
        });
        send(&mut engine, "remote_write", now, signals.collect());
        let ledger = engine.ledger(&[]);
        let [source] = &ledger.sources[..] else {
            panic!("{ledger:?}");
        };
        let odd = source.odd_clocks.iter();
        let odd: Vec<_> = odd.map(|of| (of.entity.name(), of.lag_ms)).collect();
        assert_eq!(source.lag_ms, Some(3_500));
        assert_eq!(
            odd,
            [("ahead", -312_000), ("slow", 95_000), ("mail", 24_000)]
        );
    }

    #[test]
    fn a_flood_of_one_source_leaves_room_for_the_others_and_is_named() {
        let config = EngineConfig {
            series_max: 20,
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, Vec::new());
        let now = Time::from_secs(1_768_392_000);
        let flood = (0..40).map(|n| sample(&format!("s{n}"), "flood", now, 0));
        let few = (0..3).map(|n| sample(&format!("t{n}"), "few", now, 0));
        send(&mut engine, "statsd", now, flood.chain(few).collect());
        let calm = vec![
            sample("cart", "calm", now, 0),
            sample("cart", "quiet", now, 0),
        ];
        send(&mut engine, "otlp", now, calm);
        let more = vec![sample("cart", "more", now, 0)];
        send(&mut engine, "otlp", now, more);

        let ledger = engine.ledger(&[]);
        let count = |what: &str, count| Count {
            what: what.to_owned(),
            count,
        };
        let told = ledger.sources.iter();
        let told: Vec<_> = told
            .map(|of| (&*of.name, of.series, &of.unplaced))
            .collect();
        let of_statsd = vec![count("flood", 22), count("few", 3)];
        let of_otlp = vec![count("more", 1)];
        assert_eq!(told, [("otlp", 2, &of_otlp), ("statsd", 18, &of_statsd)]);
        let refused = [
            count("too many series", 1),
            count("too many series of one source", 25),
        ];
        assert_eq!(ledger.refused, refused);
    }

    /// What is told of an entity beside times: gaps, rejected, dropped, and why.
    fn trouble(ledger: &Ledger, source: &str) -> Vec<String> {
        let told = ledger.of_source(source).map(|of| &of.told);
        let told = told.into_iter().flatten();
        let troubled = told.filter(|of| of.gaps + of.rejected + of.dropped > 0);
        let why = |of: &EntityLedger| {
            let why = of.refused.iter();
            let why: Vec<String> = why
                .map(|why| format!("{} {}", why.count, why.what))
                .collect();
            why.join(", ")
        };
        let texts = troubled.map(|of| {
            let EntityLedger {
                entity,
                gaps,
                rejected,
                dropped,
                ..
            } = of;
            format!("{entity} {gaps}/{rejected}/{dropped}: {}", why(of))
        });
        texts.collect()
    }

    #[test]
    fn what_is_refused_is_counted_for_whom_it_is_of() {
        let config = EngineConfig {
            series_max: 4,
            ..EngineConfig::default()
        };
        let mut engine = Engine::new(config, Vec::new());
        let now = Time::from_secs(1_768_392_000);
        let late = |service, ms| sample(service, "a", now, ms);
        let signals = vec![
            late("cart", 0),
            late("cart", 0),
            late("cart", 5_000),
            late("cart", 6_000),
            late("shop", 0),
            // Known, and of another time.
            late("shop", 40 * 86_400_000),
            // Of whom nothing was ever taken.
            late("host-of-1970", 40 * 86_400_000),
            line([("service", "cart")], now.plus_ms(-40 * 86_400_000)),
            line([("colour", "red")], now),
        ];
        send(&mut engine, "remote_write", now, signals);
        let of_others = (0..3).map(|n| sample("flood", &format!("m{n}"), now, 0));
        send(&mut engine, "otlp", now, of_others.collect());

        let ledger = engine.ledger(&[]);
        let expected = [
            "service/cart 0/4/0: 2 later point already seen, 1 same point already seen, \
             1 time too far from the clock",
            "service/host-of-1970 0/1/0: 1 time too far from the clock",
            "service/shop 0/1/0: 1 time too far from the clock",
        ];
        assert_eq!(trouble(&ledger, "remote_write"), expected);
        let of_source = &ledger.of_source("remote_write").unwrap().refused;
        let of_source: Vec<_> = of_source
            .iter()
            .map(|why| (&*why.what, why.count))
            .collect();
        let expected = [
            ("time too far from the clock", 3),
            ("later point already seen", 2),
            ("same point already seen", 1),
            ("labels name no entity", 1),
        ];
        assert_eq!(of_source, expected, "also what names nobody");
        let flood = ["service/flood 0/0/1: 1 too many series"];
        assert_eq!(trouble(&ledger, "otlp"), flood);
        let refused: u64 = ledger.refused.iter().map(|why| why.count).sum();
        assert_eq!(refused, 8, "each counted once in all");
    }

    #[test]
    fn what_found_no_room_on_its_way_is_counted_for_whom_it_is_of() {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let now = Time::from_secs(1_768_392_000);
        send(
            &mut engine,
            "syslog",
            now,
            vec![line([("service", "sshd")], now)],
        );
        let lost = |source: &str, label: &str, value: &str, count| Lost {
            source: source.into(),
            labels: Labels::from_pairs([(label, value)]).unwrap(),
            count,
        };
        let lost = [
            lost("syslog", "service", "sshd", 30),
            lost("syslog", "app", "sshd", 12),
            lost("syslog", "service", "cron", 7),
            lost("syslog", "colour", "red", 5),
            lost("statsd", "service", "sshd", 9),
        ];
        let expected = [
            "service/sshd 0/0/42: 42 the queue to the engine was full",
            "service/cron 0/0/7: 7 the queue to the engine was full",
        ];
        assert_eq!(trouble(&engine.ledger(&lost), "syslog"), expected);
        assert_eq!(trouble(&engine.ledger(&lost), "statsd"), [""; 0]);
    }

    #[test]
    fn an_entity_that_falls_silent_while_its_source_goes_on_has_a_gap_once_it_is_back() {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let start_s = 1_768_392_000;
        let mut gaps = Vec::new();
        for s in (0..3_600).step_by(10) {
            let at = Time::from_secs(start_s + s);
            // The cart pauses twice; one series of the shop does, and all of them say nothing for half an hour,
            // when the source as a whole is blind.
            let is_blind = (1_500..3_300).contains(&s);
            let cart = !(300..600).contains(&s) && !(900..1_200).contains(&s);
            let part = !(600..900).contains(&s);
            let told = [
                ("cart", "a", cart),
                ("cart", "b", cart),
                ("shop", "a", part),
            ];
            let told = told.iter().chain(&[("shop", "b", true)]);
            let told = told.filter(|(_, _, speaks)| *speaks && !is_blind);
            let signals = told.map(|(service, name, _)| sample(service, name, at, 0));
            send(&mut engine, "remote_write", at, signals.collect());
            let tick = Input::Tick;
            let (seq, input) = (1, tick);
            engine.step(&Stamped { seq, at, input }, &mut Vec::new());
            let now = trouble(&engine.ledger(&[]), "remote_write");
            if gaps.last() != Some(&now) {
                gaps.push(now);
            }
        }
        let of = |texts: &[&str]| texts.iter().map(|t| (*t).to_owned()).collect::<Vec<_>>();
        let expected = [
            of(&[]),
            of(&["service/cart 1/0/0: "]),
            of(&["service/cart 2/0/0: "]),
        ];
        assert_eq!(gaps, expected);
    }

    fn line<const N: usize>(labels: [(&str, &str); N], at: Time) -> Signal {
        Signal::Log(Box::new(LogLine {
            at,
            labels: Labels::from_pairs(labels).unwrap(),
            level: None,
            text: "served".into(),
            trace: None,
            span: None,
        }))
    }

    #[test]
    fn who_sends_lines_has_a_pace_a_clock_of_its_host_and_gaps() {
        let mut engine = Engine::new(EngineConfig::default(), Vec::new());
        let start_s = 1_768_392_000;
        // The clocks of two hosts are wrong, by as much as can be told from a queue that is late.
        let hosts: [(&str, i64); 5] = [("n1", 0), ("n2", 300), ("n3", -90), ("n4", 0), ("n5", 1)];
        for s in (0..7_200).step_by(5) {
            let now = Time::from_secs(start_s + s);
            let speaks = |host: &str| host != "n4" || !(3_000..4_000).contains(&s);
            let hosts = hosts.iter().filter(|(host, _)| speaks(host));
            let lines = hosts.flat_map(|(host, behind_s)| {
                let at = now.plus_ms(-behind_s * 1_000);
                let service = if *host == "n4" { "cron" } else { "sshd" };
                let labels = [("service", service), ("host", *host)];
                // A line that waited comes with each that is new.
                [at.plus_ms(-60_000), at].map(|at| line(labels, at))
            });
            send(&mut engine, "syslog", now, lines.collect());
        }
        let ledger = engine.ledger(&[]);
        let source = ledger.of_source("syslog").unwrap();
        let odd = source.odd_clocks.iter();
        let odd: Vec<_> = odd
            .map(|of| (of.entity.as_str(), of.lag_ms / 10_000))
            .collect();
        assert_eq!(odd, [("host/n2", 30), ("host/n3", -9)]);
        let told = source.told.iter();
        let told: Vec<_> = told
            .map(|of| {
                let every_s = of.every_ms / 1_000;
                (of.entity.as_str(), every_s, of.per_minute, of.gaps)
            })
            .collect();
        assert_eq!(
            told,
            [("service/cron", 5, 24, 1), ("service/sshd", 5, 96, 0)]
        );
    }
}
