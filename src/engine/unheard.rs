//! Alerts whose time ran out and of which nobody said that they are over: does their sender go on without them,
//! or did it fall silent?
//!
//! What a sender that fell silent does not say ends nothing. Its alerts go on as not heard of until it, or what fell silent with
//! it and tells of the same entity, has spoken for as long as an alert is believed that is not sent again; for six hours at most. A sender of
//! which nothing more is known than that it sends nothing is believed: its alerts end in time, in words that say so.
//!
//! It must never guess from the text of telemetry: evidence is who spoke when.

use serde::{Deserialize, Serialize};

use super::Engine;
use super::alerts::{AlertChange, AlertState};
use super::entities::EntityIx;
use super::explain;
use super::intake::SourceIx;
use super::set_back::SetBack;
use super::silence::SilenceWatch;
use crate::model::{ALERT_UNHEARD, Alert, Fingerprint, Silenced, Time};

/// Senders told apart; what more there are count as the first of their source.
const SENDERS_MAX: usize = 256;
/// Longest part of an address kept by which a sender is known, in bytes.
const ADDRESS_BYTES_MAX: usize = 128;
/// What is not heard of is looked at again so often, in milliseconds.
const LOOK_EVERY_MS: i64 = 5_000;
/// An alert is not heard of for so long at most, in milliseconds; then it is given up.
pub(super) const UNHEARD_MS_MAX: i64 = 6 * 60 * 60_000;
/// Not more than one in so many of the places for alerts is taken by what is not heard of.
const UNHEARD_PART: usize = 2;
/// Who was heard again and then not for half of the time for which an alert is vouched for, and so long at least, in
/// milliseconds, is silent again: two of the usual intervals of a minute.
const HUSHED_MS_MIN: i64 = 120_000;
/// Who speaks more rarely than that is silent again after as many of its own usual pauses.
const HUSHED_PAUSES: i64 = 3;
/// One message may be the last: who speaks again is heard once more after as long, in milliseconds.
const SPOKEN_MS_MIN: i64 = 60_000;
/// Alerts that come within so long are sent at once, in milliseconds.
const AT_ONCE_MS: i64 = 1_000;
/// Sources named that fell silent with a sender.
const WITH_MAX: usize = 4;
/// Heartbeats known that stand for senders.
const HEARTBEATS_MAX: usize = 64;
/// That a heartbeat is missing is told each minute. Of one not told of for so long, in milliseconds, nobody waits any more: it
/// was renamed or taken away. Long enough for a restart, after which a rare one is told of only hours later.
const HEARTBEAT_UNTOLD_MS_MAX: i64 = UNHEARD_MS_MAX;
/// The label of a missing heartbeat that names the sources for whose senders it stands.
const WATCHES: &str = "watches";
/// The name of the alert about a missing heartbeat.
const HEARTBEAT_MISSING: &str = "HeartbeatMissing";

/// The place of a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SenderIx(u16);

/// Who sends alerts: by their source, and by the address of the rules that raise them.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Senders {
    all: Vec<Sender>,
    /// Those that stand for the senders of some sources. A source tells one that is heard only now and then, and a restart
    /// must not wait for that.
    heartbeats: Vec<Heartbeat>,
    /// How often one was told of for which there was no room.
    heartbeats_refused: u64,
}

/// A heartbeat that stands for the senders of some sources.
#[derive(Debug, Serialize, Deserialize)]
struct Heartbeat {
    /// The alert about it.
    alert: Fingerprint,
    /// Their names, with commas.
    sources: Box<str>,
    is_missing: bool,
    /// When it was heard, or told to be missing.
    told_at: Time,
}

#[derive(Debug, Serialize, Deserialize)]
struct Sender {
    source: SourceIx,
    /// `http://prometheus:9090`; empty when it is not known.
    address: Box<str>,
    /// When it last sent any alert.
    heard: Time,
    /// How long it usually is until it sends the next, in milliseconds; 0 before the second.
    pause_ms: i64,
    /// Whether it moves the ends of its alerts by sending them again, as Prometheus does: then it is waited for.
    renews: bool,
}

/// What is known of the sender of an alert, which fell silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Since when it is known.
    pub since: Time,
    /// Who speaks again, while somebody does.
    pub again: Option<Again>,
    /// Sources that fell silent with it.
    pub with: Vec<SourceIx>,
    /// How that is told.
    pub why: Box<str>,
}

/// Somebody who was silent speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Again {
    since: Time,
    who: Speaker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Speaker {
    /// The sender of the alert itself.
    Sender,
    /// A source that fell silent with it and tells of the same entity.
    Source(SourceIx),
}

/// When each sender last sent an alert of which it has not told the end: it is to send that again.
#[derive(Default)]
struct Owing(Vec<Time>);

/// What an alert that was not sent again says.
enum Verdict {
    /// Its sender goes on without it.
    GoesOn,
    /// Its sender fell silent.
    Silent(Lost),
    /// Nobody knows.
    Open,
}

impl Lost {
    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        back.past(&mut self.since);
        if let Some(again) = &mut self.again {
            back.past(&mut again.since);
        }
    }
}

impl Owing {
    fn note(&mut self, sender: Option<SenderIx>, told_at: Time) {
        let Some(SenderIx(at)) = sender else { return };
        let at = usize::from(at);
        if self.0.len() <= at {
            self.0.resize(at + 1, Time::ZERO);
        }
        self.0[at] = self.0[at].max(told_at);
    }

    /// Whether another word is due of what a sender sent after `since`.
    fn since(&self, sender: Option<SenderIx>, since: Time) -> bool {
        let told_at = sender.and_then(|ix| self.0.get(usize::from(ix.0)));
        told_at.is_some_and(|told_at| *told_at > since)
    }
}

impl Senders {
    /// The sender of an alert that came by a source, as the address of its rules tells.
    pub fn of(&mut self, source: SourceIx, alert: &Alert) -> SenderIx {
        let address = alert.rules_at();
        let address = &address[..address.floor_char_boundary(ADDRESS_BYTES_MAX)];
        let is_it = |sender: &Sender| sender.source == source && *sender.address == *address;
        let place = self.all.iter().position(is_it).or_else(|| {
            let is_its = |sender: &Sender| sender.source == source;
            let is_full = self.all.len() >= SENDERS_MAX;
            self.all.iter().position(is_its).filter(|_| is_full)
        });
        let place = place.unwrap_or_else(|| {
            self.all.push(Sender {
                source,
                address: address.into(),
                heard: Time::ZERO,
                pause_ms: 0,
                renews: false,
            });
            self.all.len() - 1
        });
        // No more than are told apart, and one for each source.
        SenderIx(place.min(usize::from(u16::MAX)) as u16)
    }

    fn get(&self, sender: SenderIx) -> Option<&Sender> {
        self.all.get(usize::from(sender.0))
    }

    /// The source of a sender, and the address of its rules.
    pub fn told(&self, sender: SenderIx) -> Option<(SourceIx, &str)> {
        let sender = self.get(sender)?;
        Some((sender.source, &sender.address))
    }

    /// Whether every sender refers to a source that is kept.
    pub fn fits(&self, silence: &SilenceWatch) -> bool {
        self.all.iter().all(|sender| silence.knows(sender.source))
    }

    /// Follows a clock that was set back.
    pub fn set_back(&mut self, back: SetBack) {
        for sender in &mut self.all {
            back.past(&mut sender.heard);
        }
        for heartbeat in &mut self.heartbeats {
            back.past(&mut heartbeat.told_at);
        }
    }

    /// A heartbeat that stands for the senders of some sources was heard, or is missing.
    fn note_heartbeat(&mut self, heartbeat: Heartbeat) {
        let is_known = |of: &Heartbeat| of.alert == heartbeat.alert;
        let known = self.heartbeats.iter().position(is_known);
        if known.is_none() && self.heartbeats.len() < HEARTBEATS_MAX {
            return self.heartbeats.push(heartbeat);
        }
        // One that was heard longest ago makes room, and one that is missing does not.
        let heard = self.heartbeats.iter().enumerate();
        let heard = heard.filter(|(_, of)| !of.is_missing);
        let oldest = heard.min_by_key(|(_, of)| of.told_at).map(|(at, _)| at);
        match known.or(oldest) {
            Some(at) => self.heartbeats[at] = heartbeat,
            None => self.heartbeats_refused += 1,
        }
    }

    /// Forgets missing heartbeats of which nobody tells any more.
    fn forget_heartbeats(&mut self, now: Time) {
        let is_told = |of: &Heartbeat| now.since(of.told_at) < HEARTBEAT_UNTOLD_MS_MAX;
        self.heartbeats.retain(|of| !of.is_missing || is_told(of));
    }

    /// How often a heartbeat was told of for which there was no room.
    pub fn refused(&self) -> u64 {
        self.heartbeats_refused
    }

    /// Whether a heartbeat is missing that stands for the senders of a source.
    fn is_given_up(&self, source: &str) -> bool {
        let mut of_source = self.heartbeats.iter().filter(|of| of.stands_for(source));
        of_source.any(|of| of.is_missing)
    }

    /// When a heartbeat was last heard that stands for the senders of a source, if none is missing.
    fn beat(&self, source: &str) -> Option<Time> {
        let of_source = self.heartbeats.iter().filter(|of| of.stands_for(source));
        let beat = of_source.map(|of| of.told_at).max();
        beat.filter(|_| !self.is_given_up(source))
    }
}

impl Sender {
    /// It sends an alert.
    fn hear(&mut self, now: Time) {
        let pause_ms = now.since(self.heard);
        if self.heard > Time::ZERO && pause_ms >= AT_ONCE_MS {
            self.pause_ms = match self.pause_ms {
                0 => pause_ms,
                // A silence is no pace: it moves what is usual by little.
                usual_ms => usual_ms + (pause_ms.min(2 * usual_ms) - usual_ms) / 8,
            };
        }
        self.heard = now;
    }
}

impl Heartbeat {
    fn stands_for(&self, source: &str) -> bool {
        let mut sources = self.sources.split(',');
        sources.any(|name| name.trim() == source)
    }
}

impl Engine {
    /// Notes that a sender speaks, and whether it is one that keeps its alerts alive by sending them again.
    pub(super) fn note_sender(&mut self, alert: &Alert, source: SourceIx) -> Option<SenderIx> {
        let held = self.alerts.get(alert.fingerprint);
        let renews = alert.ends_at > self.now
            && held.is_some_and(|held| held.firing && alert.ends_at > held.ends_at);
        let ix = self.senders.of(source, alert);
        let sender = self.senders.all.get_mut(usize::from(ix.0))?;
        sender.hear(self.now);
        sender.renews |= renews;
        if alert.labels.get("alertname") == Some(HEARTBEAT_MISSING)
            && let Some(sources) = alert.labels.get(WATCHES)
        {
            self.senders.note_heartbeat(Heartbeat {
                alert: alert.fingerprint,
                sources: sources.into(),
                is_missing: alert.is_firing(self.now),
                told_at: self.now,
            });
        }
        Some(ix)
    }

    /// Looks at the alerts that were to be sent again by now, and were not.
    pub(super) fn look_at_ends(&mut self) {
        self.alerts.forget_old(self.now);
        self.senders.forget_heartbeats(self.now);
        let mut owing = None;
        for alert in self.alerts.take_due(self.now) {
            let Some(held) = self.alerts.get(alert) else {
                continue;
            };
            match held.lost.as_deref().cloned() {
                Some(lost) => self.look_at_lost(alert, lost, &mut owing),
                None => self.look_at_end(alert),
            }
        }
    }

    /// The end of an alert has passed.
    fn look_at_end(&mut self, alert: Fingerprint) {
        let Some(held) = self.alerts.get(alert) else {
            return;
        };
        let told = explain::clock(held.told_at);
        let has_room = self.alerts.unheard() < self.config.alerts_max as usize / UNHEARD_PART;
        let unsaid = match self.verdict(held) {
            Verdict::Silent(lost) if has_room => {
                let why = lost.why.clone();
                let due = self.now.plus_ms(LOOK_EVERY_MS);
                self.alerts.wait(alert, due, Some(lost));
                return self.tell_of_alert(alert, &why);
            }
            Verdict::Silent(_) => {
                format!(
                    "is not sent any more since {told}: its sender fell silent, and there is no room to wait for it"
                )
            }
            Verdict::GoesOn => {
                format!("is not sent any more since {told}, and its sender goes on without it")
            }
            Verdict::Open => {
                format!(
                    "is not sent any more since {told} (its sender has said nothing else since)"
                )
            }
        };
        self.end_unsaid(alert, &unsaid);
    }

    /// Looks whether the sender of an alert speaks again, or what fell silent with it.
    fn look_at_lost(&mut self, alert: Fingerprint, mut lost: Lost, owing: &mut Option<Owing>) {
        let Some(held) = self.alerts.get(alert) else {
            return;
        };
        let told = explain::clock(held.told_at);
        if self.now.since(held.ends_at) >= UNHEARD_MS_MAX {
            let unsaid = format!("is given up: not heard of since {told}, as its sender");
            return self.end_unsaid(alert, &unsaid);
        }
        for source in self.fell_silent_with(held) {
            if lost.with.len() < WITH_MAX && !lost.with.contains(&source) {
                lost.with.push(source);
            }
        }
        let speaker = self.who_speaks_again(held, &lost, owing);
        lost.again = speaker.map(|who| {
            let since = self.now;
            lost.again.unwrap_or(Again { since, who })
        });
        if let Some(again) = lost.again
            && self.now.since(again.since) >= self.alert_timeout_ms()
            && (self.speaks_on(held, &lost, again) || self.is_idle(held, &lost, owing))
        {
            let since = explain::clock(again.since);
            let unsaid = match again.who {
                Speaker::Sender => format!(
                    "is not sent any more: its sender, silent since {told}, speaks again since {since} and does not send it"
                ),
                Speaker::Source(source) => format!(
                    "is not sent any more since {told}: {}, which fell silent with its sender, speaks again since {since}",
                    self.silence.source(source).0
                ),
            };
            return self.end_unsaid(alert, &unsaid);
        }
        let due = self.now.plus_ms(LOOK_EVERY_MS);
        self.alerts.wait(alert, due, Some(lost));
    }

    /// Who speaks now of those that fell silent: the sender, else a source that tells of what the alert is about. What
    /// measures other things says nothing of it.
    fn who_speaks_again(
        &self,
        held: &AlertState,
        lost: &Lost,
        owing: &mut Option<Owing>,
    ) -> Option<Speaker> {
        let speaks = |heard: Time, pause_ms: i64| {
            let hushed_ms = (held.lease_ms() / 2).max(HUSHED_MS_MIN);
            let hushed_ms = hushed_ms.max(HUSHED_PAUSES * pause_ms);
            heard > lost.since && self.now.since(heard) < hushed_ms
        };
        let sender = held.sender.and_then(|ix| self.senders.get(ix));
        let is_back = sender.is_some_and(|sender| {
            let source = &self.silence.source(sender.source).0;
            // A heartbeat stands until it is missing, however rare it is.
            let beat = self.senders.beat(source);
            let beats = beat.is_some_and(|beat| beat > lost.since);
            let is_given_up = self.senders.is_given_up(source);
            let speaks = || speaks(sender.heard, sender.pause_ms);
            beats || !is_given_up && (speaks() || self.is_idle(held, lost, owing))
        });
        if is_back {
            return Some(Speaker::Sender);
        }
        let heard = |source: &SourceIx| self.silence.heard(*source) > lost.since;
        let mut with = lost.with.iter().copied().filter(heard).peekable();
        with.peek()?;
        let tellers = self.tellers(held.entity);
        let teller = with.find(|source| {
            let pause_ms = || self.pause_of_teller(*source, held.entity);
            tellers.contains(source) && speaks(self.silence.heard(*source), pause_ms())
        });
        teller.map(Speaker::Source)
    }

    /// Whether the sender of an alert told the end of all it told of since it spoke again: it has nothing to say.
    fn is_idle(&self, held: &AlertState, lost: &Lost, owing: &mut Option<Owing>) -> bool {
        let sender = held.sender.and_then(|ix| self.senders.get(ix));
        let is_back = sender.is_some_and(|sender| sender.heard > lost.since);
        let owing = owing.get_or_insert_with(|| self.owing());
        is_back && !owing.since(held.sender, lost.since)
    }

    /// Whether who speaks again has gone on to: one message, and then silence as before, ends nothing, however long it
    /// may be until the next.
    fn speaks_on(&self, held: &AlertState, lost: &Lost, again: Again) -> bool {
        let heard = match again.who {
            Speaker::Source(source) => self.silence.heard(source),
            Speaker::Sender => {
                let Some(sender) = held.sender.and_then(|ix| self.senders.get(ix)) else {
                    return false;
                };
                let beat = self.senders.beat(&self.silence.source(sender.source).0);
                if beat.is_some_and(|beat| beat > lost.since) {
                    return true;
                }
                sender.heard
            }
        };
        heard.since(again.since) >= SPOKEN_MS_MIN
    }

    /// How long it usually is until a source tells of an entity again, in milliseconds; 0 when it tells nothing of it.
    fn pause_of_teller(&self, source: SourceIx, entity: EntityIx) -> i64 {
        let series = self.intake.of_entity(entity).iter();
        let rows = series.map(|ix| self.intake.row(*ix));
        let told = rows.filter(|row| row.is_judged() && row.source() == source);
        let pauses = told.map(|row| i64::from(row.interval_ms));
        pauses.filter(|ms| *ms > 0).min().unwrap_or(0)
    }

    /// Of which senders another word is due.
    fn owing(&self) -> Owing {
        let mut owing = Owing::default();
        let open = self.alerts.iter(None).map(|(_, held)| held);
        for held in open.filter(|held| held.firing || held.unsaid.is_some()) {
            owing.note(held.sender, held.told_at);
        }
        owing
    }

    fn end_unsaid(&mut self, alert: Fingerprint, unsaid: &str) {
        if self.alerts.end(alert, unsaid.into(), self.now) {
            self.alert_changed(AlertChange::Resolved(alert));
        }
    }

    /// What it says that an alert was not sent again.
    fn verdict(&self, held: &AlertState) -> Verdict {
        let Some(sender) = held.sender.and_then(|ix| self.senders.get(ix)) else {
            return Verdict::Open;
        };
        let source = self.silence.source(sender.source);
        let since = explain::clock(held.told_at);
        let lost = |with: Vec<SourceIx>, why: String| {
            Verdict::Silent(Lost {
                since: self.now,
                again: None,
                with,
                why: format!("{ALERT_UNHEARD} {since}: {why}").into(),
            })
        };
        if self.senders.is_given_up(&source.0) {
            let why = "the heartbeat that stands for its sender is missing";
            return lost(Vec::new(), why.to_owned());
        }
        let alive = self.alive_from(held);
        let beat = self.senders.beat(&source.0);
        if sender.heard.max(beat.unwrap_or(Time::ZERO)) >= alive {
            return Verdict::GoesOn;
        }
        let with = self.fell_silent_with(held);
        let tellers = self.tellers(held.entity);
        if let Some(first) = with
            .iter()
            .find(|source| tellers.contains(source))
            .or(with.first())
            && (sender.renews || tellers.contains(first))
        {
            let name = &self.silence.source(*first).0;
            let why = format!("its sender fell silent, and so did {name}");
            return lost(with, why);
        }
        let goes_on = |source: &SourceIx| self.silence.heard(*source) >= alive;
        if sender.renews && !tellers.iter().any(goes_on) {
            return lost(with, "its sender fell silent".to_owned());
        }
        Verdict::Open
    }

    /// Who speaks from then on goes on without an alert: half of the time for which that was vouched, after it was
    /// sent last, in which it would have been sent again.
    fn alive_from(&self, held: &AlertState) -> Time {
        let since = held.told_at.max(self.silence.resumed());
        since.plus_ms(held.lease_ms() / 2)
    }

    /// Sources that measure and fell silent at the time when an alert was sent last.
    fn fell_silent_with(&self, held: &AlertState) -> Vec<SourceIx> {
        let from = held.told_at.plus_ms(-held.lease_ms());
        let to = self.alive_from(held);
        let fell = self.silence.fell_silent_between(from, to, self.now);
        fell.take(WITH_MAX).collect()
    }

    /// Sources that tell series of an entity.
    pub(super) fn tellers(&self, entity: EntityIx) -> Vec<SourceIx> {
        let series = self.intake.of_entity(entity).iter();
        let rows = series.map(|ix| self.intake.row(*ix));
        let mut tellers = Vec::new();
        for row in rows.filter(|row| row.is_judged()) {
            if !tellers.contains(&row.source()) {
                tellers.push(row.source());
            }
        }
        tellers
    }

    /// What is known of the sender of an alert, as it is kept over a restart.
    pub(super) fn silenced(&self, lost: &Lost) -> Silenced {
        let with = lost.with.iter();
        Silenced {
            since: lost.since,
            why: lost.why.clone(),
            with: with.map(|ix| self.silence.source(*ix).clone()).collect(),
        }
    }

    /// Takes back that the sender of an alert had fallen silent.
    pub(super) fn take_back_lost(&mut self, alert: Fingerprint, silenced: &Silenced) {
        let with = silenced.with.iter();
        let lost = Lost {
            since: silenced.since,
            again: None,
            with: with.map(|id| self.silence.place(id)).collect(),
            why: silenced.why.clone(),
        };
        let due = self.now.plus_ms(LOOK_EVERY_MS);
        self.alerts.wait(alert, due, Some(lost));
    }
}

#[cfg(test)]
mod tests;
